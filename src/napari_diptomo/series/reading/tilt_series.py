"""Opening a tilt series: spectra, or ready maps, from whatever files they are in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from napari_diptomo.series.data import MapSeries, SpectralTiltSeries, Volume
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.haadf_of_series import with_haadf
from napari_diptomo.series.haadf_orientation import Orientation
from napari_diptomo.series.observe import Observer, Watch
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.core_loss import with_core_loss
from napari_diptomo.series.reading.file_selection import IMAGES, DataFiles, find_files
from napari_diptomo.series.reading.haadf_files import TWO_HAADF, angles_given, load_haadf_series, with_haadf_of
from napari_diptomo.series.reading.map_stacks import is_map, maps_of_files
from napari_diptomo.series.reading.saved import load, saved_kind
from napari_diptomo.series.reading.signals import series_of_signals, signals_among
from napari_diptomo.series.reading.specimens import Specimen, different_names, losses_apart, one_specimen
from napari_diptomo.series.reading.spectrum_images import series_of_files, series_of_stack, spectra_in
from napari_diptomo.series.reading.stored_signal import described
from napari_diptomo.series.reading.velox_streams import frames_in
from napari_diptomo.series.recipe import Recipe, Source
from napari_diptomo.series.tilts import check_unused, in_use

Series = TypeVar('Series', bound=MapSeries | SpectralTiltSeries)
#: Names in one sentence.
_MOST_NAMED = 3
PathLike = str | os.PathLike[str]


def load_tilt_series(
    paths: PathLike | Sequence[PathLike] | Any,
    angles: Sequence[float] | PathLike | None = None,
    core_loss: PathLike | Sequence[PathLike] | Any | None = None,
    *,
    angle_offset: float = 0.0,
    pixel_size: float | None = None,
    binning: int = 1,
    tilt_axis: Literal['y', 'x'] = 'y',
    dark_level: float | None = None,
    beam_energy: float | None = None,
    specimen: str | None = None,
    core_loss_angles: Sequence[float] | float | None = None,
    haadf: HAADFSeries | PathLike | Sequence[PathLike] | Any | None = None,
    haadf_angles: Sequence[float] | PathLike | None = None,
    haadf_pixel_size: float | None = None,
    haadf_orientation: Orientation = 'as recorded',
    own_haadf: bool = False,
    first_frame: int = 0,
    last_frame: int | None = None,
    unused: Sequence[int] = (),
    repeated: Literal['keep', 'sum', 'first'] = 'keep',
    observer: Observer | None = None,
) -> SpectralTiltSeries | MapSeries:
    """Open a tilt series, in this process.

    A damaged file may end the library that reads it, and the process with it, or keep it busy for ever.
    `napari_diptomo.jobs.open_isolated` reads in a process of its own, as the dock and the command line do.

    Parameters
    ----------
    paths : path, HyperSpy signal, or sequence of them
        A folder, the files, or one file: one spectrum image per tilt in any
        format that HyperSpy reads; one stack of spectrum images; one stack of
        maps (tilt, y, x) per element as TIFF, MRC or ``.hspy``; one stack of
        images named HAADF or the like; a map series saved before. A list may name the table of angles too.
        HyperSpy signals stand for such files: one with the navigation axes (x, y, tilt), a spectrum image per tilt,
        or a stack of maps (tilt | x, y) per element; the recipe of the result names no files then.
    angles : sequence of float or path, optional
        Tilt angles in degrees in the order of the files (those of a folder in
        their natural order), or a table of them. Without it they are taken
        from tables next to the data (``.rawtlt``, ``.tlt``, ``.csv``,
        ``.txt``, ``.mdoc``), the metadata and the file names, which have to
        agree; ``angle_source`` of the result says from where, ``evidence``
        what each of them says.
    core_loss : path or sequence of paths, optional
        The core loss of an EELS series, whose ``paths`` are the low loss then: of one, some or all tilts, one file
        per tilt or one stack, on the pixels of the low loss. Without it the core loss is taken from files that hold
        both (dual EELS): of two ranges of energy loss the one with 0 eV is the low loss.
    angle_offset : float
        Degrees, added to all angles: of angles that are not counted from the untilted specimen. It is one of the holder, and
        is added to those of a HAADF series that is read here too.
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
    specimen : str, optional
        Which one, where the names of the files distinguish several (``SET_Ge.tif``, ``Virgin_Ge.tif``); the error
        says which there are.
    core_loss_angles : sequence of float, optional
        Tilt angles of the core loss, in the order of its files; without it from
        a table, the metadata or the names.
    haadf : HAADFSeries, path, HyperSpy signal, or sequence of paths or signals, optional
        Images of the same specimen with tilts of their own, to be fitted beside the maps; see `load_haadf_series`. The
        recipe names their files where paths are given.
    haadf_angles : sequence of float or path, optional
        Their angles in degrees, or a table.
    haadf_pixel_size : float, optional
        nm; without it as their files are calibrated.
    haadf_orientation : str
        What is done to them so that they lie as the spectra do; see ``orientation`` of `load_haadf_series`.
    own_haadf : bool
        Take the images that were recorded with the spectra.
    first_frame, last_frame : int, optional
        Of files of Velox: the frames to sum, from the first, counted from 0, to before the last; without them all.
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
    Contradiction
        Sources of the angles that disagree, with what each says as ``evidence``.
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
    given = isinstance(haadf, HAADFSeries) or bool(signals_among(haadf))
    signals = signals_among(paths)
    core_signals = signals_among(core_loss) if signals and core_loss is not None else []
    if bool(signals and core_loss is not None) != bool(core_signals):
        raise InputError('The low loss is given as HyperSpy signals; give the core loss as signals too.')
    source = Source(
        paths=() if signals else _absolute(paths),
        angles=angles_given(angles),
        angle_offset=angle_offset,
        pixel_size=pixel_size,
        binning=binning,
        tilt_axis=tilt_axis,
        dark_level=dark_level,
        beam_energy=beam_energy,
        specimen=specimen,
        core_loss=() if core_loss is None or signals else _absolute(core_loss),
        core_loss_angles=None if core_loss_angles is None else tuple(np.ravel(core_loss_angles).astype(float).tolist()),
        haadf=() if haadf is None or isinstance(haadf, HAADFSeries) or given else _absolute(haadf),
        haadf_angles=None if given else angles_given(haadf_angles, 'the HAADF series'),
        haadf_pixel_size=None if given else haadf_pixel_size,
        haadf_orientation='as recorded' if given else haadf_orientation,
        own_haadf=own_haadf,
        first_frame=first_frame,
        last_frame=last_frame,
        unused=tuple(int(tilt) for tilt in unused),
        repeated=repeated,
    )
    if given and own_haadf:
        raise InputError(TWO_HAADF)
    if signals:
        series = with_haadf_of(series_of_signals(signals, core_signals, source), source)
    else:
        series = open_source(source, observer)
    if not given:
        return series
    if not isinstance(haadf, HAADFSeries):
        haadf = load_haadf_series(
            haadf,
            haadf_angles,
            angle_offset=angle_offset,
            pixel_size=haadf_pixel_size,
            tilt_axis=tilt_axis,
            orientation=haadf_orientation,
        )
    return with_haadf(series, haadf)


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
    files = find_files(source.paths)
    kinds = {path: kind for path in files.data if (kind := _saved_kind(path, source)) is not None}
    files, passed = _without_results(files, kinds, source)
    saved = _saved_series(files.data, kinds, source)
    if saved is not None:
        return _noticed_before(with_haadf_of(saved, source), passed)
    apart = None if source.core_loss or source.specimen else losses_apart(files.data)
    if apart is not None:
        low, core = (tuple(map(str, one.files)) for one in apart)
        source, files = source.model_copy(update={'paths': low, 'core_loss': core}), replace(files, data=apart[0].files)
    files = one_specimen(files, source.specimen)
    series = with_haadf_of(in_use(_all_read(files, source, observer), source.unused, source.repeated), source)
    return _noticed_before(_noticed_before(series, passed), None if apart is None else _of_losses(*apart))


def _of_losses(low: Specimen, core: Specimen) -> Finding:
    return Finding(
        'note',
        'core loss',
        f'The files called {low.name} ({low.holds}) were opened as the low loss, those called {core.name} ({core.holds}) '
        'as the core loss.',
    )


def _all_read(files: DataFiles, source: Source, observer: Observer | None) -> SpectralTiltSeries | MapSeries:
    """The series as the files have it; some of the tilts out of use may be left out already."""
    core = find_files(source.core_loss) if source.core_loss else DataFiles((), ())
    watch = Watch(observer, 'Open', len(files.data) + len(core.data))
    if all(path.suffix.lower() in IMAGES for path in files.data):
        _check_no_core_loss(source)
        watch.step(0, message='reading the maps')
        series = maps_of_files(files.data, files.tables, source)
        watch.step(len(files.data))
        return _noticed_before(series, different_names(files.data))
    if core.data:
        # The files of the core loss are matched with those of all tilts.
        source = source.model_copy(update={'unused': ()})
    frames = (source.first_frame, source.last_frame) if source.first_frame or source.last_frame else None
    opened: list[tuple[hyperspy_adapter.StoredSignal, ...]] = []
    refused: list[InputError] = []
    for number, path in enumerate((*files.data, *core.data), start=1):
        try:
            opened.append(hyperspy_adapter.open_signals(path, frames))
        except InputError as error:
            if number - 1 not in source.unused or len(files.data) == 1:
                raise
            refused.append(error)
            opened.append(())
        watch.step(number, message=path.name)
    opened, opened_core = opened[: len(files.data)], opened[len(files.data) :]
    in_files = [spectra_in(signals, eels=bool(core.data)) for signals in opened]
    spectra = [signal for signal in in_files if signal is not None]
    if not spectra:
        if refused:
            raise refused[0]
        _check_no_core_loss(source)
        series = _maps_or_nothing(files.data, opened, files.tables, source)
        return _noticed_before(series, different_names(files.data))
    first = spectra[0]
    if len(files.data) > 1 or len(first.shape) == 3:
        check_unused(source.unused, len(files.data))
        low = series_of_files(files.data, opened, files.tables, source)
    else:
        low = series_of_stack(first, opened[0], files.tables, source)
    spectral = with_core_loss(low, core.data, opened_core, core.tables, source)
    return _noticed_before(_noticed_before(spectral, _images_beside(files)), _of_frames(files.data, source))


def _of_frames(files: Sequence[Path], source: Source) -> Finding | None:
    """A note that not all frames are summed."""
    if not source.first_frame and source.last_frame is None:
        return None
    number = frames_in(files[0])
    last = number if source.last_frame is None else source.last_frame
    if not source.first_frame and last == number:
        return None
    return Finding(
        'note',
        'frames',
        f'Of the {number} frames of {files[0].name} those from {source.first_frame} to before {last} are summed, and as '
        'many of the other files.',
    )


def _images_beside(files: DataFiles) -> Finding | None:
    if not files.images:
        return None
    one = len(files.images) == 1
    return Finding(
        'note',
        'files passed over',
        f'{_some_names(files.images)} beside the spectra {"was" if one else "were"} not opened; open '
        f'{"it by itself where it is a tilt series" if one else "them by themselves where they are a tilt series"}.',
        {'files': float(len(files.images))},
    )


def _some_names(paths: Sequence[Path]) -> str:
    names = ', '.join(path.name for path in paths[:_MOST_NAMED])
    return names + (f' and {len(paths) - _MOST_NAMED} more' if len(paths) > _MOST_NAMED else '')


def _noticed_before(series: Series, finding: Finding | None) -> Series:
    """A series with what was noticed before it was read."""
    return series if finding is None else replace(series, findings=(finding, *series.findings))


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
        if not any(is_map(signal) for signal in signals):
            what = f'{described(signals)}, but ' if signals else ''
            raise InputError(f'{path.name} holds {what}no spectrum image and no stack of maps; choose other files.')
    return maps_of_files(files, tables, source)


def _saved_kind(path: Path, source: Source) -> str | None:
    """As `saved_kind`; a file that is empty or gone is none of ours, and is named when it is opened."""
    try:
        filled = path.suffix.lower() == '.hspy' and path.stat().st_size > 0
        return saved_kind(path) if filled else None
    except OSError:
        return None
    except InputError:
        # It may be of a tilt that is out of use because it is damaged.
        if not source.unused:
            raise
        return None


def _without_results(files: DataFiles, kinds: Mapping[Path, str], source: Source) -> tuple[DataFiles, Finding | None]:
    """Maps and volumes that were saved into the folder of the data are results, no part of the series."""
    given = {Path(path) for path in source.paths}
    results = {path: kind for path, kind in kinds.items() if path not in given}
    if not results:
        return files, None
    try:
        # Images that lie beside files of another kind are not listed, and these may have been ours.
        left = find_files(source.paths, without=results)
    except InputError:
        maps = [path for path, kind in results.items() if kind == 'map series']
        if len(maps) != 1 or len(results) == 1:
            return files, None
        left = DataFiles((maps[0],), files.tables)
    passed = [path for path in results if path not in left.data]
    one = len(passed) == 1
    return left, Finding(
        'note',
        'files passed over',
        f'{_some_names(passed)} in the folder {"was" if one else "were"} saved by this program and passed over; open '
        f'{"it by itself" if one else "them by themselves"} to look at {"it" if one else "them"}.',
        {'files': float(len(passed))},
    )


def _saved_series(files: Sequence[Path], kinds: Mapping[Path, str], source: Source) -> MapSeries | None:
    """A map series that this program saved, as it is and with its own recipe."""
    path = next((path for path in files if path in kinds), None)
    if path is None:
        return None
    if len(files) > 1:
        raise InputError(f'{path.name} is a saved {kinds[path]} among other files; open it alone.')
    beside = ('haadf', 'haadf_angles', 'haadf_pixel_size', 'haadf_orientation', 'own_haadf')
    plain = Source(paths=source.paths, **{name: getattr(source, name) for name in beside})
    if source.model_copy(update={'unused': (), 'repeated': 'keep'}) != plain:
        raise InputError(f'{path.name} was saved with its angles and pixels; open it without angles, size or binning.')
    loaded = load(path)
    if isinstance(loaded, Volume):
        raise InputError(f'{path.name} is a reconstructed volume, not a tilt series; open it in the viewer.')
    if source == Source(paths=source.paths):
        return loaded
    check_unused(source.unused, len(loaded.angles))
    # What its own recipe would make anew is another series: maps fitted without these tilts.
    return in_use(replace(loaded, recipe=Recipe(plain)), source.unused, source.repeated)
