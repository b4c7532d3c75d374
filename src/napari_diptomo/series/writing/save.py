"""Writing and reading back map series and volumes without loss.

``.hspy`` is the format that keeps everything: the data with calibrated axes,
as any HyperSpy opens them, and beside them under ``metadata.napari_diptomo``
the arrays and, as JSON, the rest. Volumes go to ``.mrc`` and ``.tif`` too, for
programs that show them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import findings
from napari_diptomo.series.data import MapSeries, Volume
from napari_diptomo.series.errors import DiptomoError, InputError
from napari_diptomo.series.files import replacing, replacing_all
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.recipe import Recipe

FORMAT = 1
#: Suffixes of the names under which volumes, and maps, can be saved.
VOLUME_SUFFIXES = frozenset({'.hspy', '.mrc', '.tif', '.tiff'})
MAP_SUFFIXES = frozenset({'.hspy'})
_KEY = 'napari_diptomo'
_MAP_ARRAYS: tuple[str, ...] = (
    'angles',
    'shifts',
    'variance',
    'held_out',
    'background',
    'mixing',
    'gain',
    'residual',
    'haadf',
    'missing',
)
_MAP_VALUES: tuple[str, ...] = ('channels', 'pixel_size', 'axis_shift', 'held_out_share', 'transposed', 'notes')
_VOLUME_ARRAYS: tuple[str, ...] = ('std',)
_VOLUME_VALUES: tuple[str, ...] = ('channels', 'voxel_size', 'scores', 'transposed', 'notes')


def save(
    obj: MapSeries | Volume, path: str | os.PathLike[str], *, before: Callable[[], None] | None = None
) -> Path | tuple[Path, ...]:
    """Write a map series or a volume.

    Parameters
    ----------
    obj : MapSeries or Volume
    path : path
        ``.hspy`` for everything; for a volume also ``.mrc`` (one file per
        channel, its name behind the stem) or ``.tif`` (one calibrated ImageJ
        stack). Without a suffix ``.hspy``. An existing file is replaced once
        the new one is complete and on the disk; several files all together.
    before : callable, optional
        Called when all is written and nothing replaced yet; what it raises leaves the earlier files.

    Returns
    -------
    Path, or tuple of Path
        What was written; one path per channel for ``.mrc``.

    Raises
    ------
    InputError
        The suffix is none of these, or the place cannot be written to.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == '':
        path, suffix = path.with_name(path.name + '.hspy'), '.hspy'
    if suffix not in (VOLUME_SUFFIXES if isinstance(obj, Volume) else MAP_SUFFIXES):
        raise InputError(wrong_suffix(path, isinstance(obj, Volume)))
    if suffix == '.hspy' or isinstance(obj, MapSeries):
        return replacing(path, lambda partial: _write_hspy(obj, partial), _size(obj), before)
    if suffix == '.mrc':
        stacks = zip(obj.channels, _swapped(obj.data, obj.transposed), strict=True)
        writers = {
            path.with_name(f'{path.stem}_{_NOT_IN_NAMES.sub("-", channel)}.mrc'): _mrc_writer(stack, obj.voxel_size)
            for channel, stack in stacks
        }
        return replacing_all(writers, obj.data.nbytes, before)
    return replacing(path, lambda partial: _write_tiff(obj, partial), obj.data.nbytes, before)


#: What no system takes in the name of a file, or takes for a path.
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]')


def wrong_suffix(path: Path, volume: bool) -> str:
    """The sentence for a name in whose format the result cannot be saved."""
    allowed = '.hspy, .mrc or .tif' if volume else '.hspy'
    return f'{path.name} cannot be saved: choose a name that ends in {allowed}.'


def load(path: str | os.PathLike[str]) -> MapSeries | Volume:
    """Read back what `save` wrote to ``.hspy``, bit by bit the same.

    Raises
    ------
    InputError
        Not such a file, damaged, or its recipe has steps that this version does not know.
    """
    path = Path(path)
    kind = saved_kind(path)
    if kind is None:
        raise InputError(f'{path.name} was not saved by napari-diptomo; open it as a tilt series.')
    data, metadata = hyperspy_adapter.read_whole(path)
    stored = metadata[_KEY]
    try:
        values = json.loads(stored['values'])
        arrays = {name: np.asarray(value) for name, value in stored.get('arrays', {}).items()}
        values['channels'] = tuple(values['channels'])
        recipe = json.loads(stored['recipe'])
        # Files of the first edition have none.
        values['findings'] = findings.from_json(stored.get('findings', '[]'))
        restored = _whole(
            kind, data, arrays, values, Recipe.from_dict(recipe, embedded=True) if recipe is not None else None
        )
    except DiptomoError as error:
        raise InputError(f'{path.name}: {error}') from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f'{path.name} lacks a part ({error}); it was changed after saving, save it anew.') from error
    return restored


def saved_kind(path: str | os.PathLike[str]) -> str | None:
    """'map series' or 'volume' for files that `save` wrote, None for others."""
    path = Path(path)
    if not path.exists():
        raise InputError(f'There is no file {path}; check the path.')
    branch = hyperspy_adapter.metadata_of(path, _KEY)
    if branch is None:
        return None
    form, kind = branch.get('format', 0), branch.get('kind')
    if not isinstance(form, int | np.integer) or kind not in ('map series', 'volume'):
        raise InputError(f'{path.name} does not say what it holds; it was changed after saving, save it anew.')
    if form > FORMAT:
        raise InputError(f'{path.name} was saved by a newer version of napari-diptomo; update this one.')
    return str(kind)


def _whole(
    kind: str, data: np.ndarray, arrays: dict[str, np.ndarray], values: dict[str, Any], recipe: Recipe | None
) -> MapSeries | Volume:
    if kind == 'map series':
        parts: dict[str, Any] = {**arrays, **values}
        return MapSeries(data=data, recipe=recipe, **parts)
    parts = {name: _swapped(array, values['transposed']) for name, array in arrays.items()} | values
    return Volume(data=_swapped(data, values['transposed']), recipe=recipe, **parts)


def _write_hspy(obj: MapSeries | Volume, path: Path) -> None:
    if isinstance(obj, MapSeries):
        kind, names, values = 'map series', _MAP_ARRAYS, _MAP_VALUES
        axes = _map_axes(obj)
        swap = False
    else:
        kind, names, values = 'volume', _VOLUME_ARRAYS, _VOLUME_VALUES
        swap = obj.transposed
        axes = _volume_axes(_swapped(obj.data, swap).shape, obj.voxel_size)
    arrays = {name: _swapped(getattr(obj, name), swap) for name in names if getattr(obj, name) is not None}
    metadata = {
        'format': FORMAT,
        'kind': kind,
        'arrays': arrays,
        'values': json.dumps({name: getattr(obj, name) for name in values}, default=_jsonable),
        'recipe': json.dumps(None if obj.recipe is None else obj.recipe.to_dict()),
        'findings': findings.to_json(obj.findings),
    }
    hyperspy_adapter.write(path, _swapped(obj.data, swap), axes, ', '.join(obj.channels), {_KEY: metadata})


def _map_axes(maps: MapSeries) -> list[dict[str, Any]]:
    channels, tilts, y, x = maps.data.shape
    tilt: dict[str, Any] = {'name': 'tilt', 'units': 'deg', 'navigate': True}
    if tilts > 1 and (np.diff(maps.angles) > 0).all():
        tilt |= {'axis': maps.angles}
    else:
        # An axis of positions must rise; the angles themselves are kept among the arrays.
        tilt |= {'size': tilts, 'units': ''}
    return [
        {'name': 'channel', 'size': channels, 'navigate': True},
        tilt,
        _length_axis('y', y, maps.pixel_size),
        _length_axis('x', x, maps.pixel_size),
    ]


def _volume_axes(shape: tuple[int, ...], voxel_size: float) -> list[dict[str, Any]]:
    return [
        {'name': 'channel', 'size': shape[0], 'navigate': True},
        {**_length_axis('z', shape[1], voxel_size), 'navigate': True},
        _length_axis('y', shape[2], voxel_size),
        _length_axis('x', shape[3], voxel_size),
    ]


def _length_axis(name: str, size: int, scale: float) -> dict[str, Any]:
    return {'name': name, 'size': size, 'scale': float(scale), 'units': 'nm', 'navigate': False}


def _mrc_writer(stack: np.ndarray, voxel_size: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import mrcfile

        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(np.ascontiguousarray(stack))
            file.voxel_size = 10.0 * voxel_size  # MRC counts in angstrom

    return write


def _write_tiff(volume: Volume, path: Path) -> None:
    import tifffile

    data = _swapped(volume.data, volume.transposed)
    channels, depth = data.shape[:2]
    tifffile.imwrite(
        path,
        np.ascontiguousarray(data.swapaxes(0, 1)),
        imagej=True,
        resolution=(1 / volume.voxel_size, 1 / volume.voxel_size),
        metadata={
            'axes': 'ZCYX',
            'unit': 'nm',
            'spacing': volume.voxel_size,
            'mode': 'composite' if channels > 1 else 'grayscale',
            'Labels': [name for _ in range(depth) for name in volume.channels],
        },
    )


def _swapped(array: np.ndarray, transposed: bool) -> np.ndarray:
    return np.ascontiguousarray(array.swapaxes(-1, -2)) if transposed else array


def _size(obj: MapSeries | Volume) -> int:
    """Bytes of all arrays; compressed they take less."""
    names = _MAP_ARRAYS if isinstance(obj, MapSeries) else _VOLUME_ARRAYS
    arrays = (getattr(obj, name) for name in ('data', *names))
    return sum(int(array.nbytes) for array in arrays if array is not None)


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise InputError(f'A note of the kind {type(value).__name__} cannot be saved; keep notes to text and numbers.')
