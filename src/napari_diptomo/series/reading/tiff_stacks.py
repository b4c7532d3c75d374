"""Stacks of images in TIFF: all pages in their order, calibrated as ImageJ, OME or the TIFF itself says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.memory import check_fits
from napari_diptomo.series.reading.current_file import reads
from napari_diptomo.series.reading.image_stack import ImageStack
from napari_diptomo.series.reading.inspection import check_unpacks
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.stored_axes import length_in_nm, square_pixel

#: The element of OME-XML that has the sizes.
_OME_PIXELS = re.compile(r'<(?:\w+:)?Pixels\b[^>]*>')


def read_tiff(path: Path) -> ImageStack:
    """All pages in their order, whatever the writer grouped them to.

    Raises
    ------
    InputError
        Not plain numbers (tilt, y, x), damaged, or calibrated by something else than a straight line.
    """
    import tifffile

    reads(path)
    # As OME-TIFF it could name other files, whose pages would be read in place of its own.
    with reading(path), tifffile.TiffFile(path, is_ome=False) as file:
        _check_size(path, file)
        data = file.asarray(key=slice(None))
        if data.ndim == 2:
            # ImageJ writes large stacks behind a single page.
            data = file.series[0].asarray()
        tags = file.pages.first.tags
        pixels = {axis: tags.valueof(f'{axis}Resolution') for axis in 'YX'}
        unit_tag, imagej = tags.valueof('ResolutionUnit'), file.imagej_metadata or {}
        ome = _OME_PIXELS.search(str(file.pages.first.description))
    if data.dtype.kind not in 'buif':
        raise InputError(f'{path.name} holds {data.dtype} in place of plain numbers; save it anew as numbers.')
    if data.ndim == 2:
        data = data[None]
    if data.ndim != 3:
        raise InputError(f'{path.name} has the shape {data.shape}; a stack of maps has the axes (tilt, y, x).')
    data = _calibrated(path, data.astype(np.float32), imagej)
    sizes = [
        _ome_pixel_size(ome[0], axis) if ome else _tiff_pixel_size(pixels[axis], unit_tag, imagej, axis)
        for axis in 'YX'
    ]
    size = square_pixel(path, *sizes)
    return ImageStack(path, data, size, {})


def _calibrated(path: Path, data: np.ndarray, imagej: Mapping[str, Any]) -> np.ndarray:
    """Values as ImageJ shows them: it keeps signed numbers of 16 bit as unsigned ones, and a line that leads back.

    ``cf`` names the function of the stored value (0: a straight line, 20 and above: none), ``c0`` and ``c1`` are offset
    and slope.
    """
    function = imagej.get('cf')
    if function is None or function in (20, 21):
        return data
    offset, slope = imagej.get('c0', 0.0), imagej.get('c1', 1.0)
    numbers = all(isinstance(value, int | float) and np.isfinite(value) for value in (offset, slope))
    if function != 0 or not numbers or slope == 0:
        raise InputError(
            f'{path.name} has an intensity calibration of ImageJ that is no straight line (cf={function}); '
            'in ImageJ, choose None in Analyze > Calibrate and save it as 32 bit.'
        )
    return np.float32(offset) + np.float32(slope) * data


def _check_size(path: Path, file: Any) -> None:
    """Refuse what unpacks to more than a measurement, or than there is memory for it and for its copy as float32."""
    # By number: an iteration over the pages of a damaged file may not end.
    pages = [file.pages[number] for number in range(len(file.pages))]
    declared = max(sum(page.nbytes for page in pages), *(series.nbytes for series in file.series))
    check_unpacks(path.name, declared, path.stat().st_size)
    kind = file.pages.first.dtype
    copied = 4 / kind.itemsize if kind is not None else 0
    check_fits(int(declared * (1 + copied)), f'Reading {path.name}', 'close other programs, or bin the maps before')


def _tiff_pixel_size(resolution: Any, unit_tag: Any, imagej: Mapping[str, Any], axis: str) -> float | None:
    """ImageJ's unit, else the resolution per centimetre; per inch is a screen's, not a microscope's."""
    if not isinstance(resolution, tuple) or len(resolution) != 2 or 0 in resolution:
        return None
    pixel = resolution[1] / resolution[0]
    unit = imagej.get('yunit') if axis == 'Y' and imagej.get('yunit') else imagej.get('unit')
    if isinstance(unit, str) and unit:
        return length_in_nm(pixel, unit.replace('\\u00B5', '\N{MICRO SIGN}'))
    return length_in_nm(pixel, 'cm') if unit_tag == 3 else None


def _ome_pixel_size(pixels: str, axis: str) -> float | None:
    """OME's size of a pixel; without a unit it is micrometres."""
    size = re.search(rf'\bPhysicalSize{axis}="([0-9.eE+-]{{1,40}})"', pixels)
    unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]{{1,20}})"', pixels)
    with suppress(ValueError):
        return length_in_nm(float(size[1]), unit[1] if unit else 'um') if size else None
    return None
