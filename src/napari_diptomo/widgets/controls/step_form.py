"""A form that is a step: every control comes from the step's own definition."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from magicgui.widgets.bases import BaseValueWidget
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_diptomo.series import DiptomoError, Parameter, Step
from napari_diptomo.widgets.controls.form_widgets import add_row, form_rows, widget_for
from napari_diptomo.widgets.controls.parameter_groups import grouped
from napari_diptomo.widgets.controls.parts import folded, heading

StepT = TypeVar('StepT', bound=Step)


class StepForm(QWidget, Generic[StepT]):
    """The parameters of a step class as controls.

    Those marked advanced sit behind "More", the others are visible. A
    step with a ``preset`` refills the other controls when the preset changes,
    with what ``step_class(preset=...)`` says.

    Parameters
    ----------
    step_class : type of Step
        What the form makes.
    hide : tuple of str
        Parameters that are shown elsewhere; they keep their last set value.
    """

    changed = Signal()

    def __init__(self, step_class: type[StepT], hide: tuple[str, ...] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.step_class = step_class
        self.fields: dict[str, BaseValueWidget[Any]] = {}
        self._rows_of: dict[str, QFormLayout] = {}
        self._filling = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        basic, advanced = form_rows(), form_rows()
        shown = {parameter.name: parameter for parameter in step_class.parameters() if parameter.name not in hide}
        self._hidden = {p.name: p.default for p in step_class.parameters() if p.name in hide}
        for parameter in shown.values():
            if not parameter.advanced:
                self._add(parameter, basic)
        for title, names in grouped(name for name, parameter in shown.items() if parameter.advanced).items():
            if title:
                advanced.addRow(heading(title))
            for name in names:
                self._add(shown[name], advanced)
        layout.addLayout(basic)
        self.more = self._collapsible(advanced, layout)
        self._add_reset(layout)
        self.set_value(step_class())

    def value(self) -> StepT:
        """The step as the controls stand.

        Raises
        ------
        InputError
            A value the step does not take; the text names it.
        """
        values = {name: field.value for name, field in self.fields.items()}
        return self.step_class(**values, **self._hidden)

    def set_value(self, step: StepT) -> None:
        """Show this step; `changed` is emitted once."""
        self._filling = True
        try:
            for name, field in self.fields.items():
                field.value = getattr(step, name)
            for name in self._hidden:
                self._hidden[name] = getattr(step, name)
        finally:
            self._filling = False
        self.changed.emit()

    def apply(self, changes: Mapping[str, Any]) -> QWidget | None:
        """Change some parameters, the others stay; a change of ``preset`` refills them first.

        Returns
        -------
        QWidget, optional
            The first that was changed, out of "More" if it was in there.

        Raises
        ------
        InputError
            A value the step does not take; nothing has been changed then.
        """
        step = self.value()
        if 'preset' in changes:
            step = self.step_class(preset=changes['preset'], **self._hidden)
        kept = {name: getattr(step, name) for name in step.__class__.model_fields}
        self.set_value(self.step_class(**kept | dict(changes)))
        changed: list[QWidget] = [self.fields[name].native for name in changes if name in self.fields]
        if self.more is not None and any(self.more.isAncestorOf(widget) for widget in changed):
            self.more.expand(animate=False)
        return changed[0] if changed else None

    def show_row(self, name: str, shown: bool) -> None:
        """Show or hide the row of one parameter; its value stays."""
        rows = self._rows_of[name]
        rows.setRowVisible(self.fields[name].native, shown)

    def state(self) -> dict[str, Any]:
        """The values of the controls, JSON-ready, without those that are not given or that the step does not take."""
        try:
            return self.value().model_dump(mode='json')
        except DiptomoError:
            values = dict(self._hidden)
            for name, field in self.fields.items():
                with suppress(DiptomoError):
                    values[name] = field.value
            taken = self._acceptable(values)
            dumped = self.step_class(**taken).model_dump(mode='json')
            return {name: value for name, value in dumped.items() if name in taken}

    def set_state(self, values: Mapping[str, Any]) -> None:
        """Set the controls as `state` said; values that this version does not take are left out."""
        self.set_value(self.step_class(**self._acceptable(values)))

    def restore_defaults(self) -> None:
        """Back to the step's own defaults; parameters shown elsewhere stay."""
        self.set_value(self.step_class(**self._hidden))

    def _acceptable(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those values that the step takes, each beside those before it."""
        taken: dict[str, Any] = {}
        for name in self.step_class.model_fields:
            if name in values:
                try:
                    self.step_class(**taken, **{name: values[name]})
                except DiptomoError:
                    continue
                taken[name] = values[name]
        return taken

    def _add(self, parameter: Parameter, rows: QFormLayout) -> None:
        field = widget_for(parameter, _exclusive(self.step_class, parameter.name))
        field.changed.connect(self._preset_changed if parameter.name == 'preset' else self._field_changed)
        add_row(rows, field, browse=parameter.file)
        self.fields[parameter.name], self._rows_of[parameter.name] = field, rows

    def _collapsible(self, rows: QFormLayout, layout: QVBoxLayout) -> QCollapsible | None:
        if rows.rowCount() == 0:
            return None
        inner = QWidget()
        inner.setLayout(rows)
        more = folded('More', inner)
        layout.addWidget(more)
        return more

    def _add_reset(self, layout: QVBoxLayout) -> None:
        self.reset = QPushButton('Restore defaults')
        self.reset.setFlat(True)
        self.reset.setToolTip('Set all parameters of this step to their defaults.')
        self.reset.clicked.connect(self.restore_defaults)
        if self.fields:
            layout.addWidget(self.reset, alignment=Qt.AlignmentFlag.AlignRight)

    def _field_changed(self) -> None:
        if not self._filling:
            self.changed.emit()

    def _preset_changed(self) -> None:
        if self._filling:
            return
        try:
            self.set_value(self.step_class(preset=self.fields['preset'].value, **self._hidden))
        except DiptomoError:
            # The refusal belongs to the moment of running, where it is shown.
            self.changed.emit()


def _exclusive(step_class: type[Step], name: str) -> tuple[bool, bool]:
    """Whether the field's limits are open (``gt``, ``lt``) at the low and the high end."""
    metadata = step_class.model_fields[name].metadata
    return (
        any(getattr(item, 'gt', None) is not None for item in metadata),
        any(getattr(item, 'lt', None) is not None for item in metadata),
    )
