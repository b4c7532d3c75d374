"""Maps and volumes that this program saved, read back bit by bit.

Beside the data, under ``metadata.napari_diptomo`` of a ``.hspy``, stand the version of the format, the kind of the
object, its arrays, and as JSON its values, recipe and findings. `napari_diptomo.series.writing.hspy` writes them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import findings
from napari_diptomo.series.data import MapSeries, Volume
from napari_diptomo.series.errors import DiptomoError, InputError
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.ome_zarr import is_ome_zarr, read_ome_zarr
from napari_diptomo.series.recipe import Recipe
from napari_diptomo.series.reinsertion import Reinsertion

#: Version of the format, and the branch of the metadata that it is under.
FORMAT, KEY = 1, 'napari_diptomo'


def load(path: str | os.PathLike[str]) -> MapSeries | Volume:
    """Read back what `save` wrote to ``.hspy``, bit by bit the same, or a volume of an OME-Zarr.

    Parameters
    ----------
    path : path
        The file, or the folder ``.zarr``, which brings values, errors, recipe and findings back, not notes and curves.

    Returns
    -------
    MapSeries or Volume
        With its recipe, notes and findings.

    Raises
    ------
    InputError
        Not such a file, damaged, or saved by a newer version. Steps that this version does not know stay text in the
        recipe.
    """
    path = Path(path)
    if path.is_dir() and is_ome_zarr(path):
        return read_ome_zarr(path, KEY)
    kind = saved_kind(path)
    if kind is None:
        raise InputError(f'{path.name} was not saved by napari-diptomo; open it as a tilt series.')
    data, metadata = hyperspy_adapter.read_whole(path)
    stored = metadata[KEY]
    try:
        arrays = {name: np.asarray(value) for name, value in stored.get('arrays', {}).items()}
        restored = _whole(kind, data, arrays, _values(stored), _recipe(stored))
    except DiptomoError as error:
        raise InputError(f'{path.name}: {error}') from error
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f'{path.name} lacks a part ({error}); it was changed after saving, save it anew.') from error
    return restored


def saved_kind(path: str | os.PathLike[str]) -> str | None:
    """'map series' or 'volume' for files that `save` wrote, None for others."""
    path = Path(path)
    if not path.exists():
        raise InputError(f'There is no file {path}; check the path.')
    if path.is_dir():
        return 'volume' if is_ome_zarr(path) else None
    branch = hyperspy_adapter.metadata_of(path, KEY)
    if branch is None:
        return None
    form, kind = branch.get('format', 0), branch.get('kind')
    if not isinstance(form, int | np.integer) or not isinstance(kind, str) or kind not in ('map series', 'volume'):
        raise InputError(f'{path.name} does not say what it holds; it was changed after saving, save it anew.')
    if form > FORMAT:
        raise InputError(f'{path.name} was saved by a newer version of napari-diptomo; update this one.')
    return str(kind)


def swapped(array: np.ndarray, transposed: bool) -> np.ndarray:
    """x and y exchanged where they were on loading."""
    return np.ascontiguousarray(array.swapaxes(-1, -2)) if transposed else array


def _haadf(stored: Any) -> HAADFSeries:
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in stored['arrays'].items()}
    return HAADFSeries(**arrays, **json.loads(stored['values']), findings=findings.from_json(stored['findings']))


def _values(stored: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(stored['values'])
    values['channels'] = tuple(values['channels'])
    # Files of the first edition have none.
    values['findings'] = findings.from_json(stored.get('findings', '[]'))
    if 'haadf_series' in stored:
        values['haadf_series'] = _haadf(stored['haadf_series'])
    if 'reinsertion' in stored:
        values['reinsertion'] = Reinsertion(**json.loads(stored['reinsertion']))
    if 'second_axis' in stored:
        values['second_axis'] = _second(stored['second_axis'])
    return values


def _recipe(stored: Any) -> Recipe | None:
    recipe = json.loads(stored['recipe'])
    return None if recipe is None else Recipe.from_dict(recipe, embedded=True)


def _second(stored: Any) -> MapSeries:
    if 'second_axis' in stored:
        raise ValueError('a second axis within a second axis')
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in stored['arrays'].items()}
    return MapSeries(**arrays, **_values(stored), recipe=_recipe(stored))


def _whole(
    kind: str, data: np.ndarray, arrays: dict[str, np.ndarray], values: dict[str, Any], recipe: Recipe | None
) -> MapSeries | Volume:
    if kind == 'map series':
        parts: dict[str, Any] = {**arrays, **values}
        return MapSeries(data=data, recipe=recipe, **parts)
    parts = {name: swapped(array, values['transposed']) for name, array in arrays.items()} | values
    return Volume(data=swapped(data, values['transposed']), recipe=recipe, **parts)
