"""The composition under the cursor: at.% with factors, fractions of the counts without, errors from the spread."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo import Composition
from napari_diptomo.assess.at_voxel import VoxelReader
from napari_diptomo.assess.fractions import fractions
from napari_diptomo.series import Volume


def volume(**changes) -> Volume:
    data = np.zeros((2, 8, 8, 8))
    data[0, 2:7, 2:7, 2:7], data[1, 2:7, 2:7, 2:7] = 30, 10
    return Volume(data, ('Ge', 'Te'), 1.0, **changes)


def test_without_factors_there_are_fractions_of_the_counts():
    reader = VoxelReader(volume())
    found = reader.at(4, 4, 4)
    np.testing.assert_allclose(found.percent, [75, 25])
    assert str(found) == 'Ge 75.0, Te 25.0 % of the counts'
    assert str(reader.at(0, 0, 0)) == 'no specimen'
    assert reader.at(8, 0, 0) is None and reader.at(0, -1, 0) is None


def test_factors_make_atoms_of_counts():
    # k-factors by mass of 1 and 2: atoms as 30 / 72.63 to 2 * 10 / 127.6.
    reader = VoxelReader(volume(), Composition(k_factors=(1.0, 2.0)))
    atoms = np.array([30 / 72.63, 20 / 127.6])
    np.testing.assert_allclose(reader.at(4, 4, 4).percent, 100 * atoms / atoms.sum(), rtol=1e-3)
    assert reader.unit == 'at.%'


def test_errors_are_those_of_the_spread():
    std = np.full((2, 8, 8, 8), 3.0)
    found = VoxelReader(volume(std=std)).at(4, 4, 4)
    _, expected = fractions(np.array([30.0, 10.0]), np.array([3.0, 3.0]))
    np.testing.assert_allclose(found.error, 100 * expected)
    assert '±' in str(found)


def test_a_composition_is_read_as_it_is():
    percent = np.zeros((2, 4, 4, 4))
    percent[:, 1, 2, 3] = 41.3, 58.7
    notes = {'composition': {'units': {'Ge': 'wt.%', 'Te': 'wt.%'}}}
    reader = VoxelReader(Volume(percent, ('Ge', 'Te'), 1.0, std=np.full(percent.shape, 0.84), notes=notes))
    assert str(reader.at(1, 2, 3)) == 'Ge 41.3 ± 0.8, Te 58.7 ± 0.8 wt.%'
    assert str(reader.at(0, 0, 0)) == 'no specimen'


@pytest.mark.parametrize('where', [(0, 0, 0), (7, 7, 7)])
def test_at_the_edge_only_what_is_there_is_pooled(where):
    full = Volume(np.ones((2, 8, 8, 8)) * np.array([3.0, 1.0])[:, None, None, None], ('Ge', 'Te'), 1.0)
    np.testing.assert_allclose(VoxelReader(full).at(*where).percent, [75, 25])
