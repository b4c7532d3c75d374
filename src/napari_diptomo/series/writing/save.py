"""Saving a map series or a volume under a name, whose suffix is the format."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from napari_diptomo.series.data import MapSeries, Volume
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.files import replacing, replacing_all, replacing_folder
from napari_diptomo.series.reading.saved import swapped
from napari_diptomo.series.writing.hspy import array_bytes, write_hspy
from napari_diptomo.series.writing.ome_zarr import check_replaceable, write_ome_zarr
from napari_diptomo.series.writing.stacks import mrc_writer, write_tiff
from napari_diptomo.series.writing.vti import write_vti

#: Suffixes of the names under which volumes, and maps, can be saved.
VOLUME_SUFFIXES = frozenset({'.hspy', '.mrc', '.tif', '.tiff', '.zarr', '.vti'})
MAP_SUFFIXES = frozenset({'.hspy'})


def save(
    obj: MapSeries | Volume, path: str | os.PathLike[str], *, before: Callable[[], None] | None = None
) -> Path | tuple[Path, ...]:
    """Write a map series or a volume.

    Parameters
    ----------
    obj : MapSeries or Volume
        The result; x and y of a series that was transposed on loading are swapped back in a volume.
    path : path
        ``.hspy`` for everything; for a volume also ``.zarr`` (OME-Zarr, a
        folder), ``.mrc`` (one file per channel, its name behind the stem),
        ``.tif`` (one calibrated ImageJ stack) or ``.vti`` (VTK, for ParaView).
        Without a suffix ``.hspy``. An existing file is replaced once
        the new one is complete and on the disk; several files all together.
    before : callable, optional
        Called when all is written and nothing replaced yet; what it raises leaves the earlier files.

    Returns
    -------
    Path, or tuple of Path
        What was written; one path per channel for ``.mrc``.

    Raises
    ------
    InputError
        The suffix is none of these, or the place cannot be written to.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == '':
        path, suffix = path.with_name(path.name + '.hspy'), '.hspy'
    if suffix not in (VOLUME_SUFFIXES if isinstance(obj, Volume) else MAP_SUFFIXES):
        raise InputError(wrong_suffix(path, isinstance(obj, Volume)))
    if suffix == '.hspy' or isinstance(obj, MapSeries):
        return replacing(path, lambda partial: write_hspy(obj, partial), array_bytes(obj), before)
    if suffix == '.mrc':
        stacks = zip(obj.channels, swapped(obj.data, obj.transposed), strict=True)
        writers = {
            path.with_name(f'{path.stem}_{_NOT_IN_NAMES.sub("-", channel)}.mrc'): mrc_writer(stack, obj.voxel_size)
            for channel, stack in stacks
        }
        return replacing_all(writers, obj.data.nbytes, before)
    if suffix == '.zarr':
        check_replaceable(path)
        name = path.stem.removesuffix('.ome')
        return replacing_folder(path, lambda partial: write_ome_zarr(obj, partial, name), array_bytes(obj), before)
    write = write_vti if suffix == '.vti' else write_tiff
    return replacing(path, lambda partial: write(obj, partial), obj.data.nbytes, before)


#: What no system takes in the name of a file, or takes for a path.
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]')


def wrong_suffix(path: Path, volume: bool) -> str:
    """The sentence for a name in whose format the result cannot be saved."""
    allowed = '.hspy, .ome.zarr, .mrc, .tif or .vti' if volume else '.hspy'
    return f'{path.name} cannot be saved: choose a name that ends in {allowed}.'
