"""Progress in a terminal: one bar for the stage, one for the whole, both with the time to go.

Where nobody looks (a log file, CI) it prints a line now and then instead.

Ctrl-C once finishes the present stage and keeps its best result, twice
cancels. SIGTERM, and SIGHUP when the terminal goes, end the run in good order; a
second one ends the process on the spot. While a result is saved (`TerminalBar.saving`)
they let it be saved, and Ctrl-C twice stops before anything is replaced.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from napari_diptomo.jobs.child_job import ChildJob, JobState
from napari_diptomo.jobs.messages import Log, Message, Stage
from napari_diptomo.series import Cancelled, Finding, Observer, Progress, ReconstructionError, Request, by_weight

_QUIET_INTERVAL = 10.0
#: Seconds within which a second Ctrl-C cancels, even when a new stage began in between.
_TWICE = 1.0
_DRAW_INTERVAL = 0.1
_STYLES = {'note': 'cyan', 'doubt': 'bold yellow', 'stop': 'bold white on red'}


class Ended(Cancelled):
    """A signal ended the run.

    Attributes
    ----------
    code : int
        Exit code for the shell: 128 and the number of the signal.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Planned:
    """A stage to come and about how long it takes, seconds; 0 where nobody knows.

    ``keeps`` says whether it makes a result that can be kept when it is stopped.
    """

    title: str
    seconds: float = 0.0
    keeps: bool = True


def clock(seconds: float | None) -> str:
    """``'2:05'``; ``'-:--'`` when unknown."""
    if seconds is None:
        return '-:--'
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'


def print_findings(findings: Iterable[Finding], console: Console) -> None:
    """One line each, the gravest first; nothing where there are none."""
    for finding in by_weight(findings):
        line = Text(str(finding))
        line.stylize(_STYLES[finding.level], 0, len(finding.level))
        console.print(line, soft_wrap=True)


class TerminalBar(Observer):
    """An observer that draws, and hears Ctrl-C.

    Parameters
    ----------
    plan : sequence of Planned
        The stages in order.
    console : Console, optional
        Where to draw; default standard error.
    """

    def __init__(self, plan: Sequence[Planned], console: Console | None = None) -> None:
        self._plan = list(plan)
        self._console = console or Console(stderr=True, highlight=False)
        self._request = Request.GO
        self._index = -1
        self._latest: Progress | None = None
        self._begun = self._started = time.monotonic()
        self._printed = self._redrawn = 0.0
        self._pressed = -float('inf')
        self._ended_by: int | None = None
        self._saving = False
        self._handlers: dict[int, Any] = {}
        self._bars = Bars(
            TextColumn('{task.fields[name]:<14}'),
            BarColumn(bar_width=28),
            TextColumn('{task.fields[where]:>11}  {task.fields[to_go]:>14}  {task.fields[note]}'),
            console=self._console,
            disable=not self._console.is_terminal,
            auto_refresh=False,
        )
        self._stage: TaskID | None = None
        self._whole: TaskID | None = None

    def __enter__(self) -> TerminalBar:
        # Only the main thread may catch signals; elsewhere they are not for us.
        with contextlib.suppress(ValueError):
            self._handlers[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupted)
            for name in ('SIGTERM', 'SIGHUP'):
                number = getattr(signal, name, None)
                # Who started this under nohup wants it to outlive the terminal.
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._on_signal)
        with self._tolerant():
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def stop(self) -> None:
        """Draw no more, but continue to catch signals; harmless when done twice."""
        with self._tolerant():
            if self._bars.live.is_started:
                self._bars.stop()

    @property
    def ended(self) -> Ended:
        """The exception to raise when a request to cancel was obeyed."""
        number = self._ended_by or signal.SIGINT
        text = 'Cancelled' if self._ended_by is None else f'Ended by {signal.Signals(number).name}'
        return Ended(text, 128 + number)

    def saving(self) -> None:
        """The last stage of the plan begins: the result is saved. A Ctrl-C that finished the stage before still counts."""
        request, self._saving = self._request, True
        self._index = max(self._index, len(self._plan) - 2)
        self.begin()
        self._request = request

    def check_cancelled(self) -> None:
        """Raise `Ended` when Ctrl-C was pressed twice; a signal to end lets a result be saved."""
        if self._request is Request.CANCEL and self._ended_by is None:
            raise self.ended

    def begin(self, title: str | None = None) -> None:
        """The next stage of the plan begins, perhaps under another name."""
        if self._request is Request.FINISH:
            self._request = Request.GO
        self._index += 1
        while self._index >= len(self._plan):
            self._plan.append(Planned(title or 'Working'))
        if title is not None:
            self._plan[self._index] = replace(self._plan[self._index], title=title)
        self._begun = time.monotonic()
        self._latest = None
        self._draw()
        if not self._console.is_terminal:
            self.say(f'[{self._index + 1}/{len(self._plan)}] {self._plan[self._index].title}')
            self._printed = time.monotonic()

    def report(self, progress: Progress) -> None:
        self._latest = progress
        if time.monotonic() - self._redrawn > _DRAW_INTERVAL or progress.iteration >= progress.total:
            self._draw()
        if not self._console.is_terminal and time.monotonic() - self._printed > _QUIET_INTERVAL:
            self._printed = time.monotonic()
            to_go = f', {clock(self.to_go)} to go' if self.to_go is not None else ''
            self.say(f'    {progress.iteration}/{progress.total}{to_go}{_note(progress, ", ")}')

    def request(self) -> Request:
        return self._request

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        with self._tolerant():
            self._console.print(text, markup=False, soft_wrap=True)

    def tick(self) -> None:
        """Let the time pass on the bars."""
        self._draw()

    @property
    def to_go(self) -> float | None:
        """Seconds until the end of the whole plan, None while nobody knows."""
        here = self._here()
        later = [stage.seconds for stage in self._plan[self._index + 1 :]]
        return None if here is None or not all(later) else here + sum(later)

    def _here(self) -> float | None:
        planned = self._plan[self._index].seconds if self._index >= 0 else 0.0
        measured = self._latest.eta if self._latest is not None else None
        if measured is not None:
            return measured
        return max(planned - (time.monotonic() - self._begun), 1.0) if planned else None

    def _draw(self) -> None:
        if self._console.is_terminal and self._index >= 0:
            self._redrawn = time.monotonic()
            with self._tolerant():
                self._redraw()

    def _redraw(self) -> None:
        if self._stage is None:
            self._stage = self._bars.add_task('', name='', where='', to_go='', note='', total=1)
            if len(self._plan) > 1:
                self._whole = self._bars.add_task('', name='All', where='', to_go='', note='', total=1)
        latest, here = self._latest, self._here()
        self._bars.update(
            self._stage,
            name=self._plan[self._index].title,
            total=max(latest.total, 1) if latest else None,
            completed=latest.iteration if latest else 0,
            where=f'{latest.iteration}/{latest.total}' if latest else '',
            to_go=f'{clock(here)} to go' if here is not None else f'{clock(time.monotonic() - self._begun)} so far',
            note=_note(latest) if latest else '',
        )
        if self._whole is not None:
            whole = self.to_go
            spent = time.monotonic() - self._started
            share = spent / (spent + whole) if whole is not None else self._index / len(self._plan)
            self._bars.update(
                self._whole,
                total=1.0,
                completed=share,
                where=f'{self._index + 1}/{len(self._plan)}',
                to_go=f'{clock(whole)} to go' if whole is not None else f'{clock(spent)} so far',
            )
        self._bars.refresh()

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        """A terminal or a pipe that is gone ends no run."""
        # rich exits when a pipe is closed, and is confused after any other failure.
        with contextlib.suppress(Exception, SystemExit):
            yield

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        twice = self._request is Request.FINISH or now - self._pressed < _TWICE
        self._pressed = now
        if self._request is Request.CANCEL:
            return
        self._request = Request.CANCEL if twice else Request.FINISH
        self.say('Cancelling.' if twice else f'{self._answer()}; press Ctrl-C again to cancel and keep nothing.')

    def _answer(self) -> str:
        if self._saving:
            return 'The result is being saved'
        if self._index >= 0 and not self._plan[self._index].keeps:
            return 'There is no result to keep yet'
        return 'Finishing this stage with the best result so far'

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._ended_by is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._ended_by, self._request = number, Request.CANCEL
        self.say(f'{signal.Signals(number).name}: {"ending when the result is saved" if self._saving else "ending"}.')


def follow(job: ChildJob, bar: TerminalBar) -> Any:
    """Start a job, show it until its end, return its result.

    Raises
    ------
    ReconstructionError
        With the job's one sentence; its ``details`` hold the child's traceback.
    Ended
        When it was cancelled.
    """
    asked = Request.GO
    job.start()
    while not job.wait(0.1):
        for message in job.messages():
            _show(message, bar)
        if bar.request() is not asked:
            asked = bar.request()
            {Request.FINISH: job.finish, Request.CANCEL: job.cancel}.get(asked, lambda: None)()
        bar.tick()
    for message in job.messages():
        _show(message, bar)
    if job.state is JobState.CANCELLED:
        raise bar.ended
    if job.error is not None:
        error = ReconstructionError(job.error)
        error.details = job.details  # type: ignore[attr-defined]
        raise error
    return job.result()


def _show(message: Message, bar: TerminalBar) -> None:
    if isinstance(message, Stage):
        bar.begin(message.title)
    elif isinstance(message, Progress):
        bar.report(message)
    elif isinstance(message, Log) and message.level != 'info':
        bar.say(message.text)


def _note(progress: Progress, lead: str = '') -> str:
    parts = [f'{name} {value:.4g}' for name, value in list(progress.losses.items())[:2]]
    if progress.validation is not None:
        parts.append(f'held out {progress.validation:.4g}')
    if progress.message:
        parts.append(progress.message)
    return lead + '  '.join(parts) if parts else ''
