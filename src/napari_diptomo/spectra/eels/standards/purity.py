r"""How pure the purest mixtures are, and what that leaves open.

Spectra of mixtures lie on a segment (`factorisation`); its ends are mixtures as
well. With x the share of the metal in the reduced phase and h the counts of L3
per atom of the oxidised one, an end has the share y = x / (x + (1 - x) h) of the
counts. Two observations bear on the shares x_1 > x_2 of the two ends:

*Leading edge* (`leading_edge`). Per count it is as high as

    g(x) = (x + (1 - x) / 3) / (x + (1 - x) h),

a third of the iron of Fe3O4 being Fe2+. Were the first end pure, the second would hold
s; what was measured is the ratio g(s) = g(x_2) / g(x_1), one equation for two shares.

*Contrast.* Half of the area between the spectra of the ends is D = (y_1 - y_2) D_0, with D_0
that of the pure phases. In multiplet calculations with shifts, widths and Slater
integrals chosen at random, and in sums of Gaussians, it goes with the distance of the two L3 maxima, which the
pure phases show once a first guess has separated them (`contrast_of_maxima`); that guess takes D_0 as it is on average.

*Rim.* The path through a body vanishes towards its rim in the image, where nothing but its outermost
layer is passed. So an end whose pixels lie on the rim is probably pure; then it is as far from pure as
the noise of its pixels let it (`factorisation.Ends`). Otherwise all shares are as likely.

The mean of x_1 and x_2 over all that remains possible gives the pure phases,

    S_1 = e_1 + (1 - x_1) / (x_1 - x_2) (e_1 - e_2),   S_2 = e_2 - x_2 / (x_1 - x_2) (e_1 - e_2)

in spectra per atom, and its spread the covariance of what S_1 still holds of the
oxidised phase and S_2 of the reduced one. It goes into the errors of all maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_diptomo.spectra.eels.metal_edges import CoreLossEdge

#: Half of the area between L3 of FeO and Fe3O4, one count each, at no instrumental width; its relative error;
#: what it loses with the square of the FWHM of the zero loss, per eV^2.
_CONTRAST, _CONTRAST_ERROR, _CONTRAST_LOSS = 0.28, 0.14, 0.068
#: The same by the distance of their maxima: at none, and per eV; its relative error; distances that occur, eV.
_AT_NO_DISTANCE, _PER_DISTANCE, _DISTANCE_ERROR, _DISTANCES = 0.028, 0.143, 0.11, (1.0, 2.3)
#: Probability beforehand that the first end is pure in the reduced phase, and the second one in the oxidised phase: where
#: the pixels of the end lie on the rim of the specimen, where those of the other one do, where neither does.
_ON_THE_RIM, _OTHER_ON_THE_RIM, _NO_RIM = 0.85, 0.05, 0.2
#: Pixels that pass for pure are so to this share at best: a pixel is not a point, and a film no mathematical plane.
_NEVER_PURER = 0.03
#: Relative error of the contrast of the ends from counting.
_COUNTING = 0.03
#: Shares of the first end that are compared, and the standard deviations of s.
_SHARES, _DEVIATIONS = np.linspace(0.15, 1.1, 191), np.linspace(-3.0, 3.0, 25)


@dataclass(frozen=True, eq=False)
class Purity:
    """Shares of the metal in the reduced phase at both ends.

    Attributes
    ----------
    shares : ndarray (2,)
        x_1, x_2.
    errors : ndarray (2,)
        Their standard deviations.
    impurity : ndarray (2, 2)
        Covariance of the share of the oxidised phase in S_1 and of the reduced one in S_2.
    pure : float
        Probability that the first end is pure.
    contrast : float
        D_0 that the ends would have if the first one were pure, relative to the expected one.
    """

    shares: np.ndarray
    errors: np.ndarray
    impurity: np.ndarray
    pure: float
    contrast: float


def leading_height(share: ArrayLike, edge: CoreLossEdge) -> np.ndarray:
    """Height g of the leading edge of a mixture per count of L3, that of the reduced phase being 1, (...)."""
    of_atoms = np.asarray(share, float)
    height = of_atoms + (1 - of_atoms) * edge.reduced
    found: np.ndarray = height / (of_atoms + (1 - of_atoms) * edge.per_atom)
    return found


def share_of_height(height: np.ndarray, edge: CoreLossEdge) -> np.ndarray:
    """The share of metal with a leading edge of such height; inverse of `leading_height`, (...)."""
    found: np.ndarray = (height * edge.per_atom - edge.reduced) / (1 - edge.reduced - height * (1 - edge.per_atom))
    return found


def share_of_counts(share: ArrayLike, edge: CoreLossEdge) -> np.ndarray:
    """Share y of the counts of L3 that belong to the reduced phase, of a share of the metal, (...)."""
    of_atoms = np.asarray(share, float)
    found: np.ndarray = of_atoms / (of_atoms + (1 - of_atoms) * edge.per_atom)
    return found


def expected_contrast(fwhm: float) -> tuple[float, float]:
    """D_0 at a zero loss of this FWHM, eV, and its relative error."""
    return _CONTRAST / (1 + _CONTRAST_LOSS * fwhm**2), _CONTRAST_ERROR


def contrast_of_maxima(distance: float) -> tuple[float, float]:
    """D_0 of phases whose L3 maxima are so far apart, eV, and its relative error."""
    return _AT_NO_DISTANCE + _PER_DISTANCE * float(np.clip(distance, *_DISTANCES)), _DISTANCE_ERROR


def purity(
    apparent: tuple[float, float],
    contrast: float,
    expected: tuple[float, float],
    end_errors: tuple[float, float],
    rim: tuple[bool, bool],
    edge: CoreLossEdge,
    largest: float = 1.0,
) -> Purity:
    """How pure both ends are, from their leading edge, their contrast and where they lie.

    Parameters
    ----------
    apparent : (float, float)
        Share s of the reduced phase in the second end, were the first pure, and its standard deviation.
    contrast : float
        D of the ends.
    expected : (float, float)
        D_0, and its relative error.
    end_errors : (float, float)
        How far each end may lie from the purest pixel, as a share of the segment.
    rim : (bool, bool)
        Whether the pixels of each end lie on the rim of the specimen.
    edge : CoreLossEdge
        The edge, of which it is known what its leading edge shows.
    largest : float
        Share of the first phase above which the second end would be negative without it.
    """
    first = _SHARES[:, None]
    share = np.clip(apparent[0] + apparent[1] * _DEVIATIONS, -0.3, 0.95)[None]
    second = share_of_height(leading_height(share, edge) * leading_height(first, edge), edge)
    length = share_of_counts(first, edge) - share_of_counts(second, edge)
    relative = contrast / expected[0]
    error = np.hypot(expected[1] * np.maximum(length, 0.05), _COUNTING * relative)
    likely = np.exp(-0.5 * ((relative - length) / error) ** 2 - 0.5 * _DEVIATIONS[None] ** 2) / error
    likely *= (second <= largest) & (first > second + 0.05)
    pure_errors = [max(one * relative, _NEVER_PURER) for one in end_errors]
    pure_first, pure_second = (
        _pure(outside, one) * np.ones_like(likely)
        for outside, one in zip((first - 1, -second), pure_errors, strict=True)
    )
    any_share = np.minimum(pure_first, pure_second)
    any_share[(first <= 1) & (second >= 0)] = 1.0
    each = [pure_first, pure_second, any_share]
    beforehand = _beforehand(rim)
    parts = [
        chance * part * likely / max(float(part.sum()), 1e-300) for chance, part in zip(beforehand, each, strict=True)
    ]
    weight = np.sum(parts, axis=0)
    weight /= weight.sum()
    shares = np.array([float((weight * x).sum()) for x in (first, second)])
    # Where S_1 and S_2 would lie if x_1 and x_2 were other ones.
    scale = (first - second) / (shares[0] - shares[1])
    left = np.stack([1 - (first + (1 - shares[0]) * scale), second - shares[1] * scale])
    impurity = np.einsum('iab,jab,ab->ij', left, left, weight)
    spread = [float((weight * (x - mean) ** 2).sum()) for x, mean in zip((first, second), shares, strict=True)]
    apart = float(share_of_counts(1.0, edge) - share_of_counts(apparent[0], edge))
    total = float(np.sum(parts))
    return Purity(shares, np.sqrt(spread), impurity, float(parts[0].sum()) / total, relative / max(apart, 1e-9))


def beyond_mixtures(
    apparent: tuple[float, float], contrast: float, expected: tuple[float, float], edge: CoreLossEdge
) -> float:
    r"""How far both ends lie outside of what the two phases mix to, in standard deviations.

    Ends with shares 0 <= x_2 < x_1 <= 1 have s = g^-1(g(x_2) / g(x_1)) and D = (y_1 - y_2) D_0. The least of

        ((s - s(x_1, x_2)) / error_s)^2 + ((D - D(x_1, x_2)) / (error_D D))^2

    over them is zero for mixtures. An oxidised end with less of the reduced ion than its phase has lies below: s is too small for
    its D, whether or not the first end is pure.

    Parameters
    ----------
    apparent : (float, float)
        s and its standard deviation.
    contrast : float
        D.
    expected : (float, float)
        D_0 and its relative error.
    edge : CoreLossEdge
        The edge.
    """
    first, second = np.meshgrid(np.linspace(0.1, 1.0, 91), np.linspace(0.0, 0.9, 91), indexing='ij')
    apart = first > second + 0.02
    first, second = first[apart], second[apart]
    share = share_of_height(leading_height(second, edge) / leading_height(first, edge), edge)
    length = share_of_counts(first, edge) - share_of_counts(second, edge)
    error = expected[1] * np.maximum(length, 0.1)
    misfit = ((apparent[0] - share) / apparent[1]) ** 2 + ((contrast / expected[0] - length) / error) ** 2
    return float(np.sqrt(misfit.min()))


def _beforehand(rim: tuple[bool, bool]) -> tuple[float, float, float]:
    """Probabilities that the first end is pure, that the second one is, and neither."""
    if rim[0] == rim[1]:
        return _NO_RIM, _NO_RIM, 1 - 2 * _NO_RIM
    first = _ON_THE_RIM if rim[0] else _OTHER_ON_THE_RIM
    return first, _ON_THE_RIM + _OTHER_ON_THE_RIM - first, 1 - _ON_THE_RIM - _OTHER_ON_THE_RIM


def _pure(outside: np.ndarray, error: float) -> np.ndarray:
    """Probability of a distance from pure, negative inside of the segment, as its noise makes it."""
    found: np.ndarray = np.exp(-0.5 * (outside / error) ** 2)
    return found
