r"""Correlation of a volume's projections with the maps, and its ceiling.

The correlation with noisy maps cannot reach 1. With a fraction p of the counts
held out, both parts are independent, and

    S = cov(fitted, held out) / (p (1 - p))

is the variance of the signal in the whole (each part carries its fraction of the
signal, and noise of its own), so the noiseless truth itself would correlate by
sqrt(S / var(maps)). Whole counts without a held-out part are halved by
`napari_diptomo.assess.count_ceiling`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_diptomo.jobs.numbers import with_error
from napari_diptomo.series import Finding, InputError, MapSeries, Volume

#: Standard errors, and fraction of the noise from which on it was fitted (any fit takes up some); tilts below which nothing
#: keeps a volume from following each of them.
_SIGMAS, _LEAST_SHARE, _LEAST_TILTS = 3.0, 0.2, 5


def compared_with_maps(volume: Volume, maps: MapSeries) -> Volume:
    """The volume with the correlation of its projections with the maps in its notes, per channel.

    ``projection_correlation``; ``correlation_ceiling`` where the counts determine
    it; ``compared_pixels``, the fraction of the pixels that both are taken from.
    A volume that is not on the pixels of the maps stays as it is.

    Parameters
    ----------
    volume : Volume
        Of ``maps``.
    maps : MapSeries
        What was reconstructed.

    Returns
    -------
    Volume
        With a finding where noise was fitted.
    """
    if volume.channels != maps.channels or volume.data.shape[2:] != maps.data.shape[2:]:
        return volume
    from napari_diptomo.assess import projection_correlation
    from napari_diptomo.assess.reprojection import reprojection

    try:
        compared = reprojection(volume, maps)
    except InputError:
        return volume
    # The ceiling is that of quanta: multiples of them, halved one by one, would be too good.
    maps, counted, expected, seen = compared.maps, compared.counted, compared.expected, compared.seen
    found = projection_correlation(maps.data[:, seen], expected[:, seen])
    notes = {
        **volume.notes,
        'projection_correlation': _by_name(maps, found),
        'compared_pixels': round(float(seen.mean()), 4),
    }
    ceiling = correlation_ceiling(counted, seen)
    findings = volume.findings
    if ceiling is not None:
        notes['correlation_ceiling'] = _by_name(maps, ceiling)
        fitted_noise = _fitted_noise(volume, counted, expected, seen)
        findings = findings if fitted_noise is None else (*findings, fitted_noise)
    return replace(volume, notes=notes, findings=findings)


def _fitted_noise(volume: Volume, maps: MapSeries, expected: np.ndarray, seen: np.ndarray) -> Finding | None:
    """Where projections agree with the counts beyond doubt better than those of the noiseless truth would.

    A correlation r above the ceiling c leaves 1 - r^2 of the variance of the maps, of which 1 - c^2 are noise.
    """
    from napari_diptomo.assess import ceiling_excess, projection_correlation

    if not maps.are_counts or len(maps.angles) < _LEAST_TILTS:
        return None
    excess, error = ceiling_excess(maps.data, expected, seen)
    found = projection_correlation(maps.data[:, seen], expected[:, seen])
    ceiling = found - excess
    share = (found**2 - ceiling**2) / np.maximum(1 - ceiling**2, 1e-6)
    above = [c for c in range(len(excess)) if excess[c] > _SIGMAS * error[c] and share[c] > _LEAST_SHARE]
    if not above:
        return None
    worst = max(above, key=lambda c: share[c])
    names = ', '.join(maps.channels[c] for c in above)
    chosen = bool(volume.notes.get('held_out_share'))
    advice = (
        'held-out counts chose this volume, so none of this run predicts them better, but its fine detail is partly noise'
        if chosen
        else 'take fewer iterations or a larger weight, or hold out a tenth of the counts to choose them'
    )
    return Finding(
        'note' if chosen else 'doubt',
        'fitted noise',
        f'The projections of {names} agree with the counts better than those of the noiseless specimen would '
        f'({maps.channels[worst]}: correlation {with_error(excess[worst], error[worst])} above the ceiling of the counts, '
        f'{100 * min(float(share[worst]), 1.0):.0f} % of their noise fitted): {advice}.',
        {
            'above the ceiling': float(excess[worst]),
            'standard error': float(error[worst]),
            'fraction of the noise': float(share[worst]),
        },
    )


def correlation_ceiling(maps: MapSeries, seen: np.ndarray | None = None) -> np.ndarray | None:
    """Correlation that the noiseless truth would reach, (channel,); None when the counts do not determine it.

    Parameters
    ----------
    maps : MapSeries
        Counts, or maps with a held-out part.
    seen : ndarray of bool (tilt, y, x), optional
        The pixels that are compared; default: all.
    """
    from napari_diptomo.assess import count_ceiling
    from napari_diptomo.assess.reprojection import by_element

    maps = by_element(maps)
    seen = np.ones(maps.data.shape[1:], bool) if seen is None else seen
    data = maps.data[:, seen]
    if maps.are_counts:
        return count_ceiling(data)
    share = maps.held_out_share
    if maps.held_out is None or not 0 < share < 1:
        return None
    held_out = maps.held_out[:, seen]
    held = held_out - held_out.mean(axis=1, keepdims=True)
    fitted = data - held_out
    fitted = fitted - fitted.mean(axis=1, keepdims=True)
    signal = (fitted * held).mean(axis=1) / (share * (1 - share))
    return np.sqrt(np.clip(signal / np.maximum(data.var(axis=1), np.finfo(np.float32).tiny), 0, 1))


def _by_name(maps: MapSeries, values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(maps.channels, values, strict=True)}
