r"""How well a volume's projections agree with the maps, and how well they could.

The correlation with noisy maps cannot reach 1. With a share p of the counts
held out, both parts are independent, and

    S = cov(fitted, held out) / (p (1 - p))

is the variance of the signal in the whole (each part carries its share of the
signal, and noise of its own), so the noiseless truth itself would correlate by
sqrt(S / var(maps)). Whole counts without a held-out part are halved by
`napari_diptomo.assess.count_ceiling`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_diptomo.series import MapSeries, Volume


def with_agreement(volume: Volume, maps: MapSeries) -> Volume:
    """The volume with ``projection_correlation`` and ``correlation_ceiling`` in its notes, per channel.

    As it is where they cannot be told: windows that mix elements, or a volume
    that is not on the pixels of the maps.
    """
    columns = maps.data.shape[2:]
    fits = maps.mixing is None and volume.channels == maps.channels and volume.data.shape[2:] == columns
    if not fits:
        return volume
    from napari_diptomo.assess import projection_correlation
    from napari_diptomo.geometry import ParallelBeam

    beam = ParallelBeam(maps.angles, volume.data.shape[1:], maps.shifts, maps.axis_shift, columns=columns[1])
    expected = beam.project(volume.data)
    if maps.gain is not None:
        expected = expected * maps.gain[:, :, None, None]
    if maps.background is not None:
        expected = expected + maps.background
    # Rows that were shifted in from outside are not of this volume.
    seen = beam.covered
    found = projection_correlation(maps.data[:, seen][:, :, None], expected[:, seen][:, :, None])
    notes = {**volume.notes, 'projection_correlation': _by_name(maps, found)}
    ceiling = correlation_ceiling(maps)
    if ceiling is not None:
        notes['correlation_ceiling'] = _by_name(maps, ceiling)
    return replace(volume, notes=notes)


def correlation_ceiling(maps: MapSeries) -> np.ndarray | None:
    """What the noiseless truth would reach, (channel,); None when the counts cannot tell."""
    from napari_diptomo.assess import count_ceiling

    if maps.are_counts:
        return count_ceiling(maps.data)
    share = maps.held_out_share
    if maps.held_out is None or not 0 < share < 1:
        return None
    held = maps.held_out - maps.held_out.mean(axis=(1, 2, 3), keepdims=True)
    fitted = maps.data - maps.held_out
    fitted = fitted - fitted.mean(axis=(1, 2, 3), keepdims=True)
    signal = (fitted * held).mean(axis=(1, 2, 3)) / (share * (1 - share))
    whole = maps.data.var(axis=(1, 2, 3))
    return np.sqrt(np.clip(signal / np.maximum(whole, np.finfo(np.float32).tiny), 0, 1))


def _by_name(maps: MapSeries, values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(maps.channels, values, strict=True)}
