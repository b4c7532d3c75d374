"""The file that a run is to write: its name, whether it can be written, and who is writing it.

All of it is settled before the hours of computing: the name is one in whose
format the result can be saved, the folder is there and takes a file, an earlier
file may be replaced, and no other run writes the same. For the space that a
result needs, see `napari_diptomo.jobs.disk_space`.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import psutil

from napari_diptomo.jobs.file_locks import FileLock, Held
from napari_diptomo.jobs.reading.isolated import saved_kind_isolated
from napari_diptomo.series import InputError, MapSeries, Recipe, Volume
from napari_diptomo.series.files import cannot_be_written, replacing, sweep_partials
from napari_diptomo.series.writing.ome_zarr import check_replaceable
from napari_diptomo.series.writing.save import MAP_SUFFIXES, VOLUME_SUFFIXES, wrong_suffix


def output_path(recipe: Recipe, recipe_file: Path, output: str | Path | None) -> Path:
    """Where the result of a recipe goes.

    Parameters
    ----------
    recipe : Recipe
    recipe_file : Path
        Where it was read from.
    output : path or str, optional
        A file; a folder, or a name that ends in a slash, means the name of the recipe in that
        folder. Default: beside the recipe.

    Returns
    -------
    Path
        With one of the suffixes in which the result can be saved.

    Raises
    ------
    InputError
        The suffix is none of these, the folder is not there, or the result would replace data of the recipe.
    """
    if output is None:
        path = recipe_file.with_suffix('.hspy')
    elif _is_folder(output):
        path = Path(output) / f'{recipe_file.stem}.hspy'
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
    else:
        path = Path(output)
        if path.suffix == '':
            path = path.with_suffix('.hspy')
    made = _makes(recipe)
    if path.suffix.lower() not in (MAP_SUFFIXES if made is MapSeries else VOLUME_SUFFIXES):
        raise InputError(wrong_suffix(path, made is not MapSeries))
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f'There is no folder {folder}; make it, or choose another output.')
    for earlier in replaced_by(path):
        if _is_read(earlier, recipe):
            raise InputError(
                f'{earlier.name} is read by this recipe and would be replaced by its result; choose another output with -o.'
            )
    return path


def _is_folder(output: str | Path) -> bool:
    """Whether the result goes into this folder; an OME-Zarr is a folder and the result itself."""
    if Path(output).suffix.lower() == '.zarr':
        return False
    return str(output).endswith(('/', os.sep)) or Path(output).is_dir()


def replaced_by(output: Path) -> list[Path]:
    """Files that are there already and that a result would replace.

    Parameters
    ----------
    output : Path
        As chosen; ``.mrc`` stands for one file per channel.

    Returns
    -------
    list of Path
    """
    channels = output.parent.glob(f'{glob.escape(output.stem)}_*.mrc') if output.suffix.lower() == '.mrc' else ()
    return [earlier for earlier in (output, *channels) if earlier.exists()]


def _is_read(earlier: Path, recipe: Recipe) -> bool:
    """Whether a file belongs to the data of a recipe; of those in a folder all do but volumes of our own."""
    for source in recipe.files():
        if not source.exists():
            continue
        if source.samefile(earlier):
            return True
        if source.is_dir() and source.resolve() == earlier.resolve().parent:
            return earlier.suffix.lower() != '.hspy' or saved_kind_isolated(earlier) != 'volume'
    return False


@contextlib.contextmanager
def reserved(output: Path) -> Iterator[None]:
    """Hold an output for one run: no other can write it meanwhile, and it can be written.

    The lock is a file beside the output, ``volume.hspy.lock``, which says whose it is and
    vanishes at the end. That of a process that is gone is taken over.

    Raises
    ------
    InputError
        Another run writes it (the sentence says which), or it cannot be written.
    """
    lock = _locked(output)
    try:
        sweep_partials(output)
        _check_writable(output)
        yield
    finally:
        sweep_partials(output)
        with contextlib.suppress(OSError):
            lock.close(remove=True)


def _makes(recipe: Recipe) -> type:
    """Kind of result of the last step, as its annotations say; a volume where they do not."""
    steps = recipe.runnable()
    if not steps:
        return Volume
    try:
        made = get_type_hints(type(steps[-1])._run).get('return')
    except NameError:  # annotations that only a type checker can resolve
        return Volume
    return made if made in (MapSeries, Volume) else Volume


def _locked(output: Path) -> FileLock:
    path = output.with_name(f'{output.name}.lock')
    for _ in range(10):
        try:
            lock = FileLock(path)
        except Held:
            # Its holder may have been about to end: then there is no such file any more.
            if path.exists():
                raise InputError(_sentence(output, path, _read(path))) from None
            continue
        except OSError as error:
            raise InputError(_not_there(output, error)) from None
        holder = _parsed(lock.read())
        if holder and not _is_stale(holder, lock.certain):
            lock.close()
            raise InputError(_sentence(output, path, holder))
        try:
            lock.write(json.dumps(_myself()))
        except OSError as error:
            lock.close(remove=True)
            raise InputError(cannot_be_written(output, error)) from None
        return lock
    raise InputError(f'{output.name} is in use by other runs that come and go; choose another output with -o.')


def _check_writable(output: Path) -> None:
    """Refuse before the hours of computing, not after."""
    probe = output.with_name(f'.{output.stem}.probe{output.suffix}')
    try:
        replacing(probe, lambda partial: _fill(partial, 4096)).unlink()
    except InputError as error:
        raise InputError(str(error).replace(probe.name, output.name)) from None
    for earlier in replaced_by(output):
        if earlier.suffix.lower() == '.zarr':
            check_replaceable(earlier)
            continue
        if earlier.is_dir():
            raise InputError(f'{earlier} is a folder; choose another output with -o.')
        try:
            os.close(os.open(earlier, os.O_RDWR))
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f'{earlier.name} is there already and may not be replaced ({reason}); choose another output with -o.'
            ) from None


def _fill(path: Path, size: int) -> None:
    path.write_bytes(bytes(size))


def _not_there(output: Path, error: OSError) -> str:
    folder = output.absolute().parent
    if error.errno is not None and 'No space' in os.strerror(error.errno):
        return cannot_be_written(output, error)
    return f'The folder {folder} takes no files ({error.strerror or error}); choose another output with -o.'


def _myself() -> dict[str, object]:
    return {
        'pid': os.getpid(),
        'started': psutil.Process().create_time(),
        'host': platform.node(),
        'since': time.strftime('%Y-%m-%d %H:%M:%S'),
    }


def _read(path: Path) -> dict[str, object]:
    try:
        return _parsed(path.read_text(encoding='utf-8', errors='replace'))
    except OSError:
        return {}


def _parsed(text: str) -> dict[str, object]:
    try:
        found = json.loads(text.strip('\0'))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_stale(holder: dict[str, object], certain: bool) -> bool:
    """Whether the run that left this is gone, when its lock could be had."""
    if holder.get('host') != platform.node():
        return False  # the lock of another machine may not reach here
    if certain:
        return True
    try:
        return psutil.Process(int(str(holder['pid']))).create_time() != holder.get('started')
    except (psutil.Error, KeyError, ValueError):
        return True


def _sentence(output: Path, lock: Path, holder: dict[str, object]) -> str:
    who = f'process {holder.get("pid", "?")} on {holder.get("host", "?")}, since {holder.get("since", "?")}'
    elsewhere = '' if holder.get('host') in (None, platform.node()) else f'; if that run is gone, delete {lock.name}'
    return (
        f'{output.name} is being written by another run ({who if holder else "just begun"}); '
        f'wait for it, or choose another output with -o{elsewhere}.'
    )
