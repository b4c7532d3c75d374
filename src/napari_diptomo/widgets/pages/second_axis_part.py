"""Maps of a second tilt axis, on the page Align."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_diptomo.series import MapSeries, Recipe
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.preferences import LastUsed

if TYPE_CHECKING:
    from napari_diptomo.align import SecondAxis

_NONE = 'Maps of the specimen turned in its plane and tilted again fill most of the missing wedge.'


class SecondAxisPart(Part):
    """The file of the second series, a button that joins it, and what was found.

    Parameters
    ----------
    last_used : LastUsed
        Where parameters are remembered.

    Signals
    -------
    join(), part()
        The buttons.
    """

    join = Signal()
    part = Signal()

    def __init__(self, last_used: LastUsed, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.parameters = RememberedForm(_second_axis, last_used)
        self.join_button, self.part_button = QPushButton('Join'), QPushButton('Take apart')
        self.join_button.setToolTip(
            '<qt>Find how the specimen was turned and moved between the series; every reconstruction then fits both.</qt>'
        )
        self.part_button.setToolTip('Continue with the first series alone.')
        self.join_button.clicked.connect(self.join)
        self.part_button.clicked.connect(self.part)
        self.found = words(_NONE)
        row = QHBoxLayout()
        row.addWidget(self.join_button)
        row.addWidget(self.part_button)
        row.addStretch(1)
        self.body.addWidget(heading('Second axis'))
        self.body.addWidget(self.found)
        self.body.addWidget(self.parameters)
        self.body.addLayout(row)
        self.parameters.changed.connect(self._refresh)
        self._possible = False
        self.show_maps(None, False)

    @property
    def form(self) -> StepForm[SecondAxis] | None:
        """The form, None until it is built."""
        return self.parameters.form

    @property
    def named(self) -> bool:
        """Whether a file is named."""
        return bool(self.parameters.state().get('maps'))

    def step(self) -> SecondAxis:
        """The step as the controls stand."""
        return self.parameters.step()

    def forget(self) -> None:
        """Other data were opened: the file is of the earlier ones."""
        self.parameters.set_state({**self.parameters.state(), 'maps': '', 'turn': None, 'upside_down': None})
        self._refresh()

    def show_maps(self, maps: MapSeries | None, busy: bool) -> None:
        """Say which second series the aligned maps have beside them."""
        second = None if maps is None else maps.second_axis
        self.found.setText(_NONE if maps is None or second is None else describe(maps))
        self.part_button.setVisible(second is not None)
        self.part_button.setEnabled(not busy)
        self._possible = maps is not None and not busy
        self._refresh()

    def _refresh(self, *_: Any) -> None:
        self.join_button.setEnabled(self._possible and self.named)


def describe(maps: MapSeries) -> str:
    """``'Joined: 17 tilts from -40° to 40°, the specimen turned by 92.8°.'``; the finding on it says more."""
    second = maps.second_axis
    placed = None if second is None else second.reinsertion
    if second is None or placed is None:
        return _NONE
    return (
        f'Joined: {len(second.angles)} tilts from {second.angles.min():g}° to {second.angles.max():g}°, the specimen turned '
        f'by {placed.turn:.1f}°.'
    )


def without_second_axis(maps: MapSeries) -> MapSeries:
    """The first series alone, its recipe and findings saying nothing of a second."""
    from napari_diptomo.align.second_axis import SecondAxis, first_alone

    recipe = maps.recipe
    if recipe is not None:
        recipe = Recipe(recipe.source, tuple(step for step in recipe.steps if not isinstance(step, SecondAxis)))
    return replace(first_alone(maps), recipe=recipe)


def _second_axis() -> type[SecondAxis]:
    from napari_diptomo.align import SecondAxis

    return SecondAxis
