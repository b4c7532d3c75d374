"""Maps of a second tilt axis: how the specimen lies in them, its dose, what is refused and what is doubted."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_diptomo import SIRT, Align, HAADFSeries, SecondAxis, TotalVariation, simulate
from napari_diptomo.align import second_motion as motions
from napari_diptomo.align.by_hand import corrected, with_axis
from napari_diptomo.align.second_axis import joined
from napari_diptomo.assess import consistency, psnr
from napari_diptomo.assess.reprojection import reprojection
from napari_diptomo.series import InputError, MapSeries, load, with_haadf
from napari_diptomo.series.reinsertion import Reinsertion
from napari_diptomo.simulate import second_tilt_series
from napari_diptomo.simulate.haadf import haadf_series

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


@pytest.fixture(scope='module')
def motion(pair):
    """Found once: it takes seconds."""
    _, _, first, second = pair
    return motions.second_motion(first.maps, second.maps)


@pytest.fixture
def known_motion(motion, monkeypatch):
    """Joined maps lie where `motion` says; gives what was asked for."""
    asked = []

    def found(first, second, turn, upside_down, observer):
        asked.append((turn, upside_down))
        return motion

    monkeypatch.setattr(motions, 'second_motion', found)
    return asked


@pytest.fixture(scope='module')
def both(pair, motion):
    _, _, first, second = pair
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(motions, 'second_motion', lambda *_: motion)
        return joined(first.maps, second.maps)


def test_turn_offset_and_dose_are_found(pair, both):
    phantom, known, first, second = pair
    found = both
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


@pytest.mark.slow
def test_a_volume_of_both_axes_is_nearer_to_the_truth_than_one_of_the_same_dose_about_one(pair):
    """Half the dose about each axis against all of it about one: +-40 degrees miss 100 of 180, two axes far less."""
    phantom, known, _, _ = pair
    whole = simulate.tilt_series(phantom, ANGLES, 30, seed=1)
    first = simulate.tilt_series(phantom, ANGLES, 15, seed=3)
    second = second_tilt_series(phantom, known, ANGLES, 15, seed=4)
    both = joined(first.maps, second.maps)
    alone = TotalVariation(iterations=80).run(whole.maps)
    volume = TotalVariation(iterations=80).run(both)
    assert volume.data.shape == alone.data.shape
    gain = psnr(2 * volume.data, whole.truth.data).mean() - psnr(alone.data, whole.truth.data).mean()
    assert gain > 0.3
    assert volume.notes['second_axis']['tilts'] == len(ANGLES)
    assert volume.notes['second_axis']['turn'] == pytest.approx(93, abs=0.7)


def test_a_known_motion_brings_a_volume_of_both_axes_nearer_to_the_truth():
    """The whole dose about one axis, or a half of it about each of two."""
    phantom, angles = simulate.porous(16, seed=4), np.arange(-40, 41, 10.0)
    known = _placed(phantom, 93)
    whole = simulate.tilt_series(phantom, angles, 200, seed=1)
    first = simulate.tilt_series(phantom, angles, 100, seed=3).maps
    second = second_tilt_series(phantom, known, angles, 100, seed=4).maps
    step = SIRT(iterations=30)
    volume = step.run(replace(first, second_axis=replace(second, reinsertion=known)))
    gain = psnr(2 * volume.data, whole.truth.data) - psnr(step.run(whole.maps).data, whole.truth.data)
    assert gain.mean() > 0.3
    assert volume.notes['second_axis']['tilts'] == len(angles)
    assert volume.notes['second_axis']['turn'] == pytest.approx(93, abs=0.7)


def test_the_step_reads_saved_maps_and_keeps_them_in_its_result(pair, known_motion, tmp_path):
    _, _, first, second = pair
    path = tmp_path / 'second.hspy'
    second.maps.save(path)
    found = SecondAxis(maps=str(path), turn=90.0).run(first.maps)
    assert known_motion == [(90.0, None)]
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


def test_another_alignment_leaves_the_second_series_out_and_says_so(both):
    found = Align(rounds=0, axis_rotation=0.0).run(both)
    assert found.second_axis is None
    assert any('join it again' in f.sentence for f in found.findings if f.level == 'doubt')


def test_a_volume_of_both_is_judged_against_the_first_series(pair, both):
    """Held-out tilts, residuals and correlations take the maps as they are, whatever is joined to them."""
    _, _, first, _ = pair
    volume = SIRT(iterations=10).run(both)
    assert consistency(volume, both).angles.tolist() == ANGLES.tolist()
    np.testing.assert_array_equal(reprojection(volume, both).expected, reprojection(volume, first.maps).expected)


# The one below is harder to distinguish.
@pytest.mark.slow
def test_another_specimen_is_doubted(pair):
    _, _, first, _ = pair
    other = simulate.tilt_series(simulate.needle(32, seed=8), ANGLES, 30, seed=1).maps
    found = joined(first.maps, replace(other, channels=first.maps.channels, pixel_size=first.maps.pixel_size))
    doubts = [f.sentence for f in found.findings if f.level == 'doubt' and f.about == 'Second axis']
    assert any('of this specimen' in sentence or 'differ between the channels' in sentence for sentence in doubts)


@pytest.mark.parametrize('seed', [78, pytest.param(79, marks=pytest.mark.slow)])
def test_another_body_of_the_same_kind_is_doubted(pair, seed):
    _, _, first, _ = pair
    other = simulate.tilt_series(simulate.porous(32, seed=seed), ANGLES, 20, seed=2).maps
    found = joined(first.maps, other)
    assert any('are of this specimen' in f.sentence for f in found.findings if f.level == 'doubt')


def test_a_channel_that_lost_counts_is_named(pair):
    _, _, first, second = pair
    rng = np.random.default_rng(0)
    data = second.maps.data.copy()
    data[1] = rng.binomial(data[1].astype(int), 0.5)
    found = joined(first.maps, replace(second.maps, data=data))
    dose = found.second_axis.gain[:, 0]
    assert dose[1] / dose[0] == pytest.approx(0.5, abs=0.06)
    assert any('differ between the channels' in f.sentence for f in found.findings)


def test_a_wrong_pixel_size_is_doubted_and_the_right_one_not(pair, both):
    """It was 1.3 times too large and nothing was said."""
    _, _, first, second = pair
    found = joined(first.maps, replace(second.maps, pixel_size=1.3 * second.maps.pixel_size))
    (doubt,) = [f for f in found.findings if 'pixel sizes' in f.sentence]
    assert doubt.level == 'doubt'
    assert doubt.evidence['scale'] == pytest.approx(1 / 1.3, rel=0.06)
    assert not any('pixel sizes' in f.sentence for f in both.findings)


@pytest.fixture(scope='module')
def given(pair):
    """Joined with what is right said of it."""
    _, _, first, second = pair
    return joined(first.maps, second.maps, turn=90.0, upside_down=False)


@pytest.mark.parametrize('wrong', [{'turn': -90.0, 'upside_down': None}, {'turn': None, 'upside_down': True}])
def test_a_turn_or_a_face_that_the_images_contradict_is_doubted(pair, given, wrong):
    _, _, first, second = pair
    found = joined(first.maps, second.maps, **wrong)
    (doubt,) = [f for f in found.findings if 'what was given' in f.sentence]
    assert doubt.level == 'doubt'
    assert doubt.evidence['better turn'] == pytest.approx(93, abs=6)
    assert not any('what was given' in f.sentence for f in given.findings)


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


def _of(shape, n: int = 24) -> simulate.Phantom:
    """A specimen of functions of x, y and z, -1 to 1, on twice as many voxels."""
    axis = (np.arange(2 * n) - n + 0.5) / n
    z, y, x = np.meshgrid(axis, axis, axis, indexing='ij')
    fine = np.stack([np.asarray(one, np.float32) for one in shape(x, y, z)])
    return replace(simulate.porous(n, seed=1), fine=fine, channels=tuple('ABC'[: len(fine)]))


def _ball(x, y, z):
    return [x**2 + y**2 + z**2 < 0.36]


def _cube(x, y, z):
    return [np.maximum(np.maximum(abs(x), abs(y)), abs(z)) < 0.45]


def _rod(x, y, z):
    return [(x**2 + z**2 < 0.16) & (abs(y) < 0.6)]


def _film(x, y, z):
    return [(abs(z) < 0.3) & ((x - 0.3) ** 2 + (y + 0.2) ** 2 > 0.05) & ((x + 0.5) ** 2 + (y - 0.5) ** 2 > 0.1)]


WIDE = np.arange(-60, 61, 10.0)


@pytest.mark.parametrize('shape', [_ball, *(pytest.param(shape, marks=pytest.mark.slow) for shape in (_cube, _rod))])
def test_a_specimen_that_looks_alike_from_several_sides_is_turned_by_ninety_degrees_and_not_doubted(shape):
    """Volumes of a ball agree best where their missing wedges do, at a turn by 0: a second axis would then add nothing."""
    phantom = _of(shape)
    first = simulate.tilt_series(phantom, WIDE, 30, seed=1).maps
    found = joined(first, second_tilt_series(phantom, _placed(phantom, 93), WIDE, 20, seed=2).maps)
    placed = found.second_axis.reinsertion
    assert abs(abs(placed.turn) - 90) < 6
    assert not placed.upside_down
    about = [f for f in found.findings if f.about == 'Second axis']
    assert not [f.sentence for f in about if f.level == 'doubt']
    assert any('looks about as it does here' in f.sentence for f in about)


@pytest.mark.parametrize('turn', [93, pytest.param(-88, marks=pytest.mark.slow)])
def test_a_film_wider_than_the_field_is_laid_on_its_holes_not_on_its_missing_wedge(turn):
    phantom = _of(_film)
    known = _placed(phantom, turn)
    first = simulate.tilt_series(phantom, WIDE, 30, seed=1).maps
    found = joined(first, second_tilt_series(phantom, known, WIDE, 20, seed=2).maps)
    turned, off = _off(found.second_axis.reinsertion, known, phantom.voxel_size)
    assert np.abs(turned).max() < 1.5
    assert np.abs(off).max() < 0.5


def test_few_counts_are_not_taken_for_another_specimen(pair):
    phantom, known, _, _ = pair
    one, other = simulate.tilt_series(phantom, ANGLES, 2, seed=1), second_tilt_series(phantom, known, ANGLES, 2, seed=2)
    found = joined(one.maps, other.maps)
    assert found.second_axis.reinsertion.turn == pytest.approx(93, abs=2.5)
    assert not any('of this specimen' in f.sentence for f in found.findings if f.level == 'doubt')


def test_what_was_said_of_an_earlier_second_axis_goes_with_it(pair, both, known_motion):
    """Joined, aligned anew, joined again: one note on the placement that holds, and none on those that do not."""
    _, _, _, second = pair

    def said(maps):
        return [
            f.sentence[:20] for f in maps.findings if f.about.casefold() == 'second axis' and 'tilts from' in f.sentence
        ]

    assert len(said(joined(both, second.maps))) == 1
    apart = Align(rounds=0, axis_rotation=0.0).run(both)
    assert said(apart) == []
    again = joined(apart, second.maps)
    assert len(said(again)) == 1
    assert not any('join it again' in f.sentence for f in again.findings)


def test_a_correction_by_hand_that_moves_the_specimen_asks_to_join_again(pair):
    _, _, first, second = pair
    aligned = Align(rounds=0, axis_rotation=0.0).run(first.maps)
    both = replace(aligned, second_axis=replace(second.maps, reinsertion=Reinsertion.turned(93)))
    one = np.zeros((len(ANGLES), 2))
    one[3] = 1.0, 0.5

    def doubted(maps):
        return any('join it again' in f.sentence for f in maps.findings if f.level == 'doubt')

    assert not doubted(corrected(both, one))
    assert doubted(corrected(both, np.full((len(ANGLES), 2), 0.5)))
    assert doubted(with_axis(both, 0.0, 3.0))
    assert not doubted(with_axis(aligned, 0.0, 3.0))


@pytest.mark.parametrize('which', [0, 1])
def test_an_empty_image_and_a_hot_pixel_do_not_move_the_specimen(pair, which):
    phantom, known, first, second = pair
    both = [first.maps, second.maps]
    data = both[which].data.copy()
    data[:, 4] = 0
    data[0, 9, 3, 28] = 20_000
    both[which] = replace(both[which], data=data)
    found = joined(*both)
    turned, off = _off(found.second_axis.reinsertion, known, phantom.voxel_size)
    assert abs(turned[2]) < 0.7
    assert np.abs(off).max() < 0.3
    assert not [f.sentence for f in found.findings if f.level == 'doubt']
    assert found.second_axis.data.shape == second.maps.data.shape


def test_a_series_whose_axes_were_swapped_on_loading_is_not_said_to_have_a_wrong_sign(pair):
    _, _, first, second = pair
    mirrored = replace(second.maps, data=np.ascontiguousarray(second.maps.data[:, :, ::-1]), transposed=True)
    found = joined(first.maps, mirrored)
    assert not [f.sentence for f in found.findings if f.level == 'doubt']
    np.testing.assert_array_equal(found.second_axis.angles, -ANGLES)


def test_the_haadf_series_of_the_first_axis_is_fitted_and_that_of_the_second_is_named(pair, known_motion):
    phantom, _, first, second = pair
    tilts = np.arange(-70, 71, 10.0)
    haadf = HAADFSeries(haadf_series(phantom, tilts, seed=1).images, tilts, first.maps.pixel_size)
    made = joined(with_haadf(first.maps, haadf), with_haadf(second.maps, haadf))
    assert made.haadf_series is haadf
    (doubt,) = [f.sentence for f in made.findings if 'is not used' in f.sentence]
    assert doubt.startswith('The HAADF series of the second axis (15 images) is not used')
    assert doubt.endswith('that of the first axis is.')
    volume = TotalVariation(iterations=5, device='cpu').run(made)
    assert volume.notes['haadf']['angles'] == tilts.tolist()
    # Joined to another series it is said anew, not twice.
    again = joined(made, with_haadf(second.maps, haadf))
    assert sum('is not used' in f.sentence for f in again.findings) == 1
    other_way = joined(first.maps, with_haadf(second.maps, haadf))
    assert any('exchange the two series' in f.sentence for f in other_way.findings)
