"""Shifts from neighbour to neighbour, from the lowest tilt outward.

Neighbouring tilts look most alike. Both are stretched to zero tilt first, so
that a flat specimen gives the same picture, then the displacement between
them is added to the shift of the one already placed. Errors add up along the
chain, and height in the specimen displaces its picture: `projection_matching` corrects both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.align.image_correlation import at_zero_tilt, displacement, prepared
from napari_diptomo.series import Watch

_PASSES = 6
_SETTLED = 0.05  # pixels


@dataclass(frozen=True)
class Chain:
    """Shifts (tilt, 2) in pixels, and the tilts whose displacement was too large to be accepted."""

    shifts: np.ndarray
    doubtful: tuple[int, ...]


def chained_shifts(images: np.ndarray, angles: np.ndarray, upsampling: int, largest: float, watch: Watch) -> Chain:
    """Place every image by its neighbour nearer to zero tilt.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
    angles : ndarray (tilt,)
        Degrees, ascending.
    upsampling : int
        Displacements are found to 1 / upsampling pixel.
    largest : float
        Displacement between neighbours, in pixels, beyond which a
        correlation is taken for a mistake and the neighbour's shift is used.
    """
    lowest = int(np.argmin(np.abs(angles)))
    shifts = np.zeros((len(images), 2))
    doubtful = []
    outward = [(i, i - 1) for i in range(lowest + 1, len(images))] + [(i, i + 1) for i in range(lowest - 1, -1, -1)]
    for number, (i, neighbour) in enumerate(outward, start=1):
        shifts[i], accepted = _place(images, angles, shifts, i, neighbour, upsampling, largest)
        if not accepted:
            doubtful.append(i)
        watch.step(number, message=f'{angles[i]:g} deg')
    return Chain(shifts, tuple(sorted(doubtful)))


def _place(
    images: np.ndarray,
    angles: np.ndarray,
    shifts: np.ndarray,
    i: int,
    neighbour: int,
    upsampling: int,
    largest: float,
) -> tuple[np.ndarray, bool]:
    cosines = np.cos(np.deg2rad(angles))
    reference = prepared(at_zero_tilt(images[neighbour], angles[neighbour], shifts[neighbour]))
    start = shifts[neighbour] * (1.0, cosines[i] / cosines[neighbour])
    shift = start.copy()
    # The window is the same for both, so a displacement comes out short at
    # first; it is repeated with the image moved back by what was found.
    for _ in range(_PASSES):
        found = displacement(prepared(at_zero_tilt(images[i], angles[i], shift)), reference, upsampling)
        shift = shift + found * (1.0, cosines[i])
        if np.abs(shift - start).max() > largest:
            return start, False
        if np.abs(found).max() <= _SETTLED:
            break
    return shift, True
