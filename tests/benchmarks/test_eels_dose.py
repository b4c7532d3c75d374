"""Fe-M2,3 against Fe-L2,3: the bounds behind the page follow the laws that they must."""

from __future__ import annotations

import pytest

import eels_dose
from napari_diptomo.simulate.eels_shapes import ShapeVariation

AS_CALCULATED = ShapeVariation()


def test_variance_by_counting_goes_with_one_over_the_counts():
    one = eels_dose.fraction_variance('M', 1000.0, 0.3, 0.0, AS_CALCULATED)
    assert eels_dose.fraction_variance('M', 4000.0, 0.3, 0.0, AS_CALCULATED) == pytest.approx(one / 4)


def test_what_is_not_known_costs():
    known = eels_dose.fraction_variance('L', 100.0, 1.7, 0.0, AS_CALCULATED)
    assert eels_dose.fraction_variance('L', 100.0, 1.7, 0.0, AS_CALCULATED, shift=True) > known
    assert eels_dose.fraction_variance('L', 100.0, 1.7, 2.0, AS_CALCULATED) > known


@pytest.mark.parametrize(('ratio', 'published'), [(24.0, 2.0), (50.0, 4.2)])
def test_gain_at_an_edge_to_background_of_a_fifth_is_near_an_independent_calculation(ratio, published):
    """That one had no continuum behind the white lines and another energy window."""
    assert eels_dose.gain(ratio, 0.2)['gain'] == pytest.approx(published, rel=0.3)
