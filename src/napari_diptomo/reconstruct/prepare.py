"""From the maps to the problem that is solved: outliers, empty images, counting unit, gain, support.

What is noticed of the data on the way is a finding of the problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from napari_diptomo.reconstruct.counting_unit import Counting, in_counts
from napari_diptomo.reconstruct.data_checks import data_findings, without_empty_tilts
from napari_diptomo.reconstruct.device import pick
from napari_diptomo.reconstruct.field_edges import field_findings
from napari_diptomo.reconstruct.grid import check_alike, check_maps, volume_shape
from napari_diptomo.reconstruct.haadf_data import prepare_haadf, seen_within
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.second_series import of_second_axis
from napari_diptomo.reconstruct.settings import ProblemSettings, SupportSettings
from napari_diptomo.reconstruct.support import Slab, Support, box, read_mask
from napari_diptomo.reconstruct.tilt_gain import with_fitted_gain
from napari_diptomo.series import Finding, InputError, MapSeries
from napari_diptomo.series.outliers import without_outliers


def prepare(maps: MapSeries, settings: ProblemSettings) -> Problem:
    """The problem of a series, its counts split.

    Parameters
    ----------
    maps : MapSeries
        The data.
    settings : ProblemSettings
        How they become a problem.

    Raises
    ------
    InputError
        Maps that no method can reconstruct, a support that does not suit them, or a gain that cannot be fitted.
    """
    second, maps = maps.second_axis, replace(maps, second_axis=None)
    if second is not None:
        check_alike(maps, second)
    check_maps(maps)
    device = pick(settings.device)
    first = _counted(maps, settings, settings.thickness)
    maps = first.counting.maps
    haadf, of_haadf = (None, ()) if not settings.haadf or maps.haadf_series is None else prepare_haadf(maps)
    if haadf is not None and settings.beyond_field:
        haadf, of_volume = seen_within(haadf, volume_shape(maps, settings.thickness, True))
        of_haadf = (*of_haadf, *of_volume)
    other = None if second is None else _counted_second(second, settings, first.counting)
    problem = Problem(
        maps,
        settings.thickness,
        settings.beyond_field,
        settings.holdout,
        settings.seed,
        device,
        support_of(settings, maps, device),
        first.counting.unit,
        first.counting.quasi,
        haadf,
        None if other is None else other.counting.maps,
    )
    edges = field_findings(maps, settings.step, settings.beyond_field, settings.fit_gain)
    of_second = () if other is None else tuple(map(of_second_axis, other.findings))
    problem.findings = (*first.findings, *edges, *of_haadf, *of_second)
    return problem


@dataclass(frozen=True)
class _Counted:
    """Maps in counts, and what was noticed on the way."""

    counting: Counting
    findings: tuple[Finding, ...]


def _counted(maps: MapSeries, settings: ProblemSettings, thickness: float | None) -> _Counted:
    maps, outliers = without_outliers(maps)
    # A gain cannot be fitted to an empty image, and its sentence says so.
    maps, empty = (maps, ()) if settings.fit_gain else without_empty_tilts(maps)
    doubts = data_findings(maps)
    # A channel may have held nothing but its outliers.
    check_maps(maps)
    found = in_counts(maps, thickness, settings.beyond_field)
    if settings.fit_gain:
        found = replace(found, maps=with_fitted_gain(found.maps))
    return _Counted(found, (*outliers, *empty, *doubts, *found.findings))


def _counted_second(maps: MapSeries, settings: ProblemSettings, first: Counting) -> _Counted:
    """The second series in counts; its gain is per count of the first."""
    check_maps(maps)
    found = _counted(maps, settings, None)
    if found.counting.quasi != first.quasi:
        raise InputError(
            'The counts of the two axes scatter differently (one as counts do, the other not); give the counts of both '
            'as recorded, or both as the same program made them.'
        )
    counted = found.counting.maps
    gain = np.ones(counted.data.shape[:2], np.float32) if counted.gain is None else counted.gain
    ratio = first.unit / found.counting.unit
    # Windows of one series share a unit.
    gain = gain * (ratio[0] if counted.mixing is not None else ratio[:, None])
    return replace(found, counting=replace(found.counting, maps=replace(counted, gain=gain)))


def support_of(settings: ProblemSettings, maps: MapSeries, device: torch.device) -> Support | None:
    """The support that the settings ask for, None without one.

    Raises
    ------
    InputError
        A mask of another shape, a box of no size, a support outside the volume.
    """
    wanted = settings.support
    shape = volume_shape(maps, settings.thickness, settings.beyond_field)
    if wanted.kind == 'slab':
        found = _slab(settings, maps, shape, device)
    elif wanted.kind == 'box':
        edges = np.reshape(wanted.box, (3, 2))[[0, 2, 1] if maps.transposed else [0, 1, 2]]
        notes = {'kind': 'box', 'edges_nm': list(wanted.box)}
        found = Support(box(shape, (edges / maps.pixel_size).ravel().tolist()), notes)
    elif wanted.kind == 'mask':
        columns = maps.data.shape[3]
        inside = read_mask(wanted.file, (*shape[:2], columns), maps.transposed)
        spare = (shape[2] - columns) // 2
        # Outside the images the mask extends as it is at their edge.
        found = Support(np.pad(inside, ((0, 0), (0, 0), (spare, spare)), mode='edge'), {'kind': 'mask'})
    else:
        return None
    return replace(found, notes={**found.notes, 'exact': wanted.exact}, exact=wanted.exact)


def _slab(settings: ProblemSettings, maps: MapSeries, shape: tuple[int, int, int], device: torch.device) -> Support:
    wanted = settings.support
    given = _in_voxels(wanted, maps.pixel_size)
    fitted = [name for name, value in given.items() if value is None]
    if fitted:
        from napari_diptomo.reconstruct.slab_fit import fit_slab

        slab = fit_slab(maps, settings.thickness, settings.beyond_field, given, device)
    else:
        slab = Slab(**{name: float(value) for name, value in given.items() if value is not None})
    if 'thickness' in fitted:
        slab = replace(slab, thickness=slab.thickness + 2 * wanted.slab_margin)
    notes = {
        'kind': 'slab',
        'thickness_nm': slab.thickness * maps.pixel_size,
        'tilt_deg': slab.tilt,
        'tip_deg': slab.tip,
        'offset_nm': slab.offset * maps.pixel_size,
        'fitted': fitted,
    }
    return Support(slab.inside(shape), notes)


def _in_voxels(support: SupportSettings, pixel_size: float) -> dict[str, float | None]:
    """Fields of `Slab` as far as they are known."""
    thickness, offset = support.slab_thickness, support.slab_offset
    return {
        'thickness': None if thickness is None else thickness / pixel_size,
        'tilt': support.slab_tilt,
        'tip': support.slab_tip,
        'offset': None if offset is None else offset / pixel_size,
    }
