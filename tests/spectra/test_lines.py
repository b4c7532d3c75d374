"""Line families: which one is mapped, and the shape the detector makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.simulate import edx, line_shape
from napari_diptomo.spectra import Detector, families_for, families_of

ENERGY = np.arange(0.2, 20, 0.01)


def names(elements, low=0.2, high=20.0, beam_energy=200.0):
    return [family.name for family in families_for(elements, low, high, beam_energy)]


def test_k_is_preferred_where_it_is_in_range():
    assert names(('O', 'Fe', 'Ge', 'Sb', 'Te', 'Pt')) == ['O_K', 'Fe_K', 'Ge_K', 'Sb_L', 'Te_L', 'Pt_L']


def test_a_shell_that_the_beam_or_the_range_leaves_out_is_not_mapped():
    assert names(('Ge', 'Pt'), high=8.0) == ['Ge_L', 'Pt_M']
    assert names(('Fe', 'Ge'), beam_energy=12.0) == ['Fe_K', 'Ge_L']


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
def test_what_has_no_lines_is_told(name, sentence):
    with pytest.raises(InputError, match=sentence):
        names((name,))


def test_family_shapes_agree_with_the_simulators_own_tables():
    for name, lines in edx.LINES.items():
        (family,) = families_for((name,), 0.2, 20.0)
        ours, theirs = Detector().shape(ENERGY, family), line_shape(ENERGY, lines)
        assert np.abs(ours - theirs).max() < 0.01 * theirs.max(), name


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
