"""Spectrum images in files to a lazy `SpectralTiltSeries`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.data import SpectralTiltSeries
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.angles.comparison import agree
from napari_diptomo.series.reading.angles.evidence import FoundAngles
from napari_diptomo.series.reading.angles.metadata import metadata_angle
from napari_diptomo.series.reading.common_energy import CommonEnergy, common_energy
from napari_diptomo.series.reading.one_tilt import angles_of, findings_of_one
from napari_diptomo.series.reading.stored_axes import (
    axis_angles,
    holds_zero_loss,
    is_eels,
    pixel_size_of,
    stored_angles,
    tilt_axis_of,
)
from napari_diptomo.series.reading.stored_signal import StoredSignal, beside, doubts_of
from napari_diptomo.series.recipe import Recipe, Source
from napari_diptomo.series.tilts import check_unused

Signals = tuple[StoredSignal, ...]


@dataclass(frozen=True, eq=False)
class OpenedSpectra:
    """A series, and what its tilts are in the files.

    Attributes
    ----------
    series : SpectralTiltSeries
        Sorted by angle.
    tilts : tuple of StoredSignal
        The spectrum image of every tilt, sorted by angle; of a stack the one signal.
    beside : tuple of tuple of StoredSignal
        All signals of the files of `tilts`.
    order : ndarray (tilt,)
        Where each tilt comes among the files, or in the stack.
    pictures : tuple of StoredSignal
        The images that were read with them.
    """

    series: SpectralTiltSeries
    tilts: tuple[StoredSignal, ...]
    beside: tuple[Signals, ...]
    order: np.ndarray
    pictures: tuple[StoredSignal, ...] = ()


def spectra_in(signals: Signals, *, eels: bool = False) -> StoredSignal | None:
    """The spectrum image of a file: the spectral signal with the most axes, at least (y, x, energy).

    Among equals X-rays come first: a microscope that records both writes EELS and EDX into one file. With ``eels``
    the energy losses come first. Of two ranges of energy loss it is the one with the zero loss.
    """
    found = [signal for signal in signals if signal.spectral and len(signal.shape) >= 3]
    return max(found, key=lambda s: (len(s.shape), is_eels(s) == eels, holds_zero_loss(s)), default=None)


def series_of_files(
    files: Sequence[Path], opened: Sequence[Signals], tables: Sequence[Path], source: Source
) -> OpenedSpectra:
    """One file per tilt; files of tilts out of use may hold anything, or be damaged (an empty tuple in ``opened``)."""
    used = [number for number in range(len(files)) if number not in source.unused]
    spectra = {number: _required(files[number], opened[number], source) for number in used}
    for signal in spectra.values():
        if len(signal.shape) != 3:
            raise InputError(f'{signal.path.name} is a whole stack among single tilts; open it alone.')
    check_alike(list(spectra.values()))
    found = _angles_of_files(files, opened, used, tables, source)
    order = np.array(used)[np.argsort(found.angles[used], kind='stable')]
    chosen, others = [spectra[i] for i in order], [opened[i] for i in order]
    pictures = [picture_with(signals, one.shape[:2]) for signals, one in zip(others, chosen, strict=True)]
    images = [image for image in pictures if image is not None]
    haadf = None
    if len(images) == len(chosen):
        haadf = np.stack([_prepare_image(hyperspy_adapter.read(image), source) for image in images])
    common = common_energy(chosen)
    counts = lazy_counts([(one, None, 0) for one in chosen], chosen[0].shape[:2], source, common.channels)
    series = _series(counts, found, order, haadf, chosen, source, common)
    return OpenedSpectra(series, tuple(chosen), tuple(others), order, tuple(images) if haadf is not None else ())


def _angles_of_files(
    files: Sequence[Path], opened: Sequence[Signals], used: Sequence[int], tables: Sequence[Path], source: Source
) -> FoundAngles:
    """Angles in the order of the files; no number where a tilt out of use has none."""
    spectra = [spectra_in(signals, eels=bool(source.core_loss)) for signals in opened]
    recorded = [None if signal is None else metadata_angle(signal.metadata) for signal in spectra]
    metadata = [None if angle is None else float(angle[0]) for angle in recorded]
    known = list(range(len(files)))
    if None in spectra and all(metadata[number] is not None for number in used):
        # The others know theirs from their metadata: one that cannot be read must not cast doubt on all.
        known = [number for number in known if spectra[number] is not None]
    given = source.angles
    if isinstance(given, tuple) and len(given) == len(files):
        given = tuple(given[number] for number in known)
    found = angles_of(
        len(known),
        given=given,
        tables=tables,
        metadata=[metadata[number] for number in known],
        files=[files[number] for number in known],
        offset=source.angle_offset,
    )
    return found.among(len(files), known)


def series_of_stack(signal: StoredSignal, signals: Signals, tables: Sequence[Path], source: Source) -> OpenedSpectra:
    """One file with all tilts, axes (tilt, y, x, energy) or with the tilt named elsewhere."""
    if len(signal.shape) != 4:
        raise InputError(
            f'{signal.path.name} has {len(signal.shape)} axes; a stack of spectrum images has (tilt, y, x, energy).'
        )
    tilt = tilt_axis_of(signal, (0, 1, 2))
    count = signal.shape[tilt]
    check_unused(source.unused, count)
    found = angles_of(
        count,
        given=source.angles,
        tables=tables,
        stored=stored_angles(signal, tilt),
        stacks=[signal.path],
        noun='tilts of the stack',
        offset=source.angle_offset,
    )
    order = np.argsort(found.angles, kind='stable')
    image_shape = tuple(size for axis, size in enumerate(signal.shape[:3]) if axis != tilt)
    counts = lazy_counts([(signal, int(i), tilt) for i in order], image_shape, source)
    haadf = None
    image = picture_with(signals, (count, *image_shape))
    if image is not None and _of_the_same_tilts(image, signal, tilt):
        stack = hyperspy_adapter.read(image)
        haadf = np.stack([_prepare_image(stack[i], source) for i in order])
    series = _series(counts, found, order, haadf, [signal], source, common_energy([signal]), skip=tilt)
    return OpenedSpectra(
        series, (signal,), (signals,), order, (image,) if image is not None and haadf is not None else ()
    )


def _of_the_same_tilts(image: StoredSignal, spectra: StoredSignal, tilt: int) -> bool:
    """Whether images beside a stack of spectra are not said to be of other tilts, or in another order."""
    of_images = np.array(axis_angles(image, 0), float)
    return agree(of_images, np.array(axis_angles(spectra, tilt), float))


def noticed(opened: OpenedSpectra, also: Sequence[StoredSignal] = ()) -> tuple[Finding, ...]:
    """Findings on what the files leave open, and on what they hold beside the signals used and those in ``also``."""
    used = [*opened.tilts, *opened.pictures, *also]
    # Files of one series hold alike: the first that holds more speaks for all.
    left = (beside(tilt.path, signals, used) for tilt, signals in zip(opened.tilts, opened.beside, strict=True))
    return (*doubts_of(opened.tilts), *next((found for found in left if found), ()))


def prepare_counts(image: np.ndarray, binning: int, swap: bool) -> np.ndarray:
    """Swap y and x where asked, then sum ``binning`` x ``binning`` pixels; a remainder is cropped.

    Whole counts stay whole: the sum is kept in the smallest unsigned type that
    holds it, whatever the counts.
    """
    if swap:
        image = image.swapaxes(0, 1)
    if binning == 1:
        return np.ascontiguousarray(image)
    return _blocks(image, binning).sum(axis=(1, 3), dtype=binned_dtype(image.dtype, binning))


def binned_dtype(dtype: np.dtype, binning: int) -> np.dtype:
    """A type in which the sum of ``binning`` x ``binning`` values cannot overflow."""
    # Sums take the byte order of the machine only.
    dtype = np.dtype(dtype).newbyteorder('=')
    if dtype.kind not in 'ui' or binning == 1:
        return dtype
    largest = int(np.iinfo(dtype).max) * binning**2
    kinds = (np.uint16, np.uint32, np.uint64) if dtype.kind == 'u' else (np.int32, np.int64)
    return np.dtype(next((kind for kind in kinds if np.iinfo(kind).max >= largest), kinds[-1]))


def _prepare_image(image: np.ndarray, source: Source) -> np.ndarray:
    image = image.astype(np.float32)
    if source.tilt_axis == 'x':
        image = image.T
    return _blocks(image, source.binning).mean(axis=(1, 3)) if source.binning > 1 else image


def _blocks(image: np.ndarray, n: int) -> np.ndarray:
    y, x = image.shape[0] // n, image.shape[1] // n
    return image[: y * n, : x * n].reshape(y, n, x, n, *image.shape[2:])


def lazy_counts(
    tilts: Sequence[tuple[StoredSignal, int | None, int]],
    shape: tuple[int, ...],
    source: Source,
    channels: Sequence[slice] = (),
) -> Any:
    """Counts (tilt, y, x, energy) of images (y, x) in files.

    For each image its signal, its position and axis in a stack, and the channels that are kept, all where none are
    given.
    """
    import dask
    import dask.array as da

    swap = source.tilt_axis == 'x'
    y, x = (size // source.binning for size in (shape[::-1] if swap else shape))
    if y == 0 or x == 0:
        raise InputError(f'Images of {shape[1]} x {shape[0]} pixels cannot be binned by {source.binning}; choose less.')

    first = tilts[0][0]
    # The Bruker reader takes the smallest type for each file.
    dtype = binned_dtype(np.result_type(*(tilt[0].dtype for tilt in tilts)), source.binning)
    # Each tilt is one chunk: it is read when it is needed and forgotten after.
    channels = channels or (slice(None),) * len(tilts)
    size = len(range(first.shape[-1])[channels[0]])
    loads = [
        partial(_read_tilt, *tilt, kept, source.binning, swap, dtype)
        for tilt, kept in zip(tilts, channels, strict=True)
    ]
    blocks = [
        da.from_delayed(dask.delayed(load, pure=False, traverse=False)(), (y, x, size), dtype=dtype) for load in loads
    ]
    return da.stack(blocks)


def _read_tilt(
    signal: StoredSignal,
    position: int | None,
    axis: int,
    channels: slice,
    binning: int,
    swap: bool,
    dtype: np.dtype,
) -> np.ndarray:
    return prepare_counts(hyperspy_adapter.read(signal, position, axis)[..., channels], binning, swap).astype(
        dtype, copy=False
    )


def _series(
    counts: Any,
    found: FoundAngles,
    order: np.ndarray,
    haadf: np.ndarray | None,
    spectra: Sequence[StoredSignal],
    source: Source,
    common: CommonEnergy,
    skip: int | None = None,
) -> SpectralTiltSeries:
    y, x = [axis for axis in range(len(spectra[0].shape) - 1) if axis != skip]
    stored = pixel_size_of(spectra[0], y, x)
    pixel_size = source.pixel_size or stored
    if pixel_size is None:
        raise InputError(f'{spectra[0].path.name} has no pixel size in a unit of length; give the pixel size in nm.')
    return SpectralTiltSeries(
        counts=counts,
        energy=common.energy,
        angles=found.angles[order],
        pixel_size=pixel_size * source.binning,
        energy_unit=common.unit,
        haadf=haadf,
        metadata=instrument(spectra) | ({'beam_energy': source.beam_energy} if source.beam_energy else {}),
        angle_source=found.source,
        transposed=source.tilt_axis == 'x',
        recipe=Recipe(source),
        findings=(*found.findings, *findings_of_one(found.angles, found.source), *common.findings),
        evidence=found.evidence_in(order),
        positions=tuple(int(number) for number in order),
    )


def _required(path: Path, signals: Signals, source: Source) -> StoredSignal:
    spectrum = spectra_in(signals, eels=bool(source.core_loss))
    if spectrum is None:
        raise InputError(f'{path.name} holds no spectrum image; leave it out.')
    return spectrum


def check_alike(spectra: Sequence[StoredSignal]) -> None:
    """Refuse spectrum images of several files that differ in shape or pixel size."""
    first = spectra[0]
    size = pixel_size_of(first, 0, 1)
    for other in spectra[1:]:
        if other.shape[:2] != first.shape[:2]:
            raise InputError(
                f'{other.path.name} has the shape {other.shape} (y, x, energy) where {first.path.name} has '
                f'{first.shape}; leave it out or record it alike.'
            )
        its_size = pixel_size_of(other, 0, 1)
        if size is not None and its_size is not None and abs(its_size / size - 1) > 0.01:
            raise InputError(
                f'{other.path.name} has pixels of {its_size:.4g} nm where {first.path.name} has {size:.4g} nm; '
                'leave it out or resample it.'
            )


def picture_with(signals: Signals, shape: tuple[int, ...]) -> StoredSignal | None:
    """The picture recorded with the spectra, of one shape; the annular dark field where there are several."""
    images = [s for s in signals if not s.spectral and s.shape == shape]
    for name in ('haadf', 'adf', 'df'):
        for image in images:
            if name in image.title.casefold():
                return image
    return images[0] if images else None


def instrument(spectra: Sequence[StoredSignal]) -> dict[str, Any]:
    """Detector and beam as the file of the middle tilt has them, flat."""
    middle = spectra[len(spectra) // 2].metadata
    tree = middle.get('Acquisition_instrument', {})
    microscope = tree.get('TEM') or tree.get('SEM') or {}
    detectors = microscope.get('Detector', {})
    eds, eels = detectors.get('EDS', {}), detectors.get('EELS', {})
    found = {
        'beam_energy': microscope.get('beam_energy'),
        'microscope': microscope.get('microscope'),
        'detector': eds.get('detector_type') or eels.get('spectrometer'),
        'energy_resolution_MnKa': eds.get('energy_resolution_MnKa'),
        'elevation': eds.get('elevation_angle'),
        'azimuth': eds.get('azimuth_angle'),
        'live_time': eds.get('live_time'),
        'real_time': eds.get('real_time'),
        'frames': eds.get('number_of_frames'),
        'convergence_angle': microscope.get('convergence_angle'),
        'collection_angle': eels.get('collection_angle'),
        'elements': [str(element) for element in middle.get('Sample', {}).get('elements', ())] or None,
        'title': middle.get('General', {}).get('title') or None,
    }
    return {key: _plain(value) for key, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
