"""Limits of reading a file: seconds of silence and bytes of memory beyond which it counts as broken."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from napari_diptomo.series.memory import free_memory

#: Seconds that any file has, and bytes that a slow disk and a slow format bring in a second beyond.
_SECONDS, _RATE = 12.0, 4e6
#: Bytes that any file may take, and times its size that a compressed one may.
_LEAST, _TIMES = 4 * 1024**3, 200
#: Fraction of the free memory that may be given away, and bytes that are allowed where hardly any is free: the system
#: may find more than it counts as free, or else ends the reader before the viewer.
_SHARE, _ALWAYS = 0.8, 1024**3


def seconds_for(path: str | Path) -> float:
    """Seconds without a sign of life after which reading this file is given up: 12 s, and 1 s more every 4 MB."""
    return _SECONDS + bytes_of([path]) / _RATE


def memory_for(paths: Iterable[str | Path]) -> int:
    """Bytes that reading these files may take.

    4 GiB or 200 times their size, at most 80 % of what is free, at least 1 GiB.
    """
    return int(max(min(max(_LEAST, _TIMES * bytes_of(paths)), _SHARE * free_memory()), _ALWAYS))


def bytes_of(paths: Iterable[str | Path]) -> int:
    """Size of files with what lies beside them under the same stem (headers have their data there), and of folders."""
    return sum(_size(Path(path)) for path in paths)


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            # Only a store is a folder inside folders; another may have the whole disk below it.
            inside = path.rglob('*') if path.suffix.lower() in ('.zspy', '.zarr') else path.iterdir()
            return sum(child.stat().st_size for child in inside if child.is_file())
        beside = path.parent.glob(f'{glob.escape(path.stem)}.*')
        return sum(child.stat().st_size for child in {path, *beside} if child.is_file())
    except (OSError, ValueError):
        return 0
