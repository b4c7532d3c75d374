"""What a run will need, asked in a thread: the first question imports torch."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer, Signal

from napari_diptomo.series import MapSeries, Observer, Step
from napari_diptomo.widgets.tasks.job import ThreadJob


class Estimator(QObject):
    """Answers with a sentence a moment after the last change.

    Signals
    -------
    answered(str)
        ``'Needs about 0.6 GB, 12 GB are free. CPU, 2 threads (torch 2.13.0).'``
    """

    answered = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: ThreadJob | None = None
        self._asked: tuple[Step, MapSeries] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(150)
        self._timer.timeout.connect(self._poll)

    def ask(self, step: Step, maps: MapSeries) -> None:
        """What does this step need on these maps?"""
        self._asked = (step, maps)
        self._timer.start()

    def cleanup(self) -> None:
        """Ask no more."""
        self._timer.stop()

    def _poll(self) -> None:
        if self._job is not None:
            if not self._job.over:
                return
            self.answered.emit(self._job.result or self._job.error or '')
            self._job = None
        if self._asked is None:
            self._timer.stop()
            return
        self._job = ThreadJob(_question(*self._asked))
        self._asked = None
        self._job.start()


def _question(step: Step, maps: MapSeries) -> Callable[[Observer], str]:
    def estimate_memory(observer: Observer) -> str:
        from napari_diptomo.reconstruct import device

        chosen = device.pick(step.device)
        free = device.free_memory(chosen)
        needed = step.memory_bytes(maps)
        verdict = '' if needed < free else ' That does not fit: use a higher binning or fewer elements.'
        return f'Needs about {size(needed)}, {size(free)} are free.{verdict} {step.device_name()}.'

    return estimate_memory


def size(count: float) -> str:
    """``'0.62 GB'``."""
    return f'{count / 1e9:.2g} GB' if count >= 1e8 else f'{count / 1e6:.0f} MB'
