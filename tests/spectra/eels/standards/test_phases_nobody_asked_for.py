"""Fe2O3 in place of Fe3O4, another metal in one oxide; no alarm where there is neither."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.simulate.eels_shapes import OXIDES, edge_shape
from napari_diptomo.spectra.eels.standards.phases_nobody_asked_for import unexpected_phases
from napari_diptomo.spectra.eels.standards.stored import Standards

ENERGY = np.arange(34.0, 95.0, 0.25)


def standards(metal_ev=0.0, share=0.0, leading_edge=(0.28, 0.08)):
    """Of iron, with a share of another metal's edge, so many eV off, in the second."""
    shapes = np.stack([edge_shape(ENERGY, oxide, 'M') for oxide in OXIDES], axis=1)
    shapes[:, 1] = (1 - share) * shapes[:, 1] + share * edge_shape(ENERGY - metal_ev, 'FeO', 'M')
    inside = (ENERGY >= 47) & (ENERGY < 62)
    shapes /= shapes[inside].sum(axis=0)
    notes = {'leading_edge': list(leading_edge), 'method': 'stoichiometric'}
    return Standards(OXIDES, ENERGY, shapes, np.full_like(shapes, 4e-4), np.ones(2), notes=notes)


def doubts(found):
    return [finding.sentence for finding in found if finding.level == 'doubt']


def test_two_iron_oxides_raise_no_alarm_and_say_what_would_have_been_seen():
    found = unexpected_phases(standards())
    assert not doubts(found)
    assert 'would have been noticed' in found[0].sentence


def test_fe2o3_that_passes_for_magnetite_is_not_said_to_be_unlikely():
    # All of it haematite, 28 % of the iron of the purest pixels in FeO before and behind it: by (3 x - 1) / 2 nearly zero.
    (note,) = [
        one for one in unexpected_phases(standards(leading_edge=(-0.03, 0.04))) if 'stoichiometric' in one.sentence
    ]
    assert 'with 31 % of their iron in FeO the purest pixels could hold Fe2O3 instead' in note.sentence
    assert note.evidence['noticed below'] == pytest.approx(0.26, abs=0.005)
    # Nothing is noticed, whatever the share, when the error is as large as what a third of Fe2+ makes.
    (note,) = [one for one in unexpected_phases(standards(leading_edge=(0.3, 0.2))) if 'stoichiometric' in one.sentence]
    assert note.evidence['noticed below'] == 0 and 'no share of it' in note.sentence


def test_manganese_and_cobalt_are_named():
    for by, name in ((-6.0, 'Mn-M2,3'), (6.0, 'Co-M2,3')):
        (sentence,) = doubts(unexpected_phases(standards(by, 0.3)))
        assert f'looks like {name}' in sentence and 'standard of Fe3O4' in sentence


def test_less_fe2_than_magnetite_has_looks_like_fe2o3():
    (sentence,) = doubts(unexpected_phases(standards(leading_edge=(-0.27, 0.08))))
    assert 'looks like Fe2O3' in sentence and 'not Fe3O4' in sentence


def test_a_note_says_which_share_of_a_metal_the_standards_would_have_shown():
    (note,) = [one for one in unexpected_phases(standards()) if one.about == 'other metals by the standards']
    # 30 % are seen, so 90 % power lies below; windows that errors of shapes blur hide a tenth.
    assert 0.05 < note.evidence['Mn'] < 0.5
    assert 0.05 < note.evidence['Co'] < 0.5


def test_the_other_metal_of_a_core_loss_is_named_with_its_phase():
    lines = {
        'element': 'Mn',
        'energy': 641.0,
        'significance': 16.0,
        'shares': (0.0, 0.065),
        'errors': (0.002, 0.003),
        'least': 0.004,
    }
    found = standards()
    found.notes['other_metals'] = [lines, lines | {'element': 'Co', 'significance': 1.0}]
    sentences = [one.sentence for one in unexpected_phases(found)]
    assert any('Mn-L2,3 at 641 eV' in one and '6.5 ± 0.3 % of the metal in Fe3O4' in one for one in sentences)
    assert any('No further metal' in one and 'Co 0.4 %' in one for one in sentences)


def test_ends_beyond_all_mixtures_look_like_fe2o3_even_where_the_first_is_no_pure_feo():
    found = standards(leading_edge=(-0.1, 0.09))
    found.notes['beyond_mixtures'] = [2.6, 0.06]
    (sentence,) = doubts(unexpected_phases(found))
    assert 'looks like Fe2O3' in sentence and 'beyond all mixtures' in sentence
