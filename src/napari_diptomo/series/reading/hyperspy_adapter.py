"""The one door to HyperSpy: opening, reading and writing its files.

Everything else sees `StoredSignal` descriptions and numpy arrays. HyperSpy is
imported when a file is opened, never before. Signals are opened with an empty
signal type: the counts, axes and metadata are the same and the two seconds
that the import of eXSpy takes are saved.

Opening executes nothing: a container is inspected first (`inspection`), the
file is read by one of the readers listed here, and what it found is passed to
HyperSpy as numbers and text, without what HyperSpy would build objects of.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.memory import check_fits
from napari_diptomo.series.reading import berkeley_emd, mrc_files
from napari_diptomo.series.reading.complete_files import check_complete
from napari_diptomo.series.reading.current_file import reads
from napari_diptomo.series.reading.inspection import inspect
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.metadata import of_its_kind, with_signals_as_numbers
from napari_diptomo.series.reading.plain_reader import KIND, READERS, PlainReader
from napari_diptomo.series.reading.stored_signal import Frames, StoredAxis, StoredSignal
from napari_diptomo.series.reading.velox_streams import unfinished

#: Suffixes of HDF5 files that EMD of Berkeley goes by, or HyperSpy's own layout.
_HDF5 = ('.emd', '.hdf5', '.h5', '.hspy')
_QUIET = threading.RLock()
_NO_MEMORY = 'if it was not made by a program gone wrong, close other programs or use a machine with more'
#: Files that were inspected, and how they looked then: a series of spectra is read tilt by tilt from one file.
_inspected: dict[Path, tuple[int, int, int]] = {}
#: HDF5 of a layout that RosettaSciIO reads, and how the files looked when that was seen.
_plain_layouts: dict[Path, tuple[int, int, int]] = {}
#: Numbers in an array among the metadata that is read with them.
_LONGEST_METADATA = 100_000


@dataclass(frozen=True)
class SignalInMemory(StoredSignal):
    """A signal that a script has: ``path`` is its name, ``content`` its data, lazy or not."""

    content: Any = field(default=None, repr=False)


def is_signal(given: Any) -> bool:
    """Whether something is a signal of HyperSpy, which need not be imported."""
    return all(hasattr(given, name) for name in ('axes_manager', 'metadata', 'original_metadata', 'data'))


def describe(signal: Any, name: str) -> SignalInMemory:
    """Describe a signal of HyperSpy as those of files are; ``name`` is for one that has neither title nor file."""
    names = [signal.metadata.get_item(f'General.{key}', default='') for key in ('original_filename', 'title')]
    names.insert(0, signal.tmp_parameters.get_item('filename', default=''))
    # Images of one file have its name together, and titles of their own.
    names = names if signal.axes_manager.signal_dimension == 1 else names[::-1]
    found = next((str(text) for text in names if text), name)
    described = _describe(Path(found.replace('\\', '/').split('/')[-1] or name), 0, signal)
    return SignalInMemory(**{one.name: getattr(described, one.name) for one in fields(described)}, content=signal.data)


def part_of(signal: SignalInMemory, index: int, name: Path) -> SignalInMemory:
    """One position along the first axis of a signal: the map of one channel, by its name."""
    metadata = {**signal.metadata, 'Sample': {'xray_lines': [name.name]}}
    return replace(
        signal, path=name, title=name.name, metadata=metadata, axes=signal.axes[1:], content=signal.content[index]
    )


def make_signal(
    data: Any, axes: Sequence[Mapping[str, Any]], title: str, metadata: Mapping[str, Any], signal_type: str
) -> Any:
    """A signal of HyperSpy around an array, lazy around one of dask.

    Parameters
    ----------
    data : array
        Shared, not copied.
    axes : sequence of mapping
        HyperSpy axis dictionaries in array order.
    title : str
    metadata : mapping
        Put under its top-level keys in HyperSpy's metadata tree.
    signal_type : str
        As HyperSpy calls it: ``'EELS'``, ``'EDS_TEM'``; empty for images.

    Returns
    -------
    hyperspy.signals.BaseSignal
    """
    with _quiet():
        import hyperspy.api as hs

        lazy = 'Lazy' if hasattr(data, 'compute') else ''
        kind = getattr(hs.signals, f'{lazy}Signal{1 if signal_type else 2}D')
        signal = kind(data, axes=[dict(axis) for axis in axes])
        signal.metadata.General.title = title
        if signal_type:
            signal.set_signal_type(signal_type)
        signal.metadata.add_dictionary(dict(metadata))
    return signal


def prepare() -> None:
    """Import HyperSpy now, so that the first file does not wait for it."""
    with _quiet():
        import hyperspy.api as hs

        # Its parts are imported when they are first named.
        assert hs.load and hs.signals.Signal1D


def open_signals(path: str | Path, frames: Frames | None = None) -> tuple[StoredSignal, ...]:
    """Describe what a file holds.

    Parameters
    ----------
    path : str or Path
    frames : tuple of (int, int or None), optional
        Those to sum, from the first to before the last, of a file that keeps frames.

    Returns
    -------
    tuple of StoredSignal

    Raises
    ------
    InputError
        The file is damaged, half-written, of an unknown kind, or needs a
        package that is not installed.
    """
    path = Path(path)
    own = _own_reader(path)
    if own is not None and frames is None:
        return own.open_signals(path)
    loaded = _load(path, frames=frames)
    try:
        return tuple(_describe(path, index, signal, frames) for index, signal in enumerate(loaded))
    finally:
        _close(loaded)


def read(signal: StoredSignal, position: int | None = None, axis: int = 0, *, finite: bool = True) -> np.ndarray:
    """Read the data of a signal, or one position along one of its axes.

    Parameters
    ----------
    signal : StoredSignal
        As opened.
    position : int, optional
        Along ``axis``; None for all.
    axis : int
        Of the signal.
    finite : bool
        Refuse what is no number; False where some of it will not be used.

    Raises
    ------
    InputError
        The file is damaged, half-written, or changed since it was opened.
    """
    if isinstance(signal, SignalInMemory):
        return _numbers(signal.path, _content(signal, position, axis), finite)
    own = _own_reader(signal.path)
    data = own.read(signal, position, axis) if own is not None else _read_signal(signal, position, axis)
    return _numbers(signal.path, data, finite)


def _content(signal: SignalInMemory, position: int | None, axis: int) -> np.ndarray:
    content = signal.content if position is None else signal.content[(slice(None),) * axis + (position,)]
    with reading(signal.path, 'compute the signal before it is given'):
        return np.asarray(content.compute(scheduler='synchronous') if hasattr(content, 'compute') else content)


def _numbers(path: Path, data: np.ndarray, finite: bool) -> np.ndarray:
    """The data, all of them plain numbers, and finite where that is asked for."""
    if data.dtype.kind not in 'buif':
        raise InputError(f'{path.name} holds {data.dtype} in place of plain numbers; save it anew as numbers.')
    if finite and data.dtype.kind == 'f' and not np.isfinite(data).all():
        raise InputError(
            f'{path.name} holds values that are not numbers (NaN or infinite); correct the file or leave it out.'
        )
    return data


def _read_signal(signal: StoredSignal, position: int | None, axis: int) -> np.ndarray:
    path = signal.path
    loaded = _load(path, frames=signal.frames)
    try:
        if signal.index >= len(loaded) or np.shape(loaded[signal.index].data) != signal.shape:
            raise InputError(f'{path.name} has changed since it was opened; open the tilt series again.')
        data = loaded[signal.index].data
        if position is not None:
            data = data[(slice(None),) * axis + (position,)]
        check_fits(data.nbytes, f'Reading {path.name}', _NO_MEMORY)
        with reading(path):
            if hasattr(data, 'compute'):
                data = data.compute(scheduler='synchronous')
            # What belongs to the file or to a larger array is copied, what was made for us is not.
            return data if type(data) is np.ndarray and data.flags.owndata else np.array(data)
    finally:
        _close(loaded)


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

    Raises
    ------
    OSError
        The disk is full, or another failure of the system.
    """
    with _quiet(), _Patient(path) as file:
        import hyperspy.api as hs
        from rsciio.hspy import file_writer

        signal = hs.signals.Signal2D(data, axes=[dict(axis) for axis in axes])
        signal.metadata.General.title = title
        signal.metadata.add_dictionary(dict(metadata))
        # As `signal.save` does, which takes no open file.
        values = signal._to_dictionary(add_models=True)
        file_writer(file, {**values, 'package_info': {'package': 'hyperspy', 'package_version': hs.__version__}})


class _Patient:
    """A new file for HDF5 that never fails: the first failure is kept, and raised when HDF5 has let go.

    HDF5 that meets a full disk cannot close its file any more and ends the process with a
    segmentation fault, at the latest when Python exits: in napari, the window with it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failure: OSError | None = None

    def __enter__(self) -> _Patient:
        self._file = open(self._path, 'w+b', buffering=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._file.close()
        if self._failure is not None:
            raise self._failure from None

    def __fspath__(self) -> str:
        return str(self._path)

    def write(self, data: Any) -> int:
        view, done = memoryview(data).cast('B'), 0
        with self._kept():
            while done < len(view):
                done += self._file.write(view[done:])
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        with self._kept():
            self._file.truncate(size)
        return self._file.tell() if size is None else size

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer) or 0

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size) or b''

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """Nothing is held back."""

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failure = self._failure or error


def metadata_of(path: str | Path, key: str) -> dict[str, Any] | None:
    """The branch ``key`` of the metadata of an ``.hspy`` file, None where there is none.

    Looks into the file with h5py alone, so that our files are distinguished from others quickly.
    """
    import h5py

    path = Path(path)
    reads(path)
    _inspect(path)
    _check_hdf5(path)
    with reading(path), h5py.File(path) as file:
        experiments = file.get('Experiments')
        for experiment in experiments.values() if isinstance(experiments, h5py.Group) else ():
            branch = experiment.get(f'metadata/{key}') if isinstance(experiment, h5py.Group) else None
            if branch is not None:
                return dict(branch.attrs)
    return None


def read_whole(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Data and metadata tree of the first signal of a file."""
    path = Path(path)
    check_complete(path)
    check_fits(_inspect(path), f'Reading {path.name}', _NO_MEMORY)
    (first, *_) = _load(path, lazy=False)
    return np.asarray(first.data), first.metadata.as_dictionary()


def _load(path: Path, lazy: bool = True, frames: Frames | None = None) -> list[Any]:
    _enter(path)
    with _quiet():
        from hyperspy.io import load_with_reader

        reader = PlainReader(path, frames)
        try:
            with reading(path):
                try:
                    loaded = load_with_reader(str(path), reader, signal_type='', lazy=lazy)
                except NotImplementedError:
                    loaded = load_with_reader(str(path), reader, signal_type='')
        except InputError:
            reader.close()
            raise
    return loaded if isinstance(loaded, list) else [loaded]


def _enter(path: Path) -> None:
    reads(path)
    check_complete(path)
    if _inspected.get(path) != _looks(path):
        _inspect(path)


def _own_reader(path: Path) -> Any:
    """The module that reads a file in place of RosettaSciIO, None for most."""
    suffix = path.suffix.lower()
    if READERS.get(suffix) == 'MRC':
        _enter(path)
        return mrc_files
    if suffix not in _HDF5:
        return None
    with suppress(OSError):
        if _plain_layouts.get(path) == _looks(path):
            return None
    _enter(path)
    if berkeley_emd.is_berkeley(path):
        return berkeley_emd
    _check_layout(path)
    _plain_layouts[path] = _looks(path)
    return None


def _check_hdf5(path: Path) -> None:
    import h5py

    with reading(path):
        sound = path.stat().st_size == 0 or h5py.is_hdf5(path)
    if not sound:
        raise InputError(f'{path.name} is no HDF5 file, or damaged at its beginning; copy it again or leave it out.')


def _check_layout(path: Path) -> None:
    """Refuse what is no HDF5, and sound HDF5 of a layout that no reader has, by what it holds."""
    import h5py

    _check_hdf5(path)
    with reading(path), h5py.File(path, 'r') as file:
        groups = [file, *(item for item in file.values() if isinstance(item, h5py.Group))]
        # HyperSpy, Velox, and those of Berkeley's descendants.
        if 'Experiments' in file or 'Version' in file or any('version_major' in group.attrs for group in groups):
            return
        arrays: list[str] = []

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.shape:
                arrays.append(f'{name} {" x ".join(map(str, item.shape))}')

        file.visititems(note)
    held = ', '.join(arrays[:3]) + (f' and {len(arrays) - 3} more' if len(arrays) > 3 else '')
    raise InputError(
        f'{path.name} is HDF5 of a layout that is not read here; it holds {held or "no arrays"}; '
        'save it as .hspy with HyperSpy, as EMD, or its maps as TIFF or MRC.'
    )


def _inspect(path: Path) -> int:
    size = inspect(path)
    _inspected[path] = _looks(path)
    return size


def _looks(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _describe(path: Path, index: int, signal: Any, frames: Frames | None = None) -> StoredSignal:
    axes = tuple(_describe_axis(path, axis) for axis in signal.axes_manager._axes)
    if tuple(axis.size for axis in axes) != np.shape(signal.data):
        axes_of, data_of = (
            ' x '.join(map(str, sizes)) for sizes in ([axis.size for axis in axes], np.shape(signal.data))
        )
        raise InputError(
            f'{path.name} has axes of another size than its data ({axes_of or "none"} for {data_of}): it is damaged, or of a layout '
            'that is not read here; copy it again, or save it as .hspy with HyperSpy.'
        )
    stacked = signal.original_metadata.get_item('stack_elements', default=None)
    elements = list(stacked.as_dictionary().values()) if hasattr(stacked, 'as_dictionary') else []
    of_elements = [element.get('metadata') for element in elements if isinstance(element, Mapping)]
    spectral = signal.axes_manager.signal_dimension == 1 and signal.data.ndim > 1
    doubt = unfinished(path, np.shape(signal.data)[:-1]) if spectral and axes[-1].units.casefold() == 'kev' else ''
    return StoredSignal(
        path=path,
        index=index,
        title=str(signal.metadata.get_item('General.title', default='') or ''),
        axes=axes,
        spectral=spectral,
        dtype=signal.data.dtype,
        metadata=_metadata(path, signal),
        stacked=tuple(of_its_kind(tree) if isinstance(tree, Mapping) else {} for tree in of_elements),
        doubts=(doubt,) if doubt else (),
        frames=frames,
    )


def _metadata(path: Path, signal: Any) -> dict[str, Any]:
    tree = _in_memory(path, of_its_kind(with_signals_as_numbers(signal.metadata.as_dictionary())))
    kind = tree.get('Signal', {}).pop(KIND, '')
    tree['Signal'] = {**tree.get('Signal', {}), 'signal_type': kind if isinstance(kind, str) else ''}
    # Bruker's own tilt, which HyperSpy leaves in the vendor's tree; as a rule
    # it says 0 (and eXSpy would put its default, 0 too, in its stead).
    tilt = signal.original_metadata.get_item('DSP_Configuration.TiltAngle', default=None)
    if tilt is not None:
        tree.setdefault('Stage', {'tilt_alpha': tilt})
    return tree


def _in_memory(path: Path, tree: Mapping[str, Any]) -> dict[str, Any]:
    """With its short arrays read, such as the tilts of ETSpy: what is lazy is lost when the file is closed."""
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            kept[key] = _in_memory(path, value)
        elif hasattr(value, 'compute') and getattr(value, 'size', _LONGEST_METADATA + 1) <= _LONGEST_METADATA:
            with reading(path):
                kept[key] = value.compute(scheduler='synchronous')
        else:
            kept[key] = value
    return kept


def _describe_axis(path: Path, axis: Any) -> StoredAxis:
    units = axis.units if isinstance(axis.units, str) else ''
    name = axis.name if isinstance(axis.name, str) else ''
    with reading(path):
        values = np.asarray(axis.axis, float)
        scale = float(getattr(axis, 'scale', 0) or 0)
        offset = float(getattr(axis, 'offset', values[0] if values.size else 0.0))
    if values.ndim != 1 or not values.size or not np.isfinite([*values, scale, offset]).all():
        raise InputError(f'{path.name} has an axis that is empty or not of numbers; calibrate it and save it again.')
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
