"""Residuals in units of the noise: 1 for the truth, and tilts that do not fit are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.assess.consistency import consistency
from napari_diptomo.assess.reprojection import reprojection
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError, MapSeries, Volume
from napari_diptomo.simulate import lamella, porous, tilt_series

ANGLES = np.arange(-60, 61, 10)


@pytest.fixture(scope='module', params=[lamella, porous])
def simulated(request):
    return tilt_series(request.param(32), ANGLES, peak_counts=40, seed=3)


def test_the_truth_leaves_the_noise_and_nothing_else(simulated):
    found = consistency(simulated.truth, simulated.maps)
    pulls = (found.misfit - 1) / found.misfit_error
    assert abs(pulls.mean()) < 3 / np.sqrt(pulls.size)
    assert 0.7 < pulls.std() < 1.4
    assert found.findings == ()
    assert (np.abs(found.above_ceiling) < 3 * found.ceiling_error + 0.02).all()


def test_a_tilt_that_was_moved_is_named(simulated):
    maps = simulated.maps
    data = maps.data.copy()
    data[:, 4] = np.roll(data[:, 4], 3, axis=-1)
    found = consistency(simulated.truth, replace(maps, data=data))
    (finding,) = found.findings
    assert (finding.level, finding.about) == ('doubt', 'tilts')
    assert 'the tilt at -20° worse than the others' in finding.sentence


def test_a_volume_that_explains_nothing_is_said_to(simulated):
    flat = replace(simulated.truth, data=np.full_like(simulated.truth.data, simulated.truth.data.mean()))
    assert 'projections' in [finding.about for finding in consistency(flat, simulated.maps).findings]


def test_the_unit_of_the_data_changes_nothing(simulated):
    tenth = consistency(
        replace(simulated.truth, data=simulated.truth.data / 10), replace(simulated.maps, data=simulated.maps.data / 10)
    )
    np.testing.assert_allclose(tenth.misfit, consistency(simulated.truth, simulated.maps).misfit, rtol=1e-3)


def test_maps_with_a_variance_of_their_own():
    rng = np.random.default_rng(0)
    truth = Volume(rng.uniform(1, 2, (1, 16, 16, 16)), ('Fe',))
    expected = ParallelBeam(ANGLES, (16, 16, 16)).project(truth.data)
    noisy = expected + 3 * rng.standard_normal(expected.shape)
    maps = MapSeries(noisy, ANGLES, ('Fe',), variance=np.full(expected.shape, 9.0))
    found = consistency(truth, maps)
    assert found.above_ceiling is None
    assert found.misfit.mean() == pytest.approx(1, abs=4 * found.misfit_error.mean() / np.sqrt(len(ANGLES)))
    np.testing.assert_allclose(reprojection(truth, maps).residual.std(), 1, atol=0.05)


def test_misfits_are_written_tilt_by_tilt(simulated, tmp_path):
    found = consistency(simulated.truth, simulated.maps)
    path = found.write_csv(tmp_path / 'misfit.csv')
    rows = np.genfromtxt(path, delimiter=',', names=True)
    np.testing.assert_allclose(rows['tilt_deg'], ANGLES)
    name = found.channels[0]
    np.testing.assert_allclose(rows[f'misfit_{name}'], found.misfit[0], rtol=1e-4)
    np.testing.assert_allclose(rows[f'standard_error_{name}'], found.misfit_error[0], rtol=1e-4)


def test_volumes_of_other_maps_are_refused(simulated):
    with pytest.raises(InputError, match='take the maps that it was made from'):
        consistency(replace(simulated.truth, channels=tuple('abc'[: len(simulated.truth.channels)])), simulated.maps)
    wider = Volume(np.ones((len(simulated.maps.channels), 8, 32, 30)), simulated.maps.channels)
    with pytest.raises(InputError, match=r'30 x 32 voxels \(x, y\) and the maps 32 x 32 pixels'):
        consistency(wider, simulated.maps)
