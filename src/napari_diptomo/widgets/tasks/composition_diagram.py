"""The diagram of a composition, and the regions that are selected in it, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.jobs.colours import HUES, colours
from napari_diptomo.series import InputError, Observer, Volume

if TYPE_CHECKING:
    from napari_diptomo.assess import ChannelValues, Composition, RegionComposition, TernaryPoints

#: Title of the task that saves regions.
SAVE_REGIONS = 'Save regions'
#: Hues that stand out on the layers of a composition and on the diagram: cyan, green, yellow, violet.
_BRIGHT = (HUES[12], HUES[8], HUES[4], HUES[13])


@dataclass(frozen=True, eq=False)
class Quantified:
    """A composition or oxidation state, and what it was made of.

    Attributes
    ----------
    result : Volume
        Percent, or oxidation states; 0 where masked.
    counts : Volume, optional
        What was quantified; None where a result was opened from a file.
    step : Composition, optional
        That quantified them; None for oxidation states.
    """

    result: Volume
    counts: Volume | None = None
    step: Composition | None = None

    @property
    def source(self) -> Volume:
        """Of which the mean composition of a region is made: the counts where they are known."""
        return self.result if self.counts is None or self.step is None else self.counts


@dataclass(frozen=True)
class View:
    """The part of a composition that is shown.

    Attributes
    ----------
    channels : tuple of str
        Three for a ternary diagram, one for a histogram.
    counts : bool
        Whether the histogram is of the counts.
    """

    channels: tuple[str, ...]
    counts: bool = False

    @property
    def ternary(self) -> bool:
        """Whether it is a ternary diagram."""
        return len(self.channels) == 3


@dataclass(frozen=True, eq=False)
class Circle:
    """Voxels about a composition; ``radius`` as a fraction."""

    view: View
    points: TernaryPoints
    centre: np.ndarray
    radius: float

    def mask(self) -> np.ndarray:
        """The voxels (z, y, x)."""
        return self.points.in_circle(tuple(self.centre), self.radius)

    def __str__(self) -> str:
        names = zip(self.points.channels, self.centre, strict=True)
        middle = ' '.join(f'{name} {100 * share:.0f}' for name, share in names)
        return f'{middle} ± {100 * self.radius:.2g} {self.points.unit}'


@dataclass(frozen=True, eq=False)
class Outline:
    """Voxels within an outline; ``corners`` (corner, 3) as fractions."""

    view: View
    points: TernaryPoints
    corners: np.ndarray

    def mask(self) -> np.ndarray:
        """The voxels (z, y, x)."""
        return self.points.in_outline(self.corners)

    def __str__(self) -> str:
        low, high = (100 * np.clip(side(axis=0), 0, 1) for side in (self.corners.min, self.corners.max))
        spans = (f'{n} {a:.0f}-{b:.0f}' for n, a, b in zip(self.points.channels, low, high, strict=True))
        return f'outline in {" ".join(spans)} {self.points.unit}'


@dataclass(frozen=True, eq=False)
class Interval:
    """Voxels of an interval of one channel."""

    view: View
    values: ChannelValues
    low: float
    high: float

    def mask(self) -> np.ndarray:
        """The voxels (z, y, x)."""
        return self.values.between(self.low, self.high)

    def __str__(self) -> str:
        return f'{self.values.channel} {self.low:g} to {self.high:g} {self.values.unit}'.strip()


Shape = Circle | Outline | Interval


@dataclass(frozen=True, eq=False)
class SelectedRegion:
    """Voxels that were selected, with what they consist of.

    Attributes
    ----------
    shape : Circle, Outline or Interval
        By what.
    whole : ndarray of bool (z, y, x)
        All voxels of the shape.
    mask : ndarray of bool (z, y, x)
        Those that no later region has taken: each voxel has one label.
    composition : RegionComposition
        NaN for errors where only the percent are known.
    volume : float
        nm^3.
    """

    shape: Shape
    whole: np.ndarray
    mask: np.ndarray
    composition: RegionComposition
    volume: float


def plotting(quantified: Quantified, view: View) -> Callable[[Observer], TernaryPoints | ChannelValues]:
    """The voxels as they lie in a diagram or histogram."""

    def plot_composition(observer: Observer) -> TernaryPoints | ChannelValues:
        from napari_diptomo.assess import carried_voxels, channel_values, ternary_points

        if view.ternary:
            return ternary_points(quantified.result, view.channels)
        if view.counts and quantified.counts is not None:
            return channel_values(quantified.counts, view.channels[0], carried_voxels(quantified.result))
        return channel_values(quantified.result, view.channels[0])

    return plot_composition


def selecting(
    quantified: Quantified, before: Sequence[SelectedRegion], shape: Shape
) -> Callable[[Observer], tuple[SelectedRegion, ...]]:
    """The regions with one more, which takes its voxels from those before; what is left with none is gone."""

    def select_voxels(observer: Observer) -> tuple[SelectedRegion, ...]:
        whole = shape.mask()
        if not whole.any():
            raise InputError(f'No voxel lies in {shape}; draw where the diagram has some.')
        found = [_region(quantified, shape, whole, whole)]
        taken = whole.copy()
        for region in reversed(before):
            mask = region.whole & ~taken
            taken |= region.whole
            if np.array_equal(mask, region.mask):
                found.append(region)
            elif mask.any():
                found.append(_region(quantified, region.shape, region.whole, mask))
        return tuple(reversed(found))

    return select_voxels


def saving_regions(quantified: Quantified, regions: Sequence[SelectedRegion], path: str) -> Callable[[Observer], Path]:
    """Write the regions as a table (.csv) or as labels (.tif)."""

    def save_regions(observer: Observer) -> Path:
        from napari_diptomo.assess import measure, write_regions
        from napari_diptomo.series.writing.stacks import write_labels

        labels = labels_of(regions)
        source = quantified.source
        if Path(path).suffix.lower() in ('.tif', '.tiff'):
            return write_labels(labels, source, path)
        filled = tuple(
            replace(one, percent=found.percent, error=np.hypot(found.standard_error, found.factor_error))
            for one, found in zip(measure(labels, source), (region.composition for region in regions), strict=True)
        )
        return write_regions(filled, regions[0].composition.channels, path, selected=names_of(regions))

    return save_regions


def labels_of(regions: Sequence[SelectedRegion]) -> np.ndarray:
    """Labels (z, y, x) of regions, 1 for the first."""
    labels = np.zeros(regions[0].mask.shape, np.uint16)
    for label, region in enumerate(regions, start=1):
        labels[region.mask] = label
    return labels


def names_of(regions: Sequence[SelectedRegion]) -> Mapping[int, str]:
    """By what each label was selected."""
    return {label: str(region.shape) for label, region in enumerate(regions, start=1)}


def region_hues(channels: Sequence[str], count: int) -> list[str]:
    """Colours of regions, bright ones first: none is that of an element as long as there are others."""
    taken = set(colours(channels).values())
    free = [hue for hue in (*_BRIGHT, *HUES) if hue not in taken] or list(HUES)
    free = list(dict.fromkeys(free))
    return [free[number % len(free)] for number in range(count)]


def describe_points(points: TernaryPoints, result: Volume) -> str:
    """How far a single voxel's error moves it, and which voxels lie where they do by convention."""
    parts = [f'{points.fractions.shape[1]} voxels.']
    error = 100 * float(np.median(points.error))
    if np.isfinite(error):
        words = _with_source(f'± {error:.2g} {points.unit}', result)
        wider = 'a wider one may be as well' if _is_lower_bound(result) else 'not a range of phases'
        parts.append(f"A single voxel's error moves it by {words}: a cloud no wider than this is noise, {wider}.")
    if points.moved:
        share = 100 * points.moved / points.fractions.shape[1]
        parts.append(f'{share:.2g} % of them lie on a side because a negative percentage counts as none.')
    if points.left_out:
        together = ', '.join(points.channels)
        parts.append(f'{points.left_out} voxels with less than a tenth of {together} are left out.')
    return ' '.join(parts)


def describe_values(values: ChannelValues, result: Volume) -> str:
    """How wide a single voxel's error is."""
    parts = [f'{len(values.values)} voxels.']
    error = float(np.median(values.error))
    if np.isfinite(error) and values.unit != 'counts':
        words = _with_source(f'± {error:.2g} {values.unit}'.strip(), result)
        wider = 'and a wider one may be' if _is_lower_bound(result) else 'not a range of phases'
        parts.append(f"A single voxel's error is {words}: a peak no wider than this is one phase, {wider}.")
    return ' '.join(parts)


def _with_source(error: str, result: Volume) -> str:
    if _is_lower_bound(result):
        return f'at least {error} (median, counting statistics alone)'
    return f'{error} (median, from the spread of the volume)'


def _is_lower_bound(result: Volume) -> bool:
    """Whether the errors of a composition or oxidation state are those of the counts alone."""
    notes: Mapping[str, Any] = result.notes.get('composition') or result.notes.get('oxidation_state') or {}
    return 'lower bound' in str(notes.get('errors', ''))


def _region(quantified: Quantified, shape: Shape, whole: np.ndarray, mask: np.ndarray) -> SelectedRegion:
    volume = int(mask.sum()) * quantified.result.voxel_size**3
    return SelectedRegion(shape, whole, mask, _mean(quantified, mask), volume)


def _mean(quantified: Quantified, mask: np.ndarray) -> RegionComposition:
    """Of the summed counts where these are known, else the mean of the voxels, without an error."""
    from napari_diptomo.assess import RegionComposition, percent_channels, region_composition, units_of

    if quantified.counts is not None and quantified.step is not None:
        return region_composition(quantified.counts, mask, quantified.step)
    result = quantified.result
    channels = percent_channels(result) or result.channels
    means = np.array([result.data[result.channels.index(name)][mask].mean(dtype=float) for name in channels])
    unknown = np.full(len(means), np.nan)
    return RegionComposition(channels, means, unknown, unknown, units_of(result)[channels[0]], int(mask.sum()))
