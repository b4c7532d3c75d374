"""Two phases from the spectra of many pixels: a subspace, and the ends of the segment in it.

*Subspace.* Counts of pixel p and channel E are

    Y_pE = b_p B(E) + a_p1 S_1(E) + a_p2 S_2(E),

B the background in front of the edge, S zero there but for a Lorentzian tail.
All is found by alternating least squares weighted by the expected counts,
which is the likeliest factorisation of rank two (Wentzell et al., J.
Chemometrics 11 (1997) 339). It begins with a_p1, a_p2 the counts above
background around the two L3 maxima: any two windows span the plane in which
the spectra of two phases lie.

*Segment.* Divided by its counts n_p in the window of the edge a spectrum has
one coordinate left, u_p, the share of S_1. Abundances that sum to one make a
segment of the plane; its ends are the purest mixtures that there are. The
noise of a pixel would push an end outwards if the largest u_p were taken for
it. So pixels are ordered by the u of their NEIGHBOURS, and the end is the u of
the first of them together by their OWN counts: their noise took no part in
choosing them.

Formulas: two phases from many pixels (`factorise`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from napari_diptomo.series import InputError
from napari_diptomo.series.neighbour_mean import neighbours
from napari_diptomo.spectra.eels.metal_edges import IRON, CoreLossEdge
from napari_diptomo.spectra.eels.standards.leading_edge import power_law

#: Of `factorise`.
ITERATIONS = 12
#: Folds of the pixels, of which the bootstrap draws.
FOLDS = 40
#: Least number of pixels of an end; differences of so many standard deviations end it.
_LEAST_PIXELS, _ALIKE = 6, 2.5
#: Width of the neighbourhood, pixels.
_NEIGHBOURHOOD = 1.0
#: Phases closer than so many standard deviations, or than this difference of white lines, are one.
_LEAST_SIGNIFICANCE, _LEAST_CONTRAST = 5.0, 0.03


@dataclass(frozen=True, eq=False)
class Factors:
    """Counts as background and two edge shapes.

    Attributes
    ----------
    energy : ndarray (energy,)
        eV.
    coefficients : ndarray (pixel, 2)
        a_p.
    covariance : ndarray (pixel, 2, 2)
        Of them, the background free.
    shapes : ndarray (2, energy)
        S.
    law : ndarray (energy,)
        B.
    heights : ndarray (pixel,)
        b_p.
    normal, right : ndarray (fold, energy, 2, 2) and (fold, energy, 2)
        Parts of the regression for S, of which a bootstrap is made.
    exponent : float
        Of B.
    inside : ndarray (energy,), bool
        Window of the edge.
    """

    energy: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray
    shapes: np.ndarray
    law: np.ndarray
    heights: np.ndarray
    normal: np.ndarray
    right: np.ndarray
    exponent: float
    inside: np.ndarray

    @cached_property
    def free(self) -> np.ndarray:
        """S without the form that it is given in front of the edge, (2, energy): what is left there shows."""
        return _solve(self.normal.sum(axis=0), self.right.sum(axis=0)).T

    @property
    def sums(self) -> np.ndarray:
        """Counts in the window per unit of each shape, (2,)."""
        return self.shapes[:, self.inside].sum(axis=1)

    @property
    def counts(self) -> np.ndarray:
        """Edge counts of the pixels in the window, (pixel,)."""
        return self.coefficients @ self.sums

    def spectrum(self, coefficients: np.ndarray) -> np.ndarray:
        """The edge of a mixture with one count in the window, (energy,), for coefficients (2,); free in front of the edge."""
        mixture: np.ndarray = coefficients @ self.free
        return mixture / mixture[self.inside].sum()

    def deviation(self, coefficients: np.ndarray) -> np.ndarray:
        """Standard deviation of `spectrum`, (energy,)."""
        covariance = np.linalg.pinv(self.normal.sum(axis=0), hermitian=True)
        variance = np.einsum('s,est,t->e', coefficients, covariance, coefficients)
        return np.sqrt(np.maximum(variance, 0)) / float(coefficients @ self.sums)

    def resampled(self, rng: np.random.Generator) -> Factors:
        """The same with shapes from pixels resampled, fold by fold."""
        times = rng.multinomial(len(self.normal), np.full(len(self.normal), 1 / len(self.normal)))
        return replace(self, normal=times[:, None, None, None] * self.normal, right=times[:, None, None] * self.right)


def _nobody() -> None:
    """For whom progress is of no interest."""


def factorise(
    counts: np.ndarray, energy: np.ndarray, edge: CoreLossEdge = IRON, done: Callable[[], None] = _nobody
) -> Factors:
    """Background and two edge shapes of many spectra.

    Parameters
    ----------
    counts : ndarray (pixel, energy)
        Of the pixels with iron.
    energy : ndarray (energy,)
        eV.
    edge : CoreLossEdge
        The edge.
    done : callable
        Called after every iteration.

    Raises
    ------
    InputError
        The edge is not in the spectra, or too few pixels.
    """
    edge.check_range(energy)
    if len(counts) < 2 * FOLDS:
        raise InputError(
            f'Only {len(counts)} pixels hold {edge.name}; at least {2 * FOLDS} are needed to distinguish the phases. '
            'Give a larger core loss, references of the core-loss edge, or stored standards.'
        )
    law, exponent = power_law(counts.sum(axis=0), energy, edge)
    before = energy < edge.onset
    heights = counts[:, before].sum(axis=1) / law[before].sum()
    above = counts - heights[:, None] * law
    split = sum(edge.maxima) / 2
    windows = [(energy > edge.maxima[0] - 3) & (energy <= split), (energy > split) & (energy < edge.maxima[1] + 3)]
    coefficients = np.stack([above[:, window].sum(axis=1) for window in windows], axis=1)
    expected = np.maximum(ndimage.uniform_filter1d(counts, 9, axis=1), 1.0)
    shapes = np.zeros((2, len(energy)))
    for _ in range(ITERATIONS):
        normal, right = _regression(counts - heights[:, None] * law, coefficients, 1 / expected)
        shapes = _with_tail(_solve(normal.sum(axis=0), right.sum(axis=0)).T, energy, edge)
        columns = np.stack([law, *shapes], axis=1)
        matrix = np.einsum('pe,es,et->pst', 1 / expected, columns, columns, optimize=True)
        fitted = _solve(matrix, (counts / expected) @ columns)
        heights, coefficients = fitted[:, 0], fitted[:, 1:]
        # A floor of one count: where almost nothing is expected a camera still has its read-out noise.
        expected = np.maximum(fitted @ columns.T, 0) + 1.0
        done()
    covariance = np.linalg.pinv(matrix, hermitian=True)[:, 1:, 1:]
    return Factors(
        energy, coefficients, covariance, shapes, law, heights, normal, right, exponent, edge.inside(energy)
    )  # fmt: skip


def _regression(edges: np.ndarray, coefficients: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of S, channel by channel, in folds of pixels."""
    fold = np.random.default_rng(0).permutation(len(edges)) % FOLDS
    normal = np.empty((FOLDS, edges.shape[1], 2, 2))
    right = np.empty((FOLDS, edges.shape[1], 2))
    for part in range(FOLDS):
        rows = fold == part
        products = coefficients[rows, :, None] * coefficients[rows, None, :]
        normal[part] = np.tensordot(weight[rows], products, (0, 0))
        right[part] = (weight[rows] * edges[rows]).T @ coefficients[rows]
    return normal, right


def _solve(normal: np.ndarray, right: np.ndarray) -> np.ndarray:
    ridge = 1e-10 * np.trace(normal, axis1=-2, axis2=-1)[..., None, None] * np.eye(normal.shape[-1])
    solution: np.ndarray = np.linalg.solve(normal + ridge, right[..., None])[..., 0]
    return solution


def _with_tail(shapes: np.ndarray, energy: np.ndarray, edge: CoreLossEdge) -> np.ndarray:
    """In front of the onset a Lorentzian tail that continues from the first eV behind it."""
    before = energy < edge.onset
    first = (energy >= edge.onset) & (energy < edge.onset + 1.5)
    tail = 1 / np.maximum(edge.maxima[1] - energy, 1.0) ** 2
    height = shapes[:, first].sum(axis=1) / tail[first].sum()
    shapes[:, before] = height[:, None] * tail[before]
    return shapes


@dataclass(frozen=True, eq=False)
class Ends:
    """Ends of the segment.

    Attributes
    ----------
    coefficients : ndarray (2, 2)
        Of the end towards the first L3 maximum, then the other; one count in the window each.
    pixels : ndarray (2, pixel), bool
        Whose counts they are.
    deviation : ndarray (2,)
        Standard deviation of each along the segment, relative to its length.
    """

    coefficients: np.ndarray
    pixels: np.ndarray
    deviation: np.ndarray


def segment_ends(factors: Factors, where: np.ndarray, edge: CoreLossEdge = IRON) -> Ends:
    """The purest mixtures that there are.

    Parameters
    ----------
    factors : Factors
        From `factorise`.
    where : ndarray (image, y, x), bool
        The pixels of ``factors`` in their images.
    edge : CoreLossEdge
        The edge.

    Raises
    ------
    InputError
        All pixels hold the same mixture.
    """
    order = neighbour_order(factors, where)
    share = factors.coefficients[:, 0] * factors.sums[0]
    variance = factors.covariance[:, 0, 0] * factors.sums[0] ** 2
    places, masks, deviations = [], [], []
    for ranked in (order[::-1], order):
        number, deviation = _alike(share[ranked], factors.counts[ranked], variance[ranked])
        chosen = ranked[:number]
        places.append(share[chosen].sum() / factors.counts[chosen].sum())
        deviations.append(deviation)
        masks.append(np.isin(np.arange(len(share)), chosen))
    ends = np.stack([np.array([u, 1 - u]) / factors.sums for u in places])
    _check_two(factors, ends, order, edge)
    return Ends(ends, np.array(masks), np.array(deviations) / max(places[0] - places[1], 1e-9))


def _alike(share: np.ndarray, counts: np.ndarray, variance: np.ndarray) -> tuple[int, float]:
    """How many of the first pixels are alike within their noise, and how far their u may lie from that of the purest.

    Parameters
    ----------
    share, counts, variance : ndarray (pixel,)
        Counts of S_1, of both, and the variance of the first, the purest pixels by their neighbours first.

    Returns
    -------
    number : int
        The most pixels whose u agrees with that of every smaller number of them (Lepski, Theory Probab. Appl. 35
        (1990) 454). More of them would be known better, and be less pure.
    deviation : float
        Standard deviation of their u, with the u by which the purest half of them lies farther out.
    """
    last = max(len(share) // 3, min(_LEAST_PIXELS, len(share)))
    total = np.maximum(np.cumsum(counts[:last]), 1e-9)
    u = np.cumsum(share[:last]) / total
    spread = np.cumsum(variance[:last]) / total**2
    number = _LEAST_PIXELS
    for candidate in range(_LEAST_PIXELS, last):
        fewer = slice(_LEAST_PIXELS - 1, candidate)
        apart = np.abs(u[fewer] - u[candidate])
        # The pixels are nested, so that the variance of a difference is the difference of the variances.
        if (apart > _ALIKE * np.sqrt(np.maximum(spread[fewer] - spread[candidate], 0))).any():
            break
        number = candidate + 1
    half = max(number // 2, 1) - 1
    farther = abs(u[half] - u[number - 1]) - np.sqrt(max(spread[half] - spread[number - 1], 0))
    return number, float(np.hypot(np.sqrt(spread[number - 1]), max(farther, 0)))


def neighbour_order(factors: Factors, where: np.ndarray) -> np.ndarray:
    """The pixels with enough counts in ascending order of the u of their neighbours."""
    images = np.zeros((2, *where.shape))
    images[0][where] = factors.coefficients[:, 0] * factors.sums[0]
    images[1][where] = factors.counts
    share, counts = neighbours(images, _NEIGHBOURHOOD)
    counts, share = counts[where], share[where]
    coordinate = share / np.maximum(counts, 1e-9)
    strong = np.flatnonzero((counts > 0.1 * counts.max()) & (factors.counts > 0.1 * factors.counts.max()))
    ordered: np.ndarray = strong[coordinate[strong].argsort()]
    return ordered


def _check_two(factors: Factors, ends: np.ndarray, order: np.ndarray, edge: CoreLossEdge) -> None:
    """Two phases are there when the outer thirds of the pixels, by their neighbours, differ by their own counts."""
    share, variance = factors.coefficients[:, 0] * factors.sums[0], factors.covariance[:, 0, 0] * factors.sums[0] ** 2
    third = max(len(order) // 3, 1)
    parts = [order[-third:], order[:third]]
    totals = [max(float(factors.counts[part].sum()), 1e-9) for part in parts]
    places = [float(share[part].sum()) / total for part, total in zip(parts, totals, strict=True)]
    error = float(np.hypot(*(np.sqrt(variance[part].sum()) / total for part, total in zip(parts, totals, strict=True))))
    significance = (places[0] - places[1]) / max(error, 1e-12)
    first, second = ends @ factors.shapes
    contrast = float(np.abs(first - second)[factors.inside].sum() / 2)
    if significance < _LEAST_SIGNIFICANCE or contrast < _LEAST_CONTRAST:
        raise InputError(
            f'{edge.name} looks the same in all pixels: the outer thirds of them differ by {significance:.1f} standard deviations '
            f'({_LEAST_SIGNIFICANCE:g} are needed) and the purest by {100 * contrast:.1f} % of their counts ({100 * _LEAST_CONTRAST:.0f} % are '
            f'needed). There is one phase here, one mixture, or too little dose; record {max(2.0, (_LEAST_SIGNIFICANCE / max(significance, 1.0)) ** 2):.0f} '
            f'times the dose in the core loss, or give references of {" and ".join(edge.phases)}, or standards stored from another series.'
        )
