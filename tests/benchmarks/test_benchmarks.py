"""Parts of the benchmarks that must be right: the search, the store, the observer, the priors they hand over."""

from __future__ import annotations

import time

import numpy as np
import pytest

from _cases import CASES, LAMELLAE, phantom_of
from _methods import METHODS, WEIGHTS, with_support
from _scores import Curve, on_grid
from _search import climb
from _store import Store, is_current
from ablations import MIXING, unmixing
from napari_diptomo.reconstruct import SIRT, DIPmTV
from napari_diptomo.reconstruct.support import Slab
from napari_diptomo.series import Progress, Request


@pytest.mark.parametrize('top', range(15))
@pytest.mark.parametrize('start', (0, 7, 14))
def test_climbing_finds_the_top_of_any_hill(top, start):
    assert climb(lambda index: -abs(index - top), start, 15) == top


def test_weights_are_a_factor_of_sqrt_2_apart():
    np.testing.assert_allclose(np.diff(np.log2(WEIGHTS)), 0.5, atol=0.02)


def test_slab_given_is_the_one_that_the_lamella_was_cut_to():
    for name in LAMELLAE[:2]:
        step = with_support(DIPmTV(), CASES[name], 24)
        slab = Slab(step.slab_thickness, step.slab_tilt, step.slab_tip, step.slab_offset)
        phases = phantom_of(CASES[name], 24).phases > 0
        inside = slab.inside(phases.shape)
        assert inside[phases].min() >= 0.3
        assert (inside[phases] > 0.99).mean() > 0.85
        other_way = Slab(step.slab_thickness, -step.slab_tilt, -step.slab_tip).inside(phases.shape)
        assert inside[phases].sum() > other_way[phases].sum()


def test_a_result_is_found_again_unless_its_step_or_version_changed(tmp_path, monkeypatch):
    Store(tmp_path / 'a.json').put('key', SIRT(iterations=5), {'psnr': 1.0})
    assert Store(tmp_path / 'a.json').find('key', SIRT(iterations=5))['psnr'] == 1.0
    assert Store(tmp_path / 'a.json').find('key', SIRT(iterations=6)) is None
    monkeypatch.setattr('_store.fingerprint', lambda step: 'another')
    assert Store(tmp_path / 'a.json').find('key', SIRT(iterations=5)) is None
    assert Store(tmp_path / 'a.json').current('key') == {}
    # It stays in the file until it is measured again.
    assert Store(tmp_path / 'a.json').cells['key']['psnr'] == 1.0


def test_results_of_versions_raised_by_hand_and_of_steps_that_are_no_more_are_not_current():
    assert not is_current({'step': SIRT().to_dict(), 'version': '1.1'})
    assert not is_current({'step': {'step': 'Gone'}, 'version': '1.1'})


def test_a_result_keeps_the_version_of_the_code_that_made_it(tmp_path):
    store = Store(tmp_path / 'a.json')
    store.put('key', SIRT(), {'version': 'older.1'})
    assert store.find('key', SIRT()) is None


def test_a_field_that_is_new_counts_by_its_default(tmp_path):
    store = Store(tmp_path / 'a.json')
    store.put('key', SIRT(), {})
    del store.cells['key']['step']['holdout']
    assert store.find('key', SIRT()) is not None
    assert store.find('key', SIRT(holdout=0.2)) is None


def test_a_field_that_does_nothing_may_change(tmp_path):
    store = Store(tmp_path / 'a.json')
    store.put('key', SIRT(), {})
    assert store.find('key', SIRT(slab_margin=3.0)) is not None
    assert store.find('key', SIRT(support='slab')) is None
    store.put('key', SIRT(support='slab'), {})
    assert store.find('key', SIRT(support='slab', slab_margin=3.0)) is None


def test_curve_knows_the_best_and_does_not_count_its_own_time():
    truth = np.zeros((1, 4, 4, 4), np.float32)
    truth[:, 1:3] = 1
    curve = Curve(truth, every=1, patience=2)
    for iteration, error in enumerate((0.3, 0.1, 0.2, 0.2, 0.2), 1):
        assert curve.wants_preview()
        time.sleep(0.02)
        curve.report(Progress('x', iteration, 5, preview=truth + np.float32(error)))
    assert curve.best_point[0] == 2
    assert curve.best_point[2] == pytest.approx(20, abs=1e-3)
    assert curve.seconds < 0.05
    assert curve.request() is Request.FINISH


def test_volume_of_another_thickness_is_put_in_the_middle():
    found = on_grid(np.ones((1, 4, 8, 8), np.float32), (1, 8, 8, 8))
    assert found[0, :, 0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_unmixing_gives_back_the_maps_without_noise():
    maps = np.random.default_rng(0).uniform(5, 20, (3, 2, 8, 8)).astype(np.float32)
    windows = np.einsum('wc,ctyu->wtyu', MIXING, maps)
    operator, variance = unmixing(windows)
    np.testing.assert_allclose(np.einsum('ctyuw,wtyu->ctyu', operator, windows), maps, rtol=1e-3)
    assert variance.min() > 0


def test_every_method_makes_its_step():
    for method in METHODS.values():
        more = (0.5,) if method.search else ()
        step = method.step(CASES['lamella 10'], 64, 0, *more)
        assert step.seed == 0
