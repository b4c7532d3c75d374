"""The parent's end of the line to a computing process: the process, and the thread that listens to it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_diptomo.jobs import transfer
from napari_diptomo.jobs.error_sentences import explain, explain_death
from napari_diptomo.jobs.frames import FrameReader
from napari_diptomo.jobs.job_folders import make_folder
from napari_diptomo.jobs.messages import (
    CancelledRun,
    Failure,
    FrameMemoryNeeded,
    Log,
    Message,
    Result,
    Stage,
    parse_message,
)
from napari_diptomo.series import DiptomoError


def patient_environment() -> dict[str, str]:
    """The environment, with OpenMP threads that sleep while they wait.

    By default they spin. Where another process wants the cores (a viewer that
    paints, a second run) that made an iteration on two cores five times
    slower; it must be set before torch is loaded.
    """
    return {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ}


def start_child(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[str]:
    """Start a child process with pipes for lines of text; its standard error goes into the log."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding='utf-8',
        errors='replace',
        env=patient_environment(),
        creationflags=getattr(subprocess, 'CREATE_NO_WINDOW', 0),
    )


class JobState(Enum):
    """Where a job stands."""

    IDLE = 'idle'
    RUNNING = 'running'
    PAUSED = 'paused'
    FINISHING = 'finishing'
    DONE = 'done'
    FAILED = 'failed'
    CANCELLED = 'cancelled'


ACTIVE = (JobState.RUNNING, JobState.PAUSED, JobState.FINISHING)


class ChildConnection:
    """The process and the thread that listens; knows nothing of its `ChildJob`, which can so be forgotten."""

    def __init__(self, job: dict[str, Any], data: Any, preview_shape: tuple[int, ...] | None) -> None:
        self.state = JobState.IDLE
        self.failure: Failure | None = None
        self.process: subprocess.Popen[str] | None = None
        self._job = job
        self._data = data
        self._preview_shape = preview_shape
        self._owned = make_folder()
        self._folder = self._owned.path
        self.result_path = self._folder / 'result.npz'
        self._frames: FrameReader | None = None
        self._inbox: deque[Message] = deque()
        self._lock = threading.RLock()
        self._closed = False
        self._tail = ''
        self._thread = threading.Thread(target=self._run, name='diptomo-job', daemon=True)

    def start(self) -> None:
        self.state = JobState.RUNNING
        self._thread.start()

    def turn(self, command: str, allowed: tuple[JobState, ...], state: JobState) -> bool:
        """Change state and send the command to the child, if the present state allows it."""
        with self._lock:
            if self.state not in allowed:
                return False
            self.state = state
            self._say(command)
            return True

    def drain(self) -> list[Message]:
        found = []
        while self._inbox:
            found.append(self._inbox.popleft())
        return found

    def newest_frame(self, seen: int) -> tuple[np.ndarray, int, int] | None:
        with self._lock:
            if self._frames is None or self._frames.closed:
                return None
            return self._frames.newest(seen)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    def wait(self, timeout: float | None) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def log_tail(self) -> str:
        try:
            return (self._folder / 'log.txt').read_text(encoding='utf-8', errors='replace')[-4000:]
        except OSError:
            return self._tail

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self.state in ACTIVE:
                self.state = JobState.CANCELLED
        self._tail = self.log_tail()
        self.kill()
        if threading.current_thread() is not self._thread:
            self.wait(5.0)
        with self._lock:
            if self._frames is not None:
                self._frames.close()
        if self._job.get('output') is None:
            # Elsewhere when the folder had no space for it.
            self.result_path.unlink(missing_ok=True)
        self._owned.remove()

    def _run(self) -> None:
        try:
            process = self._spawn()
            if process is None:
                return
            for line in process.stdout or ():
                message = parse_message(line)
                if message is not None:
                    self._take(message)
            code = process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            if self.state in ACTIVE:
                self._fail(Failure(explain_death(code), 'ReconstructionError', self.log_tail()))
        except Exception as error:  # a thread has nobody to raise to: the job carries it
            self.kill()
            self._fail(Failure(explain(error), type(error).__name__))
        if self.state is JobState.CANCELLED:
            self._inbox.append(CancelledRun())

    def _spawn(self) -> subprocess.Popen[str] | None:
        data = None
        if self._data is not None:
            data = str(transfer.write(self._data, self._folder / 'data.npz'))
            self._data = None
        job = {**self._job, 'data': data, 'result': str(self.result_path), 'folder': str(self._folder)}
        path = self._folder / 'job.json'
        path.write_text(json.dumps(job), encoding='utf-8')
        with self._lock, open(self._folder / 'log.txt', 'wb') as log:
            if self._closed or self.state is JobState.CANCELLED:
                return None
            # -P: a file called numpy.py in the user's folder must not be imported.
            self.process = start_child([sys.executable, '-P', '-m', 'napari_diptomo.jobs', str(path)], log)
            if self._preview_shape is not None:
                self._provide_frames(self._preview_shape)
            if self.state is not JobState.RUNNING:  # asked for while the data were handed over
                self._say('pause' if self.state is JobState.PAUSED else 'finish')
        return self.process

    def _take(self, message: Message) -> None:
        with self._lock:
            if self._closed or self.state is JobState.CANCELLED:
                return
            if isinstance(message, FrameMemoryNeeded):
                self._provide_frames(message.shape)
                return
            if isinstance(message, Failure):
                self._fail(message)
                return
            if isinstance(message, CancelledRun):
                self.state = JobState.CANCELLED
                return
            if isinstance(message, Result):
                self.result_path = Path(message.path)
                self.state = JobState.DONE
            elif isinstance(message, Stage) and self.state is JobState.FINISHING:
                self.state = JobState.RUNNING
            self._inbox.append(message)

    def _provide_frames(self, shape: tuple[int, ...]) -> None:
        try:
            frames = FrameReader(shape, self._frames.count if self._frames is not None else 0)
        except DiptomoError as error:
            self._inbox.append(Log('warning', str(error)))
            return
        if self._frames is not None:
            self._frames.close()
        self._frames = frames
        self._say(f'frames {json.dumps({"path": str(frames.path), "shape": list(shape)})}')

    def _fail(self, failure: Failure) -> None:
        with self._lock:
            if self.state in ACTIVE:
                self.state = JobState.FAILED
                self.failure = failure
                self._inbox.append(failure)

    def _say(self, command: str) -> None:
        if self.process is not None and self.process.stdin is not None:
            # Fails when the child is gone: the thread will notice.
            with contextlib.suppress(OSError, ValueError):
                self.process.stdin.write(command + '\n')
                self.process.stdin.flush()
