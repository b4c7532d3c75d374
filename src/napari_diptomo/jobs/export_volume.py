"""The command ``diptomo export``: a saved volume in the format of another program."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from napari_diptomo.jobs.output import replaced_by
from napari_diptomo.jobs.reading.isolated import load_isolated
from napari_diptomo.series import InputError, Volume, save
from napari_diptomo.series.writing.save import VOLUME_SUFFIXES, wrong_suffix


def load_volume(path: Path) -> Volume:
    """A saved volume.

    Parameters
    ----------
    path : Path
        ``.hspy``, or the folder of an OME-Zarr.

    Returns
    -------
    Volume

    Raises
    ------
    InputError
        It is none.
    """
    volume = load_isolated(path)
    if not isinstance(volume, Volume):
        raise InputError(f'{path.name} is no volume; choose the .hspy that a reconstruction saved.')
    return volume


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse a place that is not there, and names that are taken.

    Parameters
    ----------
    output : Path
    overwrite : bool
        Whether earlier files may be replaced.

    Raises
    ------
    InputError
    """
    if not output.absolute().parent.is_dir():
        raise InputError(f'There is no folder {output.absolute().parent}; make it, or choose another name.')
    earlier = replaced_by(output)
    if earlier and not overwrite:
        raise InputError(f'{earlier[0].name} is there already; choose another name, or replace it with --overwrite.')


def export_file(path: Path, output: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write a saved volume anew, in the format that the suffix names.

    Parameters
    ----------
    path : Path
        The volume.
    output : Path
        ``.ome.zarr``, ``.mrc``, ``.tif``, ``.vti`` or ``.hspy``.
    overwrite : bool
        Whether earlier files may be replaced.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    InputError
        It is no volume, the suffix is none of these, the name is taken, or it cannot be written.
    """
    if output.suffix.lower() not in VOLUME_SUFFIXES:
        raise InputError(wrong_suffix(output, volume=True))
    check_output(output, overwrite)
    written = save(load_volume(path), output)
    files = written if isinstance(written, tuple) else (written,)
    for file in files:
        Console(highlight=False).print(f'Written: {file}', markup=False, soft_wrap=True)
    return files
