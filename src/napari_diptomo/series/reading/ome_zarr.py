"""Volumes of OME-Zarr (0.4 and 0.5, https://ngff.openmicroscopy.org), ours and those of other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import findings
from napari_diptomo.series.data import Volume
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.memory import check_fits
from napari_diptomo.series.reading.current_file import reads
from napari_diptomo.series.reading.inspection import inspect
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.recipe import Recipe

#: Nanometres in the units that OME-Zarr names lengths by.
_NANOMETRES = {'angstrom': 0.1, 'picometer': 1e-3, 'nanometer': 1.0, 'micrometer': 1e3, 'millimeter': 1e6, 'meter': 1e9}
#: Part of the voxel by which its sides may differ.
_CUBIC = 1e-3
_NO_MEMORY = 'open it in napari as it is, which reads the smaller sizes first'


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder says at its top that it holds an OME-Zarr image.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool
    """
    for name in ('zarr.json', '.zattrs'):
        file = path / name
        if file.is_file():
            with file.open('rb') as opened:
                return b'"multiscales"' in opened.read(2**20)
    return False


def read_ome_zarr(path: Path, key: str) -> Volume:
    """The first image of an OME-Zarr at its full size.

    Parameters
    ----------
    path : Path
        The folder.
    key : str
        Name of the attribute under which this program keeps recipe and findings.

    Returns
    -------
    Volume
        Channels by their labels; voxel size in nm; the spread where a second image ``std`` holds one.

    Raises
    ------
    InputError
        Not such a folder, no volume, or voxels that are no cubes.
    """
    reads(path)
    check_fits(inspect(path), f'Reading {path.name}', _NO_MEMORY)
    with reading(path):
        import zarr

        root = zarr.open_group(str(path), mode='r')
        attributes = dict(root.attrs)
    described: Any = attributes.get('ome', attributes)
    image = _image(path, root, described)
    try:
        size, names = _voxel_size(path, described), _labels(described, len(image))
        ours: Any = attributes.get(key, {})
        transposed = bool(ours.get('transposed', False))
        recipe = ours.get('recipe')
        std = _spread(path, root)
        return Volume(
            image.swapaxes(-1, -2) if transposed else image,
            names,
            size,
            std=None if std is None or std.shape != image.shape else std.swapaxes(-1, -2) if transposed else std,
            transposed=transposed,
            recipe=None if recipe is None else Recipe.from_dict(recipe, embedded=True),
            findings=findings.from_json(json.dumps(ours.get('findings', []))),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f'{path.name} does not describe its image as OME-Zarr does ({error!r}); export it anew.'
        ) from error


def _multiscale(path: Path, described: Mapping[str, Any]) -> Mapping[str, Any]:
    listed = described.get('multiscales')
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], Mapping):
        raise InputError(f'{path.name} holds no OME-Zarr image; choose the folder of the image itself.')
    return listed[0]


def _axes(path: Path, described: Mapping[str, Any]) -> list[str]:
    axes = [str(axis.get('name')) for axis in _multiscale(path, described).get('axes', [])]
    if axes[-3:] != ['z', 'y', 'x'] or not set(axes[:-3]) <= {'c', 't'}:
        raise InputError(
            f'{path.name} has the axes {", ".join(axes) or "of an old version"} and is no volume; give one of c, z, y, x.'
        )
    return axes


def _image(path: Path, group: Any, described: Mapping[str, Any]) -> np.ndarray:
    """The image at full size, (channel, z, y, x)."""
    axes = _axes(path, described)
    with reading(path):
        # The first is the largest, says the specification.
        stored = group[str(_multiscale(path, described)['datasets'][0]['path'])]
        data = np.asarray(stored[...], dtype=np.float32)
    if data.ndim != len(axes) or ('t' in axes and data.shape[axes.index('t')] != 1):
        raise InputError(f'{path.name} holds {data.shape} values along {", ".join(axes)}; give one volume.')
    return data.reshape(-1, *data.shape[-3:])


def _voxel_size(path: Path, described: Mapping[str, Any]) -> float:
    multiscale = _multiscale(path, described)
    axes = _axes(path, described)
    transforms = [
        *multiscale['datasets'][0]['coordinateTransformations'],
        *multiscale.get('coordinateTransformations', []),
    ]
    scale = np.prod([one['scale'] for one in transforms if one.get('type') == 'scale'], axis=0)
    units = [str(axis.get('unit', '')) for axis in multiscale['axes']]
    unknown = [unit or 'none' for unit in units[-3:] if unit not in _NANOMETRES]
    if unknown:
        raise InputError(f'{path.name} gives its voxels in the unit {unknown[0]}; export it with lengths in nanometer.')
    sides = [float(scale[axis]) * _NANOMETRES[units[axis]] for axis in range(len(axes) - 3, len(axes))]
    if max(sides) - min(sides) > _CUBIC * max(sides):
        z, y, x = sides
        raise InputError(
            f'{path.name} has voxels of {z:g} x {y:g} x {x:g} nm (z, y, x), and volumes have cubes here; resample it.'
        )
    return sides[0]


def _labels(described: Mapping[str, Any], count: int) -> tuple[str, ...]:
    channels = described.get('omero', {}).get('channels', [])
    names = [str(channel.get('label', '')) for channel in channels]
    complete = len(names) == count and all(names) and len(set(names)) == count
    return tuple(names) if complete else tuple(f'channel {number}' for number in range(1, count + 1))


def _spread(path: Path, root: Any) -> np.ndarray | None:
    with reading(path):
        inside = root.get('std')
    if inside is None or 'ome' not in inside.attrs:
        return None
    return _image(path, inside, inside.attrs['ome'])
