"""The parent's end of the connection to a reading process: starting, listening, ending a silent one."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from napari_diptomo.jobs.child_connection import start_child
from napari_diptomo.jobs.job_folders import MEMORY, OwnedFolder, make_folder
from napari_diptomo.jobs.messages import (
    NO_MEMORY,
    OUR_ERRORS,
    CancelledRun,
    Failure,
    FileBegun,
    Message,
    Result,
    parse_message,
)
from napari_diptomo.jobs.reading.limits import seconds_for
from napari_diptomo.series import Cancelled, InputError, Observer, Progress, Request

#: -P: a file called numpy.py in the user's folder must not be imported.
COMMAND = (sys.executable, '-P', '-m', 'napari_diptomo.jobs.reading.reader')
#: Seconds that a new process may take to import what it needs.
_STARTING = 120.0
#: Seconds that a cancelled request has to end by itself, so that the process can serve on.
_GRACE = 0.6
#: Seconds between two looks at the observer and at the memory.
_LOOK, _LOOK_AT_MEMORY = 0.05, 0.25
#: How many times the time limit begins anew while the process waits for the processor or the disk.
_EXTENSIONS = 4
_ADVICE = 'it seems to be damaged, copy it again or leave it out'
_log = logging.getLogger('napari_diptomo')


class ReadingFailed(InputError):
    """A file broke its reader; ``details`` is what the reader left, for a log."""

    details: str = ''


class Gone(Exception):
    """The process had nothing to do and has ended before the request reached it."""


class ReaderProcess:
    """A reading process; it and all it left go with this object.

    Parameters
    ----------
    command : sequence of str
        What to start; the folders for files of arrays are added, the best first.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        folders = _folders()
        self._log = folders[-1].path / 'log.txt'
        try:
            with open(self._log, 'wb') as log:
                self._process = start_child([*command, *(str(folder.path) for folder in folders)], log)
        except OSError:
            _remove(folders)
            raise
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._ready = False
        self._close = weakref.finalize(self, _end, self._process, folders)
        threading.Thread(
            target=_listen, args=(self._process.stdout, self._inbox), name='diptomo-reader', daemon=True
        ).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._close.alive and self._process.poll() is None

    def say(self, text: str | dict[str, Any]) -> None:
        """Send a request or a word."""
        # Fails when the process is gone: whoever waits for the answer will notice.
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.write((text if isinstance(text, str) else json.dumps(text)) + '\n')
            self._process.stdin.flush()

    def close(self) -> None:
        """End the process and remove what it left."""
        self._close()

    def answer(self, paths: Iterable[str | Path], memory: int, observer: Observer | None) -> str:
        """Wait for the answer to the request just sent.

        Parameters
        ----------
        paths : paths
            What the request is about.
        memory : int
            Bytes that it may take.
        observer : Observer, optional

        Returns
        -------
        str
            Path of the file of arrays.

        Raises
        ------
        DiptomoError
            As the process raised it, or `ReadingFailed`.
        Cancelled
            When the observer cancels.
        Gone
            The process had ended by itself before.
        """
        try:
            outcome = self._wait(_Request(Path(next(iter(paths), '')), memory, observer))
        except BaseException:
            # Unanswered: the next request must not get what belongs to this one.
            self.close()
            raise
        if isinstance(outcome, Result):
            return outcome.path
        if isinstance(outcome, CancelledRun):
            raise Cancelled(outcome.stage)
        raise outcome

    def _wait(self, request: _Request) -> Result | CancelledRun | Exception:
        base, look = self._taken(), time.monotonic() + _LOOK_AT_MEMORY
        request.computed = self._computed()
        if not self._ready:
            request.wind(_STARTING)
        while True:
            self._obey(request)
            with contextlib.suppress(queue.Empty):
                message = self._inbox.get(timeout=_LOOK)
                if message is None:
                    raise self._death(request)
                self._ready = True
                request.hear(message, self._computed())
                if isinstance(message, Failure):
                    return self._failure(message, request)
                if isinstance(message, Result | CancelledRun):
                    return message
                continue
            now = time.monotonic()
            if now > request.deadline and request.extensions < _EXTENSIONS and self._waits_for_the_machine(request):
                request.extensions += 1
                request.deadline = now + request.time_limit
            if now > request.deadline:
                raise self._failed(
                    f'{request.name} could not be read: the reader was stopped after {request.time_limit:.0f} s '
                    f'without a sign of life; {_ADVICE}.'
                )
            if now > look:
                look = now + _LOOK_AT_MEMORY
                if self._taken() - base > request.memory:
                    raise self._failed(_too_much(request))

    def _obey(self, request: _Request) -> None:
        """Pass on what the observer wants; a reader that does not hear of a cancel is ended."""
        wish = request.observer.request()
        if wish is Request.PAUSE:
            request.wind()
        if wish is request.wish:
            return
        request.wish = wish
        self.say({Request.PAUSE: 'pause', Request.GO: 'resume'}.get(wish, wish.value))
        if wish is Request.CANCEL:
            end = time.monotonic() + _GRACE
            while (left := end - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    message = self._inbox.get(timeout=left)
                    if message is None or isinstance(message, Result | CancelledRun | Failure):
                        break
            raise Cancelled

    def _computed(self) -> float:
        """Seconds that the process has computed for so far."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def _waits_for_the_machine(self, request: _Request) -> bool:
        try:
            status = psutil.Process(self._process.pid).status()
        except psutil.Error:
            return False
        return waits_for_the_machine(status, self._computed() - request.computed, request.time_limit)

    def _taken(self) -> int:
        """Bytes of memory that the process has for itself."""
        try:
            info = psutil.Process(self._process.pid).memory_info()
        except psutil.Error:
            return 0
        return int(getattr(info, 'private', info.rss - getattr(info, 'shared', 0)))

    def _death(self, request: _Request) -> Exception:
        code = self._process.wait(5.0)
        if code == 0:
            return Gone()
        number = -code if code < 0 else 0
        how = f'exit code {code}'
        if number:
            with contextlib.suppress(ValueError):
                how = f'signal {number}, {signal.Signals(number).name}'
        if number == getattr(signal, 'SIGKILL', -1):
            return self._failed(
                f'{request.name} could not be read: the reader was ended from outside ({how}), most likely because '
                'memory ran out; close other programs, or leave the file out if it is damaged.'
            )
        return self._failed(f'{request.name} could not be read: the reader broke down on it ({how}); {_ADVICE}.')

    def _failure(self, message: Failure, request: _Request) -> Exception:
        if message.kind in OUR_ERRORS:
            return message.raised()
        if message.kind == NO_MEMORY:
            return self._failed(_too_much(request))
        said = ' '.join(message.text.split())[:120].rstrip('.')
        _log.error('reading %s: unexpected error\n%s', request.name, message.details)
        return self._failed(
            f'{request.name} could not be read ({message.kind}: {said}); {_ADVICE}, or report it.', message.details
        )

    def _failed(self, sentence: str, details: str = '') -> ReadingFailed:
        error = ReadingFailed(sentence)
        with contextlib.suppress(OSError):
            details = details or self._log.read_text(encoding='utf-8', errors='replace')[-4000:]
        error.details = details
        return error


class _Request:
    """A request that is being waited for, and until when."""

    def __init__(self, path: Path, memory: int, observer: Observer | None) -> None:
        self.memory = memory
        self.observer = observer if observer is not None else Observer()
        self.wish = Request.GO
        self.name = path.name
        self.computed = 0.0
        self.extensions = 0
        self.wind(seconds_for(path))

    def wind(self, time_limit: float | None = None) -> None:
        """There was a sign of life: wait anew, with another time limit from now on where one is given."""
        if time_limit is not None:
            self.time_limit = time_limit
        self.deadline = time.monotonic() + self.time_limit

    def hear(self, message: Message, computed: float) -> None:
        """Take note of a message that came when the process had computed for so many seconds."""
        self.computed, self.extensions = computed, 0
        if isinstance(message, FileBegun):
            self.name = Path(message.path).name
            self.wind(seconds_for(message.path))
        self.wind()
        if isinstance(message, Progress):
            self.observer.report(message)


def waits_for_the_machine(status: str, computed: float, time_limit: float) -> bool:
    """Whether a silent process has had no chance to speak: others compute, or the disk is slow."""
    return status in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP) and computed < time_limit / 2


def _too_much(request: _Request) -> str:
    return (
        f'{request.name} could not be read: it needs more than the {request.memory / 1e9:.1f} GB of memory allowed; '
        'it seems to be damaged, copy it again; or else close other programs or use a machine with more memory.'
    )


def _listen(stream: Any, inbox: queue.SimpleQueue[Message | None]) -> None:
    for line in stream:
        message = parse_message(line)
        if message is not None:
            inbox.put(message)
    inbox.put(None)


def _end(process: subprocess.Popen[str], folders: Sequence[OwnedFolder]) -> None:
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5.0)
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    _remove(folders)


def _folders() -> list[OwnedFolder]:
    """New folders for what is handed over: in memory where that can be written to, and among the temporary files."""
    folders = []
    if MEMORY.is_dir():
        with contextlib.suppress(InputError):
            folders.append(make_folder(MEMORY))
    return [*folders, make_folder()]


def _remove(folders: Sequence[OwnedFolder]) -> None:
    for folder in folders:
        folder.remove()
