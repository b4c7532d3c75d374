"""Parameters of a step as the forms see them."""

from __future__ import annotations

from napari_diptomo.reconstruct import DIPmTV


def test_leading_parameters_come_first():
    names = [parameter.name for parameter in DIPmTV.parameters()]
    assert names[:2] == ['preset', 'thickness']
    assert len(set(names)) == len(DIPmTV.model_fields)
