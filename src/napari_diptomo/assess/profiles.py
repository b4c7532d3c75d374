"""Profiles of a volume along a line, all channels at once, averaged over a box or rod about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_diptomo.assess.csv_tables import write_table
from napari_diptomo.series import InputError, Volume


@dataclass(frozen=True, eq=False)
class Profile:
    """Values along a line.

    Attributes
    ----------
    channels : tuple of str
    distance : ndarray (point,)
        From the start of the line, nm.
    values : ndarray (channel, point)
        Means over the cross section.
    error : ndarray (channel, point)
        Standard error of these means: of the spread of the volume where it has one, which the points of a cross section
        share, else of the scatter over the cross section; NaN where a line has neither.
    rays : int
        Points in the cross section.
    """

    channels: tuple[str, ...]
    distance: np.ndarray
    values: np.ndarray
    error: np.ndarray
    rays: int

    def width(self, channel: str) -> float:
        """Distance over which an interface goes from 25 to 75 % of its step, nm.

        Parameters
        ----------
        channel : str
            Whose profile is one step.

        Returns
        -------
        float
            For an interface blurred by a Gaussian, 1.35 times its standard deviation.

        Raises
        ------
        InputError
            There is no such channel, or its profile is no step.
        """
        if channel not in self.channels:
            raise InputError(f'There is no channel {channel}; choose among {", ".join(self.channels)}.')
        values = self.values[self.channels.index(channel)]
        tenth = max(len(values) // 10, 1)
        first, last = values[:tenth].mean(), values[-tenth:].mean()
        if first == last:
            raise InputError(f'The profile of {channel} begins and ends at one value; draw it across one interface.')
        share = (values - first) / (last - first)
        quarter, three = (_crossing(self.distance, share, level) for level in (0.25, 0.75))
        return float(abs(three - quarter))

    def write_csv(self, path: str | Path) -> Path:
        """Write one line per point: distance, then value and standard error of each channel.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path
        """
        headings = ['distance_nm']
        for name in self.channels:
            headings += [name, f'standard_error_{name}']
        pairs = np.stack([self.values, self.error], axis=1).reshape(-1, len(self.distance))
        rows = np.column_stack([self.distance, pairs.T])
        return write_table(path, headings, rows)


def line_profile(volume: Volume, start: Sequence[float], end: Sequence[float], width: float = 0.0) -> Profile:
    """Values of all channels along a line through a volume.

    Parameters
    ----------
    volume : Volume
        Counts or percent.
    start, end : sequence of float
        Points (z, y, x) in voxels, the first voxel's centre being 0.
    width : float
        Side of the square cross section about the line that is averaged, nm; 0: the line itself.

    Returns
    -------
    Profile
        A point per voxel of length.

    Raises
    ------
    InputError
        The line is none, or leaves the volume.
    """
    a, b = np.asarray(start, float), np.asarray(end, float)
    shape = volume.data.shape[1:]
    if a.shape != (3,) or b.shape != (3,):
        raise InputError('A profile goes from one point (z, y, x) to another; give three numbers each.')
    length = float(np.linalg.norm(b - a))
    if length < 1:
        raise InputError('The line of the profile is shorter than a voxel; draw a longer one.')
    if width < 0:
        raise InputError(f'The cross section of a profile cannot be {width:g} nm wide; give 0 or more.')
    corners = np.stack([a, b])
    if (corners < -0.5).any() or (corners > np.array(shape) - 0.5).any():
        raise InputError(
            f'The profile leaves the volume of {shape[0]} x {shape[1]} x {shape[2]} voxels (z, y, x); draw it inside.'
        )
    count = round(length) + 1
    points = a + np.linspace(0, 1, count)[:, None] * (b - a)
    across = _cross_section((b - a) / length, width / volume.voxel_size)
    where = (points[:, None] + across).transpose(2, 0, 1)  # (axis, point, ray)
    inside = ((where >= -0.5) & (where <= np.array(shape)[:, None, None] - 0.5)).all(axis=0)

    def mean_of(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Over the rays inside, and the scatter over them."""
        found = np.stack([ndimage.map_coordinates(image, where, order=1, mode='nearest') for image in images])
        weight = inside / inside.sum(axis=1, keepdims=True)
        mean = (found * weight).sum(axis=2)
        scatter = ((found - mean[..., None]) ** 2 * weight).sum(axis=2)
        return mean, np.sqrt(scatter)

    values, scatter = mean_of(volume.data)
    rays = inside.sum(axis=1)
    if volume.std is not None:
        error, _ = mean_of(volume.std)
    else:
        with np.errstate(divide='ignore', invalid='ignore'):
            error = np.where(rays > 1, scatter / np.sqrt(rays - 1), np.nan)
    distance = np.linspace(0, length, count) * volume.voxel_size
    return Profile(volume.channels, distance, values, error, len(across))


def _cross_section(direction: np.ndarray, side: float) -> np.ndarray:
    """Points about the origin in the plane across a direction, a voxel apart, (ray, 3)."""
    half = int(side // 2)
    steps = np.arange(-half, half + 1)
    # Any vector that is not along the line spans the plane with it.
    other = np.eye(3)[int(np.argmin(np.abs(direction)))]
    u = np.cross(direction, other)
    u /= np.linalg.norm(u)
    v = np.cross(direction, u)
    return (steps[:, None, None] * u + steps[None, :, None] * v).reshape(-1, 3)


def _crossing(distance: np.ndarray, share: np.ndarray, level: float) -> float:
    """Where a rising curve first passes a level, interpolated."""
    above = int(np.argmax(share >= level))
    if above == 0:
        return float(distance[0])
    low, high = share[above - 1], share[above]
    return float(distance[above - 1] + (level - low) / (high - low) * (distance[above] - distance[above - 1]))
