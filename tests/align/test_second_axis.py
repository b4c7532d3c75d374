"""Maps of a second tilt axis: how the specimen lies in them, its dose, what is refused and what is doubted."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_diptomo import SIRT, Align, SecondAxis, TotalVariation, simulate
from napari_diptomo.align.second_axis import joined
from napari_diptomo.assess import consistency, psnr
from napari_diptomo.assess.reprojection import reprojection
from napari_diptomo.series import InputError, MapSeries, load
from napari_diptomo.series.reinsertion import Reinsertion
from napari_diptomo.simulate import second_tilt_series

ANGLES = np.arange(-40, 41, 5.0)


def _placed(phantom, turn: float, tips=(1.5, -1.0), pixels=(1.0, -1.2, 1.5)) -> Reinsertion:
    tip = Rotation.from_rotvec(np.deg2rad([*tips, 0.0])).as_matrix()
    return Reinsertion.turned(turn).then(tip, phantom.voxel_size * np.array(pixels))


def _off(found: Reinsertion, known: Reinsertion, voxel: float) -> tuple[np.ndarray, np.ndarray]:
    """Degrees about x, y and z, and voxels."""
    turn = found.matrix @ known.matrix.T
    return (
        Rotation.from_matrix(turn).as_rotvec(degrees=True),
        (np.array(found.offset) - turn @ np.array(known.offset)) / voxel,
    )


@pytest.fixture(scope='module')
def pair():
    phantom = simulate.porous(32, seed=4)
    known = _placed(phantom, 93)
    first = simulate.tilt_series(phantom, ANGLES, 30, seed=1)
    second = second_tilt_series(phantom, known, ANGLES, 20, seed=2)
    return phantom, known, first, second


def test_turn_offset_and_dose_are_found(pair):
    phantom, known, first, second = pair
    found = joined(first.maps, second.maps)
    turned, off = _off(found.second_axis.reinsertion, known, phantom.voxel_size)
    assert abs(turned[2]) < 0.5
    assert np.abs(turned[:2]).max() < 1.5
    assert np.abs(off).max() < 0.2
    dose = second.truth.data.max() / first.truth.data.max()
    np.testing.assert_allclose(found.second_axis.gain, dose, rtol=0.06)
    note = next(f for f in found.findings if f.about == 'Second axis')
    assert note.level == 'note'
    assert f'turned by {found.second_axis.reinsertion.turn:.1f}' in note.sentence
    assert note.evidence['turn'] == pytest.approx(93, abs=0.5)


def test_another_specimen_another_seed_the_other_face_and_a_wrong_sign():
    phantom = simulate.facetted(32, seed=9)
    known = _placed(phantom, -84, tips=(-1.0, 2.0), pixels=(-2.0, 0.5, 1.0))
    first = simulate.tilt_series(phantom, ANGLES, 30, seed=5)
    second = second_tilt_series(phantom, known, ANGLES, 30, seed=6)
    found = joined(first.maps, replace(second.maps, angles=-ANGLES))
    turned, off = _off(found.second_axis.reinsertion, known, phantom.voxel_size)
    assert abs(turned[2]) < 0.7
    assert np.abs(off).max() < 0.3
    np.testing.assert_array_equal(found.second_axis.angles, ANGLES)
    assert any('opposite sign' in f.sentence for f in found.findings if f.level == 'doubt')


def test_a_volume_of_both_axes_is_nearer_to_the_truth_than_one_of_the_same_dose_about_one(pair):
    """Half the dose about each axis against all of it about one: +-40 degrees miss 100 of 180, two axes far less."""
    phantom, known, _, _ = pair
    whole = simulate.tilt_series(phantom, ANGLES, 30, seed=1)
    first = simulate.tilt_series(phantom, ANGLES, 15, seed=3)
    second = second_tilt_series(phantom, known, ANGLES, 15, seed=4)
    both = joined(first.maps, second.maps)
    alone = TotalVariation(iterations=200).run(whole.maps)
    volume = TotalVariation(iterations=200).run(both)
    assert volume.data.shape == alone.data.shape
    gain = psnr(2 * volume.data, whole.truth.data).mean() - psnr(alone.data, whole.truth.data).mean()
    assert gain > 0.3
    assert volume.notes['second_axis']['tilts'] == len(ANGLES)
    assert volume.notes['second_axis']['turn'] == pytest.approx(93, abs=0.7)


def test_the_step_reads_saved_maps_and_keeps_them_in_its_result(pair, tmp_path):
    _, _, first, second = pair
    path = tmp_path / 'second.hspy'
    second.maps.save(path)
    found = SecondAxis(maps=str(path), turn=90.0).run(first.maps)
    saved = tmp_path / 'both.hspy'
    found.save(saved)
    back = load(saved)
    assert isinstance(back, MapSeries)
    np.testing.assert_array_equal(back.second_axis.data, second.maps.data)
    np.testing.assert_array_equal(back.second_axis.gain, found.second_axis.gain)
    assert back.second_axis.reinsertion == found.second_axis.reinsertion
    assert back.recipe.steps[-1] == SecondAxis(maps=str(path), turn=90.0)
    one, other = (SIRT(iterations=3).run(maps).data for maps in (found, back))
    np.testing.assert_array_equal(one, other)


def test_another_alignment_leaves_the_second_series_out_and_says_so(pair):
    _, _, first, second = pair
    both = joined(first.maps, second.maps)
    found = Align(rounds=0, axis_rotation=0.0).run(both)
    assert found.second_axis is None
    assert any('join it again' in f.sentence for f in found.findings if f.level == 'doubt')


def test_a_volume_of_both_is_judged_against_the_first_series(pair):
    """Held-out tilts, residuals and correlations take the maps as they are, whatever is joined to them."""
    _, _, first, second = pair
    both = joined(first.maps, second.maps)
    volume = SIRT(iterations=10).run(both)
    assert consistency(volume, both).angles.tolist() == ANGLES.tolist()
    np.testing.assert_array_equal(reprojection(volume, both).expected, reprojection(volume, first.maps).expected)


def test_another_specimen_is_doubted(pair):
    _, _, first, _ = pair
    other = simulate.tilt_series(simulate.needle(32, seed=8), ANGLES, 30, seed=1).maps
    found = joined(first.maps, replace(other, channels=first.maps.channels, pixel_size=first.maps.pixel_size))
    doubts = [f.sentence for f in found.findings if f.level == 'doubt' and f.about == 'Second axis']
    assert any('of this specimen' in sentence or 'differ between the channels' in sentence for sentence in doubts)


def test_a_channel_that_lost_counts_is_named(pair):
    _, _, first, second = pair
    rng = np.random.default_rng(0)
    data = second.maps.data.copy()
    data[1] = rng.binomial(data[1].astype(int), 0.5)
    found = joined(first.maps, replace(second.maps, data=data))
    dose = found.second_axis.gain[:, 0]
    assert dose[1] / dose[0] == pytest.approx(0.5, abs=0.06)
    assert any('differ between the channels' in f.sentence for f in found.findings)


def test_what_cannot_be_joined_is_said_in_a_sentence(pair, tmp_path):
    _, _, first, second = pair
    with pytest.raises(InputError, match='name their file'):
        SecondAxis().run(first.maps)
    with pytest.raises(InputError, match='the same counts'):
        joined(first.maps, first.maps)
    path = tmp_path / 'few.hspy'
    second.maps.select(second.maps.channels[:1]).save(path)
    with pytest.raises(InputError, match=f'lack {first.maps.channels[1]}'):
        SecondAxis(maps=str(path)).run(first.maps)
    volume = tmp_path / 'volume.hspy'
    second.truth.save(volume)
    with pytest.raises(InputError, match='holds a volume'):
        SecondAxis(maps=str(volume)).run(first.maps)
    one = replace(second.maps, data=second.maps.data[:, :1], angles=ANGLES[:1], shifts=None)
    with pytest.raises(InputError, match='one tilt only'):
        joined(first.maps, one)
    fitted = replace(second.maps, variance=np.maximum(second.maps.data, 1))
    with pytest.raises(InputError, match='same settings'):
        joined(first.maps, fitted)
    with pytest.raises(InputError, match='how the specimen lies'):
        replace(first.maps, second_axis=second.maps)


@pytest.mark.parametrize('cut', [np.s_[..., 15:16, :], np.s_[..., 15:16]])
def test_images_of_one_line_are_refused(pair, cut):
    """Slices across two axes share a line: no motion can be found from it."""
    _, _, first, second = pair
    one, other = (replace(maps, data=maps.data[cut]) for maps in (first.maps, second.maps))
    for a, b in ((one, other), (one, second.maps), (first.maps, other)):
        with pytest.raises(InputError, match='share no more than a line'):
            joined(a, b)


@pytest.mark.parametrize('part', ['second_axis', 'second_axis/arrays'])
def test_a_damaged_second_axis_in_a_file_is_named(pair, tmp_path, part):
    """An array where a group of arrays was."""
    _, _, first, second = pair
    path = tmp_path / 'both.hspy'
    replace(first.maps, second_axis=replace(second.maps, reinsertion=Reinsertion())).save(path)
    with h5py.File(path, 'r+') as file:
        found = []
        file.visit(lambda name: found.append(name) if name.endswith(part) else None)
        del file[found[0]]
        file[found[0]] = np.zeros(4)
    with pytest.raises(InputError, match='it was changed after saving'):
        load(path)
