"""Radians, angles out of range, repeats, wide shifts, huge and tiny numbers, variances of zero: a sentence or a right volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.assess import psnr
from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.reconstruct.data_split import noise_variance
from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.reading.angles.evidence import find_angles

STEP = SIRT(iterations=10)


def about(volume) -> list[str]:
    return [finding.about for finding in volume.findings]


@pytest.mark.parametrize('low, high', [(-70, 70), (-40, 40), (0, 180), (-10, 10)])
def test_radians_are_refused_with_the_degrees_that_they_would_be(maps, low, high):
    angles = np.deg2rad(np.linspace(low, high, 9))
    with pytest.raises(InputError, match=rf'if they are radians, give them in degrees \({low} to {high}\)'):
        STEP.run(replace(maps, angles=angles))
    with pytest.raises(InputError, match='if they are radians'):
        find_angles(9, given=list(angles))


@pytest.mark.parametrize('angles', [[-1.0, 0.0, 1.0], [0.0, 1.0, 2.0, 3.0], [-2.5, -1.0, 0.0, 3.5, 4.0]])
def test_small_angles_that_can_be_degrees_are_taken(angles):
    data = np.random.default_rng(0).poisson(5, (1, len(angles), 6, 6))
    assert STEP.run(MapSeries(data, angles, ('A',))).data.shape == (1, 6, 6, 6)


def test_angles_beyond_half_a_turn(maps):
    angles = maps.angles.copy()
    angles[3] = 350.0
    with pytest.raises(InputError, match='tilt angle 350° is not between -180° and 180°'):
        replace(maps, angles=angles)


def test_half_a_turn_is_taken():
    data = np.random.default_rng(0).poisson(5, (1, 4, 6, 6))
    assert MapSeries(data, [-180, -90, 90, 180], ('A',)).angles.max() == 180


def test_two_exposures_at_one_angle_are_used_and_noted(maps, clean):
    again = np.random.default_rng(5).poisson(clean[:, 4:5])
    twice = replace(
        maps, data=np.concatenate([maps.data, again], axis=1), angles=np.append(maps.angles, 0.0), shifts=None
    )
    volume = STEP.run(twice)
    note = next(f for f in volume.findings if f.about == 'repeated tilts')
    assert note.level == 'note'
    assert 'more than one image at 0°' in note.sentence
    assert 'copied images' not in about(volume)
    assert not {'repeated tilts', 'copied images'} & set(about(STEP.run(maps)))


@pytest.mark.parametrize('angle', [0.0, 45.0])
def test_one_image_entered_twice_is_a_doubt(maps, angle):
    copied = replace(
        maps,
        data=np.concatenate([maps.data, maps.data[:, 4:5]], axis=1),
        angles=np.append(maps.angles, angle),
        shifts=None,
    )
    doubt = next(f for f in STEP.run(copied).findings if f.about == 'copied images')
    assert doubt.level == 'doubt'
    assert f'images at 0° and {angle:g}° are equal in every pixel' in doubt.sentence


@pytest.mark.parametrize('shift', [(0.0, 16.0), (-20.0, 0.0)])
def test_a_shift_wider_than_the_image(maps, shift):
    shifts = np.zeros((9, 2))
    shifts[2] = shift
    with pytest.raises(InputError, match=rf'image at -20° is shifted by {shift[0]:g} pixels along y and {shift[1]:g}'):
        STEP.run(replace(maps, shifts=shifts))
    shifts[2] = [15.0, 15.0]
    assert np.isfinite(STEP.run(replace(maps, shifts=shifts)).data).all()


def test_shifts_and_axis_that_are_no_numbers(maps):
    shifts = np.zeros((9, 2))
    shifts[8, 1] = np.nan
    with pytest.raises(InputError, match='shift of the image at 40° is not a number'):
        replace(maps, shifts=shifts)
    with pytest.raises(InputError, match='position of the tilt axis is not a number'):
        replace(maps, axis_shift=np.inf)


def test_an_empty_image_and_an_empty_map(maps):
    data = maps.data.copy()
    data[1, 5] = 0
    doubt = next(f for f in STEP.run(replace(maps, data=data)).findings if f.about == 'empty maps')
    assert 'not one count of B at 10°' in doubt.sentence
    data[0, 5] = 0
    empty = replace(maps, data=data)
    volume = STEP.run(empty)
    note = next(f for f in volume.findings if f.about == 'empty images')
    assert 'not one count in any channel at 10°' in note.sentence
    rest = np.arange(9) != 5
    without = replace(empty, data=data[:, rest], angles=maps.angles[rest], shifts=None)
    np.testing.assert_array_equal(volume.data, STEP.run(without).data)


def test_few_counts_may_leave_an_image_empty():
    data = np.zeros((1, 5, 6, 6))
    data[0, ::2, 3, 3] = 1
    assert 'empty maps' not in about(STEP.run(MapSeries(data, np.arange(5) * 20.0, ('A',))))


@pytest.mark.parametrize('factor', [1e20, 1e-20, 3e33])
@pytest.mark.parametrize(
    'step',
    [STEP, PoissonEM(iterations=10), TotalVariation(iterations=40), DIPmTV(iterations=5, widths=(8, 8))],
    ids=lambda s: s.title,
)
def test_huge_and_tiny_numbers_give_the_same_volume(maps, step, factor):
    scaled = replace(maps, data=maps.data.astype(np.float64) * factor)
    expected, found = step.run(maps).data, step.run(scaled).data.astype(np.float64) / factor
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())


def test_huge_numbers_that_are_no_counts_with_their_variance(maps, clean):
    rng = np.random.default_rng(0)
    data, variance = clean * rng.uniform(0.98, 1.02, clean.shape), clean + 1
    for step in (STEP, TotalVariation(iterations=40)):
        expected = step.run(replace(maps, data=data, variance=variance)).data
        scaled = replace(maps, data=data * 1e15, variance=variance.astype(np.float64) * 1e30)
        np.testing.assert_allclose(step.run(scaled).data / 1e15, expected, atol=1e-3 * expected.max())


def test_numbers_that_float32_cannot_hold(maps):
    with pytest.raises(InputError, match=r'values of the maps are larger than the 3\.4e\+38'):
        replace(maps, data=maps.data.astype(np.float64) * 1e38)


def test_variances_that_are_none(maps):
    variance = np.ones(maps.data.shape)
    with pytest.raises(InputError, match='All variances are zero'):
        replace(maps, variance=0 * variance)
    variance[0, 0, 0, :3] = -1
    with pytest.raises(InputError, match=f'3 of {variance.size} variances are negative'):
        replace(maps, variance=variance)


def test_a_variance_of_zero_is_that_of_the_neighbours(maps, clean):
    """The counts themselves, as many give them: without a count the variance is 0, and the pixel would be exact."""
    flat = np.random.default_rng(0).poisson(0.5, (1, 9, 60, 60)).astype(np.float32)
    series = MapSeries(flat, maps.angles, ('A',), variance=flat)
    assert noise_variance(series)[flat == 0].mean() == pytest.approx(0.5, rel=0.05)
    with_zeros = replace(maps, variance=maps.data)
    volume = TotalVariation(iterations=60).run(with_zeros)
    note = next(f for f in volume.findings if f.about == 'variance of the maps')
    assert note.evidence['zero variances'] == (maps.data == 0).sum()
    known = TotalVariation(iterations=60).run(replace(maps, variance=clean + 1e-3))
    assert 'variance of the maps' not in about(known)
    for a, b in zip(volume.data, known.data, strict=True):
        assert psnr(a, b) > 18
