"""How much memory there is, and whether a task fits it.

In a container the limit of the control group counts, not the machine's memory.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from napari_diptomo.series.errors import TooLargeError

_GROUPS = Path('/sys/fs/cgroup')
_FILES = (('memory.max', 'memory.current'), ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes'))


def free_memory(groups: Path = _GROUPS) -> int:
    """Bytes that a task can take now: of the machine, or of its control group where that allows less."""
    free = psutil.virtual_memory().available
    for limit_name, usage_name in _FILES:
        limit, usage = _number(groups / limit_name), _number(groups / usage_name)
        if limit is not None and usage is not None:
            free = min(free, max(limit - usage, 0))
    return int(free)


def binning_that_fits(needed: int, free: int | None = None, binning: int = 1) -> int:
    """The smallest binning at which a task needing `needed` bytes at `binning` fits.

    Volumes shrink with the third power of the binning.
    """
    free = free_memory() if free is None else free
    fits = binning
    while needed * (binning / fits) ** 3 > free and fits < 64:
        fits += 1
    return fits


def check_fits(needed: int, what: str, advice: str = '', *, free: int | None = None, binning: int = 1) -> None:
    """Raise when a task does not fit the free memory.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        The task, as the sentence begins: ``'DIPm-TV on 256 x 256 x 256 voxels'``.
    advice : str
        What to do; empty: use the binning that fits.
    free : int, optional
        Bytes there are; None asks the machine.
    binning : int
        The binning at which `needed` holds.

    Raises
    ------
    TooLargeError
        Naming what is needed, what there is, and what would fit.
    """
    free = free_memory() if free is None else free
    if needed <= free:
        return
    advice = advice or f'use binning {binning_that_fits(needed, free, binning)} or fewer elements'
    raise TooLargeError(f'{what} needs {_size(needed)} of memory, {_size(free)} are free; {advice.rstrip(".")}.')


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # 'max' means no limit
        return None


def _size(count: float) -> str:
    return f'{count / 1e9:.1f} GB' if count >= 1e8 else f'{count / 1e6:.0f} MB'
