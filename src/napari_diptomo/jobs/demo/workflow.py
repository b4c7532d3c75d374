"""``diptomo demo``: the whole work once, on a simulated lamella or on a folder of files.

The simulated sample is a lamella of Ge-Sb-Te phases: EDX spectra with counting
noise at 17 tilts over +-40 degrees, images displaced by up to two pixels. The
truth is known, so the summary gives scores. One thing is taken from it: the
origin (x, y, z) of the aligned maps, which no data determine and which the
voxels of volume and truth must share to be compared
(`in_the_frame_of_the_truth`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from napari_diptomo.jobs.demo.element_choice import choice_in_words, of_the_specimen
from napari_diptomo.jobs.demo.summary import DIP, FINDINGS, DemoResult, findings_of, write_summary
from napari_diptomo.jobs.reading.isolated import open_isolated
from napari_diptomo.jobs.recipe_run import run
from napari_diptomo.jobs.terminal import Planned, TerminalBar, clock, print_findings
from napari_diptomo.series import (
    InputError,
    MapSeries,
    Recipe,
    Source,
    SpectralTiltSeries,
    Step,
    Volume,
)

if TYPE_CHECKING:
    from napari_diptomo.simulate import SimulatedSpectra

_PIXELS, _FAST_PIXELS = 48, 32
#: SIRT fits noise when it continues: after some 30 iterations at these counts.
_SIRT_ITERATIONS = 30
BASELINE, TV = f'SIRT, {_SIRT_ITERATIONS} iterations', 'Joint TV'
_SIMULATED_ELEMENTS = ('Ge', 'Sb', 'Te')


@dataclass(frozen=True)
class DemoSettings:
    """Options of ``diptomo demo``.

    Attributes
    ----------
    data : Path, optional
        Folder of a real tilt series; None simulates one.
    output : Path
        Folder for the results.
    elements : tuple of str
        To map; empty: those of the simulation, or the strongest of the spectra
        that are not of the preparation.
    binning : int, optional
        None leaves about 48 pixels.
    fast : bool
        A first look: smaller sample, ``DIPmTV(preset='fast')``.
    show : bool
        Open napari where there is a screen.
    """

    data: Path | None = None
    output: Path = Path('demo-output')
    elements: tuple[str, ...] = ()
    binning: int | None = None
    fast: bool = False
    show: bool = True


def run_demo(settings: DemoSettings) -> DemoResult:
    """Run it; writes into ``settings.output``.

    Raises
    ------
    DiptomoError
        One sentence.
    Cancelled
        On the second Ctrl-C.
    """
    started = time.monotonic()
    settings.output.mkdir(parents=True, exist_ok=True)
    with TerminalBar(_plan(settings)) as bar:
        result = _simulated(settings, bar) if settings.data is None else _measured(settings, bar)
        bar.begin('Figures')
        result.volumes[DIP].save(settings.output / 'volume.hspy')
        written = write_summary(result, settings.output)
    total = time.monotonic() - started
    print(f'Done in {clock(total)}. Written to {settings.output}:')
    print('  ' + '\n  '.join(path.name for path in sorted([*written, settings.output / 'volume.hspy'])))
    print((settings.output / 'summary.md').read_text(encoding='utf-8').partition(FINDINGS)[0].rstrip())
    print_findings(findings_of(result), Console(highlight=False))
    if settings.show and has_screen():
        open_napari(settings.output / 'volume.hspy')
    return result


def _plan(settings: DemoSettings) -> list[Planned]:
    opening = 'Simulate' if settings.data is None else 'Open'
    dip = 25.0 if settings.fast else 150.0
    tv = 2.0 if settings.fast else 10.0
    seconds = (
        (opening, 4.0),
        ('EDX maps', 5.0),
        ('Align', 3.0),
        ('SIRT', 2.0),
        ('Joint TV', tv),
        ('DIPm-TV', dip),
        ('Figures', 6.0),
    )
    return [Planned(*stage) for stage in seconds]


def _simulated(settings: DemoSettings, bar: TerminalBar) -> DemoResult:
    from napari_diptomo.simulate import demo_series

    strangers = [name for name in settings.elements if name not in _SIMULATED_ELEMENTS]
    if strangers:
        raise InputError(
            f'The simulated lamella holds {", ".join(_SIMULATED_ELEMENTS)} and no {strangers[0]}; '
            'leave --elements out, or give a tilt series with --data.'
        )
    bar.begin('Simulate')
    simulated = demo_series(size=_FAST_PIXELS if settings.fast else _PIXELS)
    series = replace(simulated.series, recipe=Recipe())
    maps = _maps(series, settings.elements or _SIMULATED_ELEMENTS, bar)
    maps, error = in_the_frame_of_the_truth(maps, simulated)
    # Saved with their geometry, so that the recipe runs anywhere the folder is copied to.
    maps.save(settings.output / 'maps.hspy')
    dip = _dip(settings)
    # No recipe leads from the spectra to this origin: those of the volumes begin at the maps.
    start = Recipe(Source(paths=('maps.hspy',)))
    start.then(dip).save(settings.output / 'recipe.json')
    maps = replace(maps, recipe=start)
    truth = simulated.truth
    if maps.channels != truth.channels:
        index = [truth.channels.index(name) for name in maps.channels]
        truth = replace(truth, data=truth.data[index], channels=maps.channels)
    return DemoResult(series, maps, _volumes(maps, dip, bar), truth, error)


def _measured(settings: DemoSettings, bar: TerminalBar) -> DemoResult:
    bar.begin('Open')
    assert settings.data is not None
    folder = str(settings.data.absolute())
    binning = settings.binning or _fitting_binning(folder, bar)
    series = open_isolated(Source(paths=(folder,), binning=binning), bar)
    elements = settings.elements
    if isinstance(series, SpectralTiltSeries):
        elements = elements or _strongest(series, bar)
    maps = _maps(series, elements, bar)
    maps.save(settings.output / 'maps.hspy')
    dip = _dip(settings)
    recipe = Recipe(Source(paths=('maps.hspy',)), (dip,))
    if isinstance(series, SpectralTiltSeries) and maps.recipe is not None:
        source = Source(paths=(os.path.relpath(folder, settings.output),), binning=binning)
        recipe = Recipe(source, (*maps.recipe.steps, dip))
    recipe.save(settings.output / 'recipe.json')
    return DemoResult(series, maps, _volumes(maps, dip, bar))


def _maps(series: SpectralTiltSeries | MapSeries, elements: tuple[str, ...], bar: TerminalBar) -> MapSeries:
    from napari_diptomo.align import Align
    from napari_diptomo.spectra import EDXMaps

    steps: tuple[Step, ...] = (Align(),)
    if isinstance(series, SpectralTiltSeries):
        steps = (EDXMaps(elements=elements), *steps)
    else:
        bar.begin('Maps as given')
        series = series.select(elements) if elements else series
    return _run(steps, series, bar)


def _volumes(maps: MapSeries, dip: Step, bar: TerminalBar) -> dict[str, Volume]:
    from napari_diptomo.reconstruct import SIRT, TotalVariation

    steps = {BASELINE: SIRT(iterations=_SIRT_ITERATIONS), TV: TotalVariation(), DIP: dip}
    return {title: _run((step,), maps, bar) for title, step in steps.items()}


def _dip(settings: DemoSettings) -> Step:
    from napari_diptomo.reconstruct import DIPmTV

    return DIPmTV(preset='fast' if settings.fast else 'balanced')


def _run(steps: tuple[Step, ...], data: SpectralTiltSeries | MapSeries, bar: TerminalBar) -> Any:
    return run(Recipe(steps=steps), data=data, observer=bar, on_step=lambda i, n, step: bar.begin(step.title))


def _strongest(series: SpectralTiltSeries, bar: TerminalBar) -> tuple[str, ...]:
    from napari_diptomo.spectra import suggest_elements

    found = suggest_elements(series, observer=bar)
    if not found:
        raise InputError('No element stands out of the spectra; name some with --elements.')
    chosen = of_the_specimen(found)
    bar.say(choice_in_words(chosen, found))
    return chosen


def _fitting_binning(folder: str, bar: TerminalBar) -> int:
    """The binning that leaves about 48 pixels of the longer side."""
    series = open_isolated(Source(paths=(folder,)), bar)
    if isinstance(series, MapSeries) and series.recipe is not None and series.recipe.steps:
        return 1  # saved by this program: it has its pixels already
    shape = series.data.shape[2:] if isinstance(series, MapSeries) else series.counts.shape[1:3]
    return max(round(max(shape) / _PIXELS), 1)


def in_the_frame_of_the_truth(maps: MapSeries, simulated: SimulatedSpectra) -> tuple[MapSeries, float]:
    """Choose the origin of the aligned maps as that of the simulation.

    A tilt series does not determine where the middle of the specimen is: shifting
    it by (dx, dz) moves the images by dx cos t + dz sin t, and by dy along the
    tilt axis, and no data show the difference. These three numbers, and no
    more, are set here, so that volume and truth can be compared voxel by
    voxel without interpolating either; the errors of the alignment remain.

    Returns
    -------
    MapSeries
        The maps with the same alignment about another origin.
    float
        Root mean square of what remains, per axis of the image (over x and y of all tilts), pixels.
    """
    from napari_diptomo.geometry.rigid_motion import rigid_motion

    found = np.array(maps.shifts)
    found[:, 1] += maps.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
    off = found - simulated.shifts
    origin = rigid_motion(off, maps.angles)
    error = float(np.sqrt(((off - origin) ** 2).mean()))
    note = 'x, y and z of the origin are those of the simulated truth'
    return replace(maps, shifts=maps.shifts - origin, notes={**maps.notes, 'origin': note}), error


def has_screen() -> bool:
    """Whether a window can be opened."""
    if sys.platform in ('win32', 'darwin'):
        return True
    return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def open_napari(path: Path) -> None:
    """Open a volume in a napari of its own, which outlives this process."""
    # -P: a file called numpy.py in the user's folder must not be imported.
    command = [
        sys.executable,
        '-P',
        '-m',
        'napari',
        str(path),
        '--plugin',
        'napari-diptomo',
        '--with',
        'napari-diptomo',
    ]
    quiet = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
    subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload]
    print('Opening napari with the volume.')
