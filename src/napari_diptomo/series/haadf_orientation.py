"""How the images of a HAADF series lie against the maps, and their change on loading so that they lie alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

Orientation = Literal[
    'as recorded',
    'reverse x',
    'reverse y',
    'turn by 180',
    'turn left',
    'turn right',
    'swap x and y',
    'swap and turn by 180',
]
ORIENTATIONS: tuple[Orientation, ...] = get_args(Orientation)
#: Those that make columns of rows.
SWAPPING = frozenset(('turn left', 'turn right', 'swap x and y', 'swap and turn by 180'))

# numpy turns anticlockwise as displayed, since y points down.
_CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'as recorded': np.asarray,
    'reverse x': lambda stack: stack[..., ::-1],
    'reverse y': lambda stack: stack[..., ::-1, :],
    'turn by 180': lambda stack: stack[..., ::-1, ::-1],
    'turn left': lambda stack: np.rot90(stack, 1, (-2, -1)),
    'turn right': lambda stack: np.rot90(stack, -1, (-2, -1)),
    'swap x and y': lambda stack: stack.swapaxes(-2, -1),
    'swap and turn by 180': lambda stack: stack.swapaxes(-2, -1)[..., ::-1, ::-1],
}


def oriented(stack: np.ndarray, orientation: Orientation) -> np.ndarray:
    """Images changed as an orientation says; a view.

    Parameters
    ----------
    stack : ndarray (..., y, x)
        Displayed with x to the right and y downwards, the tilt axis along y.
    orientation : str
        What is done to them: left is by 90° anticlockwise as displayed, right clockwise.

    Returns
    -------
    ndarray (..., y, x)
        With as many rows as there were columns where axes are swapped or images turned by 90°.
    """
    return _CHANGES[orientation](stack)


def followed_by(first: Orientation, second: Orientation) -> Orientation:
    """The one orientation that does what two do one after the other."""
    picture = np.arange(6).reshape(2, 3)
    wanted = oriented(oriented(picture, first), second)
    return next(one for one in ORIENTATIONS if np.array_equal(oriented(picture, one), wanted))
