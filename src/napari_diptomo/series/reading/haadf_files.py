"""A HAADF series from its files: images as recorded, with the evidence of their angles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from napari_diptomo.series.array_checks import check_positive
from napari_diptomo.series.data import MapSeries, SpectralTiltSeries
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.haadf import HAADFSeries, named
from napari_diptomo.series.haadf_of_series import KNOWN, with_haadf, with_own_haadf
from napari_diptomo.series.haadf_orientation import SWAPPING, Orientation, oriented
from napari_diptomo.series.haadf_pixels import usable_pixels
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.angles.tilt_range import range_beside_spectra
from napari_diptomo.series.reading.element_names import BRIGHT_FIELD, parts_of
from napari_diptomo.series.reading.file_selection import find_files
from napari_diptomo.series.reading.image_stack import ImageStack
from napari_diptomo.series.reading.map_stacks import (
    element_of,
    is_of_element,
    is_picture,
    read_stacks,
    stack_of,
    tilted_stacks,
)
from napari_diptomo.series.reading.signals import signals_among
from napari_diptomo.series.recipe import Source

Series = TypeVar('Series', bound=SpectralTiltSeries | MapSeries)
PathLike = str | os.PathLike[str]

TWO_HAADF = 'A HAADF series was given together with the images recorded with the spectra; choose one of them.'
#: Pixels of the images that one of the maps is wide, at least, after images that are much finer were binned.
_FINER = 2


def load_haadf_series(
    paths: PathLike | Sequence[PathLike] | Any,
    angles: Sequence[float] | PathLike | None = None,
    *,
    angle_offset: float = 0.0,
    pixel_size: float | None = None,
    tilt_axis: Literal['y', 'x'] = 'y',
    orientation: Orientation = 'as recorded',
) -> HAADFSeries:
    """Open a HAADF series that is to be fitted beside the maps of a spectral tilt series.

    Parameters
    ----------
    paths : path, HyperSpy signal, or sequence of them
        One stack (tilt, y, x), one image per tilt, or their folder, in any format that `load_tilt_series` reads; of several
        detectors the one called HAADF. Maps of several elements are refused; images named after one are taken, with a note.
    angles : sequence of float or path, optional
        Degrees in the order of the files, or a table of them. Without it they are taken from tables, metadata and names, as
        for a tilt series.
    angle_offset : float
        Degrees, added to all angles: of a holder whose angles are not counted from the untilted specimen, as for the spectra.
    pixel_size : float, optional
        nm; without it as the files are calibrated.
    tilt_axis : {'y', 'x'}
        Direction of the tilt axis in the images; along x they are transposed.
    orientation : {'as recorded', 'reverse x', 'reverse y', 'turn by 180', 'turn left', 'turn right', 'swap x and y', \
'swap and turn by 180'}
        What is done to the images, after ``tilt_axis``, so that they lie as the spectra do: displayed with x to the right and y
        downwards, left is by 90° anticlockwise and right by 90° clockwise.

    Returns
    -------
    HAADFSeries
        Sorted by angle, intensities as recorded: the fit learns the dark level. Pixels that are no numbers, or show nothing of
        the specimen, are missing, and images without contents left out; see `napari_diptomo.series.haadf_pixels`.

    Raises
    ------
    InputError
        One sentence on what is missing, damaged or contradictory.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> from napari_diptomo import load_haadf_series
    >>> tifffile.imwrite('HAADF.tif', np.random.default_rng(0).random((3, 8, 8), np.float32))
    >>> load_haadf_series('HAADF.tif', angles=[60, 0, -60], pixel_size=0.5).angles
    array([-60.,   0.,  60.])
    """
    signals = signals_among(paths)
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if pixel_size is not None:
        check_positive('pixel size of the HAADF series', pixel_size)
    source = Source(
        paths=() if signals else tuple(str(Path(path).absolute()) for path in listed),
        angles=angles_given(angles, 'the HAADF series'),
        angle_offset=angle_offset,
        pixel_size=pixel_size,
        tilt_axis=tilt_axis,
        haadf_orientation=orientation,
    )
    return _read(source, signals)


def with_haadf_of(series: Series, source: Source) -> Series:
    """A tilt series with the HAADF series that its source names, if it names one.

    Parameters
    ----------
    series : SpectralTiltSeries or MapSeries
        As opened.
    source : Source
        Where it comes from. Its angle offset is one of the holder: it is added to the angles of these images too.

    Raises
    ------
    InputError
        See `load_haadf_series`; or files are named as well as the images of the spectra themselves.
    """
    if source.own_haadf and source.haadf:
        raise InputError(TWO_HAADF)
    if source.own_haadf:
        return with_own_haadf(series)
    if not source.haadf:
        return series
    own = Source(
        paths=source.haadf,
        angles=source.haadf_angles,
        angle_offset=source.angle_offset,
        pixel_size=source.haadf_pixel_size,
        tilt_axis='x' if series.transposed else 'y',
        haadf_orientation=source.haadf_orientation,
    )
    unbinned = series.pixel_size / source.binning
    pixels = series.data.shape[2:] if isinstance(series, MapSeries) else series.counts.shape[1:3]
    return with_haadf(series, _no_finer(_read(own, (), (unbinned, pixels, source.binning)), series.pixel_size))


def angles_given(
    angles: Sequence[float] | PathLike | None, of: str = 'the tilt series'
) -> tuple[float, ...] | str | None:
    """Angles as a `Source` takes them: numbers, or the absolute path of a table; ``of`` names the series in an error."""
    if angles is None:
        return None
    if isinstance(angles, str | os.PathLike):
        return str(Path(angles).absolute())
    try:
        return tuple(float(angle) for angle in angles)
    except (TypeError, ValueError):
        raise InputError(
            f'The angles of {of} hold something that is no number; give degrees, one for every image.'
        ) from None


def _read(
    source: Source, signals: Sequence[Any] = (), spectra: tuple[float, Sequence[int], int] | None = None
) -> HAADFSeries:
    """The images of a source; with pixel size, pixels and binning of the spectra those of images that do not say theirs."""
    try:
        return _series(source, signals, spectra)
    except InputError as error:
        # A contradiction of the angles is one of these images: the columns of the dock show those of the spectra.
        raise InputError(named(str(error))) from error


def _series(source: Source, signals: Sequence[Any], spectra: tuple[float, Sequence[int], int] | None) -> HAADFSeries:
    no_tables: tuple[Path, ...] = ()
    if signals:
        described = [hyperspy_adapter.describe(one, f'signal {n}') for n, one in enumerate(signals, start=1)]
        wrong = [one for one in described if one.spectral or len(one.shape) not in (2, 3)]
        if wrong:
            raise InputError(f'the signal "{wrong[0].path.name}" holds no images; give a stack (tilt | x, y).')
        read, tables = [stack_of(one) for one in described], no_tables
    else:
        files = find_files(source.paths)
        read, tables = [stack for path in files.data for stack in read_stacks(path)], files.tables
    pictures, doubts = _pictures(read)
    found = tilted_stacks(pictures, tables, source)
    stack, order = found.stacks[0], found.order
    images = stack.data[order]
    pixel_size, assumed = _pixel_size(stack, source, spectra)
    missing = ~np.isfinite(images)
    if source.tilt_axis == 'x':
        images, missing = images.swapaxes(1, 2), missing.swapaxes(1, 2)
    images, missing = (oriented(stack, source.haadf_orientation) for stack in (images, missing))
    of_angles = [range_beside_spectra(one, source.angle_offset) for one in found.angles.findings]
    noticed = [*doubts, *of_angles, *stack.findings, *assumed]
    if any(part.casefold() in BRIGHT_FIELD for part in (*parts_of(stack.path.stem), *parts_of(stack.label))):
        noticed.append(
            Finding(
                'doubt',
                'HAADF series',
                f'{stack.path.name} is called bright field, which is darkest where the specimen is thickest: it will be left '
                'out of the fit. Give a dark-field series.',
            )
        )
    recorded = HAADFSeries(
        np.ascontiguousarray(images),
        found.angles.angles[order],
        pixel_size,
        missing=np.ascontiguousarray(missing) if missing.any() else None,
        angle_source=found.angles.source,
        findings=tuple(replace(one, sentence=named(one.sentence), remedy=None) for one in noticed),
        evidence=found.angles.evidence_in(order),
    )
    series, of_pixels = usable_pixels(recorded)
    return replace(series, findings=(*series.findings, *of_pixels))


def _pictures(read: Sequence[ImageStack]) -> tuple[list[ImageStack], list[Finding]]:
    """The images of one detector, and doubts: of those named after one the HAADF, else all that are no maps of elements."""
    named = [stack for stack in read if is_picture(stack.path.stem) or is_picture(stack.label)]
    haadf = [stack for stack in named if 'haadf' in f'{stack.path.stem} {stack.label}'.casefold()]
    left = haadf or named or [stack for stack in read if not is_of_element(stack)]
    doubts = []
    if not left:
        elements = {element_of(stack) for stack in read}
        if len(elements) > 1:
            raise InputError(
                f'{read[0].path.name} holds maps of elements, no images; give the images of an annular dark-field detector.'
            )
        # Specimens are named after elements too.
        left = list(read)
        sentence = (
            f'{read[0].path.name} is named as a map of {elements.pop()} would be, and was taken as images of a detector; if it '
            'is that map, give other images.'
        )
        doubts.append(Finding('note', 'HAADF series', sentence))
    several = [stack for stack in left if len(stack.data) > 1]
    if len(several) > 1:
        names = ', '.join(stack.path.name for stack in several[:3])
        raise InputError(f'there are {len(several)} stacks of images ({names}); give one.')
    return several or left, doubts


def _pixel_size(
    stack: ImageStack, source: Source, spectra: tuple[float, Sequence[int], int] | None
) -> tuple[float, list[Finding]]:
    """In nm; images of as many pixels as the spectra have that do not say it are taken to have theirs."""
    known = source.pixel_size or stack.pixel_size
    if known is not None:
        return known, []
    swapped = (source.tilt_axis == 'x') != (source.haadf_orientation in SWAPPING)
    shape = stack.data.shape[:0:-1] if swapped else stack.data.shape[1:]
    if spectra is None or tuple(size // spectra[2] for size in shape) != tuple(spectra[1]):
        raise InputError(f'{stack.path.name} has no pixel size in a unit of length; give the pixel size in nm.')
    sentence = (
        f'{stack.path.name} does not say its pixel size; its images have as many pixels as the spectra, so theirs was taken, '
        f'{spectra[0]:.4g} nm.'
    )
    return spectra[0], [Finding('note', 'HAADF series', sentence, {'pixel size, nm': spectra[0]})]


def _no_finer(haadf: HAADFSeries, pixel_size: float) -> HAADFSeries:
    """Images binned about their middle to pixels of at least a part of those of the spectra: finer ones only cost memory."""
    n = int(pixel_size / (_FINER * haadf.pixel_size) + 1e-6)
    if n < 2:
        return haadf
    tilts, ny, nx = haadf.images.shape
    y, x = ny // n, nx // n
    if y == 0 or x == 0:
        return haadf
    y0, x0 = (ny - y * n) // 2, (nx - x * n) // 2

    def blocks(stack: np.ndarray) -> np.ndarray:
        return stack[:, y0 : y0 + y * n, x0 : x0 + x * n].reshape(tilts, y, n, x, n)

    missing = None
    if haadf.missing is None:
        images = blocks(haadf.images).mean(axis=(2, 4), dtype=np.float64)
    else:
        # One hot pixel is no reason to lose a block.
        there = blocks(~haadf.missing)
        known = there.mean(axis=(2, 4))
        images = blocks(haadf.images).mean(axis=(2, 4), dtype=np.float64, where=there)
        missing = known <= KNOWN
        images[missing] = 0
    assert haadf.shifts is not None, 'it has them'
    return replace(haadf, images=images, missing=missing, pixel_size=haadf.pixel_size * n, shifts=haadf.shifts / n)
