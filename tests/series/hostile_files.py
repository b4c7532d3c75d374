"""Files as somebody would write them who wants more than to be read."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SCALES = {'tilt': 10.0, 'y': 1.0, 'x': 1.0, 'Energy': 0.01}


def creates(marker: Path) -> str:
    """An expression that makes a folder when SymPy evaluates it."""
    return f'x + __import__("os").mkdir({str(marker)!r})'


def write_hspy(path: Path, *, package: str = 'hyperspy') -> Path:
    """A tilt series (tilt, y, x, energy) as HyperSpy writes it."""
    with h5py.File(path, 'w') as file:
        file.attrs['file_format'] = 'HyperSpy'
        file.attrs['file_format_version'] = '3.3'
        experiment = file.create_group('Experiments/series')
        experiment.attrs['package'] = package
        experiment.attrs['package_version'] = '2.0'
        experiment.create_dataset('data', data=np.ones((3, 4, 5, 16), np.uint8), chunks=True)
        for index, (name, size, units) in enumerate(
            (('tilt', 3, 'deg'), ('y', 4, 'nm'), ('x', 5, 'nm'), ('Energy', 16, 'keV'))
        ):
            axis = experiment.create_group(f'axis-{index}')
            axis.attrs.update({'_type': 'UniformDataAxis', 'name': name, 'units': units, 'size': size})
            axis.attrs.update({'scale': SCALES[name], 'offset': 0.0, 'navigate': name != 'Energy'})
        experiment.create_group('metadata/General').attrs['title'] = 'series'
        experiment.create_group('original_metadata')
    return path


def axis_as_expression(group: Any, expression: str) -> None:
    """Turn a uniform axis of 16 channels into a functional one."""
    for key in list(group.attrs):
        del group.attrs[key]
    group.attrs.update({'_type': 'FunctionalDataAxis', 'expression': expression, 'name': 'Energy', 'units': 'keV'})
    group.attrs['navigate'] = False
    x = group.create_group('x')
    x.attrs.update({'_type': 'UniformDataAxis', 'size': 16, 'scale': 1.0, 'offset': 0.0, 'navigate': False})


def write_zspy(folder: Path, *, extra: dict[str, Any] | None = None, **array: Any) -> Path:
    """The same as Zarr of version 2; ``extra`` are further texts by name, ``array`` settings of the data."""
    texts: dict[str, Any] = {
        '.zgroup': {'zarr_format': 2},
        '.zattrs': {'file_format': 'ZSpy', 'file_format_version': '3.3'},
        'Experiments/.zgroup': {'zarr_format': 2},
        'Experiments/series/.zgroup': {'zarr_format': 2},
        'Experiments/series/.zattrs': {'package': 'hyperspy', 'package_version': '2.0'},
        'Experiments/series/data/.zarray': {
            'zarr_format': 2,
            'shape': [3, 4, 5, 16],
            'chunks': [3, 4, 5, 16],
            'dtype': '|u1',
            'compressor': None,
            'fill_value': 0,
            'filters': None,
            'order': 'C',
            **array,
        },
        'Experiments/series/metadata/.zgroup': {'zarr_format': 2},
        'Experiments/series/metadata/General/.zgroup': {'zarr_format': 2},
        'Experiments/series/metadata/General/.zattrs': {'title': 'series'},
        'Experiments/series/original_metadata/.zgroup': {'zarr_format': 2},
    }
    for index, (name, size, units) in enumerate(
        (('tilt', 3, 'deg'), ('y', 4, 'nm'), ('x', 5, 'nm'), ('Energy', 16, 'keV'))
    ):
        texts[f'Experiments/series/axis-{index}/.zgroup'] = {'zarr_format': 2}
        texts[f'Experiments/series/axis-{index}/.zattrs'] = {
            '_type': 'UniformDataAxis',
            'name': name,
            'units': units,
            'size': size,
            'scale': SCALES[name],
            'offset': 0.0,
            'navigate': name != 'Energy',
        }
    for name, document in (texts | (extra or {})).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
    (folder / 'Experiments/series/data/0.0.0.0').write_bytes(bytes(np.ones((3, 4, 5, 16), np.uint8)))
    return folder


def zipped(folder: Path, path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    """The folder as one file, as HyperSpy's zip store has it."""
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for here, _, names in os.walk(folder):
            for name in names:
                file = Path(here) / name
                archive.write(file, file.relative_to(folder).as_posix())
    return path
