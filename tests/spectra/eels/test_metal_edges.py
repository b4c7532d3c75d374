"""Edges of 3d metals: where L3 was measured, which channels belong to M2,3, ranges without the edge."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.simulate.eels_shapes import white_lines
from napari_diptomo.spectra.eels.metal_edges import (
    IRON,
    in_low_loss_edge,
    l3_maximum,
    low_loss_edge,
    low_loss_edge_range,
)

ENERGY = np.arange(660.0, 780.0, 0.25)


def test_the_low_loss_edge_of_iron_is_counted_from_47_to_62_ev():
    assert low_loss_edge('Fe') == pytest.approx(57, abs=0.01)
    assert low_loss_edge_range('Fe') == pytest.approx((47, 62))
    energy = np.arange(40.0, 70.0, 0.5)
    np.testing.assert_array_equal(energy[in_low_loss_edge('Fe', energy)][[0, -1]], [47.0, 61.5])
    with pytest.raises(InputError, match='3d metals'):
        low_loss_edge('O')


@pytest.mark.parametrize(('oxide', 'known'), [('FeO', 707.8), ('Fe3O4', 709.5)])
def test_l3_lies_where_it_was_measured(oxide, known):
    """van Aken et al.: Fe2+ at 707.8 eV, Fe3+ at 709.5 eV."""
    assert l3_maximum(white_lines(ENERGY, oxide, 'L', gaussian=0.5), ENERGY) == pytest.approx(known, abs=0.1)


@pytest.mark.parametrize(
    ('low', 'high', 'words'),
    [(400, 600, 'not within'), (660, 712, 'cut off'), (700, 780, 'no background in front')],
)
def test_ranges_without_the_edge_are_refused(low, high, words):
    with pytest.raises(InputError, match=words):
        IRON.check_range(np.arange(low, high, 0.25))
