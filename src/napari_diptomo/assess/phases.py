r"""Phases of a volume, and its particles: labels, volumes, surfaces, thicknesses, compositions, neighbours.

A phase is a cluster of voxels of alike fractions of the channels (a mixture of Gaussians, the number of which the Bayesian
information criterion chooses, or the user; each voxel goes to the nearest mean), or what lies above a threshold. Only voxels
of the specimen count: those whose total is above Otsu's threshold (IEEE Trans. Syst. Man Cybern. 9 (1979) 62).

The surface of a region is that of the triangles at half its smoothed indicator (marching cubes of Lewiner et al., J. Graph.
Tools 8 (2003) 1), which stairs of voxels would make half as large again. A layer of the volume V and the surface S of both
its faces is 2 V / S thick.

Formulas: volume, surface and thickness of a region (`measure`).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_diptomo.assess.composition import Composition
from napari_diptomo.assess.regions import RegionComposition, region_compositions
from napari_diptomo.series import Finding, InputError, Volume
from napari_diptomo.series.files import replacing

#: Smoothing of the fractions before they are clustered, and of an indicator before its surface is taken, voxels.
_SMOOTHING, _SURFACE_SMOOTHING = 1.0, 1.0
#: Phases that are tried, voxels that a mixture is fitted to, and that a phase needs.
_MOST_PHASES, _MOST_FITTED, _LEAST_VOXELS = 6, 20_000, 27
#: By how much of its value the criterion has to fall for one phase more: noise alone lets it fall a little for ever.
_LEAST_GAIN = 0.02


@dataclass(frozen=True, eq=False)
class Phases:
    """A volume divided into phases.

    Attributes
    ----------
    labels : ndarray of int (z, y, x)
        0 outside the specimen, then 1, 2, ... from the largest phase to the smallest.
    fractions : ndarray (phase, channel)
        Mean fractions of the channels in each.
    channels : tuple of str
    findings : tuple of Finding
        Whether their number is a choice.
    """

    labels: np.ndarray
    fractions: np.ndarray
    channels: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def count(self) -> int:
        """How many phases there are."""
        return len(self.fractions)

    def names(self) -> tuple[str, ...]:
        """Each phase by its channels of more than a twentieth, the strongest first: ``'Ge Te'``.

        Returns
        -------
        tuple of str
        """
        found = []
        for fractions in self.fractions:
            order = [c for c in np.argsort(-fractions) if fractions[c] > 0.05]
            found.append(' '.join(self.channels[c] for c in order))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Region:
    """A particle, or a phase as a whole.

    Attributes
    ----------
    label : int
        Its number.
    phase : int
        The phase that it is of.
    voxels : int
    volume : float
        nm^3.
    surface : float
        nm^2; of a region that the edge of the field cuts, without the cut.
    cut : bool
        Whether the edge of the field cuts it.
    centre : tuple of float
        (z, y, x), nm from the middle of the first voxel.
    percent, error : ndarray (channel,)
        Composition and its standard error, as `napari_diptomo.assess.region_composition`; NaN where none was asked for.
    neighbours : dict of int to float
        Area shared with each other region, nm^2, by its number.
    """

    label: int
    phase: int
    voxels: int
    volume: float
    surface: float
    cut: bool
    centre: tuple[float, float, float]
    percent: np.ndarray
    error: np.ndarray
    neighbours: dict[int, float]

    @property
    def diameter(self) -> float:
        """Of the sphere of its volume, nm."""
        return float((6 * self.volume / np.pi) ** (1 / 3))

    @property
    def thickness(self) -> float:
        """Of the layer that it is if it is one, 2 V / S, nm."""
        return 2 * self.volume / self.surface if self.surface > 0 else float('nan')


def specimen_of(volume: Volume) -> np.ndarray:
    """The voxels of the specimen: those whose total is above Otsu's threshold.

    Parameters
    ----------
    volume : Volume
        Counts.

    Returns
    -------
    ndarray of bool (z, y, x)

    Raises
    ------
    InputError
        The volume is uniform.
    """
    from skimage.filters import threshold_otsu

    total = ndimage.gaussian_filter(volume.data.sum(axis=0), _SMOOTHING)
    if not total.max() > total.min():
        raise InputError('The volume is the same everywhere, so no specimen stands out from what is around it.')
    return total > threshold_otsu(total)


def phases_by_clustering(
    volume: Volume, count: int | None = None, inside: np.ndarray | None = None, seed: int = 0
) -> Phases:
    """Divide a specimen into phases by the fractions of its channels.

    Parameters
    ----------
    volume : Volume
        Counts, of two channels at least.
    count : int, optional
        Phases; default: as many as the Bayesian information criterion asks for, up to six, and a finding where it
        asks for more.
    inside : ndarray of bool (z, y, x), optional
        The specimen; default: `specimen_of`.
    seed : int
        Of the choice of voxels that the mixture is fitted to.

    Returns
    -------
    Phases

    Raises
    ------
    InputError
        One channel, too few voxels, or a number of phases that is none.
    """
    from sklearn.mixture import GaussianMixture

    if len(volume.channels) < 2:
        raise InputError('Phases are distinguished by the fractions of at least two channels; use a threshold for one.')
    inside = specimen_of(volume) if inside is None else _mask(inside, volume)
    if count is not None and not 1 <= count <= 20:
        raise InputError(f'The specimen cannot be divided into {count} phases; give a number between 1 and 20.')
    if inside.sum() < _LEAST_VOXELS * (count or 1):
        raise InputError(
            f'The specimen has {int(inside.sum())} voxels only, too few for phases; choose a larger region.'
        )
    fractions = _fractions(volume, inside)
    # The last fraction follows from the others.
    points = fractions[:-1].T
    rng = np.random.default_rng(seed)
    even = points[_even(fractions, inside)]
    fitted = even[rng.permutation(len(even))[:_MOST_FITTED]]

    def mixture(number: int) -> GaussianMixture:
        return GaussianMixture(number, random_state=seed, n_init=2, reg_covar=1e-5).fit(fitted)

    chosen, findings = (mixture(count), ()) if count is not None else _best(mixture, fitted)
    found = np.zeros(inside.shape, int)
    found[inside] = _nearest(fractions, chosen.means_) + 1
    return replace(_sorted(found, volume), findings=findings)


def phase_by_threshold(volume: Volume, channel: str, fraction: float, inside: np.ndarray | None = None) -> Phases:
    """Divide a specimen in two: where a channel has more than a fraction of the total, and the rest.

    Parameters
    ----------
    volume : Volume
        Counts, or percent.
    channel : str
        Name.
    fraction : float
        Of the total, between 0 and 1; of a volume with one channel, of its maximum.
    inside : ndarray of bool (z, y, x), optional
        The specimen; default: `specimen_of`.

    Returns
    -------
    Phases
        The phase above the threshold, and the rest, the larger one first.

    Raises
    ------
    InputError
        There is no such channel, no such fraction, or nothing on one side of it.
    """
    if channel not in volume.channels:
        raise InputError(f'There is no channel {channel}; choose among {", ".join(volume.channels)}.')
    if not 0 < fraction < 1:
        raise InputError(f'A threshold of {fraction:g} divides nothing; give a fraction between 0 and 1.')
    if len(volume.channels) == 1:
        inside = np.ones(volume.data.shape[1:], bool) if inside is None else _mask(inside, volume)
        smooth = ndimage.gaussian_filter(volume.data[0], _SMOOTHING)
        above = smooth > fraction * smooth.max()
    else:
        inside = specimen_of(volume) if inside is None else _mask(inside, volume)
        above = np.zeros(inside.shape, bool)
        above[inside] = _fractions(volume, inside)[volume.channels.index(channel)] > fraction
    labels = np.where(inside, np.where(above, 1, 2), 0)
    if len(np.unique(labels[inside])) < 2:
        raise InputError(
            f'{"All" if above[inside].any() else "Nothing"} of the specimen has more than {fraction:g} of {channel}; choose '
            'another threshold.'
        )
    return _sorted(labels, volume)


def particles_of(phases: Phases, phase: int, least: int = _LEAST_VOXELS) -> np.ndarray:
    """Connected particles of a phase.

    Parameters
    ----------
    phases : Phases
    phase : int
        Its label.
    least : int
        Voxels; what is smaller is left out.

    Returns
    -------
    ndarray of int (z, y, x)
        0, then 1, 2, ... from the largest particle to the smallest.

    Raises
    ------
    InputError
        There is no such phase.
    """
    if not 1 <= phase <= phases.count:
        raise InputError(f'There is no phase {phase}; there are 1 to {phases.count}.')
    found, number = ndimage.label(phases.labels == phase)
    sizes = np.bincount(found.ravel(), minlength=number + 1)
    order = [label for label in np.argsort(-sizes[1:], kind='stable') + 1 if sizes[label] >= least]
    renumbered = np.zeros(number + 1, int)
    renumbered[order] = np.arange(1, len(order) + 1)
    return renumbered[found]


def measure(
    labels: np.ndarray, volume: Volume, phases: Phases | None = None, composition: Composition | None = None
) -> tuple[Region, ...]:
    """Volume, surface, thickness, composition and neighbours of every labelled region.

    Parameters
    ----------
    labels : ndarray of int (z, y, x)
        Phases or particles, 0 outside.
    volume : Volume
        Counts.
    phases : Phases, optional
        Which phase a particle is of; without it the labels are the phases.
    composition : Composition, optional
        How percent are made of counts; without it there is no composition.

    Returns
    -------
    tuple of Region
        By label.

    Raises
    ------
    InputError
        Labels of another shape, or a composition that cannot be made.
    """
    labels = np.asarray(labels)
    if labels.shape != volume.data.shape[1:]:
        raise InputError(
            f'The labels have the shape {labels.shape} and the volume {volume.data.shape[1:]}; take labels of it.'
        )
    shared = _shared_faces(labels, volume.voxel_size)
    boxes = ndimage.find_objects(labels)
    quantified = {} if composition is None else region_compositions(volume, labels, composition)
    return tuple(
        _region(label, box, labels, volume, phases, quantified.get(label), shared.get(label, {}))
        for label, box in enumerate(boxes, start=1)
        if box is not None
    )


def write_regions(
    regions: Sequence[Region],
    channels: Sequence[str],
    path: str | Path,
    phases: Phases | None = None,
    selected: Mapping[int, str] | None = None,
) -> Path:
    """Write a table of regions, one line each.

    Parameters
    ----------
    regions : sequence of Region
    channels : sequence of str
        Names of the columns of the composition.
    path : str or Path
        ``.csv``.
    phases : Phases, optional
        Whose fractions of the counts are written beside each region.
    selected : mapping of int to str, optional
        By what each region was selected, by its label.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        The file cannot be written; an earlier one stays.
    """
    headings = ['label', 'phase', 'voxels', 'volume_nm3', 'surface_nm2', 'diameter_nm', 'layer_thickness_nm']
    headings += ['cut_by_the_field', 'z_nm', 'y_nm', 'x_nm']
    headings += [heading for name in channels for heading in (name, f'standard_error_{name}')] + ['neighbours']
    if phases is not None:
        headings += [f'of_counts_{name}' for name in phases.channels]
    if selected is not None:
        headings.append('selected_by')
    rows = [_row(one, phases, selected) for one in regions]

    def write(partial: Path) -> None:
        with partial.open('w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows([headings, *rows])

    return replacing(Path(path), write)


def _row(one: Region, phases: Phases | None, selected: Mapping[int, str] | None) -> list[object]:
    composition = np.column_stack([one.percent, one.error]).ravel()
    numbers = [one.volume, one.surface, one.diameter, one.thickness]
    return [
        *(one.label, one.phase, one.voxels),
        *(f'{value:.6g}' for value in numbers),
        'yes' if one.cut else 'no',
        *(f'{value:.6g}' for value in (*one.centre, *composition)),
        ' '.join(f'{label}:{area:.5g}' for label, area in one.neighbours.items()),
        *(() if phases is None else (f'{value:.6g}' for value in phases.fractions[one.phase - 1])),
        *(() if selected is None else (selected.get(one.label, ''),)),
    ]


def _mask(inside: np.ndarray, volume: Volume) -> np.ndarray:
    inside = np.asarray(inside, bool)
    if inside.shape != volume.data.shape[1:]:
        raise InputError(
            f'The mask has the shape {inside.shape} and the volume {volume.data.shape[1:]}; take one of it.'
        )
    if not inside.any():
        raise InputError('The mask is empty; mark the voxels of the specimen.')
    return inside


def _fractions(volume: Volume, inside: np.ndarray) -> np.ndarray:
    """Fractions of the channels, (channel, voxel inside): smoothed within the specimen alone, so that its rim is like it."""
    weight = np.maximum(ndimage.gaussian_filter(inside.astype(np.float32), _SMOOTHING), 1e-6)
    smooth = np.stack([ndimage.gaussian_filter(np.where(inside, c, 0), _SMOOTHING) / weight for c in volume.data])
    values = np.maximum(smooth[:, inside], 0)
    return values / np.maximum(values.sum(axis=0), np.finfo(np.float32).tiny)


def _even(fractions: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The more even half of the voxels, bool (voxel inside): what lies across an interface is no phase of its own."""
    slope = np.zeros(fractions.shape[1])
    for values in fractions:
        image = np.zeros(inside.shape)
        image[inside] = values
        # Neighbours outside the specimen say nothing of its composition.
        nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
        filled = image[tuple(nearest)]
        slope += ndimage.gaussian_gradient_magnitude(filled, _SMOOTHING)[inside] ** 2
    return slope <= np.median(slope)


def _best(mixture: Callable[[int], Any], points: np.ndarray) -> tuple[Any, tuple[Finding, ...]]:
    """The mixture whose number of phases the criterion asks for, and a finding where it would have more than are tried."""
    best = mixture(1)
    lowest = best.bic(points)
    gain = 0.0
    for number in range(2, _MOST_PHASES + 1):
        candidate = mixture(number)
        criterion = candidate.bic(points)
        gain = (lowest - criterion) / abs(lowest)
        if gain < _LEAST_GAIN:
            return best, ()
        best, lowest = candidate, criterion
    return best, (
        Finding(
            'doubt',
            'number of phases',
            f'{_MOST_PHASES} phases are as many as are tried, and the data ask for more (the last one lowered the criterion '
            f'by {100 * gain:.0f} %): the composition changes gradually, or noise is divided. Their number is a choice; set '
            'the one that is known of the specimen.',
            {'phases': _MOST_PHASES, 'last gain, %': 100 * gain},
        ),
    )


def _nearest(fractions: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The phase whose mean fractions are nearest, (voxel inside): a blurred interface is cut in its middle.

    The likelihoods of the mixture would move it towards the phase of the smaller scatter.
    """
    complete = np.column_stack([means, 1 - means.sum(axis=1)])
    distance = ((fractions[:, None] - complete.T[:, :, None]) ** 2).sum(axis=0)
    return np.asarray(distance.argmin(axis=0))


def _sorted(labels: np.ndarray, volume: Volume) -> Phases:
    """Labels from the largest phase to the smallest."""
    sizes = np.bincount(labels.ravel())
    order = [label for label in np.argsort(-sizes[1:], kind='stable') + 1 if sizes[label]]
    renumbered = np.zeros(len(sizes), int)
    renumbered[order] = np.arange(1, len(order) + 1)
    labels = renumbered[labels]
    sums = np.stack([ndimage.sum_labels(c, labels, np.arange(1, len(order) + 1)) for c in volume.data], axis=1)
    return Phases(labels, sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-30), volume.channels)


def _region(
    label: int,
    box: tuple[slice, ...],
    labels: np.ndarray,
    volume: Volume,
    phases: Phases | None,
    quantified: RegionComposition | None,
    neighbours: dict[int, float],
) -> Region:
    inside = labels == label
    voxels, size = int(inside.sum()), volume.voxel_size
    phase = label
    if phases is not None:
        phase = int(np.bincount(phases.labels[inside]).argmax())
    percent = error = np.full(len(volume.channels), np.nan)
    if quantified is not None:
        percent, error = quantified.percent, np.hypot(quantified.standard_error, quantified.factor_error)
    centre = ndimage.center_of_mass(inside)
    cut = any(part.start == 0 or part.stop == length for part, length in zip(box, labels.shape, strict=True))
    return Region(
        label=label,
        phase=phase,
        voxels=voxels,
        volume=voxels * size**3,
        surface=_surface(inside, box) * size**2,
        cut=cut,
        centre=(float(centre[0] * size), float(centre[1] * size), float(centre[2] * size)),
        percent=percent,
        error=error,
        neighbours=neighbours,
    )


def _surface(inside: np.ndarray, box: tuple[slice, ...]) -> float:
    """Area at half the smoothed indicator, in faces of voxels; the edge of the field is no surface."""
    margin = 4
    part = tuple(
        slice(max(s.start - margin, 0), min(s.stop + margin, n)) for s, n in zip(box, inside.shape, strict=True)
    )
    smooth = ndimage.gaussian_filter(inside[part].astype(np.float32), _SURFACE_SMOOTHING, mode='nearest')
    if not smooth.min() < 0.5 < smooth.max():
        return float('nan')
    # The mesh ends at the middle of the last voxel, and with one more behind it as far beyond its face.
    return (_mesh_area(smooth) + _mesh_area(np.pad(smooth, 1, mode='edge'))) / 2


def _mesh_area(image: np.ndarray) -> float:
    from skimage.measure import marching_cubes, mesh_surface_area

    vertices, faces, _, _ = marching_cubes(image, 0.5)
    return float(mesh_surface_area(vertices, faces))


def _shared_faces(labels: np.ndarray, size: float) -> dict[int, dict[int, float]]:
    """Area of the faces of voxels between each two regions, nm^2."""
    pairs: dict[tuple[int, int], int] = {}
    for axis in range(3):
        a = np.moveaxis(labels, axis, 0)[:-1].ravel()
        b = np.moveaxis(labels, axis, 0)[1:].ravel()
        differ = (a != b) & (a > 0) & (b > 0)
        low, high = np.minimum(a, b)[differ], np.maximum(a, b)[differ]
        for pair, number in zip(*np.unique(np.stack([low, high], axis=1), axis=0, return_counts=True), strict=True):
            key = (int(pair[0]), int(pair[1]))
            pairs[key] = pairs.get(key, 0) + int(number)
    found: dict[int, dict[int, float]] = {}
    for (a_label, b_label), number in sorted(pairs.items()):
        found.setdefault(a_label, {})[b_label] = number * size**2
        found.setdefault(b_label, {})[a_label] = number * size**2
    return found
