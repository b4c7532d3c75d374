"""The session of a viewer: its data, its runs, the task that runs, the settings of the pages.

A session lives as long as its viewer. The dock only shows it: closing the dock
ends no job and forgets nothing, and a dock that is opened again finds all of
it. In a window Qt keeps the session, as a child of the main window, and ends it
with that; without a window it lives as long as the dock does.

Data flow from stage to stage, and every stage's result invalidates what was
made from its predecessor. Runs are not among that: each keeps its volume until
it is discarded.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_diptomo.jobs import Noted, Stage
from napari_diptomo.series import MapSeries, Progress, Recipe, Source, SpectralTiltSeries, Volume
from napari_diptomo.series.tilts import angle_in_words
from napari_diptomo.widgets.layers.image_layers import method_of
from napari_diptomo.widgets.layers.maps_view import MapsView
from napari_diptomo.widgets.notifications import say, say_error
from napari_diptomo.widgets.preferences import preview_seconds
from napari_diptomo.widgets.run import ConvergencePoint, Run
from napari_diptomo.widgets.tasks.composition import Composed
from napari_diptomo.widgets.tasks.job import Job
from napari_diptomo.widgets.tasks.task import Outcome, Task
from napari_diptomo.widgets.volume_runs import VolumeRuns

if TYPE_CHECKING:
    from napari_diptomo.spectra.edx.element_search import FoundElement
    from napari_diptomo.widgets.tasks.opening import Opened


#: Sessions by the identity of their viewer.
_sessions: weakref.WeakValueDictionary[int, Session] = weakref.WeakValueDictionary()


def session_of(viewer: ViewerModel) -> Session:
    """The session of a viewer, a new one where it has none."""
    # napari hands docks a proxy of the viewer, another one each time.
    key = id(getattr(viewer, '__wrapped__', viewer))
    session = _sessions.get(key)
    if session is None or session.over:
        session = _sessions[key] = Session(viewer)
    return session


class Session(QObject):
    """The data that flow through the dock, and the task that works on them.

    Signals
    -------
    changed
        Some result is new or gone, or another run is chosen.
    renewed
        Other data were opened: what was shown of the earlier ones is out of date.
    started(Task), message(object), frame(object, int), ended(Task, Outcome)
        A task begins; its messages and previews; it has ended.
    """

    changed = Signal()
    renewed = Signal()
    started = Signal(object)
    message = Signal(object)
    frame = Signal(object, int)
    ended = Signal(object, object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.over = False
        self.window: QWidget | None = None
        self.source = Source()
        self.series: SpectralTiltSeries | None = None
        self.spectrum: np.ndarray | None = None
        self.found: tuple[FoundElement, ...] = ()
        self.doubt = ''
        #: What was opened, with all tilts; the series or the maps are what of it is in use.
        self.whole: Opened | None = None
        self.maps: MapSeries | None = None
        self.aligned: MapSeries | None = None
        #: The latest composition or oxidation state.
        self.composition: Composed | Volume | None = None
        self.maps_view = MapsView(viewer)
        self.runs = VolumeRuns(viewer, self)
        self.runs.changed.connect(self.changed)
        #: The running task, None when idle.
        self.task: Task | None = None
        #: Whether a dock shows this session.
        self.dock_open = False
        #: Results that came while no dock was open; the next one shows them.
        self.waiting: list[tuple[Task, Outcome]] = []
        #: Values of the controls of the pages, by title; JSON-ready.
        self.settings: dict[str, Any] = {}
        #: Asks the dock for them while one is open.
        self.read_settings: Callable[[], dict[str, Any]] | None = None
        #: Writes the session to disk: a `Autosave`, which the first dock makes.
        self.autosave: Any = None
        #: Whether the series is the simulated sample, which has no files.
        self.sample = False
        #: Where the next run keeps its state; None where nothing is kept.
        self.checkpoints: Path | None = None

    def live_in(self, window: QWidget) -> None:
        """This is the viewer's window: the session ends with it."""
        if self.window is None:
            self.window = window
            self.setParent(window)
            window.destroyed.connect(self.end)

    def end(self) -> None:
        """The viewer goes: kill what runs, let go of everything; harmless when done twice."""
        if self.over:
            return
        self.over = True
        if self.autosave is not None:
            self.autosave.close()
        if self.task is not None:
            self.task.cleanup()
        self.maps_view.cleanup()
        self.runs.release()

    def new_checkpoint(self) -> Path | None:
        """Where the next run keeps its state; None where nothing is kept."""
        if self.checkpoints is None:
            return None
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return self.checkpoints / f'run-{self.runs.next_number}.pt'

    def present_settings(self) -> dict[str, Any]:
        """Values of the controls of the pages now."""
        return self.read_settings() if self.read_settings is not None else self.settings

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self.task is not None

    def start(self, job: Job, title: str, page: str = '', run: Run | None = None) -> None:
        """Run a job; there must be none running."""
        assert self.task is None, 'one task at a time'
        # Only a run has previews.
        seconds = 1.0 if run is None else preview_seconds() or 1.0
        task = self.task = Task(job, title, page, run, seconds, self)
        task.message.connect(self._follow)
        task.frame.connect(self._show_frame)
        task.ended.connect(self._ended)
        self.started.emit(task)
        task.start()

    def pause(self) -> None:
        """Suspend what runs."""
        if self.task is not None:
            self.task.pause()

    def resume(self) -> None:
        """Let what was suspended continue."""
        if self.task is not None:
            self.task.resume()

    def finish(self) -> None:
        """Stop what runs and keep the best it has."""
        if self.task is not None:
            self.task.finish()

    def cancel(self) -> None:
        """Stop what runs and keep nothing."""
        if self.task is not None:
            self.task.cancel()

    @property
    def volume(self) -> Volume | None:
        """The volume of the chosen run, None where it has none."""
        return None if self.runs.chosen is None else self.runs.chosen.volume

    @property
    def input_maps(self) -> MapSeries | None:
        """Input of a reconstruction: the aligned maps, else the maps as they are."""
        return self.aligned if self.aligned is not None else self.maps

    @property
    def angles(self) -> np.ndarray | None:
        """Tilts in degrees of whatever is open."""
        opened = self.series if self.series is not None else self.maps
        return None if opened is None else opened.angles

    @property
    def too_few_tilts(self) -> str:
        """Why what is open can be neither aligned nor reconstructed, one sentence; empty where it can."""
        if self.angles is None or len(self.angles) > 1:
            return ''
        return (
            'There is one tilt only: its maps can be made, looked at and saved, but a volume needs at least two tilts.'
        )

    @property
    def recipe(self) -> Recipe:
        """How the latest result was made."""
        for made in (self.volume, self.aligned, self.maps, self.series):
            if made is not None and made.recipe is not None:
                return made.recipe
        return Recipe(self.source)

    def set_series(
        self,
        series: SpectralTiltSeries,
        spectrum: np.ndarray,
        found: tuple[FoundElement, ...],
        doubt: str = '',
        whole: Opened | None = None,
    ) -> None:
        """A tilt series of spectra was opened, or other of its tilts are used.

        Parameters
        ----------
        series : SpectralTiltSeries
            The tilts in use.
        spectrum : ndarray (energy,)
            Its sum.
        found : tuple of FoundElement
            What the spectra seem to hold.
        doubt : str
            Why nothing can be found in them.
        whole : Opened, optional
            With all tilts.
        """
        self._forget()
        self.series, self.spectrum, self.found, self.doubt = series, spectrum, found, doubt
        self.whole = whole
        self.drop_volume()

    def set_ready_maps(self, maps: MapSeries, whole: Opened | None = None) -> None:
        """Maps were opened, not made from spectra; ``whole`` has all of their tilts."""
        self._forget()
        self.maps, self.whole = maps, whole
        self.drop_volume()

    def restore(
        self, opened: Opened | None, maps: MapSeries | None, aligned: MapSeries | None, sample: bool = False
    ) -> None:
        """All at once, as a project had it."""
        self._forget()
        self.sample = sample
        if opened is not None and isinstance(opened.data, SpectralTiltSeries):
            self.series, self.spectrum, self.found = opened.data, opened.spectrum, opened.found
            self.doubt = opened.doubt
            self.whole = opened.whole or opened
        self.maps, self.aligned = maps, aligned
        self.drop_volume()

    def set_result(self, result: Any) -> None:
        """A step ended well: maps without shifts found, aligned maps, or a volume."""
        if isinstance(result, Volume):
            known = next((run for run in self.runs if run.volume is result), None)
            if known is None:
                self.runs.add(result, method_of(result.recipe) or 'volume')
            else:
                self.runs.choose(known)
            return
        self.maps, self.aligned = result, None
        self.drop_volume()

    def set_aligned(self, maps: MapSeries) -> None:
        """The alignment ended well."""
        self.aligned = maps
        self.drop_volume()

    def set_judged(self, maps: MapSeries) -> None:
        """The same alignment with other scores and findings: what was made from it stays."""
        self.aligned = maps
        self.changed.emit()

    def drop_volume(self) -> None:
        """No run is chosen any more: what comes next is about other maps."""
        self.runs.choose(None)

    def _follow(self, message: Any) -> None:
        run = self.task.run if self.task is not None else None
        if run is not None and isinstance(message, Stage):
            run.convergence.clear()
        elif run is not None and isinstance(message, Progress):
            values = dict(message.losses)
            point = ConvergencePoint(
                message.iteration, values, message.validation, message.message, dict(message.by_channel)
            )
            run.convergence.append(point)
        elif run is not None and isinstance(message, Noted):
            run.noted.update(message.notes)
        self.message.emit(message)

    def _show_frame(self, frame: Any, iteration: int) -> None:
        self.runs.show(frame)
        self.frame.emit(frame, iteration)

    def _ended(self, outcome: Outcome) -> None:
        task, self.task = self.task, None
        if task is None:
            return
        if task.run is not None:
            self.runs.end(outcome)
        self.ended.emit(task, outcome)
        if self.dock_open:
            return
        # Nobody sees the bar: the news is shown in napari, the result is shown when the dock is there again.
        if outcome.error is not None:
            say_error(outcome.error)
        elif not outcome.cancelled:
            say(f'{outcome.title}: done. It is kept: open Plugins > Tomography (DIPm-TV tomography) again.')
        self.waiting.append((task, outcome))

    def _forget(self) -> None:
        self.series = self.spectrum = self.maps = self.aligned = self.whole = None
        self.sample = False
        self.found, self.doubt = (), ''
        self.renewed.emit()


def summary(angles: np.ndarray) -> str:
    """The tilts in one sentence: ``'16 tilts from -40° to 35°, steps of 5°, missing wedge 105°'``.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees, ascending.
    """
    if len(angles) == 1:
        return f'1 tilt at {angles[0]:g}°: a volume needs at least two'
    steps = np.diff(angles)
    if np.ptp(steps) < 0.1:
        step = f'steps of {steps.mean():.3g}°'
    else:
        step = f'steps of {steps.min():.3g}° to {steps.max():.3g}°'
    wedge = 180 - (angles[-1] - angles[0])
    return f'{len(angles)} tilts from {angle_in_words(angles[0])} to {angle_in_words(angles[-1])}, {step}, missing wedge {max(wedge, 0):.3g}°'
