"""The command ``diptomo align``: maps with their shifts, and the shifts as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from napari_diptomo.align import Align, SecondAxis, check_shift_file, read_shifts, tilt_shifts, write_shifts
from napari_diptomo.jobs.output import output_path, reserved
from napari_diptomo.jobs.reading.isolated import open_isolated
from napari_diptomo.jobs.recipe_run import run
from napari_diptomo.jobs.terminal import Planned, TerminalBar, print_findings
from napari_diptomo.series import InputError, MapSeries, Recipe, Source, save


def align_files(
    files: Sequence[Path],
    output: Path,
    step: Align,
    *,
    table: Path | None = None,
    second: SecondAxis | None = None,
) -> MapSeries:
    """Align maps, write them with their shifts and a table of these, and print what was found.

    Parameters
    ----------
    files : sequence of Path
        Saved maps, or the files of a tilt series of maps.
    output : Path
        File or folder for the maps, see `napari_diptomo.jobs.output.output_path`.
    step : Align
    table : Path, optional
        ``.csv``, ``.xf`` for IMOD, ``.hspy`` for ETSpy or ``.npz`` for tomviz; default: the name of the maps with ``.csv``.
    second : SecondAxis, optional
        Joins maps of a second tilt axis.

    Returns
    -------
    MapSeries
        Aligned.

    Raises
    ------
    InputError
        These are no maps, they cannot be aligned, or the files cannot be written.
    """
    recipe = Recipe(
        Source(paths=tuple(str(file.absolute()) for file in files)), (step,) if second is None else (step, second)
    )
    for needed in recipe.files():
        if not needed.exists():
            raise InputError(f'There is no {needed}; check the path.')
    output = output_path(recipe, files[0], output)
    table = output.with_suffix('.csv') if table is None else table
    if table.resolve() in {path.resolve() for path in (output, *files, *recipe.files())}:
        raise InputError(f'{table} is a file of maps or shifts that would be lost; give the table another name.')
    stages = [Planned(kind.title) for kind in (Align, SecondAxis)[: len(recipe.steps)]]
    with TerminalBar([Planned('Open', keeps=False), *stages, Planned('Save')]) as bar, reserved(output):
        bar.begin()
        maps = open_isolated(recipe.source, bar)
        if not isinstance(maps, MapSeries):
            raise InputError(f'{files[0].name} holds spectra, no maps; make maps with a recipe first (diptomo run).')
        check_shift_file(table, maps)
        if step.shifts_file:
            read_shifts(step.shifts_file, maps.angles)
        bar.begin()
        aligned = run(Recipe(recipe.source, (step,)), data=maps, observer=bar)
        if second is not None:
            bar.begin()
            aligned = second.run(aligned, bar)
        bar.saving()
        save(aligned, output, before=bar.check_cancelled)
        written = write_shifts(aligned, table)
    _print(aligned, [output, *written])
    return aligned


def _print(maps: MapSeries, written: Sequence[Path]) -> None:
    console = Console(highlight=False)
    doubtful = maps.notes['align']['doubtful_angles']
    shown = Table('tilt / °', 'dx / pixels', 'dy / pixels', 'score', 'error / pixels', '', box=None)
    for row in tilt_shifts(maps):
        numbers = ('' if value is None else f'{value:.2f}' for value in (row.score, row.error))
        shown.add_row(
            f'{row.angle:g}', f'{row.dx:.2f}', f'{row.dy:.2f}', *numbers, 'doubtful' if row.angle in doubtful else ''
        )
    console.print(shown)
    console.print(
        f'Tilt axis: {maps.axis_shift:+.2f} pixels from the middle of the images, turned by {maps.axis_rotation:.2f}°.'
    )
    for path in written:
        console.print(f'Written: {path}', markup=False, soft_wrap=True)
    print_findings(maps.findings, console)
