"""The contents of a report, gathered once for all its formats; what has no data says why it is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.jobs.assess_volume import (
    consistency_rows,
    halving_step,
    prediction_of,
    prediction_rows,
    reconstruction_of,
)
from napari_diptomo.jobs.numbers import grouped, with_error
from napari_diptomo.jobs.report import graphs, images, words
from napari_diptomo.jobs.report.style import ReportFigure
from napari_diptomo.series import Finding, InputError, MapSeries, Observer, Volume, by_weight

if TYPE_CHECKING:
    from napari_diptomo.assess import Consistency, HalfResolution, Phases, Region, TiltPrediction
    from napari_diptomo.assess.reprojection import Reprojection

#: Sections in the order of the report.
SECTIONS = (
    'Maps',
    'Sinograms',
    'Slices',
    'Resolution',
    'Residuals',
    'Left-out tilts',
    'Convergence',
    'Phases and composition',
)
_LEFT_OUT_TILTS = 'Left-out tilts'
#: Phases that a report asks for when nobody says how many: as many as the data show.
AUTO = 0


@dataclass(frozen=True, eq=False)
class ReportTable:
    """A table of a report.

    Attributes
    ----------
    section : str
        Heading that it stands under.
    caption : str
    headings : tuple of str
        With units.
    rows : tuple of tuple of str
    """

    section: str
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Contents:
    """All that a report says.

    Attributes
    ----------
    title : str
    facts : list of (str, str)
    recipe : list of (str, str, str)
        Title, purpose, parameters of every step.
    recipe_json : str
        The same as a file that repeats it; empty where there is none.
    findings : tuple of Finding
        The gravest first.
    figures : tuple of ReportFigure
    tables : tuple of ReportTable
    notes : mapping of str to str
        A sentence under a section.
    left_out : mapping of str to str
        Section, and why it has no data.
    """

    title: str
    facts: list[tuple[str, str]]
    recipe: list[tuple[str, str, str]]
    recipe_json: str
    findings: tuple[Finding, ...]
    figures: tuple[ReportFigure, ...]
    tables: tuple[ReportTable, ...]
    notes: Mapping[str, str]
    left_out: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Results on a volume before they are written down; None where one could not be had.

    Attributes
    ----------
    maps : MapSeries, optional
    reprojection : Reprojection, optional
    consistency : Consistency, optional
    resolution : HalfResolution, optional
    prediction : TiltPrediction, optional
    phases : Phases, optional
    regions : tuple of Region
    composed : bool
        Whether the regions have a composition.
    unit : str
        Of a volume that is a composition itself, ``'at.%'`` or ``'wt.%'``; empty where it holds counts.
    left_out : mapping of str to str
        Section, and why it has no data.
    """

    maps: MapSeries | None = None
    reprojection: Reprojection | None = None
    consistency: Consistency | None = None
    resolution: HalfResolution | None = None
    prediction: TiltPrediction | None = None
    phases: Phases | None = None
    regions: tuple[Region, ...] = ()
    composed: bool = False
    unit: str = ''
    left_out: Mapping[str, str] = field(default_factory=dict)


def judge(
    volume: Volume,
    maps: MapSeries | str,
    *,
    halves: str = 'fast',
    phases: int | None = AUTO,
    observer: Observer | None = None,
    known: tuple[Consistency | None, HalfResolution | None, TiltPrediction | None] = (None, None, None),
) -> Judgement:
    """Judge a volume as far as its data allow.

    Parameters
    ----------
    volume : Volume
        Counts, as a reconstruction made them, or a composition.
    maps : MapSeries or str
        What it was made from, or why these are not to be had.
    halves : {'fast', 'own', 'none'}
        See `napari_diptomo.jobs.assess_volume.halving_step`.
    phases : int, optional
        How many, 0 for as many as the data show; None: not divided.
    observer : Observer, optional
        Of the reconstructions of the halves.
    known : tuple of (Consistency or None, HalfResolution or None, TiltPrediction or None)
        What was computed before and is taken as it is.

    Returns
    -------
    Judgement

    Raises
    ------
    Cancelled
        When the observer cancels.
    """
    from napari_diptomo.assess import consistency, half_resolution
    from napari_diptomo.assess.reprojection import reprojection
    from napari_diptomo.reconstruct.refined_geometry import in_geometry_of

    left_out: dict[str, str] = {}
    projected = found = resolution = None
    if isinstance(maps, str):
        left_out |= dict.fromkeys(('Maps', 'Sinograms', 'Residuals', _LEFT_OUT_TILTS, 'Resolution'), maps)
    else:
        try:
            projected = reprojection(volume, maps)
            found = known[0] or consistency(volume, maps)
        except InputError as error:
            left_out |= dict.fromkeys(('Sinograms', 'Residuals', _LEFT_OUT_TILTS), str(error))
        resolution = known[1]
        if resolution is None and halves == 'none':
            left_out['Resolution'] = 'Halves of the counts were not asked for.'
        elif resolution is None:
            try:
                step = halving_step(reconstruction_of(volume)[1], halves)
                resolution = half_resolution(in_geometry_of(volume.notes, maps), step, observer=observer)
            except InputError as error:
                left_out['Resolution'] = str(error)
    prediction: TiltPrediction | str | None = known[2]
    if prediction is None and found is not None and not isinstance(maps, str):
        prediction = (
            'Neither halves of the counts nor left-out tilts were asked for.'
            if halves == 'none'
            else prediction_of(volume, maps, found, observer)
        )
    if isinstance(prediction, str):
        left_out[_LEFT_OUT_TILTS] = prediction
        prediction = None
    divided, regions, composed, why = _phases(volume, phases)
    if why:
        left_out['Phases and composition'] = why
    given = None if isinstance(maps, str) else maps
    unit = volume.notes.get('composition', {}).get('units', {}).get(volume.channels[0], '')
    return Judgement(given, projected, found, resolution, prediction, divided, regions, composed, unit, left_out)


def _phases(volume: Volume, count: int | None) -> tuple[Phases | None, tuple[Region, ...], bool, str]:
    from napari_diptomo.assess import Composition, measure, phases_by_clustering

    if count is None:
        return None, (), False, 'Phases were not asked for.'
    try:
        divided = phases_by_clustering(volume, count or None)
    except InputError as error:
        return None, (), False, str(error)
    try:
        return divided, measure(divided.labels, volume, divided, Composition()), True, ''
    except InputError:
        return divided, measure(divided.labels, volume, divided), False, ''


def contents(volume: Volume, found: Judgement, title: str) -> Contents:
    """Put a report together.

    Parameters
    ----------
    volume : Volume
    found : Judgement
        Of it.
    title : str
        Name of the volume.

    Returns
    -------
    Contents
    """
    left_out, notes = dict(found.left_out), {}
    figures: list[ReportFigure] = []
    tables: list[ReportTable] = []
    if found.maps is not None:
        figures += images.maps_figures(found.maps)
    if found.reprojection is not None:
        figures += images.sinogram_figures(found.reprojection)
    figures += images.slice_figures(volume)
    if found.resolution is not None:
        figures += graphs.correlation_figures(found.resolution)
        tables.append(_resolution_table(found.resolution))
        notes['Resolution'] = found.resolution.note
    if found.consistency is not None:
        figures.append(graphs.misfit_figure(found.consistency))
        tables.append(_residual_table(found.consistency))
    if found.prediction is not None:
        figures.append(graphs.prediction_figure(found.prediction, _LEFT_OUT_TILTS))
        tables.append(_prediction_table(found.prediction))
        notes[_LEFT_OUT_TILTS] = found.prediction.note
    convergence = graphs.convergence_figure(volume)
    if convergence is not None:
        figures.append(convergence)
    else:
        left_out['Convergence'] = 'The volume keeps no curve of its fit.'
    if found.phases is not None:
        tables.append(_phase_table(found))
        notes['Phases and composition'] = _about_phases(found)
    seen = (*volume.findings, *(found.consistency.findings if found.consistency is not None else ()))
    if found.prediction is not None:
        seen = (*seen, *found.prediction.findings)
    if found.phases is not None:
        seen = (*seen, *found.phases.findings)
    return Contents(
        title=title,
        facts=[*words.facts(volume, found.maps), ('Software', words.software())],
        recipe=words.recipe_in_words(volume.recipe),
        recipe_json='' if volume.recipe is None or not volume.recipe.steps else volume.recipe.to_json(),
        findings=tuple(by_weight(seen)),
        figures=tuple(figures),
        tables=tuple(tables),
        notes=notes,
        left_out=left_out,
    )


def _resolution_table(found: HalfResolution) -> ReportTable:
    sevenths, halves, directed = found.periods(0.143), found.periods(0.5), found.periods_by_direction()
    across, along = found.directions.index(0.0), found.directions.index(-90.0)
    unmeasured = '' if found.is_measured(-90.0) else '*'
    rows = tuple(
        (
            name,
            _period(sevenths[c], found.voxel_size),
            _period(halves[c], found.voxel_size),
            _period(directed[c, across], found.voxel_size),
            _period(directed[c, along], found.voxel_size) + unmeasured,
        )
        for c, name in enumerate(found.channels)
    )
    star = ' * No tilt measured the frequencies along the beam: the number there is that of the method.'
    return ReportTable(
        'Resolution',
        'Periods in nm where the shell correlation first falls below the criterion, in all directions, and in cones across '
        f'and along the beam (criterion 0.143). ≤: the voxels are too large to show it.{star if unmeasured else ""}',
        ('channel', 'FSC 0.143 (nm)', 'FSC 0.5 (nm)', 'across the beam (nm)', 'along the beam (nm)'),
        rows,
    )


def _period(value: float, voxel: float) -> str:
    if not np.isfinite(value):
        return '–'
    return f'{"≤ " if value <= 2 * voxel * 1.001 else ""}{value:.3g}'


def _residual_table(found: Consistency) -> ReportTable:
    return ReportTable(
        'Residuals',
        'Mean square residual in units of the noise variance over all tilts and at the worst one; correlation of projections '
        'and maps, and by how much it lies above the one of the noiseless specimen, with its standard error.',
        ('channel', 'residual² / variance', 'worst tilt', 'correlation', 'above the ceiling'),
        tuple(consistency_rows(found, '°', '–')),
    )


def _prediction_table(found: TiltPrediction) -> ReportTable:
    return ReportTable(
        _LEFT_OUT_TILTS,
        'Mean square of the images less what the other tilts predict, in units of the noise variance, over all tilts and at the '
        'worst one; beside it that of the volume, which has seen them.',
        ('channel', 'predicted² / variance', 'worst tilt', 'fitted by the volume'),
        tuple(prediction_rows(found, '°')),
    )


def _phase_table(found: Judgement) -> ReportTable:
    phases = found.phases
    assert phases is not None
    unit = 'at.%' if found.composed else found.unit or '% of counts'
    errors = ' with standard errors of counting and factors.' if found.composed else ' on the mean.'
    rows = []
    for one in found.regions:
        fractions = 100 * phases.fractions[one.phase - 1]
        values = (
            [with_error(v, e) for v, e in zip(one.percent, one.error, strict=True)]
            if found.composed
            else [f'{value:.1f}' for value in fractions]
        )
        rows.append(
            (
                f'{one.label} {phases.names()[one.phase - 1]}',
                f'{grouped(one.volume)}{" (cut)" if one.cut else ""}',
                grouped(one.surface),
                f'{one.thickness:.3g}' if np.isfinite(one.thickness) else '–',
                *values,
            )
        )
    return ReportTable(
        'Phases and composition',
        'Phases by clustering of the fractions of the channels: volume, surface, thickness of the layer that a phase is if it '
        'is one (twice the volume over the surface), and composition'
        + (errors if found.composed or found.unit else ' as fractions of the counts.')
        + (' (cut): the edge of the field cuts it.' if any(one.cut for one in found.regions) else ''),
        (
            'phase',
            'volume (nm³)',
            'surface (nm²)',
            'thickness (nm)',
            *(f'{name} ({unit})' for name in phases.channels),
        ),
        tuple(rows),
    )


def _about_phases(found: Judgement) -> str:
    if found.composed:
        return (
            'Atomic percent by the Cliff-Lorimer method with calculated k-factors; their error is in the numbers. Give '
            'measured factors on the page Composition where they matter.'
        )
    if found.unit:
        return 'Errors are in a report of the volume of counts that this composition was made from.'
    return 'Fractions of the counts are no composition: the volume does not record line families with known factors.'
