r"""How many counts of the camera an electron makes, from pixels beside each other.

Electrons scatter by the root of their number, counts that are g times as many by g times that root. Two
pixels beside each other show the same spectrum, up to its total T, so that with n_k the counts of a
bin k of several channels and p_k its share of both pixels together,

    d_k = n_k - T p_k,    <d_k^2> = g A_k + r^2 B_k + u C_k,

A_k = p_k (1 - p_k) T T' / (T + T') of counting, T' of the other pixel; B_k the channels of the bin, read out with a
noise r, in the same combination; and C_k = (p_k T T' / (T + T'))^2 of pixels whose shapes differ by a share of root u.
The sums over many pairs, in groups by their totals, are fitted with g, r^2 and u, none negative. Bins are wide enough to hold
what a scintillator spreads over neighbouring channels.

All errors from counting grow with the root of g. Counts held out of such data would not be independent of those
that are fitted.

Formulas: counts per electron from neighbours (`counts_per_electron`).
"""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import Finding
from napari_diptomo.spectra.common.non_negative import non_negative

#: Width of a bin, eV, and the least number of bins and of pairs of pixels.
_BIN, _LEAST_BINS, _LEAST_PAIRS = 3.0, 6, 60
#: Groups of pairs by their counts; the share of pairs, across the rim of the specimen, that are left out of each.
_GROUPS, _UNLIKE = 8, 0.01
#: A gain within this of one is one: counts are electrons.
_ONE = 0.2
#: Up to this gain counts are held out: where shapes change from pixel to pixel 1.3 is found of electrons counted singly.
HOLDS_OUT_UP_TO = 1.5


def counts_per_electron(
    counts: np.ndarray, energy: np.ndarray, window: tuple[float, float]
) -> tuple[float, float | None]:
    """Counts per electron of a tilt, and its read-out noise.

    Parameters
    ----------
    counts : ndarray (y, x, energy)
        Counts without dark level.
    energy : ndarray (energy,)
        eV.
    window : tuple of float
        What is looked at, eV; counts should differ over it.

    Returns
    -------
    gain : float
        g; 1 where there are too few pixels to say, or where it is near 1.
    read_noise : float or None
        r, standard deviation of a channel; None where the gain is 1, so that nothing need be changed.
    """
    wide = max(round(_BIN / float(energy[1] - energy[0])), 1)
    first, last = np.searchsorted(energy, window)
    number = int(last - first) // wide
    if number < _LEAST_BINS:
        return 1.0, None
    binned = np.asarray(counts[..., first : first + number * wide], float)
    binned = binned.reshape(*counts.shape[:2], number, wide).sum(axis=-1)
    pairs = [(binned[:, :-1], binned[:, 1:]), (binned[:-1], binned[1:])]
    one, other = (np.concatenate([pair[i].reshape(-1, number) for pair in pairs]) for i in (0, 1))
    known = (one.sum(axis=1) > 0) & (other.sum(axis=1) > 0)
    if known.sum() < _LEAST_PAIRS:
        return 1.0, None
    gain, read_variance = _gain(one[known], other[known], wide)
    return (1.0, None) if abs(gain - 1) < _ONE or gain <= 0 else (gain, float(np.sqrt(read_variance)))


def _gain(one: np.ndarray, other: np.ndarray, wide: int) -> tuple[float, float]:
    """g and r^2 of pairs of pixels, (pair, bin) each."""
    total, beside = one.sum(axis=1)[:, None], other.sum(axis=1)[:, None]
    share = np.clip((one + other) / (total + beside), 1e-9, 1)
    reduced = total * beside / (total + beside)
    off = (one - total * share) ** 2
    columns = np.stack([
        reduced * share * (1 - share),
        wide * (beside**2 + total**2) / (total + beside) ** 2 * np.ones_like(share),
        (share * reduced) ** 2,
    ])  # fmt: skip
    strange = (off / np.maximum(columns[0], 1e-9)).mean(axis=1)
    cells, sums = [], []
    for group in np.array_split((total + beside)[:, 0].argsort(), _GROUPS):
        alike = group[strange[group] <= np.quantile(strange[group], 1 - _UNLIKE)]
        cells.append(columns[:, alike].mean(axis=1))
        sums.append(off[alike].mean(axis=0))
    matrix, right = np.concatenate(cells, axis=1).T, np.concatenate(sums)
    # A mean square scatters in proportion to itself.
    weight = 1 / np.maximum(right, 1e-3 * right.mean())
    scale = np.maximum((matrix * weight[:, None]).max(axis=0), 1e-300)
    solution = non_negative(matrix * weight[:, None] / scale, right * weight) / scale
    return float(solution[0]), float(solution[1])


def gain_findings(gain: float, holdout: float) -> tuple[Finding, ...]:
    """Findings on a camera that makes several counts of an electron.

    Parameters
    ----------
    gain : float
        Counts per electron.
    holdout : float
        Share of the counts that was to be held out.
    """
    if gain == 1:
        return ()
    sentence = (
        f'Pixels beside each other scatter as if an electron made {gain:.2g} counts; errors are those of electrons.'
    )
    if holdout and gain > HOLDS_OUT_UP_TO:
        sentence += ' No counts are held out: they would share their noise with those that are fitted.'
    return (Finding('note', 'counts per electron', sentence, {'counts per electron': gain}),)
