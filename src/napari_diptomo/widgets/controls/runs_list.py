"""The runs of the session as a list: choose one to see how it went, to save it or to discard it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_diptomo.widgets.run import Run, RunStatus
from napari_diptomo.widgets.tasks.duration_estimate import duration
from napari_diptomo.widgets.volume_runs import VolumeRuns

_COLUMNS = ('Run', 'Method', 'Status', 'Begun', 'Time')
_METHOD, _STATUS = 1, 2
_MOST_ROWS = 5


class RunsList(QTableWidget):
    """A row per run, the latest on top.

    Signals
    -------
    chosen(Run)
        The user has chosen another one.
    """

    chosen = Signal(object)
    #: Looking at another run disturbs none that runs.
    never_frozen = True

    def __init__(self, runs: VolumeRuns, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_COLUMNS), parent)
        self._runs = runs
        self._rows: list[Run] = []
        self._filling = False
        self.setHorizontalHeaderLabels(_COLUMNS)
        header: Any = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_METHOD, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        lines: Any = self.verticalHeader()
        lines.setVisible(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setAccessibleName('Runs')
        self.setToolTip('<qt>Choose a run to see its volume, its convergence and its findings.</qt>')
        self.itemSelectionChanged.connect(self._selected)
        self.refresh()

    def refresh(self) -> None:
        """List the runs as they are now."""
        self._filling = True
        try:
            self._rows = list(self._runs)[::-1]
            self.setRowCount(len(self._rows))
            for row, run in enumerate(self._rows):
                for column, text in enumerate(_texts(run)):
                    item = QTableWidgetItem(text)
                    item.setToolTip(f'<qt>{run.error}</qt>' if run.error else '')
                    self.setItem(row, column, item)
            chosen = self._runs.chosen
            if chosen in self._rows:
                self.selectRow(self._rows.index(chosen))
            else:
                self.clearSelection()
        finally:
            self._filling = False
        self._fit_height()

    def _selected(self) -> None:
        rows = {index.row() for index in self.selectedIndexes()}
        if rows and not self._filling:
            self.chosen.emit(self._rows[min(rows)])

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        # Rows and heading get the height of the style only now.
        self._fit_height()

    def _fit_height(self) -> None:
        count = self.rowCount()
        rows = sum(self.rowHeight(row) for row in range(min(count, _MOST_ROWS)))
        few = count <= _MOST_ROWS
        off, needed = Qt.ScrollBarPolicy.ScrollBarAlwaysOff, Qt.ScrollBarPolicy.ScrollBarAsNeeded
        self.setVerticalScrollBarPolicy(off if few else needed)
        header: Any = self.horizontalHeader()
        self.setFixedHeight(header.sizeHint().height() + rows + 2 * self.frameWidth())


def _texts(run: Run) -> tuple[str, ...]:
    lasted = '' if run.status is RunStatus.RUNNING or run.seconds <= 0 else duration(run.seconds)
    return str(run.number), run.title, run.status.value, run.begun.strftime('%H:%M'), lasted
