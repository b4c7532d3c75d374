"""Ready maps, one stack (tilt, y, x) per element, to a `MapSeries`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.data import MapSeries
from napari_diptomo.series.detector_images import with_noise, without_dark_level
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.angles.evidence import FoundAngles
from napari_diptomo.series.reading.angles.metadata import metadata_angle
from napari_diptomo.series.reading.element_names import BRIGHT_FIELD, ELEMENTS, PICTURES, element_in, parts_of
from napari_diptomo.series.reading.file_selection import IMAGES
from napari_diptomo.series.reading.image_stack import ImageStack
from napari_diptomo.series.reading.lost_pixels import as_numbers
from napari_diptomo.series.reading.one_tilt import angles_of, findings_of_one
from napari_diptomo.series.reading.stored_axes import (
    pixel_size_of,
    stored_angles,
    tilt_axis_of,
)
from napari_diptomo.series.reading.stored_signal import StoredSignal, beside, described, doubts_of
from napari_diptomo.series.reading.tiff_stacks import ColourPicture, read_tiff
from napari_diptomo.series.reading.tilts_in_files import SAME_SIZE, images_of_tilts
from napari_diptomo.series.recipe import Recipe, Source
from napari_diptomo.series.tilts import check_unused

_TIFF = {'.tif', '.tiff'}
_BRIGHT_FIELD = Finding(
    'doubt',
    'bright field',
    'Bright-field images are darkest where the specimen is thickest; alignment and reconstruction take what is bright as '
    'more matter. Use a dark-field detector, or convert them to absorbance (the negative logarithm) first.',
)
#: Whole numbers from here on are the intensities of a detector, not X-rays counted in a pixel.
_MOST_COUNTS = 4096


def maps_of_files(files: Sequence[Path], tables: Sequence[Path], source: Source) -> MapSeries:
    """One file per element, all of one shape; a file named HAADF becomes the images for the alignment.

    Without maps of elements the images themselves are the series: their dark level is subtracted.

    Raises
    ------
    InputError
        Not stacks, different shapes, NaN, no angles, no pixel size, no dark level to be found.
    """
    read: list[ImageStack] = []
    refused: list[ColourPicture] = []
    for path in files:
        try:
            read += read_stacks(path)
        except ColourPicture as error:
            refused.append(error)
    if refused and not any(map(is_of_element, read)):
        raise refused[0]
    read, unfit = _fitting(read)
    series = _maps_of_stacks(read, tables, source)
    passed = [path.name for path in files if path not in {stack.path for stack in read}]
    if not passed:
        return series
    note = Finding(
        'note',
        'files passed over',
        f'{", ".join(passed[:3])}{" and more" if len(passed) > 3 else ""} beside the maps{unfit} '
        f'{"was" if len(passed) == 1 else "were"} not opened.',
        {'files': float(len(passed))},
    )
    return replace(series, findings=(note, *series.findings))


def _fitting(read: list[ImageStack]) -> tuple[list[ImageStack], str]:
    """The maps of elements with the images of their shape, and in words the shape of others that are left out."""
    shapes = {stack.data.shape for stack in read if is_of_element(stack)}
    if len(shapes) != 1:
        return read, ''
    (shape,) = shapes
    unfit = [stack for stack in read if stack.data.shape != shape]
    if not unfit:
        return read, ''
    words = [' x '.join(map(str, one)) for one in (unfit[0].data.shape, shape)]
    return [
        stack for stack in read if stack.data.shape == shape
    ], f', of {words[0]} (tilt, y, x) where the maps have {words[1]},'


def is_of_element(stack: ImageStack) -> bool:
    """Whether a stack is the map of an element, by its label or its name."""
    return element_of(stack) is not None


def element_of(stack: ImageStack) -> str | None:
    """The element that a stack is the map of, by its label or its name; None where it is of none."""
    named = stack.label if stack.label in ELEMENTS else element_in(parts_of(stack.path.stem))
    return named if named in ELEMENTS else None


def maps_of_signals(signals: Sequence[StoredSignal], source: Source) -> MapSeries:
    """As `maps_of_files`, of one signal (tilt, y, x) or (y, x) per element."""
    return _maps_of_stacks([stack_of(signal) for signal in signals], (), source)


@dataclass(frozen=True, eq=False)
class TiltedStacks:
    """Stacks of images, all of one shape, with the angles of their tilts.

    Attributes
    ----------
    stacks : tuple of ImageStack
    angles : FoundAngles
        Of all tilts, in the order of the stacks.
    order : ndarray of int
        The tilts in use by ascending angle.
    """

    stacks: tuple[ImageStack, ...]
    angles: FoundAngles
    order: np.ndarray


def tilted_stacks(read: Sequence[ImageStack], tables: Sequence[Path], source: Source) -> TiltedStacks:
    """Stacks as read, put together where each file is of one tilt, with the angles that their sources agree on.

    Raises
    ------
    InputError
        Different shapes, something that looks like a volume, no angles.
    """
    found_in = images_of_tilts(read, tables)
    stacks, tables, files = found_in.stacks, found_in.tables, found_in.files
    first = stacks[0]
    for stack in stacks[1:]:
        if stack.data.shape != first.data.shape:
            raise InputError(
                f'{stack.path.name} has the shape {stack.data.shape} (tilt, y, x) where {first.path.name} has '
                f'{first.data.shape}; bring the maps to one shape.'
            )
    count = len(first.data)
    check_unused(source.unused, count)
    if count > 1 and not files:
        _check_not_volume(first, tables, source)
    found = angles_of(
        count,
        given=source.angles,
        tables=tables,
        stored=_angles_of(stacks),
        files=files,
        stacks=[] if files else [stack.path for stack in stacks],
        noun='files' if files else f'images of {first.path.name}',
        offset=source.angle_offset,
    )
    order = np.argsort(found.angles, kind='stable')
    # Out of use from the start: what is wrong with an image may be that it is none.
    return TiltedStacks(stacks, found, order[~np.isin(order, source.unused)])


def _maps_of_stacks(read: Sequence[ImageStack], tables: Sequence[Path], source: Source) -> MapSeries:
    tilted = tilted_stacks(read, tables, source)
    stacks, found, order = tilted.stacks, tilted.angles, tilted.order
    first = stacks[0]
    pixel_size = source.pixel_size or _pixel_size(stacks)
    if pixel_size is None:
        raise InputError(f'{first.path.name} has no pixel size in a unit of length; give the pixel size in nm.')
    names = _channel_names(stacks)
    channels = [i for i, name in enumerate(names) if not is_picture(name)]
    pictures = [i for i in range(len(names)) if i not in channels]
    # Pictures beside maps have no pixels that are marked as missing.
    numbers = as_numbers(stacks, order, pictures if channels else ())
    stacks = numbers.stacks
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
        missing=_missing([numbers.lost[i] for i in channels], order, source),
        notes={'angle_source': found.source},
        recipe=Recipe(source),
        findings=(
            *found.findings,
            *findings_of_one(found.angles, found.source),
            *_unique(finding for stack in stacks for finding in stack.findings),
            *([_BRIGHT_FIELD] if any(names[i].casefold() in BRIGHT_FIELD for i in channels) else []),
            *numbers.finding(names),
        ),
        evidence=found.evidence_in(order),
        positions=tuple(int(number) for number in order),
    )
    if not images:
        return series
    binned = [None if found.dark is None else _binned(found.dark, source, np.min) for found in levels]
    return with_noise(series, [replace(found, dark=dark) for found, dark in zip(levels, binned, strict=True)])


def _pixel_size(stacks: Sequence[ImageStack]) -> float | None:
    """In nm, of the stacks that say it; None where none does.

    Raises
    ------
    InputError
        They were recorded at different magnifications.
    """
    known = [(stack.path.name, stack.pixel_size) for stack in stacks if stack.pixel_size is not None]
    for name, size in known[1:]:
        if abs(size / known[0][1] - 1) > SAME_SIZE:
            raise InputError(
                f'The pixels of {name} are {size:.4g} nm, those of {known[0][0]} {known[0][1]:.4g} nm, with as many pixels in '
                'both; bring the maps to one magnification, or, if a calibration is wrong, give the pixel size in nm.'
            )
    return known[0][1] if known else None


def _check_not_volume(stack: ImageStack, tables: Sequence[Path], source: Source) -> None:
    """Refuse what no angle speaks for and what looks like a volume, as one."""
    count, y, x = stack.data.shape
    if source.angles is not None or tables or stack.angles:
        return
    if stack.path.suffix.lower() == '.rec' or count in (y, x):
        raise InputError(
            f'{stack.path.name} has {count} x {y} x {x} values and no tilt angles, like a 3-D volume; if it is a tilt '
            'series, give its angles or put a table angles.csv next to it, else open it as an image in napari.'
        )


def _unique(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    kept: list[Finding] = []
    for finding in findings:
        if finding not in kept:
            kept.append(finding)
    return tuple(kept)


def is_picture(name: str) -> bool:
    """Whether a name has the word of a detector of electrons in it, whatever element stands beside it."""
    return any(part.casefold() in PICTURES for part in parts_of(name))


def _angles_of(stacks: Sequence[ImageStack]) -> dict[str, list[float | None]]:
    """Angles stored in the stacks; those of one after the other where they are several."""
    if len(stacks) == 1:
        return stacks[0].angles
    # Several stacks may be in one file.
    files = [stack.path for stack in stacks]
    names = [
        f'{stack.label} in {stack.path.name}' if files.count(stack.path) > 1 else stack.path.name for stack in stacks
    ]
    return {
        f'{words} of {name}': found
        for stack, name in zip(stacks, names, strict=True)
        for words, found in stack.angles.items()
    }


def _are_images(stacks: Sequence[ImageStack], names: Sequence[str], used: np.ndarray, source: Source) -> bool:
    """Whether stacks that are not named like images are: the user gives their dark level, or no counts look so."""
    if any(element_in(parts_of(name)) in ELEMENTS for name in names):
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
    rows = [parts_of(stem) for stem in stems]
    if len({len(row) for row in rows}) == 1 and len(rows) > 1:
        varying = [i for i in range(len(rows[0])) if len({row[i] for row in rows}) > 1]
        if varying:
            return ['_'.join(row[i] for i in varying) for row in rows]
    # A word that all names have distinguishes none.
    common = set.intersection(*(set(row) for row in rows)) if len(rows) > 1 else set()
    rows = [[part for part in row if part not in common] or row for row in rows]
    return [element_in(row) or stem for row, stem in zip(rows, stems, strict=True)]


def _as_symbols(names: Sequence[str]) -> list[str]:
    """Names of several maps that are symbols of elements but for their capitals, with these: GE and te are Ge and Te."""
    maps = [name for name in names if not is_picture(name)]
    if len(maps) < 2 or not all(name.capitalize() in ELEMENTS for name in maps):
        return list(names)
    return [name if is_picture(name) else name.capitalize() for name in names]


def _channel_names(stacks: Sequence[ImageStack]) -> list[str]:
    stems = [stack.path.stem for stack in stacks]
    names = _as_symbols(channel_names(stems))
    # The elements of a specimen stand in the metadata of its pictures too.
    several = len(set(stems)) < len(stems)
    labels = [
        stack.label if several or not is_picture(name) else name for name, stack in zip(names, stacks, strict=True)
    ]
    if all(labels) and len(set(labels)) == len(labels):
        return labels
    for one in (names, stems, channel_names([stack.path.parent.name for stack in stacks])):
        if len(set(one)) == len(one):
            return one
    return stems


def read_stacks(path: Path) -> list[ImageStack]:
    """The stacks of images in a file, or its one image as a stack of one."""
    return read_tiff(path) if path.suffix.lower() in _TIFF else _read_signals(path)


def _read_signals(path: Path) -> list[ImageStack]:
    """The maps of a file: all that are named after elements, with a picture of their shape; else one stack."""
    every = hyperspy_adapter.open_signals(path)
    maps = [signal for signal in every if is_map(signal)]
    if not maps:
        raise InputError(
            f'{path.name} holds {described(every)}; a tilt series of maps is a stack with the axes (tilt, y, x).'
        )
    most = max(len(signal.shape) for signal in maps)
    chosen = _maps_among([signal for signal in maps if len(signal.shape) == most])
    noticed = (*doubts_of(chosen), *beside(path, every, chosen))
    stacks = [replace(stack_of(signal), findings=noticed) for signal in chosen]
    if len(chosen) == 1:
        return stacks
    return [replace(stack, label=signal.title) for stack, signal in zip(stacks, chosen, strict=True)]


def stack_of(signal: StoredSignal) -> ImageStack:
    """A signal (tilt, y, x), or (y, x) of one tilt."""
    label = _label(signal.metadata)
    if len(signal.shape) == 2:
        return ImageStack(
            path=signal.path,
            data=hyperspy_adapter.read(signal, finite=False)[None].astype(np.float32),
            pixel_size=pixel_size_of(signal, 0, 1),
            angles=_angle_of_image(signal),
            label=label,
        )
    tilt = tilt_axis_of(signal, (0, 1, 2))
    y, x = [axis for axis in range(3) if axis != tilt]
    return ImageStack(
        path=signal.path,
        data=np.moveaxis(hyperspy_adapter.read(signal, finite=False), tilt, 0).astype(np.float32),
        pixel_size=pixel_size_of(signal, y, x),
        angles=stored_angles(signal, tilt),
        label=label,
    )


def _angle_of_image(signal: StoredSignal) -> dict[str, list[float | None]]:
    angle = metadata_tilt(signal)
    return {} if angle is None else {'the metadata of the image': [angle]}


def _maps_among(signals: Sequence[StoredSignal]) -> list[StoredSignal]:
    named = [(signal, element_in(parts_of(signal.title))) for signal in signals]
    maps = [signal for signal, name in named if name in ELEMENTS]
    pictures = [signal for signal, name in named if name is not None and name not in ELEMENTS]
    pictures.sort(key=lambda signal: 'haadf' not in signal.title.casefold())
    if not maps:
        return [*pictures, *signals][:1]
    alike = [signal for signal in maps if signal.shape == maps[0].shape]
    beside_them = [signal for signal in pictures if signal.shape == maps[0].shape][:1]
    chosen = [*alike, *beside_them]
    return chosen if len({signal.title for signal in chosen}) == len(chosen) else chosen[:1]


def is_map(signal: StoredSignal) -> bool:
    """Whether a signal is a stack of maps, or the map of one tilt: an image by itself, or of an element."""
    if signal.spectral or len(signal.shape) not in (2, 3):
        return False
    return (
        len(signal.shape) == 3
        or signal.path.suffix.lower() in IMAGES
        or is_picture(signal.title)
        or element_in(parts_of(signal.path.stem)) is not None
        or bool(_label(signal.metadata))
    )


def metadata_tilt(signal: StoredSignal) -> float | None:
    """The one tilt that the metadata of a signal give."""
    found = metadata_angle(signal.metadata)
    return float(found[0]) if found is not None and found.size == 1 else None


def _label(metadata: dict[str, Any]) -> str:
    sample = metadata.get('Sample', {})
    title = str(metadata.get('General', {}).get('title', '') or '')
    if is_picture(title):
        return element_in(parts_of(title)) or title
    for key in ('xray_lines', 'elements'):
        if len(sample.get(key, ())) == 1:
            return str(sample[key][0])
    return title if title in ELEMENTS else ''


def _missing(lost: Sequence[np.ndarray | None], order: np.ndarray, source: Source) -> np.ndarray | None:
    """Pixels (channel, tilt, y, x) that any lost one is part of; None without any."""
    known = next((one for one in lost if one is not None), None)
    if known is None:
        return None
    nothing = np.zeros_like(known)
    return np.stack([_binned((nothing if one is None else one)[order], source, np.any) for one in lost])


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
