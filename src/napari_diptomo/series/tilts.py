"""Tilts in use: some are left out; those that repeat an angle are kept, summed, or the first is taken.

`open_source` does it with what a `Source` says, the dock with a series that is open: spectra stay in their files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from napari_diptomo.series.data import CoreLoss, MapSeries, SpectralTiltSeries
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding, Remedy
from napari_diptomo.series.haadf_of_series import own_images, with_own_haadf
from napari_diptomo.series.recipe import Recipe

Series = TypeVar('Series', bound=SpectralTiltSeries | MapSeries)
#: The tilts of a result, each as the tilts of a series that it is made from.
Groups = tuple[tuple[int, ...], ...]

#: Degrees; angles that differ by less are one. At 1000 pixels from the axis the images then differ by a pixel.
SAME_ANGLE = 0.05
_REPEATED, _CORE_LOSS = 'repeated tilts', 'core loss of tilts out of use'


def positions_of(series: SpectralTiltSeries | MapSeries) -> tuple[int, ...]:
    """Where each tilt comes among the files or in the stack; their own order where nothing else is known.

    Parameters
    ----------
    series : SpectralTiltSeries or MapSeries

    Returns
    -------
    tuple of int
        Counted from 0, as `Source.unused` counts.
    """
    return series.positions or tuple(range(len(series.angles)))


def angle_in_words(angle: float) -> str:
    """An angle as it is shown: ``'-12.5°'``, a hundredth of a degree exact.

    Parameters
    ----------
    angle : float
        Degrees.

    Returns
    -------
    str
    """
    return f'{round(float(angle), 2) + 0.0:g}°'


def angles_in_words(angles: Iterable[float], most: int | None = None) -> str:
    """Angles as a sentence lists them: ``'-40°, 5°, ...'``.

    Parameters
    ----------
    angles : iterable of float
        Degrees.
    most : int, optional
        As many are named, three dots stand for the others.

    Returns
    -------
    str
    """
    words = [angle_in_words(angle) for angle in angles]
    return ', '.join(words[:most] + ['...'] * (most is not None and len(words) > most))


def check_unused(unused: Sequence[int], count: int) -> None:
    """Refuse tilts that are not there, and a series without any.

    Parameters
    ----------
    unused : sequence of int
        Positions, counted from 0.
    count : int
        Tilts in the files.

    Raises
    ------
    InputError
        There is no such tilt, or none would be left.
    """
    strange = [position for position in unused if not 0 <= position < count]
    if strange:
        raise InputError(
            f'Tilt {strange[0]} is said to be out of use, and there are {count} tilts (counted from 0, in the order of '
            'the files); name tilts of the series.'
        )
    if len(set(unused)) == count:
        raise InputError('All tilts are out of use; use at least one.')


def repeats_in(angles: np.ndarray) -> Groups:
    """Tilts that have one angle.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees, in any order.

    Returns
    -------
    tuple of tuple of int
        Every tilt once, by ascending angle; those within `SAME_ANGLE` of the lowest of them together.
    """
    groups: list[list[int]] = []
    for tilt in np.argsort(angles, kind='stable'):
        if groups and angles[tilt] - angles[groups[-1][0]] < SAME_ANGLE:
            groups[-1].append(int(tilt))
        else:
            groups.append([int(tilt)])
    return tuple(tuple(group) for group in groups)


def groups_in_use(series: SpectralTiltSeries | MapSeries, unused: Sequence[int], repeated: str) -> Groups:
    """The tilts that those in use are made from; see `in_use`.

    Parameters
    ----------
    series : SpectralTiltSeries or MapSeries
        With all tilts.
    unused : sequence of int
        Positions of tilts to leave out; those that the series does not have are passed over.
    repeated : {'keep', 'sum', 'first'}
        What becomes of tilts of one angle.

    Returns
    -------
    tuple of tuple of int
        Numbers of tilts of the series, by ascending angle; several where they are summed.

    Raises
    ------
    InputError
        No tilt is left.
    """
    positions = positions_of(series)
    kept = [tilt for tilt, position in enumerate(positions) if position not in unused]
    if not kept:
        raise InputError('All tilts are out of use; use at least one.')
    groups = tuple(tuple(kept[i] for i in group) for group in repeats_in(series.angles[kept]))
    if repeated == 'keep':
        return tuple((tilt,) for group in groups for tilt in group)
    if repeated == 'first':
        return tuple((min(group, key=lambda tilt: positions[tilt]),) for group in groups)
    return groups


def in_use(series: Series, unused: Sequence[int] = (), repeated: str = 'keep') -> Series:
    """The series without the tilts that are out of use, repeated ones treated as said.

    Parameters
    ----------
    series : SpectralTiltSeries or MapSeries
        As opened.
    unused : sequence of int
        Positions of tilts to leave out, as in `Source.unused`.
    repeated : {'keep', 'sum', 'first'}
        As in `Source.repeated`.

    Returns
    -------
    SpectralTiltSeries or MapSeries
        Its recipe says the same. The counts of recordings that are summed are added, and their number becomes the gain
        of the tilt, so that a reconstruction knows of the higher dose. Spectra are not read.

    Raises
    ------
    InputError
        No tilt is left, or recordings that cannot be summed.
    """
    groups = groups_in_use(series, unused, repeated)
    findings = [finding for finding in series.findings if finding.about not in (_REPEATED, _CORE_LOSS)]
    findings += _repeats(series, unused, repeated)
    recipe = series.recipe
    if recipe is not None:
        changes = {'unused': tuple(sorted(set(unused))), 'repeated': repeated}
        recipe = Recipe(recipe.source.model_copy(update=changes), recipe.steps)
    if groups == tuple((tilt,) for tilt in range(len(series.angles))):
        if recipe == series.recipe and tuple(findings) == series.findings:
            return series
        return replace(series, recipe=recipe, findings=tuple(findings))
    if isinstance(series, MapSeries):
        made: Any = _maps_of(series, groups)
    else:
        made = _spectra_of(series, groups)
        if series.core_loss is not None and made.core_loss is None:
            findings.append(
                Finding(
                    'doubt',
                    _CORE_LOSS,
                    'The core loss was recorded at tilts that are out of use only, and is left out with them.',
                )
            )
    positions = positions_of(series)
    made = replace(
        made, positions=tuple(positions[group[0]] for group in groups), recipe=recipe, findings=tuple(findings)
    )
    # Images of the same scan go with their tilts, those of a scan of their own stay.
    return made if own_images(series) is None else with_own_haadf(replace(made, haadf_series=None))


def at_tilts(maps: MapSeries, tilts: Sequence[int] | np.ndarray) -> MapSeries:
    """Maps of some tilts; the HAADF series stays as it is.

    Parameters
    ----------
    maps : MapSeries
    tilts : sequence of int
        Their numbers in the series, in the order that is wanted.

    Returns
    -------
    MapSeries
    """
    return _maps_of(maps, tuple((int(tilt),) for tilt in tilts))


def _repeats(series: SpectralTiltSeries | MapSeries, unused: Sequence[int], repeated: str) -> list[Finding]:
    """A finding about tilts in use that have one angle, where there are any."""
    positions = positions_of(series)
    kept = np.array([tilt for tilt, position in enumerate(positions) if position not in unused])
    several = [kept[list(group)] for group in repeats_in(series.angles[kept]) if len(group) > 1]
    if not several:
        return []
    where = angles_in_words((series.angles[group[0]] for group in several), 4)
    evidence = {'angles recorded more than once': len(several), 'tilts at these': sum(map(len, several))}
    if repeated == 'keep':
        sums = isinstance(series, MapSeries) or series.energy_unit == 'keV'
        advice = 'Sum them if they show the same specimen, take the first if it was damaged meanwhile'
        if not sums:
            advice = 'Take the first if the specimen was damaged meanwhile'
        sentence = f'More than one recording at {where}. {advice}, or correct the angles.'
        remedy = Remedy('Sum repeated tilts', 'Source', {'repeated': 'sum'}) if sums else None
        return [Finding('doubt', _REPEATED, sentence, evidence, remedy)]
    if repeated == 'sum':
        sentence = f'The recordings at {where} are summed; their number is the gain of the tilt.'
    else:
        sentence = f'Of the recordings at {where} the first is used.'
    return [Finding('note', _REPEATED, sentence, evidence)]


def _maps_of(maps: MapSeries, groups: Groups) -> MapSeries:
    first = [group[0] for group in groups]
    gain = maps.gain
    if any(len(group) > 1 for group in groups):
        _check_one_place(maps, groups)
        gain = np.ones(maps.data.shape[:2], np.float32) if gain is None else gain

    def summed(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else _summed(array, groups)

    def averaged(images: np.ndarray | None) -> np.ndarray | None:
        return None if images is None else np.stack([images[list(group)].mean(axis=0) for group in groups])

    missing = maps.missing
    if missing is not None:
        # A sum that one recording lacks is no sum.
        missing = np.stack([missing[:, list(group)].any(axis=1) for group in groups], axis=1)
    return replace(
        maps,
        data=_summed(maps.data, groups),
        angles=_angles_of(maps.angles, groups),
        shifts=maps.shifts[first] if maps.shifts is not None else None,
        variance=summed(maps.variance),
        held_out=summed(maps.held_out),
        background=summed(maps.background),
        gain=summed(gain),
        residual=averaged(maps.residual),
        haadf=averaged(maps.haadf),
        missing=missing,
        positions=(),
    )


def _summed(array: np.ndarray, groups: Groups) -> np.ndarray:
    return np.stack([array[:, list(group)].sum(axis=1) for group in groups], axis=1)


def _spectra_of(series: SpectralTiltSeries, groups: Groups) -> SpectralTiltSeries:
    if series.energy_unit == 'eV' and any(len(group) > 1 for group in groups):
        raise InputError(
            'Energy losses of repeated tilts are not summed, for each has a zero loss of its own; keep them, or take the '
            'first.'
        )
    before = series.recordings or (1,) * len(series.angles)
    recordings = tuple(sum(before[tilt] for tilt in group) for group in groups)
    haadf = series.haadf
    return replace(
        series,
        counts=_counts_of(series.counts, groups),
        angles=_angles_of(series.angles, groups),
        haadf=None if haadf is None else np.stack([haadf[list(group)].mean(axis=0) for group in groups]),
        core_loss=None if series.core_loss is None else _core_loss_of(series.core_loss, groups),
        recordings=recordings if max(recordings) > 1 else (),
        positions=(),
    )


def _angles_of(angles: np.ndarray, groups: Groups) -> np.ndarray:
    return np.array([angles[list(group)].mean() if len(group) > 1 else angles[group[0]] for group in groups])


def _counts_of(counts: Any, groups: Groups) -> Any:
    """Counts (tilt, y, x, energy) of the groups, lazy where they were."""
    if all(len(group) == 1 for group in groups):
        order = [group[0] for group in groups]
        chosen = counts[order]
        # Counts that another process reads leave their empty channels there; so do those of fewer tilts.
        elsewhere = getattr(counts, 'sparse_tilt', None)
        if elsewhere is not None:
            chosen.sparse_tilt = _Renumbered(elsewhere, order)
        return chosen
    most = max(map(len, groups))
    kind = np.dtype(counts.dtype)
    if kind.kind in 'ui':
        largest = int(np.iinfo(kind).max) * most
        wider = [np.dtype(f'{kind.kind}{size}') for size in (1, 2, 4, 8)]
        kind = next((one for one in wider if np.iinfo(one).max >= largest), wider[-1])
    parts = [sum((counts[tilt].astype(kind) for tilt in group[1:]), counts[group[0]].astype(kind)) for group in groups]
    if isinstance(counts, np.ndarray):
        return np.stack(parts)
    import dask.array as da

    return da.stack(parts)


class _Renumbered:
    """The spectra of one tilt, by its number among fewer tilts."""

    def __init__(self, sparse_tilt: Any, order: Sequence[int]) -> None:
        self._sparse_tilt, self._order = sparse_tilt, tuple(order)

    def __call__(self, index: int) -> Any:
        return self._sparse_tilt(self._order[index])


def _core_loss_of(core: CoreLoss, groups: Groups) -> CoreLoss | None:
    """At the tilts that are left; None where it was recorded at none of them."""
    place = {group[0]: number for number, group in enumerate(groups)}
    left = sorted((place[tilt], index) for index, tilt in enumerate(core.tilts) if tilt in place)
    if not left:
        return None
    return replace(core, counts=core.counts[[index for _, index in left]], tilts=tuple(tilt for tilt, _ in left))


def _check_one_place(maps: MapSeries, groups: Groups) -> None:
    for group in groups:
        shifts = maps.shifts[list(group)] if maps.shifts is not None else np.zeros((len(group), 2))
        if np.ptp(shifts, axis=0).max() > 0:
            raise InputError(
                f'The recordings at {angle_in_words(maps.angles[group[0]])} are shifted against each other, so they cannot be '
                'summed; keep them, or take the first.'
            )
