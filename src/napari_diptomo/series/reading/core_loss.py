"""The core loss beside a low loss: in files of its own, or in those of the low loss (dual EELS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_diptomo.series.data import CoreLoss, SpectralTiltSeries
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.angles.core_loss import tilts_of_files, tilts_of_stack
from napari_diptomo.series.reading.common_energy import common_energy
from napari_diptomo.series.reading.spectrum_images import (
    OpenedSpectra,
    Signals,
    check_alike,
    instrument,
    lazy_counts,
    noticed,
)
from napari_diptomo.series.reading.stored_axes import (
    axis_angles,
    energy_axis,
    holds_zero_loss,
    is_eels,
    pixel_size_of,
    tilt_axis_of,
)
from napari_diptomo.series.reading.stored_signal import StoredSignal
from napari_diptomo.series.recipe import Source

#: Pixels are the same when their sizes differ by less than this share.
_SAME_SIZE = 0.01


@dataclass(frozen=True, eq=False)
class _Image:
    """A core-loss image (y, x, energy): a signal, or one position of a stack along ``axis``."""

    signal: StoredSignal
    position: int | None = None
    axis: int = 0


def with_core_loss(
    low: OpenedSpectra, files: Sequence[Path], opened: Sequence[Signals], tables: Sequence[Path], source: Source
) -> SpectralTiltSeries:
    """The series with the core loss of the files given, or with what the files of the low loss hold beside it.

    Parameters
    ----------
    low : OpenedSpectra
        The low loss.
    files : sequence of Path
        Of the core loss; empty for dual EELS.
    opened : sequence of tuple of StoredSignal
        What they hold.
    tables : sequence of Path
        Tables that may hold their angles.
    source : Source

    Raises
    ------
    InputError
        Nothing there is a core loss, or it does not belong to the series.
    """
    if not files:
        return _dual(low, source)
    _check_low_loss(low)
    images, tilts, words = _in_files(low, files, opened, tables, source)
    order = np.argsort(tilts, kind='stable')
    _check_distinct(images, [tilts[i] for i in order], order, low.series.angles)
    return _joined(low, [images[i] for i in order], [tilts[i] for i in order], words, source)


def _dual(low: OpenedSpectra, source: Source) -> SpectralTiltSeries:
    """With the core loss of the same files, on the same pixels; the series as it is where there is none."""
    if not all(holds_zero_loss(signal) for signal in low.tilts):
        return _alone(low)
    images, tilts = [], []
    stack = len(low.tilts) == 1 and len(low.tilts[0].shape) == 4
    for tilt, (signal, beside) in enumerate(zip(low.tilts, low.beside, strict=True)):
        core = _core_loss_in(beside, signal.shape[:-1])
        if core is None:
            continue
        if stack:
            axis = tilt_axis_of(signal, (0, 1, 2))
            images = [_Image(core, int(i), axis) for i in low.order]
            tilts = list(range(len(low.order)))
        else:
            images.append(_Image(core))
            tilts.append(tilt)
    return _joined(low, images, tilts, 'in the files of the low loss', source, dual=True) if images else _alone(low)


def _alone(low: OpenedSpectra) -> SpectralTiltSeries:
    return replace(low.series, findings=(*low.series.findings, *noticed(low)))


def _core_loss_in(signals: Signals, shape: tuple[int, ...] | None = None) -> StoredSignal | None:
    """Energy losses without the zero loss, of the shape given; of several the one that begins lowest."""
    found = [s for s in signals if s.spectral and len(s.shape) >= 3 and is_eels(s) and not holds_zero_loss(s)]
    if shape is not None:
        found = [signal for signal in found if signal.shape[:-1] == shape]
    return min(found, key=lambda signal: float(signal.axes[-1].values[0]), default=None)


def _in_files(
    low: OpenedSpectra, files: Sequence[Path], opened: Sequence[Signals], tables: Sequence[Path], source: Source
) -> tuple[list[_Image], list[int], str]:
    """Images, the tilt of each, and in words where the tilts are known from."""
    spectra = [_required(path, signals) for path, signals in zip(files, opened, strict=True)]
    check_alike(spectra)
    common_energy(spectra)
    if len(spectra[0].shape) == 3:
        found = tilts_of_files(files, spectra, tables, low, source.core_loss_angles)
        return [_Image(signal) for signal in spectra], list(found.tilts), found.words
    if len(files) > 1:
        raise InputError(f'{files[0].name} is a whole stack among other core-loss files; open it alone.')
    signal = spectra[0]
    axis = tilt_axis_of(signal, (0, 1, 2))
    recorded = axis_angles(signal, axis)
    found = tilts_of_stack(signal, recorded, low, source.core_loss_angles)
    return [_Image(signal, i, axis) for i in range(signal.shape[axis])], list(found.tilts), found.words


def _joined(
    low: OpenedSpectra, images: Sequence[_Image], tilts: Sequence[int], words: str, source: Source, dual: bool = False
) -> SpectralTiltSeries:
    _check_same_pixels(low, images[0])
    signals = [image.signal for image in images]
    check_alike(signals)
    first = images[0]
    common = common_energy(signals, [low.tilts[tilt] for tilt in tilts] if len(low.tilts) > 1 and dual else ())
    core = CoreLoss(
        counts=lazy_counts([(i.signal, i.position, i.axis) for i in images], _pixels(first), source, common.channels),
        energy=common.energy,
        tilts=tuple(tilts),
        metadata={**instrument(signals), 'angle_source': words},
    )
    found = (*common.findings, *noticed(low, signals))
    return replace(low.series, core_loss=core, findings=(*low.series.findings, *found))


def _pixels(image: _Image) -> tuple[int, int]:
    y, x = _axes(image)
    return image.signal.shape[y], image.signal.shape[x]


def _axes(image: _Image) -> tuple[int, int]:
    y, x = (i for i in range(len(image.signal.shape) - 1) if image.position is None or i != image.axis)
    return y, x


def _required(path: Path, signals: Signals) -> StoredSignal:
    core = _core_loss_in(signals)
    if core is not None:
        return core
    if any(signal.spectral and holds_zero_loss(signal) for signal in signals):
        raise InputError(
            f'{path.name} holds a low loss (0 eV is in its range) and no core loss; choose the other file.'
        )
    raise InputError(f'{path.name} holds no core-loss spectrum image; leave it out.')


def _check_low_loss(low: OpenedSpectra) -> None:
    for signal in low.tilts:
        if not is_eels(signal):
            raise InputError(
                f'A core loss belongs to EELS, and the spectra of {signal.path.name} are X-rays; open them without it.'
            )
        if not holds_zero_loss(signal):
            energy, unit = energy_axis(signal)
            raise InputError(
                f'{signal.path.name} has no zero loss in its range ({energy[0]:.4g} to {energy[-1]:.4g} {unit}); '
                'choose the files of the low loss, and those of the core loss beside them.'
            )


def _check_same_pixels(low: OpenedSpectra, image: _Image) -> None:
    mine = low.tilts[0]
    skip = tilt_axis_of(mine, (0, 1, 2)) if len(mine.shape) == 4 else None
    axes = [i for i in range(len(mine.shape) - 1) if i != skip]
    shape, name = tuple(mine.shape[i] for i in axes), image.signal.path.name
    if _pixels(image) != shape:
        y, x = _pixels(image)
        raise InputError(
            f'The core loss in {name} has {x} x {y} pixels (x, y) where the low loss has {shape[1]} x {shape[0]}; '
            'give the core loss that was recorded with it.'
        )
    size, its_size = pixel_size_of(mine, *axes), pixel_size_of(image.signal, *_axes(image))
    if size and its_size and abs(its_size / size - 1) > _SAME_SIZE:
        raise InputError(
            f'The core loss in {name} has pixels of {its_size:.4g} nm where the low loss has {size:.4g} nm; '
            'give the core loss that was recorded with it.'
        )


def _check_distinct(images: Sequence[_Image], tilts: Sequence[int], order: np.ndarray, angles: np.ndarray) -> None:
    for k in range(1, len(tilts)):
        if tilts[k] == tilts[k - 1]:
            first, second = (images[order[i]].signal.path.name for i in (k - 1, k))
            where = f'{first} and {second}' if first != second else f'Two images of {first}'
            raise InputError(f'{where} are both of the tilt at {angles[tilts[k]]:g}°; give one core loss for it.')
