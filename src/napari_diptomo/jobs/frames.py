"""Previews in memory that two processes share: the newest frame wins.

The parent makes a file in memory (``/dev/shm`` where there is one, else the
folder for temporary files), both processes map it, the child writes a frame
into the next of three slots, the parent takes the newest whole one. Neither
waits for the other.

Each slot carries a sequence number that is odd while the slot is written
(a seqlock). A reader copies the slot and looks at the number before and
after: the same even number means a whole frame, anything else means that the
writer came by, and the reader takes the then newest slot.

Why a mapped file and not `multiprocessing.shared_memory`: there every process
that attaches unlinks the block when it ends (before Python 3.13), and a
container with a small ``/dev/shm`` kills the writer with SIGBUS on the first
write. Here the parent alone owns the file, and takes the memory for it before
anybody writes. It holds a lock on it, so that frames whose parent is gone are
known and swept (`napari_diptomo.jobs.job_folders`).

Formulas: frames on their way to napari (`FrameReader`).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np

from napari_diptomo.jobs.file_locks import FileLock, Held
from napari_diptomo.jobs.job_folders import FRAMES_PREFIX, FRAMES_SUFFIX
from napari_diptomo.series import InputError
from napari_diptomo.series.files import megabytes

SLOTS = 3
_HEADER = 4096  # bytes; one page, so that the frames are aligned
_NEWEST = 0  # index into the header: number of the newest frame, 0 before the first
_FENCE = threading.Lock()


def frame_folder(needed: int) -> Path:
    """A folder in memory with space for `needed` bytes, else that for temporary files."""
    memory = Path('/dev/shm')
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * needed:
        return memory
    return Path(tempfile.gettempdir())


class _Frames:
    """The common half: the mapped file and its layout."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = Path(path)
        self.shape = tuple(int(n) for n in shape)
        self._bytes = int(np.prod(self.shape)) * 4
        with open(path, 'r+b') as file:
            self._map = mmap.mmap(file.fileno(), _size(self.shape))
        self._header = np.frombuffer(self._map, np.int64, _HEADER // 8)
        self._slots = [
            np.frombuffer(self._map, np.float32, self._bytes // 4, _HEADER + i * self._bytes).reshape(self.shape)
            for i in range(SLOTS)
        ]

    def close(self) -> None:
        """Let go of the memory; harmless when done twice."""
        self._header = np.zeros(0, np.int64)
        self._slots = []
        self._map.close()

    @property
    def closed(self) -> bool:
        return self._map.closed


class FrameReader(_Frames):
    """The parent's side: makes the file, owns it, removes it.

    Parameters
    ----------
    shape : tuple of int
        (channel, z, y, x) of every frame.
    count : int
        Frames that came before, where this reader takes over from one of another shape.

    Raises
    ------
    InputError
        When there is no memory for the frames.
    """

    def __init__(self, shape: tuple[int, ...], count: int = 0) -> None:
        size = _size(shape)
        folder = frame_folder(size)
        try:
            self._lock = _new_file(folder)
        except OSError as error:
            raise InputError(_no_memory(folder, size, error)) from None
        try:
            _reserve(self._lock.handle, size)
        except OSError as error:
            self._lock.close(remove=True)
            raise InputError(_no_memory(folder, size, error)) from None
        super().__init__(self._lock.path, shape)
        self._header[_NEWEST] = count
        self._before = count

    @property
    def count(self) -> int:
        """Frames written so far."""
        return int(self._header[_NEWEST])

    def newest(self, seen: int = 0) -> tuple[np.ndarray, int, int] | None:
        """A copy of the newest whole frame.

        Parameters
        ----------
        seen : int
            Number of the newest frame known already.

        Returns
        -------
        tuple of (ndarray (channel, z, y, x), int, int) or None
            The frame, its iteration and its number; None when there is none newer than `seen`.
        """
        for _ in range(100):
            number = int(self._header[_NEWEST])
            if number <= max(seen, self._before):
                return None
            slot = number % SLOTS
            before = int(self._header[1 + 2 * slot])
            iteration = int(self._header[2 + 2 * slot])
            _fence()
            frame = self._slots[slot].copy()
            _fence()
            if before == int(self._header[1 + 2 * slot]) == 2 * number:
                return frame, iteration, number
        return None

    def close(self) -> None:
        """Let go of the memory and remove the file."""
        super().close()
        self._lock.close(remove=True)
        self.path.unlink(missing_ok=True)


class FrameWriter(_Frames):
    """The child's side: writes into the file that the parent made."""

    def write(self, frame: np.ndarray, iteration: int) -> int:
        """Put a frame (channel, z, y, x) into the next slot; returns its number, from 1."""
        number = int(self._header[_NEWEST]) + 1
        slot = number % SLOTS
        self._header[1 + 2 * slot] = 2 * number - 1
        _fence()
        self._slots[slot][...] = frame
        self._header[2 + 2 * slot] = iteration
        _fence()
        self._header[1 + 2 * slot] = 2 * number
        self._header[_NEWEST] = number
        return number


def _new_file(folder: Path) -> FileLock:
    while True:
        handle, name = tempfile.mkstemp(prefix=FRAMES_PREFIX, suffix=FRAMES_SUFFIX, dir=folder)
        os.close(handle)
        # Before it is locked a sweep of another process may take it: then there is a next one.
        with contextlib.suppress(Held):
            return FileLock(Path(name))


def _no_memory(folder: Path, size: int, error: OSError) -> str:
    return (
        f'There is no memory for previews ({megabytes(size)} in {folder}: {error.strerror}); '
        'free some or run without previews.'
    )


def _size(shape: tuple[int, ...]) -> int:
    return _HEADER + SLOTS * 4 * int(np.prod(shape))


def _reserve(handle: int, size: int) -> None:
    # A sparse file would do until somebody writes into it on a full disk and
    # is killed with SIGBUS: the memory must be taken now.
    if hasattr(os, 'posix_fallocate'):
        os.posix_fallocate(handle, 0, size)
        return
    with open(os.dup(handle), 'wb') as file:
        block = bytes(1 << 20)
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def _fence() -> None:
    # Keeps the processor from moving loads and stores across: taking and
    # giving back a lock is a memory barrier, and Python offers no barer one.
    with _FENCE:
        pass
