"""EMD of Berkeley, as tomviz, edstomo, openNCEM and HyperSpy write it, by the axes that it names.

A group with the attribute ``emd_group_type`` holds the array ``data`` and, for each of its axes in the order of the
file, a vector of positions ``dim1``, ``dim2``, ... with the attributes ``name`` and ``units`` (https://emdatasets.com).
The vectors are the evidence: tilts of tomviz need not be even, and the order of the axes is the writer's choice. Where
tomviz has several arrays on the same axes, ``data`` is the one that was active, its attribute ``name`` its name, and the
others are in the subgroup ``tomviz_scalars``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.memory import check_fits
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.metadata import of_its_kind
from napari_diptomo.series.reading.stored_axes import length_in_nm
from napari_diptomo.series.reading.stored_signal import StoredAxis, StoredSignal

if TYPE_CHECKING:
    import h5py

_ENERGIES = {'ev', 'kev', 'mev'}
_ENERGY_NAMES = {'e', 'energy', 'energy loss', 'eloss'}
_ANGLES = {'deg', 'degree', 'degrees', '\N{DEGREE SIGN}', 'rad', 'radian', 'radians'}
_TILT_NAMES = {'tilt', 'tilts', 'alpha', 'angle', 'angles', 'theta', 'tilt angle', 'tilt_angle'}
#: edstomo's groups end so; it calls the rows of its images x.
_EDSTOMO = '_TiltStack'
#: Names of groups that HyperSpy stacks: group0000, group0001, ...
_NUMBERED = re.compile(r'\d{4}$')
#: Where tomviz keeps the other arrays of a group.
_MORE = 'tomviz_scalars'
#: Attributes that edstomo writes to ``microscope`` -> place in HyperSpy's metadata tree, and what to divide by.
_MICROSCOPE = {
    'BeamVoltage[eV]': ('beam_energy', 1000.0),
    'MnKaResolution[eV]': ('energy_resolution_MnKa', 1.0),
    'DetectorTiltAngle[deg]': ('elevation_angle', 1.0),
}


@dataclass(frozen=True, eq=False)
class _Array:
    """An array of a file, the group that has its axes, and its name."""

    group: Any
    data: Any
    title: str


def is_berkeley(path: Path) -> bool:
    """Whether an HDF5 file holds arrays with an axis vector each, which this module reads.

    Files of py4DSTEM and Prismatic, which begin to count at ``dim0`` or name their arrays otherwise, and numbered
    groups that belong together are none of them.
    """
    import h5py

    with reading(path):
        if not h5py.is_hdf5(path):
            return False
        with h5py.File(path, 'r') as file:
            # Velox and HyperSpy, each with hundreds of objects.
            if 'Version' in file or 'Experiments' in file:
                return False
            marked = _marked(file)
            numbered = sum(_NUMBERED.search(group.name) is not None for group in marked)
            return bool(marked) and numbered < 2 and all(_has_dims(group) for group in marked)


def open_signals(path: Path) -> tuple[StoredSignal, ...]:
    """Describe the arrays of a file, images as (y, x), spectra with the energy last, the tilt first.

    Raises
    ------
    InputError
        The vectors of an axis do not fit the data.
    """
    with _open(path) as file:
        with reading(path):
            microscope = file.get('microscope')
            attributes = dict(microscope.attrs) if microscope is not None else {}
            arrays = _arrays(file)
        return tuple(_describe(path, index, array, attributes) for index, array in enumerate(arrays))


def read(signal: StoredSignal, position: int | None, axis: int) -> np.ndarray:
    """The data of a signal, or one position along one of its axes.

    Raises
    ------
    InputError
        The file has changed, or there is no memory for it.
    """
    path = signal.path
    with _open(path) as file:
        with reading(path):
            arrays = _arrays(file)
        found = _layout(path, arrays[signal.index].group) if signal.index < len(arrays) else None
        if found is None or tuple(stored.size for stored in found[0]) != signal.shape:
            raise InputError(f'{path.name} has changed since it was opened; open the tilt series again.')
        order, data = found[1], arrays[signal.index].data
        size = data.size * data.dtype.itemsize // (1 if position is None else max(signal.shape[axis], 1))
        check_fits(size, f'Reading {path.name}', 'close other programs or use a machine with more')
        with reading(path):
            if position is None:
                return np.ascontiguousarray(np.transpose(data[...], order))
            inside = order[axis]
            image = data[(slice(None),) * inside + (position,)]
            left = [number - (number > inside) for number in order if number != inside]
            return np.ascontiguousarray(np.transpose(image, left))


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    import h5py

    with reading(path):
        file = h5py.File(path, 'r')
    with file:
        yield file


def _marked(file: h5py.File) -> list[Any]:
    """Groups that say that they hold an array, by name."""
    import h5py

    found: list[Any] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and item.attrs.get('emd_group_type', 0):
            found.append(item)

    file.visititems(visit)
    return found


def _arrays(file: h5py.File) -> list[_Array]:
    """All arrays with axes, group by group: ``data``, then those that tomviz keeps beside it."""
    found: list[_Array] = []
    for group in _marked(file):
        data, title = group['data'], group.name.rsplit('/', 1)[-1]
        more = _beside(group)
        active = _text(data.attrs.get('name')) if more else ''
        found.append(_Array(group, data, active or title))
        found += [_Array(group, one, name) for name, one in more.items() if name != active]
    return found


def _beside(group: Any) -> dict[str, Any]:
    """The arrays that tomviz keeps beside ``data``; not those that are links to it."""
    import h5py

    more = group.get(_MORE)
    if not isinstance(more, h5py.Group):
        return {}
    own = [name for name in more if isinstance(more.get(name, getlink=True), h5py.HardLink)]
    found = {name: more[name] for name in own}
    return {
        name: one
        for name, one in found.items()
        if isinstance(one, h5py.Dataset) and one.shape == group['data'].shape and one != group['data']
    }


def _has_dims(group: Any) -> bool:
    import h5py

    data = group.get('data')
    if not isinstance(data, h5py.Dataset) or not data.shape:
        return False
    return all(isinstance(group.get(f'dim{n + 1}'), h5py.Dataset) for n in range(data.ndim))


def _describe(path: Path, index: int, array: _Array, microscope: dict[str, Any]) -> StoredSignal:
    axes, _, spectral, doubts = _layout(path, array.group)
    return StoredSignal(
        path=path,
        index=index,
        title=array.title,
        axes=axes,
        spectral=spectral,
        dtype=array.data.dtype,
        metadata=of_its_kind(_metadata(array.title, spectral, microscope)),
        doubts=doubts,
    )


def _layout(path: Path, group: Any) -> tuple[tuple[StoredAxis, ...], tuple[int, ...], bool, tuple[str, ...]]:
    """Axes in the order in which they are read, the axis of the file that each is, whether the last is a spectrum."""
    with reading(path):
        shape = group['data'].shape
        vectors = [group[f'dim{n + 1}'][...] for n in range(len(shape))]
        texts = [[_text(group[f'dim{n + 1}'].attrs.get(key)) for key in ('name', 'units')] for n in range(len(shape))]
    stored = [
        _axis(path, name, units, vector, size)
        for (name, units), vector, size in zip(texts, vectors, shape, strict=True)
    ]
    every = list(range(len(shape)))
    energy = next((n for n in every if _is_energy(stored[n])), None)
    tilt = next((n for n in every if stored[n].units.casefold() in _ANGLES), None)
    if tilt is None:
        tilt = next((n for n in every if stored[n].name.casefold() in _TILT_NAMES), None)
    if tilt is None and energy is None:
        tilt = _without_length(stored)
    left = [n for n in every if n not in (energy, tilt)]
    names = [stored[n].name.casefold() for n in left]
    doubts: tuple[str, ...] = ()
    if set(names) >= {'x', 'y'} and len(left) == 2:
        left.sort(key=lambda n: stored[n].name.casefold() != 'y')
        if tilt == 0 and names == ['x', 'y']:
            left.reverse()
        if tilt == 0 and names == ['x', 'y'] and not group.name.endswith(_EDSTOMO):
            doubt = (
                f'{path.name} names the axes of its images x, y in the order rows, columns, and they were opened so; '
                'if the images lie on their side, choose the tilt axis x.'
            )
            doubts = (doubt,)
    elif tilt != 0 and energy != len(shape) - 1 and names != ['z', 'y', 'x']:
        # As HyperSpy writes them: the axis that varies fastest comes first.
        left.reverse()
    order = [*([tilt] if tilt is not None else []), *left, *([energy] if energy is not None else [])]
    return tuple(stored[n] for n in order), tuple(order), energy is not None and len(shape) > 1, doubts


def _without_length(axes: list[StoredAxis]) -> int | None:
    """The one of three axes that is no length where the others are: it counts images."""
    lengths = [length_in_nm(1.0, axis.units) is not None for axis in axes]
    return lengths.index(False) if len(axes) == 3 and sum(lengths) == 2 else None


def _axis(path: Path, name: str, units: str, vector: np.ndarray, size: int) -> StoredAxis:
    # Energies have no vector longer than the data, and no text in it.
    if vector.dtype.kind not in 'uif' or vector.ndim != 1 or vector.size not in (size, 2) or not vector.size:
        raise InputError(
            f'{path.name} has {vector.size} positions for the {size} values along its axis {name or "without a name"}; '
            'write it anew with one for each.'
        )
    values = vector.astype(float)
    if values.size != size:
        # The first two positions stand for an even axis.
        values = values[0] + (values[1] - values[0]) * np.arange(size)
    if not np.isfinite(values).all():
        raise InputError(f'{path.name} has an axis that is not of numbers ({name}); calibrate it and save it again.')
    scale = (values[-1] - values[0]) / (size - 1) if size > 1 else 1.0
    if not units and name.casefold() in _TILT_NAMES and _are_degrees(values):
        units = 'deg'
    return StoredAxis(name, units, size, float(scale), float(values[0]), values, bool(units) and scale != 0)


def _are_degrees(values: np.ndarray) -> bool:
    """Positions without a unit: neither running numbers nor so small that they may be radians."""
    return bool(np.abs(values).max() > np.pi) and not np.array_equal(values - values[0], np.arange(len(values)))


def _is_energy(axis: StoredAxis) -> bool:
    return axis.units.casefold() in _ENERGIES or (not axis.units and axis.name.casefold() in _ENERGY_NAMES)


def _text(value: Any) -> str:
    """An attribute as text; ``[n_m]`` is nm."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode('utf-8', 'replace')
    if not isinstance(value, str):
        return ''
    value = value.strip()
    return value[1:-1].replace('_', '') if re.fullmatch(r'\[[^\[\]]*\]', value) else value


def _metadata(title: str, spectral: bool, microscope: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {'General': {'title': title}}
    if not spectral:
        return tree
    words = set(re.split(r'[^A-Za-z]+', title.upper()))
    kind = 'EDS' if words & {'EDS', 'EDX', 'XEDS', 'EDXS'} else 'EELS' if 'EELS' in words else ''
    found = {}
    for key, (name, divisor) in _MICROSCOPE.items():
        value = np.asarray(microscope.get(key, np.nan))
        if value.size == 1 and value.dtype.kind in 'uif' and np.isfinite(value).all():
            found[name] = float(value.reshape(-1)[0]) / divisor
    tree['Signal'] = {'signal_type': {'EDS': 'EDS_TEM'}.get(kind, kind)}
    beam = {'beam_energy': found.pop('beam_energy')} if 'beam_energy' in found else {}
    tree['Acquisition_instrument'] = {
        'TEM': {**beam, **({'Detector': {'EDS': found}} if found and kind != 'EELS' else {})}
    }
    return tree
