"""Angles in sentences have the sign of degrees."""

from __future__ import annotations

import pytest

from napari_diptomo.align import Align
from napari_diptomo.series.degrees import with_degrees


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('at -40 deg by', 'at -40° by'),
        ('at -40, 5, ... deg by', 'at -40°, 5°, ... by'),
        ('Ge at -10, 0.5 deg, Te at 3 tilts', 'Ge at -10°, 0.5°, Te at 3 tilts'),
        ('window 1 at 1e-05 deg', 'window 1 at 1e-05°'),
        ('nothing of it, 5 degrees', 'nothing of it, 5 degrees'),
    ],
)
def test_every_number_of_a_list_has_the_sign(text: str, shown: str) -> None:
    assert with_degrees(text) == shown


def test_the_unit_of_a_parameter_is_a_sign_without_a_space() -> None:
    (rotation,) = (parameter for parameter in Align.parameters() if parameter.name == 'axis_rotation')
    assert (rotation.unit, rotation.suffix) == ('°', '°')
    assert {p.suffix for p in Align.parameters() if p.unit not in ('', '°')} <= {' pixels', ' nm'}
