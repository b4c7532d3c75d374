"""The bar below the pages: the page's button, and how the running job gets on."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QHBoxLayout, QMenu, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_diptomo.jobs import Stage
from napari_diptomo.series import Progress
from napari_diptomo.widgets.controls.parts import words
from napari_diptomo.widgets.tasks.duration_estimate import Pace, duration

#: Stages that go from tilt to tilt.
_TILTS = (
    *('Calibrate', 'Denoise', 'Edge maps', 'EELS MLLS maps', 'EELS oxidation maps', 'EELS white lines'),
    *('Elements', 'Spectrum', 'Sum spectrum', 'Totals'),
)
#: What a stage counts, where it is no iteration.
_UNITS = dict.fromkeys(_TILTS, 'tilt') | {'Movie': 'frame'}
_PAUSE, _RESUME = 'Pa&use', 'Res&ume'


class RunBar(QWidget):
    """Run, Pause, Stop and keep, Cancel; iteration, pace, time to go.

    Signals
    -------
    run, pause, resume, finish, cancel, ask, next, open_project, save_project, save_project_as
        What the user wants; ``ask``: to be asked what shall become of the job (Esc).
    """

    run = Signal()
    pause = Signal()
    resume = Signal()
    finish = Signal()
    cancel = Signal()
    ask = Signal()
    next = Signal()
    open_project = Signal()
    save_project = Signal()
    save_project_as = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.run_button = _button('', 'Start this stage.', self.run)
        self.next_button = _button('Ne&xt', 'Open the next stage.', self.next)
        self.pause_button = QPushButton(_PAUSE)
        self.pause_button.setToolTip('Suspend the run after the present iteration; press again to continue.')
        self.pause_button.setCheckable(True)
        self.pause_button.toggled.connect(self._pause_toggled)
        self.finish_button = _button('Stop && &keep', 'Stop now and keep the best result so far.', self.finish)
        self.cancel_button = _button('&Cancel', 'Stop now and keep nothing. Esc asks before it does.', self.cancel)
        self.project_button = self._project_menu()
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.status = words('')
        self._obstacle = ''
        self._ways_out = QWidget()
        self._lay_out()
        self._escape = QShortcut(QKeySequence('Escape'), self)
        self._escape.activated.connect(self.ask)
        self.set_running(False)

    def set_action(self, text: str, obstacle: str, onward: bool) -> None:
        """Name the button; an obstacle disables it and is written above; ``onward``: the next stage is open."""
        self.next_button.setEnabled(onward)
        self.run_button.setText(text)
        self._obstacle = obstacle
        self.run_button.setEnabled(not obstacle and not self._running)
        if not self._running:
            self.status.setText(obstacle)

    def set_running(self, running: bool, stoppable: bool = False) -> None:
        """Show what can be pressed.

        Parameters
        ----------
        running : bool
            A job runs.
        stoppable : bool
            It can pause and keep what it has.
        """
        self._running = running
        # Disabled and not hidden: nothing that ends a job ever stands where one is started.
        self.run_button.setEnabled(not running and not self._obstacle)
        self._escape.setEnabled(running)
        self._ways_out.setVisible(running)
        self.cancel_button.setEnabled(True)
        self.pause_button.blockSignals(True)
        self.pause_button.setChecked(False)
        self.pause_button.blockSignals(False)
        self.pause_button.setText(_PAUSE)
        for button in (self.pause_button, self.finish_button):
            button.setVisible(running and stoppable)
            button.setEnabled(True)
        self.bar.setVisible(running)
        self.bar.setRange(0, 0)
        self.bar.setFormat('')
        self._title = ''
        self._pace = Pace()

    def show_title(self, title: str) -> None:
        """A job begins."""
        self._title = title
        self.status.setText(f'{title}: starting…')

    def show_message(self, message: Any) -> None:
        """Follow a job's message."""
        if isinstance(message, Stage):
            self._title = message.title
            self._pace = Pace()
        elif isinstance(message, Progress):
            self._pace.add(message)
            self._show_progress(message)

    def show_paused(self, paused: bool) -> None:
        """The job was suspended before this bar was there."""
        if paused:
            self.pause_button.blockSignals(True)
            self.pause_button.setChecked(True)
            self.pause_button.blockSignals(False)
            self.pause_button.setText(_RESUME)
            self.status.setText(f'{self._title}: paused')

    def show_stopping(self, what: str) -> None:
        """The user has pressed; it takes effect in a moment."""
        for button in (self.pause_button, self.finish_button):
            button.setEnabled(False)
        self.status.setText(what)

    def show_note(self, text: str) -> None:
        """A sentence that stays until the next."""
        self.status.setText(text)

    def _show_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, max(progress.total, 1))
        self.bar.setValue(progress.iteration)
        counted = unit(progress) if progress.total == 1 else f'{unit(progress)}s'
        self.bar.setFormat(f'{progress.iteration} / {progress.total} {counted}')
        if self.pause_button.isChecked() or not self.finish_button.isEnabled():
            return
        self.status.setText(pace(progress, self._pace.seconds()))

    def _pause_toggled(self, paused: bool) -> None:
        self.pause_button.setText(_RESUME if paused else _PAUSE)
        if paused:
            self.status.setText(f'{self._title}: paused')
            self.pause.emit()
        else:
            self.resume.emit()

    def _project_menu(self) -> QPushButton:
        button = QPushButton('Pro&ject')
        button.setToolTip('<qt>Save everything on these pages as a project folder, or take one up again.</qt>')
        menu = QMenu(button)
        for text, signal in (
            ('&Open project…', self.open_project),
            ('&Save project', self.save_project),
            ('Save project &as…', self.save_project_as),
        ):
            action: Any = menu.addAction(text)
            action.triggered.connect(signal)
        button.setMenu(menu)
        return button

    def _lay_out(self) -> None:
        running = QHBoxLayout(self._ways_out)
        running.setContentsMargins(0, 0, 0, 0)
        for button in (self.pause_button, self.finish_button, self.cancel_button):
            running.addWidget(button)
        row = QHBoxLayout()
        for button in (self.run_button, self.next_button, self.project_button):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 2, 8, 6)
        column.addWidget(self.bar)
        column.addWidget(self.status)
        # Above, so that what is always there does not move when they come and go.
        column.addWidget(self._ways_out)
        column.addLayout(row)


def pace(progress: Progress, seconds: float | None = None) -> str:
    """``'DIPm-TV: 0.41 s per iteration, 2 min to go'``; no numbers before the pace, seconds per iteration, is known."""
    parts = [progress.message] if progress.message else []
    if seconds:
        parts.append(f'{in_seconds(seconds)} per {unit(progress)}')
        if progress.iteration < progress.total:
            parts.append(f'{duration(seconds * (progress.total - progress.iteration))} to go')
    elif progress.iteration:
        parts.append(f'{unit(progress)} {progress.iteration} of {progress.total}')
    return f'{progress.stage}: {", ".join(parts)}' if parts else progress.stage


def unit(progress: Progress) -> str:
    """Unit that a stage counts: ``'iteration'``, ``'tilt'``, ``'frame'``, ``'step'``."""
    return _UNITS.get(progress.stage, 'iteration' if progress.losses else 'step')


def in_seconds(seconds: float) -> str:
    """``'0.41 s'``, ``'12 ms'``, ``'under 1 ms'``."""
    if seconds < 1e-3:
        return 'under 1 ms'
    return f'{seconds * 1e3:.0f} ms' if seconds < 0.1 else f'{seconds:.2g} s'


def _button(text: str, tip: str, pressed: Any) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(pressed)
    return button
