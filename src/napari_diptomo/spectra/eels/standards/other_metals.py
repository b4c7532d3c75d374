r"""White lines of other 3d metals in the core loss, by the spectra of many pixels together.

L2,3 of the 3d metals lie at known energies some 65 eV apart, so a metal that nobody asked for has lines where the metal that was asked
for has none, and the sum of all pixels has thousands of times the counts of one. Around L3 of each candidate

    Y(E) = E^-r (c_0 + c_1 x + c_2 x^2) + a T(E - d, w),

x the energy from -1 to 1, T two Gaussians at the tabulated distance of L2 from L3, one count in L3. d (chemical shift, axis) and w are tried out and
the highest a in units of its error is taken, errors in units of the root of chi2 per channel: what roughness (a gain pattern, EXELFS) the background
has makes it less certain. Found is what stands out by five standard deviations; with as many looks as are taken here, noise alone does
so less than once in ten thousand series. Behind O-K the spectrum has waves (EXELFS): where, up to 80 eV behind it, a single Gaussian
of 12 to 16 eV explains more than the lines do, there are no lines. (A measured Mn oxide had "chromium" of 6.5 standard deviations without
that, 45 eV behind O-K.) Seen with a probability of 90 % would be a = (5 + 1.28) standard deviations.

Sums of pixels of like mixtures give a in each; regressed on the atoms of the phases there (non-negative) they
say which phase holds the metal. Counts become atoms by 3d holes (sum rule) at equal cross section, perhaps too few by a third, as part of the step behind the lines passes for background.

Formulas: white lines of other metals (`other_metals`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from napari_diptomo.spectra.common.exspy_adapter import edge_onsets
from napari_diptomo.spectra.common.power_law import log_log_line

#: Metals with white lines in their oxides, and the 3d holes of the ion that is typical there.
_HOLES = {'Ti': 10.0, 'V': 7.0, 'Cr': 7.0, 'Mn': 5.0, 'Fe': 4.0, 'Co': 3.0, 'Ni': 2.0, 'Cu': 1.0}
#: Around L3: background in front and behind, eV; the least of each.
_FRONT, _BEHIND, _LEAST_FRONT, _LEAST_BEHIND = 28.0, 30.0, 12.0, 6.0
#: The edge that was asked for begins and ends so far from its L3 and L2, eV.
_BEFORE, _AFTER = 8.0, 12.0
#: Shifts and FWHM that are tried, eV; counts of L2 per count of L3.
_SHIFTS, _WIDTHS, _L2 = np.arange(-3.0, 3.01, 0.5), (1.8, 3.2, 4.5), 0.45
#: O-K, and how far behind it there are waves; in front of it a fit ends so much earlier, eV.
_OXYGEN, _REACH, _CLEAR = 532.0, 80.0, 6.0
#: Waves of EXELFS that may pass for lines: FWHM, and where they are looked for relative to L3, eV.
_WAVES, _WAVE_SHIFTS = (12.0, 16.0), np.arange(-5.0, 15.1, 1.0)
#: Found is what is as significant; the distance of the power of 90 % from there.
CERTAIN, _POWER = 5.0, 1.2816


@dataclass(frozen=True)
class OtherMetal:
    """White lines of a metal in a core loss, found or not.

    Attributes
    ----------
    element : str
        The metal.
    energy : float
        Of L3, eV.
    significance : float
        Standard deviations; zero where a wave of EXELFS explains more than lines do.
    shares : tuple of float
        Of the metal atoms of each phase that are this metal; their errors.
    errors : tuple of float
        By counting.
    least : float
        Share of all metal atoms that would have been seen with a probability of 90 %.
    """

    element: str
    energy: float
    significance: float
    shares: tuple[float, ...]
    errors: tuple[float, ...]
    least: float


def other_metals(
    energy: np.ndarray, spectra: np.ndarray, atoms: np.ndarray, element: str, gain: float = 1.0
) -> tuple[OtherMetal, ...]:
    """3d metals whose L3 is in the core loss, apart from the one that was asked for.

    Parameters
    ----------
    energy : ndarray (energy,)
        eV, the whole core loss.
    spectra : ndarray (group, energy)
        Counts of groups of pixels, summed.
    atoms : ndarray (group, phase)
        Of the metal that was asked for, one count of L3 per atom of the first phase, summed likewise.
    element : str
        That metal.
    gain : float
        Counts per electron.

    Returns
    -------
    tuple of OtherMetal
        Candidates, found or not; metals that the range does not hold are none.
    """
    candidates = (_candidate(energy, spectra, atoms, one, element, gain) for one in _HOLES if one != element)
    return tuple(one for one in candidates if one is not None)


def _candidate(
    energy: np.ndarray, spectra: np.ndarray, atoms: np.ndarray, element: str, asked: str, gain: float
) -> OtherMetal | None:
    onsets = edge_onsets()
    first, second = onsets[f'{element}_L3'], onsets[f'{element}_L2']
    low, high = _around(energy, first, (onsets[f'{asked}_L3'] - _BEFORE, onsets[f'{asked}_L2'] + _AFTER))
    if first - low < _LEAST_FRONT or high - first < _LEAST_BEHIND:
        return None
    used = (energy >= low) & (energy <= high)
    near, total = energy[used], spectra[:, used].sum(axis=0)
    if not (total > 0).all():
        return None
    background = _background(near, total)
    variance = gain * np.maximum(total, 1.0)
    fits = [
        (*_amplitude(total, variance, background, template), template)
        for width in _WIDTHS
        for shift in _SHIFTS
        if len(template := _lines(near, first + shift, second + shift, width))
    ]
    counts, error, template = max(fits, key=lambda fit: fit[0] / fit[1])
    waves = [
        _amplitude(total, variance, background, _line(near, first + shift, fwhm))
        for fwhm in _WAVES
        for shift in _WAVE_SHIFTS
        if 0 < first - _OXYGEN < _REACH
    ]
    are_lines = all(counts / error > wave / its_error for wave, its_error in waves)
    place = float(near[template.argmax()])
    rough = error / _amplitude(total, variance, background, template, scaled=False)[1]
    each = [
        _amplitude(one, gain * np.maximum(one, 1.0), background, template, scaled=False) for one in spectra[:, used]
    ]
    per_atom = _HOLES[element] / _HOLES.get(asked, 4.0)
    shares, errors = _by_phase(np.array(each) / per_atom, atoms, rough)
    least = (CERTAIN + _POWER) * error / per_atom
    return OtherMetal(
        element,
        place,
        counts / error if are_lines else 0.0,
        shares,
        errors,
        float(least / max(least + float(atoms.sum()), 1e-9)),
    )


def _around(energy: np.ndarray, l3: float, asked: tuple[float, float]) -> tuple[float, float]:
    """Limits of the fit around a line: in the range, and beside the edge that was asked for, eV."""
    low, high = max(l3 - _FRONT, float(energy[0])), min(l3 + _BEHIND, float(energy[-1]))
    if l3 < _OXYGEN:
        high = min(high, _OXYGEN - _CLEAR)
    return (low, min(high, asked[0])) if l3 < asked[0] else (max(low, asked[1]), high)


def _background(energy: np.ndarray, total: np.ndarray) -> np.ndarray:
    """A power law times a parabola, (energy, 3)."""
    slope, _ = log_log_line(energy / energy[0], total, np.sqrt(total))
    x = np.linspace(-1, 1, len(energy))
    law = (energy / energy[0]) ** slope
    return law[:, None] * np.stack([np.ones_like(x), x, x**2], axis=1)


def _lines(energy: np.ndarray, first: float, second: float, fwhm: float) -> np.ndarray:
    """L3 and L2, one count in L3, (energy,)."""
    return _line(energy, first, fwhm) + _L2 * _line(energy, second, 1.2 * fwhm)


def _line(energy: np.ndarray, centre: float, fwhm: float) -> np.ndarray:
    """A Gaussian of one count, (energy,)."""
    sigma = fwhm / np.sqrt(8 * np.log(2))
    step = float(energy[1] - energy[0])
    found: np.ndarray = np.exp(-0.5 * ((energy - centre) / sigma) ** 2) * step / (sigma * np.sqrt(2 * np.pi))
    return found


def _amplitude(
    counts: np.ndarray,
    variance: np.ndarray,
    background: np.ndarray,
    template: np.ndarray,
    scaled: bool = True,
) -> tuple[float, float]:
    """Counts of L3 and their standard deviation, in units of the root of chi2 where that is above one."""
    root = 1 / np.sqrt(variance)
    columns = np.column_stack([template, background]) * root[:, None]
    solution, *_ = np.linalg.lstsq(columns, counts * root, rcond=None)
    covariance = np.linalg.pinv(columns.T @ columns, hermitian=True)
    chi2 = float(((counts * root - columns @ solution) ** 2).sum()) / max(len(counts) - columns.shape[1], 1)
    return float(solution[0]), float(np.sqrt(covariance[0, 0] * (max(chi2, 1.0) if scaled else 1.0)))


def _by_phase(counts: np.ndarray, atoms: np.ndarray, rough: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Shares of the metal atoms of each phase that are the other metal, from its atoms in each group, (group, value and error)."""
    value, error = counts[:, 0], rough * np.maximum(counts[:, 1], 1e-9)
    ratio = nnls(atoms / error[:, None], value / error)[0]
    covariance = np.linalg.pinv((atoms / error[:, None] ** 2).T @ atoms, hermitian=True)
    spread = np.sqrt(np.diag(covariance))
    return tuple((ratio / (1 + ratio)).tolist()), tuple((spread / (1 + ratio) ** 2).tolist())


def summed(counts: Sequence[np.ndarray] | np.ndarray, where: np.ndarray, members: Sequence[np.ndarray]) -> np.ndarray:
    """Spectra of pixels in groups, without a copy of all of them, (group, energy).

    Parameters
    ----------
    counts : ndarray (image, y, x, energy)
        All spectra.
    where : ndarray (image, y, x), bool
        Pixels that are numbered.
    members : sequence of ndarray
        Numbers of the pixels of each group.
    """
    image, row, column = np.nonzero(where)
    found = np.zeros((len(members), np.shape(counts[0])[-1]))
    for group, part in enumerate(members):
        for few in np.array_split(part, max(len(part) // 2048, 1)):
            found[group] += np.asarray(counts)[image[few], row[few], column[few]].sum(axis=0, dtype=float)
    return found
