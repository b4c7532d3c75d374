"""Oxidation states: closed forms, errors that hold, and no state where there is no metal."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.assess import OxidationState, fraction_maps
from napari_diptomo.series import InputError, MapSeries, Recipe, Volume

OXIDES = ('FeO', 'Fe3O4')
#: Errors of the two oxides go against each other.
COVARIANCE = [[3.0, -2.5], [-2.5, 3.2]]


def block(ferrous, magnetite, n=12):
    """A block of two concentrations in an empty field."""
    data = np.zeros((2, n, n, n), np.float32)
    data[0, 3:9, 3:9, 3:9], data[1, 3:9, 3:9, 3:9] = ferrous, magnetite
    return data


def test_known_mixtures_have_the_valence_of_the_textbook():
    for concentrations, fraction in (((50, 0), 1.0), ((0, 50), 1 / 3), ((30, 30), 2 / 3)):
        found = OxidationState().run(Volume(block(*concentrations), OXIDES, 2.0))
        inside = found.data[:, 5, 5, 5]
        np.testing.assert_allclose(inside, [fraction, 3 - fraction], rtol=1e-6)
        assert found.channels == ('Fe2+ fraction', 'mean valence')
        assert found.notes['oxidation_state']['mean']['Fe2+ fraction'] == pytest.approx(fraction, abs=1e-6)


def test_edge_counts_are_turned_into_atoms():
    notes = {'oxidation': {'states': OXIDES, 'unit': 'edge counts', 'counts_per_atom': [1.0, 7 / 6], 'element': 'Fe'}}
    found = OxidationState(smooth=0).run(Volume(block(30, 35), OXIDES, notes=notes))
    assert found.data[0, 5, 5, 5] == pytest.approx(2 / 3)


def test_nothing_is_reported_outside_the_metal():
    found = OxidationState(smooth=0).run(Volume(block(30, 30), OXIDES))
    filled = block(1, 1)[0] > 0
    assert (found.data[:, ~filled] == 0).all() and (found.std[:, ~filled] == 0).all()
    assert (found.data[:, filled] > 0).all()
    assert found.notes['oxidation_state']['masked_share'] == pytest.approx(1 - filled.mean())


def test_the_spread_of_a_volume_is_propagated():
    # dV/dn = (v - V) / N: errors of 3 and 4 atoms at 30 + 30 make sqrt(3^2 + 4^2) / 3 / 60.
    data = block(30, 30)
    std = np.stack([np.full(data.shape[1:], 3.0), np.full(data.shape[1:], 4.0)])
    found = OxidationState(smooth=0).run(Volume(data, OXIDES, std=std))
    np.testing.assert_allclose(found.std[:, 5, 5, 5], 5 / 3 / 60, rtol=1e-5)


def test_errors_that_go_against_each_other_count_fully():
    rng = np.random.default_rng(0)
    notes = {
        'oxidation': {
            'states': OXIDES,
            'unit': 'atoms',
            'element': 'Fe',
            'covariance_per_atom': COVARIANCE,
            'systematic_valence': 0.03,
        }
    }
    noise = np.sqrt(1000.0) * rng.multivariate_normal([0, 0], COVARIANCE, (3, 48, 48)).transpose(3, 0, 1, 2)
    data = np.array([600.0, 400.0]).reshape(2, 1, 1, 1) + noise
    variance = 1000.0 * np.broadcast_to(np.diag(COVARIANCE).reshape(2, 1, 1, 1), data.shape)
    maps = MapSeries(data, [-10, 0, 10], OXIDES, variance=variance, notes=notes)
    found = fraction_maps(maps)
    truth = 0.6 + 0.4 / 3
    assert found.systematic == 0.03
    assert found.names == ('Fe2+ fraction', 'mean valence')
    pulls = (found.fraction - truth) / found.fraction_std
    assert pulls.std() == pytest.approx(1, abs=0.05)
    # Taken as independent, the errors would promise a quarter less.
    plain = fraction_maps(MapSeries(data, [-10, 0, 10], OXIDES, variance=variance))
    assert plain.fraction_std.mean() < 0.8 * found.fraction_std.mean()


def test_pooled_errors_hold():
    rng = np.random.default_rng(1)
    data = np.array([600.0, 400.0]).reshape(2, 1, 1, 1) + 60 * rng.standard_normal((2, 4, 64, 64))
    variance = np.full(data.shape, 3600.0)
    found = fraction_maps(MapSeries(data, np.arange(4.0), OXIDES, variance=variance), smooth=1.5)
    pulls = ((found.fraction - (0.6 + 0.4 / 3)) / found.fraction_std)[:, 6:-6, 6:-6]
    assert pulls.std() == pytest.approx(1, abs=0.1)


def test_other_metals_and_given_valences():
    manganese = OxidationState(smooth=0).run(Volume(block(30, 30), ('MnO', 'MnO2')))
    assert manganese.channels == ('mean valence',)
    assert manganese.data[0, 5, 5, 5] == pytest.approx(3)
    given = OxidationState(smooth=0, valences=(2, 3)).run(Volume(block(30, 10), ('core', 'shell')))
    assert given.channels == ('M2+ fraction', 'mean valence')
    assert given.data[0, 5, 5, 5] == pytest.approx(0.75)


def test_the_recipe_is_continued():
    found = OxidationState().run(Volume(block(30, 30), OXIDES, recipe=Recipe()))
    assert Recipe.from_json(found.recipe.to_json()).steps == (OxidationState(),)


@pytest.mark.parametrize(
    ('volume', 'step', 'words'),
    [
        (Volume(block(30, 30)[:1], OXIDES[:1]), OxidationState(), 'two oxides'),
        (Volume(block(0, 0), OXIDES), OxidationState(), 'holds nothing'),
        (Volume(block(30, 30), ('core', 'shell')), OxidationState(), 'not the formula'),
        (Volume(block(30, 30), OXIDES), OxidationState(valences=(2.0,)), 'give one for each'),
        (Volume(block(30, 30), OXIDES, std=block(30, 30)), OxidationState(), 'smooth more'),
        (Volume(block(30, 30), OXIDES, notes={'oxidation_state': {}}), OxidationState(), 'already'),
    ],
)
def test_what_makes_no_sense_is_reported(volume, step, words):
    with pytest.raises(InputError, match=words):
        step.run(volume)
