"""The command line, ``diptomo run`` and its like: run, look, align, judge, export, calibrate, demonstrate.

What a command needs is imported when it runs, so that ``diptomo --help``
answers at once. Whatever goes wrong is one line on standard error and exit
code 1; ``--debug`` shows the traceback.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_diptomo import __version__
from napari_diptomo._plain_terminal import tolerate

app = typer.Typer(
    help='Spectroscopic electron tomography: from EDX and EELS tilt series to chemical volumes.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
HAADFFiles = Annotated[
    list[Path] | None,
    typer.Option('--haadf', help='HAADF series beside the spectra: a stack, or its folder; may be repeated.'),
]
HAADFAngles = Annotated[str | None, typer.Option(help='Tilts of the HAADF series in degrees, or a table file of them.')]
HAADFPixelSize = Annotated[float | None, typer.Option(help='Pixel size of the HAADF series in nm.')]
HAADFOrientation = Annotated[
    str | None,
    typer.Option(
        help='What is done to the images of the HAADF series so that they lie as the spectra do: "as recorded", "reverse x", '
        '"reverse y", "turn by 180", "turn left", "turn right", "swap x and y" or "swap and turn by 180".'
    ),
]
OwnHAADF = Annotated[
    bool, typer.Option('--own-haadf', help='Take the images recorded with the spectra as HAADF series.')
]
Debug = Annotated[bool, typer.Option('--debug', help='Show the traceback when something goes wrong.')]
AsJson = Annotated[
    bool, typer.Option('--json', help='Print what was found as JSON on standard output, and nothing else there.')
]
Overwrite = Annotated[bool, typer.Option('--overwrite', help='Replace what is there under that name.')]


def main(name: str | None = None) -> None:
    """Entry point of the ``diptomo`` command, under another name where one is given."""
    # See napari_diptomo.jobs.child_connection.patient_environment; the demo computes in this process.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    tolerate(sys.stdout, sys.stderr)
    app(prog_name=name)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f'napari-diptomo {__version__}')
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option('--version', callback=_print_version, is_eager=True, help='Print the version, and end.')
    ] = False,
) -> None:
    """Spectroscopic electron tomography: from EDX and EELS tilt series to chemical volumes."""


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help='The recipe, a JSON file.')],
    output: Annotated[
        str | None,
        typer.Option(
            '--output',
            '-o',
            help='File for the result (.hspy; volumes also .mrc, .tif), or its folder; default: next to the recipe.',
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option('--resume', help='Continue an interrupted run, or save a result that could not be saved.')
    ] = False,
    haadf: HAADFFiles = None,
    haadf_angles: HAADFAngles = None,
    haadf_pixel_size: HAADFPixelSize = None,
    haadf_orientation: HAADFOrientation = None,
    own_haadf: OwnHAADF = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run a recipe and write the volume.

    Ctrl-C once stops and keeps the best result so far, twice cancels. A run that was cut off (power, memory, a signal,
    a full disk) continues with --resume.
    """
    with _one_line_errors(debug, as_json):
        from napari_diptomo.jobs.commands import run_recipe

        beside = _haadf(haadf, haadf_angles, haadf_pixel_size, haadf_orientation, own_haadf)
        run_recipe(recipe, output, resume=resume, haadf=beside, as_json=as_json)


@app.command()
def batch(
    recipe: Annotated[
        Path, typer.Argument(help='The recipe; its steps and the way of reading are used, its files not.')
    ],
    samples: Annotated[
        list[str],
        typer.Argument(help='Folders or files, one per sample; patterns such as "data/*" in quotation marks.'),
    ],
    output: Annotated[
        Path, typer.Option('--output', '-o', help='Folder for results, recipes and the table summary.csv.')
    ],
    suffix: Annotated[
        str, typer.Option('--format', help='Of the results: .hspy, .mrc, .tif, .ome.zarr, .vti.')
    ] = '.hspy',
    resume: Annotated[
        bool, typer.Option('--resume', help='Skip samples that are done, and continue one that was interrupted.')
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run one recipe on many samples, and write one table: scores, findings, times.

    A sample that fails does not stop the others; the exit code is 1 then. Ctrl-C once finishes the stage of the present
    sample, twice ends the batch; the table is up to date after every sample.
    """
    with _one_line_errors(debug, as_json):
        from napari_diptomo.jobs.batch import run_batch

        failed = run_batch(recipe, samples, output, suffix=suffix, resume=resume, as_json=as_json)
    if failed:
        raise typer.Exit(1)


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(help='The files of a tilt series, or their folder.')],
    angles: Annotated[str | None, typer.Option(help='Table file with the tilt angles.')] = None,
    core_loss: Annotated[
        list[Path] | None, typer.Option(help='EELS: core loss of one tilt or more, a file or folder; may be repeated.')
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help='Pixel size in nm, where the files are not calibrated.')
    ] = None,
    specimen: Annotated[
        str | None, typer.Option(help='Of several specimens in one folder the one to open; without it they are listed.')
    ] = None,
    haadf: HAADFFiles = None,
    haadf_angles: HAADFAngles = None,
    haadf_pixel_size: HAADFPixelSize = None,
    haadf_orientation: HAADFOrientation = None,
    own_haadf: OwnHAADF = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what is in the files of a tilt series."""
    with _one_line_errors(debug, as_json):
        from napari_diptomo.jobs.commands import show_info

        beside = _haadf(haadf, haadf_angles, haadf_pixel_size, haadf_orientation, own_haadf)
        show_info(
            files,
            angles,
            core_loss or (),
            pixel_size=pixel_size,
            specimen=specimen,
            haadf=beside,
            as_json=as_json,
        )


@app.command()
def align(
    maps: Annotated[list[Path], typer.Argument(help='Saved maps (.hspy), or the files of a tilt series of maps.')],
    output: Annotated[Path, typer.Option('--output', '-o', help='File for the aligned maps (.hspy), or its folder.')],
    shifts: Annotated[
        str,
        typer.Option(
            help='Shifts from a file, taken as they are: an .xf of IMOD, a .csv with angle, dx and dy, an .hspy of ETSpy, an .npz of tomviz.'
        ),
    ] = '',
    refine: Annotated[bool, typer.Option('--refine', help='Improve the shifts of the file.')] = False,
    axis: Annotated[
        float | None,
        typer.Option(
            help='Angle of the tilt axis to the y axis of the images in degrees, positive clockwise; default: found.'
        ),
    ] = None,
    reference: Annotated[str, typer.Option(help='Images that are compared: "auto", "haadf" or "maps".')] = 'auto',
    table: Annotated[
        Path | None,
        typer.Option(
            help='File for the shifts, .csv, .xf (IMOD), .hspy (ETSpy) or .npz (tomviz); default: a .csv beside the maps.'
        ),
    ] = None,
    second_axis: Annotated[
        Path | None,
        typer.Option(
            help='Saved, aligned maps (.hspy) of the specimen turned in its plane and tilted again, to be fitted together.'
        ),
    ] = None,
    turn: Annotated[
        float | None,
        typer.Option(help='By how much it was turned, degrees, positive clockwise, within 15; default: found.'),
    ] = None,
    debug: Debug = False,
) -> None:
    """Find where the specimen sits in each image, and write maps with these shifts and a table of them."""
    with _one_line_errors(debug):
        from napari_diptomo.align import Align, SecondAxis
        from napari_diptomo.jobs.align_maps import align_files

        rounds = {'rounds': 0} if shifts and not refine else {}
        # The maps carry their recipe to other folders.
        shifts = str(Path(shifts).absolute()) if shifts else shifts
        step = Align(**{'reference': reference, 'shifts_file': shifts, 'axis_rotation': axis, **rounds})
        second = None if second_axis is None else SecondAxis(maps=str(second_axis.absolute()), turn=turn)
        align_files(maps, output, step, table=table, second=second)


@app.command()
def assess(
    volume: Annotated[Path, typer.Argument(help='A saved volume (.hspy), as a reconstruction made it.')],
    maps: Annotated[
        Path | None, typer.Option(help='The maps that it was made from; default: made anew from its recipe.')
    ] = None,
    halves: Annotated[
        str,
        typer.Option(
            help='Resolution by two halves of the counts: "fast" (SIRT), "own" (the settings of the volume), "none".'
        ),
    ] = 'fast',
    predict: Annotated[
        bool, typer.Option(help='Predict every tilt from the others (SIRT, a third of the tilts left out at a time).')
    ] = True,
    phases: Annotated[
        int | None, typer.Option(help='Divide it into so many phases; 0: as many as the data show.', min=0)
    ] = None,
    output: Annotated[Path | None, typer.Option('--output', '-o', help='Folder for tables and labels.')] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say how far a volume can be trusted: residuals, resolution, prediction of left-out tilts, phases."""
    with _one_line_errors(debug, as_json):
        from napari_diptomo.jobs.assess_volume import assess_file

        assess_file(volume, maps, halves=halves, predict=predict, phases=phases, output=output, as_json=as_json)


@app.command()
def report(
    volume: Annotated[Path, typer.Argument(help='A saved volume (.hspy), as a reconstruction made it.')],
    maps: Annotated[
        Path | None, typer.Option(help='The maps that it was made from; default: made anew from its recipe.')
    ] = None,
    output: Annotated[
        Path, typer.Option('--output', '-o', help='The page (.html); PDF and a folder of figures go beside it.')
    ] = Path('report.html'),
    halves: Annotated[str, typer.Option(help='As of "diptomo assess": "fast", "own" or "none".')] = 'fast',
    phases: Annotated[
        int, typer.Option(help='Divide the specimen into so many phases; 0: as many as the data show.', min=0)
    ] = 0,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write all that is known of a volume on a page: recipe, findings, images, resolution, residuals, phases."""
    with _one_line_errors(debug):
        from napari_diptomo.jobs.report.write import report_file

        report_file(volume, maps, output, halves=halves, phases=phases, overwrite=overwrite)


@app.command()
def export(
    volume: Annotated[Path, typer.Argument(help='A saved volume (.hspy, .ome.zarr).')],
    output: Annotated[
        Path,
        typer.Argument(
            help='.ome.zarr (napari, Fiji), .vti (ParaView), .mrc (ChimeraX, Avizo, IMOD; one per element), .tif (Fiji, '
            'Dragonfly), .hspy.'
        ),
    ],
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write a volume in the format of another program."""
    with _one_line_errors(debug):
        from napari_diptomo.jobs.export_volume import export_file

        export_file(volume, output, overwrite=overwrite)


@app.command()
def movie(
    volume: Annotated[Path, typer.Argument(help='A saved volume (.hspy, .ome.zarr).')],
    output: Annotated[Path, typer.Option('--output', '-o', help='.mp4 (needs imageio-ffmpeg) or .gif.')] = Path(
        'turning.mp4'
    ),
    seconds: Annotated[float, typer.Option(help='Of one turn about the tilt axis.')] = 6.0,
    size: Annotated[int, typer.Option(help='Height in pixels.')] = 512,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Film the turning volume, every element in its colour; needs no screen."""
    with _one_line_errors(debug):
        from napari_diptomo.jobs.movie import MovieSettings, movie_file

        movie_file(volume, output, MovieSettings(seconds, size), overwrite=overwrite)


@app.command()
def sample(
    name: Annotated[str | None, typer.Argument(help='Which one; without it they are listed.')] = None,
    output: Annotated[
        Path | None, typer.Option('--output', '-o', help='Folder for the files; default: a cache.')
    ] = None,
    yes: Annotated[bool, typer.Option('--yes', help='Accept the licence without being asked.')] = False,
    debug: Debug = False,
) -> None:
    """Fetch a published measurement: its licence first, then its files with checksums; a break is resumed."""
    with _one_line_errors(debug):
        from napari_diptomo.jobs.samples.commands import fetch_sample, list_samples

        if name is None:
            list_samples()
        else:
            fetch_sample(name, output, yes=yes)


@app.command()
def calibrate(
    files: Annotated[list[Path], typer.Argument(help='EDX spectra of the standard, one image or more, or saved maps.')],
    composition: Annotated[
        str, typer.Option('--composition', '-c', help='Of the standard: "Ge2Sb2Te5", or "Fe 70, Pt 30 wt.%".')
    ],
    output: Annotated[Path, typer.Option('--output', '-o', help='File for the table of factors.')] = Path(
        'factors.csv'
    ),
    method: Annotated[str, typer.Option(help='What is calibrated: k (Cliff-Lorimer), zeta, or cross-section.')] = 'k',
    lines: Annotated[
        str | None, typer.Option(help='Line families, e.g. "Ge_K Sb_L Te_L"; default: as for maps.')
    ] = None,
    thickness: Annotated[
        float | None, typer.Option(help='Of the standard, a film, in nm; corrects for absorption.')
    ] = None,
    density: Annotated[float | None, typer.Option(help='Of the standard in g/cm^3.')] = None,
    electrons: Annotated[float | None, typer.Option(help='Electrons per pixel and image, for zeta.')] = None,
    angles: Annotated[str | None, typer.Option(help='Tilt of each image in degrees, or a table file of them.')] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help='Pixel size in nm, where the files are not calibrated.')
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure k- or zeta-factors on a standard of known composition, and save them as a table."""
    with _one_line_errors(debug):
        from napari_diptomo.assess.factor_calibration import StandardSettings
        from napari_diptomo.assess.mass_density import Dose
        from napari_diptomo.jobs.factor_standard import run_calibration
        from napari_diptomo.series import InputError, Source

        methods = {'k': 'Cliff-Lorimer', 'zeta': 'zeta', 'cross-section': 'cross section'}
        if method not in methods:
            raise InputError(f'{method} is no method; take {", ".join(methods)}.')
        source = Source(paths=tuple(map(str, files)), angles=_angles(angles), pixel_size=pixel_size)
        names = tuple((lines or '').replace(';', ' ').replace(',', ' ').split())
        settings = StandardSettings(methods[method], names, thickness, density, Dose(electrons))
        run_calibration(source, composition, output, settings)


def _haadf(
    files: list[Path] | None, angles: str | None, pixel_size: float | None, orientation: str | None, own: bool
) -> dict[str, Any]:
    """The fields of a `Source` about the HAADF series, those that were given."""
    given = {
        'haadf': tuple(str(file.absolute()) for file in files) if files else None,
        'haadf_angles': _angles(angles),
        'haadf_pixel_size': pixel_size,
        'haadf_orientation': orientation,
        'own_haadf': own or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _angles(text: str | None) -> str | tuple[float, ...] | None:
    """Numbers where the text is a list of them, else the name of a file."""
    try:
        return None if text is None else tuple(float(part) for part in text.replace(',', ' ').split())
    except ValueError:
        return text


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help='Folder of a real tilt series; default: a simulated Ge-Sb-Te lamella.')
    ] = None,
    output: Annotated[Path, typer.Option('--output', '-o', help='Folder for the results.')] = Path('demo-output'),
    elements: Annotated[
        str | None,
        typer.Option(
            help='Elements to map, e.g. "O Si Fe"; default: the strongest that are not of grid or preparation.'
        ),
    ] = None,
    binning: Annotated[
        int | None, typer.Option(min=1, max=64, help='Pixels summed in x and in y; default: about 48 pixels are left.')
    ] = None,
    fast: Annotated[bool, typer.Option('--fast', help='A first look in less than a minute.')] = False,
    show: Annotated[bool, typer.Option('--show/--no-show', help='Open napari with the result.')] = True,
    debug: Debug = False,
) -> None:
    """Do the whole work once: spectra, maps, alignment, SIRT, joint TV and DIPm-TV, figures and scores."""
    with _one_line_errors(debug):
        from napari_diptomo.jobs.demo.workflow import DemoSettings, run_demo

        names = tuple((elements or '').replace(';', ' ').replace(',', ' ').split())
        run_demo(DemoSettings(data, output, names, binning, fast, show))


@contextlib.contextmanager
def _one_line_errors(debug: bool, as_json: bool = False) -> Iterator[None]:
    try:
        yield
    except typer.Exit:
        raise
    except BaseException as error:
        from napari_diptomo.jobs.error_sentences import explain
        from napari_diptomo.series import Cancelled

        if isinstance(error, Cancelled | KeyboardInterrupt):
            code = getattr(error, 'code', None)
            _complain('Cancelled; nothing was kept.' if code is None else str(error), as_json)
            raise typer.Exit(130 if code is None else code) from None
        if not isinstance(error, Exception):
            raise
        if debug:
            _complain(_details(error))
        _complain(explain(error), as_json)
        raise typer.Exit(1) from None


def _details(error: Exception) -> str:
    inside: Any = getattr(error, 'details', '')
    return inside or ''.join(traceback.format_exception(error))


def _complain(text: str, as_json: bool = False) -> None:
    typer.echo(text.rstrip(), err=True)
    if as_json:
        typer.echo(json.dumps({'error': text.rstrip()}))
