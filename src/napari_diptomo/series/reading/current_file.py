"""Which file is being read.

Readers of damaged files may end their process or never come back. Whoever
watches such a process must be able to name the file, so every adapter says
here what it is about to read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_listeners: list[Callable[[Path], None]] = []


def listen(listener: Callable[[Path], None]) -> None:
    """Have `listener` called with every file that is about to be read in this process."""
    _listeners.append(listener)


def reads(path: str | Path) -> None:
    """A library is about to read this file."""
    for listener in _listeners:
        listener(Path(path))
