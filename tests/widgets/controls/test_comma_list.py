"""Lists that are typed: names by blanks or commas, ranges, regions and paths by commas alone."""

from __future__ import annotations

from typing import Any

import pytest

from napari_diptomo.widgets.controls.form_widgets import CommaList


@pytest.mark.parametrize(
    ('typed', 'values'),
    [
        ('O_K Fe_L3', ('O_K', 'Fe_L3')),
        ('O_K, Mn_L 636-662', ('O_K', 'Mn_L 636-662')),
        ('core = polygon 1 2 3 4 5 6 at 0, Mn2+ = rows 1-2 columns 3-4', ('core = polygon 1 2 3 4 5 6 at 0', 'Mn2+ = rows 1-2 columns 3-4')),
        ('/a folder/b.msa; c.csv', ('/a folder/b.msa', 'c.csv')),
        ('', ()),
    ],
)  # fmt: skip
def test_text(typed: str, values: tuple[str, ...], qtbot: Any) -> None:
    widget = CommaList(kind=str)
    qtbot.addWidget(widget.native)
    widget.native.setText(typed)
    assert widget.value == values
    widget.value = values
    assert widget.value == values


def test_numbers(qtbot: Any) -> None:
    widget = CommaList(kind=float)
    qtbot.addWidget(widget.native)
    widget.native.setText('1 2.5, -3')
    assert widget.value == (1.0, 2.5, -3.0)
