"""The standards of an EELS series: where they come from, pure pixels to look at and edit, save and load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.layers.pure_regions import PureRegions
from napari_diptomo.widgets.notifications import say_error
from napari_diptomo.widgets.pages.eels_sentences import describe_standards
from napari_diptomo.widgets.pages.page import Context
from napari_diptomo.widgets.tasks.eels_spectra import drawing_standards, saving_standards
from napari_diptomo.widgets.tasks.question import Question

if TYPE_CHECKING:
    from napari_diptomo.spectra.eels.explained_losses import ExplainedEELS

_FILES = 'Standards (*.npz);;All files (*)'
_WAITING = 'The standards are being found in the core loss…'


class StandardsBox(Part):
    """Describes the standards and lets the user keep, load, and correct them.

    Signals
    -------
    chosen(str)
        Take the standards of this file; empty: of this series.
    """

    chosen = Signal(str)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._series: SpectralTiltSeries | None = None
        self._step: Any = None
        self._found: ExplainedEELS | None = None
        self.regions = PureRegions(context.viewer, self)
        self.regions.shown.connect(self._regions_shown)
        self._writer = Question(self)
        self._writer.answered.connect(self._written)
        self._writer.failed.connect(self._not_written)
        self.note = words(_WAITING)
        self.show_pure = QPushButton('Pur&e pixels')
        self.show_pure.setCheckable(True)
        self.show_pure.toggled.connect(self._toggle_regions)
        self.use_painted = QPushButton('Use what &is painted…')
        self.use_painted.clicked.connect(self._use_painted)
        self.save = QPushButton('&Save…')
        self.save.clicked.connect(self._save)
        self.load = QPushButton('L&oad…')
        self.load.clicked.connect(self._load)
        self.own = QPushButton('F&rom this series')
        self.own.clicked.connect(self._use_own)
        tips = {
            self.show_pure: 'Shows, as a layer, where the core loss finds one oxide only. Paint in it to correct it: 1 is '
            'the first oxide, 2 the second, 0 takes a pixel out.',
            self.use_painted: 'Makes standards with the painted pixels as pure, keeps them in a file, and fits with them.',
            self.save: 'Keep the standards in a file, for other series of the same oxides.',
            self.load: 'Fit with standards that were saved before: a series needs no core loss then.',
            self.own: 'Find the standards in the core loss of this series again.',
        }
        for button, tip in tips.items():
            button.setToolTip(f'<qt>{tip}</qt>')
        self.body.addWidget(heading('Standards'))
        self.body.addWidget(self.note)
        for buttons in ((self.show_pure, self.save, self.load), (self.use_painted, self.own)):
            row = QHBoxLayout()
            for button in buttons:
                row.addWidget(button)
            row.addStretch(1)
            self.body.addLayout(row)
        self.set_series(None)

    @property
    def busy(self) -> bool:
        """Whether a file is being written."""
        return self._writer.busy

    def set_series(self, series: SpectralTiltSeries | None) -> None:
        """Another series is open."""
        self._series, self._found = series, None
        self._writer.forget()
        self.regions.set_series(series)
        self.note.setText(_WAITING)
        self._enable()

    def set_step(self, step: Any) -> None:
        """The step whose standards these are."""
        self._step = step
        self.own.setVisible(bool(step.standards))

    def set_found(self, found: ExplainedEELS | None, why: str = '') -> None:
        """Show what was found in the spectrum, or why there is nothing."""
        self._found = found
        if found is None:
            self.note.setText(why or _WAITING)
        else:
            self.note.setText(found.why_not or describe_standards(found))
        self._enable()

    def cleanup(self) -> None:
        """Let go of the viewer and of what is written."""
        self._writer.cleanup()
        self.regions.cleanup()

    def _enable(self) -> None:
        found = self._found
        pure = found is not None and any(np.any(mask) for mask in found.pure.values())
        self.show_pure.setEnabled(pure or self.regions.layer is not None)
        self.use_painted.setVisible(self.regions.layer is not None)
        self.save.setEnabled(found is not None and found.standards is not None)

    def _toggle_regions(self, shown: bool) -> None:
        if not shown:
            self.regions.remove()
        elif self.regions.layer is None and self._found is not None:
            self.regions.show(self._found.pure)
            self.regions.edit()

    def _regions_shown(self, shown: bool) -> None:
        self.show_pure.setChecked(shown)
        self._enable()

    def _use_painted(self) -> None:
        try:
            masks = self.regions.masks()
        except InputError as error:
            say_error(str(error))
            return
        path = self._new_file()
        if path and self._series is not None:
            self.note.setText('Making standards of the painted pixels…')
            self._writer.ask(drawing_standards(self._series, self._step, masks, path))

    def _save(self) -> None:
        path = self._new_file()
        if path and self._found is not None and self._found.standards is not None:
            self._writer.ask(saving_standards(self._found.standards, path))

    def _written(self, written: tuple[str, bool]) -> None:
        path, use = written
        if use:
            self.chosen.emit(path)
        else:
            self.note.setText(f'Saved as {Path(path).name}.')

    def _not_written(self, why: str) -> None:
        self.set_found(self._found)
        say_error(why)

    def _load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, 'Standards', self._folder(), _FILES)
        if path:
            self.chosen.emit(path)

    def _use_own(self) -> None:
        self.chosen.emit('')

    def _new_file(self) -> str:
        suggested = str(Path(self._folder()) / 'standards.npz')
        return str(QFileDialog.getSaveFileName(self, 'Save standards', suggested, _FILES)[0])

    def _folder(self) -> str:
        return str(self._context.last_used.value('folder', ''))
