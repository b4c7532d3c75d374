"""Signal of the system: sum peaks and the strobe, of known intensity."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.spectra import Detector, families_for
from napari_diptomo.spectra.edx.sum_fit import background_shapes, line_shapes, solve
from napari_diptomo.spectra.edx.system_signal import strobe, sum_peaks, system_signal

ENERGY = np.arange(0.2, 20.0, 0.01)


def piled_up(share, seed=0):
    """Photons of Si and Fe over bremsstrahlung, of which some arrive in pairs; and the families' shapes."""
    rng = np.random.default_rng(seed)
    shapes = line_shapes(ENERGY, families_for(('Si', 'Fe'), 0.2, 20.0), Detector())
    single = shapes @ [3e6, 2e6] + 1e6 * background_shapes(ENERGY, Detector(), 200.0)[:, -5]
    pairs = int(share * single.sum())
    photons = rng.choice(ENERGY, (2, pairs), p=single / single.sum()).sum(axis=0)
    counts = rng.poisson(single) + np.histogram(photons, np.append(ENERGY - 0.005, ENERGY[-1] + 0.005))[0]
    return counts.astype(float), shapes


def test_sum_peaks_lie_at_the_sums_of_the_lines():
    counts, _ = piled_up(0.0)
    shape = sum_peaks(ENERGY, counts)
    assert shape.sum() == pytest.approx(1)
    for total in (2 * 1.7397, 1.7397 + 6.4, 2 * 6.4):
        near = np.abs(ENERGY - total) < 0.2
        assert ENERGY[near][shape[near].argmax()] == pytest.approx(total, abs=0.03)


@pytest.mark.parametrize('share', [0.0, 0.01])
def test_the_share_of_pairs_comes_back(share):
    counts, shapes = piled_up(share)
    smooth = background_shapes(ENERGY, Detector(), 200.0)
    fit = solve(counts, np.column_stack([shapes, sum_peaks(ENERGY, counts)]), smooth)
    assert fit.counts[-1] / counts.sum() == pytest.approx(share, abs=max(0.05 * share, 3e-4))


def test_with_the_column_no_sum_peak_is_left_in_the_residual():
    counts, shapes = piled_up(0.01)
    smooth = background_shapes(ENERGY, Detector(), 200.0)
    plain = solve(counts, shapes, smooth)
    system = system_signal(ENERGY, counts, Detector())
    assert system.names == ('sum peaks',)
    fitted = solve(counts, shapes, np.hstack([smooth, system.shapes]))
    assert fitted.chi2 < 1.3 < 2 < plain.chi2
    np.testing.assert_allclose(fitted.counts, [3e6, 2e6], rtol=0.01)


def test_the_strobe_is_as_wide_as_the_noise_and_is_left_out_beyond_its_reach():
    energy = np.arange(-0.2, 2.0, 0.002)
    shape = strobe(energy, Detector(130.0))
    width = np.sqrt((shape * energy**2).sum()) * np.sqrt(8 * np.log(2))
    # FWHM^2 = 130^2 - 2.5e3 * 5.8987.
    assert width == pytest.approx(0.0464, rel=0.01)
    assert strobe(ENERGY, Detector()) is None
