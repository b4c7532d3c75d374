"""The standards a step is run with: stored ones, or those of the series itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.series import InputError, Observer
from napari_diptomo.series._inspection import check_is_file
from napari_diptomo.series._library_errors import reading
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries
from napari_diptomo.spectra.eels.standards.leading_edge import DeepEdge
from napari_diptomo.spectra.eels.standards.search import Standards, find_standards

if TYPE_CHECKING:
    from napari_diptomo.spectra.eels.eels_oxidation_maps import EELSOxidationMaps


def standards_of(step: EELSOxidationMaps, calibrated: CalibratedSeries, observer: Observer | None = None) -> Standards:
    """Standards of the step's oxides, in their order.

    Parameters
    ----------
    step : EELSOxidationMaps
        Names a file, or how the core loss is to be read.
    calibrated : CalibratedSeries
        The series, whose core loss serves where no file is named.
    observer : Observer, optional
        Told of the steps.

    Raises
    ------
    InputError
        A file without these oxides, no core loss, oxides that the core loss is not read for.
    """
    if step.standards:
        return ordered(Standards.load(step.standards), step.states)
    if calibrated.series.core_loss is None:
        raise InputError(
            'The series has no core loss to take standards from; open it with the core loss of one tilt or more, or give '
            'a file with standards that were stored before.'
        )
    edge = DeepEdge.of(step.states)
    references = read_references(step.references, step.states) if step.references else None
    if step.method == 'references' and references is None:
        raise InputError(
            'The method references needs a file with reference spectra; name it, or choose another method.'
        )
    return ordered(
        find_standards(calibrated, method=step.method, references=references, edge=edge, observer=observer),
        step.states,
    )


def ordered(standards: Standards, states: tuple[str, ...]) -> Standards:
    """The same standards if they are of these oxides; the first has the lowest valence, by name.

    Raises
    ------
    InputError
        Other oxides.
    """
    if tuple(standards.names) != tuple(states):
        raise InputError(
            f'The standards are of {", ".join(standards.names)}, the maps shall be of {", ".join(states)}; name those, '
            'in this order, or give other standards.'
        )
    return standards


def read_references(path: str | os.PathLike[str], states: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Core-loss spectra of the oxides from a text file: a line of names (energy, FeO, Fe3O4), then numbers.

    Returns
    -------
    dict of str to ndarray (2, n)
        Energies in eV and counts without background.

    Raises
    ------
    InputError
        A file that is none, or without one of the oxides.
    """
    try:
        if os.path.exists(path):
            check_is_file(Path(path))
        with reading(path, f'give a .csv with energy, {", ".join(states)}'), open(path, encoding='utf-8-sig') as file:
            # From an open file: given a name, NumPy would fetch addresses and unpack archives.
            table = np.atleast_1d(np.genfromtxt(file, delimiter=',', names=True, dtype=float))
    except InputError as error:
        raise InputError(f'Cannot read the reference spectra: {error}') from error
    names = table.dtype.names or ()
    missing = [state for state in states if state not in names]
    if missing or len(names) < 2 or not np.isfinite([table[n] for n in names]).all():
        raise InputError(
            f'The reference spectra {path} must have columns of numbers named energy, {", ".join(states)}; it has '
            f'{", ".join(names) or "none"}.'
        )
    return {state: np.stack([table[names[0]], table[state]]) for state in states}
