r"""Correlation of a volume's projections with the maps, and its ceiling.

The correlation with noisy maps cannot reach 1. With a fraction p of the counts
held out, both parts are independent, and

    S = cov(fitted, held out) / (p (1 - p))

is the variance of the signal in the whole (each part carries its fraction of the
signal, and noise of its own), so the noiseless truth itself would correlate by
sqrt(S / var(maps)). Whole counts without a held-out part are halved by
`napari_diptomo.assess.count_ceiling`.

A specimen larger than the images puts matter into the tilted images that is
cut off the volume in the end. Only pixels whose ray runs inside the volume
that was kept are compared, and the ceiling is that of the same pixels.

Window counts are compared as the element maps that they stand for. Those are no
whole counts: where no part of them is held out, half of the photons is, for the
ceiling alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.series import Finding, MapSeries, Volume
from napari_diptomo.series.counts import thin

if TYPE_CHECKING:
    from napari_diptomo.geometry import ParallelBeam

#: Share of a ray's length that must lie in the volume for its pixel to be compared.
_INSIDE = 0.999
#: Standard errors, and fraction of the noise from which on it was fitted (any fit takes up some); tilts that the error needs.
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
    columns = maps.data.shape[2:]
    if volume.channels != maps.channels or volume.data.shape[2:] != columns:
        return volume
    from napari_diptomo.reconstruct.counting_unit import in_counts
    from napari_diptomo.series.outliers import without_outliers

    # The reconstruction left them out as well.
    maps, _ = without_outliers(maps)
    # The ceiling is that of quanta: multiples of them, halved one by one, would be too good.
    counted = _by_element(in_counts(maps).maps)
    maps = _by_element(maps)
    from napari_diptomo.assess import projection_correlation
    from napari_diptomo.geometry import ParallelBeam

    beam = ParallelBeam(
        maps.angles, volume.data.shape[1:], maps.shifts, maps.axis_shift, columns[1], axis_rotation=maps.axis_rotation
    )
    seen = _accounted_for(beam, volume, maps)
    if maps.missing is not None:
        seen &= ~maps.missing.any(axis=0)
    if not seen.any():
        return volume
    expected = beam.project(volume.data)
    if maps.gain is not None:
        expected = expected * maps.gain[:, :, None, None]
    if maps.background is not None:
        expected = expected + maps.background
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
        fitted_noise = _fitted_noise(volume, counted, expected, seen, ceiling)
        findings = findings if fitted_noise is None else (*findings, fitted_noise)
    return replace(volume, notes=notes, findings=findings)


def _fitted_noise(
    volume: Volume, maps: MapSeries, expected: np.ndarray, seen: np.ndarray, ceiling: np.ndarray
) -> Finding | None:
    """Where projections agree with the counts beyond doubt better than those of the noiseless truth would.

    A correlation r above the ceiling c leaves 1 - r^2 of the variance of the maps, of which 1 - c^2 are noise.
    """
    from napari_diptomo.assess import ceiling_excess

    if not maps.are_counts or len(maps.angles) < _LEAST_TILTS:
        return None
    excess, error = ceiling_excess(maps.data, expected, seen)
    share = ((ceiling + excess) ** 2 - ceiling**2) / np.maximum(1 - ceiling**2, 1e-6)
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
        f'({maps.channels[worst]}: correlation {excess[worst]:.3f} ± {error[worst]:.3f} above the ceiling of the counts, '
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

    maps = _by_element(maps)
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


def _by_element(maps: MapSeries) -> MapSeries:
    """Element maps of window counts with a held-out part."""
    if maps.mixing is not None and maps.held_out is None and maps.are_counts:
        half = thin(maps.data, 0.5, np.random.default_rng(0))
        maps = replace(maps, held_out=half, held_out_share=0.5)
    return maps.unmixed()


def _accounted_for(beam: ParallelBeam, volume: Volume, maps: MapSeries) -> np.ndarray:
    """Pixels that show the volume and nothing beside it, bool (tilt, y, x)."""
    # Rows that were shifted in from outside are not of this volume.
    rows = np.broadcast_to(beam.covered_pixels, beam.sinogram_shape)
    solved = _solved_shape(volume, maps)
    if solved == beam.shape:
        return rows.copy()
    from napari_diptomo.geometry import ParallelBeam

    whole = ParallelBeam(
        maps.angles, solved, maps.shifts, maps.axis_shift, beam.columns, axis_rotation=beam.axis_rotation
    )
    length, kept = _ray_lengths(whole), _ray_lengths(beam)
    return rows & (length > 0) & (kept >= _INSIDE * length)


def _solved_shape(volume: Volume, maps: MapSeries) -> tuple[int, int, int]:
    """Shape (z, y, x) before the volume was cut to the field of view."""
    from napari_diptomo.reconstruct import Reconstruction
    from napari_diptomo.reconstruct.grid import volume_shape

    step = volume.recipe.steps[-1] if volume.recipe is not None and volume.recipe.steps else None
    if not isinstance(step, Reconstruction):
        nz, ny, nx = volume.data.shape[1:]
        return nz, ny, nx
    return volume_shape(maps, step.thickness, step.beyond_field)


def _ray_lengths(beam: ParallelBeam) -> np.ndarray:
    """Length of each ray inside the volume, pixels, (tilt, 1, u), with a turned axis (tilt, y, u)."""
    if beam.turn_matrix is not None:
        return np.asarray(beam.project(np.ones((1, *beam.shape), np.float32))[0])
    return np.asarray(beam.matrix.sum(axis=1)).reshape(len(beam.angles), 1, beam.columns)


def _by_name(maps: MapSeries, values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(maps.channels, values, strict=True)}
