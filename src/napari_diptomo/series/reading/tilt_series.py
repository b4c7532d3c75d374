"""Opening a tilt series: spectra, or ready maps, from whatever files they are in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from napari_diptomo.series.data import MapSeries, SpectralTiltSeries, Volume
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.observe import Observer, Watch
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.core_loss import with_core_loss
from napari_diptomo.series.reading.file_selection import IMAGES, DataFiles, find_files
from napari_diptomo.series.reading.map_stacks import maps_of_files
from napari_diptomo.series.reading.saved import load, saved_kind
from napari_diptomo.series.reading.spectrum_images import series_of_files, series_of_stack, spectra_in
from napari_diptomo.series.recipe import Recipe, Source
from napari_diptomo.series.tilts import check_unused, in_use

PathLike = str | os.PathLike[str]


def load_tilt_series(
    paths: PathLike | Sequence[PathLike],
    angles: Sequence[float] | PathLike | None = None,
    core_loss: PathLike | Sequence[PathLike] | None = None,
    *,
    pixel_size: float | None = None,
    binning: int = 1,
    tilt_axis: Literal['y', 'x'] = 'y',
    dark_level: float | None = None,
    beam_energy: float | None = None,
    core_loss_angles: Sequence[float] | float | None = None,
    unused: Sequence[int] = (),
    repeated: Literal['keep', 'sum', 'first'] = 'keep',
    observer: Observer | None = None,
) -> SpectralTiltSeries | MapSeries:
    """Open a tilt series, in this process.

    A damaged file may end the library that reads it, and the process with it, or keep it busy for ever.
    `napari_diptomo.jobs.open_isolated` reads in a process of its own, as the dock and the command line do.

    Parameters
    ----------
    paths : path or sequence of paths
        A folder, the files, or one file: one spectrum image per tilt in any
        format that HyperSpy reads; one stack of spectrum images; one stack of
        maps (tilt, y, x) per element as TIFF, MRC or ``.hspy``; one stack of
        images named HAADF or the like; a map series saved before. A list may name the table of angles too.
    angles : sequence of float or path, optional
        Tilt angles in degrees in the order of the files (those of a folder in
        their natural order), or a table of them. Without it they are taken
        from a table next to the data (``.rawtlt``, ``.tlt``, ``.csv``,
        ``.txt``), from the metadata, or from the file names;
        ``angle_source`` of the result says from where.
    core_loss : path or sequence of paths, optional
        The core loss of an EELS series, whose ``paths`` are the low loss then: of one, some or all tilts, one file
        per tilt or one stack, on the pixels of the low loss. Without it the core loss is taken from files that hold
        both (dual EELS): of two ranges of energy loss the one with 0 eV is the low loss.
    pixel_size : float, optional
        nm, before binning; without it as the files are calibrated.
    binning : int
        Sum this many pixels along y and along x; what does not fill a pixel is cropped.
    tilt_axis : {'y', 'x'}
        Direction of the tilt axis in the images; along x they are transposed.
    dark_level : float, optional
        Of a stack of images (HAADF), per pixel of the files; without it found
        beside the specimen. `napari_diptomo.series.detector_images` says how, the notes
        of the result what was taken. Given, a stack named otherwise is images too.
    beam_energy : float, optional
        keV, where the files do not record it or record it wrong.
    core_loss_angles : sequence of float, optional
        Tilt angles of the core loss, in the order of its files; without it from
        a table, the metadata or the names.
    unused : sequence of int
        Tilts to leave out, by their place among the files or in the stack, counted from 0: ``positions`` of the result.
        Angles, where given, are those of all tilts. A file that is left out may be damaged.
    repeated : {'keep', 'sum', 'first'}
        Tilts recorded more than once at one angle (within 0.05 degrees): keep all, with a finding; sum their counts,
        their number becoming the gain of the tilt; or take the first.
    observer : Observer, optional
        Notified of every file opened.

    Returns
    -------
    SpectralTiltSeries or MapSeries
        Sorted by angle. Spectra stay in their files until they are computed.

    Raises
    ------
    InputError
        One sentence on what is missing, damaged or contradictory.
    Cancelled
        When the observer cancels.

    Examples
    --------
    >>> import tifffile
    >>> from napari_diptomo import load_tilt_series, simulate
    >>> simulated = simulate.tilt_series(simulate.lamella(16), [-40, 0, 40]).maps
    >>> tifffile.imwrite('Ge.tif', simulated.data[0])
    >>> series = load_tilt_series('Ge.tif', angles=[-40, 0, 40], pixel_size=2.0)
    >>> series.channels, series.data.shape, series.angles
    (('Ge',), (1, 3, 16, 16), array([-40.,   0.,  40.]))
    """
    if isinstance(angles, str | os.PathLike):
        angles = str(Path(angles).absolute())
    source = Source(
        paths=_absolute(paths),
        angles=angles if angles is None or isinstance(angles, str) else tuple(float(angle) for angle in angles),
        pixel_size=pixel_size,
        binning=binning,
        tilt_axis=tilt_axis,
        dark_level=dark_level,
        beam_energy=beam_energy,
        core_loss=() if core_loss is None else _absolute(core_loss),
        core_loss_angles=None if core_loss_angles is None else tuple(np.ravel(core_loss_angles).astype(float).tolist()),
        unused=tuple(int(tilt) for tilt in unused),
        repeated=repeated,
    )
    return open_source(source, observer)


def open_source(source: Source, observer: Observer | None = None) -> SpectralTiltSeries | MapSeries:
    """Open the tilt series that a recipe starts from, as `load_tilt_series` does.

    Parameters
    ----------
    source : Source
        What to open, and how.
    observer : Observer, optional
        Notified of every file opened.

    Returns
    -------
    SpectralTiltSeries or MapSeries
        Sorted by angle.

    Raises
    ------
    InputError
        One sentence on what is missing, damaged or contradictory.
    Cancelled
        When the observer cancels.
    """
    files = _without_volumes(find_files(source.paths), source)
    saved = _saved_series(files.data, source)
    if saved is not None:
        return saved
    return in_use(_all_read(files, source, observer), source.unused, source.repeated)


def _all_read(files: DataFiles, source: Source, observer: Observer | None) -> SpectralTiltSeries | MapSeries:
    """The series as the files have it; some of the tilts out of use may be left out already."""
    core = find_files(source.core_loss) if source.core_loss else DataFiles((), ())
    watch = Watch(observer, 'Open', len(files.data) + len(core.data))
    if all(path.suffix.lower() in IMAGES for path in files.data):
        _check_no_core_loss(source)
        watch.step(0, message='reading the maps')
        series = maps_of_files(files.data, files.tables, source)
        watch.step(len(files.data))
        return series
    if core.data:
        # The files of the core loss are matched with those of all tilts.
        source = source.model_copy(update={'unused': ()})
    opened: list[tuple[hyperspy_adapter.StoredSignal, ...]] = []
    refused: list[InputError] = []
    for number, path in enumerate((*files.data, *core.data), start=1):
        try:
            opened.append(hyperspy_adapter.open_signals(path))
        except InputError as error:
            if number - 1 not in source.unused or len(files.data) == 1:
                raise
            refused.append(error)
            opened.append(())
        watch.step(number, message=path.name)
    opened, opened_core = opened[: len(files.data)], opened[len(files.data) :]
    spectra = [found for signals in opened if (found := spectra_in(signals, eels=bool(core.data))) is not None]
    if not spectra:
        if refused:
            raise refused[0]
        _check_no_core_loss(source)
        return _maps_or_nothing(files.data, opened, files.tables, source)
    first = spectra[0]
    if len(files.data) > 1:
        check_unused(source.unused, len(files.data))
        low = series_of_files(files.data, opened, files.tables, source)
    elif len(first.shape) == 3:
        raise InputError(f'{first.path.name} is one tilt only; choose the files of all tilts or their folder.')
    else:
        low = series_of_stack(first, opened[0], files.tables, source)
    return with_core_loss(low, core.data, opened_core, core.tables, source)


def _absolute(paths: PathLike | Sequence[PathLike]) -> tuple[str, ...]:
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return tuple(str(Path(path).absolute()) for path in listed)


def _check_no_core_loss(source: Source) -> None:
    if source.core_loss:
        raise InputError('Ready maps have no core loss; open them without it, or choose the spectra of the low loss.')


def _maps_or_nothing(
    files: Sequence[Path],
    opened: Sequence[tuple[hyperspy_adapter.StoredSignal, ...]],
    tables: Sequence[Path],
    source: Source,
) -> MapSeries:
    for path, signals in zip(files, opened, strict=True):
        if not any(not signal.spectral and len(signal.shape) == 3 for signal in signals):
            raise InputError(f'{path.name} holds no spectrum image and no stack of maps; choose other files.')
    return maps_of_files(files, tables, source)


def _without_volumes(files: DataFiles, source: Source) -> DataFiles:
    """Volumes that were saved into the folder of the data are results, no part of the series."""
    if not any(Path(path).is_dir() for path in source.paths):
        return files
    given = {Path(path) for path in source.paths}
    results = {
        path
        for path in files.data
        if path.suffix.lower() == '.hspy' and path not in given and _saved_as(path, source) == 'volume'
    }
    left = tuple(path for path in files.data if path not in results)
    return DataFiles(left, files.tables) if left else files


def _saved_as(path: Path, source: Source) -> str | None:
    """Kind of a file that this program saved; None for others, and for damaged ones where some may be damaged."""
    try:
        return saved_kind(path)
    except InputError:
        if not source.unused:
            raise
        return None


def _saved_series(files: Sequence[Path], source: Source) -> MapSeries | None:
    """A map series that this program saved, as it is and with its own recipe."""
    kinds = {path: _saved_as(path, source) for path in files if path.suffix.lower() == '.hspy'}
    if not any(kinds.values()):
        return None
    path = next(path for path, kind in kinds.items() if kind)
    if len(files) > 1:
        raise InputError(f'{path.name} is a saved {kinds[path]} among other files; open it alone.')
    plain = Source(paths=source.paths)
    if source.model_copy(update={'unused': (), 'repeated': 'keep'}) != plain:
        raise InputError(f'{path.name} was saved with its angles and pixels; open it without angles, size or binning.')
    loaded = load(path)
    if isinstance(loaded, Volume):
        raise InputError(f'{path.name} is a reconstructed volume, not a tilt series; open it in the viewer.')
    if source == plain:
        return loaded
    check_unused(source.unused, len(loaded.angles))
    # What its own recipe would make anew is another series: maps fitted without these tilts.
    return in_use(replace(loaded, recipe=Recipe(plain)), source.unused, source.repeated)
