"""Imports of the stages in a thread, so that a page that is entered does not wait for scipy."""

from __future__ import annotations

import importlib
import threading
from functools import cache

#: In the order of the pages. None of them imports torch or HyperSpy.
_STAGES = ('spectra', 'align', 'reconstruct', 'assess')


@cache
def import_stages() -> threading.Thread:
    """Begin to import the packages of the stages, once in a process.

    Returns
    -------
    Thread
        Has ended when all of them are there.
    """
    # No daemon: Python waits for it, as an import that is cut off when Python ends may end in a crash.
    thread = threading.Thread(target=_import_all, name='imports of the stages')
    thread.start()
    return thread


def _import_all() -> None:
    for stage in _STAGES:
        if not threading.main_thread().is_alive():
            return
        importlib.import_module(f'napari_diptomo.{stage}')
