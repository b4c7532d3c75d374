"""Two runs side by side and their difference, on the page Judge."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_diptomo.series import InputError
from napari_diptomo.widgets.controls.combo_boxes import compact_box, labelled
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.layers.compared_layers import ComparedLayers, agreement
from napari_diptomo.widgets.notifications import say_error
from napari_diptomo.widgets.run import Run
from napari_diptomo.widgets.session import Session

_START, _END = 'Side &by side', 'End comparison (&b)'


class ComparePart(Part):
    """The run to compare the chosen one with, and a button that shows both.

    Parameters
    ----------
    session : Session
        Has the runs and the viewer.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._layers = ComparedLayers(session.viewer)
        self._shown: tuple[Run, Run] | None = None
        self.body.addWidget(heading('Two runs'))
        self.other = compact_box(
            'Compare with',
            'The other run. Both are shown side by side with one camera, and the difference beside them, an element at a time.',
        )
        self.start = QPushButton(_START)
        self.start.setToolTip(
            '<qt>From left to right: the chosen run, the other one, the first less the second (blue less, orange more).</qt>'
        )
        self.start.clicked.connect(self._toggle)
        self.body.addLayout(labelled('Compare with', self.other))
        row = QHBoxLayout()
        row.addWidget(self.start)
        row.addStretch(1)
        self.body.addLayout(row)
        self.note = words('')
        self.note.hide()
        self.body.addWidget(self.note)
        self.refresh()

    def refresh(self) -> None:
        """List the runs that there are; end a comparison of one that is gone or not the chosen one any more."""
        chosen = self._session.runs.chosen
        others = [run for run in self._session.runs if run is not chosen and run.volume is not None]
        if self._shown is not None and (self._shown[0] is not chosen or self._shown[1] not in others):
            self.end()
        kept = self.other.currentText()
        self.other.clear()
        for run in others:
            self.other.addItem(run.name, run)
        self.other.setCurrentIndex(max(self.other.findText(kept), 0))
        self.setVisible(bool(others) and chosen is not None and chosen.volume is not None)

    def end(self) -> None:
        """One run is seen again."""
        self._layers.end()
        self._shown = None
        self.start.setText(_START)
        self.other.setEnabled(True)
        self.note.hide()

    def _toggle(self) -> None:
        if self._shown is not None:
            self.end()
            return
        runs, first, second = self._session.runs, self._session.runs.chosen, self.other.currentData()
        if first is None or second is None or first.volume is None or second.volume is None:
            return
        try:
            layers = [runs.channel_layers(run) for run in (first, second)]
            self._layers.show(first.volume, layers[0], second.volume, layers[1])
        except InputError as error:
            say_error(str(error))
            return
        self._shown = (first, second)
        self.start.setText(_END)
        self.other.setEnabled(False)
        self.note.setText(f'{first.name} | {second.name} | difference. {agreement(first.volume, second.volume)}')
        self.note.show()
