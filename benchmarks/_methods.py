"""Compared methods by name, the grid of weights, and what makes each one's step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from _cases import LAMELLAE, Case
from napari_diptomo.reconstruct import SIRT, DIPmTV, Reconstruction, TotalVariation
from napari_diptomo.reconstruct.steps.poisson_em import PoissonEM
from napari_diptomo.simulate import lamella_frame

PEAKS = (30, 100, 10)
SEEDS = (0, 1, 2)
#: Peaks and noises of what takes hours, and of what only completes the picture.
ONCE = ((30, 0),)
FIRST_NOISE = tuple((peak, 0) for peak in PEAKS)
#: Noises for which the held-out counts choose a weight too: each choice costs as much as eight fits.
BY_COUNTS = FIRST_NOISE
#: Weights of the total variation that the truth may choose from, a factor of sqrt(2) apart.
WEIGHTS = tuple(float(f'{0.05 * 2 ** (k / 2):.3g}') for k in range(15))
TV_ITERATIONS = 600
TV_TOLERANCE = 5e-4
PUBLISHED_ITERATIONS = 1500
#: A published run ends when its best iterate is this many iterations old.
PUBLISHED_PATIENCE = 400


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes
    ----------
    name : str
        As in the table.
    step : callable
        From case, size, number of the noise (and for a search the weight, None for
        that which the held-out counts choose) to the step.
    every : int
        Iterations between two looks at the iterate, 0 where there is nothing to stop.
    patience : int
        End when the best iterate is this old; 0 never.
    take_best : bool
        The row shows the iterate that the truth picks.
    search : bool
        The weight is searched for.
    by_counts : bool
        The held-out counts choose a weight too.
    is_ours : bool
        Judged by the shows as ours.
    cases : tuple of str or None
        The cases it is run on; None for all.
    noises : tuple of (int, int)
        Peaks and numbers of the noise that it is run with.
    """

    name: str
    step: Callable[..., Reconstruction]
    every: int = 0
    patience: int = 0
    take_best: bool = False
    search: bool = False
    by_counts: bool = True
    is_ours: bool = False
    cases: tuple[str, ...] | None = None
    noises: tuple[tuple[int, int], ...] = tuple((peak, seed) for peak in PEAKS for seed in SEEDS)

    @property
    def is_late(self) -> bool:
        """Takes hours for one row: runs behind all else of its round."""
        return self.noises == ONCE


def _sirt(case: Case, size: int, seed: int) -> SIRT:
    return SIRT(iterations=30, seed=seed)


def _sirt_long(case: Case, size: int, seed: int) -> SIRT:
    return SIRT(iterations=150, seed=seed)


def _poisson_em(case: Case, size: int, seed: int) -> PoissonEM:
    return PoissonEM(iterations=50, seed=seed)


def _poisson_em_long(case: Case, size: int, seed: int) -> PoissonEM:
    return PoissonEM(iterations=150, seed=seed)


def _tv(coupling: str, data_term: str) -> Callable[..., TotalVariation]:
    def step(case: Case, size: int, seed: int, weight: float | None) -> TotalVariation:
        return TotalVariation(
            coupling=coupling,
            data_term=data_term,
            iterations=TV_ITERATIONS,
            tolerance=TV_TOLERANCE,
            seed=seed,
            weight=weight,
        )

    return step


def _preset(preset: str, **changes: Any) -> Callable[..., DIPmTV]:
    def step(case: Case, size: int, seed: int) -> DIPmTV:
        return DIPmTV(preset=preset, seed=seed, **changes)

    return step


def _supported(exact: bool) -> Callable[..., DIPmTV]:
    def step(case: Case, size: int, seed: int) -> DIPmTV:
        return with_support(DIPmTV(preset='balanced', support_exact=exact, seed=seed), case, size)

    return step


def with_support(step: DIPmTV, case: Case, size: int) -> DIPmTV:
    """The step with the slab that the lamella was cut to: its thickness, tilt and tip, nothing of its sides."""
    half, (nz, ny, nx) = lamella_frame(size, int(case.name.split()[1]))
    slab = {
        'support': 'slab',
        # Voxels of the phantoms are 1 nm.
        'slab_thickness': float(2 * half[0]),
        'slab_tilt': float(np.degrees(np.arctan2(-nx, nz))),
        'slab_tip': float(np.degrees(np.arcsin(ny))),
        'slab_offset': 0.0,
    }
    return DIPmTV(**{**step.model_dump(), **slab})


def _published(case: Case, size: int, seed: int) -> DIPmTV:
    # Our kernels: what the settings reach does not depend on them, how long it takes does; speed.py has the ratio.
    return DIPmTV(preset=case.published, iterations=PUBLISHED_ITERATIONS, precision='bf16', seed=seed)


def _name(coupling: str, data_term: str) -> str:
    kind = {'joint': 'joint TV', 'channels': 'TV per channel', 'nuclear': 'nuclear TV'}[coupling]
    return f'{kind}, {"Poisson" if data_term == "poisson" else "least squares"}'


def _all() -> list[Method]:
    found = [
        Method('SIRT, 30 iterations', _sirt),
        Method('SIRT, oracle iteration', _sirt_long, every=1, patience=40, take_best=True),
        Method('Poisson-EM, 50 iterations', _poisson_em, every=5),
        Method('Poisson-EM, oracle iteration', _poisson_em_long, every=1, patience=40, take_best=True),
        Method(_name('joint', 'poisson'), _tv('joint', 'poisson'), search=True),
    ]
    for preset in ('balanced', 'fast'):
        found.append(Method(f'DIPm-TV {preset}', _preset(preset), every=10, is_ours=True))
    found.append(Method('DIPm-TV best', _preset('best'), every=10, is_ours=True, noises=FIRST_NOISE))
    for name, step in {
        'slab given': _supported(exact=False),
        'slab given as exact': _supported(exact=True),
        'slab found': _preset('balanced', support='slab'),
    }.items():
        method = Method(f'DIPm-TV balanced, {name}', step, every=10, is_ours=True, cases=LAMELLAE, noises=FIRST_NOISE)
        found.append(method)
    for coupling, data_term in (
        ('joint', 'gaussian'),
        ('channels', 'poisson'),
        ('channels', 'gaussian'),
        ('nuclear', 'poisson'),
    ):
        # Eight weights of the nuclear norm take ten minutes for each series.
        by_counts = coupling != 'nuclear'
        # The strongest without a network is compared at all peaks, the others complete the picture.
        noises = FIRST_NOISE if coupling == 'nuclear' else ONCE
        step = _tv(coupling, data_term)
        found.append(Method(_name(coupling, data_term), step, search=True, by_counts=by_counts, noises=noises))
    found.append(Method('published', _published, every=10, patience=PUBLISHED_PATIENCE, take_best=True, noises=ONCE))
    return found


METHODS: dict[str, Method] = {method.name: method for method in _all()}
JOINT_TV = tuple(_name('joint', data_term) for data_term in ('poisson', 'gaussian'))
NUCLEAR_TV = _name('nuclear', 'poisson')
