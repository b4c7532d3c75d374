"""Files: what is none is not read, and what is written never costs the earlier file under its name.

The new file is written beside its name, brought to the disk (fsync), and takes
the name in one stroke (`os.replace`). Until then the earlier file stands; when
writing fails, or the process is killed, it stays.

The file that is being written has a name of its own, ``.volume.<host>-<pid>-<random>.partial.hspy``:
two programs that write one file do not share it, nobody can lay a symbolic link
there beforehand, and `sweep_partials` knows whose it was.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from napari_diptomo.series.errors import DiptomoError, InputError

#: Free bytes below which a write that failed counts as failed for want of space.
_NOTHING = 64 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)
_AT_WORK: set[Path] = set()
_LOCK = threading.Lock()


def check_is_file(path: Path) -> None:
    """Refuse pipes and devices: to read one would take for ever.

    Raises
    ------
    InputError
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f'{path.name} cannot be opened ({error.strerror}); check the path and its rights.') from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f'{path.name} is no file but a pipe or device; choose a file.')


def replacing(
    path: Path, write: Callable[[Path], None], needed: float = 0.0, before: Callable[[], None] | None = None
) -> Path:
    """Write a file and let it take the place of an earlier one when it is complete.

    Parameters
    ----------
    path : Path
        The file; a symbolic link there is replaced, not followed.
    write : callable
        Writes to the path it is given, which has the suffix of `path`.
    needed : float
        Bytes that the file takes, about; for the sentence when the disk is full.
    before : callable, optional
        Called when all is written and nothing replaced yet; what it raises leaves the earlier file.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        It cannot be written; the sentence names the folder, and the space where there is too little.
    """
    return replacing_all({path: write}, needed, before)[0]


def replacing_all(
    writers: Mapping[Path, Callable[[Path], None]], needed: float = 0.0, before: Callable[[], None] | None = None
) -> tuple[Path, ...]:
    """Write several files of one folder that belong together: all or none; see `replacing`."""
    partials: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            with _said(path, needed):
                partials[path] = _reserved(path)
                write(partials[path])
                _to_the_disk(partials[path])
        if before is not None:
            before()
        for path, partial in partials.items():
            with _said(path, needed):
                os.replace(partial, path)
        for folder in {path.parent for path in writers}:
            _folder_to_the_disk(folder)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
            with _LOCK:
                _AT_WORK.discard(partial)
    return tuple(writers)


def replacing_folder(
    path: Path, write: Callable[[Path], None], needed: float = 0.0, before: Callable[[], None] | None = None
) -> Path:
    """Write a folder and let it take the place of an earlier one when it is complete.

    Parameters
    ----------
    path : Path
        The folder. Whether an earlier one may be replaced is for the caller to know.
    write : callable
        Fills the empty folder that it is given.
    needed : float
        Bytes that its files take, about; for the sentence when the disk is full.
    before : callable, optional
        As of `replacing`.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        It cannot be written; the sentence names the disk, and the space where there is too little. The earlier
        folder stays.
    """
    unique = f'{_host()}-{os.getpid()}-{secrets.token_hex(8)}'
    partial, earlier = (path.with_name(f'.{path.stem}.{unique}.{what}{path.suffix}') for what in ('partial', 'earlier'))
    try:
        with _said(path, needed):
            partial.mkdir()
            write(partial)
            if before is not None:
                before()
            if path.exists():
                os.replace(path, earlier)
            try:
                os.replace(partial, path)
            except OSError:
                if earlier.exists():
                    os.replace(earlier, path)
                raise
    finally:
        for folder in (partial, earlier):
            shutil.rmtree(folder, ignore_errors=True)
    _folder_to_the_disk(path.parent)
    return path


def replacing_text(path: Path, text: str) -> Path:
    """Write a text file (UTF-8); see `replacing`."""

    def write(partial: Path) -> None:
        partial.write_text(text, encoding='utf-8')

    return replacing(path, write, len(text))


def sweep_partials(path: Path) -> None:
    """Remove what processes that are gone left half written beside `path`.

    Only files of this host whose process does not exist any more.
    """
    with contextlib.suppress(OSError):
        for partial in path.parent.iterdir():
            if _is_orphan_of(partial.name, path):
                with contextlib.suppress(OSError):
                    shutil.rmtree(partial) if partial.is_dir() else partial.unlink()


def abandon_partials() -> None:
    """Remove what this process is writing just now: for a process that ends on the spot."""
    with _LOCK:
        for partial in _AT_WORK:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def cannot_be_written(path: Path, error: BaseException, needed: float = 0.0) -> str:
    """One sentence on why a file could not be written, and what to do.

    Parameters
    ----------
    path : Path
        The file.
    error : exception
        What writing it raised.
    needed : float
        Bytes that it takes, about; 0 where nobody knows.
    """
    first_line = (str(error) or type(error).__name__).splitlines()[0][:160]
    reason = getattr(error, 'strerror', None) or first_line
    folder = path.absolute().parent
    if not _is_full(folder, error):
        return f'{path.name} cannot be written ({reason}); choose another folder than {folder}, or free some space.'
    free = megabytes(_free(folder))
    wanted = f', and {path.name} takes about {megabytes(needed)}' if needed else ''
    return (
        f'{path.name} cannot be written ({os.strerror(errno.ENOSPC)}): the disk of {folder} has {free} free{wanted}; '
        'free some space or choose another folder.'
    )


def megabytes(size: float) -> str:
    """A size in words: ``'12.3 MB'``, ``'4.56 GB'``."""
    return f'{size / 1e9:.3g} GB' if size >= 1e9 else f'{size / 1e6:.3g} MB'


def _reserved(path: Path) -> Path:
    """A new empty file beside `path`; nothing that lies there is opened, nor followed."""
    # The suffix stays last: the writers choose the format by it.
    name = f'.{path.stem}.{_host()}-{os.getpid()}-{secrets.token_hex(8)}.partial{path.suffix}'
    partial = path.with_name(name)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, 'O_NOFOLLOW', 0)
    with _LOCK:
        os.close(os.open(partial, flags, 0o666))
        _AT_WORK.add(partial)
    with contextlib.suppress(OSError):  # an earlier file keeps who may read it
        shutil.copymode(path, partial)
    return partial


@contextlib.contextmanager
def _said(path: Path, needed: float) -> Iterator[None]:
    """Turn what writers raise (HDF5 and torch report a full disk as RuntimeError) into one sentence."""
    try:
        yield
    except (DiptomoError, MemoryError):
        raise
    except (OSError, RuntimeError) as error:
        raise InputError(cannot_be_written(path, error, needed)) from None


def _is_full(folder: Path, error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    # HDF5 and torch keep the number to themselves.
    return 'no space left' in str(error).lower() or _free(folder) < _NOTHING


def _free(folder: Path) -> float:
    try:
        return float(shutil.disk_usage(folder).free)
    except OSError:
        return float('inf')


def _to_the_disk(path: Path) -> None:
    with open(path, 'r+b') as file:
        os.fsync(file.fileno())


def _folder_to_the_disk(folder: Path) -> None:
    # Without it the new name may be lost with the power. Not every system can: then there is nothing more to do.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_orphan_of(name: str, path: Path) -> bool:
    start, end = f'.{path.stem}.{_host()}-', f'.partial{path.suffix}'
    if not (name.startswith(start) and name.endswith(end)):
        return False
    pid = name[len(start) :].partition('-')[0]
    return pid.isdecimal() and not psutil.pid_exists(int(pid))
