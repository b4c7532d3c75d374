"""HAADF beside maps: weights and damping from common tilts, images on the maps' pixels, what is refitted between iterations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import TotalVariation
from napari_diptomo.reconstruct.haadf_data import in_unit_range, prepare_haadf, seen_within, within_volume
from napari_diptomo.reconstruct.haadf_images import TiltImages
from napari_diptomo.reconstruct.haadf_observation import HAADFData, HAADFObservation
from napari_diptomo.reconstruct.haadf_weights import Intensity, damped, intensity_per_count, powers_of_atomic_numbers
from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.elements import ATOMIC_NUMBERS, atomic_number
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.haadf_of_series import on_pixels_of
from napari_diptomo.simulate import facetted, interdiffusion, lamella, needle, porous, tilt_series
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series

TILTS = np.arange(-40, 41, 10.0)
WIDE = np.arange(-70, 71, 10.0)
CPU = torch.device('cpu')


def beside(maps, images, angles=WIDE):
    return replace(maps, haadf_series=HAADFSeries(images, angles, maps.pixel_size))


@pytest.fixture(scope='module')
def specimen():
    return lamella(24, seed=2)


@pytest.fixture(scope='module')
def series(specimen):
    return tilt_series(specimen, TILTS, 60, 1)


def test_atomic_numbers_of_channels():
    assert (len(ATOMIC_NUMBERS), ATOMIC_NUMBERS['Te'], ATOMIC_NUMBERS['U']) == (96, 52, 92)
    found = [atomic_number(c) for c in ('Ge', 'Fe_L', 'Fe2+', 'O K', 'A', 'cores', 'Sb_La')]
    assert found == [32, 26, 26, 8, None, None, 51]


@pytest.mark.parametrize('start', [(1.0, 1.0, 1.0), (2.0, 0.5, 1.0)])
@pytest.mark.parametrize('build', [porous, facetted, lamella])
def test_weights_are_found_from_noisy_counts_whatever_they_begin_with(build, start):
    phantom = build(32, seed=7)
    simulated = tilt_series(phantom, TILTS, 30, 5)
    truth = np.array([1.0, 2.2, 1.4])
    images = 3.0 + np.tensordot(truth, simulated.clean, 1)
    images = images + 0.02 * images.max() * np.random.default_rng(0).standard_normal(images.shape)
    found = intensity_per_count(simulated.maps.data, simulated.maps.data, images, np.array(start))
    strong = simulated.clean.sum(axis=(1, 2, 3)) > 0.15 * simulated.clean.sum()
    # Least squares without the noise in mind are 10 to 30 % too low here.
    np.testing.assert_allclose(found.weights[strong], truth[strong], rtol=0.12)
    np.testing.assert_array_less(np.abs(found.weights - truth), 5 * found.errors + 0.08 * truth)
    assert found.damping * images.max() < 0.15


@pytest.mark.parametrize('build', [interdiffusion, needle, porous])
def test_a_start_that_is_wrong_by_an_order_of_magnitude_is_left(build):
    """As of light elements with few counts per atom, and of channels that are called as an element and are none."""
    simulated = tilt_series(build(20, seed=22), np.arange(-40, 41, 10.0), 30, 5)
    truth = np.array([1.0, 2.2, 1.4])
    images = np.tensordot(truth, simulated.clean, 1)
    found = intensity_per_count(simulated.maps.data, simulated.maps.data, images, np.array([20.0, 1.0, 1.3]))
    strong = simulated.clean.sum(axis=(1, 2, 3)) > 0.15 * simulated.clean.sum()
    np.testing.assert_allclose(found.weights[strong], truth[strong], rtol=0.15)
    assert found.damping * images.max() < 0.15


def test_damping_is_found_from_the_common_tilts(series):
    p = np.tensordot([1.0, 1.6, 1.6], series.clean, 1)
    k = 0.5 / p.max()
    found = intensity_per_count(series.maps.data, series.maps.data, damped(p, k), np.array([1.0, 1.6, 1.6]))
    assert damped(p.max(), k) == pytest.approx(p.max() * (1 - np.exp(-0.5)) / 0.5)
    assert 0.5 * k < found.damping < 1.5 * k
    np.testing.assert_allclose(found.weights, [1.0, 1.6, 1.6], rtol=0.1)


def test_images_of_finer_pixels_are_averaged_and_what_lies_outside_is_missing():
    rows, columns = np.mgrid[:32, :32]
    fine = HAADFSeries((rows + 100.0 * columns)[None].repeat(3, 0), [-10, 0, 10], 0.5, shifts=np.full((3, 2), 2.0))
    maps = MapSeries(np.ones((1, 3, 16, 20)), [-10, 0, 10], ('A',), 1.0)
    found = on_pixels_of(fine, maps)
    np.testing.assert_allclose(found.images[0, 3, 2:18], 6.5 + 100 * (2 * np.arange(16) + 0.5))
    assert found.missing[:, :, :2].all() and found.missing[:, :, 18:].all() and not found.missing[:, :, 2:18].any()
    np.testing.assert_allclose(found.shifts, 1.0)
    assert found.pixel_size == 1.0
    with pytest.raises(InputError, match=r'HAADF images cover .* of the field'):
        on_pixels_of(replace(fine, pixel_size=0.1), maps)


def test_a_tiny_particle_on_clipped_black_is_not_empty():
    images = np.full((3, 40, 40), 7.0)
    images[:, 20:22, 20:22] = [[17.0, 27.0], [27.0, 27.0]]
    found = in_unit_range(HAADFSeries(images, np.arange(3.0)))
    np.testing.assert_allclose(found.images[0, 20:22, 20:22], [[0.5, 1.0], [1.0, 1.0]])
    assert found.images.min() == 0
    with pytest.raises(InputError, match='are empty'):
        in_unit_range(HAADFSeries(np.full((3, 40, 40), 7.0), np.arange(3.0)))


@pytest.mark.parametrize('rotation', [0.0, 8.0])
def test_rays_that_leave_the_volume_of_a_wider_specimen_carry_no_weight(rotation):
    angles = np.array([-60.0, -20.0, 0.0, 40.0])
    shifts = np.random.default_rng(1).normal(0, 1.5, (4, 2))
    images = HAADFSeries(np.ones((4, 12, 40)), angles, 1.0, shifts=shifts, axis_shift=2.0, axis_rotation=rotation)
    missing = within_volume(images, (6, 12, 48)).missing
    thickness = [
        ParallelBeam(angles, (6, 12, width), shifts, 2.0, 40, axis_rotation=rotation).project(
            np.ones((1, 6, 12, width))
        )
        for width in (48, 200)
    ]
    inside, length = (found[0] for found in thickness)
    shown = length > 0.99 * length.max((1, 2), keepdims=True)
    assert missing[0].mean() > 0.3 and not missing[2].any()
    assert (inside > 0.98 * length)[shown & ~missing].all()
    # Nothing more than a pixel at the limit is given away.
    assert ((inside > 0.9999 * length) & shown & missing).sum() <= 2 * 12


def test_images_that_look_past_the_volume_are_left_out_by_name():
    angles = np.array([-80.0, -30.0, 0.0, 30.0, 60.0, 80.0])
    images = HAADFSeries(np.random.default_rng(0).random((6, 12, 40)), angles, shifts=np.arange(12.0).reshape(6, 2) / 9)
    data = HAADFData(images, Intensity(np.ones(1), np.ones(1), 0.0))
    # At 80 degrees a ray of the middle leaves a volume 16 deep and 48 wide: 8 tan(80 deg) is 45, more than 24.
    found, (finding,) = seen_within(data, (16, 12, 48))
    assert list(found.series.angles) == [-30, 0, 30, 60]
    np.testing.assert_array_equal(found.series.images, images.images[1:5])
    np.testing.assert_array_equal(found.series.shifts, images.shifts[1:5])
    assert not found.series.missing.all(axis=(1, 2)).any()
    assert finding.level == 'note' and '-80°, 80° look past' in finding.sentence and 'thickness' in finding.sentence
    none, (finding,) = seen_within(replace(data, series=images.at(np.abs(angles) > 50)), (48, 12, 48))
    assert none is None and finding.level == 'doubt' and 'The 0 that are left' in finding.sentence


def test_images_that_all_lie_within_the_volume_are_left_as_they_are():
    images = HAADFSeries(np.random.default_rng(0).random((3, 12, 40)), np.array([-20.0, 0.0, 20.0]))
    data = HAADFData(images, Intensity(np.ones(1), np.ones(1), 0.0))
    # 20 + 8 sin(20 deg) is less than 48 cos(20 deg).
    assert seen_within(data, (16, 12, 96)) == (data, ())


def test_images_of_a_wider_specimen_are_explained_at_tilts_beyond_those_of_its_maps():
    texture = ndimage.gaussian_filter(np.random.default_rng(4).standard_normal((2, 6, 12, 216)), (0, 1, 2, 2))
    wide = 20 * np.maximum(texture / texture.std(), 0)
    tilts, more = np.arange(-20, 21, 10.0), np.arange(-60, 61, 20.0)
    clean = ParallelBeam(tilts, wide.shape[1:], columns=32).project(wide)
    images = ParallelBeam(more, wide.shape[1:], columns=32).project(wide[:1] + 2 * wide[1:])[0]
    maps = MapSeries(np.random.default_rng(0).poisson(clean), tilts, ('A', 'B'))
    step = TotalVariation(beyond_field=True, thickness=6, weight=0.3)
    problem = step.prepare(beside(maps, images, more))
    data, (nz, ny, nx) = problem.haadf, problem.beam.shape
    seen = HAADFObservation(data.series, Intensity(np.array([1.0, 2.0]), np.ones(2), 0.0), (nz, ny, nx), CPU, 1000.0)
    scale = np.ptp(images) / np.ptp(data.series.images)
    middle = wide[..., (wide.shape[3] - nx) // 2 :][..., :nx] / scale
    seen.refit(torch.as_tensor(np.concatenate([middle, np.zeros_like(middle[:1])]), dtype=torch.float32))
    assert max(seen.misfits) < 0.04


def test_images_between_the_tilts_come_from_a_volume_of_all(specimen, series):
    model = HAADFModel(offset=0.0, gain=0.0, noise=0.0)
    at = haadf_series(specimen, TILTS, model).images
    between = haadf_series(specimen, np.arange(-68, 69, 4.0) + 1, model)
    found = TiltImages(HAADFSeries(between.images, between.angles)).at(TILTS, np.zeros((len(TILTS), 2)))
    assert np.corrcoef(found.ravel(), at.ravel())[0, 1] > 0.99


@pytest.mark.parametrize('recorded', [True, False])
def test_images_lie_where_they_are_asked_to_lie(specimen, recorded):
    own = TILTS if recorded else np.arange(-65, 66, 10.0)
    model = HAADFModel(offset=0.0, gain=0.0, noise=0.005, misregistration=1.0)
    moved = haadf_series(specimen, own, model, seed=6)
    wanted = np.random.default_rng(2).normal(0, 1.0, (len(TILTS), 2))
    at = TiltImages(HAADFSeries(moved.images, own, shifts=moved.shifts)).at(TILTS, wanted)
    still = haadf_series(specimen, TILTS, replace(model, misregistration=0.0)).images
    known = np.isfinite(at)
    assert known.mean() > 0.8
    rows, columns = np.mgrid[:24, :24]
    for pixel, axis in ((rows, 0), (columns, 1)):
        at, still = np.where(known, at, 0), np.where(known, still, 0)
        displaced = (at * pixel).sum((1, 2)) / at.sum((1, 2)) - (still * pixel).sum((1, 2)) / still.sum((1, 2))
        np.testing.assert_allclose(displaced, wanted[:, axis], atol=0.3)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda images, angles: (images.max() - images, angles), 'darker where the maps hold more'),
        (
            lambda images, angles: (images[np.random.default_rng(3).permutation(len(images))], angles),
            'maps of other tilts',
        ),
        (lambda images, angles: (np.random.default_rng(1).normal(5, 1, images.shape), angles), 'does not show what'),
    ],
)
def test_images_that_contradict_the_maps_are_left_out(change, words):
    phantom = facetted(24, seed=21)
    maps = tilt_series(phantom, TILTS, 60, 1).maps
    recorded = haadf_series(phantom, WIDE, HAADFModel(), seed=2)
    data, findings = prepare_haadf(beside(maps, *change(recorded.images, recorded.angles)))
    assert data is None
    assert findings[-1].level == 'doubt' and words in findings[-1].sentence
    kept, none = prepare_haadf(beside(maps, recorded.images))
    assert kept is not None and none == ()


def test_a_displaced_frame_is_found_and_a_needle_does_not_feign_one(specimen, series):
    recorded = haadf_series(specimen, WIDE, HAADFModel(offset=0.0, gain=0.0, noise=0.005), seed=2)
    angle = np.deg2rad(WIDE)
    moved = np.stack([np.roll(image, 2, 0) for image in recorded.images])
    data, _ = prepare_haadf(beside(series.maps, moved))
    np.testing.assert_allclose(data.series.shifts[:, 0], 2.0, atol=0.15)
    np.testing.assert_allclose(data.series.shifts[:, 1], 0.0 * angle, atol=0.3)


@pytest.fixture(scope='module')
def observed(specimen, series):
    """Images of the true volume with known offset, gain and displacement."""
    scale = float(series.truth.data.sum() / specimen.truth.data.sum())
    model = HAADFModel(offset=0.0, gain=0.0, noise=0.005, misregistration=0.8)
    recorded = haadf_series(specimen, WIDE, model, seed=9)
    gains = 1 + 0.02 * np.cos(np.arange(len(WIDE)))
    offsets = 0.05 * np.sin(np.arange(len(WIDE)))
    images = gains[:, None, None] * recorded.images / 1000 + offsets[:, None, None]
    x = torch.as_tensor(np.concatenate([series.truth.data, np.zeros_like(series.truth.data[:1])]))
    intensity = Intensity(recorded.weights / scale / 1000, np.zeros(3), 0.0)
    observation = HAADFObservation(HAADFSeries(images, WIDE), intensity, tuple(x.shape[1:]), CPU, 1000.0)
    return observation, x, offsets, gains, recorded.shifts


def test_refits_find_offset_gain_and_displacement_of_each_image(observed):
    observation, x, offsets, gains, shifts = observed
    for _ in range(6):
        observation.refit(x)
    np.testing.assert_allclose(observation.shifts, shifts, atol=0.08)
    np.testing.assert_allclose(observation.offset.numpy(), offsets, atol=0.01)
    np.testing.assert_allclose(observation.gain.numpy(), gains / gains.mean(), atol=0.02)
    assert observation.misfit < 0.02
    assert (observation.shift_errors < 0.1).all()


def test_the_term_is_the_negative_log_likelihood_of_its_variance(observed):
    observation, x, *_ = observed
    observation.refit(x)
    images = torch.as_tensor(observation.series.images)
    residual = (images - observation.model(x)) * observation._mask
    expected = 0.3 * 0.5 * (residual.square().sum((1, 2)) / observation.variance).sum() / 1000.0
    assert float(observation.term(x)) == pytest.approx(float(expected), rel=1e-5)
    x = x.clone().requires_grad_()
    observation.term(x).backward()
    assert float(x.grad[-1].abs().sum()) > 0


def test_the_state_continues_where_it_was(observed, specimen):
    observation, x, *_ = observed
    other = HAADFObservation(
        observation.series, Intensity(np.ones(3), np.zeros(3), 0.0), tuple(x.shape[1:]), CPU, 1000.0
    )
    other.restore(observation.state())
    torch.testing.assert_close(other.model(x), observation.model(x))
    observation.refit(x)
    other.refit(x)
    torch.testing.assert_close(other.model(x), observation.model(x))
    assert other.misfit == observation.misfit


def test_the_last_channel_is_the_brightness_that_no_map_holds(observed):
    observation, x, *_ = observed
    more = x.clone()
    more[-1, 10:14, 10:14, 10:14] = 1.0
    torch.testing.assert_close(
        observation.brightness(more) - observation.brightness(x), more[-1] - x[-1], rtol=1e-4, atol=1e-5
    )


def test_too_few_images_are_refused(series):
    with pytest.raises(InputError, match='2 HAADF images add nothing'):
        prepare_haadf(beside(series.maps, np.random.default_rng(0).normal(size=(2, 24, 24)), [-10.0, 10.0]))


def test_weights_begin_with_a_power_of_the_atomic_number():
    assert powers_of_atomic_numbers(['Si', 'Fe2+', 'Te']) == pytest.approx([14**1.7, 26**1.7, 52**1.7])
