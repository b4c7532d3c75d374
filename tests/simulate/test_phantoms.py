"""Phantoms: what they hold, that they stay in the field, that nobody inverts the operator that made the data."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import InputError
from napari_diptomo.simulate import edx_phantom, eels_phantom, lamella, lamella_frame, project, tilt_series

ANGLES = np.arange(-40.0, 41.0, 5.0)


def test_eels_phantom_holds_the_volumes_of_its_cubes():
    phantom = eels_phantom(40)
    shell, iron = phantom.truth.data.sum(axis=(1, 2, 3))
    edge = 40 / 160 * 2
    assert shell == pytest.approx(10 * edge**3 * (40**3 - 20**3), rel=0.02)
    assert iron == pytest.approx(20 * edge**3 * (20**3 + 43**3 - 40**3), rel=0.04)


def test_eels_phantom_has_a_pore_in_its_shell_on_demand():
    solid, pierced = eels_phantom(80).truth.data, eels_phantom(80, pore=True).truth.data
    missing = solid - pierced
    assert missing[0].sum() == pytest.approx(10 * 4 / 3 * np.pi * 3**3, rel=0.03)
    assert np.abs(missing[1]).max() == 0
    where = np.argwhere(missing[0] == missing[0].max()).mean(axis=0) - 39.5
    assert np.linalg.norm(where) == pytest.approx(np.hypot(5, 30) / 2, abs=0.5)


def test_edx_phantom_places_its_bodies_along_the_beam_and_across():
    phantom = edx_phantom(80)
    z, y, x = np.indices((80, 80, 80)) - 39.5
    for channel, (cz, cy, cx) in ((1, (0, -5, -4)), (2, (-2, -5, 10.5))):
        weight = phantom.truth.data[channel]
        centre = [(weight * axis).sum() / weight.sum() for axis in (z, y, x)]
        np.testing.assert_allclose(centre, (cz, cy, cx), atol=0.1)
    ellipsoid = phantom.truth.data[1]
    assert ellipsoid.sum() == pytest.approx(20 * 4 / 3 * np.pi * 9.5 * 3 * 3, rel=0.03)
    spread = [np.sqrt((ellipsoid * axis**2).sum() / ellipsoid.sum()) for axis in (z, x + 4)]
    assert spread[0] / spread[1] == pytest.approx(19 / 6, rel=0.05)


def test_edx_phantom_carves_the_bodies_out_of_the_bar():
    phantom = edx_phantom(64)
    assert phantom.fine[0][phantom.fine[1] == 20].max() == 0
    assert set(np.unique(phantom.phases)) == {0, 1, 2, 3}


@pytest.mark.parametrize('seed', range(5))
def test_lamella_stays_in_the_field_at_every_tilt(seed):
    phantom = lamella(32, seed)
    maps = project(phantom, ANGLES)
    totals = maps.sum(axis=(2, 3))
    np.testing.assert_allclose(totals, totals[:, :1] * np.ones(17), rtol=5e-3)
    assert maps[..., [0, -1]].max() == 0
    assert maps[:, :, [0, -1]].max() == 0


def test_lamella_is_a_family_and_each_member_repeats():
    first, again, other = lamella(24, 3), lamella(24, 3), lamella(24, 4)
    np.testing.assert_array_equal(first.fine, again.fine)
    assert not np.array_equal(first.fine, other.fine)


def test_lamella_thickness_is_that_of_a_slab():
    for seed in range(4):
        phantom = lamella(32, seed)
        inside = (phantom.phases > 0).sum(axis=0)
        assert 0.38 * 32 <= np.median(inside[inside > 0]) <= 0.58 * 32


@pytest.mark.parametrize('seed', range(3))
def test_lamella_frame_is_the_slab_that_holds_the_lamella(seed):
    phases = lamella(32, seed).phases > 0
    half, normal = lamella_frame(32, seed)
    across = np.tensordot(normal, np.indices((32, 32, 32)) - 15.5, axes=1)
    assert np.abs(across[phases]).max() == pytest.approx(half[0], abs=1)
    assert np.median(np.abs(across[phases])) == pytest.approx(half[0] / 2, rel=0.1)


def test_phases_have_their_nominal_composition_inside():
    phantom = eels_phantom(48)
    index = phantom.phase_names.index('Fe3O4')
    values = phantom.truth.data[:, phantom.phases == index]
    np.testing.assert_allclose(np.median(values, axis=1), phantom.compositions[index])


def test_truth_projects_to_the_binned_fine_projection():
    phantom = lamella(32, 1)
    fine = project(phantom, ANGLES)
    coarse = ParallelBeam(ANGLES, (32, 32, 32)).project(phantom.truth.data)
    np.testing.assert_allclose(coarse.sum(axis=(2, 3)), fine.sum(axis=(2, 3)), rtol=5e-3)
    assert np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.999
    # At zero tilt both are plain sums along z; elsewhere the operators differ, which is the point.
    np.testing.assert_allclose(coarse[:, 8], fine[:, 8], rtol=1e-4, atol=1e-4)
    assert np.abs(coarse - fine).max() > 1e-3 * fine.max()


def test_tilt_series_is_scaled_to_the_peak_and_counted():
    simulated = tilt_series(lamella(32, 0), ANGLES, peak_counts=30, seed=5)
    assert simulated.clean.max() == pytest.approx(30, rel=1e-5)
    assert simulated.maps.are_counts
    inside = simulated.clean > 1
    pulls = (simulated.maps.data - simulated.clean)[inside] / np.sqrt(simulated.clean[inside])
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)
    assert pulls.std() == pytest.approx(1, abs=0.02)
    projected = ParallelBeam(ANGLES, (32, 32, 32)).project(simulated.truth.data)
    np.testing.assert_allclose(projected[:, 8], simulated.clean[:, 8], rtol=1e-4, atol=1e-3)
    again = tilt_series(lamella(32, 0), ANGLES, peak_counts=30, seed=5)
    np.testing.assert_array_equal(simulated.maps.data, again.maps.data)


def test_shifts_move_the_specimen_by_coarse_pixels():
    phantom = lamella(32, 2)
    shifts = np.array([[2.0, 0.0], [0.0, -3.0]])
    still = project(phantom, [0.0, 0.0])
    moved = project(phantom, [0.0, 0.0], shifts)
    np.testing.assert_allclose(moved[:, 0, 2:], still[:, 0, :-2], atol=1e-4)
    np.testing.assert_allclose(moved[:, 1, :, :-3], still[:, 1, :, 3:], atol=1e-3)


def test_impossible_sizes_and_peaks_are_reported():
    with pytest.raises(InputError, match='too small'):
        lamella(8)
    with pytest.raises(InputError, match='positive number of counts'):
        tilt_series(lamella(16), [0.0], peak_counts=0)
