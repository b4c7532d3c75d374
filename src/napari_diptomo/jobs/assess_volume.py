"""The command ``diptomo assess``: a saved volume against its maps, and by halves of their counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from napari_diptomo.jobs.export_volume import load_volume
from napari_diptomo.jobs.json_summaries import of_findings, print_json
from napari_diptomo.jobs.numbers import grouped, with_error
from napari_diptomo.jobs.reading.isolated import open_isolated
from napari_diptomo.jobs.recipe_run import run
from napari_diptomo.jobs.terminal import Planned, TerminalBar, print_findings
from napari_diptomo.series import InputError, MapSeries, Observer, Recipe, Source, Volume

if TYPE_CHECKING:
    from napari_diptomo.assess import Consistency, HalfResolution, Phases, Region, TiltPrediction
    from napari_diptomo.reconstruct import Reconstruction

#: Iterations of SIRT for halves that shall not take long.
_FAST_ITERATIONS = 30


@dataclass(frozen=True, eq=False)
class Assessment:
    """The findings, resolution and phases of a volume.

    Attributes
    ----------
    consistency : Consistency
        Its projections against its maps.
    resolution : HalfResolution, optional
        By halves of the counts.
    prediction : TiltPrediction, optional
        Of each tilt by the others.
    phases : Phases, optional
    regions : tuple of Region
        The phases, or the particles of one.
    """

    consistency: Consistency
    resolution: HalfResolution | None = None
    prediction: TiltPrediction | None = None
    phases: Phases | None = None
    regions: tuple[Region, ...] = ()


def reconstruction_of(volume: Volume) -> tuple[tuple, Reconstruction]:
    """The steps before the reconstruction of a volume, and the reconstruction.

    Parameters
    ----------
    volume : Volume
        As a reconstruction made it.

    Returns
    -------
    tuple of Step, Reconstruction

    Raises
    ------
    InputError
        It does not say how it was made, or more was done to it.
    """
    from napari_diptomo.reconstruct import Reconstruction

    steps = () if volume.recipe is None else volume.recipe.steps
    if not steps or not isinstance(steps[-1], Reconstruction):
        done = f'made by {type(steps[-1]).__name__}' if steps else 'saved without its recipe'
        raise InputError(f'The volume was {done}; assess the one that the reconstruction made, with its maps.')
    return tuple(steps[:-1]), steps[-1]


def maps_of(volume: Volume, observer: Observer) -> MapSeries:
    """The maps that a volume was made from, made anew from its recipe.

    Parameters
    ----------
    volume : Volume
        With a recipe.
    observer : Observer
        Of opening and of the steps.

    Returns
    -------
    MapSeries

    Raises
    ------
    InputError
        The recipe names no files, or files that are gone.
    """
    before, _ = reconstruction_of(volume)
    assert volume.recipe is not None
    source = volume.recipe.source
    gone = [path for path in source.paths if not Path(path).exists()]
    if not source.paths or gone:
        what = f'{gone[0]} is not there any more' if gone else 'its recipe names no files'
        raise InputError(f'The maps of this volume cannot be made anew: {what}; give saved maps with --maps.')
    if not before:
        opened = open_isolated(source, observer)
        if isinstance(opened, MapSeries):
            return opened
        raise InputError('The recipe of this volume makes no maps; give saved maps with --maps.')
    made = run(Recipe(source, before), observer=observer, opener=open_isolated)
    if not isinstance(made, MapSeries):
        raise InputError('The recipe of this volume makes no maps; give saved maps with --maps.')
    return made


def halving_step(step: Reconstruction, halves: str) -> Reconstruction:
    """The reconstruction of each half.

    Parameters
    ----------
    step : Reconstruction
        Of the volume.
    halves : {'fast', 'own'}
        SIRT on the same grid, or the settings of the volume.

    Returns
    -------
    Reconstruction
    """
    from napari_diptomo.reconstruct import SIRT, Reconstruction

    if halves == 'own':
        # Halves have the geometry of the volume, or they would differ by what each refined.
        return step.model_copy(update={'refine_shifts': False}) if getattr(step, 'refine_shifts', False) else step
    shared = {name: getattr(step, name) for name in Reconstruction.model_fields if name in SIRT.model_fields}
    # Of the counts alone: HAADF images would be the same in both halves, and at the tilts that are left out.
    return SIRT(**{**shared, 'iterations': _FAST_ITERATIONS, 'haadf': False})


def prediction_of(
    volume: Volume, maps: MapSeries, own: Consistency, observer: Observer | None = None
) -> TiltPrediction | str:
    """Every tilt predicted from the others by SIRT on the grid of the volume, or why it cannot be.

    Parameters
    ----------
    volume : Volume
    maps : MapSeries
        What it was made from.
    own : Consistency
        Of both.
    observer : Observer, optional
        Of the reconstructions.

    Returns
    -------
    TiltPrediction or str
    """
    from napari_diptomo.assess import predicted_tilts
    from napari_diptomo.reconstruct import SIRT
    from napari_diptomo.reconstruct.refined_geometry import in_geometry_of

    try:
        step = halving_step(reconstruction_of(volume)[1] if volume.recipe else SIRT(), 'fast')
        return predicted_tilts(in_geometry_of(volume.notes, maps), step, own, observer)
    except InputError as error:
        return str(error)


def assess(
    volume: Volume,
    maps: MapSeries,
    *,
    halves: str = 'fast',
    predict: bool = True,
    phases: int | None = None,
    observer: Observer | None = None,
) -> Assessment:
    """Compare a volume with its maps; resolution and phases where asked for.

    Parameters
    ----------
    volume : Volume
        As a reconstruction made it.
    maps : MapSeries
        What it was made from.
    halves : {'fast', 'own', 'none'}
        How two halves of the counts are reconstructed, see `halving_step`.
    predict : bool
        Whether every tilt is predicted from the others, see `prediction_of`.
    phases : int, optional
        How many phases to divide it into, 0 for as many as the data show; default: none.
    observer : Observer, optional
        Of the reconstructions.

    Returns
    -------
    Assessment

    Raises
    ------
    InputError
        The maps are not those of the volume.
    """
    from napari_diptomo.assess import consistency, half_resolution, measure, phases_by_clustering
    from napari_diptomo.reconstruct import SIRT
    from napari_diptomo.reconstruct.refined_geometry import in_geometry_of

    found = consistency(volume, maps)
    resolution = None
    if halves != 'none':
        _, step = reconstruction_of(volume) if halves == 'own' or volume.recipe else ((), SIRT())
        resolution = half_resolution(in_geometry_of(volume.notes, maps), halving_step(step, halves), observer=observer)
    prediction = prediction_of(volume, maps, found, observer) if predict else ''
    divided: Phases | None = None
    regions: tuple[Region, ...] = ()
    if phases is not None:
        divided = phases_by_clustering(volume, phases or None)
        regions = measure(divided.labels, volume, divided)
    return Assessment(found, resolution, None if isinstance(prediction, str) else prediction, divided, regions)


def assess_file(
    path: Path,
    maps_path: Path | None = None,
    *,
    halves: str = 'fast',
    predict: bool = True,
    phases: int | None = None,
    output: Path | None = None,
    as_json: bool = False,
) -> Assessment:
    """Assess a saved volume, print what was found, and write tables where asked for.

    Parameters
    ----------
    path : Path
        The volume, ``.hspy``.
    maps_path : Path, optional
        Saved maps; default: made anew from the recipe of the volume.
    halves, predict, phases
        As in `assess`.
    output : Path, optional
        Folder for the tables and labels.
    as_json : bool
        Print what was found as JSON, and nothing else, on standard output.

    Returns
    -------
    Assessment

    Raises
    ------
    InputError
        It is no volume, or its maps are not to be had.
    """
    if halves not in ('fast', 'own', 'none'):
        raise InputError(
            f'Halves are reconstructed "fast", with the volume\'s "own" settings, or "none", not "{halves}".'
        )
    volume = load_volume(path)
    with TerminalBar([Planned('Maps'), Planned('Assess')]) as bar:
        bar.begin()
        maps = maps_of(volume, bar) if maps_path is None else saved_maps(maps_path, bar)
        bar.begin()
        found = assess(volume, maps, halves=halves, predict=predict, phases=phases, observer=bar)
    if as_json:
        print_json(of_assessment(found))
    else:
        _print(found, Console(highlight=False))
    if output is not None:
        for written in write_tables(found, volume, output):
            Console(highlight=False, stderr=as_json).print(f'wrote {written}', soft_wrap=True)
    return found


def of_assessment(found: Assessment) -> dict[str, Any]:
    """An assessment of a volume.

    Parameters
    ----------
    found : Assessment

    Returns
    -------
    dict
        ``consistency`` per channel; ``resolution_nm``, ``left_out_tilts`` and ``phases`` where they were asked for; ``findings``.
    """
    agreement = found.consistency
    consistency: dict[str, Any] = {}
    for c, name in enumerate(agreement.channels):
        worst = int(np.argmax(agreement.misfit[c]))
        consistency[name] = {
            'misfit_in_noise': float(agreement.misfit[c].mean()),
            'worst_misfit': float(agreement.misfit[c, worst]),
            'worst_tilt_deg': float(agreement.angles[worst]),
            'correlation': float(agreement.correlation[c]),
            'correlation_error': float(agreement.correlation_error[c]),
            'above_ceiling': None if agreement.above_ceiling is None else float(agreement.above_ceiling[c]),
            'ceiling_error': None if agreement.ceiling_error is None else float(agreement.ceiling_error[c]),
        }
    values: dict[str, Any] = {'consistency': consistency}
    findings = agreement.findings
    if found.resolution is not None:
        directed = found.resolution.periods_by_direction()
        across, along = (found.resolution.directions.index(angle) for angle in (0.0, -90.0))
        values['resolution_nm'] = {
            name: {
                'fsc_0.143': float(found.resolution.periods(0.143)[c]),
                'fsc_0.5': float(found.resolution.periods(0.5)[c]),
                'across_the_beam': float(directed[c, across]),
                'along_the_beam': float(directed[c, along]),
            }
            for c, name in enumerate(found.resolution.channels)
        }
        values['halves'] = found.resolution.method
    if found.prediction is not None:
        values['left_out_tilts'] = {
            name: {
                'misfit_in_noise': float(found.prediction.misfit[c].mean()),
                'tilt_deg': found.prediction.angles.tolist(),
                'predicted': found.prediction.misfit[c].tolist(),
                'standard_error': found.prediction.misfit_error[c].tolist(),
                'fitted': found.prediction.fitted[c].tolist(),
            }
            for c, name in enumerate(found.prediction.channels)
        }
        values['left_out_method'] = found.prediction.method
        findings = (*findings, *found.prediction.findings)
    if found.phases is not None:
        names = found.phases.names()
        findings = (*findings, *found.phases.findings)
        values['phases'] = [
            {
                'label': one.label,
                'name': names[one.phase - 1],
                'volume_nm3': float(one.volume),
                'surface_nm2': float(one.surface),
                'thickness_nm': float(one.thickness),
            }
            for one in found.regions
        ]
    return {**values, 'findings': of_findings(findings)}


def write_tables(found: Assessment, volume: Volume, folder: Path) -> tuple[Path, ...]:
    """Write an assessment as tables, and the phases as labels.

    Parameters
    ----------
    found : Assessment
        Of the volume.
    volume : Volume
    folder : Path
        Made where it is not there.

    Returns
    -------
    tuple of Path
        ``misfit.csv``, ``fsc.csv``, ``left_out_tilts.csv``, ``phases.csv``, ``phases.tif``.
    """
    from napari_diptomo.assess import write_regions
    from napari_diptomo.series.writing.stacks import write_labels

    folder.mkdir(parents=True, exist_ok=True)
    written = [found.consistency.write_csv(folder / 'misfit.csv')]
    if found.resolution is not None:
        written.append(found.resolution.write_csv(folder / 'fsc.csv'))
    if found.prediction is not None:
        written.append(found.prediction.write_csv(folder / 'left_out_tilts.csv'))
    if found.phases is not None:
        written.append(write_regions(found.regions, found.phases.channels, folder / 'phases.csv', found.phases))
        written.append(write_labels(found.phases.labels, volume, folder / 'phases.tif'))
    return tuple(written)


def saved_maps(path: Path, observer: Observer) -> MapSeries:
    """Maps of a file.

    Parameters
    ----------
    path : Path
    observer : Observer
        Of opening.

    Returns
    -------
    MapSeries

    Raises
    ------
    InputError
        It holds spectra.
    """
    opened = open_isolated(Source(paths=(str(path),)), observer)
    if not isinstance(opened, MapSeries):
        raise InputError(f'{path.name} holds spectra; give the maps that the volume was made from.')
    return opened


def _print(found: Assessment, console: Console) -> None:
    console.print(_consistency_table(found.consistency))
    print_findings(found.consistency.findings, console)
    if found.resolution is not None:
        console.print(_resolution_table(found.resolution))
        console.print(f'{found.resolution.method}. {found.resolution.note}', soft_wrap=True)
    if found.prediction is not None:
        console.print(_prediction_table(found.prediction))
        console.print(found.prediction.note, soft_wrap=True)
        print_findings(found.prediction.findings, console)
    if found.phases is not None:
        console.print(_phase_table(found.phases, found.regions))
        print_findings(found.phases.findings, console)


def _consistency_table(found: Consistency) -> Table:
    table = Table('element', 'misfit / noise', 'worst tilt', 'correlation', 'above the ceiling', box=None)
    for row in consistency_rows(found, '°', ''):
        table.add_row(*row)
    return table


def consistency_rows(found: Consistency, degrees: str, unknown: str) -> list[tuple[str, ...]]:
    """Name, mean misfit, the worst with its tilt, correlation and how far it lies above its ceiling, of each channel.

    Parameters
    ----------
    found : Consistency
        Of a volume with its maps.
    degrees : str
        Behind a tilt.
    unknown : str
        In place of a ceiling that is not known.
    """
    rows: list[tuple[str, ...]] = []
    for c, name in enumerate(found.channels):
        worst = int(np.argmax(found.misfit[c]))
        above = unknown
        if found.above_ceiling is not None and found.ceiling_error is not None:
            above = with_error(found.above_ceiling[c], found.ceiling_error[c], '+')
        worst_words = f'{found.misfit[c, worst]:.2f} at {found.angles[worst]:g}{degrees}'
        correlation = with_error(found.correlation[c], found.correlation_error[c])
        rows.append((name, f'{found.misfit[c].mean():.2f}', worst_words, correlation, above))
    return rows


def _resolution_table(found: HalfResolution) -> Table:
    table = Table('element', 'FSC 0.143', 'FSC 0.5', 'across the beam', 'along the beam', box=None)
    sevenths, halves, directed = found.periods(0.143), found.periods(0.5), found.periods_by_direction()
    across, along = found.directions.index(0.0), found.directions.index(-90.0)
    for c, name in enumerate(found.channels):
        values = (sevenths[c], halves[c], directed[c, across], directed[c, along])
        table.add_row(name, *(f'{value:.3g} nm' for value in values))
    return table


def _prediction_table(found: TiltPrediction) -> Table:
    table = Table('element', 'left-out tilts / noise', 'worst tilt', 'fitted by the volume', box=None)
    for row in prediction_rows(found, '°'):
        table.add_row(*row)
    return table


def prediction_rows(found: TiltPrediction, degrees: str) -> list[tuple[str, ...]]:
    """Name, mean misfit of the predictions, the worst with its tilt, and the mean misfit of the volume, of each channel.

    Parameters
    ----------
    found : TiltPrediction
    degrees : str
        Behind a tilt.
    """
    rows: list[tuple[str, ...]] = []
    for c, name in enumerate(found.channels):
        worst = int(np.argmax(found.misfit[c]))
        worst_words = f'{found.misfit[c, worst]:.2f} at {found.angles[worst]:g}{degrees}'
        rows.append((name, f'{found.misfit[c].mean():.2f}', worst_words, f'{found.fitted[c].mean():.2f}'))
    return rows


def _phase_table(phases: Phases, regions: Sequence[Region]) -> Table:
    table = Table('phase', 'of', 'volume / nm^3', 'surface / nm^2', 'as a layer', box=None)
    names = phases.names()
    for one in regions:
        fractions = ', '.join(
            f'{name} {100 * value:.0f} %'
            for name, value in zip(phases.channels, phases.fractions[one.phase - 1], strict=True)
        )
        table.add_row(
            f'{one.label} {names[one.phase - 1]}',
            f'{fractions} of the counts',
            grouped(one.volume),
            grouped(one.surface),
            f'{one.thickness:.3g} nm thick',
        )
    return table
