"""Unmixing spectra that were mixed here: subspace, ends, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.simulate.eels_shapes import OXIDES, edge_shape
from napari_diptomo.spectra.eels.metal_edges import IRON
from napari_diptomo.spectra.eels.standards.factorisation import factorise, segment_ends

ENERGY = np.arange(660.0, 730.0, 0.25)
INSIDE = IRON.inside(ENERGY)
SIZE = 24


def mixed(fraction, counts=4000.0, seed=0):
    """Poisson counts of an image of mixtures, (pixel, energy); ``fraction`` (y, x) of the L3 counts are FeO."""
    shapes = np.array([edge_shape(ENERGY, oxide, 'L') for oxide in OXIDES])
    shapes /= shapes[:, INSIDE].sum(axis=1, keepdims=True)
    intensities = np.stack([fraction.ravel(), 1 - fraction.ravel()], axis=1) * counts
    expected = intensities @ shapes + 30 * (ENERGY / 700) ** -3.0
    return np.random.default_rng(seed).poisson(expected).astype(float), shapes


@pytest.fixture(scope='module')
def ramp():
    """Pure FeO on the left, 20 % of it on the right."""
    columns = np.clip(1.2 - np.arange(SIZE) / SIZE, 0.2, 1.0)
    return np.broadcast_to(columns, (SIZE, SIZE))


@pytest.fixture(scope='module')
def factors(ramp):
    return factorise(mixed(ramp)[0], ENERGY)


def test_true_shapes_lie_in_the_subspace(ramp, factors):
    _, shapes = mixed(ramp)
    behind = IRON.onset < ENERGY
    for true in shapes[:, behind]:
        ours = factors.shapes[:, behind].T @ np.linalg.lstsq(factors.shapes[:, behind].T, true, rcond=None)[0]
        assert ours @ true / np.linalg.norm(ours) / np.linalg.norm(true) > 0.999


def test_counts_and_background_are_found(factors):
    assert factors.counts.mean() == pytest.approx(4000, rel=0.02)
    assert factors.exponent == pytest.approx(3.0, abs=0.4)


def test_covariance_is_that_of_the_noise(ramp):
    """The same image with new noise: the intensities scatter as their covariance says."""
    first, second = (factorise(mixed(ramp, seed=seed)[0], ENERGY) for seed in (1, 2))
    # The two bases differ a little; counts do not depend on them.
    expected = np.einsum('s,pst,t->p', first.sums, first.covariance, first.sums).mean()
    assert (first.counts - second.counts).var() / 2 == pytest.approx(expected, rel=0.2)


def test_ends_are_those_that_were_mixed_and_noise_does_not_push_them_out(ramp, factors):
    """The largest share of a single pixel is several times farther out than the end."""
    ends = segment_ends(factors, np.ones((1, SIZE, SIZE), bool))
    flat = ramp.ravel()
    for end, pixels, known in zip(ends.coefficients, ends.pixels, (1.0, 0.2), strict=True):
        assert flat[pixels].mean() == pytest.approx(known, abs=0.06)
        mean = factors.coefficients[pixels].sum(axis=0)
        np.testing.assert_allclose(end, mean / (mean @ factors.sums))
    u = factors.coefficients[:, 0] * factors.sums[0] / factors.counts
    top = ends.coefficients[0, 0] * factors.sums[0]
    assert (u - top).max() > 2 * (u[flat == 1.0].mean() - top)


@pytest.mark.parametrize('share', [1.0, 0.4])
def test_one_phase_is_refused(share):
    flat = np.full((SIZE, SIZE), share)
    with pytest.raises(InputError, match='one phase'):
        segment_ends(factorise(mixed(flat)[0], ENERGY), np.ones((1, SIZE, SIZE), bool))


def test_too_few_pixels_are_refused(ramp):
    with pytest.raises(InputError, match='Only 30 pixels'):
        factorise(mixed(ramp)[0][:30], ENERGY)
