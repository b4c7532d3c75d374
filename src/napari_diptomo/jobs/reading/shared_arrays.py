"""Series, maps and volumes from process to process, without a second copy in memory.

They travel as one file: the arrays behind one another, then a JSON text that says
what they belong to, then its length. The sender writes it, the receiver maps
it and removes its name, so that the arrays are read where they lie and the
memory is free again when they are forgotten. Nothing in it is ever executed.

What is read lazily stays behind: the file holds shape and number type, and
the receiver asks for one image at a time (`napari_diptomo.jobs.reading.isolated`).
"""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from napari_diptomo.series import CoreLoss, Evidence, Finding, InputError, MapSeries, Recipe, SpectralTiltSeries, Volume
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.reading.pictures import Picture
from napari_diptomo.series.reinsertion import Reinsertion

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        SpectralTiltSeries,
        CoreLoss,
        HAADFSeries,
        MapSeries,
        Volume,
        Picture,
        Recipe,
        Finding,
        Evidence,
        Reinsertion,
    )
}
_ALIGNED = 64
_LENGTH = 8


def write(value: Any, path: str | Path) -> list[Any]:
    """Write a value to a new file.

    Parameters
    ----------
    value : SpectralTiltSeries, MapSeries, Volume, Picture, ndarray, or tuples, lists and mappings of such
    path : path

    Returns
    -------
    list of dask array
        What is read lazily and is not in the file, in the order of its numbers.

    Raises
    ------
    InputError
        There is no space for it.
    """
    lazy: list[Any] = []
    path = Path(path)
    try:
        with open(path, 'xb') as file:
            described = json.dumps(_described(value, file, lazy)).encode()
            file.write(described)
            file.write(len(described).to_bytes(_LENGTH, 'little'))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(
            f'What was read cannot be handed over ({error.strerror} in {path.parent}); free some space there.'
        ) from None
    return lazy


def read(path: str | Path, lazy: Callable[[int, tuple[int, ...], np.dtype], Any] | None = None) -> Any:
    """The value that `write` wrote; the file is gone afterwards.

    Parameters
    ----------
    path : path
    lazy : callable, optional
        Makes the array of a number, shape and number type that stayed behind.

    Raises
    ------
    InputError
        The file is missing or broken.
    """
    path = Path(path)
    try:
        content = _mapped(path)
        end = len(content) - _LENGTH
        length = int.from_bytes(content[end:], 'little')
        values = json.loads(bytes(content[end - length : end]))
    except (OSError, ValueError):
        raise InputError(f'The data handed over in {path} cannot be read; open the files again.') from None
    return _restored(values, content, lazy)


def _mapped(path: Path) -> Any:
    if sys.platform == 'win32':  # a file that is mapped cannot be removed there
        content = bytearray(path.read_bytes())
        path.unlink()
        return content
    with open(path, 'rb') as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    path.unlink()
    return content


def _described(value: Any, file: BinaryIO, lazy: list[Any]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, 'compute'):
        lazy.append(value)
        return {'lazy': len(lazy) - 1, 'shape': value.shape, 'dtype': np.dtype(value.dtype).str}
    if isinstance(value, np.ndarray):
        return _written(value, file)
    if isinstance(value, Recipe | Finding | Evidence):
        return {'kind': type(value).__name__, 'json': value.to_dict()}
    if is_dataclass(value):
        parts = {field.name: _described(getattr(value, field.name), file, lazy) for field in fields(value)}
        return {'kind': type(value).__name__, 'fields': parts}
    if isinstance(value, Mapping):
        return {'mapping': {str(key): _described(item, file, lazy) for key, item in value.items()}}
    if isinstance(value, Sequence):
        items = [_described(item, file, lazy) for item in value]
        return {'tuple': items} if isinstance(value, tuple) else items
    return str(value)


def _written(array: np.ndarray, file: BinaryIO) -> dict[str, Any]:
    file.write(bytes(-file.tell() % _ALIGNED))
    start = file.tell()
    if array.size:
        file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return {'array': start, 'shape': array.shape, 'dtype': array.dtype.str}


def _restored(value: Any, content: Any, lazy: Any) -> Any:
    if isinstance(value, list):
        return [_restored(item, content, lazy) for item in value]
    if not isinstance(value, dict):
        return value
    if 'tuple' in value:
        return tuple(_restored(item, content, lazy) for item in value['tuple'])
    if 'mapping' in value:
        return {key: _restored(item, content, lazy) for key, item in value['mapping'].items()}
    if 'kind' in value:
        kind = _KINDS[value['kind']]
        if 'json' in value:
            # What a file says of its making must not keep its data from being opened.
            embedded = {'embedded': True} if kind is Recipe else {}
            return kind.from_dict(value['json'], **embedded)
        return kind(**{name: _restored(item, content, lazy) for name, item in value['fields'].items()})
    shape, dtype = tuple(value['shape']), np.dtype(value['dtype'])
    if 'lazy' in value:
        return lazy(value['lazy'], shape, dtype)
    count = int(np.prod(shape))
    return np.frombuffer(content, dtype, count, value['array']).reshape(shape)


def size_of(value: Any) -> int:
    """Bytes of the arrays in a value that `write` would write."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list | tuple):
        return sum(size_of(item) for item in value)
    if is_dataclass(value):
        return sum(size_of(getattr(value, field.name)) for field in fields(value))
    return 0
