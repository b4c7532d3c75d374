"""Painting with an end that does not hang on when Python lets go of the painter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtGui import QPaintDevice, QPainter


@contextmanager
def painting(device: QPaintDevice) -> Iterator[QPainter]:
    """A painter with smooth edges that ends with the block, after an error as well.

    A painter that is only a local variable lives as long as the frame of its function: as long as a traceback
    keeps that, or another thread that samples stacks. A widget that is deleted meanwhile takes the program down
    ("QPaintDevice: Cannot destroy paint device that is being painted").
    """
    painter = QPainter(device)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    try:
        yield painter
    finally:
        painter.end()
