"""Classes of voxels by the features of a known truth, for scores that a mean over the volume would hide.

The interior of a phase, its faces and what is hardly larger than a voxel differ
in how well a tilt series determines them: faces normal to the beam lose most to
the missing wedge, and small features most to any prior that smooths. Error bars
that hold on the whole may hold for none of the latter.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    binary_erosion,
    distance_transform_edt,
    gaussian_filter,
    label,
    maximum_filter,
    median,
)
from scipy.ndimage import maximum as largest

from napari_diptomo.assess._arrays import as_channels

BULK, SMALL, EMPTY = 'bulk', 'small features', 'empty'
NORMAL_FACES, PARALLEL_FACES = 'faces normal to the beam', 'faces along the beam'
CLASSES = (BULK, NORMAL_FACES, PARALLEL_FACES, SMALL, EMPTY)

#: A jump over two voxels is at least so much of the largest value beside it, and so much of the channel's maximum.
_CONTRAST, _FLOOR = 0.4, 0.1
#: It holds at least so much of the change over six voxels: that distinguishes a face from a gradient.
_SHARPNESS = 0.6
#: Matter: above this part of the maximum of any channel.
_MATTER = 0.05
#: The faintest small feature, relative to the maximum of its channel.
_FAINTEST = 0.1
#: Sheets have faces and are no small features. Within 5 voxels a rod without a cube of 3 has at most about 62 neighbours,
#: a sheet of one voxel 79.
_WINDOW, _SHEET = 5, 70
_CUBE = np.ones((3, 3, 3), bool)


def voxel_classes(truth: np.ndarray, angle: float = 30.0) -> dict[str, np.ndarray]:
    """Classes of the voxels of each channel; they do not overlap, and some voxels belong to none.

    Parameters
    ----------
    truth : ndarray (channel, z, y, x) or (z, y, x)
        Non-negative; the beam is along z.
    angle : float
        Degrees between the normal of a face and the beam, below which the face counts as
        normal to it; as many from the plane across the beam, and it counts as along it.

    Returns
    -------
    dict of str to ndarray of bool (channel, z, y, x)
        'bulk': inside the specimen, more than 2 voxels from any jump of the channel.
        'faces normal to the beam', 'faces along the beam': within a voxel of a jump of
        the channel. 'small features': connected parts of the channel that are 1 or 2
        voxels across, grains and rods but not sheets, where they are above half of their maximum.
        'empty': no matter of any channel within 2 voxels.
    """
    truth = as_channels(truth)
    matter = np.any([c > _MATTER * max(float(c.max()), 1e-300) for c in truth], axis=0)
    small = np.stack([_small(channel) for channel in truth])
    # Two voxels around a small feature are its own surroundings, and no face of a body.
    around = binary_dilation(small.any(axis=0), _CUBE, iterations=2)
    found: dict[str, list[np.ndarray]] = {name: [] for name in CLASSES}
    empty = binary_erosion(~matter, _CUBE, iterations=2, border_value=1)
    for channel, own in zip(truth, small, strict=True):
        jump = _jumps(channel)
        faces = jump & ~around
        steep = _steepness(channel)
        far = distance_transform_edt(~jump) > 2 if jump.any() else np.ones(jump.shape, bool)
        found[BULK].append(matter & far & ~own)
        found[NORMAL_FACES].append(faces & (steep > np.cos(np.deg2rad(angle))))
        found[PARALLEL_FACES].append(faces & (steep < np.sin(np.deg2rad(angle))))
        found[SMALL].append(own)
        found[EMPTY].append(empty & ~own & ~faces)
    return {name: np.stack(masks) for name, masks in found.items()}


def _difference(channel: np.ndarray, reach: int) -> np.ndarray:
    """Length of the difference over ``2 * reach`` voxels along each axis, (z, y, x)."""
    padded = np.pad(channel, reach, mode='edge')
    inner = slice(reach, -reach)
    total = np.zeros_like(channel)
    for axis in range(3):
        ahead, behind = ([inner] * 3 for _ in range(2))
        ahead[axis], behind[axis] = slice(2 * reach, None), slice(None, -2 * reach)
        total += (padded[tuple(ahead)] - padded[tuple(behind)]) ** 2
    return np.sqrt(total)


def _jumps(channel: np.ndarray) -> np.ndarray:
    """Voxels within about a voxel of an abrupt change, (z, y, x)."""
    step = _difference(channel, 1)
    beside = maximum_filter(channel, 3, mode='nearest')
    return (step > _FLOOR * channel.max()) & (step > _CONTRAST * beside) & (step > _SHARPNESS * _difference(channel, 3))


def _steepness(channel: np.ndarray) -> np.ndarray:
    """|cos| of the angle between the gradient and the beam, (z, y, x)."""
    # Over a voxel or so: single differences know three directions only.
    parts = [gaussian_filter(channel, 1.0, order=np.eye(3, dtype=int)[axis], mode='nearest') for axis in range(3)]
    return np.abs(parts[0]) / np.maximum(np.sqrt(sum(part**2 for part in parts)), 1e-300)


def _small(channel: np.ndarray) -> np.ndarray:
    """Parts that stand alone at half of their maximum, hold no cube of 3 voxels there and are no sheets, (z, y, x)."""
    found = np.zeros(channel.shape, bool)
    top = float(channel.max())
    level = top / 2
    while level >= _FAINTEST / 2 * top > 0:
        above = channel > level
        parts, count = label(above, _CUBE)
        if count:
            peaks = np.asarray(largest(channel, parts, np.arange(1, count + 1)))
            # Levels are a factor of 1.25 apart: each part is looked at near half of its own maximum, and there alone.
            good = np.concatenate([[False], peaks <= 2.5 * level])
            good[np.unique(parts[binary_erosion(above, _CUBE)])] = False
            if good.any():
                good[1:] &= _crowding(good[parts], parts, count) < _SHEET
            found |= good[parts] & (channel >= _half(peaks, parts))
        level /= 1.25
    return found


def _crowding(above: np.ndarray, parts: np.ndarray, count: int) -> np.ndarray:
    """Median number of neighbours within `_WINDOW` voxels, per part, (part,)."""
    axis = np.arange(-_WINDOW, _WINDOW + 1) ** 2
    ball = axis[:, None, None] + axis[:, None] + axis <= _WINDOW**2
    # Half a second to import, in every computing process.
    from scipy.signal import fftconvolve

    neighbours = fftconvolve(above.astype(np.float32), ball.astype(np.float32), mode='same')
    return np.asarray(median(neighbours, parts, np.arange(1, count + 1)))


def _half(peaks: np.ndarray, parts: np.ndarray) -> np.ndarray:
    return np.concatenate([[np.inf], peaks / 2])[parts]
