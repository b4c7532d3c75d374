"""Valences and holes of oxides are those of any textbook."""

from __future__ import annotations

import pytest

from napari_diptomo.series import InputError
from napari_diptomo.series.oxides import holes, metal, valence


@pytest.mark.parametrize(
    ('oxide', 'of', 'state', 'empty'),
    [
        ('FeO', 'Fe', 2, 4),
        ('Fe3O4', 'Fe', 8 / 3, 14 / 3),
        ('Fe2O3', 'Fe', 3, 5),
        ('MnO2', 'Mn', 4, 7),
        ('TiO2', 'Ti', 4, 10),
        ('CeO2', 'Ce', 4, None),
    ],
)
def test_formula_determines_valence_and_holes(oxide, of, state, empty):
    assert metal(oxide) == of
    assert valence(oxide) == pytest.approx(state)
    assert holes(oxide) == (None if empty is None else pytest.approx(empty))


@pytest.mark.parametrize('text', ['Fe', 'iron oxide', 'feo', 'FeO-OH'])
def test_what_is_no_oxide_is_refused(text):
    with pytest.raises(InputError, match='not the formula of an oxide'):
        valence(text)
