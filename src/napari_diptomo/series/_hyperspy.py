"""The one door to HyperSpy: opening, reading and writing its files.

Everything else sees `StoredSignal` descriptions and numpy arrays. HyperSpy is
imported when a file is opened, never before. Signals are opened with an empty
signal type: the counts, axes and metadata are the same and the two seconds
that the import of eXSpy takes are saved.
"""

from __future__ import annotations

import logging
import struct
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading_now import reads

#: MRC files that HyperSpy does not know by their suffix.
_MRC_SUFFIXES = {'.st', '.rec', '.mrcs', '.preali'}
_QUIET = threading.RLock()


@dataclass(frozen=True)
class StoredAxis:
    """One axis of a stored signal; ``values`` are the calibrated positions."""

    name: str
    units: str
    size: int
    scale: float
    offset: float
    values: np.ndarray = field(repr=False)
    calibrated: bool


@dataclass(frozen=True)
class StoredSignal:
    """A signal in a file, described without reading its data.

    Attributes
    ----------
    path : Path
    index : int
        Position among the signals of the file.
    title : str
    axes : tuple of StoredAxis
        In array order.
    spectral : bool
        Whether the last axis is a spectrum.
    dtype : numpy dtype
    metadata : dict
        HyperSpy's metadata tree.
    stacked : tuple of dict
        Metadata of the single files when the stack was made of several.
    """

    path: Path
    index: int
    title: str
    axes: tuple[StoredAxis, ...]
    spectral: bool
    dtype: np.dtype
    metadata: dict[str, Any] = field(repr=False)
    stacked: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes)


def prepare() -> None:
    """Import HyperSpy now, so that the first file does not wait for it."""
    with _quiet():
        import hyperspy.api as hs

        # Its parts are imported when they are first named.
        assert hs.load and hs.signals.Signal1D


def open_signals(path: str | Path) -> tuple[StoredSignal, ...]:
    """Describe what a file holds.

    Raises
    ------
    InputError
        The file is damaged, half-written, of an unknown kind, or needs a
        package that is not installed.
    """
    path = Path(path)
    loaded = _load(path)
    try:
        return tuple(_describe(path, index, signal) for index, signal in enumerate(loaded))
    finally:
        _close(loaded)


def read(signal: StoredSignal, position: int | None = None, axis: int = 0) -> np.ndarray:
    """Read the data of a signal, or one position along one of its axes.

    Raises
    ------
    InputError
        The file is damaged, half-written, or changed since it was opened.
    """
    loaded = _load(signal.path)
    try:
        data = loaded[signal.index].data
        if data.shape != signal.shape:
            raise InputError(f'{signal.path.name} has changed since it was opened; open the tilt series again.')
        if position is not None:
            data = data[(slice(None),) * axis + (position,)]
        if hasattr(data, 'compute'):
            data = data.compute(scheduler='synchronous')
        # What belongs to the file or to a larger array is copied, what was made for us is not.
        data = data if type(data) is np.ndarray and data.flags.owndata else np.array(data)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(signal.path, error) from None
    finally:
        _close(loaded)
    if data.dtype.kind == 'f' and not np.isfinite(data).all():
        raise InputError(
            f'{signal.path.name} holds values that are not numbers (NaN or infinite); mend the file or leave it out.'
        )
    return data


def write(
    path: Path, data: np.ndarray, axes: Sequence[Mapping[str, Any]], title: str, metadata: Mapping[str, Any]
) -> None:
    """Write one image signal to an ``.hspy`` file.

    Parameters
    ----------
    axes : sequence of mapping
        HyperSpy axis dictionaries in array order.
    metadata : mapping
        Put under its top-level keys in HyperSpy's metadata tree.
    """
    with _quiet():
        import hyperspy.api as hs

        signal = hs.signals.Signal2D(data, axes=[dict(axis) for axis in axes])
        signal.metadata.General.title = title
        signal.metadata.add_dictionary(dict(metadata))
        signal.save(str(path), overwrite=True)


def metadata_of(path: str | Path, key: str) -> dict[str, Any] | None:
    """The branch ``key`` of the metadata of an ``.hspy`` file, None where there is none.

    Looks into the file with h5py alone, so that telling our files from others is quick.
    """
    import h5py

    reads(path)
    try:
        with h5py.File(path) as file:
            experiments = file.get('Experiments')
            for experiment in experiments.values() if experiments is not None else ():
                branch = experiment.get(f'metadata/{key}')
                if branch is not None:
                    return dict(branch.attrs)
    except OSError as error:
        raise _damaged(Path(path), error) from None
    return None


def read_whole(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Data and metadata tree of the first signal of a file."""
    loaded = _load(Path(path), lazy=False)
    return np.asarray(loaded[0].data), loaded[0].metadata.as_dictionary()


def _load(path: Path, lazy: bool = True) -> list[Any]:
    reads(path)
    _check_complete(path)
    options: dict[str, Any] = {'signal_type': '', 'escape_square_brackets': True}
    if path.suffix.lower() in _MRC_SUFFIXES:
        options['file_format'] = 'mrc'
    elif path.suffix.lower() == '.hdf5':
        options['file_format'] = 'HSPY'
    try:
        with _quiet():
            import hyperspy.api as hs

            try:
                loaded = hs.load(str(path), lazy=lazy, **options)
            except NotImplementedError:
                loaded = hs.load(str(path), **options)
    except MemoryError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(f'Reading {path.name} needs the package {error.name}; install it and try again.') from None
    except Exception as error:
        raise _damaged(path, error) from None
    return loaded if isinstance(loaded, list) else [loaded]


def _check_complete(path: Path) -> None:
    """Refuse a cut-off Bruker file: its compiled reader would end the whole process with it.

    A .bcf is a container of equal chunks; chunk size at byte 0x128 and number
    of chunks at 0x148 tell how long the file must be.
    """
    if not path.exists():
        raise InputError(f'There is no file {path}; check the path.')
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f'{path.name} is empty; copy it again or leave it out.')
    if path.suffix.lower() != '.bcf':
        return
    with path.open('rb') as file:
        header = file.read(0x150)
    expected = None
    if header[:8] == b'AAMVHFSS' and len(header) == 0x150:
        (chunk_size,) = struct.unpack_from('<I', header, 0x128)
        (chunks,) = struct.unpack_from('<I', header, 0x148)
        expected = 0x118 + chunk_size * chunks
    if expected is None or path.stat().st_size < expected:
        raise InputError(f'{path.name} is cut off or damaged; copy it again or leave it out.')


def _damaged(path: Path, error: BaseException) -> InputError:
    first_line = (str(error) or type(error).__name__).splitlines()[0][:120]
    return InputError(f'{path.name} cannot be read ({first_line}); it may be damaged or half-written, copy it again.')


def _describe(path: Path, index: int, signal: Any) -> StoredSignal:
    stacked = signal.original_metadata.get_item('stack_elements', default=None)
    elements = list(stacked.as_dictionary().values()) if stacked is not None else []
    return StoredSignal(
        path=path,
        index=index,
        title=str(signal.metadata.get_item('General.title', default='') or ''),
        axes=tuple(_describe_axis(axis) for axis in signal.axes_manager._axes),
        spectral=signal.axes_manager.signal_dimension == 1 and signal.data.ndim > 1,
        dtype=signal.data.dtype,
        metadata=_metadata(signal),
        stacked=tuple(element.get('metadata', {}) for element in elements if isinstance(element, dict)),
    )


def _metadata(signal: Any) -> dict[str, Any]:
    tree = signal.metadata.as_dictionary()
    # Bruker's own tilt, which HyperSpy leaves in the vendor's tree; as a rule
    # it says 0 (and eXSpy would put its default, 0 too, in its stead).
    tilt = signal.original_metadata.get_item('DSP_Configuration.TiltAngle', default=None)
    if tilt is not None:
        tree.setdefault('Stage', {'tilt_alpha': tilt})
    return tree


def _describe_axis(axis: Any) -> StoredAxis:
    units = axis.units if isinstance(axis.units, str) else ''
    name = axis.name if isinstance(axis.name, str) else ''
    values = np.asarray(axis.axis, float)
    scale = float(getattr(axis, 'scale', 0) or 0)
    offset = float(getattr(axis, 'offset', values[0] if values.size else 0.0))
    calibrated = bool(units) and (not axis.is_uniform or scale != 0)
    return StoredAxis(name, units, int(axis.size), scale, offset, values, calibrated)


def _close(loaded: Sequence[Any]) -> None:
    for signal in loaded:
        if getattr(signal, '_lazy', False):
            # Only HDF5 files have anything to close; HyperSpy complains about the others.
            with _quiet(), suppress(AttributeError, KeyError, ValueError, TypeError):
                signal.close_file()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep HyperSpy's notes on optional packages away from the user.

    What is silenced is global to the process, hence one thread at a time.
    """
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        before = logging.root.manager.disable
        logging.disable(max(before, logging.ERROR))
        try:
            yield
        finally:
            logging.disable(before)
