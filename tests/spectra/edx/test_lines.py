"""Line families: which one is mapped, and the shape the detector makes of it."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.simulate import edx, line_shape
from napari_diptomo.spectra import Detector, LineFamily, families_for, families_of
from napari_diptomo.spectra.common import exspy_adapter
from napari_diptomo.spectra.edx.detector import escape_share
from napari_diptomo.spectra.edx.detector_calibration import refine_weights
from napari_diptomo.spectra.edx.lines import line_share
from napari_diptomo.spectra.edx.sum_fit import background_shapes, line_shapes

ENERGY = np.arange(0.2, 20, 0.01)


def names(elements, low=0.2, high=20.0, beam_energy=200.0):
    return [family.name for family in families_for(elements, low, high, beam_energy)]


def test_k_is_preferred_where_it_is_in_range():
    assert names(('O', 'Fe', 'Ge', 'Sb', 'Te', 'Pt')) == ['O_K', 'Fe_K', 'Ge_K', 'Sb_L', 'Te_L', 'Pt_L']


def test_a_shell_that_the_beam_or_the_range_leaves_out_is_not_mapped():
    assert names(('Ge', 'Pt'), high=8.0) == ['Ge_L', 'Pt_M']
    assert names(('Fe', 'Ge'), beam_energy=12.0) == ['Fe_K', 'Ge_L']


def test_shares_of_lines_are_those_of_the_tables_with_doublets_as_one():
    """eXSpy: Fe Kb 0.1272 of Ka, and Ka stands for Ka1 and Ka2."""
    (iron,) = families_for(('Fe',), 0.2, 20.0)
    assert iron.share('Ka') == pytest.approx(1 / 1.1272, rel=1e-4)
    assert iron.share('Kb') == pytest.approx(0.1272 / 1.1272, rel=1e-4)
    assert iron.share('La') == 0.0
    assert line_share('Fe_K', '') == 1.0


@pytest.mark.parametrize(('family', 'line'), [('Fe_K', 'Kq'), ('Fe_N', ''), ('Qq_K', 'Ka')])
def test_a_line_that_there_is_not_is_reported(family, line):
    with pytest.raises(
        InputError, match=r'There is no (line Fe_Kq; the family Fe_K has Fe_Kb, Fe_Ka|element)|not the name'
    ):
        line_share(family, line)


def test_families_are_taken_as_named():
    assert names(('Ge_L', 'Fe_La', 'Pt_M')) == ['Ge_L', 'Fe_L', 'Pt_M']


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('Xy', "no element 'Xy'"),
        ('Li', 'Li has no X-ray line between 0.20 and 20.00 keV'),
        ('Sb_K', 'Sb_K has no X-ray line'),
        ('Ge_9', 'not the name of a line family'),
    ],
)
def test_what_has_no_lines_is_reported(name, sentence):
    with pytest.raises(InputError, match=sentence):
        names((name,))


@pytest.mark.parametrize('name', ['O_K', 'Si_K', 'Fe_K', 'Cu_K', 'Ge_K', 'Sb_L', 'Te_L', 'Cu_L'])
def test_family_shapes_agree_with_the_simulators_own_tables(name):
    (family,) = families_for((name,), 0.2, 20.0)
    ours, theirs = Detector().shape(ENERGY, family), line_shape(ENERGY, edx.LINES[name])
    assert np.abs(ours - theirs).max() < 0.015 * theirs.max()


@pytest.mark.parametrize(
    ('name', 'published'),
    [('Cu_K', 8.02783), ('Zr_K', 15.6909), ('Mo_K', 17.3743), ('Sb_L', 3.59532), ('Pt_L', 9.3618), ('Pb_L', 10.4495)],
)
def test_the_second_line_of_a_doublet_lies_where_it_was_measured(name, published):
    # Bearden, Rev. Mod. Phys. 39 (1967) 78: Ka2 and La2.
    (family,) = families_for((name,), 0.2, 20.0)
    assert min(abs(np.array(family.energies) - published)) < 0.006


def test_escape_peak_lies_an_si_ka_below_its_line_and_holds_what_theory_says():
    # Reed and Ware (1972): 0.6 % of Ti-Ka, about 2 % just above the edge, none below it.
    (family,) = families_for(('Ti_K',), 0.2, 20.0)
    excess = Detector(escape=1.0).shape(ENERGY, family) - Detector().shape(ENERGY, family)
    below = ENERGY < 3.5
    assert ENERGY[below][excess[below].argmax()] == pytest.approx(4.51 - 1.74, abs=0.015)
    assert excess[below].sum() == pytest.approx(0.006, rel=0.15)
    assert excess.sum() == pytest.approx(0, abs=1e-9)
    np.testing.assert_array_equal(escape_share(np.array([0.5, 1.74])), 0)


def test_charge_is_lost_most_just_above_the_edge_of_silicon():
    detector = Detector(surface=0.1)
    tails = []
    for energy in (1.7, 1.9, 8.0):
        line = LineFamily('X', 'K', (energy,), (1.0,))
        tails.append((detector.shape(ENERGY, line) * (energy - ENERGY)).sum() / (0.04 * energy))
    assert tails[1] == pytest.approx(0.1, rel=0.1)
    assert tails[0] < 0.2 * tails[1] and tails[2] < 0.05 * tails[1]


def test_weights_of_an_m_family_are_read_off_the_spectrum_and_a_k_family_keeps_its_own():
    (platinum, iron) = families_for(('Pt_M', 'Fe_K'), 0.2, 20.0)
    zeta = int(np.argmin(platinum.energies))
    assert platinum.energies[zeta] == pytest.approx(1.6026)
    weights = np.array(platinum.weights)
    weights[zeta] = 0.05
    true = replace(platinum, weights=tuple(weights / weights.sum()))
    smooth = background_shapes(ENERGY, Detector(), 200.0)
    shapes = line_shapes(ENERGY, (true, iron), Detector())
    counts = np.random.default_rng(0).poisson(shapes @ [2e5, 5e4] + 2e5 * smooth.mean(axis=1)).astype(float)
    found, same = refine_weights(ENERGY, counts, (platinum, iron), Detector(), smooth)
    assert found.weights[zeta] == pytest.approx(true.weights[zeta], rel=0.08)
    np.testing.assert_allclose(same.weights, iron.weights, rtol=0.03)
    assert sum(found.weights) == pytest.approx(1)


def test_a_coefficient_counts_the_whole_family_though_the_axis_ends_within():
    (family,) = families_for(('Ge',), 0.2, 20.0)
    energy = np.arange(0.2, 10.5, 0.01)
    assert Detector().shape(energy, family).sum() == pytest.approx(1 / 1.1322, rel=1e-3)
    assert Detector().shape(ENERGY, family).sum() == pytest.approx(1, rel=1e-6)


def test_tail_moves_photons_down_and_loses_none():
    (family,) = families_for(('Ti_K',), 0.2, 20.0)
    plain, tailed = Detector().shape(ENERGY, family), Detector(tail=0.06).shape(ENERGY, family)
    assert tailed.sum() == pytest.approx(1, rel=1e-6)
    assert (plain * ENERGY).sum() - (tailed * ENERGY).sum() == pytest.approx(0.06 * 0.04 * 4.55, rel=0.02)
    assert tailed[ENERGY < 4.3].sum() > 100 * plain[ENERGY < 4.3].sum()


def test_families_of_an_element_come_k_first():
    assert [family.name for family in families_of('Pt', 0.2, 20.0)] == ['Pt_L', 'Pt_M']


def test_tables_are_whole_when_several_threads_ask_at_once():
    """HyperSpy's iteration over elements keeps its place in the table: two at a time skip elements, or break."""
    asked = [
        exspy_adapter.line_table,
        exspy_adapter.edge_onsets,
        exspy_adapter.atomic_weights,
        exspy_adapter.atomic_numbers,
    ]
    for table in (*asked, exspy_adapter._read_elements):
        table.cache_clear()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = [task.result() for task in [pool.submit(table) for table in 4 * asked]]
    finally:
        sys.setswitchinterval(0.005)
    assert len({len(found[i]) for i in (0, 2, 3)}) == 1
    assert len(found[0]) > 90
    assert found[1]['Fe_L3'] == pytest.approx(708, abs=1)
