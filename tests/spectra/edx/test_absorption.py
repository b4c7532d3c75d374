"""Absorption of soft lines against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.spectra.edx.absorption import absorption_coefficients, directions, mean_transmission, transmission

GST = np.array([2 * 72.63, 2 * 121.76, 5 * 127.6])
GST = GST / GST.sum()


def to_detector(elevation: float, tilt: float = 0.0, azimuth: float = 45.0) -> np.ndarray:
    return directions(np.array([tilt]), elevation, (azimuth,))[0, 0]


@pytest.mark.parametrize('elevation', [18.0, 35.0, 90.0])
@pytest.mark.parametrize('azimuth', [0.0, 45.0, 250.0])
def test_a_slab_lets_through_what_the_closed_form_says(elevation: float, azimuth: float) -> None:
    mu, thickness, layers = 3e4, 80.0, 16
    out = transmission(np.full((layers, 6, 7), mu), to_detector(elevation, azimuth=azimuth), thickness / layers)
    depth = mu * thickness * 1e-7 / np.sin(np.radians(elevation))
    assert out.mean() == pytest.approx((1 - np.exp(-depth)) / depth, rel=1e-9)
    np.testing.assert_allclose(out, np.broadcast_to(out[:, :1, :1], out.shape))


def test_the_face_towards_the_detectors_loses_least() -> None:
    """The beam comes from -z, where the detectors are."""
    out = transmission(np.full((16, 4, 4), 1e5), to_detector(18.0), 5.0)[:, 2, 2]
    assert (np.diff(out) < 0).all()
    turned = transmission(np.full((16, 4, 4), 1e5), to_detector(18.0, tilt=180.0), 5.0)[:, 2, 2]
    np.testing.assert_allclose(turned, out[::-1])


@pytest.mark.parametrize(('thickness', 'loss'), [(50.0, 0.22), (100.0, 0.39)])
def test_germanium_l_from_the_middle_of_a_gst_film(thickness: float, loss: float) -> None:
    """Ge L of Ge2Sb2Te5 (5.9 g/cm^3) at mid-depth, 18 degrees: 22 and 39 % are lost."""
    coefficient = float((absorption_coefficients(('Ge_L',), ('Ge', 'Sb', 'Te')) @ GST)[0])
    out = transmission(np.full((51, 3, 3), coefficient * 5.9), to_detector(18.0), thickness / 51)
    assert 1 - out[25, 1, 1] == pytest.approx(loss, abs=0.015)


def test_mass_absorption_of_gst() -> None:
    """cm^2/g at Ge La, Te La and Ge Ka from the same tables, one line each; a family's mean lies close by."""
    ge_l, te_l, ge_k = absorption_coefficients(('Ge_L', 'Te_L', 'Ge_K'), ('Ge', 'Sb', 'Te')) @ GST
    assert ge_l == pytest.approx(5065, rel=0.05)
    assert te_l == pytest.approx(369, rel=0.1)
    assert ge_k == pytest.approx(132, rel=0.05)


def test_tilting_towards_a_detector_shortens_the_path() -> None:
    """Stage tilt t and a detector across the tilt axis: the take-off angle is elevation plus or minus t."""
    for tilt, azimuth in ((30.0, 180.0), (-30.0, 0.0)):
        toward = to_detector(18.0, tilt, azimuth)
        assert np.degrees(np.arcsin(-toward[2])) == pytest.approx(48.0, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(directions(np.array([-70.0, 20.0]), 18.0, (45.0, 225.0)), axis=-1), 1.0)


def test_a_block_shades_what_lies_behind_it() -> None:
    """Towards +x at 45 degrees up: the absorber one plane up and one column on stands in the way, no other does."""
    linear = np.zeros((6, 5, 8))
    linear[2, :, 5] = 2e5
    out = transmission(linear, to_detector(45.0, azimuth=0.0), 10.0)
    path = 2e5 * 10e-7 / np.sin(np.radians(45.0))
    # Half of the ray's column in that plane, by the interpolation along the ray, and half of it in the next voxel's.
    np.testing.assert_allclose(-np.log(out[3, 2, [4, 5]]), [path / 2, path / 2], rtol=1e-6)
    assert (out[4, :, 3] < 1).all() and (out[3, :, :3] == 1).all() and (out[:2] == 1).all()


def test_the_mean_over_tilts_and_detectors() -> None:
    densities = np.full((1, 4, 4, 4), 5.0)
    rays = directions(np.array([-20.0, 20.0]), 30.0, (45.0, 225.0))
    mean = mean_transmission(densities, np.array([[2000.0]]), rays, 8.0)
    single = [transmission(densities[0] * 2000.0, ray, 8.0) for ray in rays.reshape(-1, 3)]
    np.testing.assert_allclose(mean[0], np.mean(single, axis=0))
