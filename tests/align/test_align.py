"""Alignment of phantoms with known shifts, and of the real series.

Phantoms are Gaussian blobs: their projection is known in closed form, the blob
at (x, y, z) falls at u = a + (x - a) cos t + z sin t + s_x, v = y + s_y.
Motions of the whole specimen cannot be distinguished from shifts, so errors are
measured without them: a constant in y, cos t and sin t in x.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.align import Align
from napari_diptomo.align.specimen_motion import smallest_shifts, tilt_axis_in
from napari_diptomo.geometry.rigid_motion import rigid_motion, without_rigid_motion
from napari_diptomo.series import Cancelled, InputError, MapSeries, Observer, Request, load_tilt_series
from napari_diptomo.simulate.edx import demo_series

ANGLES = np.arange(-40.0, 41.0, 5.0)
OPENNCEM = Path(__file__).parents[2].parent / 'shared' / 'data' / 'openncem-edx'


def blobs(angles, shifts, *, axis=0.0, width=30.0, height=24.0, depth=24.0, number=15, size=48, peak=30.0, seed=0):
    """Noise-free projections (tilt, y, x) of random blobs in a box."""
    rng = np.random.default_rng(seed)
    x, y, z = (rng.uniform(-extent / 2, extent / 2, number) for extent in (width, height, depth))
    sigma, amount = rng.uniform(1.5, 4, number), rng.uniform(0.3, 1, number)
    pixels = np.arange(size) - (size - 1) / 2
    images = np.empty((len(angles), size, size))
    for image, t, (sy, sx) in zip(images, np.deg2rad(angles), shifts, strict=True):
        u = axis + (x - axis) * np.cos(t) + z * np.sin(t) + sx
        along_x = np.exp(-((pixels[None] - u[:, None]) ** 2) / (2 * sigma[:, None] ** 2))
        along_y = np.exp(-((pixels[None] - (y + sy)[:, None]) ** 2) / (2 * sigma[:, None] ** 2))
        image[:] = np.einsum('n,ny,nx->yx', amount, along_y, along_x)
    return images * peak / images.max()


def jitter(seed, amplitude=4.0, tilts=17):
    return np.random.default_rng(seed).uniform(-amplitude, amplitude, (tilts, 2))


def series_of(images, angles=ANGLES, **more):
    return MapSeries(images[None], angles, ('Fe',), 2.0, **more)


def offsets(maps):
    """Shifts with the part that the axis adds: what decides where a point falls."""
    whole = maps.shifts.copy()
    whole[:, 1] += maps.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
    return whole


def rms_error(maps, shifts, axis=0.0):
    wanted = shifts + axis * np.stack([np.zeros(len(shifts)), 1 - np.cos(np.deg2rad(maps.angles))], axis=1)
    return np.sqrt((without_rigid_motion(offsets(maps) - wanted, maps.angles) ** 2).mean(axis=0))


# The rotation of the axis is looked for in one of them: that is half of the time.
@pytest.mark.parametrize(('seed', 'rotation'), [(0, None), (1, 0.0), pytest.param(2, 0.0, marks=pytest.mark.slow)])
def test_shifts_are_found_with_counting_noise(seed, rotation):
    shifts = jitter(seed)
    images = np.random.default_rng(seed).poisson(blobs(ANGLES, shifts, seed=seed))
    aligned = Align(axis_rotation=rotation).run(series_of(images))
    # Without the moments of the images the first is off by 0.21.
    assert (rms_error(aligned, shifts) < 0.15).all()


def test_matching_corrects_what_height_does_to_the_chain():
    simulated = demo_series(seed=1)
    series = simulated.series
    x_rays = series.counts[..., 60:].sum(axis=-1)
    maps = MapSeries(x_rays[None], series.angles, ('all',), series.pixel_size, haadf=series.haadf)
    chained, matched = (
        rms_error(Align(rounds=rounds, axis_rotation=0.0).run(maps), simulated.shifts) for rounds in (0, 8)
    )
    assert (matched < 0.6 * chained).all()
    assert (matched < 0.15).all()


def test_an_extended_lamella_at_rest_does_not_run_away():
    still = np.zeros((len(ANGLES), 2))
    images = blobs(ANGLES, still, number=150, width=200, height=90, depth=15, peak=10, seed=4)
    aligned = Align().run(series_of(np.random.default_rng(4).poisson(images)))
    assert np.abs(without_rigid_motion(offsets(aligned), ANGLES)).max() < 1.0


@pytest.mark.parametrize('tilt', [2, 12])
def test_the_sign_says_where_the_specimen_sits(tilt):
    shifts = np.zeros((len(ANGLES), 2))
    shifts[tilt] = 3.0, -2.0
    aligned = Align(axis_rotation=0.0).run(series_of(blobs(ANGLES, shifts, depth=2.0)))
    others = [tilt - 1, tilt + 1]
    step = aligned.shifts[tilt] - aligned.shifts[others].mean(axis=0)
    np.testing.assert_allclose(step, (3.0, -2.0), atol=0.3)


def test_hidden_axis_without_jitter():
    still = np.zeros((len(ANGLES), 2))
    images = blobs(ANGLES, still, axis=8.0, depth=6.0, number=25)
    aligned = Align().run(series_of(images))
    assert (rms_error(aligned, still, axis=8.0) < 0.15).all()
    assert aligned.axis_shift == pytest.approx(8.0, abs=2.5)
    apart = Align(find_axis=False, axis_rotation=aligned.axis_rotation).run(series_of(images))
    assert apart.axis_shift == 0
    np.testing.assert_allclose(offsets(apart), offsets(aligned), atol=1e-9)


def test_the_specimen_comes_to_the_middle_height():
    """A flat specimen at height z in the images as they are is at height 0 with the shifts found."""
    high = 6.0 * np.stack([np.zeros(len(ANGLES)), np.sin(np.deg2rad(ANGLES))], axis=1)
    aligned = Align(axis_rotation=0.0).run(series_of(blobs(ANGLES, high, depth=0.5, number=25)))
    sine = np.sin(np.deg2rad(ANGLES))
    assert (offsets(aligned)[:, 1] @ sine) / (sine @ sine) == pytest.approx(6.0, abs=1.0)


def test_haadf_is_the_reference_where_there_is_one():
    shifts = jitter(5)
    haadf = 1000 + 50 * blobs(ANGLES, shifts, seed=5)
    maps = series_of(np.random.default_rng(5).poisson(0.5, haadf.shape), haadf=haadf)
    aligned = Align(axis_rotation=0.0).run(maps)
    assert aligned.notes['align']['reference'] == 'HAADF images'
    assert (rms_error(aligned, shifts) < 0.3).all()
    assert Align(reference='maps', rounds=0).run(maps).notes['align']['reference'] == 'sum of the maps'


def test_counts_stay_and_the_recipe_records_the_alignment():
    maps = series_of(np.random.default_rng(0).poisson(blobs(ANGLES, jitter(0))).astype(np.float32))
    step = Align(rounds=1, axis_rotation=0.0)
    aligned = step.run(maps)
    assert np.array_equal(aligned.data, maps.data)
    assert aligned.recipe.steps == (step,)
    import json

    assert json.loads(json.dumps(aligned.notes)) == aligned.notes


def test_order_of_the_tilts_does_not_matter():
    angles = ANGLES[::2]
    images = blobs(angles, jitter(6)[::2], seed=6)
    order = np.random.default_rng(0).permutation(len(angles))
    sorted_, mixed = (
        Align(rounds=2, axis_rotation=0.0).run(series_of(images, angles)),
        Align(rounds=2, axis_rotation=0.0).run(series_of(images[order], angles[order])),
    )
    np.testing.assert_allclose(mixed.shifts, sorted_.shifts[order], atol=1e-6)


def test_large_images_are_binned_for_matching_only():
    angles = np.arange(-40.0, 41.0, 10.0)
    shifts = jitter(7, 12.0, len(angles))
    images = blobs(angles, shifts, size=201, width=120, height=120, depth=60, number=40, seed=7)
    aligned = Align(axis_rotation=0.0).run(series_of(images, angles))
    assert (rms_error(aligned, shifts) < 0.6).all()


def test_same_input_same_result():
    angles = ANGLES[::2]
    images = np.random.default_rng(8).poisson(
        blobs(angles, jitter(8, 3.0)[::2], size=32, width=20, height=16, depth=16)
    )
    first, second = (Align(rounds=2).run(series_of(images, angles)).shifts for _ in range(2))
    assert np.array_equal(first, second)


# The gauge


def test_motions_of_the_specimen_are_no_shifts():
    t = np.deg2rad(ANGLES)
    motion = np.stack([np.full_like(t, 2.0), 3 * np.cos(t) - 5 * np.sin(t)], axis=1)
    np.testing.assert_allclose(rigid_motion(motion, ANGLES), motion, atol=1e-12)
    np.testing.assert_allclose(without_rigid_motion(motion, ANGLES), 0, atol=1e-12)
    np.testing.assert_allclose(without_rigid_motion(smallest_shifts(motion, ANGLES, 4.0), ANGLES), 0, atol=1e-12)


def test_axis_is_determined_only_where_it_shows():
    t = np.deg2rad(ANGLES)
    clean = np.stack([np.zeros_like(t), 5 * (1 - np.cos(t)) + 2 * np.sin(t)], axis=1)
    assert tilt_axis_in(clean, ANGLES, 32).shift == pytest.approx(5.0)
    noisy = tilt_axis_in(clean + jitter(0), ANGLES, 32)
    assert noisy.shift == 0 and noisy.uncertainty > 2


# What can be wrong


def test_a_tilt_that_does_not_belong_is_named():
    images = blobs(ANGLES, np.zeros((len(ANGLES), 2)))
    images[-1] = np.roll(images[-1], (21, 21), axis=(0, 1))
    aligned = Align(rounds=0, max_shift=0.2).run(series_of(images))
    assert aligned.notes['align']['doubtful_angles'] == [40.0]


def test_zero_maps():
    images = blobs(ANGLES, np.zeros((len(ANGLES), 2)))
    images[3] = 0
    with pytest.raises(InputError, match='sum of the maps at -25° is empty'):
        Align().run(series_of(images))


def test_inputs_that_cannot_be_aligned():
    images = blobs(ANGLES, np.zeros((len(ANGLES), 2)))
    with pytest.raises(InputError, match='no HAADF images'):
        Align(reference='haadf').run(series_of(images))
    with pytest.raises(InputError, match='one tilt only'):
        Align().run(series_of(images[:1], ANGLES[:1]))
    with pytest.raises(InputError, match='too small'):
        Align().run(series_of(images[:, :4, :4]))
    with pytest.raises(InputError, match='max_shift'):
        Align(max_shift=0)


class Recorder(Observer):
    def __init__(self, wanted=Request.GO):
        self.seen, self.wanted = [], wanted

    def report(self, progress):
        self.seen.append(progress)

    def request(self):
        return self.wanted


def test_progress_finish_and_cancel():
    angles = ANGLES[::2]
    maps = series_of(blobs(angles, jitter(1)[::2], seed=1), angles)
    recorder = Recorder()
    Align(rounds=2).run(maps, recorder)
    assert [p.iteration for p in recorder.seen] == list(range(1, len(angles) + 2))
    assert {p.total for p in recorder.seen} == {len(angles) + 1}
    finished = Align(rounds=50).run(maps, Recorder(Request.FINISH))
    assert finished.notes['align']['rounds'] < 3
    with pytest.raises(Cancelled):
        Align().run(maps, Recorder(Request.CANCEL))


# The real series


@pytest.mark.skipif(not OPENNCEM.is_dir(), reason='the openNCEM series is not beside the repository')
def test_openncem_haadf_and_x_rays_agree():
    series = load_tilt_series([OPENNCEM / f'{tilt}.bcf' for tilt in range(-20, 25, 5)], binning=4)
    x_rays = np.stack([tilt[..., 80:1000].sum(axis=-1).compute() for tilt in series.counts])
    maps = MapSeries(x_rays[None], series.angles, ('all',), series.pixel_size, haadf=series.haadf)
    by_haadf, by_counts = (Align(reference=which).run(maps) for which in ('haadf', 'maps'))
    difference = without_rigid_motion(offsets(by_haadf) - offsets(by_counts), series.angles)
    assert np.sqrt((difference**2).mean(axis=0)).max() < 0.4
    # At 0 deg the stage stood 5 pixels of 26 nm off its neighbours; seen by eye too.
    zero = list(series.angles).index(0)
    jump = by_haadf.shifts[zero] - by_haadf.shifts[[zero - 1, zero + 1]].mean(axis=0)
    assert abs(jump[0]) < 0.5 and -4.0 < jump[1] < -2.0


def test_outlier_pixels_displace_nothing():
    """Three pixels in three images outweighed the whole specimen: shifts went wrong by 10 pixels."""
    angles = ANGLES[::2]
    shifts = jitter(1, amplitude=2.0)[::2]
    images = np.random.default_rng(0).poisson(blobs(angles, shifts, width=40, height=30, depth=30, size=64))
    images = images.astype(np.float32)
    spoilt = images.copy()
    spoilt[2, 9, 12], spoilt[5, 40, 33], spoilt[0, 1, 1] = 1e6, 3e4, 1e5
    step = Align(axis_rotation=0.0, rounds=4)
    clean, other = step.run(series_of(images, angles)), step.run(series_of(spoilt, angles))
    assert np.abs(offsets(other) - offsets(clean)).max() < 0.25
    np.testing.assert_array_equal(other.data[0], spoilt)
    haadf = step.run(series_of(images, angles, haadf=spoilt))
    assert np.abs(offsets(haadf) - offsets(clean)).max() < 0.25


# What the findings say


def test_a_tilt_of_another_specimen_is_named_in_a_finding():
    images = blobs(ANGLES, jitter(2, 2.0), seed=2)
    images[11] = blobs(ANGLES[11:12], np.zeros((1, 2)), seed=77)[0]
    aligned = Align(axis_rotation=0).run(series_of(np.random.default_rng(2).poisson(images)))
    (finding,) = [found for found in aligned.findings if found.about == 'tilts out of line']
    assert aligned.notes['align']['doubtful_angles'] == [15.0]
    assert '15°' in finding.sentence and finding.level == 'doubt'


def test_noise_is_said_to_determine_nothing():
    images = np.random.default_rng(3).poisson(0.3, (9, 32, 32)) + 0.0
    aligned = Align(axis_rotation=0, rounds=2).run(series_of(images, np.arange(-40.0, 41.0, 10.0)))
    assert 'alignment' in {found.about for found in aligned.findings}
    import json

    json.dumps(aligned.notes, allow_nan=False)


def test_no_rotation_is_looked_for_in_a_film_beyond_the_field():
    """Mass that comes into view with tilt was taken for 4.4 +- 0.8 and 6.8 +- 2.1 degrees of a straight axis."""
    rng = np.random.default_rng(5)
    wide = 20 + 10 * rng.normal(size=(48, 120))
    images = []
    for t in np.deg2rad(ANGLES):
        across = 59.5 + (np.arange(48) - 23.5) / np.cos(t)
        images.append([np.interp(across, np.arange(120), line) / np.cos(t) for line in wide])
    found = Align(rounds=1).run(series_of(rng.poisson(np.maximum(images, 0)).astype(np.float32)))
    assert found.axis_rotation == 0
    assert found.notes['align']['rotation_uncertainty'] is None
