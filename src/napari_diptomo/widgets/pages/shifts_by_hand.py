"""The shifts of an aligned series, corrected by hand: table, undo and redo, the aligned tilts in the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QUndoCommand, QUndoStack
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_diptomo.series import DiptomoError, InputError, MapSeries, Observer
from napari_diptomo.widgets.controls.parts import Part, words
from napari_diptomo.widgets.controls.shift_table import ShiftTable
from napari_diptomo.widgets.layers.aligned_tilts import AlignedTilts, View
from napari_diptomo.widgets.layers.tilt_axis_line import TiltAxisLine
from napari_diptomo.widgets.notifications import say_error
from napari_diptomo.widgets.pages.page import Context
from napari_diptomo.widgets.tasks.question import Question

_VIEWS = {
    'measured': 'as measured',
    'aligned': 'aligned',
    'difference': 'neighbour difference',
    'flicker': 'flicker with the neighbour',
}
_LONGEST_HISTORY = 500
#: Shifts are compared with the other tilts when they have rested so long.
_PATIENCE_MS = 600
_HINT = (
    '<small>The arrow keys move the selected tilts, with Shift ten times as far. Nothing is aligned anew and no count is '
    'moved; a volume of other shifts is out of date. To leave a tilt out, untick it on the page Open.</small>'
)


class ShiftsByHand(Part):
    """The table of shifts, and what corrects them.

    Every change is a step that can be undone: it replaces the aligned maps of
    the session by the same counts with other shifts.

    Signals
    -------
    corrected(MapSeries)
        The session has these aligned maps now.
    """

    corrected = Signal(object)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self._maps_view, self._viewer = context.session, context.maps_view, context.viewer
        self.tilts = AlignedTilts(context.viewer, context.maps_view, self)
        self.axis = TiltAxisLine(context.viewer, context.maps_view, self)
        self.axis.moved.connect(self.move_axis)
        self.history = QUndoStack(self)
        self.history.setUndoLimit(_LONGEST_HISTORY)
        #: The aligned maps that the history is about.
        self._own: MapSeries | None = None
        self._judging = Question(self, _PATIENCE_MS)
        self._judging.answered.connect(self._judged)
        self._add_view()
        self.table = ShiftTable()
        self.body.addWidget(self.table, 1)
        self._add_buttons()
        self.body.addWidget(words(_HINT))
        self.table.chosen.connect(self._chosen)
        self.table.nudged.connect(self._nudged)
        self.table.typed.connect(self._typed)
        self.table.undo.connect(self.history.undo)
        self.table.redo.connect(self.history.redo)
        self.table.refused.connect(say_error)
        self.history.indexChanged.connect(self.refresh)
        self._viewer.dims.events.current_step.connect(self._slider_moved)

    def show_session(self) -> None:
        """The session has other maps, perhaps."""
        aligned = self.session.aligned
        if aligned is not self._own:
            self._own = aligned
            self._judging.forget()
            self.history.clear()
            if self.tilts.view == 'measured':
                self.view.setCurrentIndex(0)
        if aligned is None:
            self.axis.clear()
            self.tilts.clear()
            self.view.setCurrentIndex(0)
            self.show_axis.setChecked(False)
        else:
            self._show(aligned)
        self.setVisible(aligned is not None)
        self.refresh()

    def replace(self, maps: MapSeries, text: str) -> None:
        """Aligned maps in place of the session's, as a step that can be undone."""
        before = self.session.aligned
        if before is None or before.data is not maps.data:
            self.session.set_aligned(maps)
        else:
            self.history.push(_Change(self, before, maps, text))

    def take(self, maps: MapSeries) -> None:
        """These are the aligned maps now; their scores follow."""
        self._own = maps
        self.session.set_aligned(maps)
        self.corrected.emit(maps)
        if any(row.get('score') is None for row in maps.notes.get('align', {}).get('tilts', ())):
            self._judging.ask(_Judging(maps))

    def correct(self, by_hand: np.ndarray, text: str) -> None:
        """Corrections (tilt, 2) in pixels (y, x) in place of the present ones; a sentence where they cannot be."""
        from napari_diptomo.align.by_hand import corrected, corrections_of

        aligned = self.session.aligned
        if aligned is None or self.session.busy:
            return
        try:
            if not np.array_equal(by_hand, corrections_of(aligned)):
                self.history.push(_Change(self, aligned, corrected(aligned, by_hand), text))
                return
        except DiptomoError as error:
            say_error(str(error))
        self._show(aligned)

    def move_axis(self, shift: float, rotation: float) -> None:
        """The tilt axis elsewhere, pixels and degrees; a sentence where it cannot be."""
        from napari_diptomo.align.by_hand import with_axis

        aligned = self.session.aligned
        if aligned is None:
            return
        try:
            if self.session.busy:
                raise InputError('A step is running; move the axis when it has ended.')
            self.history.push(_Change(self, aligned, with_axis(aligned, shift, rotation), 'Tilt axis'))
        except DiptomoError as error:
            say_error(str(error))
            self.axis.follow(aligned)

    def move_point(self, row: int, dy: float, dx: float) -> None:
        """The shift of a tilt by so many pixels elsewhere."""
        self._see_aligned()
        self._add([row], (dy, dx), 'Shift')

    def refresh(self) -> None:
        """Buttons that can do something."""
        idle = not self.session.busy and self._own is not None
        self.undo.setEnabled(idle and self.history.canUndo())
        self.redo.setEnabled(idle and self.history.canRedo())
        self.reset.setEnabled(idle)
        for button, text, fallback in (
            (self.undo, self.history.undoText(), 'Nothing to undo.'),
            (self.redo, self.history.redoText(), 'Nothing to do again.'),
        ):
            button.setToolTip(f'{text} (also by keys in the table)' if text else fallback)

    def view_shown(self) -> View:
        """The present view of the tilts."""
        return self.tilts.view

    def set_view(self, view: Any) -> None:
        """Show the tilts so; nothing where there is no alignment, or no such view."""
        if view in get_args(View) and self.session.aligned is not None:
            index = get_args(View).index(view)
            blocked = self.view.blockSignals(True)
            self.view.setCurrentIndex(index)
            self.view.blockSignals(blocked)
            # Its layers may be gone where the choice stays the same.
            self._view_chosen(index)

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._viewer.dims.events.current_step.disconnect(self._slider_moved)
        self._judging.cleanup()
        self.tilts.cleanup()

    def _add_view(self) -> None:
        self.view = QComboBox()
        self.view.addItems([_VIEWS[view] for view in get_args(View)])
        # The page is no wider than the window leaves it.
        self.view.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.view.setMinimumContentsLength(10)
        self.view.setToolTip(
            '<qt>The aligned tilts are a layer to be looked at, never data: images of the reference, moved as the table says. '
            'The difference is from the tilt before, brought to the same sum: orange where there is more.</qt>'
        )
        label = QLabel('&Tilts shown')
        label.setBuddy(self.view)
        row = QHBoxLayout()
        row.addWidget(label)
        row.addWidget(self.view, 1)
        self.show_axis = QPushButton('&Move axis')
        self.show_axis.setCheckable(True)
        self.show_axis.setToolTip(
            '<qt>The tilt axis as a line over the sum of the aligned tilts. Drag its middle to move it, an end to turn it: '
            'the shifts stay, a volume of another axis is out of date.</qt>'
        )
        self.show_axis.toggled.connect(self._axis_toggled)
        row.addWidget(self.show_axis)
        self.body.addLayout(row)
        self.view.currentIndexChanged.connect(self._view_chosen)

    def _add_buttons(self) -> None:
        row = QHBoxLayout()
        self.undo, self.redo, self.reset = QPushButton('U&ndo'), QPushButton('Re&do'), QPushButton('Reset r&ow')
        self.reset.setToolTip('Take the corrections of the selected tilts back: their shifts as they were found.')
        for button, slot in (
            (self.undo, self.history.undo),
            (self.redo, self.history.redo),
            (self.reset, self._reset_rows),
        ):
            button.clicked.connect(slot)
            row.addWidget(button)
        self.body.addLayout(row)

    def _show(self, maps: MapSeries) -> None:
        from napari_diptomo.align import tilt_shifts

        self.table.show_shifts(tilt_shifts(maps), maps.notes.get('align', {}).get('doubtful_angles', ()))
        self.tilts.follow(maps)
        self.axis.follow(maps)
        if self.show_axis.isChecked() and not self.axis.shown:
            self.show_axis.setChecked(False)

    def _axis_toggled(self, on: bool) -> None:
        if on and self.session.aligned is not None:
            self.axis.show(self.session.aligned)
        else:
            self.axis.clear()

    def _view_chosen(self, index: int) -> None:
        if self.session.aligned is not None:
            self.tilts.show(self.session.aligned, get_args(View)[index])

    def _chosen(self, row: int) -> None:
        """Show this tilt, and where it was seen as measured the aligned one."""
        self._see_aligned()
        self._maps_view.show_tilt(row)

    def _see_aligned(self) -> None:
        if self.session.aligned is None or self.tilts.view != 'measured':
            return
        if self.view.currentIndex() == 0:
            self.view.setCurrentIndex(1)
        else:
            self._view_chosen(self.view.currentIndex())

    def _slider_moved(self, event: Any = None) -> None:
        tilt = self._maps_view.tilt
        if tilt is not None and self.table.currentRow() >= 0 and len(self.table.chosen_rows()) < 2:
            self.table.choose(tilt)

    def _nudged(self, rows: Sequence[int], right: float, down: float) -> None:
        aligned = self.session.aligned
        if aligned is None:
            return
        self._see_aligned()
        if aligned.transposed:
            right, down = down, right
        # The image moves against its shift, which says where the specimen sits.
        self._add(rows, (-down, -right), 'Nudge')

    def _typed(self, row: int, dx: float | None, dy: float | None) -> None:
        aligned = self.session.aligned
        if aligned is None:
            return
        shift_y, shift_x = np.asarray(aligned.shifts)[row]
        self._add([row], (0.0 if dy is None else dy - shift_y, 0.0 if dx is None else dx - shift_x), 'Shift')

    def _add(self, rows: Sequence[int], change: tuple[float, float], what: str) -> None:
        from napari_diptomo.align.by_hand import corrections_of

        aligned = self.session.aligned
        if aligned is not None:
            by_hand = corrections_of(aligned)
            by_hand[list(rows)] += change
            self.correct(by_hand, f'{what} of {_named(aligned, rows)}')

    def _reset_rows(self) -> None:
        from napari_diptomo.align.by_hand import corrections_of

        aligned, rows = self.session.aligned, self.table.chosen_rows()
        if aligned is not None and rows:
            by_hand = corrections_of(aligned)
            by_hand[rows] = 0
            self.correct(by_hand, f'Reset of {_named(aligned, rows)}')

    def _judged(self, maps: MapSeries) -> None:
        """Scores of the present shifts; those of earlier ones come too late."""
        own = self._own
        if own is None or self.session.aligned is not own or maps.shifts is not own.shifts:
            return
        self._own = maps
        self.session.set_judged(maps)


class _Judging:
    """Compares an aligned series with what its tilts predict, in the background."""

    def __init__(self, maps: MapSeries) -> None:
        self._maps = maps

    def __call__(self, observer: Observer) -> MapSeries:
        from napari_diptomo.align.by_hand import judged

        return judged(self._maps, observer)


class _Change(QUndoCommand):
    """One alignment in place of another."""

    def __init__(self, owner: ShiftsByHand, before: MapSeries, after: MapSeries, text: str) -> None:
        super().__init__(text)
        self._owner, self._before, self._after = owner, before, after

    def redo(self) -> None:
        self._owner.take(self._after)

    def undo(self) -> None:
        self._owner.take(self._before)


def _named(maps: MapSeries, rows: Sequence[int]) -> str:
    return f'{maps.angles[rows[0]]:g}°' if len(rows) == 1 else f'{len(rows)} tilts'
