"""Histograms of a channel, and the voxels of an interval."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.assess import carried_voxels, channel_values, percent_channels
from napari_diptomo.series import InputError, Volume

UNITS = {'composition': {'units': {'Fe': 'at.%', 'Pt': 'at.%', 'density': 'g/cm^3'}}}


def made(values: list[float], std: float | None = None) -> Volume:
    """A composition of Fe and Pt along x."""
    fe = np.array(values, float)
    data = np.stack([fe, np.where(fe != 0, 100 - fe, 0), np.where(fe != 0, 9.0, 0)])[:, None, None]
    return Volume(data, ('Fe', 'Pt', 'density'), 1.0, std=None if std is None else 0 * data + std, notes=UNITS)


def test_percent_are_counted_one_by_one_and_masked_voxels_are_not() -> None:
    values = channel_values(made([0, 50.5, 50.9, 51.0, -2.5, 99.5, 0]), 'Fe')
    assert values.unit == 'at.%' and values.inside.sum() == 5
    edges, counts = values.histogram()
    np.testing.assert_array_equal(edges, np.arange(-3, 101))
    assert {int(edge): int(n) for edge, n in zip(edges, counts, strict=False) if n} == {-3: 1, 50: 2, 51: 1, 99: 1}
    assert np.isnan(values.error).all()
    assert (channel_values(made([50.0], 3.0), 'Fe').error == 3).all()


def test_an_interval_gives_exactly_its_voxels() -> None:
    values = channel_values(made([0, 20, 30, 40, 50, 60]), 'Fe')
    np.testing.assert_array_equal(values.between(30, 50)[0, 0], [False, False, True, True, True, False])
    np.testing.assert_array_equal(values.between(-100, 200), values.inside)
    assert not values.between(31, 39).any()
    with pytest.raises(InputError, match='give the lower end first'):
        values.between(50, 30)


def test_counts_have_a_hundred_bins_and_all_voxels_unless_a_mask_is_given() -> None:
    counts = Volume(np.arange(1000.0).reshape(1, 10, 10, 10), ('Fe',), 1.0)
    values = channel_values(counts, 'Fe')
    edges, found = values.histogram()
    assert values.unit == 'counts' and len(edges) == 101 and (found == 10).all()
    some = channel_values(counts, 'Fe', counts.data[0] >= 900)
    assert some.histogram()[1].sum() == 100 and some.between(0, 899).sum() == 0
    even = channel_values(Volume(np.full((1, 2, 2, 2), 3.0), ('Fe',), 1.0), 'Fe')
    edges, found = even.histogram()
    assert edges.tolist() == [2.5, 3.5] and found.tolist() == [8]


def test_oxidation_states_have_values_and_no_percent() -> None:
    data = np.array([[[[0.3, 0.0, 0.7]]], [[[2.7, 0.0, 2.3]]]])
    states = Volume(data, ('Fe2+ fraction', 'Fe valence'), 1.0, notes={'oxidation_state': {}})
    assert percent_channels(states) == ()
    values = channel_values(states, 'Fe valence')
    assert values.unit == '' and values.values.tolist() == pytest.approx([2.7, 2.3])


def test_what_has_no_values_is_one_sentence() -> None:
    volume = made([50.0, 60.0])
    assert percent_channels(volume) == ('Fe', 'Pt')
    with pytest.raises(InputError, match='no channel Cu; choose among Fe, Pt, density'):
        channel_values(volume, 'Cu')
    with pytest.raises(InputError, match='mask has the shape'):
        channel_values(volume, 'Fe', np.ones((1, 1, 3), bool))
    with pytest.raises(InputError, match='mask is empty'):
        channel_values(volume, 'Fe', np.zeros((1, 1, 2), bool))
    with pytest.raises(InputError, match='No voxel is above the threshold'):
        carried_voxels(made([0.0, 0.0]))
    with pytest.raises(InputError, match='holds counts'):
        carried_voxels(Volume(np.ones((1, 2, 2, 2)), ('Fe',), 1.0))
