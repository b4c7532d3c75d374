"""The readers of RosettaSciIO, and what they hand on to HyperSpy: numbers and text alone."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.inspection import MOST_CHUNKS, refuse_expression
from napari_diptomo.series.reading.metadata import of_its_kind, with_signals_as_numbers
from napari_diptomo.series.reading.stored_signal import Frames
from napari_diptomo.series.reading.velox_streams import frame_options

#: Suffix -> reader of RosettaSciIO. Those that evaluate text of a file (netCDF) are not among them.
READERS = {
    **dict.fromkeys(('.bcf', '.spx'), 'Bruker'),
    **dict.fromkeys(('.hspy', '.hdf5', '.h5'), 'HSPY'),
    '.zspy': 'ZSPY',
    **dict.fromkeys(('.emd', '.de5'), 'EMD'),
    '.nxs': 'NeXus',
    **dict.fromkeys(('.dm3', '.dm4'), 'DigitalMicrograph'),
    **dict.fromkeys(('.emi', '.ser'), 'TIA'),
    **dict.fromkeys(('.pts', '.asw', '.eds'), 'JEOL'),
    **dict.fromkeys(('.spd', '.spc'), 'EDAX'),
    '.rpl': 'Ripple',
    '.prz': 'PantaRhei',
    '.elid': 'Phenom',
    **dict.fromkeys(('.msa', '.emsa'), 'MSA'),
    '.npy': 'numpy',
    '.unf': 'Semper',
    '.wdf': 'Renishaw',
    '.sur': 'DigitalSurf',
    '.blo': 'Blockfile',
    **dict.fromkeys(('.tif', '.tiff'), 'TIFF'),
    **dict.fromkeys(('.mrc', '.ali', '.st', '.rec', '.mrcs', '.preali'), 'MRC'),
}
#: Energies: the axis with one of these units is the spectrum, wherever it stands in the file.
_ENERGIES = {'ev', 'kev', 'mev'}
#: Values along one axis; HyperSpy keeps a record of each.
_LONGEST = 10_000_000
#: Keys under which HyperSpy keeps what it builds objects of.
_OBJECTS = ('_sig_', '_hspy_AxesManager_', '_hspy_Axis_')
#: Where the kind of signal that a file names stands while HyperSpy has it.
KIND = 'stored_signal_type'


class PlainReader:
    """A reader of RosettaSciIO that hands on numbers and text alone.

    HyperSpy imports the package that a file names, builds axes from expressions, signals and markers from metadata,
    and sets attributes of the signal as the file says. None of it is needed here, and a file must not decide on it.

    Raises
    ------
    InputError
        The suffix is none that is read here.
    """

    def __init__(self, path: Path, frames: Frames | None = None) -> None:
        import rsciio

        name = READERS.get(path.suffix.lower())
        found = next((plugin['api'] for plugin in rsciio.IO_PLUGINS if plugin['name'] == name), None)
        if found is None:
            raise InputError(
                f'{path.name} is of no format that is read here; spectra come as .hspy, .emd, .bcf, .dm4, .rpl and the '
                'like, maps as stacks in .tif or .mrc: convert it, or choose other files.'
            )
        self._api = found
        self._options = {} if frames is None else frame_options(path, frames)
        self._opened: list[Any] = []
        # HyperSpy notes it in the metadata.
        self.__loader__ = SimpleNamespace(name=found)

    def close(self) -> None:
        """Close the file behind data that HyperSpy could not make a signal of; nobody else holds it."""
        from rsciio.utils.file import get_file_handle

        for data in self._opened:
            with suppress(Exception):
                get_file_handle(data, warn=False).close()

    def file_reader(self, filename: str, **options: Any) -> list[dict[str, Any]]:
        if self._api == 'rsciio.zspy':
            # Otherwise it is opened for writing.
            options['mode'] = 'r'
        found = importlib.import_module(self._api).file_reader(filename, **options, **self._options)
        found = [signal for signal in found if 'metadata' in signal]
        if self._api == 'rsciio.ripple':
            found = [_ripple(signal) for signal in found]
        self._opened = [signal['data'] for signal in found if options.get('lazy')]
        return [_plain(filename, signal) for signal in found]


def _ripple(signal: dict[str, Any]) -> dict[str, Any]:
    """Give the depth of X-rays or energy losses its unit, and put it last where the file is recorded image by image."""
    header, axes = signal.get('original_metadata', {}), signal.get('axes', [])
    kind = str(signal['metadata'].get('Signal', {}).get('signal_type', ''))
    depth = next((i for i, axis in enumerate(axes) if axis.get('name') == header.get('depth-name', 'depth')), None)
    if depth is None:
        return signal
    spectral = kind.upper().startswith(('EDS', 'EELS'))
    # The one calibration that the format had at first is in eV.
    if not axes[depth].get('units') and 'ev-per-chan' in header and 'depth-scale' not in header:
        axes[depth]['units'] = 'eV'
    return _energy_last(signal, depth) if spectral else signal


def _energy_last(signal: dict[str, Any], energy: int | None = None) -> dict[str, Any]:
    """With the energy as the last axis and the one of the signal: files hold spectra image by image too."""
    axes = [dict(axis) for axis in signal.get('axes', ())]
    if energy is None:
        found = [i for i, axis in enumerate(axes) if str(axis.get('units') or '').casefold() in _ENERGIES]
        energy = found[0] if len(found) == 1 else None
    if energy is None or len(axes) < 2 or len(axes) != np.ndim(signal['data']):
        return signal
    order = [*(i for i in range(len(axes)) if i != energy), energy]
    turned = [axes[i] | {'navigate': i != energy} for i in order]
    if any('index_in_array' in axis for axis in turned):
        turned = [axis | {'index_in_array': i} for i, axis in enumerate(turned)]
    data = signal['data'].transpose(order) if order != sorted(order) else signal['data']
    return {**signal, 'axes': turned, 'data': data}


def _plain(filename: str, signal: dict[str, Any]) -> dict[str, Any]:
    for axis in signal.get('axes', ()):
        if 'expression' in axis or axis.get('_type') == 'FunctionalDataAxis':
            refuse_expression(Path(filename))
    shape, blocks = np.shape(signal['data']), getattr(signal['data'], 'numblocks', ())
    if max(shape, default=0) > _LONGEST or math.prod(blocks) > MOST_CHUNKS:
        raise InputError(
            f'{Path(filename).name} says that its data have the shape {shape}, as no measurement has; copy it again.'
        )
    longest = max(
        (axis['size'] for axis in signal.get('axes', ()) if isinstance(axis.get('size'), Integral)), default=0
    )
    if longest > max(shape, default=0):
        raise InputError(
            f'{Path(filename).name} has an axis of {longest} values for data of the shape {shape}; it is damaged, copy it again.'
        )
    kept = ('data', 'axes', 'post_process', 'mapping')
    if not signal.get('post_process'):
        # Readers that have a wish of their own turn the axes themselves: DigitalMicrograph.
        signal = _energy_last(signal)
    attributes = signal.get('attributes', {})
    metadata = of_its_kind(_without_objects(with_signals_as_numbers(signal['metadata'])))
    # HyperSpy replaces it by the empty one with which signals are opened.
    metadata['Signal'] = {**metadata.get('Signal', {})}
    metadata['Signal'][KIND] = metadata['Signal'].get('signal_type', '')
    return {
        **{key: signal[key] for key in kept if key in signal},
        'original_metadata': _without_objects(signal.get('original_metadata', {})),
        'metadata': {key: value for key, value in metadata.items() if key != 'Markers'},
        'attributes': {key: bool(attributes[key]) for key in ('_lazy', 'ragged') if key in attributes},
    }


def _without_objects(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _without_objects(value) for key, value in tree.items() if not str(key).startswith(_OBJECTS)}
    if type(tree) in (list, tuple):
        return type(tree)(_without_objects(item) for item in tree)
    return tree
