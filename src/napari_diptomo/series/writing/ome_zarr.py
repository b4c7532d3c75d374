"""Volumes as OME-Zarr 0.5 (https://ngff.openmicroscopy.org/0.5): a folder that napari and Fiji open.

One image of the axes (c, z, y, x) in several sizes, each half as large as the one before, with voxels in nm, names and
colours of the channels. The spread of a volume is a second image, ``std``, inside. Recipe and findings are beside the
specified attributes, under a name of ours, so that `napari_diptomo.series.load` brings them back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import findings
from napari_diptomo.series.channel_colours import colours
from napari_diptomo.series.data import Volume
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.saved import KEY, swapped

#: Edge of a chunk in voxels, and length of the longest axis at which no smaller size is needed.
_CHUNK, _SMALLEST = 64, 64
#: Percentile at which a channel is shown at full brightness.
_BRIGHT = 99.9


def write_ome_zarr(volume: Volume, path: Path, name: str) -> None:
    """Write a volume into an empty folder.

    Parameters
    ----------
    volume : Volume
    path : Path
        The folder, which is there.
    name : str
        Of the image, as viewers list it.
    """
    import zarr

    data = swapped(volume.data, volume.transposed)
    ours = {
        'transposed': volume.transposed,
        'recipe': None if volume.recipe is None else volume.recipe.to_dict(),
        'findings': json.loads(findings.to_json(volume.findings)),
    }
    root = zarr.create_group(str(path), zarr_format=3, attributes={KEY: ours})
    _write_image(root, name, data, volume)
    if volume.std is not None:
        inside = root.create_group('std')
        _write_image(inside, f'{name}, standard deviation', swapped(volume.std, volume.transposed), volume)


def check_replaceable(path: Path) -> None:
    """Refuse to replace a folder that is no Zarr.

    Raises
    ------
    InputError
    """
    if path.is_symlink() or (path.exists() and not (path / 'zarr.json').is_file()):
        raise InputError(f'{path.name} is there already and is no OME-Zarr; choose another name.')


def _write_image(group: Any, name: str, data: np.ndarray, volume: Volume) -> None:
    sizes = _pyramid(data)
    for level, image in enumerate(sizes):
        array = group.create_array(
            str(level),
            shape=image.shape,
            chunks=(1, *(min(_CHUNK, n) for n in image.shape[1:])),
            dtype=image.dtype,
            dimension_names=('c', 'z', 'y', 'x'),
        )
        array[...] = image
    group.attrs['ome'] = {
        'version': '0.5',
        'multiscales': [
            {
                'name': name,
                'axes': [
                    {'name': 'c', 'type': 'channel'},
                    *({'name': axis, 'type': 'space', 'unit': 'nanometer'} for axis in 'zyx'),
                ],
                'datasets': [_dataset(level, data.shape, image.shape, volume) for level, image in enumerate(sizes)],
                'type': 'local mean',
            }
        ],
        'omero': {'channels': _channels(data, volume)},
    }


def _pyramid(data: np.ndarray) -> list[np.ndarray]:
    """The volume, and means over 2 x 2 x 2 voxels of the size before while it is large; axes of one voxel stay."""
    from skimage.transform import downscale_local_mean

    sizes = [data]
    while max(sizes[-1].shape[1:]) > _SMALLEST:
        last = sizes[-1]
        factors = (1, *(2 if n > 1 else 1 for n in last.shape[1:]))
        # What does not fill a block at the far side would be averaged with zeros.
        whole = last[tuple(slice(0, n - n % f) for n, f in zip(last.shape, factors, strict=True))]
        sizes.append(downscale_local_mean(whole, factors).astype(np.float32))
    return sizes


def _dataset(level: int, full: tuple[int, ...], shape: tuple[int, ...], volume: Volume) -> dict[str, Any]:
    factors = [1.0, *(float(2**level) if n > 1 else 1.0 for n in full[1:])]
    size = volume.voxel_size
    scale = [1.0, *(size * factor for factor in factors[1:])]
    # The middle of the first voxel of a coarse size lies between those of the fine ones.
    middle = [0.0, *(size * (factor - 1) / 2 for factor in factors[1:])]
    return {
        'path': str(level),
        'coordinateTransformations': [
            {'type': 'scale', 'scale': scale},
            {'type': 'translation', 'translation': middle},
        ],
    }


def _channels(data: np.ndarray, volume: Volume) -> list[dict[str, Any]]:
    hues = colours(volume.channels)
    described = []
    for name, image in zip(volume.channels, data, strict=True):
        low, high = min(float(image.min()), 0.0), float(image.max())
        bright = max(float(np.percentile(image, _BRIGHT)), np.finfo(np.float32).tiny)
        described.append(
            {
                'label': name,
                'color': hues[name].lstrip('#').upper(),
                'active': True,
                'window': {'min': low, 'max': max(high, bright), 'start': 0.0, 'end': bright},
            }
        )
    return described
