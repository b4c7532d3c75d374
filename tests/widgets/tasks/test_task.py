"""Jobs and the window: messages, previews, ends, and what is left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QObject, QTimer

from napari_diptomo.series import Cancelled, InputError, Observer, Progress, Watch
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.task import Outcome, Runner


class FakeJob:
    """A job that does what the test says."""

    def __init__(self) -> None:
        self.over = False
        self.result: Any = None
        self.error: str | None = None
        self.told: list[Any] = []
        self.frames: list[tuple[np.ndarray, int]] = []
        self.asked: list[str] = []

    def start(self) -> None:
        self.asked.append('start')

    def messages(self) -> list[Any]:
        told, self.told = self.told, []
        return told

    def latest_frame(self) -> tuple[np.ndarray, int] | None:
        newest = self.frames[-1] if self.frames else None
        self.frames = []
        return newest

    def cancel(self) -> None:
        self.asked.append('cancel')
        self.over = True

    def kill(self) -> None:
        self.asked.append('kill')
        self.over = True


@pytest.fixture
def runner(qtbot: Any) -> Runner:
    runner = Runner(preview_seconds=0.05)
    yield runner
    runner.cleanup()


def test_messages_come_in_order_and_before_the_end(runner: Runner, qtbot: Any) -> None:
    told: list[Any] = []
    runner.message.connect(told.append)
    runner.ended.connect(told.append)
    job = FakeJob()
    job.told, job.result, job.over = ['a', 'b'], 'r', True
    runner.start(job, 'Job')
    qtbot.waitUntil(lambda: not runner.busy)
    assert told == ['a', 'b', Outcome('Job', 'r')]


def test_only_the_newest_preview_is_shown(runner: Runner, qtbot: Any) -> None:
    shown: list[int] = []
    runner.frame.connect(lambda frame, iteration: shown.append(iteration))
    job = FakeJob()
    job.frames = [(np.zeros(1), 1), (np.zeros(1), 2)]
    runner.start(job, 'Job')
    qtbot.waitUntil(lambda: bool(shown))
    assert shown == [2]


def test_slow_previews_become_rare(runner: Runner, qtbot: Any) -> None:
    shown: list[float] = []

    def slow(*_: Any) -> None:
        shown.append(time.monotonic())
        time.sleep(0.1)

    class Eager(FakeJob):
        def latest_frame(self) -> tuple[np.ndarray, int]:
            return np.zeros(1), len(shown)

    runner.frame.connect(slow)
    runner.start(Eager(), 'Job')
    qtbot.waitUntil(lambda: len(shown) == 4, timeout=20_000)
    assert min(np.diff(shown)[1:]) >= 0.5, 'a fifth of the time at most'


def test_a_late_repaint_counts_as_cost(runner: Runner, qtbot: Any) -> None:
    job = FakeJob()
    job.frames = [(np.zeros(1), 1)]
    runner.frame.connect(lambda *_: QTimer.singleShot(20, lambda: time.sleep(0.4)))
    runner.start(job, 'Job')
    qtbot.waitUntil(lambda: runner.preview_cost > 0.2)


def test_a_job_that_cannot_start_ends_at_once(runner: Runner) -> None:
    class Broken(FakeJob):
        def start(self) -> None:
            raise OSError('no such program')

    ends: list[Outcome] = []
    runner.ended.connect(ends.append)
    runner.start(Broken(), 'Job')
    assert not runner.busy
    assert 'no such program' in (ends[0].error or '')


def test_nothing_comes_after_cleanup(runner: Runner, qtbot: Any) -> None:
    told: list[Any] = []
    runner.message.connect(told.append)
    job = FakeJob()
    runner.start(job, 'Job')
    runner.cleanup()
    job.told = ['late']
    qtbot.wait(150)
    assert told == []
    assert job.asked == ['start', 'kill']


def test_the_job_dies_with_the_window(qtbot: Any) -> None:
    window = QObject()
    runner = Runner(window)
    job = FakeJob()
    runner.start(job, 'Job')
    window.deleteLater()
    qtbot.waitUntil(lambda: 'kill' in job.asked)


def test_a_thread_gives_its_result_and_its_progress(qtbot: Any, runner: Runner) -> None:
    def work(observer: Observer) -> int:
        watch = Watch(observer, 'Work', 3)
        for i in range(3):
            watch.step(i + 1)
        return 42

    told: list[Progress] = []
    ends: list[Outcome] = []
    runner.message.connect(told.append)
    runner.ended.connect(ends.append)
    runner.start(ThreadJob(work), 'Work')
    qtbot.waitUntil(lambda: bool(ends))
    assert [p.iteration for p in told] == [1, 2, 3]
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
def test_an_error_in_a_thread_is_one_sentence(qtbot: Any, runner: Runner, error: Exception, sentence: str) -> None:
    def work(observer: Observer) -> None:
        raise error

    ends: list[Outcome] = []
    runner.ended.connect(ends.append)
    runner.start(ThreadJob(work), 'Work')
    qtbot.waitUntil(lambda: bool(ends))
    assert sentence in (ends[0].error or '')
    assert '\n' not in (ends[0].error or '')
    assert not runner.busy


def test_a_cancelled_thread_has_neither_result_nor_error(qtbot: Any, runner: Runner) -> None:
    begun = threading.Event()

    def work(observer: Observer) -> None:
        watch = Watch(observer, 'Work', 10_000)
        for i in range(10_000):
            begun.set()
            watch.step(i)
            threading.Event().wait(0.005)

    ends: list[Outcome] = []
    runner.ended.connect(ends.append)
    runner.start(ThreadJob(work), 'Work')
    assert begun.wait(5)
    runner.cancel()
    qtbot.waitUntil(lambda: bool(ends))
    assert ends[0].cancelled


def test_a_finished_job_leaves_nothing_behind(qtbot: Any, runner: Runner) -> None:
    class Big:
        """Stands for gigabytes."""

    kept: list[Any] = []

    def work(observer: Observer) -> Any:
        big = Big()
        kept.append(weakref.ref(big))
        raise Cancelled

    runner.start(ThreadJob(work), 'Work')
    qtbot.waitUntil(lambda: not runner.busy)
    qtbot.wait(50)
    gc.collect()
    assert kept[0]() is None


def test_second_job_runs(qtbot: Any, runner: Runner) -> None:
    ends: list[Outcome] = []
    runner.ended.connect(ends.append)
    for number in (1, 2):
        runner.start(ThreadJob(_returning(number)), 'Work')
        qtbot.waitUntil(lambda: not runner.busy)
    assert [end.result for end in ends] == [1, 2]


def test_work_does_not_run_on_a_thread_of_qt(qtbot: Any, runner: Runner) -> None:
    """With torch 2.5 first imported on one, a later estimate of the memory hung napari."""
    ends: list[Outcome] = []
    runner.ended.connect(ends.append)
    runner.start(ThreadJob(lambda observer: type(threading.current_thread())), 'Work')
    qtbot.waitUntil(lambda: bool(ends))
    assert ends[0].result is threading.Thread


def _returning(value: int) -> Callable[[Observer], int]:
    return lambda observer: value
