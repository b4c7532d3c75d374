r"""Background models under a low-loss edge, fitted to a whole tilt and adjusted at its pixels.

Under 40-80 eV lie the tail of the plasmons, their multiples and what other
edges leave. Which law it follows is not known, and an edge there may change by
a factor of three with it. So there are several background models, and each is fitted
TOGETHER with the edges S to the summed spectrum of a tilt, weighted:

- *power law*: log B = c_0 + c_1 log E;
- *exponential*: log B = c_0 + c_1 E;
- *log-polynomial*: log B = c_0 + c_1 log E + c_2 (log E)^2;
- *sum of power laws*: sum_r b_r E^-r, r from 1 to 6, b not negative (Cueva et
  al., Microsc. Microanal. 18, 2012, 667: linear combination of power laws);
- *plasmon tail*: b_1 P + b_2 P*P + b_3 P*P*P, P the single loss that Fourier-log
  finds in the tilt itself (`scattering`), its tail bent by E^-1, E^0, E^1.

At a pixel, statistics bear no more than two or three unknowns. There the fitted
background B of the tilt is multiplied by Bernstein polynomials in log E,

    B(E) sum_k x_k binom(n, k) u^k (1 - u)^(n - k),   u from 0 to 1 over the window:

n = 0 scales it, 1 changes its power, 2 bends it. All columns and coefficients are
non-negative, and yet coefficients seldom are zero: x = 1 is the background of the
tilt. So estimates are not biased and have the variance of a linear fit, what
a non-negative sum of power laws at the pixel itself would not give. The plasmon
background model has single, double and multiple losses as columns instead: their ratios
are what thickness changes. (With two columns, single and all others, the pooled
FeO fraction of docs/eels-fit.md was -0.02 off instead of -0.01.)

Formulas: background models under a low-loss edge (`fit_background`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.optimize import least_squares
from scipy.special import comb

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.non_negative import non_negative
from napari_diptomo.spectra.eels.scattering import SingleLoss

BackgroundModel = Literal['sum of power laws', 'power law', 'exponential', 'log-polynomial', 'plasmon tail']
BACKGROUND_MODELS: tuple[BackgroundModel, ...] = get_args(BackgroundModel)

_POWERS = np.arange(1.0, 6.25, 0.5)
_MULTIPLES = 4
_ITERATIONS = 3
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class TiltBackground:
    """A background model as it was fitted to the sum of a tilt.

    Attributes
    ----------
    background_model : str
        Its name.
    parts : ndarray (energy, part)
        Expected counts of the sum: the background, for plasmons single, double and multiple losses.
    intensities : ndarray (edge,)
        Of the edges in the sum.
    chi2 : float
        Pearson's per degree of freedom of the sum.
    residual : ndarray (energy,)
        Counts less what is fitted.
    """

    background_model: BackgroundModel
    parts: np.ndarray
    intensities: np.ndarray
    chi2: float
    residual: np.ndarray

    @property
    def spectrum(self) -> np.ndarray:
        """Expected counts of the background in the sum, (energy,)."""
        whole: np.ndarray = self.parts.sum(axis=1)
        return whole

    def columns(self, energy: np.ndarray, order: int = 1) -> np.ndarray:
        """Columns that pixels are fitted with, (energy, column), non-negative.

        Parameters
        ----------
        energy : ndarray (energy,)
            Of the window, eV.
        order : int
            Polynomial order of a pixel: 0 scales the background, 1 tilts it, 2 bends it.
        """
        # A part that the tilt has nothing of would be a column of zeros, which nothing can be solved with.
        parts = self.parts[:, self.parts.any(axis=0)]
        if order and parts.shape[1] > 1:
            extra = modulations(energy, order - 1)
            return np.hstack([parts[:, :1] * extra, parts[:, 1:]])
        return self.spectrum[:, None] * modulations(energy, order)


def modulations(energy: np.ndarray, order: int) -> np.ndarray:
    """Bernstein polynomials in log E over the window, (energy, order + 1); they add up to one."""
    u = np.log(energy / energy[0]) / np.log(energy[-1] / energy[0])
    k = np.arange(order + 1)
    found: np.ndarray = comb(order, k) * u[:, None] ** k * (1 - u[:, None]) ** (order - k)
    return found


def fit_background(
    background_model: BackgroundModel,
    energy: np.ndarray,
    counts: np.ndarray,
    edges: np.ndarray,
    *,
    read_variance: float = 0.0,
    single: SingleLoss | None = None,
    used: np.ndarray | None = None,
) -> TiltBackground:
    """Fit a background model and the edges to the summed spectrum of a tilt.

    Parameters
    ----------
    background_model : {'sum of power laws', 'power law', 'exponential', 'log-polynomial', 'plasmon tail'}
        Which.
    energy : ndarray (energy,)
        Of the window, eV, above zero.
    counts : ndarray (energy,)
        Sum over the pixels.
    edges : ndarray (energy, edge)
        Shapes of the edges.
    read_variance : float
        Variance of a channel of the sum that is not from counting.
    single : SingleLoss, optional
        For the plasmon background model.
    used : ndarray (energy,), bool, optional
        Channels that the fit looks at; all where not given. In the others it is extrapolated.

    Raises
    ------
    InputError
        An unknown background model, or plasmons without their shape.
    """
    used = np.ones(len(energy), bool) if used is None else used
    if background_model in ('power law', 'exponential', 'log-polynomial'):
        start = fit_background('sum of power laws', energy, counts, edges, read_variance=read_variance, used=used)
        parts, intensities, unknowns = _log_linear(
            _logs(background_model, energy), counts, edges, read_variance, used, start
        )
    else:
        shapes, groups = _shapes(background_model, energy, single)
        solution = _weighted(counts, np.hstack([edges, shapes]), read_variance, used)
        n = edges.shape[1]
        intensities = solution[:n]
        parts = np.stack([shapes[:, g] @ solution[n:][g] for g in groups], axis=1)
        unknowns = int((solution > 0).sum())
    model = parts.sum(axis=1) + edges @ intensities
    residual = counts - model
    misfit = (residual**2 / _variance(model, read_variance))[used].sum()
    chi2 = float(misfit / max(int(used.sum()) - unknowns, 1))
    return TiltBackground(background_model, parts, intensities, chi2, residual)


def _shapes(
    background_model: BackgroundModel, energy: np.ndarray, single: SingleLoss | None
) -> tuple[np.ndarray, list[slice]]:
    """Columns of a linear background model and which of them make up a part."""
    relative = energy / np.sqrt(energy[0] * energy[-1])
    if background_model == 'sum of power laws':
        return relative[:, None] ** -_POWERS, [slice(None)]
    if background_model != 'plasmon tail':
        raise InputError(f'There is no background {background_model}; choose among {", ".join(BACKGROUND_MODELS)}.')
    if single is None:
        raise InputError('The plasmon background needs the zero loss in the range; choose another one.')
    multiples = single.multiples(_MULTIPLES)
    losses = single.step * np.arange(multiples.shape[1])
    sampled = np.stack([np.interp(energy, losses, one) for one in multiples], axis=1)
    tails = sampled[:, :1] * relative[:, None] ** np.array([-1.0, 0.0, 1.0])
    return np.hstack([tails, sampled[:, 1:]]), [slice(0, 3), slice(3, 4), slice(4, None)]


def _variance(model: np.ndarray, read_variance: float) -> np.ndarray:
    # A channel expected to hold next to nothing must not outweigh the rest.
    return np.maximum(model, 1e-3 * max(float(model.mean()), _TINY)) + read_variance


def _weighted(counts: np.ndarray, columns: np.ndarray, read_variance: float, used: np.ndarray) -> np.ndarray:
    """Non-negative intensities, weighted by what is expected."""
    expected = counts
    for _ in range(_ITERATIONS):
        root = used / np.sqrt(_variance(expected, read_variance))
        solution = non_negative(columns * root[:, None], counts * root)
        expected = columns @ solution
    return solution


def _logs(background_model: BackgroundModel, energy: np.ndarray) -> np.ndarray:
    """Terms of the logarithm of a background, (energy, term)."""
    if background_model == 'exponential':
        return np.stack([np.ones(len(energy)), 2 * (energy - energy.mean()) / np.ptp(energy)], axis=1)
    u = np.log(energy / np.sqrt(energy[0] * energy[-1])) / np.log(np.sqrt(energy[-1] / energy[0]))
    powers: np.ndarray = u[:, None] ** np.arange(3 if background_model == 'log-polynomial' else 2)
    return powers


def _log_linear(
    logs: np.ndarray,
    counts: np.ndarray,
    edges: np.ndarray,
    read_variance: float,
    used: np.ndarray,
    start: TiltBackground,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Least squares of exp(logs c) and edges: background (energy, 1), intensities, unknowns."""
    n = logs.shape[1]
    scale = max(float(start.spectrum.mean()), _TINY)
    # By the largest channel: an edge whose channels add up to nothing or less has a size as well.
    sizes = scale / np.maximum(np.abs(edges).max(axis=0), _TINY)
    model = start.spectrum + edges @ start.intensities

    def parts_of(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return scale * np.exp(np.clip(logs @ p[:n], -50, 50)), sizes * p[n:]

    first = np.linalg.lstsq(logs, np.log(np.maximum(start.spectrum, 1e-9 * scale) / scale), rcond=None)[0]
    unknowns = np.concatenate([first, np.maximum(start.intensities / sizes, 1e-6)])
    lower = np.concatenate([np.full(n, -np.inf), np.zeros(edges.shape[1])])
    for _ in range(_ITERATIONS):
        root = used / np.sqrt(_variance(model, read_variance))

        def misfit(p: np.ndarray, root: np.ndarray = root) -> np.ndarray:
            background, intensities = parts_of(p)
            return (background + edges @ intensities - counts) * root

        def slope(p: np.ndarray, root: np.ndarray = root) -> np.ndarray:
            return np.hstack([parts_of(p)[0][:, None] * logs, edges * sizes]) * root[:, None]

        unknowns = least_squares(misfit, unknowns, slope, bounds=(lower, np.inf), x_scale='jac').x
        background, intensities = parts_of(unknowns)
        model = background + edges @ intensities
    return background[:, None], intensities, len(unknowns)
