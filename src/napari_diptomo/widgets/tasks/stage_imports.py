"""Imports beside the window, so that a page that is entered waits neither for scipy nor for pyqtgraph."""

from __future__ import annotations

import importlib
import threading
from functools import cache

#: In the order in which they are needed. None of them imports torch or HyperSpy.
_LATER = (
    'pyqtgraph',
    'napari_diptomo.series.reading.tilt_series',
    'napari_diptomo.spectra',
    'napari_diptomo.align',
    'napari_diptomo.reconstruct',
    'napari_diptomo.assess',
)


@cache
def import_stages() -> threading.Thread:
    """Begin to import the plots, what reads files and the packages of the stages, once in a process.

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
    for name in _LATER:
        if not threading.main_thread().is_alive():
            return
        importlib.import_module(name)
