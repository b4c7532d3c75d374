"""Series of unusual shapes: each is reconstructed, and what is known of the answer holds."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.series import InputError, MapSeries

#: Channels, voxels (z, y, x), tilts in degrees.
CASES = {
    'single channel': (1, (12, 8, 12), np.arange(-60, 61, 15.0)),
    'single slice': (2, (16, 1, 16), np.arange(-60, 61, 15.0)),
    'one row of one channel': (1, (15, 1, 17), np.arange(-60, 61, 10.0)),
    'odd lengths': (2, (11, 7, 13), np.arange(-60, 61, 15.0)),
    'prime lengths, thin': (2, (5, 11, 19), np.arange(-60, 61, 15.0)),
    'deeper than wide': (2, (21, 6, 14), np.arange(-60, 61, 15.0)),
    'three tilts': (2, (12, 8, 12), np.array([-45.0, 0.0, 45.0])),
    'unequal steps, unordered': (2, (12, 8, 12), np.array([3.0, -61.0, -20.0, 58.5, 33.0, -47.0, 12.0])),
}


def series(channels, shape, angles, seed=0):
    """Counts of an ellipsoid per channel, and the ellipsoids."""
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) / n for n in shape), indexing='ij', sparse=True)
    truth = np.stack([(6.0 + 3 * c) * ((z**2 + y**2 + (x - 0.05 * c) ** 2) < 0.12) for c in range(channels)])
    beam = ParallelBeam(angles, shape)
    counts = np.random.default_rng(seed).poisson(beam.project(truth)).astype(np.float32)
    return MapSeries(counts, angles, tuple('AB'[:channels])), truth, beam


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize(
    'method',
    [
        # As many levels as by default, each of which halves the lengths.
        lambda depth: DIPmTV(
            thickness=depth, iterations=30, averaging=0.8, widths=(8, 16, 16, 16), precision='float32', device='cpu'
        ),
        lambda depth: SIRT(thickness=depth, iterations=30, device='cpu'),
        lambda depth: PoissonEM(thickness=depth, iterations=30, device='cpu'),
        lambda depth: TotalVariation(thickness=depth, iterations=40, device='cpu'),
    ],
    ids=['DIPmTV', 'SIRT', 'PoissonEM', 'TV'],
)
def test_unusual_shapes_give_the_mass_and_explain_the_maps(name, method):
    channels, shape, angles = CASES[name]
    maps, truth, beam = series(channels, shape, angles)
    volume = method(float(shape[0])).run(maps)
    assert volume.data.shape == (channels, *shape)
    assert np.isfinite(volume.data).all() and volume.data.min() >= 0
    np.testing.assert_allclose(volume.data.sum((1, 2, 3)), truth.sum((1, 2, 3)), rtol=0.1)
    # A share of the squared counts that an empty volume leaves unexplained in full.
    left = np.square(beam.project(volume.data) - maps.data).sum((1, 2, 3)) / np.square(maps.data).sum((1, 2, 3))
    assert left.max() < 0.1


@pytest.mark.parametrize('method', [DIPmTV, TotalVariation])
def test_negative_maps_under_a_poisson_model_are_refused_with_the_way_out(method):
    maps, _, _ = series(*CASES['single channel'])
    fitted = MapSeries(maps.data - 0.5, maps.angles, maps.channels)
    with pytest.raises(
        InputError, match=r'negative values are no Poisson counts; set the data term to auto or gaussian'
    ):
        method(data_term='poisson', iterations=2).run(fitted)


def test_negative_maps_are_fitted_by_least_squares_of_themselves():
    maps, truth, _ = series(*CASES['single channel'])
    fitted = MapSeries(maps.data - 0.01, maps.angles, maps.channels)
    volume = SIRT(iterations=30).run(fitted)
    assert 'Gaussian' in volume.notes['statistics']
    np.testing.assert_allclose(volume.data.sum(), truth.sum(), rtol=0.1)
