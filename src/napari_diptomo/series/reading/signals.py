"""Signals of HyperSpy in place of files: spectra or maps that a script has loaded, cut or corrected already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_diptomo.series.data import MapSeries, SpectralTiltSeries
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.core_loss import with_core_loss
from napari_diptomo.series.reading.hyperspy_adapter import SignalInMemory
from napari_diptomo.series.reading.map_stacks import is_map, maps_of_signals
from napari_diptomo.series.reading.spectrum_images import Signals, series_of_files, series_of_stack
from napari_diptomo.series.recipe import Source
from napari_diptomo.series.tilts import check_unused, in_use


def signals_among(given: Any) -> list[Any]:
    """The HyperSpy signals among what was given in place of paths; empty where it is paths.

    Raises
    ------
    InputError
        Signals and paths together.
    """
    listed = [given] if hyperspy_adapter.is_signal(given) or not isinstance(given, list | tuple) else list(given)
    found = [one for one in listed if hyperspy_adapter.is_signal(one)]
    if found and len(found) < len(listed):
        raise InputError('Paths and HyperSpy signals were given together; give one kind, e.g. hs.load of the paths.')
    return found


def series_of_signals(
    signals: Sequence[Any], core_loss: Sequence[Any], source: Source
) -> SpectralTiltSeries | MapSeries:
    """A tilt series of signals: one stack with the tilt among its axes, or one signal per tilt, or per element.

    Parameters
    ----------
    signals, core_loss : sequence of hyperspy.signals.BaseSignal
        The core loss is empty where there is none.
    source : Source
        Without paths; how it is read.

    Returns
    -------
    SpectralTiltSeries or MapSeries
        Sorted by angle. Spectra stay in the signals until they are computed.

    Raises
    ------
    InputError
        What files of the same contents raise.
    """
    unused = source.unused
    described = _described(signals)
    if all(is_map(signal) or _are_channels(signal) for signal in described):
        if core_loss:
            raise InputError('Ready maps have no core loss; give the signals of the low loss with it.')
        maps = maps_of_signals([part for signal in described for part in _channels(signal)], source)
        return in_use(maps, source.unused, source.repeated)
    for signal in described:
        if not signal.spectral or len(signal.shape) not in (3, 4):
            raise InputError(
                f'The signal "{signal.path.name}" has the axes {_axes(signal)}; a spectrum image has (x, y | energy), a '
                'stack (x, y, tilt | energy), and a stack of maps (tilt | x, y).'
            )
    names = [signal.path for signal in described]
    alone: list[Signals] = [(signal,) for signal in described]
    if core_loss:
        # The signals of the core loss are matched with those of all tilts.
        source = source.model_copy(update={'unused': ()})
    if len(described) == 1 and len(described[0].shape) == 4:
        low = series_of_stack(described[0], alone[0], (), source)
    else:
        check_unused(source.unused, len(names))
        low = series_of_files(names, alone, (), source)
    core = _described(core_loss)
    series = with_core_loss(low, [signal.path for signal in core], [(signal,) for signal in core], (), source)
    return in_use(series, unused, source.repeated)


def _described(signals: Sequence[Any]) -> list[SignalInMemory]:
    return [hyperspy_adapter.describe(signal, f'signal {number}') for number, signal in enumerate(signals, start=1)]


def _are_channels(signal: SignalInMemory) -> bool:
    """Whether these are the maps that `MapSeries.to_hyperspy` gives: (tilt, channel | x, y)."""
    return not signal.spectral and len(signal.shape) == 4 and signal.axes[0].name == 'channel'


def _channels(signal: SignalInMemory) -> list[SignalInMemory]:
    if not _are_channels(signal):
        return [signal]
    names = signal.title.split(', ')
    if len(names) != signal.shape[0]:
        names = [f'channel {number}' for number in range(1, signal.shape[0] + 1)]
    return [hyperspy_adapter.part_of(signal, index, Path(name.replace('/', '_'))) for index, name in enumerate(names)]


def _axes(signal: SignalInMemory) -> str:
    names = [axis.name or '?' for axis in signal.axes]
    split = len(names) - (1 if signal.spectral else min(2, len(names)))
    return f'({", ".join(reversed(names[:split]))} | {", ".join(reversed(names[split:]))})'
