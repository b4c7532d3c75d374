r"""Standards of the low-loss edge: regression of the low loss on known numbers of atoms.

The low loss of pixels p with a_ps metal atoms in the phases s is

    Y_p(E) = B_p(E) + sum_s a_ps M_s(E),      M_s = 0 below the onset, M_s >= 0.

Numbers of atoms of single pixels are noisy, and noise in what one regresses on pulls the
standards towards each other. So pixels are POOLED in groups first, by the phase
share of their neighbours and by their total: the noise of a pixel takes no part
in where it goes, and in a group of many it averages out (Wald, Ann. Math. Stat.
11 (1940) 284).

*Background.* M_s is free above the onset, so a background that were free there
too could not be separated from its smooth continuum. What decides is the pre-edge
window, where there is no edge: a background model (`background`) is fitted to it, group by
group, and extrapolated. All background models are tried; the one with the smallest chi2 of
the pre-edge window and of the regression together is taken, and the spread
between those that do nearly as well is part of the uncertainty. The plasmons of a
group are not fitted but known: its own low loss up to the edge shows single losses,
and with their thickness all multiples (`scattering.without_edges`). Free multiples
and tails in their place mixed with the standards: a cosine of 0.96 to the truth
on plasmon backgrounds, now 0.998 (docs/eels-fit.md).

*Thickness.* Plural scattering takes edge counts to higher losses, more of them
in thicker groups. With the single loss P known (`scattering`), the standards are
those of the mean thickness, and a group sees them through exp(d (F[P] - 1)),
d its thickness less the mean: linear in M_s all the same.

Formulas: regression of the low loss on numbers of atoms (`regress`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.series.neighbour_mean import neighbours
from napari_diptomo.spectra.common.non_negative import non_negative_of_matrix
from napari_diptomo.spectra.eels.background import BACKGROUND_MODELS, BackgroundModel, fit_background
from napari_diptomo.spectra.eels.metal_edges import EDGE_ONSET
from napari_diptomo.spectra.eels.scattering import SingleLoss, without_edges
from napari_diptomo.spectra.eels.standards.phase_maps import PhaseMaps

#: Groups by share, and by total within each.
_SHARES, _TOTALS = 6, 3
#: The tail of the edge is fitted to so much behind its onset, and its maximum lies so much behind it, eV.
_TAIL_FROM, _TO_MAXIMUM = 2.0, -EDGE_ONSET
#: A group has at least so many pixels.
_LEAST_PIXELS = 4
_ITERATIONS = 3
#: What chi2 must fall by for each unknown of a background model beyond two: numbers of atoms that are off by a percent look like a bend of the
#: background, and were worth 0.03-0.06 where the truth had none.
_PARAMETER_COST = 0.1
_FREE_PARAMETERS = {'power law': 0, 'exponential': 0, 'log-polynomial': 1, 'plasmon tail': 0, 'sum of power laws': 2}
#: Samples of `statistical_deviation`.
BOOTSTRAP = 12


@dataclass(frozen=True, eq=False)
class Groups:
    """Pooled pixels.

    Attributes
    ----------
    counts : ndarray (group, energy)
        Mean low loss of a pixel.
    atoms : ndarray (group, phase)
        Mean number of metal atoms, up to a factor.
    pixels : ndarray (group,)
        How many.
    thickness : ndarray (group,), optional
        Mean t/lambda.
    plasmons : ndarray (group, energy), optional
        ``counts`` as they were without edges; None where the zero loss is not known.
    """

    counts: np.ndarray
    atoms: np.ndarray
    pixels: np.ndarray
    thickness: np.ndarray | None = None
    plasmons: np.ndarray | None = None

    def within(self, energy: np.ndarray, used: np.ndarray, onset: float | None) -> Groups:
        """The channels of the window, with the plasmons that the whole low loss shows.

        Parameters
        ----------
        energy : ndarray (energy,)
            Of ``counts``, eV.
        used : ndarray (energy,), bool
            The window.
        onset : float or None
            Where edges begin, eV; None for no plasmons.
        """
        plasmons = None if onset is None else np.stack([without_edges(energy, one, onset)[used] for one in self.counts])
        return replace(self, counts=self.counts[:, used], plasmons=plasmons)


def pooled(counts: Sequence[np.ndarray], phases: PhaseMaps, thickness: np.ndarray | None = None) -> Groups:
    """Pixels with iron in groups, by what their neighbours hold.

    Parameters
    ----------
    counts : sequence of ndarray (y, x, energy)
        Low loss of the core-loss tilts.
    phases : PhaseMaps
        Of these tilts.
    thickness : ndarray (core tilt, y, x), optional
        t/lambda.
    """
    iron = phases.iron
    images = np.moveaxis(np.nan_to_num(phases.atoms), -1, 0)
    around = neighbours(images, 0.8)[:, iron]
    total = around.sum(axis=0)
    share = around[0] / np.maximum(total, 1e-12)
    spectra = np.concatenate([np.asarray(c, float)[mask] for c, mask in zip(counts, iron, strict=True)])
    atoms = phases.atoms[iron]
    members = [
        part
        for alike in np.array_split(share.argsort(), _SHARES)
        for part in np.array_split(alike[total[alike].argsort()], _TOTALS)
        if len(part) >= _LEAST_PIXELS
    ]
    if len(members) < 4:
        raise InputError('Too few pixels with iron for standards; give a larger image, or stored standards.')
    return Groups(
        np.stack([spectra[m].mean(axis=0) for m in members]),
        np.stack([atoms[m].mean(axis=0) for m in members]),
        np.array([len(m) for m in members]),
        None if thickness is None else _mean_thickness(thickness[iron], members),
    )


def _mean_thickness(thickness: np.ndarray, members: Sequence[np.ndarray]) -> np.ndarray | None:
    """Of each group; pixels whose zero loss is saturated have the typical one."""
    known = np.isfinite(thickness)
    if not known.any():
        return None
    filled = np.where(known, thickness, np.median(thickness[known]))
    return np.array([filled[m].mean() for m in members])


@dataclass(frozen=True, eq=False)
class Regression:
    """Standards from one background model.

    Attributes
    ----------
    background_model : str
        Its name.
    shapes : ndarray (energy, phase)
        Counts per metal atom, up to a factor.
    background : ndarray (group, energy)
        Extrapolated under them.
    residual : ndarray (group, energy)
        In standard deviations.
    chi2 : float
        Per channel, of all groups and channels.
    """

    background_model: BackgroundModel
    shapes: np.ndarray
    background: np.ndarray
    residual: np.ndarray
    chi2: float

    @property
    def score(self) -> float:
        """chi2 and what a background model must gain for its free parameters."""
        return self.chi2 + _PARAMETER_COST * _FREE_PARAMETERS[self.background_model]


def regress(
    groups: Groups,
    energy: np.ndarray,
    background_model: BackgroundModel,
    onset: float,
    *,
    read_noise: float = 0.0,
    single: SingleLoss | None = None,
    reference: float = 0.0,
) -> Regression:
    """Standards on one background model.

    Parameters
    ----------
    groups : Groups
        From `pooled`, on the channels of the window.
    energy : ndarray (energy,)
        Of the window, eV.
    background_model : str
        See `background`.
    onset : float
        Below it there is no edge, eV.
    read_noise : float
        Standard deviation of a channel, counts.
    single : SingleLoss, optional
        To take the thickness of the groups into account.
    reference : float
        t/lambda that the standards shall have.
    """
    before = energy < onset
    variance = (np.maximum(groups.counts, 0.5) + read_noise**2) / groups.pixels[:, None]
    seen = _views(len(energy), groups, single, reference)
    shapes = np.zeros((len(energy), groups.atoms.shape[1]))
    model, used = np.zeros_like(groups.counts), before
    tails = np.zeros_like(groups.counts)
    equations = _Equations(seen[:, :, ~before], groups.atoms, variance)
    for _ in range(_ITERATIONS):
        background = _backgrounds(groups, energy, background_model, model, used, read_noise)
        above = groups.counts - background
        shapes[~before] = equations.solve(above - tails)
        shapes[before] = _tail(shapes, energy, onset)
        tails = np.stack([view[:, before] @ shapes[before] @ a for view, a in zip(seen, groups.atoms, strict=True)])
        model = np.stack([view @ shapes @ a for view, a in zip(seen, groups.atoms, strict=True)])
        used = np.ones(len(energy), bool)
    residual = (above - model) / np.sqrt(variance)
    return Regression(background_model, shapes, background, residual, float((residual**2).mean()))


def _tail(shapes: np.ndarray, energy: np.ndarray, onset: float) -> np.ndarray:
    """In front of the onset the Lorentzian tail that continues from the first eV behind it, (energy in front, phase)."""
    first = (energy >= onset) & (energy < onset + _TAIL_FROM)
    far = 1 / np.maximum(onset + _TO_MAXIMUM - energy, 1.0) ** 2
    height: np.ndarray = shapes[first].sum(axis=0) / far[first].sum()
    return far[energy < onset][:, None] * height


def _backgrounds(
    groups: Groups,
    energy: np.ndarray,
    background_model: BackgroundModel,
    edges: np.ndarray,
    used: np.ndarray,
    read_noise: float,
) -> np.ndarray:
    """Background under the edges of every group, (group, energy)."""
    if background_model == 'plasmon tail':
        if groups.plasmons is None:
            raise InputError('The plasmon background needs the zero loss in the range; choose another one.')
        return groups.plasmons
    none = np.zeros((len(energy), 0))
    return np.stack([
        fit_background(
            background_model, energy, n * counts, n * edge[:, None] if (edge > 0).any() else none,
            read_variance=n * read_noise**2, used=used,
        ).spectrum / n
        for counts, edge, n in zip(groups.counts, np.maximum(edges, 0.0), groups.pixels, strict=True)
    ])  # fmt: skip


def _views(channels: int, groups: Groups, single: SingleLoss | None, reference: float) -> np.ndarray:
    """Each channel of the standards after plural scattering, (group, energy, energy)."""
    identity = np.eye(channels)
    if single is None or groups.thickness is None:
        return np.broadcast_to(identity, (len(groups.counts), channels, channels))
    return single.scattered(identity, groups.thickness - reference)


class _Equations:
    """Weighted non-negative least squares for all channels and phases together; their matrix is the same whatever the spectra."""

    def __init__(self, columns: np.ndarray, atoms: np.ndarray, variance: np.ndarray) -> None:
        phases, channels = atoms.shape[1], columns.shape[2]
        self._columns, self._atoms, self._variance = columns, atoms, variance
        matrix = np.zeros((phases, channels, phases, channels))
        for view, a, v in zip(columns, atoms, variance, strict=True):
            product = (view.T / v) @ view
            for s in range(phases):
                for t in range(phases):
                    matrix[s, :, t] += a[s] * a[t] * product
        self._matrix = matrix.reshape(phases * channels, phases * channels)

    def solve(self, above: np.ndarray) -> np.ndarray:
        """Shapes (channel, phase) from what groups have above their background, (group, energy)."""
        projected = [view.T @ (y / v) for view, y, v in zip(self._columns, above, self._variance, strict=True)]
        right = self._atoms.T @ np.stack(projected)
        found: np.ndarray = non_negative_of_matrix(self._matrix, right.ravel()).reshape(right.shape).T
        return found


def usable_models(groups: Groups) -> tuple[BackgroundModel, ...]:
    """Background models that can be fitted to these groups."""
    return tuple(f for f in BACKGROUND_MODELS if f != 'plasmon tail' or groups.plasmons is not None)


def _nobody() -> None:
    """For whom progress is of no interest."""


def all_models(
    groups: Groups, energy: np.ndarray, onset: float, *, done: Callable[[], None] = _nobody, **how: Any
) -> list[Regression]:
    """One regression per background model that can be fitted, the best score first; ``done`` is called after each."""
    found = []
    for background_model in usable_models(groups):
        found.append(regress(groups, energy, background_model, onset, **how))
        done()
    return sorted(found, key=lambda one: one.score)


def statistical_deviation(
    groups: Groups,
    best: Regression,
    energy: np.ndarray,
    onset: float,
    *,
    read_noise: float = 0.0,
    single: SingleLoss | None = None,
    reference: float = 0.0,
    seed: int = 0,
    done: Callable[[], None] = _nobody,
) -> np.ndarray:
    """Standard deviation of standards by counting noise, sampled anew, (energy, phase).

    Parameters
    ----------
    groups, best
        Input and outcome of the regression.
    energy, onset, read_noise, single, reference
        As for `regress`.
    seed : int
        Of the draw.
    done : callable
        Called after every draw.
    """
    rng = np.random.default_rng(seed)
    behind = energy >= onset
    columns = _views(len(energy), groups, single, reference)[:, :, behind]
    variance = (np.maximum(groups.counts, 0.5) + read_noise**2) / groups.pixels[:, None]
    above = groups.counts - best.background
    equations = _Equations(columns, groups.atoms, variance)
    sampled = []
    for _ in range(BOOTSTRAP):
        sampled.append(equations.solve(above + np.sqrt(variance) * rng.standard_normal(above.shape)))
        done()
    deviation = np.zeros_like(best.shapes)
    deviation[behind] = np.std(sampled, axis=0)
    return deviation
