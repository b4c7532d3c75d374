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
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.angles.evidence import find_angles
from napari_diptomo.series.reading.angles.metadata import metadata_angle
from napari_diptomo.series.reading.hyperspy_adapter import StoredSignal
from napari_diptomo.series.reading.stored_axes import (
    axis_angles,
    energy_axis,
    holds_zero_loss,
    is_eels,
    pixel_size_of,
    tilt_axis_of,
)
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
    """

    series: SpectralTiltSeries
    tilts: tuple[StoredSignal, ...]
    beside: tuple[Signals, ...]
    order: np.ndarray


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
    angles, words = _angles_of_files(files, opened, used, tables, source)
    order = np.array(used)[np.argsort(angles[used], kind='stable')]
    images = [_image_with(opened[i], spectra[i]) for i in order]
    haadf = None
    if all(image is not None for image in images):
        haadf = np.stack(
            [_prepare_image(hyperspy_adapter.read(image), source) for image in images if image is not None]
        )
    chosen, beside = [spectra[i] for i in order], [opened[i] for i in order]
    counts = lazy_counts([(spectrum, None, 0) for spectrum in chosen], chosen[0].shape[:2], source)
    series = _series(counts, angles, order, words, haadf, chosen, source)
    return OpenedSpectra(series, tuple(chosen), tuple(beside), order)


def _angles_of_files(
    files: Sequence[Path], opened: Sequence[Signals], used: Sequence[int], tables: Sequence[Path], source: Source
) -> tuple[np.ndarray, str]:
    """Angles in the order of the files, and where they are from; no number where a tilt out of use has none."""
    spectra = [spectra_in(signals, eels=bool(source.core_loss)) for signals in opened]
    recorded = [None if signal is None else metadata_angle(signal.metadata) for signal in spectra]
    metadata = [None if angle is None else float(angle[0]) for angle in recorded]
    known, angles = list(range(len(files))), np.full(len(files), np.nan)
    if None in spectra and all(metadata[number] is not None for number in used):
        # The others know theirs from their metadata: one that cannot be read must not cast doubt on all.
        known = [number for number in known if spectra[number] is not None]
    given = source.angles
    if isinstance(given, tuple) and len(given) == len(files):
        given = tuple(given[number] for number in known)
    found = find_angles(
        len(known),
        given=given,
        tables=tables,
        metadata=[metadata[number] for number in known],
        files=[files[number] for number in known],
        repeats=True,
    )
    angles[known] = found.angles
    return angles, found.source


def series_of_stack(signal: StoredSignal, signals: Signals, tables: Sequence[Path], source: Source) -> OpenedSpectra:
    """One file with all tilts, axes (tilt, y, x, energy) or with the tilt named elsewhere."""
    if len(signal.shape) != 4:
        raise InputError(
            f'{signal.path.name} has {len(signal.shape)} axes; a stack of spectrum images has (tilt, y, x, energy).'
        )
    tilt = tilt_axis_of(signal, (0, 1, 2))
    count = signal.shape[tilt]
    _check_several(count, signal.path)
    check_unused(source.unused, count)
    found = find_angles(
        count,
        given=source.angles,
        tables=tables,
        metadata=axis_angles(signal, tilt),
        noun='tilts of the stack',
        repeats=True,
    )
    order = np.argsort(found.angles, kind='stable')
    image_shape = tuple(size for axis, size in enumerate(signal.shape[:3]) if axis != tilt)
    counts = lazy_counts([(signal, int(i), tilt) for i in order], image_shape, source)
    haadf = None
    images = [s for s in signals if not s.spectral and s.shape == (count, *image_shape)]
    if images:
        stack = hyperspy_adapter.read(images[0])
        haadf = np.stack([_prepare_image(stack[i], source) for i in order])
    series = _series(counts, found.angles, order, found.source, haadf, [signal], source, skip=tilt)
    return OpenedSpectra(series, (signal,), (signals,), order)


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
    dtype = np.dtype(dtype)
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


def lazy_counts(tilts: Sequence[tuple[StoredSignal, int | None, int]], shape: tuple[int, ...], source: Source) -> Any:
    """Counts (tilt, y, x, energy) of images (y, x) in files; for each its signal, and position and axis in a stack."""
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
    loads = [partial(_read_tilt, *tilt, source.binning, swap, dtype) for tilt in tilts]
    blocks = [
        da.from_delayed(dask.delayed(load, pure=False, traverse=False)(), (y, x, first.shape[-1]), dtype=dtype)
        for load in loads
    ]
    return da.stack(blocks)


def _read_tilt(
    signal: StoredSignal, position: int | None, axis: int, binning: int, swap: bool, dtype: np.dtype
) -> np.ndarray:
    return prepare_counts(hyperspy_adapter.read(signal, position, axis), binning, swap).astype(dtype, copy=False)


def _series(
    counts: Any,
    angles: np.ndarray,
    order: np.ndarray,
    angle_source: str,
    haadf: np.ndarray | None,
    spectra: Sequence[StoredSignal],
    source: Source,
    skip: int | None = None,
) -> SpectralTiltSeries:
    y, x = [axis for axis in range(len(spectra[0].shape) - 1) if axis != skip]
    pixel_size = source.pixel_size or pixel_size_of(spectra[0], y, x)
    if pixel_size is None:
        raise InputError(f'{spectra[0].path.name} has no pixel size in a unit of length; give the pixel size in nm.')
    energy, unit = energy_axis(spectra[0])
    return SpectralTiltSeries(
        counts=counts,
        energy=energy,
        angles=angles[order],
        pixel_size=pixel_size * source.binning,
        energy_unit=unit,
        haadf=haadf,
        metadata=instrument(spectra) | ({'beam_energy': source.beam_energy} if source.beam_energy else {}),
        angle_source=angle_source,
        transposed=source.tilt_axis == 'x',
        recipe=Recipe(source),
        positions=tuple(int(number) for number in order),
    )


def _required(path: Path, signals: Signals, source: Source) -> StoredSignal:
    spectrum = spectra_in(signals, eels=bool(source.core_loss))
    if spectrum is None:
        raise InputError(f'{path.name} holds no spectrum image; leave it out.')
    return spectrum


def _check_several(count: int, path: Path) -> None:
    if count < 2:
        raise InputError(f'{path.name} is one tilt only; a tilt series needs at least two.')


def check_alike(spectra: Sequence[StoredSignal]) -> None:
    """Refuse spectrum images of several files that differ in shape, energies or pixel size."""
    first = spectra[0]
    energy, unit = energy_axis(first)
    size = pixel_size_of(first, 0, 1)
    for other in spectra[1:]:
        if other.shape[:2] != first.shape[:2]:
            raise InputError(
                f'{other.path.name} has the shape {other.shape} (y, x, energy) where {first.path.name} has '
                f'{first.shape}; leave it out or record it alike.'
            )
        its_energy, its_unit = energy_axis(other)
        if len(its_energy) != len(energy):
            raise InputError(
                f'{other.path.name} has {len(its_energy)} energies up to {its_energy[-1]:.4g} {its_unit} where '
                f'{first.path.name} has {len(energy)} up to {energy[-1]:.4g} {unit}; leave it out or cut them alike.'
            )
        if its_unit != unit or np.abs(its_energy - energy).max() > 0.5 * abs(energy[1] - energy[0]):
            raise InputError(
                f'{other.path.name} has another energy calibration than {first.path.name}; calibrate them alike.'
            )
        its_size = pixel_size_of(other, 0, 1)
        if size is not None and its_size is not None and abs(its_size / size - 1) > 0.01:
            raise InputError(
                f'{other.path.name} has pixels of {its_size:.4g} nm where {first.path.name} has {size:.4g} nm; '
                'leave it out or resample it.'
            )


def _image_with(signals: Signals, spectrum: StoredSignal) -> StoredSignal | None:
    """The picture recorded with the spectra; the annular dark field where there are several."""
    images = [s for s in signals if not s.spectral and s.shape == spectrum.shape[:2]]
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
        'convergence_angle': microscope.get('convergence_angle'),
        'collection_angle': eels.get('collection_angle'),
        'elements': [str(element) for element in middle.get('Sample', {}).get('elements', ())] or None,
        'title': middle.get('General', {}).get('title') or None,
    }
    return {key: _plain(value) for key, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
