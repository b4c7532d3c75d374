"""Shifts found together with a volume: displacements that are known, the gauge, the judge, and what the run makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo import DIPmTV, Recipe, TotalVariation
from napari_diptomo.assess import consistency, psnr
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.rigid_motion import rigid_motion, without_rigid_motion
from napari_diptomo.jobs import Checkpoint, run
from napari_diptomo.reconstruct import shift_refinement
from napari_diptomo.reconstruct.refined_geometry import NOTE, in_geometry_of
from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.reconstruct.shift_refinement import findings_on, refined_shifts
from napari_diptomo.series import Cancelled, HAADFSeries, MapSeries, Observer, Request
from napari_diptomo.simulate import facetted, tilt_series

ANGLES = np.arange(-40, 41, 10.0)
SETTINGS = ProblemSettings(device='cpu')
SMALL = {'widths': (8, 16), 'skips': (4, 4), 'learning_rate': 2e-2, 'iterations': 15}


def jitter(seed: int, rms: float = 1.0) -> np.ndarray:
    """Displacements (tilt, 2) that no motion of the specimen explains."""
    shifts = without_rigid_motion(np.random.default_rng(seed).standard_normal((len(ANGLES), 2)), ANGLES)
    return shifts * rms / np.sqrt((shifts**2).mean())


@pytest.fixture(scope='module')
def specimen():
    return facetted(16, seed=21)


@pytest.fixture(scope='module')
def displaced(specimen):
    """Counts whose images are displaced by a pixel rms, unknown to the maps; truth and displacements."""
    shifts = jitter(0)
    return tilt_series(specimen, ANGLES, 30, 1, shifts=shifts), shifts


@pytest.fixture(scope='module')
def found(displaced):
    return refined_shifts(displaced[0].maps, SETTINGS, None)


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_one_displaced_image_is_found_and_the_others_stay(specimen):
    shifts = np.zeros((len(ANGLES), 2))
    shifts[3] = (0.8, -1.3)
    clean = tilt_series(specimen, ANGLES, 300, 0, shifts=shifts)
    maps = replace(clean.maps, data=clean.clean, variance=np.ones_like(clean.clean))
    result = refined_shifts(maps, SETTINGS, None)
    # The whole of it but for what a motion of the specimen explains.
    np.testing.assert_allclose(result['moves'], without_rigid_motion(shifts, ANGLES), atol=0.1)
    assert result['used'] and int(np.hypot(*np.transpose(result['moves'])).argmax()) == 3


def test_displacements_of_a_pixel_are_found_within_their_errors(found, displaced):
    off = np.array(found['shifts']) - displaced[1]
    assert rms(displaced[1]) == pytest.approx(1) and rms(off) < 0.06
    assert 0.5 < rms(off / np.array(found['errors'])) < 2
    assert found['gain'] > 10 * found['standard_error'] and 0.3 < found['followed'] <= 1


def test_the_volume_stays_where_it_is(displaced, found):
    moves = np.array(found['moves'])
    np.testing.assert_allclose(rigid_motion(moves, ANGLES), 0, atol=1e-3)
    # Wherever the alignment has put the specimen.
    start = rigid_motion(np.full_like(moves, 0.4) + 0.2 * np.sin(np.deg2rad(ANGLES))[:, None], ANGLES)
    elsewhere = refined_shifts(replace(displaced[0].maps, shifts=start), SETTINGS, None)
    np.testing.assert_allclose(np.array(elsewhere['shifts']) - start, displaced[1], atol=0.12)


def test_about_a_turned_axis_it_is_found_as_well(displaced):
    size, turn, shifts = 16, 20.0, jitter(2)
    truth = displaced[0].truth.data
    clean = ParallelBeam(ANGLES, (size, size, size), shifts, 0.5, axis_rotation=turn).project(truth)
    counts = np.random.default_rng(0).poisson(clean).astype(np.float32)
    result = refined_shifts(
        MapSeries(counts, ANGLES, displaced[0].maps.channels, axis_shift=0.5, axis_rotation=turn), SETTINGS, None
    )
    to_axis = np.deg2rad(turn)
    matrix = np.array([[np.cos(to_axis), np.sin(to_axis)], [-np.sin(to_axis), np.cos(to_axis)]])
    off = without_rigid_motion((np.array(result['shifts']) - shifts) @ matrix, ANGLES)
    assert result['used'] and rms(off) < 0.08


def test_windows_gain_background_and_missing_data_are_respected(displaced):
    simulated, shifts = displaced
    mixing = np.array([[1, 0.3, 0], [0.2, 1, 0.1], [0, 0.5, 0.5]], np.float32)
    gain = np.random.default_rng(1).uniform(0.8, 1.2, (3, len(ANGLES))).astype(np.float32)
    background = np.full((3, *simulated.clean.shape[1:]), 2.0, np.float32)
    expected = np.einsum('wc,ctyx->wtyx', mixing, simulated.clean) * gain[:, :, None, None] + background
    counts = np.random.default_rng(2).poisson(expected).astype(np.float32)
    missing = np.zeros(counts.shape, bool)
    missing[:, :, 5:8, 4:9] = True
    counts[missing] = 1e4
    maps = replace(simulated.maps, data=counts, mixing=mixing, gain=gain, background=background, missing=missing)
    result = refined_shifts(maps, SETTINGS, None)
    assert result['used'] and rms(np.array(result['shifts']) - shifts) < 0.12


def test_true_shifts_are_kept_and_the_volume_is_the_same(specimen):
    maps = tilt_series(specimen, ANGLES, 30, 2).maps
    plain = TotalVariation(iterations=60).run(maps)
    refined = TotalVariation(iterations=60, refine_shifts=True).run(maps)
    assert refined.notes[NOTE]['used'] is False and rms(refined.notes[NOTE]['moves']) < 0.1
    np.testing.assert_array_equal(refined.data, plain.data)
    (finding,) = [finding for finding in refined.findings if finding.about == 'joint refinement']
    assert finding.level == 'note' and 'the shifts of the alignment were kept' in finding.sentence


@pytest.mark.parametrize(
    'step',
    [
        TotalVariation(iterations=150),
        pytest.param(DIPmTV(**{**SMALL, 'iterations': 60}), marks=pytest.mark.slow),
    ],
)
def test_a_volume_gains_and_is_judged_in_its_own_geometry(step, displaced, tmp_path):
    simulated, shifts = displaced
    plain = step.run(simulated.maps)
    volume = step.model_copy(update={'refine_shifts': True}).run(simulated.maps)
    right = step.run(replace(simulated.maps, shifts=shifts))
    scores = [float(psnr(v.data, simulated.truth.data).mean()) for v in (plain, volume, right)]
    assert scores[1] > scores[0] + 0.3 and scores[1] > scores[2] - 0.3
    assert not any(finding.about == 'alignment' for finding in volume.findings)
    assert 'moved the images by' in next(f for f in volume.findings if f.about == 'joint refinement').sentence
    # The maps know nothing of it; the volume does, from a file as well.
    volume.save(tmp_path / 'volume.hspy')
    from napari_diptomo.series import load

    opened = load(tmp_path / 'volume.hspy')
    judged = consistency(opened, simulated.maps).misfit.mean()
    assert judged < consistency(plain, simulated.maps).misfit.mean() - 0.1
    assert judged == pytest.approx(consistency(volume, in_geometry_of(volume.notes, simulated.maps)).misfit.mean())


def test_the_network_is_fitted_in_that_geometry(displaced, found, monkeypatch):
    """To the last bit the volume of maps that had these shifts from the beginning."""
    monkeypatch.setattr(shift_refinement, 'refined_shifts', lambda *_: found)
    maps = displaced[0].maps
    step = DIPmTV(**{**SMALL, 'iterations': 4, 'output': 'softplus'})
    volume = step.model_copy(update={'refine_shifts': True}).run(maps)
    np.testing.assert_array_equal(volume.data, step.run(in_geometry_of({NOTE: found}, maps)).data)
    assert volume.notes[NOTE] == found
    assert 'moved the images by' in next(f for f in volume.findings if f.about == 'joint refinement').sentence


def test_nothing_changes_unless_it_is_asked_for(displaced):
    volume = TotalVariation(iterations=20).run(displaced[0].maps)
    assert NOTE not in volume.notes and not any(f.about == 'joint refinement' for f in volume.findings)
    # But displaced images are named, with what to do.
    (doubt,) = [finding for finding in volume.findings if finding.about == 'alignment']
    assert doubt.remedy.step == 'TotalVariation' and doubt.remedy.changes == {'refine_shifts': True}
    assert DIPmTV().refine_shifts is TotalVariation().refine_shifts is False


class Ends(Observer):
    """Asks for something at an iteration of the stage or of the fit."""

    def __init__(self, stage: str, at: int, request: Request) -> None:
        self.stage, self.at, self.wanted, self.last, self.stages = stage, at, request, None, []

    def report(self, progress):
        self.last = progress
        self.stages.append(progress.stage)

    def request(self):
        here = self.last is not None and self.last.stage == self.stage and self.last.iteration == self.at
        return self.wanted if here else Request.GO


def test_a_resumed_run_does_not_refine_again(displaced, tmp_path, monkeypatch):
    recipe = Recipe(steps=(DIPmTV(**SMALL, refine_shifts=True),))
    path = tmp_path / 'run.checkpoint'
    whole = run(recipe, data=displaced[0].maps)
    with pytest.raises(Cancelled):
        run(
            recipe,
            data=displaced[0].maps,
            observer=Ends('DIPm-TV', 9, Request.CANCEL),
            checkpoint=Checkpoint(path, recipe, interval=0),
        )
    monkeypatch.setattr(shift_refinement, 'refined_shifts', None)
    watched = Ends('', 0, Request.GO)
    resumed = run(recipe, data=displaced[0].maps, observer=watched, checkpoint=Checkpoint(path, recipe, resume=True))
    assert set(watched.stages) == {'DIPm-TV'}
    np.testing.assert_array_equal(resumed.data, whole.data)
    assert resumed.notes[NOTE]['shifts'] == whole.notes[NOTE]['shifts']


def test_a_method_without_a_state_of_its_own_keeps_the_refinement(displaced, tmp_path, monkeypatch):
    recipe = Recipe(steps=(TotalVariation(iterations=40, refine_shifts=True),))
    path = tmp_path / 'run.checkpoint'
    with pytest.raises(Cancelled):
        run(
            recipe,
            data=displaced[0].maps,
            observer=Ends('Joint TV', 9, Request.CANCEL),
            checkpoint=Checkpoint(path, recipe, interval=0),
        )
    monkeypatch.setattr(shift_refinement, 'refined_shifts', None)
    resumed = run(recipe, data=displaced[0].maps, checkpoint=Checkpoint(path, recipe, resume=True))
    assert resumed.notes[NOTE]['used']


def test_it_can_be_cancelled_and_ended(displaced):
    step = TotalVariation(iterations=20, refine_shifts=True)
    with pytest.raises(Cancelled):
        step.run(displaced[0].maps, Ends('Refining shifts', 5, Request.CANCEL))
    ended = step.run(displaced[0].maps, Ends('Refining shifts', 5, Request.FINISH))
    assert ended.notes[NOTE]['used'] is False
    assert any('ended before it was judged' in finding.sentence for finding in ended.findings)


def test_the_notes_are_plain_values(found):
    assert json.loads(json.dumps(found)) == found


def test_images_moved_too_far_are_doubted(found):
    far = {**found, 'moves': [[3.0, 0.0], *found['moves'][1:]]}
    note, doubt = findings_on(far)
    assert note.level == 'note' and doubt.level == 'doubt' and 'at -40° by more than 2.5 pixels' in doubt.sentence
    assert 'x +3.00' in findings_on(far, transposed=True)[0].sentence


def test_tilts_are_matched_by_their_angles_and_images_of_the_same_scan_follow(displaced):
    maps = displaced[0].maps
    images = np.random.default_rng(0).random((len(ANGLES), 16, 16)).astype(np.float32)
    maps = replace(maps, haadf=images, haadf_series=HAADFSeries(images, ANGLES, maps.pixel_size))
    note = {'used': True, 'angles': [-40.0, 0.0], 'shifts': [[1.0, 2.0], [-1.0, 0.5]]}
    moved = in_geometry_of({NOTE: note}, maps)
    expected = np.zeros((len(ANGLES), 2))
    expected[[0, 4]] = note['shifts']
    np.testing.assert_array_equal(moved.shifts, expected)
    np.testing.assert_array_equal(moved.haadf_series.shifts, expected)
    assert in_geometry_of({NOTE: {**note, 'used': False}}, maps) is maps


def test_a_single_slice_has_no_displacement_along_the_axis(displaced):
    maps = displaced[0].maps
    slab = replace(maps, data=maps.data.sum(2, keepdims=True))
    result = refined_shifts(slab, SETTINGS, None)
    assert not np.any(np.array(result['moves'])[:, 0]) and np.isfinite(result['errors']).all()
