r"""A third phase under the core-loss edge: what pixels hold beyond background and two spectra.

Pixels are summed in tiles of the image, the expected counts M of the two-phase fit likewise. The residual in standard deviations
of counting, R = (Y - M) / sqrt(M), (tile, energy), holds noise of variance one where two phases are all there is. From it is taken

- on the side of the energies: what background and its exponent, the two spectra, their shifts and common width (first and
  second derivatives), and plasmons behind them make, which differ from pixel to pixel without any phase;
- on the side of the tiles: whatever goes with the counts of phase 1 or of phase 2 there, by any spectrum: what the fit has not
  found exactly of the two. (What goes with the background must stay: it goes with the sum of all phases, so that a third one
  is what is missing of it.)

Of what remains, with n x p degrees of freedom, the square of the largest singular value is under noise alone

    mu = (sqrt(n - 1) + sqrt(p))^2,   sigma = (sqrt(n - 1) + sqrt(p)) (1 / sqrt(n - 1) + 1 / sqrt(p))^(1/3)

with the law of Tracy and Widom for (lambda - mu) / sigma (Johnstone, Ann. Statist. 29 (2001) 295): 2.02 is exceeded once in a hundred.
A third phase of strength l^2 = sum (c_t u_E)^2, in these units, makes it l^2 (1 + n / l^2) (1 + p / l^2) (Benaych-Georges and
Nadakuditi, J. Multivar. Anal. 111 (2012) 120), so a strength has a power, and a power a least share of the counts: that of the metal itself is given, whose L3 lies
below that of its oxides.

A haematite in place of the Fe3O4 is no third phase: two spectra explain it, and `phases_nobody_asked_for` has other means to distinguish it.

Formulas: third phase by the residual of two (`third_phase`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import brentq

from napari_diptomo.spectra.eels.metal_edges import CoreLossEdge, l3_maximum
from napari_diptomo.spectra.eels.standards.factorisation import Factors

#: Law of Tracy and Widom for real noise: what is exceeded once in a hundred, and one time in ten not reached.
ONCE_IN_A_HUNDRED, _NINE_OF_TEN = 2.02, 1.2816
#: Tiles across an image, and of all images; the least of them, and of the pixels of a tile.
_ACROSS, _MOST_TILES, _LEAST_TILES, _LEAST_PIXELS = 6, 144, 12, 4
#: Plasmons behind an edge: energy and FWHM, eV.
_PLASMON, _PLASMON_WIDTH = 22.0, 12.0
#: Correlation with a candidate from which on the residual is said to look like it.
_SIMILAR = 0.6
#: Metallic iron: its L3 lies so far below that of FeO, and is broader by a Gaussian of this deviation, eV.
_METAL_SHIFT, _METAL_WIDTH = -0.9, 1.2
#: Another ion of higher valence has its L3 so much above that of the oxidised phase, eV.
_HIGHER_SHIFT = 0.7
_METAL = 'the metal itself'


@dataclass(frozen=True)
class ThirdPhase:
    """Remainder of a core loss beyond two phases.

    Attributes
    ----------
    excess : float
        Of the largest singular value, squared, over that of noise, in its standard deviations (Tracy-Widom).
    least : float
        Share of all counts of L3, here and there in the image, that metallic iron would have to have to be found with a
        probability of 90 %; above one: none would be.
    energy : float
        Where most of it lies, eV.
    name : str
        What it looks like; empty: nothing that is known.
    """

    excess: float
    least: float
    energy: float
    name: str


def third_phase(
    counts: np.ndarray, factors: Factors, where: np.ndarray, edge: CoreLossEdge, gain: float = 1.0
) -> ThirdPhase | None:
    """Remainder of the core loss beyond two phases.

    Parameters
    ----------
    counts : ndarray (pixel, energy)
        Of the pixels with the metal.
    factors : Factors
        Their fit.
    where : ndarray (image, y, x), bool
        These pixels in their images.
    edge : CoreLossEdge
        The edge.
    gain : float
        Counts per electron.

    Returns
    -------
    ThirdPhase or None
        None where there are too few pixels.
    """
    tile = _tiles(where)
    used = factors.energy >= edge.onset
    columns = _nuisances(factors, edge)[used]
    if len(tile) == 0 or tile.max() + 1 < _LEAST_TILES or used.sum() < 4 * columns.shape[1]:
        return None
    number = int(tile.max()) + 1
    known = np.column_stack([factors.heights, factors.coefficients])
    abundances = np.stack([np.bincount(tile, column, number) for column in known.T], axis=1)
    recorded = np.stack([np.bincount(tile, channel, number) for channel in counts[:, used].T], axis=1)
    model = np.maximum(abundances @ np.stack([factors.law, *factors.shapes])[:, used], 1.0)
    typical = model.mean(axis=0)
    residual = (recorded - model) / np.sqrt(gain * model)
    residual = _without(residual.T, columns / np.sqrt(typical)[:, None]).T
    residual = _without(residual, abundances[:, 1:] / np.sqrt(model.mean(axis=1, keepdims=True)))
    n, p = number - 2, int(used.sum()) - columns.shape[1]
    _, values, right = np.linalg.svd(residual, full_matrices=False)
    middle, spread = _edge_of_noise(n, p)
    excess = (values[0] ** 2 / _scale(values, n, p) - middle) / spread
    spectrum = right[0] * np.sqrt(typical)
    place = float(factors.energy[used][ndimage.gaussian_filter1d(np.abs(spectrum), 2).argmax()])
    least = _strength(middle + (ONCE_IN_A_HUNDRED + _NINE_OF_TEN) * spread, n, p)
    candidates = {
        name: _without((shape[used] / np.sqrt(typical))[:, None], columns / np.sqrt(typical)[:, None])[:, 0]
        for name, shape in _candidates(factors, edge).items()
    }
    each = abundances[:, 1:] @ factors.sums / np.sqrt(gain * model.mean(axis=1) / typical.mean())
    per_share = float(np.linalg.norm(candidates[_METAL]) * np.linalg.norm(each))
    name = _alike(spectrum / np.sqrt(typical), candidates) if excess > ONCE_IN_A_HUNDRED else ''
    return ThirdPhase(float(excess), least / max(per_share, 1e-9), place, name)


def _tiles(where: np.ndarray) -> np.ndarray:
    """Number of the tile of each pixel, (pixel,), without gaps; empty where there are too few pixels."""
    across = max(min(_ACROSS, int(np.sqrt(_MOST_TILES / len(where)))), 1)
    image, row, column = np.nonzero(where)
    if len(image) == 0:
        return image
    top, left = row.min(), column.min()
    height, width = row.max() - top + 1, column.max() - left + 1
    tile = (image * across + (row - top) * across // height) * across + (column - left) * across // width
    members = np.bincount(tile)
    # Small tiles at the rim go to the nearest number, which is a neighbour as a rule.
    large = np.flatnonzero(members >= _LEAST_PIXELS)
    if len(large) == 0:
        return tile[:0]
    nearest = large[np.abs(np.arange(len(members))[:, None] - large[None]).argmin(axis=1)]
    found: np.ndarray = np.searchsorted(large, nearest[tile])
    return found


def _nuisances(factors: Factors, edge: CoreLossEdge) -> np.ndarray:
    """Spectra that pixels may hold more or less of without another phase, (energy, column)."""
    energy = factors.energy
    step = float(energy[1] - energy[0])
    smooth = ndimage.gaussian_filter1d(factors.shapes, 0.5 / step, axis=1, mode='nearest')
    first = np.gradient(smooth, step, axis=1)
    second = np.gradient(first, step, axis=1)
    plasmon = np.exp(
        -0.5 * ((np.arange(-len(energy), len(energy) + 1) * step - _PLASMON) / (_PLASMON_WIDTH / 2.355)) ** 2
    )
    behind = [np.convolve(one, plasmon)[len(energy) : 2 * len(energy)] for one in smooth]
    law = factors.law
    columns = np.stack([law, law * np.log(energy / edge.onset), *smooth, *first, sum(second), sum(behind)], axis=1)
    norm: np.ndarray = columns / np.linalg.norm(columns, axis=0)
    return norm


def _without(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The part that is orthogonal to the columns, of (n, m) by (n, k)."""
    basis, _ = np.linalg.qr(columns)
    rest: np.ndarray = rows - basis @ (basis.T @ rows)
    return rest


def _edge_of_noise(n: int, p: int) -> tuple[float, float]:
    """mu and sigma of the largest singular value of noise, squared."""
    root = np.sqrt(n - 1) + np.sqrt(p)
    return float(root**2), float(root * (1 / np.sqrt(n - 1) + 1 / np.sqrt(p)) ** (1 / 3))


def _scale(values: np.ndarray, n: int, p: int) -> float:
    """Variance of the noise by all but the largest singular value, not below one."""
    return max(float((values[1:] ** 2).sum()) / ((n - 1) * (p - 1)), 1.0)


def _strength(square: float, n: int, p: int) -> float:
    """Strength l of a component that makes a singular value of such a square."""

    def of(strength: float) -> float:
        return float((strength**2 + n) * (strength**2 + p) / strength**2 - square)

    least = (n * p) ** 0.25
    return float(brentq(of, least, 10 * np.sqrt(max(square, 1.0)) + least)) if of(least) < 0 else float(least)


def _candidates(factors: Factors, edge: CoreLossEdge) -> dict[str, np.ndarray]:
    """Spectra of phases that may take part, one count of L3 each, (energy,)."""
    energy = factors.energy
    step = float(energy[1] - energy[0])
    ends = sorted(factors.shapes / factors.sums[:, None], key=lambda shape: l3_maximum(shape, energy, edge))
    metal = ndimage.gaussian_filter1d(
        np.interp(energy - _METAL_SHIFT, energy, ends[0]), _METAL_WIDTH / step, mode='nearest'
    )
    return {_METAL: metal, 'a higher oxidation state': np.interp(energy - _HIGHER_SHIFT, energy, ends[1])}


def _alike(residual: np.ndarray, candidates: Mapping[str, np.ndarray]) -> str:
    """The candidate whose part beyond the two phases is most like the residual; empty: none."""
    correlation = {
        name: abs(float(residual @ rest)) / max(float(np.linalg.norm(residual) * np.linalg.norm(rest)), 1e-300)
        for name, rest in candidates.items()
    }
    name = max(correlation, key=lambda one: correlation[one])
    return name if correlation[name] > _SIMILAR else ''
