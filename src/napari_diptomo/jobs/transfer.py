"""Handing maps, spectra and volumes from process to process.

A plain ``.npz`` of the fields: written and read in the time the disk takes,
and without HyperSpy, whose import would hold up the window for seconds. It is
a hand-over between two processes of one version, not an archive; that is
`napari_diptomo.series.save`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import Evidence, Finding, InputError, MapSeries, Recipe, SpectralTiltSeries, Volume
from napari_diptomo.series.files import cannot_be_written
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.reinsertion import Reinsertion

_KINDS = {kind.__name__: kind for kind in (SpectralTiltSeries, MapSeries, Volume, HAADFSeries)}


def write(data: SpectralTiltSeries | MapSeries | Volume, path: str | Path) -> Path:
    """Write to `path` (``.npz``); lazy counts are read. Returns the path.

    Raises
    ------
    InputError
        It cannot be written; the sentence names the disk.
    """
    arrays, values = _parts(data)
    size = sum(array.nbytes for array in arrays.values())
    try:
        with open(path, 'wb') as file:
            np.savez(file, **{**arrays, '_values': np.array(json.dumps(values, default=_plain))})  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(cannot_be_written(Path(path), error, size)) from None
    return Path(path)


def _parts(data: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and values of the fields; those of a series within have its field in front of their names."""
    arrays: dict[str, np.ndarray] = {}
    values: dict[str, Any] = {'kind': type(data).__name__}
    for field in fields(data):
        value = getattr(data, field.name)
        if isinstance(value, Recipe):
            values[field.name] = value.to_dict()
        elif isinstance(value, HAADFSeries | MapSeries):
            inside, values[field.name] = _parts(value)
            arrays |= {f'{field.name}.{name}': one for name, one in inside.items()}
        elif isinstance(value, Reinsertion):
            values[field.name] = asdict(value)
        elif hasattr(value, 'compute') or isinstance(value, np.ndarray):
            arrays[field.name] = np.asarray(value)
        elif value is not None:
            values[field.name] = dict(value) if hasattr(value, 'items') else value
    return arrays, values


def read(path: str | Path) -> Any:
    """The object that `write` wrote.

    Raises
    ------
    InputError
        When the file is missing or broken.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        values = json.loads(str(arrays.pop('_values')))
        return _whole(values, arrays)
    except InputError:
        raise
    except Exception:  # zipfile, numpy and json each have their own errors for broken bytes
        raise InputError(f'The data handed over in {path} cannot be read; run again.') from None


def _whole(values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """The opposite of `_parts`."""
    kind = _KINDS[values.pop('kind')]
    for name in ('haadf_series', 'second_axis'):
        if name in values:
            inside = {key: arrays.pop(key) for key in list(arrays) if key.startswith(f'{name}.')}
            values[name] = _whole(values[name], {key.partition('.')[2]: one for key, one in inside.items()})
    if 'reinsertion' in values:
        values['reinsertion'] = Reinsertion(**values['reinsertion'])
    if 'evidence' in values:
        values['evidence'] = tuple(Evidence.from_dict(one) for one in values['evidence'])
    values['findings'] = tuple(Finding.from_dict(one) for one in values['findings'])
    if kind is not HAADFSeries:
        # An absent recipe means none: the class would put an empty one in its place.
        recipe = values.pop('recipe', None)
        values['recipe'] = Recipe.from_dict(recipe, embedded=True) if recipe else None
    parts: dict[str, Any] = {**values, **arrays}
    return kind(**parts)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.to_dict() if isinstance(value, Finding | Evidence) else str(value)
