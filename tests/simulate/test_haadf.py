"""Simulated HAADF images: closed forms of damping, weights, displacement and unmapped matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.simulate import lamella
from napari_diptomo.simulate.haadf import REALISTIC, HAADFModel, haadf_series
from napari_diptomo.simulate.projections import project

ANGLES = (-60.0, 0.0, 30.0)
CLEAN = HAADFModel(offset=0.0, gain=0.0, noise=0.0)


@pytest.fixture(scope='module')
def specimen():
    return lamella(16, seed=3)


def test_ideal_images_are_projections_weighted_by_the_power_of_the_atomic_number(specimen):
    found = haadf_series(specimen, ANGLES, CLEAN)
    expected = np.tensordot(np.array([32, 51, 52]) ** 1.7, project(specimen, ANGLES), 1)
    np.testing.assert_allclose(found.images, 1000 * expected / expected.max(), rtol=2e-4, atol=0.02)
    np.testing.assert_allclose(found.weights[1] / found.weights[0], (51 / 32) ** 1.7, rtol=1e-6)


def test_the_thickest_path_loses_the_share_that_is_asked_for(specimen):
    clean = haadf_series(specimen, ANGLES, CLEAN)
    lost = haadf_series(specimen, ANGLES, replace(CLEAN, damping=0.1))
    thick = np.unravel_index(clean.images.argmax(), clean.images.shape)
    # Both are in units of their own brightest pixel, whose density is that of the weights.
    ratio = (lost.images[thick] / lost.weights[0]) / (clean.images[thick] / clean.weights[0])
    assert ratio == pytest.approx(0.9, abs=1e-3)


def test_unmapped_matter_has_its_share_and_displacements_are_those_returned(specimen):
    found = haadf_series(specimen, ANGLES, replace(CLEAN, unmapped=0.05), seed=4)
    whole = found.images.sum(axis=(1, 2))
    mapped = np.tensordot(found.weights, project(specimen, ANGLES), 1).sum(axis=(1, 2))
    # At 30 degrees and more the contamination reaches beyond so small a field.
    np.testing.assert_allclose(1 - mapped[1] / whole[1], 0.05, atol=2e-3)
    moved = haadf_series(specimen, ANGLES, replace(CLEAN, misregistration=0.7), seed=4)
    rows = np.arange(16)
    still = haadf_series(specimen, ANGLES, CLEAN).images
    middle = lambda images: (images * rows[:, None]).sum((1, 2)) / images.sum((1, 2))  # noqa: E731
    np.testing.assert_allclose(middle(moved.images) - middle(still), moved.shifts[:, 0], atol=0.05)


def test_channels_that_are_no_elements_need_atomic_numbers(specimen):
    nameless = replace(specimen, channels=('one', 'two', 'three'))
    with pytest.raises(InputError, match='one is no element; give the atomic number'):
        haadf_series(nameless, ANGLES)
    given = haadf_series(nameless, ANGLES, CLEAN, atomic_numbers=(32, 51, 52))
    np.testing.assert_allclose(given.images, haadf_series(specimen, ANGLES, CLEAN).images)
    assert REALISTIC.damping == 0.1
