"""HAADF images without their dark level, and whether the specimen ends within them."""

import numpy as np
import pytest

from napari_diptomo import Align, MapSeries, simulate
from napari_diptomo.align.reference_images import compared_images, reference_images
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series

ANGLES = np.arange(-40.0, 41.0, 5.0)
RNG = np.random.default_rng(7)
#: A detector whose dark level is a fifth of the brightest pixel and drifts by a tenth of that.
DARK = HAADFModel(offset=0.2, damping=0.1, misregistration=1.0)


def series_of(images: np.ndarray) -> MapSeries:
    images = images.astype(np.float32)
    return MapSeries(images[None], ANGLES, ('HAADF',), haadf=images)


def film_images(thickness: np.ndarray, drift: float, body: np.ndarray | None = None) -> np.ndarray:
    """A film three times as wide as the images, (y, x) its thickness along the beam, on a dark level of 100 that drifts."""
    size = len(thickness)
    volume = np.zeros((1, 24, size, 3 * size), np.float32)
    volume[0, 10:14] = np.tile(thickness, 3)
    if body is not None:
        volume[0, 14:22, :, size : 2 * size] += body
    clean = ParallelBeam(ANGLES, volume.shape[1:], columns=size).project(volume)[0]
    rng = np.random.default_rng(3)
    dark = 100 * (1 + drift * rng.standard_normal(len(ANGLES)))
    return clean / clean.max() * 1000 + dark[:, None, None] + 10 * rng.standard_normal(clean.shape)


@pytest.mark.parametrize('build', [simulate.needle, simulate.facetted, simulate.eels_phantom, simulate.lamella])
def test_a_dark_level_that_drifts_is_no_specimen_at_the_edges(build):
    phantom = build(32)
    images = haadf_series(phantom, ANGLES, DARK).images
    assert compared_images(series_of(images), 'haadf').within
    light, _ = reference_images(series_of(images), 'haadf')
    levels = np.median(np.concatenate([light[..., :2], light[..., -2:]], axis=2), axis=(1, 2))
    # Of 200, which drift by 20.
    assert np.abs(levels).max() < 8


def test_negative_intensities_are_a_dark_level_too():
    images = haadf_series(simulate.needle(32), ANGLES, DARK).images - 250
    assert images.min() < -50
    assert compared_images(series_of(np.round(images)), 'haadf').within


def test_films_reach_the_edges_above_any_dark_level():
    even, rough = np.ones((32, 32)), np.clip(1 + 0.5 * RNG.standard_normal((32, 32)), 0, None)
    for thickness in (even, rough):
        for drift in (0.0, 0.1):
            assert not compared_images(series_of(film_images(thickness, drift)), 'haadf').within


def test_a_support_film_of_steady_images_counts_as_reaching_the_edges():
    body = np.zeros((8, 32, 32), np.float32)
    body[:, 8:20, 10:22] = 1.0
    thickness = np.full((32, 32), 0.6)
    assert not compared_images(series_of(film_images(thickness, 0.01, body)), 'haadf').within
    assert compared_images(series_of(film_images(thickness * 0, 0.01, body)), 'haadf').within


def test_maps_that_are_compared_are_judged_by_themselves():
    """Counts at the edges of the maps say nothing of HAADF images that are compared, and the reverse."""
    dark = haadf_series(simulate.needle(32), ANGLES, DARK).images
    film = film_images(np.ones((32, 32)), 0.0).astype(np.float32)
    maps = MapSeries(np.round(film)[None], ANGLES, ('all',), haadf=dark)
    assert compared_images(maps, 'auto').within and not compared_images(maps, 'maps').within


@pytest.mark.parametrize('build, most', [(simulate.needle, 0.25), (simulate.eels_phantom, 0.03)])
def test_images_with_a_dark_level_are_aligned_with_their_moments(build, most):
    images = haadf_series(build(32), ANGLES, DARK, seed=2)
    aligned = Align(axis_rotation=0.0).run(series_of(images.images))
    shifts = np.array(aligned.shifts)
    shifts[:, 1] += aligned.axis_shift * (1 - np.cos(np.deg2rad(ANGLES)))
    left = without_rigid_motion(shifts - images.shifts, ANGLES)
    assert 'moments' in aligned.notes['align']['method']
    assert np.sqrt((left**2).sum(axis=1).mean()) < most
