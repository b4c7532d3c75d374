"""Composition of regions: the error that is stated against the one that is, and phases of a simulated lamella."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, gaussian_filter

from napari_diptomo import SIRT, Composition, Volume
from napari_diptomo.assess import region_composition, region_compositions
from napari_diptomo.series import InputError
from napari_diptomo.simulate import lamella, tilt_series

NOTES = {'lines': {'Ge': 'Ge_K', 'Sb': 'Sb_L', 'Te': 'Te_L'}, 'tilts': 17}
K = (1.3, 1.0, 1.2)
MASSES = np.array([72.63, 121.76, 127.60])
ATOMIC = np.array([22.22, 22.22, 55.56])


def volume_of(data: np.ndarray, tilts: int = 17) -> Volume:
    return Volume(data, ('Ge', 'Sb', 'Te'), 2.0, notes={**NOTES, 'tilts': tilts})


def gst(total: float) -> np.ndarray:
    """Counts of Ge2Sb2Te5, (channel, 1, 1, 1)."""
    counts = ATOMIC * MASSES / np.array(K)
    return (total * counts / counts.sum())[:, None, None, None]


def test_region_is_the_ratio_of_sums_with_an_error_that_holds() -> None:
    """Two phases at few counts: errors of 60 noisy draws against what is stated."""
    rng = np.random.default_rng(5)
    labels = np.zeros((10, 20, 20), int)
    labels[:, :, :10], labels[:, :, 10:] = 1, 2
    means = np.where(labels == 1, gst(0.6), np.array([0.3, 0.3, 0.0])[:, None, None, None])
    step = Composition(k_factors=K)
    found = []
    for _ in range(60):
        counts = rng.poisson(17 * means) / 17
        volume = volume_of(counts)
        found.append(region_compositions(volume, labels, step))
    one = np.array([f[1].percent for f in found])
    np.testing.assert_allclose(one.mean(axis=0), ATOMIC, atol=0.3)
    stated = np.mean([f[1].standard_error for f in found], axis=0)
    np.testing.assert_allclose(stated, one.std(axis=0), rtol=0.35)
    assert found[0][2].percent[2] == 0 and found[0][1].voxels == 2000
    assert str(found[0][1]).endswith('at.%') and '±' in str(found[0][1])


def test_region_error_sees_what_counting_statistics_do_not() -> None:
    """Noise that is alike in neighbouring voxels, as any reconstruction makes it."""
    rng = np.random.default_rng(6)
    found = []
    for _ in range(30):
        noise = gaussian_filter(rng.normal(size=(3, 20, 20, 20)), (0, 1.0, 1.0, 1.0), mode='wrap')
        data = gst(30.0) * (1 + noise)
        volume = volume_of(data, tilts=5000)
        found.append(region_composition(volume, np.ones((20, 20, 20), bool), Composition(k_factors=K)))
    actual = np.std([f.percent for f in found], axis=0)
    stated = np.mean([f.standard_error for f in found], axis=0)
    np.testing.assert_allclose(stated, actual, rtol=0.4)


def test_phases_of_a_reconstructed_lamella() -> None:
    """Ge2Sb2Te5 and Sb2Te3 of a simulated lamella at +-40 degrees, away from their borders: within 2 at.% of the truth."""
    phantom = lamella(40, seed=0)
    maps = tilt_series(phantom, np.linspace(-40, 40, 17), peak_counts=60.0, seed=0).maps
    volume = SIRT(iterations=60, holdout=0.0).run(replace(maps, notes=NOTES))
    large = np.isin(phantom.phases, (1, 2)) * phantom.phases
    cores = sum(label * binary_erosion(large == label, iterations=2) for label in (1, 2))
    # Counts of the phantom go with atoms: factors in proportion to the atomic weights.
    found = region_compositions(volume, cores, Composition(k_factors=tuple(MASSES)))
    for label in (1, 2):
        truth = phantom.truth.data[:, cores == label].sum(axis=1)
        np.testing.assert_allclose(found[label].percent, 100 * truth / truth.sum(), atol=2.0)


def test_regions_without_an_answer_are_reported() -> None:
    data = np.zeros((3, 6, 6, 6))
    data[:, :3] = gst(30.0)
    volume, step = volume_of(data), Composition(k_factors=K)
    with pytest.raises(InputError, match='region is empty'):
        region_composition(volume, np.zeros((6, 6, 6), bool), step)
    with pytest.raises(InputError, match='holds no counts'):
        region_composition(volume, np.arange(216).reshape(6, 6, 6) > 150, step)
    with pytest.raises(InputError, match='the volume'):
        region_composition(volume, np.ones((6, 6, 5), bool), step)
