"""L2,3 of another metal in sums of core losses: found, in the right phase, and how little would have been; no alarm without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.spectra.common.exspy_adapter import edge_onsets
from napari_diptomo.spectra.eels.standards.other_metals import CERTAIN, other_metals, summed

ENERGY = np.arange(590.0, 830.0, 0.25)
#: Atoms of Fe in FeO and Fe3O4 in three groups of pixels.
ATOMS = np.array([[9e4, 1e4], [5e4, 5e4], [1e4, 9e4]])


def lines(element, fwhm=2.2):
    """One count in L3, and L2 and a step as Hartree-Slater has them."""
    sigma = fwhm / 2.355
    l3, l2 = (edge_onsets()[f'{element}_{shell}'] for shell in ('L3', 'L2'))
    peak = sum(
        a * np.exp(-0.5 * ((ENERGY - e) / sigma) ** 2) * 0.25 / sigma / 2.5066 for a, e in ((1.0, l3), (0.4, l2))
    )
    return peak + 0.01 * (0.5 + np.arctan((ENERGY - l3 - 3) / 0.8) / np.pi) * (ENERGY / l3) ** -3


def spectra(element='Mn', share=0.0, seed=0, gain=1.0, rough=0.0):
    """Iron with a share of another metal in its second phase."""
    atoms = (5.0 if element == 'Mn' else 3.0) / 4.0 * share / (1 - share) * ATOMS[:, 1]
    law = 4e3 * (ENERGY / 700) ** -3.2
    expected = law + ATOMS.sum(axis=1)[:, None] * lines('Fe') + atoms[:, None] * lines(element)
    rng = np.random.default_rng(seed)
    return gain * rng.poisson(expected / gain) * (1 + rough * rng.standard_normal(len(ENERGY)))


@pytest.mark.parametrize('element', ['Mn', 'Co'])
def test_three_per_cent_in_one_phase_are_found_there(element):
    found = {one.element: one for one in other_metals(ENERGY, spectra(element, 0.03), ATOMS, 'Fe')}
    other = found.pop(element)
    assert other.significance > 1.5 * CERTAIN
    assert abs(other.energy - edge_onsets()[f'{element}_L3']) < 1.0
    assert abs(other.shares[0]) < 0.004
    # A template of lines alone on a background that takes part of the step: to a third or so.
    assert 0.02 < other.shares[1] < 0.035
    assert all(one.significance < CERTAIN for one in found.values())


def test_no_alarm_by_noise_gain_pattern_or_many_counts_per_electron():
    for how in ({}, {'rough': 0.01}, {'gain': 8.0}):
        for seed in range(12):
            found = other_metals(ENERGY, spectra(seed=seed, **how), ATOMS, 'Fe', how.get('gain', 1.0))
            assert all(one.significance < CERTAIN for one in found)


def test_the_least_share_is_found_nine_times_of_ten():
    least = {one.element: one.least for one in other_metals(ENERGY, spectra(), ATOMS, 'Fe')}['Mn']
    assert 1e-4 < least < 0.02
    # Half of the atoms are of the second phase.
    share = 2 * least
    hits = [
        one.significance > CERTAIN
        for seed in range(30)
        for one in other_metals(ENERGY, spectra('Mn', share, seed), ATOMS, 'Fe')
        if one.element == 'Mn'
    ]
    assert 23 <= sum(hits) <= 30


def test_metals_outside_of_the_range_are_no_candidates():
    inside = (ENERGY > 660) & (ENERGY < 780)
    found = other_metals(ENERGY[inside], spectra()[:, inside], ATOMS, 'Fe')
    assert not found


def test_sums_of_groups_are_those_of_their_pixels():
    counts = np.random.default_rng(0).random((2, 5, 4, 7))
    where = counts[..., 0] > 0.3
    members = np.array_split(np.arange(where.sum()), 3)
    expected = [counts[where][part].sum(axis=0) for part in members]
    np.testing.assert_allclose(summed(counts, where, members), expected)


def test_waves_behind_the_edge_of_oxygen_are_no_chromium():
    energy = np.arange(440.0, 760.0, 0.25)
    law = 2e4 * (energy / 600) ** -3
    oxygen = 2e4 * (energy > 530) * (energy / 530) ** -3.0
    wave = 0.06 * oxygen * np.exp(-0.5 * ((energy - 580) / 6.5) ** 2)
    groups = np.random.default_rng(0).poisson((law + oxygen + wave) * np.array([[5.0], [5.0]])).astype(float)
    (chromium,) = [one for one in other_metals(energy, groups, ATOMS[:2], 'Mn') if one.element == 'Cr']
    assert chromium.significance < CERTAIN


MEASURED = Path(__file__).parents[5] / 'shared' / 'data' / 'eels-demos' / 'LSMO_STO_linescan.hspy'


@pytest.mark.skipif(not MEASURED.is_file(), reason='the measured line scan is not beside the repository')
def test_a_measured_line_scan_across_lsmo_and_sto_has_titanium_beside_its_manganese_and_no_other_metal():
    import hyperspy.api as hs

    signal = hs.load(MEASURED)
    signal = signal[0] if isinstance(signal, list) else signal
    energy = np.asarray(signal.axes_manager.signal_axes[0].axis)
    groups = np.array_split(signal.data.astype(float), 4)
    sums = np.array([group.sum(axis=0) for group in groups])
    atoms = np.array([[1.0, 9.0], [2.0, 8.0], [8.0, 2.0], [9.0, 1.0]]) * 1e6
    found = {one.element: one.significance for one in other_metals(energy, sums, atoms, 'Fe')}
    assert {element for element, certain in found.items() if certain > CERTAIN} == {'Ti', 'Mn'}
