"""The computing process, and the whole protocol between it and its parent.

``python -m napari_diptomo.jobs JOB.json`` runs one recipe. The job file::

    {"recipe": {...}, "folder": "...", "data": "data.npz" or null, "result": "result.npz",
     "preview_interval": 1.0, "checkpoint": null or {"path": "...", "interval": 60, "resume": false},
     "keep_checkpoint": false, "keep": null or "folder", "output": null or "volume.hspy"}

On its standard output it sends one JSON object a line (`messages`)::

    {"type": "stage", "index": 2, "count": 3, "title": "DIPm-TV"}
    {"type": "progress", "stage": "DIPm-TV", "iteration": 12, "total": 400, "seconds": 3.1, ...}
    {"type": "frame_memory", "shape": [3, 48, 48, 48]}  there are previews of this shape: provide shared memory
    {"type": "frame", "number": 7, "iteration": 12}     a preview lies in the shared memory (`frames`)
    {"type": "log", "level": "warning", "text": "..."}
    {"type": "note", "notes": {...}}                    found on the way: entries of the notes of the result
    {"type": "file", "path": "..."}                     a library is about to read this file
    {"type": "result", "path": "..."}                   the end, well
    {"type": "error", "text": "...", "kind": "InputError", "details": "Traceback ..."}
    {"type": "cancelled", "stage": "DIPm-TV"}

On its standard input it obeys lines: ``pause``, ``resume``, ``finish``, ``cancel``, and
``frames {"path": ..., "shape": ...}`` as the answer to ``frame_memory``. When its
standard input ends, its parent is gone: it removes the job's folder and exits,
whatever it is doing; its checkpoint stays. Ctrl-C and the end of the terminal reach
it too, but what they mean is the parent's business.

Formulas: protocol of the computing process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from napari_diptomo.jobs import transfer, unsaved_results
from napari_diptomo.jobs.checkpoint import Checkpoint
from napari_diptomo.jobs.disk_space import check_space
from napari_diptomo.jobs.error_sentences import explain
from napari_diptomo.jobs.frames import FrameWriter
from napari_diptomo.jobs.messages import (
    CancelledRun,
    Failure,
    FrameMemoryNeeded,
    FrameReady,
    Log,
    Message,
    Noted,
    Result,
    Stage,
    format_message,
)
from napari_diptomo.jobs.reading.isolated import open_isolated
from napari_diptomo.jobs.recipe_run import run
from napari_diptomo.series import Cancelled, DiptomoError, Observer, Progress, Recipe, Request
from napari_diptomo.series.files import abandon_partials, replacing

#: At most so many progress lines a second; the last of a stage always goes out, and what is said with a preview.
_LINES_PER_SECOND = 20
_COMMANDS = {
    'pause': Request.PAUSE,
    'resume': Request.GO,
    'finish': Request.FINISH,
    'cancel': Request.CANCEL,
}


class Line:
    """The line to the parent; several threads may speak."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        # A parent that is gone cannot listen; the end of stdin ends this process.
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._stream.write(format_message(message) + '\n')
            self._stream.flush()


class ChildObserver(Observer):
    """Reports to the parent and obeys it.

    Parameters
    ----------
    line : Line
        Where messages go.
    preview_interval : float
        Seconds between two previews at least; 0 or less means no previews.
    """

    def __init__(self, line: Line, preview_interval: float) -> None:
        self._line = line
        self._interval = preview_interval
        self._frames: FrameWriter | None = None
        self._asked: tuple[int, ...] | None = None
        self._last_preview = -float('inf')
        self._last_line = -float('inf')
        self._request = Request.GO
        self._lock = threading.Lock()

    def command(self, line: str) -> None:
        """Obey one line of the parent's; unknown ones are ignored."""
        word, _, rest = line.strip().partition(' ')
        if word == 'frames':
            memory = json.loads(rest)
            with self._lock:
                old, self._frames = self._frames, FrameWriter(Path(memory['path']), tuple(memory['shape']))
                if old is not None:
                    old.close()
        elif word in _COMMANDS and self._request is not Request.CANCEL:
            self._request = _COMMANDS[word]

    def leave(self) -> None:
        """The parent is gone and cannot remove the shared memory: do it."""
        with contextlib.suppress(OSError):
            if self._frames is not None:
                self._frames.path.unlink(missing_ok=True)

    def begin(self, index: int, count: int, title: str) -> None:
        """A step begins: what was asked of the one before it is done with."""
        self._last_line = -float('inf')
        if self._request is Request.FINISH:
            self._request = Request.GO
        self._line.send(Stage(index, count, title))

    def note(self, notes: Mapping[str, Any]) -> None:
        self._line.send(Noted(notes))

    def request(self) -> Request:
        return self._request

    def wants_preview(self) -> bool:
        return self._interval > 0 and time.monotonic() - self._last_preview >= self._interval

    def report(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.preview is not None:
            self._last_preview = now
            self._show(progress)
        due = now - self._last_line >= 1 / _LINES_PER_SECOND
        if due or progress.by_channel or progress.iteration >= progress.total:
            self._last_line = now
            self._line.send(progress)

    def _show(self, progress: Progress) -> None:
        preview = progress.preview
        assert preview is not None
        with self._lock:
            if self._frames is None or self._frames.shape != preview.shape:
                # The parent owns the memory; this preview is let go, the next has memory.
                if self._asked != preview.shape:
                    self._asked = preview.shape
                    self._line.send(FrameMemoryNeeded(preview.shape))
                self._last_preview = -float('inf')
                return
            number = self._frames.write(preview, progress.iteration)
        self._line.send(FrameReady(number, progress.iteration))


class _LogLine(logging.Handler):
    def __init__(self, line: Line) -> None:
        super().__init__(logging.INFO)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.send(Log(record.levelname.lower(), record.getMessage()))


def work(job: dict[str, Any], line: Line, observer: ChildObserver) -> int:
    """Run the job and say how it ended; returns the exit code."""
    try:
        recipe = Recipe.from_dict(job['recipe'])
        checkpoint = Checkpoint(recipe=recipe, **job['checkpoint']) if job.get('checkpoint') else None
        result = run(
            recipe,
            observer=observer,
            data=transfer.read(job['data']) if job.get('data') else None,
            on_open=lambda data: _check_space(recipe, data, job.get('output'), line),
            on_step=lambda index, count, step: observer.begin(index, count, step.title or type(step).__name__),
            keep=job.get('keep'),
            checkpoint=checkpoint,
            opener=open_isolated,
        )
        path = _hand_over(result, job)
        if checkpoint is not None and not job.get('keep_checkpoint'):
            checkpoint.remove()
    except Cancelled as stop:
        line.send(CancelledRun(str(stop)))
        return 0
    except Exception as error:
        line.send(Failure(explain(error), type(error).__name__, traceback.format_exc()))
        return 1
    line.send(Result(str(path)))
    return 0


def _check_space(recipe: Recipe, data: Any, output: str | None, line: Line) -> None:
    doubt = None if output is None else check_space(recipe, data, Path(output))
    if doubt is not None:
        line.send(Log('warning', doubt))


def _hand_over(result: Any, job: dict[str, Any]) -> Path:
    """Write the result for the parent; where there is no space for it, to another disk. Returns where it is."""
    path = Path(job['result'])
    name = Path(job.get('output') or path.parent).name
    failure: DiptomoError | OSError | None = None
    for target in (path, *unsaved_results.targets(job['recipe'], name)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return replacing(target, lambda partial: _write(result, partial), result.data.nbytes)
        except (OSError, DiptomoError) as error:
            failure = failure or error
    assert failure is not None, 'there is one target at least'
    raise failure


def _write(result: Any, path: Path) -> None:
    transfer.write(result, path)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the computing process."""
    # Both reach the whole process group of a terminal; what they mean is the parent's business.
    for name in ('SIGINT', 'SIGHUP'):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    volunteer_for_the_oom_killer()
    line = Line(private_stdout())
    job = json.loads(Path((arguments or sys.argv[1:])[0]).read_text(encoding='utf-8'))
    observer = ChildObserver(line, float(job.get('preview_interval', 1.0)))
    threading.Thread(target=_listen, args=(observer, job.get('folder')), daemon=True).start()
    logging.getLogger('napari_diptomo').addHandler(_LogLine(line))
    logging.getLogger('napari_diptomo').setLevel(logging.INFO)
    return work(job, line, observer)


def private_stdout() -> TextIO:
    """The pipe to the parent for us alone; what libraries print goes to stderr, C libraries included."""
    stream = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    sys.stdout.flush()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return stream


def _listen(observer: ChildObserver, folder: str | None) -> None:
    for text in sys.stdin:
        try:
            observer.command(text)
        except (OSError, ValueError, KeyError, TypeError):
            traceback.print_exc()
    observer.leave()
    abandon_partials()
    if folder:
        unsaved_results.rescue(Path(folder))
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(3)


def volunteer_for_the_oom_killer() -> None:
    """When memory runs out, Linux shall end this process and not the window."""
    with contextlib.suppress(OSError):
        Path('/proc/self/oom_score_adj').write_text('700')
