"""A volume is the same with and without outlier pixels in its data, whatever the method: they carry no weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.assess import psnr
from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import MapSeries
from napari_diptomo.simulate import lamella, needle, tilt_series

ANGLES = np.arange(-40, 41, 10.0)
STEPS = [
    SIRT(iterations=15),
    SIRT(iterations=15, holdout=0.1),
    PoissonEM(iterations=15),
    TotalVariation(iterations=60),
    TotalVariation(iterations=60, data_term='gaussian'),
    TotalVariation(iterations=60, coupling='nuclear', holdout=0.1),
]
NETWORK = DIPmTV(iterations=15, widths=(8, 8))
#: Counts in a pixel of a channel and a tilt.
OUTLIERS = {(0, 3, 9, 11): 1e6, (1, 6, 2, 4): 3e4, (2, 8, 14, 7): 2e3}


@pytest.fixture(scope='module', params=['lamella', 'needle'])
def simulated(request):
    phantom = lamella(16, 3) if request.param == 'lamella' else needle(16, 1)
    return tilt_series(phantom, ANGLES, 30, seed=3)


def spoilt(maps: MapSeries) -> MapSeries:
    data = maps.data.copy()
    for place, value in OUTLIERS.items():
        data[place] = value
    return replace(maps, data=data)


@pytest.mark.parametrize('step', [*STEPS, NETWORK], ids=lambda s: f'{s.title} {s.holdout}')
def test_outliers_leave_the_volume_as_it_is(simulated, step):
    clean, other = step.run(simulated.maps), step.run(spoilt(simulated.maps))
    for name, truth, a, b in zip(clean.channels, simulated.truth.data, clean.data, other.data, strict=True):
        assert psnr(b, truth) == pytest.approx(psnr(a, truth), abs=0.3), name
    assert [f.about for f in other.findings if f.about == 'outlier pixels'] == ['outlier pixels']
    assert not any(f.about == 'outlier pixels' for f in clean.findings)


@pytest.mark.parametrize('step', [SIRT(iterations=15), TotalVariation(iterations=60)], ids=lambda s: s.title)
def test_maps_with_a_variance(simulated, step):
    maps = replace(simulated.maps, variance=simulated.clean + 1)
    clean, other = step.run(maps), step.run(spoilt(maps))
    for truth, a, b in zip(simulated.truth.data, clean.data, other.data, strict=True):
        assert psnr(b, truth) == pytest.approx(psnr(a, truth), abs=0.3)


@pytest.mark.parametrize('step', STEPS[::2], ids=lambda s: s.title)
def test_missing_data_have_no_influence(simulated, step):
    """A tenth of the images is no number, or any number: the same volume to the last bit, and hardly worse than with all."""
    missing = np.zeros(simulated.maps.data.shape, bool)
    missing[:, 2, 3:7, 3:9], missing[1, 5, 8:12, 10:14] = True, True
    volumes = []
    for value in (np.nan, np.inf, -7.0, 1e6):
        data = np.where(missing, value, simulated.maps.data)
        volumes.append(step.run(replace(simulated.maps, data=data, missing=missing)).data)
    for other in volumes[1:]:
        np.testing.assert_array_equal(other, volumes[0])
    for truth, a, b in zip(simulated.truth.data, step.run(simulated.maps).data, volumes[0], strict=True):
        assert psnr(b, truth) > psnr(a, truth) - 0.6


def test_data_are_counted_by_their_weight(simulated):
    missing = np.zeros(simulated.maps.data.shape, bool)
    missing[0, 1, 2, :5] = True
    whole, part = Problem(simulated.maps), Problem(replace(simulated.maps, missing=missing))
    assert part.data_size == whole.data_size - 5
    assert part.mask.shape == missing.shape
    assert float(part.mask.sum()) == missing.size - 5


def test_windows_with_mixing(simulated):
    mixing = np.array([[1, 0.2, 0], [0, 1, 0], [0, 0.1, 1], [0.3, 0.3, 0.3]], np.float32)
    clean = np.einsum('wc,ctyx->wtyx', mixing, simulated.clean)
    counts = np.random.default_rng(0).poisson(clean).astype(np.float32)
    maps = replace(simulated.maps, data=counts, mixing=mixing)
    step = SIRT(iterations=15)
    a, b = step.run(maps), step.run(spoilt(maps))
    for truth, one, other in zip(simulated.truth.data, a.data, b.data, strict=True):
        assert psnr(other, truth) == pytest.approx(psnr(one, truth), abs=0.3)
    finding = next(f for f in b.findings if f.about == 'outlier pixels')
    assert 'window 1 at -10°' in finding.sentence
