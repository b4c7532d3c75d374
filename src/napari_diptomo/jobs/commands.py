"""What ``diptomo run`` and ``diptomo info`` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from napari_diptomo.jobs.process import ChildJob
from napari_diptomo.jobs.reading import open_isolated
from napari_diptomo.jobs.terminal import Planned, TerminalBar, clock, follow, print_findings
from napari_diptomo.series import (
    CoreLoss,
    InputError,
    MapSeries,
    Recipe,
    Source,
    SpectralTiltSeries,
    Volume,
)


def run_recipe(path: Path, output: Path | None = None, *, resume: bool = False) -> Path:
    """Run a recipe file in a child process, show its progress, write the result; returns its path.

    Raises
    ------
    DiptomoError
        One sentence.
    Cancelled
        On the second Ctrl-C.
    """
    recipe = Recipe.load(path)
    output = path.with_suffix('.hspy') if output is None else output
    if output.suffix == '':
        output = output.with_suffix('.hspy')
    _check_writable(output)
    checkpoint = output.with_name(output.name + '.checkpoint')
    if resume and not checkpoint.exists():
        raise InputError(f'There is no checkpoint {checkpoint}; run without --resume.')
    plan = [Planned('Open'), *(Planned(step.title or type(step).__name__) for step in recipe.steps)]
    with ChildJob(recipe, preview_interval=0, checkpoint=checkpoint, resume=resume) as job:
        with TerminalBar(plan) as bar:
            bar.begin()
            result = follow(job, bar)
        result.save(output)
    report(result, output)
    return output


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
    if 'stopping' in notes:
        console.print(f'Stopping: {notes["stopping"]}', markup=False)
    if 'composition' in notes:
        told = notes['composition']
        mean = ', '.join(f'{name} {percent:.1f}' for name, percent in told['mean'].items())
        console.print(f'Composition on the mean: {mean} {told["units"][result.channels[0]]}; masked: {told["masked"]}')
    found = notes.get('projection_correlation')
    if found:
        table = Table('element', 'correlation of projections with maps', 'ceiling of the counts', box=None)
        ceiling = notes.get('correlation_ceiling', {})
        for name, value in found.items():
            table.add_row(name, f'{value:.3f}', f'{ceiling[name]:.3f}' if name in ceiling else '')
        console.print(table)


def show_info(files: Sequence[Path], angles: str | None = None, core_loss: Sequence[Path] = ()) -> None:
    """Print what a tilt series holds."""
    paths, core = (tuple(str(file) for file in listed) for listed in (files, core_loss))
    source = Source(paths=paths, angles=angles, core_loss=core)
    with TerminalBar([Planned('Open'), Planned('Sum spectrum')]) as bar:
        bar.begin()
        series = open_isolated(source, bar)
        elements, counts = '', np.nan
        if isinstance(series, SpectralTiltSeries):
            elements, counts = _spectral_facts(series, bar)
    console = Console(highlight=False)
    table = Table(box=None, show_header=False)
    for name, value in facts(series, elements, counts).items():
        table.add_row(name, value)
    console.print(table)
    print_findings(series.findings, console)


def facts(series: SpectralTiltSeries | MapSeries, elements: str = '', counts: float = np.nan) -> dict[str, str]:
    """What a tilt series holds, in words, in the order of interest."""
    tilts = ', '.join(f'{angle:g}' for angle in series.angles)
    found = {'tilts': f'{len(series.angles)}: {tilts} deg'}
    if isinstance(series, MapSeries):
        kind = 'images' if 'images' in series.notes else 'maps'
        found = {'kind': f'{kind} of {", ".join(series.channels)}', **found}
        if 'images' in series.notes:
            found['intensities'] = str(series.notes['images'])
        shape, counts = series.data.shape[2:], float(series.data.sum(axis=0).mean())
    else:
        low, high = series.energy[0], series.energy[-1]
        spectra = f'{len(series.energy)} channels, {low:.4g} to {high:.4g} {series.energy_unit}'
        found = {'kind': f'spectra ({spectra})', **found, 'angles': series.angle_source}
        if series.core_loss is not None:
            found['core loss'] = _core_loss_facts(series.core_loss, series.angles)
        shape = series.counts.shape[1:3]
    ny, nx = shape
    size = series.pixel_size
    found['images'] = f'{nx} x {ny} pixels (x, y) of {size:.4g} nm: {nx * size:.4g} x {ny * size:.4g} nm'
    found['HAADF'] = 'yes' if series.haadf is not None else 'no'
    if np.isfinite(counts):
        found['counts'] = f'{counts:.3g} per pixel and tilt'
    if elements:
        found['elements seen'] = elements
    if series.transposed:
        found['tilt axis'] = 'along x in the files; transposed'
    return found


def _core_loss_facts(core: CoreLoss, angles: np.ndarray) -> str:
    tilts = ', '.join(f'{angles[tilt]:g}' for tilt in core.tilts)
    source = core.metadata.get('angle_source', '')
    low, high = core.energy[0], core.energy[-1]
    spectra = f'{len(core.energy)} channels, {low:.4g} to {high:.4g} eV'
    return f'{spectra}, at {tilts} deg' + (f' ({source})' if source else '')


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
    elements = ', '.join(suggest_elements(series))
    return elements, float(spectrum[above_zero_peak].sum() / pixels)


def _check_writable(output: Path) -> None:
    """Refuse before the hours of computing, not after."""
    folder = output.resolve().parent
    if not folder.is_dir():
        raise InputError(f'There is no folder {folder}; make it, or choose another output.')
