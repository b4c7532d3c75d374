"""Values of a channel in the voxels that carry a composition: a histogram, and the voxels of an interval of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError, Volume

#: Bins where no unit says how wide one is.
_BINS = 100


@dataclass(frozen=True, eq=False)
class ChannelValues:
    """The values of one channel.

    Attributes
    ----------
    channel, unit : str
        Unit as of a composition, ``'counts'``, or empty.
    inside : ndarray of bool (z, y, x)
        The voxels.
    values : ndarray (voxel,)
        In the order of ``inside``; not clipped, so noise about 0 is seen as such.
    error : ndarray (voxel,)
        Of one standard deviation; NaN where the volume has none.
    """

    channel: str
    unit: str
    inside: np.ndarray
    values: np.ndarray
    error: np.ndarray

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Voxels by value: bins of one percent, or a hundred bins of other units.

        Returns
        -------
        edges : ndarray (bin + 1,)
        counts : ndarray of int (bin,)
            The last bin holds its upper edge as well.
        """
        low, high = float(self.values.min()), float(self.values.max())
        if self.unit.endswith('%'):
            low = np.floor(low)
            edges = low + np.arange(max(int(np.ceil(high - low)), 1) + 1)
        elif low < high:
            edges = np.linspace(low, high, _BINS + 1)
        else:
            edges = np.array([low - 0.5, low + 0.5])
        counts, _ = np.histogram(self.values, edges)
        return edges, counts

    def of_voxel(self, voxel: tuple[int, int, int]) -> float | None:
        """The value of a voxel.

        Parameters
        ----------
        voxel : tuple of int
            (z, y, x).

        Returns
        -------
        float or None
            None where it is not among these.
        """
        number = place_among(self.inside, voxel)
        return None if number is None else float(self.values[number])

    def between(self, low: float, high: float) -> np.ndarray:
        """The voxels of an interval.

        Parameters
        ----------
        low, high : float
            Ends of it; both belong to it.

        Returns
        -------
        ndarray of bool (z, y, x)

        Raises
        ------
        InputError
            The interval ends before it begins.
        """
        if not low <= high:
            raise InputError(f'An interval from {low:g} to {high:g} holds nothing; give the lower end first.')
        return these_of(self.inside, (self.values >= low) & (self.values <= high))


def channel_values(volume: Volume, channel: str, inside: np.ndarray | None = None) -> ChannelValues:
    """The values of a channel of a composition, an oxidation state or a volume of counts.

    Parameters
    ----------
    volume : Volume
    channel : str
    inside : ndarray of bool (z, y, x), optional
        The voxels; default: those that are not masked, and of counts all.

    Returns
    -------
    ChannelValues

    Raises
    ------
    InputError
        There is no such channel, no voxel, or a mask of another shape.
    """
    if channel not in volume.channels:
        raise InputError(f'There is no channel {channel}; choose among {", ".join(volume.channels)}.')
    counts = not _is_quantified(volume)
    if inside is None:
        inside = np.ones(volume.data.shape[1:], bool) if counts else carried_voxels(volume)
    inside = np.asarray(inside, bool)
    if inside.shape != volume.data.shape[1:]:
        raise InputError(
            f'The mask has the shape {inside.shape} and the volume {volume.data.shape[1:]}; take one of it.'
        )
    if not inside.any():
        raise InputError('The mask is empty; mark the voxels that shall be counted.')
    index = volume.channels.index(channel)
    values = volume.data[index][inside].astype(float)
    error = np.full(len(values), np.nan) if volume.std is None else volume.std[index][inside].astype(float)
    return ChannelValues(channel, 'counts' if counts else units_of(volume)[channel], inside, values, error)


def carried_voxels(composition: Volume) -> np.ndarray:
    """The voxels that a composition or an oxidation state has not masked.

    Parameters
    ----------
    composition : Volume
        What `Composition` or `OxidationState` returned.

    Returns
    -------
    ndarray of bool (z, y, x)

    Raises
    ------
    InputError
        Counts, or nothing that is not masked.
    """
    _require_quantified(composition)
    carried = (composition.data != 0).any(axis=0)
    if not carried.any():
        raise InputError(
            'No voxel is above the threshold of the composition; compute it again with a larger error or fewer counts allowed.'
        )
    return carried


def percent_channels(composition: Volume) -> tuple[str, ...]:
    """The channels of a composition that are atomic or weight percent, without its density.

    Parameters
    ----------
    composition : Volume
        What `Composition` or `OxidationState` returned; the latter has none.

    Returns
    -------
    tuple of str

    Raises
    ------
    InputError
        Counts.
    """
    _require_quantified(composition)
    return tuple(name for name, unit in units_of(composition).items() if unit.endswith('%'))


def units_of(composition: Volume) -> dict[str, str]:
    """Units of the channels, empty where there is none.

    Parameters
    ----------
    composition : Volume

    Returns
    -------
    dict of str to str
        By channel.
    """
    units = composition.notes.get('composition', {}).get('units', {})
    return {name: str(units.get(name, '')) for name in composition.channels}


def place_among(inside: np.ndarray, voxel: tuple[int, int, int]) -> int | None:
    """The place of a voxel among those of a mask, in their order; None where it is none of them.

    Parameters
    ----------
    inside : ndarray of bool (z, y, x)
    voxel : tuple of int
        (z, y, x).

    Returns
    -------
    int or None
    """
    if not inside[voxel]:
        return None
    before = int(np.ravel_multi_index(voxel, inside.shape))
    return int(np.count_nonzero(inside.ravel()[:before]))


def these_of(inside: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Some voxels of a mask as a mask of their own.

    Parameters
    ----------
    inside : ndarray of bool (z, y, x)
    chosen : ndarray of bool (voxel,)
        Of those of the mask, in their order.

    Returns
    -------
    ndarray of bool (z, y, x)
    """
    mask = np.zeros(inside.shape, bool)
    mask[inside] = chosen
    return mask


def _is_quantified(volume: Volume) -> bool:
    """Whether a volume was quantified."""
    return 'composition' in volume.notes or 'oxidation_state' in volume.notes


def _require_quantified(volume: Volume) -> None:
    if not _is_quantified(volume):
        raise InputError(
            'The volume holds counts, and atomic or weight percent are needed; run Composition on it first.'
        )
