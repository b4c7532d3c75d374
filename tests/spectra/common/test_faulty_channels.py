"""Dead and hot channels: found in whatever a detector can count, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from napari_diptomo.spectra.common.faulty_channels import find_faulty
from napari_diptomo.spectra.common.resolution import line_width


def spectrum(energy, lines, background=0.0):
    """Expected counts of lines {keV: counts} and of bremsstrahlung."""
    step = (energy[1] - energy[0]) / 2
    place, counts = np.array(list(lines)), np.array(list(lines.values()))
    sigma = line_width(place, 130) / 2.3548 * np.sqrt(2)
    within = erf((energy[:, None] + step - place) / sigma) - erf((energy[:, None] - step - place) / sigma)
    soft = np.exp(-((0.4 / np.maximum(energy, 0.05)) ** 2)) / np.maximum(energy, 0.05)
    return within @ counts / 2 + background * soft / soft.sum()


def axis(channel, last=12.0):
    return np.arange(-0.2, last, channel)


def found(counts, energy):
    return [fault.channel for fault in find_faulty(counts, energy, line_width(energy, 130))]


def alloy(channel=0.01):
    """Energies and counts of lines on a background, with the strobe peak."""
    energy = axis(channel)
    lines = {0.277: 4e5, 0.525: 6e5, 1.74: 5e5, 3.605: 3e5, 3.843: 2e5, 6.404: 4e5, 7.058: 5e4}
    expected = spectrum(energy, lines, 5e6) + 3e6 * channel / 0.02 * np.exp(-((energy / 0.02) ** 2) / 2)
    return energy, np.random.default_rng(0).poisson(expected).astype(float)


@pytest.mark.parametrize('channel', [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08])
def test_no_superposition_of_lines_is_a_fault_of_the_detector(channel):
    rng, energy = np.random.default_rng(1), axis(channel)
    for most in (3, 5, 8) * 12:
        place = rng.uniform(0.16, 10, rng.integers(1, 60))
        place = np.concatenate([place, place + rng.uniform(0.03, 0.4, len(place))])
        lines = dict(zip(place, 10 ** rng.uniform(2, most, len(place)), strict=True))
        expected = spectrum(energy, lines, 10 ** rng.uniform(0, 7))
        assert found(rng.poisson(expected), energy) == []


@pytest.mark.parametrize('total', [1, 100, 3000, 100_000])
def test_few_counts_prove_nothing(total):
    energy, counts = alloy()
    rng = np.random.default_rng(total)
    for _ in range(50):
        assert found(rng.poisson(counts * total / counts.sum()), energy) == []


@pytest.mark.parametrize('factor', [0.0, 0.5, 1.5, 20.0])
@pytest.mark.parametrize('at', [0.277, 0.53, 1.74, 3.7, 5.0, 6.404, 6.5, 11.0])
def test_one_channel_is_found_wherever_it_lies(at, factor):
    energy, counts = alloy()
    k = int(np.abs(energy - at).argmin())
    spoilt = counts.copy()
    spoilt[k] *= factor
    (fault,) = find_faulty(spoilt, energy, line_width(energy, 130))
    assert (fault.channel, fault.energy, fault.counts) == (k, energy[k], spoilt[k])
    assert fault.expected == pytest.approx(counts[k], rel=0.05, abs=4 * np.sqrt(counts[k]))
    assert fault.hot == (factor > 1)


@pytest.mark.parametrize('share', [1.0, 0.1])
def test_several_at_once_are_found_and_the_sound_one_between_two_is_not(share):
    energy, counts = alloy()
    counts = np.random.default_rng(4).poisson(share * counts)
    line = int(np.abs(energy - 6.404).argmin())
    spoilt = counts.copy()
    spoilt[[line, line + 2, 500, 501]] = 0
    spoilt[[300, 302, 700, 701]] *= 4
    assert found(spoilt, energy) == [300, 302, 500, 501, line, line + 2, 700, 701]


@pytest.mark.parametrize('level', [0, 1e5])
def test_what_is_no_single_channel_is_left_alone(level):
    """Cut-off spectra, ranges that miss or are too high, the ends of the axis, and what lies at the strobe peak."""
    energy, counts = alloy()
    for first, last in ((0, 48), (0, 190), (0, 193), (650, None), (672, None), (400, 403), (188, 200)):
        spoilt = counts.copy()
        spoilt[first:last] = level
        assert found(spoilt, energy) == [], (first, last)
    for k in (0, 1, 2, 20, 25, len(energy) - 3, len(energy) - 1):
        spoilt = counts.copy()
        spoilt[k] = level
        assert found(spoilt, energy) == [], k


def test_coarse_channels_may_hold_a_line_each_and_fine_ones_of_the_same_height_may_not():
    coarse = axis(0.05)
    assert found(np.random.default_rng(2).poisson(spectrum(coarse, {0.525: 1e6, 1.74: 1e5}, 1e5)), coarse) == []
    energy, counts = alloy(0.02)
    k = int(np.abs(energy - 3.605).argmin())
    counts[k] = 0
    assert found(counts, energy) == [k]


def test_spectra_that_scatter_by_more_than_counting_have_no_faults():
    energy, counts = alloy()
    rng = np.random.default_rng(3)
    scaled = 400 * rng.poisson(counts / 400)
    assert found(scaled, energy) == []
    uneven = counts * np.where(np.arange(len(counts)) % 2, 1.3, 0.7)
    assert found(uneven, energy) == []
