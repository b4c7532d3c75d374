r"""One density inside the solid: what the concentrations of the elements have to add up to.

A pure element c fills a voxel with the density p_c. Where the elements share
the voxel and volumes add up, the filled fraction of it is

    d = sum_c x_c / p_c,

1 inside the solid and 0 in a void. The rule adds to the objective, as mean
over the voxels,

    bound:  max(0, d - 1)^2                       no voxel is more than full
    solid:  1 / (1 / d^2 + 1 / (1 - d)^2)         every voxel is full or empty

The second is the harmonic sum of the squared distances to empty and full: d^2
near 0, (1 - d)^2 near 1, smooth between, at most quadratic beyond.

The densities have to be known: finding their common factor along with the
volume was tried, and lost 3 dB, because a volume that is blurred still is
taken for a thick specimen of low density and then kept that way.

Formulas: sum rule of the densities (`SumRule`).
"""

from __future__ import annotations

import torch

from napari_diptomo.reconstruct.dip.settings import SumRuleSettings
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import InputError

#: Fraction of the iterations at which the rule sets in, and at which it has its full weight: a volume
#: that is blurred still must not be sorted into full and empty.
ONSET, FULL = 0.1, 0.5


class SumRule:
    """The penalty of volumes whose elements do not add up.

    Parameters
    ----------
    kind : {'bound', 'solid'}
        See the module.
    densities : tensor (channel,)
        Counts per voxel of the pure elements.
    weight : float
        Of the rule in the objective.
    """

    def __init__(self, kind: str, densities: torch.Tensor, weight: float) -> None:
        self._penalty = {'bound': above_full, 'solid': neither_full_nor_empty}[kind]
        self._share = (1 / densities).reshape(-1, 1, 1, 1)
        self._weight = weight

    def filled(self, x: torch.Tensor) -> torch.Tensor:
        """d of the module's formula; (channel, z, y, x) to (z, y, x)."""
        return (x * self._share).sum(0)

    def penalty(self, x: torch.Tensor) -> torch.Tensor:
        """Mean penalty of a volume (channel, z, y, x)."""
        return self._penalty(self.filled(x)).mean()

    def term(self, x: torch.Tensor, done: float) -> torch.Tensor:
        """Term of the objective when the fraction ``done`` of the iterations lies behind."""
        return self._weight * min(max((done - ONSET) / (FULL - ONSET), 0.0), 1.0) * self.penalty(x)


def above_full(filled: torch.Tensor) -> torch.Tensor:
    """The penalty ``bound`` of each voxel."""
    return (filled - 1).clamp_min(0).square()


def neither_full_nor_empty(filled: torch.Tensor) -> torch.Tensor:
    """The penalty ``solid`` of each voxel."""
    empty, full = filled.square(), (1 - filled).square()
    # The two never vanish together: their sum is at least 1/2.
    return empty * full / (empty + full)


def sum_rule_of(settings: SumRuleSettings, problem: Problem) -> SumRule | None:
    """The rule that the settings ask for, None without one.

    Raises
    ------
    InputError
        Not one density per channel.
    """
    if settings.kind == 'none':
        return None
    names = problem.maps.channels
    if len(settings.densities) != len(names):
        raise InputError(
            f'The sum rule needs the density of each pure element, one for each of {", ".join(names)}, '
            f'not {len(settings.densities)} numbers; give them in this order.'
        )
    densities = torch.tensor(settings.densities, dtype=torch.float32, device=problem.device)
    # Given in the unit of the maps, where the volume is in quanta.
    return SumRule(settings.kind, densities / problem.unit, settings.weight)
