r"""Residuals of a volume against its maps, tilt by tilt and channel by channel, in units of their noise.

The misfit of channel c at tilt t, summed over the pixels that are compared, is

    q_ct = sum (y - m)^2 / sum v,

with the expected m and the variance v of the noise. It is 1 for the truth. For counts v = m, and the standard error is
sqrt(sum (m + 2 m^2)) / sum m; for maps with a variance of their own it is sqrt(2 sum v^2) / sum v. A ratio of sums does not
ask what empty pixels make of their own noise. A fit takes up some noise and lies below 1. What stands out is a tilt that
fits worse than the others do.

Formulas: misfit of a tilt in units of the noise (`consistency`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_diptomo.assess.csv_tables import write_table
from napari_diptomo.assess.data_correlation import ceiling_excess, correlation_error, projection_correlation
from napari_diptomo.assess.reprojection import Reprojection, reprojection
from napari_diptomo.series import Finding, MapSeries, Volume
from napari_diptomo.series.tilts import angles_in_words

#: Standard errors above the other tilts, and part of the noise, from which on a tilt is doubted.
_SIGMAS, _LEAST_EXCESS = 5.0, 0.1
#: Misfit of a channel from which on the volume does not explain its maps.
_UNEXPLAINED = 1.2
#: And below which it follows their noise: what is left of it when a fit has taken up half.
_FOLLOWED = 0.5
#: Tilts that a comparison with the others needs, and tilts that are named.
_LEAST_TILTS, _MOST_NAMED = 5, 4


@dataclass(frozen=True, eq=False)
class Consistency:
    """How well the projections of a volume explain its maps.

    Attributes
    ----------
    channels : tuple of str
    angles : ndarray (tilt,)
        Degrees.
    misfit, misfit_error : ndarray (channel, tilt)
        Mean square of the residual in units of the noise, 1 for the truth, and its standard error.
    correlation, correlation_error : ndarray (channel,)
        Of projections and maps, over all tilts, and its standard error from the noise of the maps.
    above_ceiling, ceiling_error : ndarray (channel,), optional
        By how much the correlation lies above that of the noiseless truth, and its standard error; None where the
        maps are no counts.
    residual : ndarray (channel, tilt, y, x)
        Measured less expected in standard deviations; 0 where not compared.
    compared : float
        Fraction of the pixels.
    findings : tuple of Finding
        Tilts and channels that stand out.
    """

    channels: tuple[str, ...]
    angles: np.ndarray
    misfit: np.ndarray
    misfit_error: np.ndarray
    correlation: np.ndarray
    correlation_error: np.ndarray
    above_ceiling: np.ndarray | None
    ceiling_error: np.ndarray | None
    residual: np.ndarray
    compared: float
    findings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        parts = [f'{name} {value:.2f}' for name, value in zip(self.channels, self.misfit.mean(axis=1), strict=True)]
        return f'misfit in units of the noise: {", ".join(parts)}'

    def write_csv(self, path: str | Path) -> Path:
        """Write one line per tilt: angle, then misfit and standard error of each channel.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path
        """
        headings = ['tilt_deg']
        for name in self.channels:
            headings += [f'misfit_{name}', f'standard_error_{name}']
        pairs = np.stack([self.misfit, self.misfit_error], axis=1).reshape(-1, len(self.angles))
        rows = np.column_stack([self.angles, pairs.T])
        return write_table(path, headings, rows)


def consistency(volume: Volume, maps: MapSeries) -> Consistency:
    """Compare the projections of a volume with the maps that it was made from.

    Parameters
    ----------
    volume : Volume
        Counts, as a reconstruction made them.
    maps : MapSeries
        What was reconstructed.

    Returns
    -------
    Consistency

    Raises
    ------
    InputError
        The volume is not of these maps.
    """
    found = reprojection(volume, maps)
    misfit, error = _misfit(found)
    above, above_error = None, None
    if found.counted.are_counts:
        above, above_error = ceiling_excess(found.counted.data, found.expected, found.seen)
    return Consistency(
        channels=found.maps.channels,
        angles=found.maps.angles,
        misfit=misfit,
        misfit_error=error,
        correlation=projection_correlation(found.maps.data[:, found.seen], found.expected[:, found.seen]),
        correlation_error=_correlation_error(found),
        above_ceiling=above,
        ceiling_error=above_error,
        residual=found.residual,
        compared=float(found.seen.mean()),
        findings=(*_channels(found, misfit, error), *_followed(found, misfit), *_tilts(found, misfit, error)),
    )


def _correlation_error(found: Reprojection) -> np.ndarray:
    expected = found.expected[:, found.seen]
    if found.unit is None:
        return correlation_error(expected, expected, found.noise[:, found.seen])
    return correlation_error(expected, expected / found.unit[:, None])


def _misfit(found: Reprojection) -> tuple[np.ndarray, np.ndarray]:
    seen = found.seen[None].astype(np.float64)
    variance = seen * found.noise
    noise = np.maximum(variance.sum(axis=(2, 3)), np.finfo(np.float32).tiny)
    misfit = (seen * (found.maps.data - found.expected) ** 2).sum(axis=(2, 3)) / noise
    fourth = 2 * variance**2
    if found.unit is not None:
        fourth = fourth + variance * found.unit[:, None, None, None] ** 2
    return misfit, np.sqrt(fourth.sum(axis=(2, 3))) / noise


def _channels(found: Reprojection, misfit: np.ndarray, error: np.ndarray) -> list[Finding]:
    mean = np.median(misfit, axis=1)
    error = np.sqrt((error**2).mean(axis=1) / misfit.shape[1])
    bad = [c for c in range(len(mean)) if mean[c] > _UNEXPLAINED and mean[c] > 1 + _SIGMAS * error[c]]
    if not bad:
        return []
    worst = max(bad, key=lambda c: mean[c])
    return [
        Finding(
            'doubt',
            'projections',
            f'The projections of {", ".join(found.maps.channels[c] for c in bad)} do not explain the maps '
            f'({found.maps.channels[worst]}: {mean[worst]:.2f} times the noise): the fit was ended too early, the weight of '
            'the prior is too large, or something in the maps is no projection of one volume.',
            {'misfit': float(mean[worst])},
        )
    ]


def _followed(found: Reprojection, misfit: np.ndarray) -> list[Finding]:
    """Channels whose projections lie nearer to the maps than their noise lets the truth."""
    mean = np.median(misfit, axis=1)
    low = [c for c in range(len(mean)) if mean[c] < _FOLLOWED]
    if not low:
        return []
    least = min(low, key=lambda c: mean[c])
    return [
        Finding(
            'doubt',
            'fitted noise',
            f'The projections of {", ".join(found.maps.channels[c] for c in low)} follow the noise of the maps '
            f'({found.maps.channels[least]}: {mean[least]:.2f} of it is left, where the true specimen leaves all): fine detail '
            'is partly noise. Take fewer iterations or a larger weight, or hold out counts to choose them.',
            {'misfit': float(mean[least])},
        )
    ]


def _tilts(found: Reprojection, misfit: np.ndarray, error: np.ndarray) -> list[Finding]:
    """Tilts that fit worse than the others, channels pooled."""
    angles = found.maps.angles
    if len(angles) < _LEAST_TILTS:
        return []
    outlying = outlying_tilts(misfit, error)
    bad, pooled, middle = outlying.worst, outlying.pooled, outlying.middle
    if not bad.size:
        return []
    named = angles_in_words(angles[bad], _MOST_NAMED)
    several = bad.size > 1
    return [
        Finding(
            'doubt',
            'tilts',
            f'The volume explains the {"tilts" if several else "tilt"} at {named} worse than the others '
            f'({pooled[bad[0]]:.2f} against {middle:.2f} times the noise): check {"their" if several else "its"} alignment, '
            f'angle and dose, or leave {"them" if several else "it"} out.',
            {'misfit': float(pooled[bad[0]]), 'of the others': float(middle), 'tilts': float(bad.size)},
        )
    ]


@dataclass(frozen=True, eq=False)
class OutlyingTilts:
    """Tilts that fit worse than the others.

    Attributes
    ----------
    worst : ndarray of int
        Their numbers, the worst first.
    pooled : ndarray (tilt,)
        Misfit of all channels.
    middle : float
        Its median over the tilts.
    """

    worst: np.ndarray
    pooled: np.ndarray
    middle: float


def outlying_tilts(misfit: np.ndarray, error: np.ndarray) -> OutlyingTilts:
    """Tilts whose misfit stands out of their errors and of what all tilts scatter by.

    Parameters
    ----------
    misfit, error : ndarray (channel, tilt)
        In units of the noise, and the standard error.

    Returns
    -------
    OutlyingTilts
    """
    weight = 1 / error**2
    pooled = (weight * misfit).sum(axis=0) / weight.sum(axis=0)
    pooled_error = 1 / np.sqrt(weight.sum(axis=0))
    middle = float(np.median(pooled))
    # What all volumes leave differs from tilt to tilt; a tilt has to stand out of that too.
    scatter = 1.4826 * np.median(np.abs(pooled - middle))
    excess = pooled - middle
    bad = np.flatnonzero((excess > _SIGMAS * np.hypot(pooled_error, scatter)) & (excess > _LEAST_EXCESS))
    return OutlyingTilts(bad[np.argsort(-excess[bad])], pooled, middle)
