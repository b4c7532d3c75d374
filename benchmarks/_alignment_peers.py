"""Shifts of a tilt series by other programs: pystackreg, and ETSpy where it is installed.

Both align each image with the one before. ETSpy has its tilt axis along the rows, so images are exchanged for it; its
shifts are those that bring an image back.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from functools import partial

import numpy as np


def stackreg(images: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Thevenaz et al., IEEE Trans. Image Process. 7 (1998) 27, translations, from the untilted image outwards."""
    from pystackreg import StackReg

    shifts = np.zeros((len(images), 2))
    middle = int(np.abs(angles).argmin())
    for i in [*range(middle + 1, len(images)), *range(middle - 1, -1, -1)]:
        before = i - 1 if i > middle else i + 1
        found = StackReg(StackReg.TRANSLATION).register(images[before], images[i])
        shifts[i] = shifts[before] + found[:2, 2][::-1]
    return shifts


def etspy(method: str, images: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """ETSpy's ``stack_register``: 'PC' phase correlation, 'COM-CL' centre of mass and common line."""
    from etspy.base import TomoStack

    # It draws progress bars whatever it is asked.
    with contextlib.redirect_stderr(io.StringIO()):
        logging.disable(logging.WARNING)
        try:
            stack = TomoStack(images.transpose(0, 2, 1).astype(np.float32), np.asarray(angles, float)[:, None])
            # The centre of mass is brought to the middle, not to the number of the first image.
            more = {'com_ref_index': (images.shape[2] - 1) / 2} if method.startswith('COM') else {}
            aligned = stack.stack_register(method, show_progressbar=False, **more)
        finally:
            logging.disable(logging.NOTSET)
    return -np.asarray(aligned.shifts.data, float).reshape(len(images), 2)[:, ::-1]


PEERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    'StackReg': stackreg,
    'ETSpy PC': partial(etspy, 'PC'),
    'ETSpy COM-CL': partial(etspy, 'COM-CL'),
}
