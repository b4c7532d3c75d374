"""A lock on a file that ends with the process that holds it, however that ends.

The system keeps it (flock, on Windows a locked byte), so that no process number
is accepted: numbers come again, and differ between containers on one machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path


class Held(Exception):
    """Another process holds the lock."""


class FileLock:
    """A lock on the file at `path`, which is made when there is none.

    Parameters
    ----------
    path : Path
        The file; a symbolic link is refused.

    Raises
    ------
    Held
        Another process holds it.
    OSError
        The file cannot be made or opened.

    Attributes
    ----------
    handle : int
        Of the open file; -1 after `close`.
    certain : bool
        Whether the file system knows locks; where it does not, anybody gets one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, 'O_NOFOLLOW', 0), 0o666)
        try:
            self.certain = _lock(self.handle)
            if not self._is_still_there():
                raise Held(str(path))
        except BaseException:
            os.close(self.handle)
            raise

    def _is_still_there(self) -> bool:
        """Whether the file that was locked still has this name: its holder may just have removed it."""
        mine = os.fstat(self.handle)
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (mine.st_ino, mine.st_dev) == (there.st_ino, there.st_dev)

    def read(self) -> str:
        """Text of the file."""
        os.lseek(self.handle, 0, os.SEEK_SET)
        return os.read(self.handle, 4096).decode('utf-8', 'replace')

    def write(self, text: str) -> None:
        """Put `text` in the file."""
        os.lseek(self.handle, 0, os.SEEK_SET)
        os.truncate(self.handle, 0)
        os.write(self.handle, text.encode())

    def close(self, remove: bool = False) -> None:
        """Let go of the lock; harmless when done twice."""
        if self.handle < 0:
            return
        if remove and os.name != 'nt':
            self.path.unlink(missing_ok=True)
        os.close(self.handle)
        self.handle = -1
        if remove and os.name == 'nt':  # an open file cannot be removed there
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def _lock(handle: int) -> bool:
    """Lock without waiting; returns whether the file system knows how."""
    try:
        if os.name == 'nt':
            import msvcrt

            # Far behind the end, so that others can read what stands in the file.
            os.lseek(handle, 1 << 30, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK):
            return False
        raise Held from None
    return True
