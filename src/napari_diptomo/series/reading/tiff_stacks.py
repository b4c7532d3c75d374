"""Stacks of images in TIFF: all pages in their order, calibrated as ImageJ, OME or the TIFF itself says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.memory import check_fits
from napari_diptomo.series.reading.current_file import reads
from napari_diptomo.series.reading.element_names import element_in, parts_of
from napari_diptomo.series.reading.image_stack import ImageStack
from napari_diptomo.series.reading.inspection import check_unpacks
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.stored_axes import length_in_nm, square_pixel

#: The element of OME-XML that has the sizes.
_OME_PIXELS = re.compile(r'<(?:\w+:)?Pixels\b[^>]*>')
#: A letter beyond ASCII, as ImageJ writes it.
_ESCAPED = re.compile(r'\\u([0-9A-Fa-f]{4})')
_OME_CHANNELS = re.compile(r'<(?:\w+:)?Channel\b[^>]*\bName="([^"]{1,80})"')


#: Numbers of the TIFF specification: none, PackBits, Deflate (two numbers), LZMA, which tifffile unpacks by itself.
_BUILT_IN = {1, 8, 32773, 32946, 34925}
_LZW = 5
#: Numbers that Pillow has images of.
_OF_PILLOW = {np.dtype(kind) for kind in ('uint8', 'uint16', 'float32')}


class ColourPicture(InputError):
    """A picture for the eye."""


@dataclass(frozen=True)
class _Grouping:
    """Number of images along each axis (channel C, slice Z, time T) that a file says, and what its channels are called."""

    sizes: Mapping[str, int]
    order: str  # the axis that varies fastest first
    names: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        return self.sizes.get('C', 1)

    @property
    def tilts(self) -> int:
        return self.sizes.get('Z', 1) * self.sizes.get('T', 1)


def read_tiff(path: Path) -> list[ImageStack]:
    """The stack of a file, or one of each of its channels.

    ImageJ and OME say what the pages are; otherwise all are of one stack in their order.

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
        # Three images behind each other are called RGB by tifffile too; those of a picture lie pixel by pixel.
        if file.pages.first.samplesperpixel > 1 and int(file.pages.first.planarconfig) == 1:
            raise ColourPicture(
                f'{path.name} is a picture in colours, no map; leave it out, or open the maps it was made of.'
            )
        shape = file.series[0].shape
        data = _pixels(path, file, _whole_pages(path, file))
        if data.ndim == 2 and len(shape) > 2:
            # ImageJ writes large stacks behind a single page.
            data = file.series[0].asarray()
        tags = file.pages.first.tags
        pixels = {axis: tags.valueof(f'{axis}Resolution') for axis in 'YX'}
        unit_tag, imagej = tags.valueof('ResolutionUnit'), file.imagej_metadata or {}
        description = str(file.pages.first.description)
        ome = _OME_PIXELS.search(description)
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
    grouping = _ome_grouping(ome[0], description) if ome else _imagej_grouping(imagej)
    if grouping is None and len(shape) > 3 and shape[-2:] == data.shape[1:] and len(data) > max(shape[:-2]):
        raise InputError(
            f'{path.name} has the shape {shape}; a stack of maps has the axes (tilt, y, x): save one stack for each element.'
        )
    return _by_channel(ImageStack(path, data, size, {}), grouping)


def _pixels(path: Path, file: Any, pages: list[int]) -> np.ndarray:
    """The images of some pages; those that are compressed by LZW through Pillow where tifffile has no codec for it.

    Raises
    ------
    InputError
        Compressed in another way that needs a package.
    """
    compression = file.pages.first.compression
    if compression in _BUILT_IN or find_spec('imagecodecs') is not None:
        return np.asarray(file.asarray(key=pages))
    if compression == _LZW and file.pages.first.dtype in _OF_PILLOW:
        from PIL import Image

        with Image.open(path) as images:
            found = []
            for page in pages:
                images.seek(page)
                found.append(np.asarray(images))
        return np.squeeze(np.stack(found).astype(file.pages.first.dtype))
    name = getattr(compression, 'name', str(compression))
    raise InputError(
        f'{path.name} is compressed by {name}, which needs the package imagecodecs; install it (pip install imagecodecs), or '
        'save the file without compression.'
    )


def _whole_pages(path: Path, file: Any) -> list[int]:
    """The numbers of the pages that are no previews of others."""
    whole = [number for number in range(len(file.pages)) if not file.pages[number].is_reduced]
    whole = whole or list(range(len(file.pages)))
    shapes = {file.pages[number].shape for number in whole}
    if len(shapes) > 1:
        first, second = (' x '.join(map(str, reversed(shape[:2]))) for shape in sorted(shapes)[:2])
        raise InputError(
            f'{path.name} holds images of different sizes ({first} and {second} pixels); save those of the series alone.'
        )
    return whole


def _imagej_grouping(imagej: Mapping[str, Any]) -> _Grouping | None:
    sizes = {axis: imagej.get(name, 1) for axis, name in (('C', 'channels'), ('Z', 'slices'), ('T', 'frames'))}
    if not imagej or not all(isinstance(size, int) and size > 0 for size in sizes.values()):
        return None
    labels = imagej.get('Labels') or ()
    return _Grouping(sizes, 'CZT', tuple(str(label) for label in labels[: sizes['C']]))


def _ome_grouping(pixels: str, description: str) -> _Grouping | None:
    found = {axis: re.search(rf'\bSize{axis}="(\d{{1,6}})"', pixels) for axis in 'CZT'}
    order = re.search(r'\bDimensionOrder="XY([CZT]{3})"', pixels)
    if order is None or None in found.values():
        return None
    sizes = {axis: int(match[1]) for axis, match in found.items() if match is not None}
    return _Grouping(sizes, order[1], tuple(_OME_CHANNELS.findall(description)))


def _by_channel(stack: ImageStack, grouping: _Grouping | None) -> list[ImageStack]:
    """A stack for each channel, where the file has several; ImageJ calls the images of one stack channels too."""
    if grouping is None or grouping.channels == 1 or grouping.channels * grouping.tilts != len(stack.data):
        return [stack]
    name, channels = stack.path.name, grouping.channels
    if grouping.sizes['Z'] > 1 and grouping.sizes['T'] > 1:
        raise InputError(
            f'{name} has {grouping.sizes["Z"]} slices at each of {grouping.sizes["T"]} times; a stack of maps has the axes '
            '(tilt, y, x): save one stack for each element.'
        )
    labels = grouping.names if len(set(grouping.names)) == channels else ()
    found = [element_in(parts_of(re.sub(r'[^A-Za-z]+', ' ', label))) for label in labels]
    elements = bool(found) and None not in found and len(set(found)) == channels
    if grouping.tilts == 1 and not elements:
        doubt = Finding(
            'doubt',
            'layout of the file',
            f'{name} calls its {channels} images channels, and they were opened as tilts of one element; where each is another '
            'element, save one file for each.',
        )
        return [replace(stack, findings=(*stack.findings, doubt))]
    sizes = [grouping.sizes[axis] for axis in reversed(grouping.order)]
    split = stack.data.reshape(*sizes, *stack.data.shape[1:])
    split = np.moveaxis(split, 2 - grouping.order.index('C'), 0).reshape(
        channels, grouping.tilts, *stack.data.shape[1:]
    )
    called = [str(one) for one in found] if elements else list(labels) or [f'channel {i + 1}' for i in range(channels)]
    return [replace(stack, data=data, label=label) for data, label in zip(split, called, strict=True)]


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
        return length_in_nm(pixel, _ESCAPED.sub(lambda found: chr(int(found[1], 16)), unit))
    return length_in_nm(pixel, 'cm') if unit_tag == 3 else None


def _ome_pixel_size(pixels: str, axis: str) -> float | None:
    """OME's size of a pixel; without a unit it is micrometres."""
    size = re.search(rf'\bPhysicalSize{axis}="([0-9.eE+-]{{1,40}})"', pixels)
    unit = re.search(rf'\bPhysicalSize{axis}Unit="([^"]{{1,20}})"', pixels)
    with suppress(ValueError):
        return length_in_nm(float(size[1]), unit[1] if unit else 'um') if size else None
    return None
