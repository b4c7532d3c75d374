r"""White lines of a core-loss edge the conventional way: their ratio and the energy of L3, map by map.

Spectra are summed over a Gaussian neighbourhood. A power law with the exponent
of the whole image and the pixel's height is subtracted, then two steps, 2:1 at
L3 and L2 and as high as the spectrum behind L2 (Pearson et al., Phys. Rev. B
47 (1993) 8471). L3 and L2 are the areas that remain in windows around them,
their ratio is read on a "universal curve" (van Aken et al., Phys. Chem. Miner.
25 (1998) 323). The maximum of L3 in the sum must lie near the table (`edge_axis`), or there is
something else in the windows; where it is farther off than chemistry explains, they follow it. The energy of L3 is its centre of gravity; the maximum
shifts by 1.7 eV from Fe2+ to Fe3+, so it is worth no more than the calibration
of the axis.

Formulas: white-line ratio L3 / L2 (`white_line_maps`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.common.exspy_adapter import edge_onsets
from napari_diptomo.spectra.eels.edge_axis import line_is_doubtful, white_line_offset
from napari_diptomo.spectra.eels.edge_counts import background_columns
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows, check_window

#: Areas of L3 and L2 from and to, relative to their onsets, and where the step behind L2 is read, eV.
_L3, _L2, _TAIL = (-6.0, 9.0), (-4.0, 7.0), (9.0, 16.0)
#: The centre of L3 is that of channels whose mean is above this share of the highest.
_LEAST_HEIGHT = 0.15
#: The steps rise this far behind the onsets, so wide, eV.
_STEP, _STEP_WIDTH = 2.0, 2.0


@dataclass(frozen=True, eq=False)
class WhiteLines:
    """White lines of every pixel of one core loss.

    Attributes
    ----------
    ratio, ratio_std : ndarray (y, x)
        L3 over L2; NaN where there is no edge.
    energy, energy_std : ndarray (y, x)
        Of L3, eV; NaN likewise.
    counts : ndarray (y, x)
        L3 and L2 together.
    lines, variance : ndarray (2, y, x)
        Counts of L3 and L2, and their variance by the pixel's own counts.
    offset : float
        How far the maximum of L3 of all pixels lies above the table, eV.
    """

    ratio: np.ndarray
    ratio_std: np.ndarray
    energy: np.ndarray
    energy_std: np.ndarray
    counts: np.ndarray
    lines: np.ndarray
    variance: np.ndarray
    offset: float


def white_line_maps(
    counts: np.ndarray, energy: np.ndarray, element: str = 'Fe', *, smooth: float = 1.0, least_share: float = 0.1
) -> WhiteLines:
    """White-line ratio and energy of L3 at every pixel.

    Parameters
    ----------
    counts : ndarray (y, x, energy)
        Core loss of one tilt.
    energy : ndarray (energy,)
        eV.
    element : str
        A 3d metal.
    smooth : float
        Sigma of the Gaussian over which spectra are summed, pixels: a pixel alone seldom has the counts.
    least_share : float
        Pixels with less than this share of the largest edge counts are left out.

    Returns
    -------
    WhiteLines
        Ratio and energy with their standard deviations, (y, x) each.

    Raises
    ------
    InputError
        An edge that is not in the spectra or is cut off, or white lines elsewhere than the table has them.
    """
    onset3, onset2 = (_onset(f'{element}_L{n}') for n in (3, 2))
    whole = white_line_windows(element)
    end = whole.signal[1]
    check_window(energy, whole)
    offset = white_line_offset(energy, np.asarray(counts, float).sum(axis=(0, 1)), f'{element}_L3')
    if line_is_doubtful(offset):
        onset3, onset2 = onset3 + offset, onset2 + offset
        end = min(onset2 + _TAIL[1], float(energy[-1]))
    pooled, share = _pooled(np.asarray(counts, float), smooth)
    spectra = pooled.reshape(-1, len(energy))
    before = between(energy, (onset3 - 40, onset3 - 8))
    columns = background_columns(energy, before, np.maximum(spectra[:, before].mean(axis=0), 0))
    columns = columns[:, :1]
    weight = 1 / np.maximum(spectra[:, before].mean(axis=0), 1e-9)
    fitted = columns[before]
    height = (spectra[:, before] * weight) @ fitted / (fitted[:, 0] ** 2 @ weight)
    net = spectra - height * columns[:, 0]
    tail = between(energy, (onset2 + _TAIL[0], end))
    steps = _steps(energy, onset3, onset2)
    lines = net - net[:, tail].mean(axis=1, keepdims=True) * steps
    noise = np.maximum(spectra, 0) * share
    own, other = (
        between(energy, (onset3 + _L3[0], onset3 + _L3[1])),
        between(energy, (onset2 + _L2[0], onset2 + _L2[1])),
    )
    first, second = lines[:, own].sum(axis=1), lines[:, other].sum(axis=1)
    # The step is known from few channels: what its error adds to both areas.
    step = noise[:, tail].mean(axis=1) / tail.sum()
    var1 = noise[:, own].sum(axis=1) + steps[own].sum() ** 2 * step
    var2 = noise[:, other].sum(axis=1) + steps[other].sum() ** 2 * step
    shared = steps[own].sum() * steps[other].sum() * step
    seen = (first + second > least_share * (first + second).max()) & (second > 0)
    ratio = np.where(seen, first / np.where(seen, second, 1), np.nan)
    variance = (var1 + ratio**2 * var2 - 2 * ratio * shared) / np.where(seen, second, np.nan) ** 2
    place, place_std = _centre(lines[:, own], noise[:, own], energy[own], seen)
    shape = counts.shape[:2]
    return WhiteLines(
        ratio.reshape(shape),
        np.sqrt(np.maximum(variance, 0)).reshape(shape),
        place.reshape(shape),
        place_std.reshape(shape),
        (first + second).reshape(shape),
        np.stack([first, second]).reshape(2, *shape),
        np.stack([var1, var2]).reshape(2, *shape),
        offset,
    )


def white_line_windows(element: str) -> EdgeWindows:
    """Where the background and both lines are looked for.

    Raises
    ------
    InputError
        An element without L3 and L2.
    """
    onset3, onset2 = (_onset(f'{element}_L{n}') for n in (3, 2))
    return EdgeWindows(f'{element}_L3', (onset3 - 40, onset3 - 8), (onset3 - 8, onset2 + _TAIL[1]))


def _onset(edge: str) -> float:
    onset = edge_onsets().get(edge)
    if onset is None:
        raise InputError(f'There is no edge {edge!r} in the table; name a 3d metal, e.g. Fe.')
    return onset


def _pooled(counts: np.ndarray, sigma: float) -> tuple[np.ndarray, float]:
    """Gaussian mean over (y, x), and the share of a pixel's variance that is left."""
    if sigma == 0:
        return counts, 1.0
    centre = np.zeros((2 * int(4 * sigma + 0.5) + 3,) * 2)
    centre[centre.shape[0] // 2, centre.shape[1] // 2] = 1.0
    share = float((gaussian_filter(centre, sigma) ** 2).sum())
    return gaussian_filter(counts, (sigma, sigma, 0), mode='nearest'), share


def _steps(energy: np.ndarray, onset3: float, onset2: float) -> np.ndarray:
    """Two steps, 2:1, that rise to one, (energy,)."""
    rise = [0.5 * (1 + np.tanh((energy - onset - _STEP) / _STEP_WIDTH)) for onset in (onset3, onset2)]
    steps: np.ndarray = 2 / 3 * rise[0] + 1 / 3 * rise[1]
    return steps


def _centre(
    lines: np.ndarray, noise: np.ndarray, energy: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centre of gravity of a line and its error, (pixel,) each."""
    # The mean of all pixels says which channels count: one set for all, with no noise of the pixel in the choice.
    mean = lines[seen].mean(axis=0) if seen.any() else lines.mean(axis=0)
    upper = mean > _LEAST_HEIGHT * mean.max()
    weights = lines[:, upper]
    total = np.where(seen, weights.sum(axis=1), np.nan)
    place = weights @ energy[upper] / total
    off = energy[upper] - place[:, None]
    return place, np.sqrt((off**2 * noise[:, upper]).sum(axis=1)) / total
