"""Cameras that make several counts of an electron: the number from neighbours, with and without read-out noise."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.spectra.eels.counts_per_electron import counts_per_electron, gain_findings

ENERGY = np.arange(20.0, 95.0, 0.25)


@pytest.mark.parametrize(('gain', 'read_noise'), [(1.0, 0.0), (1.0, 2.0), (3.0, 0.0), (8.0, 0.0), (8.0, 5.0)])
def test_the_number_comes_back(gain, read_noise):
    rng = np.random.default_rng(0)
    thickness = np.linspace(0.2, 1.0, 24)[None, :, None]
    expected = np.broadcast_to(60 * thickness * (ENERGY / 20) ** -2.0, (24, 24, len(ENERGY)))
    counts = gain * rng.poisson(expected) + read_noise * rng.standard_normal(expected.shape)
    found, noise = counts_per_electron(counts, ENERGY, (20.0, 95.0))
    assert found == pytest.approx(gain, rel=0.08)
    if gain == 1:
        assert found == 1 and noise is None
    else:
        assert noise == pytest.approx(read_noise, abs=2.0)


def test_too_few_pixels_leave_counts_as_they_are():
    assert counts_per_electron(np.ones((2, 2, len(ENERGY))), ENERGY, (20.0, 95.0)) == (1.0, None)
    assert counts_per_electron(np.ones((20, 20, len(ENERGY))), ENERGY, (20.0, 25.0)) == (1.0, None)
    assert gain_findings(1.0, 0.1) == ()
    assert 'No counts are held out' in gain_findings(8.0, 0.1)[0].sentence
