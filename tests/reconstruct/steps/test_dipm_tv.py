"""DIPm-TV: repeatable, obedient, judged by counts it has not seen, nearer the truth than SIRT."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_diptomo.reconstruct import SIRT, DIPmTV
from napari_diptomo.reconstruct.dip.fit import smooth
from napari_diptomo.reconstruct.dip.network import _NON_NEGATIVE, UNet, output_of, upsample
from napari_diptomo.reconstruct.steps.dipm_tv import PRESETS
from napari_diptomo.reconstruct.tv.norms import joint_tv
from napari_diptomo.series import Cancelled, InputError, Observer, Request, step_from_dict

SMALL = {'widths': (8, 16), 'skips': (4, 4), 'learning_rate': 2e-2, 'output': 'softplus'}


class Script(Observer):
    """Says ``word`` from iteration ``at`` on; remembers what was reported to it."""

    def __init__(self, at: int | None = None, word: Request = Request.GO, preview: bool = False) -> None:
        self.at, self.word, self.preview, self.seen = at, word, preview, []
        self.state = None

    def report(self, progress):
        self.seen.append(progress)

    def request(self):
        due = self.at is not None and self.seen and self.seen[-1].iteration >= self.at
        return self.word if due else Request.GO

    def wants_preview(self):
        return self.preview


def test_the_same_seed_gives_the_same_volume_and_another_seed_another(maps):
    first, again, other = (DIPmTV(iterations=8, seed=s, **SMALL).run(maps) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.data, again.data)
    assert np.abs(first.data - other.data).max() > 1e-3


def test_it_is_nearer_the_truth_than_sirt(maps, truth):
    def rms(volume):
        return float(np.sqrt(((volume.data - truth) ** 2).mean()))

    assert rms(DIPmTV(iterations=120, **SMALL).run(maps)) < 0.8 * rms(SIRT(iterations=100, holdout=0.1).run(maps))


def test_the_result_is_the_average_that_predicts_the_held_out_counts_best(maps):
    volume = DIPmTV(iterations=60, **SMALL).run(maps)
    curve = np.array(volume.scores['validation'])
    assert volume.notes['held_out_deviance'] == pytest.approx(curve.min())
    assert volume.notes['returned_iteration'] == volume.scores['iteration'][int(curve.argmin())]
    assert volume.notes['held_out_share'] == 0.1


@pytest.mark.parametrize('at', [7, 10])
def test_finish_keeps_the_best_so_far_within_one_iteration(maps, at):
    script = Script(at=at, word=Request.FINISH)
    volume = DIPmTV(iterations=1000, **SMALL).run(maps, script)
    assert script.seen[-1].iteration == at
    assert volume.notes['iterations'] == at
    assert volume.scores['iteration'] == sorted(set(volume.scores['iteration']))
    assert volume.scores['iteration'][-1] == at
    assert volume.data.max() > 0


def test_cancel_raises_within_one_iteration(maps):
    script = Script(at=3, word=Request.CANCEL)
    with pytest.raises(Cancelled):
        DIPmTV(iterations=1000, **SMALL).run(maps, script)
    assert script.seen[-1].iteration == 3


def test_pause_holds_the_iteration_until_resumed(maps):
    answers = itertools.chain([Request.GO, Request.PAUSE, Request.PAUSE], itertools.repeat(Request.GO))

    class Pausing(Script):
        def request(self):
            return next(answers)

    script = Pausing()
    DIPmTV(iterations=4, **SMALL).run(maps, script)
    assert [p.iteration for p in script.seen] == [1, 2, 3, 4]
    assert next(answers) is Request.GO


def test_previews_are_copies_of_the_volume_in_its_final_shape(maps):
    script = Script(preview=True)
    volume = DIPmTV(iterations=5, thickness=20.0, beyond_field=True, **SMALL).run(maps, script)
    frames = [p.preview for p in script.seen]
    assert {f.shape for f in frames} == {volume.data.shape} == {(2, 10, 16, 16)}
    assert not np.array_equal(frames[0], frames[-1])


def test_a_checkpoint_continues_as_if_nothing_had_happened(maps):
    class Keeper(Script):
        def save_state(self, state):
            import copy

            if self.seen and self.seen[-1].iteration == 4 and self.state is None:
                self.state = copy.deepcopy(state())

    class Resumer(Script):
        def load_state(self):
            return keeper.state

    keeper = Keeper()
    step = DIPmTV(iterations=12, **SMALL)
    whole = step.run(maps, keeper)
    resumed = step.run(maps, Resumer())
    np.testing.assert_allclose(resumed.data, whole.data, rtol=1e-5, atol=1e-6)
    assert resumed.scores['iteration'] == whole.scores['iteration']


def test_presets_fill_what_is_not_given_and_survive_json():
    step = DIPmTV(preset='published-eels', iterations=7)
    assert (step.iterations, step.learning_rate, step.data_term, step.averaging) == (7, 4e-4, 'normalised L1', 0.0)
    assert DIPmTV() == DIPmTV(preset='balanced')
    for name in PRESETS:
        assert step_from_dict(DIPmTV(preset=name).to_dict()) == DIPmTV(preset=name)


@pytest.mark.parametrize('preset', ['published-edx', 'published-eels'])
def test_published_settings_run_and_fit(maps, preset):
    levels = {'widths': (16, 32), 'skips': (4, 8)}
    script = Script()
    volume = DIPmTV(preset=preset, iterations=26, **levels).run(maps, script)
    assert script.seen[-1].losses['data'] < 0.5 * script.seen[0].losses['data']
    assert volume.notes['held_out_share'] == 0


def test_batch_normalisation_of_one_voxel_is_refused_in_a_sentence(maps):
    with pytest.raises(InputError, match='16 x 16 x 16 voxels is too small for a network of 5 levels'):
        DIPmTV(preset='published-edx', iterations=1).run(maps)


def test_wrong_parameters_are_one_sentence():
    with pytest.raises(InputError, match='iterations'):
        DIPmTV(iterations=0)
    with pytest.raises(InputError, match='set holdout to 0'):
        DIPmTV(stopping='held-out', holdout=0)
    with pytest.raises(InputError, match='skip'):
        DIPmTV(widths=(8, 8, 8, 8, 8))


def test_matrix_upsampling_is_trilinear_interpolation():
    x = torch.randn(1, 3, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    known = F.interpolate(x, size=(10, 11, 14), mode='trilinear', align_corners=False)
    torch.testing.assert_close(upsample(x, (10, 11, 14)), known)


def test_network_output_is_non_negative_for_odd_sizes():
    for output in ('softplus', 'shares', 'square'):
        found = UNet(4, 3, (8, 8, 8), (4, 4, 4), output=output)(torch.randn(1, 4, 9, 13, 7))
        assert found.shape == (3, 9, 13, 7)
        assert float(found.detach().min()) >= 0


def test_shares_are_the_total_parted_in_proportion():
    """u_c = C softplus(t) a_c / sum a with heads t and log a_c."""
    total, parts = torch.tensor([[-2.0, 0.5, 3.0]]), torch.tensor([[1.0, 2.0, 5.0], [3.0, 2.0, 0.0]])
    found = _NON_NEGATIVE['shares'](torch.cat([total, parts.log()]))
    torch.testing.assert_close(found.sum(0), 2 * F.softplus(total[0]))
    torch.testing.assert_close(found[0] / found.sum(0), torch.tensor([0.25, 0.5, 1.0]))


def test_oxides_are_generated_as_total_and_shares_elements_each_by_itself(maps):
    oxides = replace(maps, notes={'oxidation': {'states': list(maps.channels)}})
    assert [output_of(DIPmTV().fit_settings().network, m) for m in (maps, oxides)] == ['softplus', 'shares']
    assert output_of(DIPmTV(output='softplus').fit_settings().network, oxides) == 'softplus'
    assert output_of(DIPmTV(preset='published-edx').fit_settings().network, oxides) == 'square'


def test_joint_total_variation_of_a_step_edge():
    """A plane edge of height (3, 4) has the joint gradient 5 on its area."""
    u = torch.zeros(2, 6, 5, 4)
    u[0, 3:], u[1, 3:] = 3.0, 4.0
    assert float(joint_tv(u)) == pytest.approx(5 * 20 / 120, rel=3e-3)


def test_smoothing_has_the_gaussian_width():
    z = torch.zeros(1, 1, 33, 33, 33)
    z[0, 0, 16, 16, 16] = 1.0
    profile = smooth(z, 2.0)[0, 0].sum((0, 1))
    place = torch.arange(33.0) - 16
    assert float((profile * place**2).sum() / profile.sum()) == pytest.approx(4.0, rel=1e-3)
