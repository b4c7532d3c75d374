"""One editor per kind of parameter.

`field_for` looks at a parameter's annotation and gives the editor that can
hold it: numbers with limits and units, choices, switches, free text, lists,
and any of them with an "auto" box where None is allowed.
"""

from __future__ import annotations

import re
import types
from typing import Any, Literal, Union, get_args, get_origin

from qtpy.QtCore import QLocale, Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from napari_diptomo.series import InputError, Parameter

_INT_LIMIT = 2**31 - 1
_FLOAT_LIMIT = 1e12


class Field(QWidget):
    """An editor of one value.

    Subclasses put one widget into the layout, emit `changed` when the user or
    `set_value` changes it, and implement `value` and `set_value`.
    """

    changed = Signal()

    def __init__(self, editor: QWidget | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self.editor = editor
        if editor is not None:
            self._row.addWidget(editor)
            self.setFocusProxy(editor)

    def value(self) -> Any:
        """The value as the step's field takes it."""
        raise TypeError(f'{type(self).__name__} does not say its value')

    def set_value(self, value: Any) -> None:
        """Show this value."""
        raise TypeError(f'{type(self).__name__} cannot show {value!r}')

    def _emit(self, *_: Any) -> None:
        self.changed.emit()


class _NoStrayWheel:
    """Scrolling the page must not change a number the pointer happens to pass."""

    def wheelEvent(self, event: Any) -> None:
        if self.hasFocus():  # type: ignore[attr-defined]
            super().wheelEvent(event)  # type: ignore[misc]
        else:
            event.ignore()


class _Integers(_NoStrayWheel, QSpinBox):
    pass


class _Choices(_NoStrayWheel, QComboBox):
    pass


class _Floats(_NoStrayWheel, QDoubleSpinBox):
    """A spin box that writes 0.0003 and 1e-07 instead of rounding them to 0.00."""

    _number = re.compile(r'\s*[-+]?\d*\.?\d*(e[-+]?\d*)?\s*', re.IGNORECASE)

    def __init__(self) -> None:
        super().__init__()
        self.setLocale(QLocale.c())
        self.setDecimals(12)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        return f'{value:.6g}'

    def valueFromText(self, text: str) -> float:
        try:
            return float(self._bare(text))
        except ValueError:
            return self.value()

    def validate(self, text: str, position: int) -> tuple[Any, str, int]:
        bare = self._bare(text)
        if not self._number.fullmatch(bare):
            return QValidator.State.Invalid, text, position
        try:
            inside = self.minimum() <= float(bare) <= self.maximum()
        except ValueError:
            inside = False
        state = QValidator.State.Acceptable if inside else QValidator.State.Intermediate
        return state, text, position

    def _bare(self, text: str) -> str:
        return text.removesuffix(self.suffix()).strip()


class NumberField(Field):
    """An integer or a float with limits and a unit."""

    def __init__(self, parameter: Parameter, kind: type, exclusive: tuple[bool, bool] = (False, False)) -> None:
        box = _Integers() if kind is int else _Floats()
        super().__init__(box)
        limit = _INT_LIMIT if kind is int else _FLOAT_LIMIT
        low = -limit if parameter.minimum is None else parameter.minimum
        high = limit if parameter.maximum is None else parameter.maximum
        nudge = 1 if kind is int else 1e-12
        box.setRange(kind(low + nudge * exclusive[0]), kind(high - nudge * exclusive[1]))
        if parameter.unit:
            box.setSuffix(f' {parameter.unit}')
        box.setKeyboardTracking(False)
        box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        # A wide range must not ask for a wide dock.
        box.setMinimumWidth(90)
        box.setMaximumWidth(180)
        box.valueChanged.connect(self._emit)
        self._kind = kind
        self._row.addStretch(1)

    def value(self) -> int | float:
        return self._kind(self.editor.value())

    def set_value(self, value: Any) -> None:
        self.editor.setValue(self._kind(value))


class ChoiceField(Field):
    """One of several named values."""

    def __init__(self, choices: tuple[Any, ...]) -> None:
        super().__init__(_Choices())
        self._choices = tuple(choices)
        self.editor.addItems([str(choice) for choice in self._choices])
        self.editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.editor.currentIndexChanged.connect(self._emit)
        self._row.addStretch(1)

    def value(self) -> Any:
        return self._choices[self.editor.currentIndex()]

    def set_value(self, value: Any) -> None:
        if value not in self._choices:
            raise InputError(f'{value!r} is not among {", ".join(map(str, self._choices))}; choose one of them.')
        self.editor.setCurrentIndex(self._choices.index(value))


class SwitchField(Field):
    """On or off."""

    def __init__(self) -> None:
        super().__init__(QCheckBox())
        self.editor.toggled.connect(self._emit)
        self._row.addStretch(1)

    def value(self) -> bool:
        return self.editor.isChecked()

    def set_value(self, value: Any) -> None:
        self.editor.setChecked(bool(value))


class TextField(Field):
    """Free text."""

    def __init__(self) -> None:
        super().__init__(QLineEdit())
        # Files dropped here are meant for the dock.
        self.editor.setAcceptDrops(False)
        self.editor.editingFinished.connect(self._emit)

    def value(self) -> str:
        return self.editor.text().strip()

    def set_value(self, value: Any) -> None:
        text = '' if value is None else str(value)
        if text != self.editor.text():
            self.editor.setText(text)
            self.changed.emit()


class ListField(TextField):
    """Values separated by commas or blanks; numbers where the step wants numbers."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self._kind = kind
        self.editor.setPlaceholderText('separated by commas')

    def value(self) -> tuple[Any, ...]:
        words = re.split(r'[,;\s]+', self.editor.text().strip())
        try:
            return tuple(self._kind(word) for word in words if word)
        except ValueError:
            raise InputError(f'"{self.editor.text()}" is not a list of numbers; separate them by commas.') from None

    def set_value(self, value: Any) -> None:
        words = value or ()
        super().set_value(', '.join(f'{word:g}' if isinstance(word, float) else str(word) for word in words))


class OptionalField(Field):
    """Any field with an "auto" box in front: ticked, the value is None and the field out of sight."""

    def __init__(self, inner: Field, word: str = 'auto') -> None:
        super().__init__()
        self.inner = inner
        self.auto = QCheckBox(word)
        self._row.addWidget(self.auto)
        self._row.addWidget(inner, 1)
        self.auto.setChecked(True)
        inner.setVisible(False)
        self.auto.toggled.connect(self._toggled)
        inner.changed.connect(self._emit)
        self.setFocusProxy(self.auto)

    def value(self) -> Any:
        return None if self.auto.isChecked() else self.inner.value()

    def set_value(self, value: Any) -> None:
        self.auto.setChecked(value is None)
        self.inner.setVisible(value is not None)
        if value is not None:
            self.inner.set_value(value)

    def propose(self, value: Any) -> None:
        """What the field shows first when the box is unticked."""
        if self.auto.isChecked():
            self.inner.blockSignals(True)
            self.inner.set_value(value)
            self.inner.blockSignals(False)

    def _toggled(self, auto: bool) -> None:
        self.inner.setVisible(not auto)
        self.changed.emit()


def field_for(parameter: Parameter, exclusive: tuple[bool, bool] = (False, False)) -> Field:
    """The editor for a parameter of a step.

    Parameters
    ----------
    parameter : Parameter
        As `Step.parameters` gives it.
    exclusive : tuple of bool
        Whether the minimum and the maximum themselves are forbidden.
    """
    kinds, optional = _alternatives(parameter.annotation)
    field = _plain_field(parameter, kinds, exclusive)
    return OptionalField(field) if optional else field


def _plain_field(parameter: Parameter, kinds: list[Any], exclusive: tuple[bool, bool]) -> Field:
    kind = kinds[0]
    if get_origin(kind) is Literal:
        return ChoiceField(get_args(kind))
    if get_origin(kind) in (tuple, list):
        return ListField(get_args(kind)[0] if get_args(kind) else str)
    if kind is bool:
        return SwitchField()
    if float in kinds or int in kinds:
        return NumberField(parameter, float if float in kinds else int, exclusive)
    return TextField()


def _alternatives(annotation: Any) -> tuple[list[Any], bool]:
    """The kinds a field may hold, and whether None is one of them."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds, len(kinds) < len(get_args(annotation))
    return [annotation], False
