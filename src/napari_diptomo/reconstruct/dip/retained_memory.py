"""Memory of the C library kept between iterations, for as long as a fit runs on the CPU.

Every layer of every iteration allocates and frees arrays of megabytes. The GNU C
library gives such memory back to the system each time, and the system hands it out
again page by page, filled with zeros. It need not, for the next iteration asks for the
very same arrays. Measured at 64^3 voxels and 3 channels, processes of their own in
turns: an iteration of 0.26 s takes 0.21 s on two threads, one of 0.35 s 0.23 s on one.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

import torch

# From malloc.h, with the library's own starting values.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_HELD = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}
#: Where the library's own adjustment ends up; setting any of them has switched that off.
_TYPICAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}


@contextlib.contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Keep released memory for the next iteration; on leaving it goes back to the system. CPU and GNU C library only."""
    library = _gnu_library() if device.type == 'cpu' else None
    if library is None:
        yield
        return
    for what, value in _HELD.items():
        library.mallopt(what, value)
    try:
        yield
    finally:
        for what, value in _TYPICAL.items():
            library.mallopt(what, value)
        library.malloc_trim(0)


def _gnu_library() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != 'glibc':
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, 'mallopt') and hasattr(library, 'malloc_trim') else None
