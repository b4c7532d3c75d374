"""How much memory there is, and whether a task fits it.

In a container the limit of the control group counts, not the machine's memory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from napari_diptomo.series.errors import TooLargeError

_GROUPS = Path('/sys/fs/cgroup')
_FILES = (('memory.max', 'memory.current'), ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes'))

_WORDS = ('out of memory', "can't allocate memory", 'cannot allocate memory', 'bad_alloc', 'not enough memory')


def free_memory(groups: Path = _GROUPS) -> int:
    """Bytes that a task can take now: of the machine, or of its control group where that allows less."""
    free = psutil.virtual_memory().available
    for limit_name, usage_name in _FILES:
        limit, usage = _number(groups / limit_name), _number(groups / usage_name)
        if limit is not None and usage is not None:
            free = min(free, max(limit - usage, 0))
    return int(free)


def binning_that_fits(needed: Callable[[int], int], free: int, most: int = 64) -> int | None:
    """The smallest binning, `most` at the highest, at which a task fits; None when none does.

    Parameters
    ----------
    needed : callable
        Bytes that the task needs, from the binning.
    free : int
        Bytes there are.
    """
    return next((n for n in range(1, most + 1) if needed(n) <= free), None)


def ran_out(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on the host or on a device."""
    # torch's own error is known by its name: importing torch to ask would cost seconds.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == 'OutOfMemoryError'
        or any(words in str(error).lower() for words in _WORDS)
    )


def check_fits(needed: int, what: str, advice: str, *, free: int | None = None) -> None:
    """Raise when a task does not fit the free memory.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        The task, as the sentence begins: ``'DIPm-TV on these maps'``.
    advice : str
        What to do.
    free : int, optional
        Bytes there are; None asks the machine.

    Raises
    ------
    TooLargeError
        Naming what is needed, what there is, and what would fit.
    """
    free = free_memory() if free is None else free
    if needed > free:
        raise TooLargeError(f'{what} needs {_size(needed)} of memory, {_size(free)} are free; {advice.rstrip(".")}.')


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # 'max' means no limit
        return None


def _size(count: float) -> str:
    return f'{count / 1e9:.1f} GB' if count >= 1e8 else f'{count / 1e6:.0f} MB'
