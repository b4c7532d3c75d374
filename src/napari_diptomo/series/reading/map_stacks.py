"""Ready maps, one stack (tilt, y, x) per element, to a `MapSeries`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.data import MapSeries
from napari_diptomo.series.detector_images import with_noise, without_dark_level
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.memory import check_fits
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.angles.evidence import find_angles
from napari_diptomo.series.reading.current_file import reads
from napari_diptomo.series.reading.inspection import check_unpacks
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.stored_axes import axis_angles, length_in_nm, pixel_size_of, tilt_axis_of
from napari_diptomo.series.recipe import Recipe, Source
from napari_diptomo.series.tilts import check_unused

_TIFF = {'.tif', '.tiff'}
#: Whole numbers from here on are the intensities of a detector, not X-rays counted in a pixel.
_MOST_COUNTS = 4096
_PICTURES = {'haadf', 'adf', 'maadf', 'laadf', 'df', 'abf', 'bf'}
_SYMBOLS = (
    'H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb '
    'Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au '
    'Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm'
)
_ELEMENTS = frozenset(_SYMBOLS.split())


@dataclass(frozen=True)
class _Stack:
    path: Path
    data: np.ndarray  # (tilt, y, x)
    pixel_size: float | None
    angles: tuple[float | None, ...]
    label: str  # the element as the metadata have it, '' where they do not


def maps_of_files(files: Sequence[Path], tables: Sequence[Path], source: Source) -> MapSeries:
    """One file per element, all of one shape; a file named HAADF becomes the images for the alignment.

    Without maps of elements the images themselves are the series: their dark level is subtracted.

    Raises
    ------
    InputError
        Not stacks, different shapes, NaN, no angles, no pixel size, no dark level to be found.
    """
    stacks = [_read_stack(path) for path in files]
    first = stacks[0]
    for stack in stacks[1:]:
        if stack.data.shape != first.data.shape:
            raise InputError(
                f'{stack.path.name} has the shape {stack.data.shape} (tilt, y, x) where {first.path.name} has '
                f'{first.data.shape}; bring the maps to one shape.'
            )
    count = len(first.data)
    if count < 2:
        raise InputError(f'{first.path.name} is one tilt only; a tilt series needs at least two.')
    check_unused(source.unused, count)
    found = find_angles(
        count, given=source.angles, tables=tables, metadata=first.angles, noun='images of each stack', repeats=True
    )
    pixel_size = source.pixel_size or first.pixel_size
    if pixel_size is None:
        raise InputError(f'{first.path.name} has no pixel size in a unit of length; give the pixel size in nm.')
    order = np.argsort(found.angles, kind='stable')
    # Out of use from the start: what is wrong with an image may be that it is none.
    order = order[~np.isin(order, source.unused)]
    _check_finite(stacks, order)
    names = _channel_names(stacks)
    channels = [i for i, name in enumerate(names) if name.casefold() not in _PICTURES]
    pictures = [i for i in range(len(names)) if i not in channels]
    images = not channels or _are_images([stacks[i] for i in channels], [names[i] for i in channels], order, source)
    if not channels:
        channels, pictures = pictures, []
    data = [stacks[i].data[order] for i in channels]
    levels = []
    if images:
        data, levels = zip(*(without_dark_level(stack, source.dark_level) for stack in data), strict=True)
    series = MapSeries(
        data=np.stack([_binned(stack, source, np.sum) for stack in data]),
        angles=found.angles[order],
        channels=tuple(names[i] for i in channels),
        pixel_size=pixel_size * source.binning,
        haadf=_binned(stacks[pictures[0]].data[order], source, np.mean) if pictures else None,
        transposed=source.tilt_axis == 'x',
        notes={'angle_source': found.source},
        recipe=Recipe(source),
        positions=tuple(int(number) for number in order),
    )
    if not images:
        return series
    binned = [None if found.dark is None else _binned(found.dark, source, np.min) for found in levels]
    return with_noise(series, [replace(found, dark=dark) for found, dark in zip(levels, binned, strict=True)])


def _are_images(stacks: Sequence[_Stack], names: Sequence[str], used: np.ndarray, source: Source) -> bool:
    """Whether stacks that are not named like images are: the user gives their dark level, or no counts look so."""
    if any(_element_in(re.split(r'[_\-\s.]+', name)) for name in names):
        if source.dark_level is not None:
            raise InputError(f'Maps of {names[0]} have no dark level; leave it empty.')
        return False
    data = [stack.data[used] for stack in stacks]
    whole = all((images == np.round(images)).all() for images in data)
    return source.dark_level is not None or (
        whole and any(images.min() < 0 or images.max() >= _MOST_COUNTS for images in data)
    )


def channel_names(stems: Sequence[str]) -> list[str]:
    """Element names from file names: what varies from name to name, else what is an element.

    ``GST_Ge_proj, GST_Te_proj`` gives ``Ge, Te``; ``Fe_stack`` alone gives ``Fe``.
    """
    rows = [[part for part in re.split(r'[_\-\s.]+', stem) if part] for stem in stems]
    if len({len(row) for row in rows}) == 1 and len(rows) > 1:
        varying = [i for i in range(len(rows[0])) if len({row[i] for row in rows}) > 1]
        if varying:
            return ['_'.join(row[i] for i in varying) for row in rows]
    return [_element_in(row) or stem for row, stem in zip(rows, stems, strict=True)]


def _channel_names(stacks: Sequence[_Stack]) -> list[str]:
    labels = [stack.label for stack in stacks]
    if all(labels) and len(set(labels)) == len(labels):
        return labels
    names = channel_names([stack.path.stem for stack in stacks])
    return names if len(set(names)) == len(names) else [stack.path.stem for stack in stacks]


def _element_in(parts: Sequence[str]) -> str | None:
    pictures = [part for part in parts if part.casefold() in _PICTURES]
    found = [part for part in parts if part in _ELEMENTS] or pictures
    return found[-1] if found else None


def _read_stack(path: Path) -> _Stack:
    return _read_tiff(path) if path.suffix.lower() in _TIFF else _read_signal(path)


def _check_finite(stacks: Sequence[_Stack], used: np.ndarray) -> None:
    for stack in stacks:
        if not np.isfinite(stack.data[used]).all():
            raise InputError(
                f'{stack.path.name} holds values that are not numbers (NaN or infinite); correct those images, or leave '
                'their tilts out.'
            )


def _read_signal(path: Path) -> _Stack:
    signals = [s for s in hyperspy_adapter.open_signals(path) if not s.spectral and len(s.shape) == 3]
    if not signals:
        raise InputError(f'{path.name} holds neither spectra nor a stack of maps with the axes (tilt, y, x).')
    signal = signals[0]
    tilt = tilt_axis_of(signal, (0, 1, 2))
    y, x = [axis for axis in range(3) if axis != tilt]
    return _Stack(
        path=path,
        data=np.moveaxis(hyperspy_adapter.read(signal), tilt, 0).astype(np.float32),
        pixel_size=pixel_size_of(signal, y, x),
        angles=tuple(axis_angles(signal, tilt)),
        label=_label(signal.metadata),
    )


def _label(metadata: dict[str, Any]) -> str:
    sample = metadata.get('Sample', {})
    for key in ('xray_lines', 'elements'):
        if len(sample.get(key, ())) == 1:
            return str(sample[key][0])
    title = str(metadata.get('General', {}).get('title', '') or '')
    return title if title in _ELEMENTS or title.casefold() in _PICTURES else ''


def _read_tiff(path: Path) -> _Stack:
    """All pages in their order, whatever the writer grouped them to."""
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
        resolution, unit_tag = tags.valueof('XResolution'), tags.valueof('ResolutionUnit')
        unit = (file.imagej_metadata or {}).get('unit')
    if data.dtype.kind not in 'buif':
        raise InputError(f'{path.name} holds {data.dtype} in place of plain numbers; save it anew as numbers.')
    if data.ndim == 2:
        raise InputError(f'{path.name} is one tilt only; maps are read from one stack (tilt, y, x) per element.')
    if data.ndim != 3:
        raise InputError(f'{path.name} has the shape {data.shape}; a stack of maps has the axes (tilt, y, x).')
    return _Stack(path, data.astype(np.float32), _tiff_pixel_size(resolution, unit_tag, unit), (None,) * len(data), '')


def _check_size(path: Path, file: Any) -> None:
    """Refuse what unpacks to more than a measurement, or than there is memory for it and for its copy as float32."""
    # By number: an iteration over the pages of a damaged file may not end.
    pages = [file.pages[number] for number in range(len(file.pages))]
    declared = max(sum(page.nbytes for page in pages), *(series.nbytes for series in file.series))
    check_unpacks(path.name, declared, path.stat().st_size)
    kind = file.pages.first.dtype
    copied = 4 / kind.itemsize if kind is not None else 0
    check_fits(int(declared * (1 + copied)), f'Reading {path.name}', 'close other programs, or bin the maps before')


def _tiff_pixel_size(resolution: Any, unit_tag: Any, unit: Any) -> float | None:
    """ImageJ's unit, else the resolution per centimetre; per inch is a screen's, not a microscope's."""
    if not isinstance(resolution, tuple) or len(resolution) != 2 or 0 in resolution:
        return None
    pixel = resolution[1] / resolution[0]
    if isinstance(unit, str) and unit:
        return length_in_nm(pixel, unit.replace('\\u00B5', '\N{MICRO SIGN}'))
    return length_in_nm(pixel, 'cm') if unit_tag == 3 else None


def _binned(stack: np.ndarray, source: Source, reduce: Any) -> np.ndarray:
    if source.tilt_axis == 'x':
        stack = stack.swapaxes(1, 2)
    n = source.binning
    y, x = stack.shape[1] // n, stack.shape[2] // n
    if y == 0 or x == 0:
        raise InputError(
            f'Maps of {stack.shape[2]} x {stack.shape[1]} pixels cannot be binned by {n}; choose a smaller binning.'
        )
    return reduce(stack[:, : y * n, : x * n].reshape(len(stack), y, n, x, n), axis=(2, 4))
