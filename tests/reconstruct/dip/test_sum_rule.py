"""The sum rule: its penalties, and that it moves a volume the way it says."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.dip.sum_rule import SumRule, above_full, neither_full_nor_empty
from napari_diptomo.series import InputError, Observer

SMALL = {'widths': (8, 16), 'skips': (4, 4), 'learning_rate': 2e-2, 'output': 'softplus'}


def test_full_and_empty_voxels_cost_nothing_and_others_the_distance_to_the_nearer():
    """Near 0 and near 1 the penalty is the squared distance, half way it is 1 / 8, beyond 1 it grows quadratically."""
    penalty = neither_full_nor_empty(torch.tensor([0.0, 1.0, 0.01, 0.99, 0.5, 101.0, 201.0], dtype=torch.float64))
    np.testing.assert_allclose(penalty[:5], [0, 0, 1e-4, 1e-4, 0.125], rtol=0.01, atol=1e-12)
    assert float(penalty[6] / penalty[5]) == pytest.approx(4, rel=0.03)
    np.testing.assert_allclose(above_full(torch.tensor([0.3, 1.0, 1.5])), [0, 0, 0.25])


def test_the_penalty_is_smooth_where_it_is_used():
    filled = torch.linspace(-0.2, 3, 200, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(neither_full_nor_empty, filled)
    zero = torch.zeros(3, requires_grad=True)
    neither_full_nor_empty(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_pure_elements_and_mixtures_of_them_fill_a_voxel():
    rule = SumRule('solid', torch.tensor([13.0, 10.0, 9.0]), weight=2.0)
    x = torch.tensor([[13.0, 0, 0], [0, 10, 0], [6.5, 5, 0], [0, 5, 4.5], [0, 0, 0]]).T.reshape(3, 5, 1, 1)
    np.testing.assert_allclose(rule.filled(x).flatten(), [1, 1, 1, 1, 0], atol=1e-6)
    assert float(rule.penalty(x)) == pytest.approx(0, abs=1e-12)
    assert float(rule.penalty(x / 2)) == pytest.approx(0.125 * 4 / 5, rel=1e-5)
    assert float(rule.term(x / 2, 0.05)) == 0
    assert float(rule.term(x / 2, 1.0)) == pytest.approx(2 * 0.1, rel=1e-5)


def test_a_strong_bound_is_kept_to(maps):
    """Channel A alone, whose solid holds 3 counts per voxel, said to hold 2."""
    alone = maps.select(('A',))

    def overfull(kind):
        fields = {'sum_rule': kind, 'densities': (2.0,), 'sum_rule_weight': 20.0}
        volume = DIPmTV(iterations=40, **SMALL, **fields).run(alone)
        return float(above_full(torch.as_tensor(volume.data[0] / 2)).mean())

    assert overfull('bound') < 0.2 * overfull('none')


def test_the_rule_of_the_solid_pulls_to_the_nearer_of_empty_and_full():
    filled = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.3], requires_grad=True)
    neither_full_nor_empty(filled).sum().backward()
    assert torch.sign(filled.grad).tolist() == [1, 1, -1, -1, 1]


def test_a_rule_continues_from_a_checkpoint(maps):
    class Keeper(Observer):
        kept, iteration = None, 0

        def report(self, progress):
            self.iteration = progress.iteration

        def save_state(self, state):
            if self.iteration == 13 and self.kept is None:
                self.kept = copy.deepcopy(state())

    class Resumer(Observer):
        def load_state(self):
            return keeper.kept

    keeper = Keeper()
    step = DIPmTV(iterations=24, sum_rule='solid', densities=(3.0, 6.0), sum_rule_weight=1.0, **SMALL)
    whole = step.run(maps, keeper)
    np.testing.assert_allclose(step.run(maps, Resumer()).data, whole.data, rtol=1e-4, atol=1e-5)


def test_missing_or_impossible_densities_are_one_sentence(maps):
    with pytest.raises(InputError, match='one for each of A, B, not 1 numbers'):
        DIPmTV(sum_rule='bound', densities=(3.0,)).run(maps)
    with pytest.raises(InputError, match='positive'):
        DIPmTV(densities=(3.0, 0.0))
