"""The commands ``diptomo run`` and ``diptomo info``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from napari_diptomo.jobs import checkpoint, json_summaries, transfer, unsaved_results
from napari_diptomo.jobs.child_job import ChildJob
from napari_diptomo.jobs.error_sentences import explain
from napari_diptomo.jobs.haadf_options import with_haadf_options
from napari_diptomo.jobs.job_folders import sweep
from napari_diptomo.jobs.output import output_path, reserved
from napari_diptomo.jobs.reading.isolated import load_isolated, open_isolated
from napari_diptomo.jobs.terminal import Ended, Planned, TerminalBar, clock, follow, print_findings
from napari_diptomo.series import (
    CoreLoss,
    DiptomoError,
    InputError,
    MapSeries,
    Recipe,
    ReconstructionError,
    Source,
    SpectralTiltSeries,
    Volume,
    save,
)
from napari_diptomo.series.files import sweep_partials
from napari_diptomo.series.haadf_of_series import described
from napari_diptomo.series.reading.file_selection import find_files
from napari_diptomo.series.reading.specimens import Specimen, kind_of, specimens_in
from napari_diptomo.series.tilts import angles_in_words

#: Begins the sentence on elements that were not found.
_UNKNOWN = 'not determined'


def run_recipe(
    path: Path,
    output: str | Path | None = None,
    *,
    resume: bool = False,
    haadf: Mapping[str, Any] | None = None,
    as_json: bool = False,
) -> Path:
    """Run a recipe file in a child process, show its progress, write the result; returns its path.

    Whatever can be known beforehand is checked before it computes: the name, the folder, the space, and
    that no other run writes the same file. The checkpoint beside the output is removed when the result
    stands under its name. A result that cannot be saved is kept, and `resume` saves it.

    Parameters
    ----------
    path : Path
        The recipe.
    output : path or str, optional
        File or folder, see `napari_diptomo.jobs.output.output_path`.
    resume : bool
        Continue an interrupted run of this recipe and output.
    haadf : mapping, optional
        Fields of the source about a HAADF series, in place of those of the recipe; see
        `napari_diptomo.jobs.haadf_options.with_haadf_options`.
    as_json : bool
        Print what was made as JSON, and nothing else, on standard output.

    Raises
    ------
    DiptomoError
        One sentence.
    Ended
        On the second Ctrl-C, SIGTERM and SIGHUP.
    """
    output, result = computed(path, output, resume=resume, haadf=haadf, quiet=as_json)
    if as_json:
        made = load_isolated(output) if result is None else result
        json_summaries.print_json(json_summaries.of_result(made, output))
    elif result is not None:
        report(result, output)
    return output


def computed(
    path: Path,
    output: str | Path | None = None,
    *,
    resume: bool = False,
    haadf: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> tuple[Path, Any]:
    """As `run_recipe`, without a report.

    Parameters
    ----------
    path : Path
        The recipe.
    output : path or str, optional
        File or folder.
    resume : bool
        Continue an interrupted run of this recipe and output.
    haadf : mapping, optional
        As of `run_recipe`.
    quiet : bool
        Whatever is said goes to standard error.

    Returns
    -------
    Path, MapSeries or Volume or None
        The file, and the result; None where the file held it already.

    Raises
    ------
    DiptomoError
        One sentence.
    Ended
        On the second Ctrl-C, SIGTERM and SIGHUP.
    """
    recipe = Recipe.load(path).resolved()
    if haadf:
        recipe = Recipe(with_haadf_options(recipe.source, haadf), recipe.steps)
    _report_files(recipe, path, Console(highlight=False, stderr=quiet))
    output = output_path(recipe, path, output)
    plan = [Planned('Open', keeps=False), *(Planned(step.title or type(step).__name__) for step in recipe.steps)]
    with TerminalBar([*plan, Planned('Save')]) as bar, reserved(output):
        result = _run(recipe, path, output, resume, bar)
    return output, result


def _run(recipe: Recipe, path: Path, output: Path, resume: bool, bar: TerminalBar) -> Any:
    """Compute and save, or do what is left of it; the result, None when nothing was left to be done."""
    checkpoint_file = output.with_name(output.name + '.checkpoint')
    # A run that was killed while it saved left its result in the folder of its child.
    sweep()
    kept = unsaved_results.find(recipe)
    if resume and kept is not None:
        bar.say(f'The result of this run was kept in {kept}; it is saved without computing again.')
        result = transfer.read(kept)
        _save(result, kept, recipe, output, bar)
        kept.unlink(missing_ok=True)
    else:
        if resume and not checkpoint_file.exists():
            if holds_the_result(output, recipe, path):
                bar.say(f'{output.name} holds the result of this recipe; nothing is left to resume.')
                return None
            raise InputError(f'There is no checkpoint {checkpoint_file}; run without --resume.')
        if not resume:
            _say_what_could_be_resumed(checkpoint_file, kept, bar)
        checkpoint.begin(checkpoint_file, recipe)
        with ChildJob(
            recipe,
            preview_interval=0,
            checkpoint=checkpoint_file,
            resume=resume,
            keep_checkpoint=True,
            output=output,
        ) as job:
            result = _followed(job, bar, checkpoint_file)
            _save(result, job.result_file, recipe, output, bar)
            job.result_file.unlink(missing_ok=True)
    checkpoint.remove(checkpoint_file)
    return result


def _followed(job: ChildJob, bar: TerminalBar, checkpoint_file: Path) -> Any:
    """The result of a job; a run that was cut off says how it continues."""
    resumes = f'--resume continues from {checkpoint_file.name}'
    bar.begin()
    try:
        return follow(job, bar)
    except Ended as end:
        job.close()
        raise Ended(f'{end}; no result was written, and {resumes}.', end.code) from None
    except ReconstructionError as error:
        job.close()
        if job.exit_code in (1, None) and checkpoint.is_empty(checkpoint_file):
            # It said itself why it failed, and would do so again: there is nothing to resume.
            checkpoint.remove(checkpoint_file)
            raise
        error.args = (f'{str(error).removesuffix(".")}; {resumes}.',)
        raise
    finally:
        sweep_partials(checkpoint_file)


def _save(result: Any, file: Path, recipe: Recipe, output: Path, bar: TerminalBar) -> None:
    """Save a result that was handed over in `file`; where that fails, it is kept."""
    bar.saving()
    try:
        save(result, output, before=bar.check_cancelled)
    except Ended as end:
        raise Ended(f'{end}; no result was written, and --resume continues from the checkpoint.', end.code) from None
    except Exception as error:  # whatever a writer raises: hours of computing hang on it
        kept = file if unsaved_results.is_kept(file) else unsaved_results.keep(file, recipe, output.name)
        raise InputError(
            f'{explain(error).removesuffix(".")}; the result is kept in {kept}, and --resume saves it without '
            'computing again, with -o under another name.'
        ) from error


def _say_what_could_be_resumed(checkpoint_file: Path, kept: Path | None, bar: TerminalBar) -> None:
    if kept is not None:
        bar.say(f'{kept} holds a result of this recipe that could not be saved; --resume saves it.')
    if checkpoint_file.exists() and not checkpoint.is_empty(checkpoint_file):
        bar.say(
            f'{checkpoint_file.name} of an interrupted run stays until this run writes its own; --resume continues it.'
        )


def holds_the_result(output: Path, recipe: Recipe, recipe_file: Path) -> bool:
    """Whether the output was written by a complete run of this recipe, after the recipe was.

    Parameters
    ----------
    output : Path
        Only a ``.hspy`` says by which recipe it was made.
    recipe : Recipe
    recipe_file : Path
        Where it was read from.

    Returns
    -------
    bool
    """
    if output.suffix != '.hspy' or not output.exists() or output.stat().st_mtime < recipe_file.stat().st_mtime:
        return False
    try:
        made = load_isolated(output).recipe
    except DiptomoError:
        return False
    if made is None or made.steps[-len(recipe.steps) :] != recipe.steps:
        return False
    # Maps that were saved bring the recipe by which they were made.
    return made.source == recipe.source or [Path(p).suffix for p in recipe.source.paths] == ['.hspy']


def _report_files(recipe: Recipe, path: Path, console: Console) -> None:
    """Say before anything starts which files the recipe reaches for beyond its folder.

    Raises
    ------
    InputError
        A file is not there.
    """
    for file in recipe.files():
        if not file.exists():
            raise InputError(f'The recipe reads {file}, which does not exist; correct its path in {path.name}.')
    outside = recipe.files_outside(path.resolve().parent)
    if outside:
        names = ', '.join(str(file) for file in outside)
        console.print(f'Read from outside the folder of the recipe: {names}', markup=False, soft_wrap=True)


def report(result: MapSeries | Volume, path: Path) -> None:
    """Say in the terminal what was made, and what its steps found."""
    console = Console(highlight=False)
    console.print(f'Written: {path}', markup=False, soft_wrap=True)
    if isinstance(result, Volume):
        _report_volume(result, console)
    print_findings(result.findings, console)


def _report_volume(result: Volume, console: Console) -> None:
    notes = result.notes
    if 'seconds' in notes:
        console.print(f'{notes.get("method", "Volume")}: {clock(float(notes["seconds"]))}, {notes.get("device", "")}')
    for step in result.recipe.steps if result.recipe is not None else ():
        if step.stopped_at is not None:
            title = step.title or type(step).__name__
            console.print(f'Stopped early: {title} at iteration {step.stopped_at}; its recipe stops there again.')
    if 'stopping' in notes:
        console.print(f'Stopping: {notes["stopping"]}', markup=False)
    if 'composition' in notes:
        composition = notes['composition']
        mean = ', '.join(f'{name} {percent:.1f}' for name, percent in composition['mean'].items())
        console.print(
            f'Composition on the mean: {mean} {composition["units"][result.channels[0]]}; masked: {composition["masked"]}'
        )
    found = notes.get('projection_correlation')
    if found:
        table = Table('element', 'correlation of projections with maps', 'ceiling of the counts', box=None)
        ceiling = notes.get('correlation_ceiling', {})
        for name, value in found.items():
            table.add_row(name, f'{value:.3f}', f'{ceiling[name]:.3f}' if name in ceiling else '')
        console.print(table)


def show_info(
    files: Sequence[Path],
    angles: str | None = None,
    core_loss: Sequence[Path] = (),
    *,
    pixel_size: float | None = None,
    specimen: str | None = None,
    haadf: Mapping[str, Any] | None = None,
    as_json: bool = False,
) -> None:
    """Print what a tilt series holds, in words or as JSON; of several specimens, which there are."""
    paths, core = (tuple(str(file) for file in listed) for listed in (files, core_loss))
    plain = Source(paths=paths, angles=angles, core_loss=core, pixel_size=pixel_size, specimen=specimen)
    source = with_haadf_options(plain, haadf or {})
    several = specimens_in(find_files(paths).data)
    if several and specimen is None:
        if as_json:
            json_summaries.print_json(json_summaries.of_specimens(several))
        else:
            _list_specimens(several)
        return
    with TerminalBar([Planned('Open'), Planned('Sum spectrum')]) as bar:
        bar.begin()
        series = open_isolated(source, bar)
        elements, counts = '', np.nan
        if isinstance(series, SpectralTiltSeries):
            elements, counts = _spectral_facts(series, bar)
    if as_json:
        seen = [] if elements.startswith(_UNKNOWN) else elements.split(', ') if elements else []
        json_summaries.print_json(json_summaries.of_series(series, seen, counts))
        return
    console = Console(highlight=False)
    table = Table(box=None, show_header=False)
    for name, value in facts(series, elements, counts).items():
        table.add_row(name, value)
    console.print(table)
    print_findings(series.findings, console)


def _list_specimens(specimens: Sequence[Specimen]) -> None:
    console = Console(highlight=False)
    console.print(f'{len(specimens)} {kind_of(specimens)}, distinguished by the names of their files:')
    table = Table('specimen', 'holds', 'first file', box=None)
    for one in specimens:
        table.add_row(one.name, one.holds, one.files[0].name)
    console.print(table)
    console.print(
        f"Choose one: --specimen '{specimens[0].name}', or in Python specimen='{specimens[0].name}'.",
        markup=False,
        soft_wrap=True,
    )


def facts(series: SpectralTiltSeries | MapSeries, elements: str = '', counts: float = np.nan) -> dict[str, str]:
    """Contents of a tilt series, in words, in the order of interest."""
    found = {'tilts': f'{len(series.angles)}: {angles_in_words(series.angles)}'}
    if isinstance(series, MapSeries):
        kind = 'images' if 'images' in series.notes else 'maps'
        found = {'kind': f'{kind} of {", ".join(series.channels)}', **found}
        if 'angle_source' in series.notes:
            found['angles'] = str(series.notes['angle_source'])
        if 'images' in series.notes:
            found['intensities'] = str(series.notes['images'])
        shape, counts = series.data.shape[2:], float(series.data.sum(axis=0).mean())
    else:
        low, high = series.energy[0], series.energy[-1]
        spectra = f'{len(series.energy)} channels, {low:.4g} to {high:.4g} {series.energy_unit}'
        found = {'kind': f'spectra ({spectra})', **found, 'angles': series.angle_source}
        if series.metadata.get('frames', 1) > 1:
            found['frames'] = f'{series.metadata["frames"]:.0f} in each file'
        if series.core_loss is not None:
            found['core loss'] = _core_loss_facts(series.core_loss, series.angles)
        shape = series.counts.shape[1:3]
    ny, nx = shape
    size = series.pixel_size
    found['images'] = f'{nx} x {ny} pixels (x, y) of {size:.4g} nm: {nx * size:.4g} x {ny * size:.4g} nm'
    if not (isinstance(series, MapSeries) and 'images' in series.notes):
        found['HAADF'] = 'yes' if series.haadf is not None else 'no'
    if series.haadf_series is not None:
        found['HAADF series'] = f'{described(series.haadf_series, series)} (angles {series.haadf_series.angle_source})'
    second = series.second_axis if isinstance(series, MapSeries) else None
    if second is not None and second.reinsertion is not None:
        found['second axis'] = second.reinsertion.described(second.angles)
    if np.isfinite(counts):
        found['counts'] = f'{counts:.3g} per pixel and tilt'
    if elements:
        found['elements seen'] = elements
    if series.transposed:
        found['tilt axis'] = 'along x in the files; transposed'
    return found


def _core_loss_facts(core: CoreLoss, angles: np.ndarray) -> str:
    tilts = angles_in_words(angles[list(core.tilts)])
    source = core.metadata.get('angle_source', '')
    low, high = core.energy[0], core.energy[-1]
    spectra = f'{len(core.energy)} channels, {low:.4g} to {high:.4g} eV'
    return f'{spectra}, at {tilts}' + (f' ({source})' if source else '')


def _spectral_facts(series: SpectralTiltSeries, bar: TerminalBar) -> tuple[str, float]:
    from napari_diptomo.spectra import suggest_elements, sum_spectrum

    bar.begin('Sum spectrum')
    if series.energy_unit == 'eV':
        # A camera's counts may be negative and are no photons: they are summed as they are.
        behind = series.energy > 0
        sums = [float(np.asarray(tilt)[..., behind].sum(dtype=float)) for tilt in series.counts]
        return '', sum(sums) / float(np.prod(series.counts.shape[:3]))
    spectrum = sum_spectrum(series, bar)
    above_zero_peak = series.energy > 0.1
    pixels = np.prod(series.counts.shape[:3])
    try:
        elements = ', '.join(suggest_elements(series))
    except InputError as error:
        # The files are described all the same.
        elements = f'{_UNKNOWN}: {error}'
    return elements, float(spectrum[above_zero_peak].sum() / pixels)
