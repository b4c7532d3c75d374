"""Doubts about the model: each fault is named by its cause, a faultless series by nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.reconstruct.field_edges import edges_of
from napari_diptomo.reconstruct.model_checks import scatter, tilt_residuals
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import MapSeries, Recipe, Source, step_from_dict
from napari_diptomo.simulate import lamella, tilt_series
from napari_diptomo.simulate.specimens import facetted, needle, porous
from napari_diptomo.spectra import EDXMaps, with_gain

ANGLES = np.arange(-40, 41, 5.0)
TV = TotalVariation(iterations=80)


def doubts(volume):
    return {finding.about: finding for finding in volume.findings if finding.level == 'doubt'}


def film(columns=24, extent=60, peak=30.0, seed=0, low=None, high=None):
    """A slab of two phases along x, seen by images narrower than it; ``low`` and ``high`` cut it, voxels from the middle."""
    x = np.arange(extent) - (extent - 1) / 2
    body = np.zeros((2, extent, 16, extent), np.float32)
    body[0, extent // 2 - 5 : extent // 2 + 5, 2:14] = 1
    body[1] = body[0] * (np.sin(x / 3) > 0)
    body[0] -= body[1]
    kept = np.ones(extent, bool)
    if low is not None:
        kept &= x > low
    if high is not None:
        kept &= x < high
    clean = ParallelBeam(ANGLES, body.shape[1:], columns=columns).project(body * kept)
    counts = np.random.default_rng(seed).poisson(clean * peak / clean.max())
    return MapSeries(counts, ANGLES, ('A', 'B'))


@pytest.fixture(scope='module')
def series():
    return tilt_series(lamella(24, 3), ANGLES, 30, seed=1)


@pytest.mark.parametrize('make', [lamella, porous, needle, facetted])
@pytest.mark.parametrize('step', [SIRT(iterations=30), TV], ids=lambda s: s.title)
def test_a_faultless_series_is_not_doubted(make, step):
    assert not doubts(step.run(tilt_series(make(24, 2), ANGLES, 30, seed=4).maps))


@pytest.mark.parametrize('peak', [5.0, 30.0, 100.0])
@pytest.mark.parametrize(
    ('low', 'high', 'where'), [(None, None, 'both edges'), (-9, None, 'at high x'), (None, 9, 'at low x')]
)
def test_a_specimen_that_reaches_an_edge_is_doubted_with_its_remedy(peak, low, high, where):
    found = doubts(SIRT(iterations=2).run(film(peak=peak, low=low, high=high)))
    assert set(found) == {'field of view'}
    assert where in found['field of view'].sentence
    remedy = found['field of view'].remedy
    assert dict(remedy.changes) == {'beyond_field': True}
    assert step_from_dict({'step': remedy.step, **remedy.changes}).beyond_field
    assert 'field of view' not in doubts(SIRT(iterations=2, beyond_field=True).run(film(peak=peak, low=low, high=high)))


@pytest.mark.parametrize('peak', [5.0, 100.0])
def test_a_specimen_that_ends_inside_is_not_doubted(peak):
    assert not edges_of(film(columns=30, peak=peak, low=-8, high=8)).reached.any()


def test_matter_at_one_side_of_a_few_tilts_is_doubted_with_the_tilts():
    """A second body far out and high above the axis: it enters the images at high tilts only."""
    body = np.zeros((1, 60, 16, 60), np.float32)
    body[0, 25:35, 2:14, 24:36] = 1
    body[0, 46:54, 4:12, 40:44] = 1
    clean = ParallelBeam(ANGLES, body.shape[1:], columns=30).project(body)
    entering = clean[0, :, :, [0, -1]].sum((0, 2)) > 0.3 * clean.max()
    assert 0 < entering.sum() < 6
    counts = np.random.default_rng(3).poisson(clean * 30 / clean.max())
    maps = MapSeries(counts, ANGLES, ('A',))
    (doubt,) = doubts(SIRT(iterations=2).run(maps)).values()
    assert doubt.about == 'field of view'
    for tilt in edges_of(maps).angles[edges_of(maps).reached.any(1)]:
        assert f'{tilt:g}' in doubt.sentence
    assert doubt.evidence['tilts'] <= entering.sum() + 2


def test_matter_that_leaves_along_the_tilt_axis_is_harmless():
    body = np.zeros((1, 24, 16, 24), np.float32)
    body[0, 8:16, :, 8:16] = 1
    counts = np.random.default_rng(5).poisson(3 * ParallelBeam(ANGLES, body.shape[1:]).project(body))
    assert not doubts(TV.run(MapSeries(counts, ANGLES, ('A',))))


def test_background_alone_is_no_specimen(series):
    rng = np.random.default_rng(6)
    flat = np.full_like(series.clean, 4.0)
    assert not edges_of(replace(series.maps, data=rng.poisson(flat))).reached.any()
    assert not edges_of(replace(series.maps, data=rng.poisson(flat), background=flat)).reached.any()


def test_a_background_that_is_in_no_model_is_doubted_and_a_known_one_is_not(series):
    background = np.full_like(series.clean, 2.0)
    maps = replace(series.maps, data=np.random.default_rng(7).poisson(series.clean + background))
    found = doubts(SIRT(iterations=5).run(maps))
    assert 'background' in found
    assert 'field of view' not in found
    assert 'background' not in doubts(SIRT(iterations=5).run(replace(maps, background=background)))


@pytest.mark.parametrize('step', [SIRT(iterations=30), PoissonEM(iterations=30), TV], ids=lambda s: s.title)
def test_a_dose_that_differs_between_tilts_is_doubted_with_its_remedy(series, step):
    rng = np.random.default_rng(8)
    gain = 1 + 0.05 * rng.standard_normal(len(ANGLES))
    maps = replace(series.maps, data=rng.poisson(series.clean * gain[None, :, None, None]))
    found = doubts(step.run(maps))
    assert set(found) == {'dose'}
    assert found['dose'].evidence['rms'] == pytest.approx(gain.std(), rel=0.3)
    assert f'{ANGLES[np.abs(gain - gain.mean()).argmax()]:g}°' in found['dose'].sentence
    assert dict(found['dose'].remedy.changes) == {'fit_gain': True}
    assert not doubts(step.model_copy(update={'fit_gain': True}).run(maps))


def test_shaded_detectors_beyond_the_field_are_doubted_with_their_remedy():
    """The totals of a film grow with the tilt; what the detectors do not see is found by the residuals, and measured as of a slab."""
    maps = film(columns=40, extent=90)
    gain = np.where(ANGLES < 0, 1 + 0.004 * ANGLES, 1.0)
    counts = np.random.default_rng(3).binomial(maps.data.astype(int), gain[:, None, None])
    recorded = replace(maps, data=counts, recipe=Recipe(Source(), (EDXMaps(elements=('Fe', 'Ni')),)))
    step = SIRT(iterations=30, beyond_field=True, thickness=10.0)
    remedy = doubts(step.run(recorded))['dose'].remedy
    assert (remedy.step, dict(remedy.changes)) == ('EDXMaps', {'gain_from_totals': 'slab'})
    assert doubts(step.run(replace(recorded, recipe=None)))['dose'].remedy is None
    measured = with_gain(recorded, 'slab')
    np.testing.assert_allclose(measured.gain[0], gain / gain.mean(), rtol=0.03)
    assert 'dose' not in doubts(step.run(measured))


@pytest.mark.parametrize('step', [SIRT(iterations=30), TV], ids=lambda s: s.title)
def test_displaced_images_are_doubted_and_named(step):
    shifts = np.zeros((len(ANGLES), 2))
    shifts[3], shifts[12] = (0.0, 2.0), (-2.0, 0.0)
    maps = tilt_series(lamella(24, 3), ANGLES, 30, seed=1, shifts=shifts).maps
    found = doubts(step.run(maps))
    assert 'alignment' in found
    named = found['alignment'].sentence.split('most at')[1]
    assert '-25°' in named
    assert '20°' in named
    assert 'Align' in named
    assert not doubts(step.run(replace(maps, shifts=shifts)))


def test_the_residuals_of_the_truth_are_the_displacement_and_the_dose():
    """Of a volume that is right, moved images ask for their displacement, and dimmer ones for their dose."""
    z, y, x = np.meshgrid(*(np.arange(24) - 11.5,) * 3, indexing='ij')
    places = ((0, -4, -4), (3, 4, 0), (-3, 0, 4))
    smooth = [np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / 18) for a, b, c in places]
    truth = torch.as_tensor(np.stack(smooth), dtype=torch.float32)
    rng = np.random.default_rng(9)
    shifts, gain = rng.normal(0, 0.3, (len(ANGLES), 2)), rng.normal(1, 0.05, len(ANGLES))
    shifts[:, 0] -= shifts[:, 0].mean()
    moved = ParallelBeam(ANGLES, (24, 24, 24), shifts).project(truth.numpy()) * gain[None, :, None, None]
    problem = Problem(MapSeries(np.random.default_rng(1).poisson(20 * moved), ANGLES, tuple('ABC')))
    found = tilt_residuals(problem, 20 * truth)
    # The second order in the displacement, besides the noise.
    assert (np.abs(found.shift - shifts) < 4 * found.shift_error + 0.04).all()
    assert (np.abs(found.dose - (gain - gain.mean())) < 4 * found.dose_error + 0.01).all()
    assert found.shift_error.max() < 0.1


def test_displaced_images_are_not_taken_for_another_dose():
    shifts = np.random.default_rng(12).normal(0, 1.5, (len(ANGLES), 2))
    maps = tilt_series(lamella(24, 3), ANGLES, 30, seed=1, shifts=shifts - shifts.mean(0)).maps
    assert set(doubts(SIRT(iterations=20).run(maps))) == {'alignment'}


def test_the_dose_is_known_as_well_as_all_counts_of_a_tilt_determine_it():
    maps = tilt_series(facetted(24, 2), ANGLES, 30, seed=4).maps
    problem = Problem(maps)
    found = tilt_residuals(problem, torch.as_tensor(SIRT(iterations=30).run(maps).data))
    counted = maps.data.sum(axis=(0, 2, 3))
    # Empty pixels are given a variance of their own, a tenth of a count.
    assert (found.dose_error > 0.9 / np.sqrt(counted)).all()
    assert (found.dose_error < 1.15 / np.sqrt(counted)).all()


def test_scatter_is_beyond_the_errors():
    rng = np.random.default_rng(10)
    errors = np.full(4000, 0.1)
    rms, sigmas = scatter(rng.normal(0, 0.1, 4000), errors)
    assert rms < 0.03
    assert abs(sigmas) < 4
    assert scatter(rng.normal(0, np.hypot(0.1, 0.2), 4000), errors)[0] == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize('make', [lamella, needle])
def test_a_leak_into_all_maps_is_doubted(make):
    clean = tilt_series(make(24, 2), ANGLES, 30, seed=4)
    expected = np.einsum('wc,ctyx->wtyx', np.eye(3) + 0.1, clean.clean)
    maps = replace(clean.maps, data=np.random.default_rng(11).poisson(expected))
    found = doubts(TV.run(maps))
    assert set(found) == {'floor of all channels'}
    assert 'leaks into every map' in found['floor of all channels'].sentence


@pytest.mark.parametrize('fractions', [(0.5, 0.3, 0.2), (0.7, 0.2, 0.1), (0.8, 0.1, 0.1)])
def test_an_alloy_of_all_elements_is_not_taken_for_a_leak(series, fractions):
    expected = series.clean.sum(axis=0) * np.reshape(fractions, (3, 1, 1, 1))
    assert not doubts(TV.run(replace(series.maps, data=np.random.default_rng(12).poisson(expected))))


def test_every_method_reports_and_an_ensemble_once(series):
    rng = np.random.default_rng(13)
    gain = 1 + 0.1 * rng.standard_normal(len(ANGLES))
    maps = replace(series.maps, data=rng.poisson(series.clean * gain[None, :, None, None]) * 10)
    step = DIPmTV(iterations=40, widths=(8, 16), skips=(2, 2), ensemble=2, precision='float32')
    volume = step.run(maps)
    assert [f.about for f in volume.findings] == ['counting unit', 'dose']
    assert {f.step for f in volume.findings} == {'DIPmTV'}


def test_few_tilts_and_empty_tilts_are_reconstructed_without_a_doubt_of_dose():
    body = np.zeros((2, 12, 12, 12), np.float32)
    body[:, 4:8, 4:8, 4:8] = 5
    for angles in (np.array([-30.0, 0.0, 30.0]), np.arange(-30, 31, 10.0)):
        counts = np.random.default_rng(14).poisson(ParallelBeam(angles, (12, 12, 12)).project(body))
        counts[:, 1] = 0
        found = doubts(SIRT(iterations=20).run(MapSeries(counts, angles, ('A', 'B'))))
        assert set(found) <= {'dose'}
        assert len(angles) > 3 or not found
