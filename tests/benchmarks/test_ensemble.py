"""Error bars are judged where they matter: right on the whole and wrong for every small feature must show."""

from __future__ import annotations

import numpy as np
import pytest

from ensemble import by_class, page, verdict
from napari_diptomo.assess.voxel_classes import BULK, SMALL
from napari_diptomo.simulate import needle


@pytest.fixture(scope='module')
def specimen():
    phantom = needle(40, 23)
    return phantom.truth.data, phantom.precipitates


def test_honest_error_bars_hold_in_every_class(specimen):
    truth, precipitates = specimen
    rng = np.random.default_rng(0)
    std = rng.uniform(0.05, 0.15, truth.shape)
    found = by_class(truth + std * rng.standard_normal(truth.shape), std, truth, precipitates)
    for row in found.values():
        assert row['coverage']['0.9'] == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / row['voxels']))
    assert found[f'{SMALL}, 1 voxel across']['voxels'] == 90
    assert found[f'{SMALL}, 2 voxels across']['voxels'] == 320
    assert found[SMALL]['voxels'] == 410


def test_a_bias_that_spares_the_bulk_shows_in_its_class(specimen):
    truth, precipitates = specimen
    rng = np.random.default_rng(0)
    volume = truth + 0.1 * rng.standard_normal(truth.shape)
    # All members of an ensemble smooth away a third of the small features alike.
    volume[2][truth[2] > 0] = 2 * truth[2][truth[2] > 0] / 3
    found = by_class(volume, np.full(truth.shape, 0.1), truth, precipitates)
    assert found['everywhere']['coverage']['0.9'] == pytest.approx(0.9, abs=0.01)
    assert found[BULK]['error_over_std'] == pytest.approx(1, abs=0.02)
    assert found[SMALL]['coverage']['0.95'] == 0
    assert found[SMALL]['error_over_std'] == pytest.approx(2 / 3 / 0.1, rel=1e-3)
    results = {'needle 23': {'classes': found, 'psnr': 30.0, 'seconds': 1.0, 'processor': 'some'}}
    lines = verdict(results)
    assert any(line.startswith(f'- {BULK}: reached') for line in lines)
    assert any(line.startswith(f'- {SMALL}: NOT reached') and '0.0% (6.67)' in line for line in lines)
    assert any(
        line.startswith(f'| needle 23 | {SMALL}, 1 voxel across | 90 | 0.0% |') for line in page(results, 40, 5, 30)
    )
