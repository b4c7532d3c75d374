"""Jobs and the window: messages, previews, ends, and what is left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QObject, QTimer

from napari_diptomo.jobs import Log
from napari_diptomo.series import Cancelled, InputError, Observer, Progress, Watch
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.task import Outcome, Task


class FakeJob:
    """A job that does what the test says."""

    def __init__(self) -> None:
        self.is_active = True
        self.made: Any = None
        self.error: str | None = None
        self.details = ''
        self.sent: list[Any] = []
        self.frames: list[tuple[np.ndarray, int]] = []
        self.asked: list[str] = []

    def start(self) -> None:
        self.asked.append('start')

    def messages(self) -> list[Any]:
        received, self.sent = self.sent, []
        return received

    def latest_frame(self) -> tuple[np.ndarray, int] | None:
        newest = self.frames[-1] if self.frames else None
        self.frames = []
        return newest

    def result(self) -> Any:
        return self.made

    def close(self) -> None:
        pass

    def cancel(self) -> None:
        self.asked.append('cancel')
        self.is_active = False

    def kill(self) -> None:
        self.asked.append('kill')
        self.is_active = False


@pytest.fixture
def task(qtbot: Any) -> Iterator[Callable[[Any], Task]]:
    """Makes tasks of jobs; none is started."""
    made: list[Task] = []

    def make(job: Any) -> Task:
        made.append(Task(job, 'Job', preview_seconds=0.05))
        return made[-1]

    yield make
    for one in made:
        one.cleanup()


Make = Callable[[Any], Task]


def test_messages_come_in_order_and_before_the_end(task: Make, qtbot: Any) -> None:
    received: list[Any] = []
    job = FakeJob()
    job.sent, job.made, job.is_active = ['a', 'b'], 'r', False
    running = task(job)
    running.message.connect(received.append)
    running.ended.connect(received.append)
    running.start()
    qtbot.waitUntil(lambda: running.job is None)
    assert received == ['a', 'b', Outcome('Job', 'r')]


def test_only_the_newest_preview_is_shown(task: Make, qtbot: Any) -> None:
    shown: list[int] = []
    job = FakeJob()
    job.frames = [(np.zeros(1), 1), (np.zeros(1), 2)]
    running = task(job)
    running.frame.connect(lambda frame, iteration: shown.append(iteration))
    running.start()
    qtbot.waitUntil(lambda: bool(shown))
    assert shown == [2]


def test_slow_previews_become_rare(task: Make, qtbot: Any) -> None:
    shown: list[float] = []

    def slow(*_: Any) -> None:
        shown.append(time.monotonic())
        time.sleep(0.1)

    class Eager(FakeJob):
        def latest_frame(self) -> tuple[np.ndarray, int]:
            return np.zeros(1), len(shown)

    running = task(Eager())
    running.frame.connect(slow)
    running.start()
    qtbot.waitUntil(lambda: len(shown) == 4, timeout=20_000)
    assert min(np.diff(shown)[1:]) >= 0.5, 'a fifth of the time at most'


def test_a_late_repaint_counts_as_cost(task: Make, qtbot: Any) -> None:
    job = FakeJob()
    job.frames = [(np.zeros(1), 1)]
    running = task(job)
    running.frame.connect(lambda *_: QTimer.singleShot(20, lambda: time.sleep(0.4)))
    running.start()
    qtbot.waitUntil(lambda: running.preview_cost > 0.2)


def test_a_job_that_cannot_start_ends_at_once(task: Make) -> None:
    class Broken(FakeJob):
        def start(self) -> None:
            raise OSError('no such program')

    ends: list[Outcome] = []
    running = task(Broken())
    running.ended.connect(ends.append)
    running.start()
    assert running.job is None
    assert 'no such program' in (ends[0].error or '')


def test_nothing_comes_after_cleanup(task: Make, qtbot: Any) -> None:
    received: list[Any] = []
    job = FakeJob()
    running = task(job)
    running.message.connect(received.append)
    running.start()
    running.cleanup()
    job.sent = ['late']
    qtbot.wait(150)
    assert received == []
    assert job.asked == ['start', 'kill']


def test_the_job_dies_with_the_window(qtbot: Any) -> None:
    window = QObject()
    job = FakeJob()
    Task(job, 'Job', parent=window).start()
    window.deleteLater()
    qtbot.waitUntil(lambda: 'kill' in job.asked)


def test_pause_and_resume_reach_the_job(task: Make) -> None:
    class Pausable(FakeJob):
        def pause(self) -> None:
            self.asked.append('pause')

        def resume(self) -> None:
            self.asked.append('resume')

    job = Pausable()
    running = task(job)
    running.start()
    running.pause()
    assert running.paused
    running.resume()
    assert not running.paused
    assert job.asked == ['start', 'pause', 'resume']


def test_lines_for_the_log_are_no_messages(task: Make, qtbot: Any, caplog: pytest.LogCaptureFixture) -> None:
    received: list[Any] = []
    job = FakeJob()
    job.sent, job.made, job.is_active = [Log('warning', 'the disk is nearly full')], 'r', False
    running = task(job)
    running.message.connect(received.append)
    running.start()
    qtbot.waitUntil(lambda: running.job is None)
    assert received == []
    assert 'the disk is nearly full' in caplog.text


def test_a_thread_gives_its_result_and_its_progress(qtbot: Any, task: Make) -> None:
    def work(observer: Observer) -> int:
        watch = Watch(observer, 'Work', 3)
        for i in range(3):
            watch.step(i + 1)
        return 42

    received: list[Progress] = []
    ends: list[Outcome] = []
    running = task(ThreadJob(work))
    running.message.connect(received.append)
    running.ended.connect(ends.append)
    running.start()
    qtbot.waitUntil(lambda: bool(ends))
    assert [p.iteration for p in received] == [1, 2, 3]
    assert ends[0].result == 42


@pytest.mark.parametrize(
    ('error', 'sentence'),
    [
        (InputError('The files have no angles; give them.'), 'The files have no angles; give them.'),
        (RuntimeError('CUDA went away'), 'Unexpected error: RuntimeError: CUDA went away'),
        (MemoryError(), 'memory ran out'),
        (NotImplementedError('no such op'), 'NotImplementedError'),
    ],
)
def test_an_error_in_a_thread_is_one_sentence(qtbot: Any, task: Make, error: Exception, sentence: str) -> None:
    def work(observer: Observer) -> None:
        raise error

    ends: list[Outcome] = []
    running = task(ThreadJob(work))
    running.ended.connect(ends.append)
    running.start()
    qtbot.waitUntil(lambda: bool(ends))
    assert sentence in (ends[0].error or '')
    assert '\n' not in (ends[0].error or '')
    assert running.job is None


def test_a_cancelled_thread_has_neither_result_nor_error(qtbot: Any, task: Make) -> None:
    begun = threading.Event()

    def work(observer: Observer) -> None:
        watch = Watch(observer, 'Work', 10_000)
        for i in range(10_000):
            begun.set()
            watch.step(i)
            threading.Event().wait(0.005)

    ends: list[Outcome] = []
    running = task(ThreadJob(work))
    running.ended.connect(ends.append)
    running.start()
    assert begun.wait(5)
    running.cancel()
    qtbot.waitUntil(lambda: bool(ends))
    assert ends[0].cancelled


def test_a_finished_job_leaves_nothing_behind(qtbot: Any, task: Make) -> None:
    class Big:
        """Stands for gigabytes."""

    kept: list[Any] = []

    def work(observer: Observer) -> Any:
        big = Big()
        kept.append(weakref.ref(big))
        raise Cancelled

    running = task(ThreadJob(work))
    running.start()
    qtbot.waitUntil(lambda: running.job is None)
    qtbot.wait(50)
    gc.collect()
    assert kept[0]() is None


def test_second_job_runs(qtbot: Any, task: Make) -> None:
    ends: list[Outcome] = []
    for number in (1, 2):
        running = task(ThreadJob(_returning(number)))
        running.ended.connect(ends.append)
        running.start()
        qtbot.waitUntil(lambda one=running: one.job is None)
    assert [end.result for end in ends] == [1, 2]


def test_work_does_not_run_on_a_thread_of_qt(qtbot: Any, task: Make) -> None:
    """With torch 2.5 first imported on one, a later estimate of the memory hung napari."""
    ends: list[Outcome] = []
    running = task(ThreadJob(lambda observer: type(threading.current_thread())))
    running.ended.connect(ends.append)
    running.start()
    qtbot.waitUntil(lambda: bool(ends))
    assert ends[0].result is threading.Thread


def _returning(value: int) -> Callable[[Observer], int]:
    return lambda observer: value
