"""magicgui widgets for the parameters of a step.

`widget_for` has magicgui make the widget that fits a parameter's annotation,
with its limits, label and tooltip. Check boxes, integers and choices are
magicgui's own. Ours are registered in a type map of our own, so that other
plugins' forms stay as they are: numbers with a unit that are not rounded to two
decimals, text that counts when it is complete, lists separated by commas, and
any of them with an "auto" box where None is allowed.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin

from magicgui.backends._qtpy.widgets import LineEdit, QBaseRangedWidget
from magicgui.type_map import TypeMap
from magicgui.widgets import CheckBox
from magicgui.widgets.bases import BaseValueWidget, RangedWidget, ValuedContainerWidget, ValueWidget
from qtpy.QtCore import QEvent, QLocale, QObject, QSize, Qt
from qtpy.QtGui import QIntValidator, QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)
from superqt import QLargeIntSpinBox

from napari_diptomo.series import InputError, Parameter, Source, Step

_INT_LIMIT = 2**31 - 1
_FLOAT_LIMIT = 1e12
_WORDS = {
    'tv': 'TV',
    'haadf': 'HAADF',
    'edx': 'EDX',
    'eels': 'EELS',
    'lr': 'learning rate',
    'ema': 'averaging',
    'std': 'spread',
}


class _FloatBox(QDoubleSpinBox):
    """A spin box that writes 0.0003 and 1e-07 instead of rounding them to 0.00."""

    _number = re.compile(r'\s*[-+]?\d*\.?\d*(e[-+]?\d*)?\s*', re.IGNORECASE)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setLocale(QLocale.c())
        self.setDecimals(12)

    def sizeHint(self) -> QSize:
        # A wide range must not ask for a wide dock.
        return super().sizeHint().boundedTo(QSize(180, 10_000))

    def textFromValue(self, value: float) -> str:
        return f'{value:.6g}'

    def valueFromText(self, text: str | None) -> float:
        try:
            return float(self._bare(text or ''))
        except ValueError:
            return self.value()

    def validate(self, text: str | None, position: int) -> tuple[Any, str, int]:
        text = text or ''
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


class _FloatBackend(QBaseRangedWidget):
    def __init__(self, **options: Any) -> None:
        super().__init__(_FloatBox, **options)


class FloatEdit(RangedWidget[float]):
    """A float with limits, which values beyond them are moved to, and a unit."""

    def __init__(self, unit: str = '', **options: Any) -> None:
        super().__init__(widget_type=_FloatBackend, **options)
        self._unit = unit
        if unit:
            self._show_unit()
            self.native.valueChanged.connect(self._show_unit)

    def _show_unit(self, *_: Any) -> None:
        one = self._unit == 'voxels' and self.native.value() == 1
        suffix = self._unit if self._unit == '°' else f' {"voxel" if one else self._unit}'
        if self.native.suffix() != suffix:
            self.native.setSuffix(suffix)

    def set_value(self, value: float) -> None:
        super().set_value(min(max(float(value), self.min), self.max))


class _TextBackend(LineEdit):
    """Reports a text when it is complete, not at every key."""

    _report: Callable[[str], None] | None = None

    def _mgui_bind_change_callback(self, callback: Callable[[str], None]) -> None:
        self._report = callback
        self._qwidget.editingFinished.connect(self._reported)

    def _mgui_set_value(self, value: Any) -> None:
        if str(value) != self._qwidget.text():
            self._qwidget.setText(str(value))
            self._reported()

    def _reported(self) -> None:
        if self._report is not None:
            self._report(self._qwidget.text())


#: A word of a list that needs no comma behind it.
_NAME = re.compile(r'[\w+]+')


class TextLine(ValueWidget[Any]):
    """Free text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget_type=_TextBackend, **options)
        # Files dropped here are meant for the dock.
        self.native.setAcceptDrops(False)

    def get_value(self) -> Any:
        return str(super().get_value()).strip()

    def set_value(self, value: Any) -> None:
        super().set_value('' if value is None else value)


class CommaList(TextLine):
    """Values separated by commas, plain names and numbers by blanks too; `changed` carries the text.

    What is more than a name, as an edge with its range or a path, keeps its blanks.
    """

    def __init__(self, kind: type = str, **options: Any) -> None:
        self._kind = kind
        super().__init__(**options)
        self.native.setPlaceholderText('separated by commas')

    def get_value(self) -> tuple[Any, ...]:
        text = super().get_value()
        try:
            return tuple(self._kind(word) for part in re.split(r'[,;]', text) for word in self._words(part))
        except ValueError:
            raise InputError(f'"{text}" is not a list of numbers; separate them by commas.') from None

    def _words(self, part: str) -> list[str]:
        words = part.split()
        if self._kind is not str or all(_NAME.fullmatch(word) for word in words):
            return words
        return [part.strip()]

    def set_value(self, value: Any) -> None:
        super().set_value(', '.join(f'{word:g}' if isinstance(word, float) else str(word) for word in value or ()))


class AutoEdit(ValuedContainerWidget[Any]):
    """Any editor with an "auto" box in front: ticked, the value is None and the editor out of sight.

    A number that must lie above its minimum, and that nothing proposes, is none until it is typed: in place of the minimum
    the editor shows that it waits, and the value is an `InputError`.
    """

    def __init__(self, inner: BaseValueWidget[Any], waits: bool = False, **options: Any) -> None:
        self.inner = inner
        self._waits = waits
        if waits:
            inner.native.setSpecialValueText('not given')
        self.auto = CheckBox(text='auto', value=True)
        super().__init__(layout='horizontal', labels=False, nullable=True, widgets=[self.auto, inner], **options)
        self.margins = (0, 0, 0, 0)
        inner.visible = False
        if inner.native.sizePolicy().horizontalPolicy() is QSizePolicy.Policy.Fixed:
            self.native.layout().addStretch(1)
        self.auto.changed.connect(self._toggled)
        inner.changed.connect(self._inner_changed)
        self.native.setFocusProxy(self.auto.native)

    def get_value(self) -> Any:
        if self.auto.value:
            return None
        if self._waits and self.inner.native.value() == self.inner.native.minimum():
            raise InputError(f'{self.label} is not given: type a number, or tick auto.')
        return self.inner.value

    def set_value(self, value: Any) -> None:
        self.auto.value = value is None
        self.inner.visible = value is not None
        if value is not None:
            self.inner.value = value

    def propose(self, value: Any) -> None:
        """The value that is shown first when the box is unticked."""
        if self.auto.value:
            with self.inner.changed.blocked():
                self.inner.value = value

    def _toggled(self, auto: bool) -> None:
        self.inner.visible = not auto
        self.changed.emit(None)

    def _inner_changed(self) -> None:
        self.changed.emit(None)


#: magicgui's widgets, and ours where it has none; a copy, for the map itself belongs to all plugins.
FORM_TYPES = TypeMap.global_instance().copy()
FORM_TYPES.register_type(float, widget_type=FloatEdit)
FORM_TYPES.register_type(str, widget_type=TextLine)
FORM_TYPES.register_type(tuple[str, ...], widget_type=CommaList, kind=str)
FORM_TYPES.register_type(tuple[int, ...], widget_type=CommaList, kind=int)
FORM_TYPES.register_type(tuple[float, ...], widget_type=CommaList, kind=float)


class _WheelGuard(QObject):
    """Scrolling the page must not change a value that the pointer happens to pass."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel or not isinstance(watched, QWidget):
            return False
        if watched.hasFocus():
            return False
        event.ignore()
        return True


def widget_for(parameter: Parameter, exclusive: tuple[bool, bool] = (False, False)) -> BaseValueWidget[Any]:
    """The magicgui widget for a parameter of a step.

    Parameters
    ----------
    parameter : Parameter
        As `Step.parameters` gives it.
    exclusive : tuple of bool
        Whether the minimum and the maximum themselves are forbidden.
    """
    kinds, optional = _alternatives(parameter.annotation)
    # An integer is a float, but not the other way round.
    kind = float if float in kinds else kinds[0]
    names: dict[str, Any] = {'name': parameter.name, 'label': label_of(parameter)}
    widget: Any = FORM_TYPES.create_widget(annotation=kind, options=_options(parameter, kind, exclusive), **names)
    settle(widget.native)
    if isinstance(widget, CheckBox):
        # Its label stands in front of it like all others.
        widget.text = ''
    if optional:
        widget = AutoEdit(widget, waits=kind is float and exclusive[0], **names)
        if parameter.typical is not None:
            widget.propose(kind(parameter.typical))
    widget.tooltip = tooltip(parameter)
    native: QWidget = widget.native
    for part in (native, *native.findChildren(QWidget)):
        part.setToolTip(widget.tooltip)
        part.setAccessibleName(widget.label)
    return widget


def _options(parameter: Parameter, kind: Any, exclusive: tuple[bool, bool]) -> dict[str, Any]:
    if kind not in (int, float):
        return {}
    limit = _INT_LIMIT if kind is int else _FLOAT_LIMIT
    nudge = 1 if kind is int else 1e-12
    low = -limit if parameter.minimum is None else parameter.minimum
    high = limit if parameter.maximum is None else parameter.maximum
    limits = {'min': kind(low + nudge * exclusive[0]), 'max': kind(high - nudge * exclusive[1])}
    return {**limits, 'step': 1} if kind is int else {**limits, 'unit': parameter.unit}


def settle(native: QWidget) -> None:
    """Fit Qt's own boxes for a page that scrolls, in a narrow dock."""
    if isinstance(native, QAbstractSpinBox | QComboBox):
        native.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        native.installEventFilter(_WheelGuard(native))
        native.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    if isinstance(native, QAbstractSpinBox):
        native.setKeyboardTracking(False)
        native.setMinimumWidth(90)
    if isinstance(native, QLargeIntSpinBox):
        # Its own validator lets a lone minus through, on which it raises.
        line: Any = native.lineEdit()
        line.setValidator(QIntValidator(native.minimum(), native.maximum(), native))


def source_parameters() -> tuple[Parameter, ...]:
    """The fields of a `Source`, which is no step but declares them like one."""
    parameters: Any = Step.parameters
    return tuple(parameters.__func__(Source))


def form_rows() -> QFormLayout:
    """Rows for `add_row`: unlike magicgui's own, one column of labels, check boxes included, and rows that can be hidden."""
    rows = QFormLayout()
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
    return rows


def add_row(rows: QFormLayout, widget: BaseValueWidget[Any], browse: bool = False) -> None:
    """The widget behind its label; with ``browse`` a button beside it that asks for a file."""
    label = QLabel(widget.label)
    label.setBuddy(widget.native)
    label.setToolTip(widget.tooltip or '')
    label.setAccessibleName(widget.label)
    if not browse:
        rows.addRow(label, widget.native)
        return
    beside = QWidget()
    row = QHBoxLayout(beside)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(widget.native, 1)
    row.addWidget(_browse_button(widget))
    rows.addRow(label, beside)


def _browse_button(widget: BaseValueWidget[Any]) -> QPushButton:
    button = QPushButton('Browse…')
    button.setAccessibleName(f'Browse for {widget.label}')
    button.setToolTip('<qt>Choose the file.</qt>')

    def choose() -> None:
        several = isinstance(widget, CommaList)
        ask = QFileDialog.getOpenFileNames if several else QFileDialog.getOpenFileName
        found, _ = ask(button, widget.label)
        if found:
            widget.value = found

    button.clicked.connect(choose)
    return button


def _alternatives(annotation: Any) -> tuple[list[Any], bool]:
    """The kinds a parameter may hold, and whether None is one of them."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds, len(kinds) < len(get_args(annotation))
    return [annotation], False


def label_of(parameter: Parameter) -> str:
    """In front of the control of a parameter."""
    return parameter.label or pretty(parameter.name)


def pretty(name: str) -> str:
    """``'tv_weight'`` -> ``'TV weight'``."""
    words = [_WORDS.get(word, word) for word in name.split('_')]
    text = ' '.join(words)
    return text[:1].upper() + text[1:]


def tooltip(parameter: Parameter) -> str:
    """The description, the range and the default, wrapped by Qt."""
    parts = [parameter.description]
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        parts.append(f'Range {low:g} to {high:g}.')
    elif low is not None:
        parts.append(f'At least {low:g}.')
    elif high is not None:
        parts.append(f'At most {high:g}.')
    if parameter.default not in (None, (), ''):
        parts.append(f'Default {parameter.default}{parameter.suffix}.')
    return '<qt>' + ' '.join(part for part in parts if part) + '</qt>'
