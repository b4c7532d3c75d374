r"""Shifts found together with a volume: what the alignment left in the images, before the fit proper.

Volume x and shifts s of the images are fitted to the same counts,

    min over x >= 0, s of  half deviance(y | x, s) + TV(x) + sum_t |s_t - s0_t|^2 / (2 p^2),

s0 being the shifts of the alignment and p the prior deviation. Both take turns: some iterations of total variation
(`tv.primal_dual`, each turn from where the last one ended), then for each tilt one step d_t of weighted least squares, all
windows pooled,

    y - m  ~  gamma_t (m - b) - d_t . grad m,    weights 1 / var y,

with the expected m and the background b; gamma_t takes up dose and blur. What a motion of the specimen explains
(`geometry.rigid_motion`) is taken out of the moves: the volume stays where it is.

The volume gives way to displaced images, so that a step sees only a part q of what is left. Images pushed at random, and the
steps that push back, measure q; with the normal matrix N of a tilt its displacement has the covariance (q N)^-1. To its root
is added what the interpolation of displaced images leaves wrong without any noise.

The counts that are held out judge: the shifts are used only where a volume made with them predicts these better than one with
the shifts of the alignment, by more than the standard error of the difference.

Formulas: joint refinement of shifts (`refined_shifts`); error of a refined shift (`_Turns`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.prepare import prepare
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.reconstruct.sirt_iteration import typical_density
from napari_diptomo.reconstruct.stopping import paired_gain
from napari_diptomo.reconstruct.tv.primal_dual import PrimalDual
from napari_diptomo.series import Finding, MapSeries, Observer, Watch
from napari_diptomo.series.tilts import angles_in_words

#: Prior deviation of a shift and of the dose of a tilt.
_SPREAD, _DOSE = 1.0, 0.03
#: Held-out fraction where the settings hold nothing out.
_HOLDOUT = 0.1
#: Weight of the total variation, iterations from one step to the next, and to a volume that is judged.
_WEIGHT, _TURN, _SETTLED = 0.6, 20, 120
#: Steps at most; the root mean square of a step, in units of the errors, below which they end; the largest step, pixels.
_STEPS, _STILL, _LARGEST = 15, 0.1, 1.0
#: Largest move, pixels.
_FARTHEST = 5.0
#: Part of the last move that is added to the next step: what the volume follows takes many steps without it.
_MOMENTUM = 0.25
#: Push by which errors are measured, in units of the errors without it, and the largest, pixels.
_PUSH, _LARGEST_PUSH = 2.0, 0.5
#: What the interpolation of displaced images leaves wrong without any noise, pixels.
_INTERPOLATION = 0.03
#: Standard errors by which held-out counts must be predicted better.
_BETTER = 1.0
#: Smallest variance of a datum, counts: empty pixels do not know their own.
_LEAST_VARIANCE = 0.1
#: Pixels from which on a move is more than an alignment should leave.
_FAR = 2.5


@torch.no_grad()
def refined_shifts(maps: MapSeries, settings: ProblemSettings, observer: Observer | None) -> dict[str, Any]:
    """Refine the shifts of a series.

    Parameters
    ----------
    maps : MapSeries
        As they were aligned.
    settings : ProblemSettings
        Of the fit that follows; the same counts are held out.
    observer : Observer, optional
        ``finish`` leaves the shifts as they are.

    Returns
    -------
    dict
        JSON-ready, by tilt as far as it was fitted: ``angles`` in degrees; ``shifts``, ``moves`` and ``errors`` in pixels
        (y, x); ``used``, whether the held-out counts are for them; ``gain`` and its ``standard_error``, in deviance per
        datum; ``followed``, q of the module's formula; ``steps``; ``seconds``.
    """
    problem = prepare(maps, replace(settings, holdout=settings.holdout or _HOLDOUT, haadf=False))
    watch = Watch(observer, 'Refining shifts', 3 * _SETTLED + (_STEPS + 1) * _TURN)
    turns = _Turns(problem, watch)
    turns.settle()
    turns.refine()
    turns.measure_errors()
    found = turns.shifts
    gain, error = turns.judged(found)
    return {
        'angles': [float(angle) for angle in problem.maps.angles],
        'shifts': found.round(4).tolist(),
        'moves': (found - turns.start).round(4).tolist(),
        'errors': turns.errors.round(4).tolist(),
        'used': gain > _BETTER * error,
        'gain': gain,
        'standard_error': error,
        'followed': turns.followed,
        'steps': turns.steps,
        'seconds': watch.seconds,
    }


class _Turns:
    """Volume and shifts by turns.

    Attributes
    ----------
    start, shifts, errors : ndarray (tilt, 2)
        Shifts of the alignment, those found, and their standard errors, pixels (y, x).
    problem : Problem
        In the geometry of ``shifts``.
    poisson : bool
        Which statistics the data have.
    followed : float
        Part of a displacement that a step sees, see the module.
    steps : int
        Made so far.
    finished : bool
        Whether the observer has ended it.
    """

    def __init__(self, problem: Problem, watch: Watch) -> None:
        self.problem, self._watch = problem, watch
        self.start = np.array(problem.maps.shifts, float)
        self.shifts, self.errors = self.start.copy(), np.full_like(self.start, np.inf)
        self.poisson = is_poisson(problem, 'auto')
        self._solver = PrimalDual(problem, typical_density(problem), _WEIGHT, self.poisson)
        self._iterations = 0
        self.followed, self.steps, self.finished = 1.0, 0, False

    def settle(self) -> None:
        """Let the volume settle in the present geometry."""
        self._fit(_SETTLED)

    def judged(self, shifts: np.ndarray) -> tuple[float, float]:
        """Held-out deviance per datum with the shifts of the alignment less that with these, and its standard error."""
        # In this order the volume with the shifts of the alignment has had as many iterations.
        refined, after = self._expected(shifts)
        aligned, before = self._expected(self.start)
        return (0.0, 0.0) if self.finished else paired_gain(refined.seen_with(aligned), before, after, self.poisson)

    def _expected(self, shifts: np.ndarray) -> tuple[Problem, torch.Tensor]:
        """The problem with these shifts, and the data (window, tilt, y, u) expected of the volume that settles in it."""
        self._move_to(shifts)
        self.settle()
        return self.problem, self.problem.expected(self._solver.volume)

    def refine(self) -> None:
        """Make steps until they are far below their errors."""
        move = np.zeros_like(self.shifts)
        while self.steps < _STEPS and not self.finished:
            before, (step, self.errors) = self.shifts, self._step()
            self._move_to(before + np.clip(step + _MOMENTUM * move, -_LARGEST, _LARGEST))
            move = self.shifts - before
            self.steps += 1
            self._fit(_TURN)
            if np.sqrt(np.mean((step / self.errors) ** 2)) < _STILL:
                break

    def measure_errors(self) -> None:
        """Push the images at random, see how much of it a step takes back, and enlarge the errors by it."""
        found, (step, errors) = self.shifts, self._step()
        push = np.random.default_rng(0).choice([-1.0, 1.0], errors.shape) * np.minimum(_PUSH * errors, _LARGEST_PUSH)
        # A single slice has no displacement along the axis.
        push = self._free(push * (np.array(self.problem.beam.sinogram_shape[1:]) > 2))
        self._move_to(found + push)
        self._fit(_TURN)
        pushed, _ = self._step()
        back = -float(((pushed - step) * push).sum() / (push**2).sum())
        self.followed = min(max(back, 0.05), 1.0)
        self._move_to(found)
        self.errors = np.hypot(errors / np.sqrt(self.followed), _INTERPOLATION)

    def _fit(self, iterations: int) -> None:
        for _ in range(iterations):
            if self.finished:
                return
            self._solver.step()
            self._iterations += 1
            self.finished = self._watch.step(self._iterations, preview=self._frame, message='refining shifts')

    def _frame(self) -> np.ndarray:
        return self.problem.frame(self._solver.volume)

    def _step(self) -> tuple[np.ndarray, np.ndarray]:
        """Displacement of every image that its residual asks for, and the standard error that the normal matrix gives."""
        problem = self.problem
        signal = problem.forward(self._solver.volume)
        expected = signal if problem.background is None else signal + problem.background
        share = 1 - problem.share
        variance = expected.clamp_min(_LEAST_VARIANCE) if self.poisson else problem.variance
        weight = (share * problem.mask / variance).expand_as(signal).clone()
        # Differences at the rim of the image are one-sided.
        weight[..., :1] = weight[..., -1:] = 0
        columns = torch.stack([signal, *(-_derivative(signal, axis) for axis in (2, 3))])
        weighted = columns * weight
        normal = _host(torch.einsum('awtyu,bwtyu->tab', weighted, columns))
        residual = problem.fit / share - expected
        right = _host(torch.einsum('awtyu,wtyu->ta', weighted, residual))
        squares = _host((weight * residual.square()).sum((0, 2, 3)) / (weight > 0).sum((0, 2, 3)).clamp_min(1))
        prior = np.array([_DOSE, _SPREAD, _SPREAD]) ** -2.0
        normal = normal + np.diag(prior)
        right[:, 1:] -= prior[1:] * (self.shifts - self.start)
        step = np.linalg.solve(normal, right[..., None])[:, 1:, 0]
        error = np.sqrt(np.diagonal(np.linalg.inv(normal), axis1=1, axis2=2)[:, 1:])
        # What the volume leaves for other reasons than noise is uncertain as well.
        return step, error * np.sqrt(np.maximum(squares, 1))[:, None]

    def _move_to(self, shifts: np.ndarray) -> None:
        self.shifts = self.start + np.clip(self._free(shifts - self.start), -_FARTHEST, _FARTHEST)
        self.problem = self.problem.with_shifts(self.shifts)
        self._solver.move_to(self.problem)

    def _free(self, moves: np.ndarray) -> np.ndarray:
        """Moves (tilt, 2) without those that a motion of the specimen explains."""
        turn = np.deg2rad(self.problem.beam.axis_rotation)
        to_axis = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        return without_rigid_motion(moves @ to_axis, self.problem.maps.angles) @ to_axis.T


def _derivative(images: torch.Tensor, axis: int) -> torch.Tensor:
    """Central differences along an axis; 0 where it is too short to have any."""
    return torch.gradient(images, dim=axis)[0] if images.shape[axis] > 2 else torch.zeros_like(images)


def _host(tensor: torch.Tensor) -> np.ndarray:
    return tensor.double().cpu().numpy()


def findings_on(found: Mapping[str, Any], transposed: bool = False) -> tuple[Finding, ...]:
    """Findings of a refinement.

    Parameters
    ----------
    found : mapping
        See `refined_shifts`.
    transposed : bool
        Whether x and y were swapped on loading.
    """
    names = ('x', 'y') if transposed else ('y', 'x')
    angles, moves, errors = (np.array(found[key]) for key in ('angles', 'moves', 'errors'))
    rms, size = float(np.sqrt(np.mean(moves**2))), np.hypot(*moves.T)
    worst = int(size.argmax())
    evidence = {
        'rms': rms,
        'largest': float(size[worst]),
        'tilt': float(angles[worst]),
        'standard error': float(np.sqrt(np.mean(errors**2))),
        'gain': found['gain'],
        'standard error of the gain': found['standard_error'],
    }
    if not found['used']:
        return (Finding('note', 'joint refinement', _refused(found, rms), evidence),)
    where = ', '.join(
        f'{name} {move:+.2f} ± {error:.2f}'
        for name, move, error in zip(names, moves[worst], errors[worst], strict=True)
    )
    sentence = (
        f'Joint refinement moved the images by {rms:.2f} pixels (root mean square), most at {angles[worst]:g}° ({where}): '
        f'held-out counts are predicted better by it ({found["gain"] / max(found["standard_error"], 1e-30):.1f} standard errors).'
    )
    note = Finding('note', 'joint refinement', sentence, evidence)
    far = np.flatnonzero(size > _FAR)
    if not far.size:
        return (note,)
    listed = angles_in_words(angles[far[np.argsort(-size[far])]], 4)
    words = (
        f'Joint refinement moved the images at {listed} by more than {_FAR:g} pixels, farther than what it starts from '
        'should leave: look at these tilts, and run Align before it.'
    )
    return note, Finding('doubt', 'joint refinement', words, {**evidence, 'tilts': int(far.size)})


def _refused(found: Mapping[str, Any], rms: float) -> str:
    if not found['standard_error']:
        return 'Joint refinement was ended before it was judged: the shifts are those of the alignment.'
    error = found['gain'] / found['standard_error']
    judged = 'as well' if abs(error) <= 1 else f'worse ({-error:.1f} standard errors)'
    return (
        f'Joint refinement changed nothing: with images moved by {rms:.2f} pixels (root mean square) the held-out counts are '
        f'predicted {judged}, so the shifts of the alignment were kept.'
    )
