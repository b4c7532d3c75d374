"""The command ``diptomo calibrate``, and what the dock does in its place: factors from the files of a standard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from napari_diptomo.assess.factor_calibration import CalibratedFactors, StandardSettings, calibrate_factors
from napari_diptomo.jobs.reading.isolated import open_isolated
from napari_diptomo.jobs.terminal import Planned, TerminalBar, print_findings
from napari_diptomo.series import InputError, Observer, Source


def calibrate_standard(
    source: Source, composition: str, output: Path, settings: StandardSettings, observer: Observer | None = None
) -> CalibratedFactors:
    """Open a standard, measure its factors, save them as a table.

    Parameters
    ----------
    source : Source
        Spectra of one image or more, or saved maps.
    composition : str
        See `calibrate_factors`.
    output : Path
        A ``.csv`` file that is not there yet.
    settings : StandardSettings
        What is calibrated.
    observer : Observer, optional
        Of opening and of the fit.

    Returns
    -------
    CalibratedFactors
        As saved.

    Raises
    ------
    InputError
        What `calibrate_factors` refuses, or a file of that name is there.
    """
    output = output if output.suffix else output.with_suffix('.csv')
    if output.exists():
        raise InputError(f'{output.name} is there already; choose another name for the table of factors.')
    factors = calibrate_factors(open_isolated(source, observer), composition, settings, observer)
    names = ', '.join(Path(path).name for path in source.paths)
    factors = replace(factors, origin={**factors.origin, 'files': names})
    factors.save(output)
    return factors


def run_calibration(source: Source, composition: str, output: Path, settings: StandardSettings) -> None:
    """`calibrate_standard` with a bar in the terminal, and the table shown."""
    with TerminalBar([Planned('Open'), Planned('EDX maps')]) as bar:
        bar.begin()
        factors = calibrate_standard(source, composition, output, settings, bar)
    console = Console(highlight=False)
    table = Table('line family', factors.quantity, 'error', box=None)
    for family, value, error in zip(factors.families, factors.values, factors.errors, strict=True):
        table.add_row(family, f'{value:.5g}', f'{error:.2g}')
    console.print(table)
    console.print(f'Written: {output}', markup=False, soft_wrap=True)
    print_findings(factors.findings, console)
