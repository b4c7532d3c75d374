"""Folders and frames that belong to one process, and the sweeping of those whose process is gone.

Every child process gets a folder ``diptomo-job-*`` in the folder for temporary
files. Its owner holds a lock on a file in it, until it ends, however it ends; so
a folder whose lock can be had has no owner any more. `make_folder` sweeps such
folders of this user, and frames (`napari_diptomo.jobs.frames`) that lost their
owner the same way. A complete result in one of them is kept first
(`napari_diptomo.jobs.unsaved_results`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from napari_diptomo.jobs import unsaved_results
from napari_diptomo.jobs.file_locks import FileLock, Held
from napari_diptomo.series import InputError

PREFIX = 'diptomo-job-'
FRAMES_PREFIX, FRAMES_SUFFIX = 'diptomo-', '.frames'
#: A folder that lies in memory, where there is one.
MEMORY = Path('/dev/shm')
_LOCK = 'lock'


class OwnedFolder:
    """A folder that is swept once this process is gone.

    Attributes
    ----------
    path : Path
        Readable for this user alone.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock

    def remove(self) -> None:
        """Remove the folder and all in it; harmless when done twice."""
        if os.name == 'nt':  # an open file cannot be removed there
            self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def make_folder(where: Path | None = None) -> OwnedFolder:
    """A new folder for one child process, after those of processes that are gone were swept.

    Parameters
    ----------
    where : Path, optional
        `MEMORY`; None: among the temporary files.

    Raises
    ------
    InputError
        There is no folder for temporary files, or no space in it.
    """
    sweep()
    while True:
        try:
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
            return OwnedFolder(path, FileLock(path / _LOCK))
        except (Held, FileNotFoundError):
            continue  # between the two lines a sweep of another process took the folder: then there is a next one
        except OSError as error:
            raise InputError(
                f'The folder for temporary files {where or tempfile.gettempdir()} takes no files ({error.strerror}); free some '
                'space there, or set TMPDIR to another folder.'
            ) from None


def sweep() -> None:
    """Remove the folders and frames of this user's processes that are gone. Never raises, follows no link."""
    temporary = Path(tempfile.gettempdir())
    for folder in {temporary, MEMORY}:
        for entry in _entries(folder, PREFIX):
            if entry.is_dir(follow_symlinks=False):
                _sweep_folder(Path(entry.path))
        for entry in _entries(folder, FRAMES_PREFIX):
            if entry.name.endswith(FRAMES_SUFFIX) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(Held, OSError):
                    FileLock(Path(entry.path)).close(remove=True)


def _sweep_folder(path: Path) -> None:
    with contextlib.suppress(Held, OSError):
        lock = FileLock(path / _LOCK)
        unsaved_results.rescue(path)
        OwnedFolder(path, lock).remove()


def _entries(folder: Path, prefix: str) -> Iterator[os.DirEntry[str]]:
    """Files of this user in a folder under names that begin with `prefix`."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and not entry.is_symlink() and _is_mine(entry):
                yield entry


def _is_mine(entry: os.DirEntry[str]) -> bool:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    return not hasattr(os, 'getuid') or (found.st_uid == os.getuid() and not stat.S_ISLNK(found.st_mode))
