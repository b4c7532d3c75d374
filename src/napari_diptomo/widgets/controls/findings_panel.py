"""Findings beneath the page in front: level, sentence, and the button that applies the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from qtpy.QtCore import QPointF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

import napari_diptomo
from napari_diptomo.series import Finding, Remedy, by_weight
from napari_diptomo.widgets.controls.form_widgets import label_of, pretty
from napari_diptomo.widgets.controls.painting import painting
from napari_diptomo.widgets.controls.parts import words

#: On a light and on a dark theme.
COLOURS = {'note': '#5b8def', 'doubt': '#e0a100', 'stop': '#b3261e'}
_MARK = 16
#: End of the names of evidence in degrees.
_DEGREES = ', deg'
#: Corners of the signs in a square of one: a triangle, an octagon; a note has a circle.
_CORNERS = {
    'doubt': ((0.5, 0.04), (1.0, 0.94), (0.0, 0.94)),
    'stop': ((0.3, 0), (0.7, 0), (1, 0.3), (1, 0.7), (0.7, 1), (0.3, 1), (0, 0.7), (0, 0.3)),
}


@dataclass(frozen=True)
class Shown:
    """A finding as the panel shows it.

    Attributes
    ----------
    finding : Finding
    where : str
        Page that it comes from, empty where that is the page in front.
    offered : bool
        Whether a page can apply its remedy.
    """

    finding: Finding
    where: str = ''
    offered: bool = False


class FindingsPanel(QScrollArea):
    """The findings of one result, the gravest first; hidden when there are none.

    It is as high as its text, at most `set_limit`, and scrolls beyond that.

    Signals
    -------
    remedy(Remedy)
        The button of this remedy was pressed.
    """

    remedy = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[FindingRow] = []
        self._shown: tuple[Shown, ...] = ()
        self._limit = 160
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.setAccessibleName('Findings')
        self.setVisible(False)

    def show_findings(self, shown: Iterable[Shown], enabled: bool = True) -> None:
        """Show these in place of those before; ``enabled``: remedies can be applied now."""
        shown = list(shown)
        order = by_weight(one.finding for one in shown)
        sorted_ones = tuple(next(one for one in shown if one.finding == finding) for finding in order)
        if sorted_ones != self._shown:
            self._shown = sorted_ones
            self._build()
        for row in self.rows:
            if row.button is not None:
                row.button.setEnabled(enabled)
        self.setVisible(bool(self.rows))

    def set_limit(self, height: int) -> None:
        """The most pixels that it may take."""
        self._limit = height
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        return QSize(self.width(), min(self._whole(), self._limit))

    def minimumSizeHint(self) -> QSize:
        return QSize(0, min(self.sizeHint().height(), 3 * self.fontMetrics().height()))

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._choose_bar()
        if event.size().width() != event.oldSize().width():
            # Text in fewer or more lines.
            self.updateGeometry()

    def _build(self) -> None:
        self.rows = [FindingRow(one) for one in self._shown]
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(7, 0, 7, 0)
        column.setSpacing(3)
        for row in self.rows:
            row.remedy.connect(self.remedy)
            column.addWidget(row)
        before = self.takeWidget()
        if before is not None:
            # Not at once: one of its buttons may be what is being pressed.
            before.deleteLater()
        self.setWidget(inner)
        bar: Any = self.verticalScrollBar()
        bar.setValue(0)
        self._choose_bar()
        self.updateGeometry()

    def _whole(self) -> int:
        """Height of everything, without a scroll bar."""
        inner, frame = self.widget(), 2 * self.frameWidth()
        return 0 if inner is None else inner.heightForWidth(self.width() - frame) + frame

    def _choose_bar(self) -> None:
        # Left to Qt the bar stays for the lines that it wraps itself.
        policy = Qt.ScrollBarPolicy
        fits = self._whole() <= self.height()
        self.setVerticalScrollBarPolicy(policy.ScrollBarAlwaysOff if fits else policy.ScrollBarAsNeeded)


class FindingRow(QFrame):
    """One finding: its sign, its words, and below them the button where there is a remedy."""

    remedy = Signal(object)

    def __init__(self, shown: Shown, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        finding = shown.finding
        self.finding = finding
        self.setObjectName('finding')
        self.setStyleSheet(_frame_style(finding.level))
        self.text = words(_sentence(shown))
        # Its left edge is that of the button.
        self.text.setIndent(0)
        self.button: QPushButton | None = None
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addWidget(self.text)
        if finding.remedy is not None and shown.offered:
            self.button = self._button(finding.remedy)
            column.addWidget(self.button, alignment=Qt.AlignmentFlag.AlignLeft)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 3, 6, 3)
        row.setSpacing(8)
        row.addWidget(Sign(finding.level), alignment=Qt.AlignmentFlag.AlignTop)
        row.addLayout(column, 1)
        self.setToolTip(evidence(finding))

    def _button(self, remedy: Remedy) -> QPushButton:
        button = QPushButton(remedy.label.replace('&', '&&'))
        button.setToolTip(f'<qt>{escape(_capital(str(remedy)))}. Nothing is computed before you start it.</qt>')
        # A long label is cut rather than the dock widened.
        button.setMinimumWidth(40)
        button.clicked.connect(self._pressed)
        return button

    def _pressed(self) -> None:
        self.remedy.emit(self.finding.remedy)


class Sign(QWidget):
    """Circle, triangle or octagon, so that the level is not shown by colour alone."""

    def __init__(self, level: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._level = level
        self.setFixedSize(_MARK, _MARK)
        self.setAccessibleName(level)

    def paintEvent(self, event: Any) -> None:
        with painting(self) as painter:
            self._draw(painter)

    def _draw(self, painter: QPainter) -> None:
        stop = self._level == 'stop'
        painter.setBrush(QColor('white' if stop else COLOURS[self._level]))
        painter.setPen(Qt.PenStyle.NoPen)
        corners = _CORNERS.get(self._level)
        if corners is None:
            painter.drawEllipse(0, 0, _MARK, _MARK)
        else:
            painter.drawPolygon(QPolygonF([QPointF(x * _MARK, y * _MARK) for x, y in corners]))
        painter.setPen(QPen(QColor(COLOURS['stop'] if stop else 'white' if self._level == 'note' else 'black'), 2))
        self._draw_letter(painter)

    def _draw_letter(self, painter: QPainter) -> None:
        middle = _MARK / 2
        # An exclamation mark; upside down it is the i of a note.
        stroke, dot = (0.28, 0.58), 0.76
        if self._level == 'doubt':
            stroke, dot = (0.36, 0.62), 0.8
        elif self._level == 'note':
            stroke, dot = (0.46, 0.76), 0.26
        painter.drawLine(QPointF(middle, stroke[0] * _MARK), QPointF(middle, stroke[1] * _MARK))
        painter.drawPoint(QPointF(middle, dot * _MARK))


def evidence(finding: Finding) -> str:
    """The numbers behind a finding and the step that found it, for its tooltip."""
    rows = [
        f'<tr><td>{escape(name.removesuffix(_DEGREES).replace("_", " "))}</td>'
        f'<td>&nbsp;&nbsp;{value:.4g}{"°" if name.endswith(_DEGREES) else ""}</td></tr>'
        for name, value in finding.evidence.items()
    ]
    table = f'<table>{"".join(rows)}</table>' if rows else ''
    step = f'Found by {escape(finding.step.rpartition(":")[2])}.' if finding.step else ''
    return f'<qt>{table}{step}</qt>' if table or step else ''


def in_words(remedy: Remedy) -> str:
    """The changes of a remedy by the labels of the form: ``'Held-out fraction: 0.1.'``"""
    kind: Any = getattr(napari_diptomo, remedy.step, None)
    parameters = kind.parameters() if hasattr(kind, 'parameters') else ()
    labels = {parameter.name: label_of(parameter) for parameter in parameters}
    values = {True: 'on', False: 'off', None: 'auto'}
    parts = []
    for name, value in remedy.changes.items():
        shown = ', '.join(map(str, value)) if isinstance(value, list) else str(value)
        known = isinstance(value, bool) or value is None
        parts.append(f'{labels.get(name) or pretty(name)}: {values[value] if known else shown}')
    return f'{"; ".join(parts) or remedy.label}.'


def _sentence(shown: Shown) -> str:
    finding = shown.finding
    where = f' in {shown.where}' if shown.where else ''
    return f'<b>{_capital(finding.level)}{escape(where)}: {escape(finding.about)}.</b> {escape(finding.sentence)}'


def _frame_style(level: str) -> str:
    colour = COLOURS[level]
    if level == 'stop':
        return f'#finding {{background: {colour}; border-left: 3px solid {colour}}} #finding > QLabel {{color: white}}'
    return f'#finding {{background: rgba(128, 128, 128, 40); border-left: 3px solid {colour}}}'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
