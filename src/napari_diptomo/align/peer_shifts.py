r"""Shifts in the files of ETSpy and tomviz.

Both move images, where here the geometry is moved: an image in which the specimen sits at s is moved by -s. In both the tilt
axis runs along x, here along y; so their y is x here, and their x is y.

**ETSpy** keeps a stack in an ``.hspy`` of HyperSpy, with ``Tomography.shifts`` among its metadata: of each image (tilt, 2) the
displacement along its rows, across the axis, then along its columns; ``Tomography.tilts`` in degrees. The stack as a whole was
moved by ``xshift`` along the columns and by -``yshift`` along the rows, which brings the axis into the middle.

**tomviz** saves an ``.npz``: ``offsets`` (tilt, 2) of the alignment by cross-correlation, along and across the axis, or the
``transform_matrices`` (tilt, 3, 3) of PyStackReg, which take a point of the moved image to where it was. No angles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.align.reference_images import placed_image
from napari_diptomo.series import InputError, MapSeries
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.inspection import inspect
from napari_diptomo.series.reading.library_errors import reading

#: Entries of a matrix that may differ from those of a shift; degrees that a stack may be turned by.
_TURNED, _DEGREES = 1e-3, 0.05
_LARGEST_NPZ = 2**22


@dataclass(frozen=True)
class PeerShifts:
    """Shifts as another program has them.

    Attributes
    ----------
    shifts : ndarray (tilt, 2)
        Where the specimen sits in each image, pixels (y, x) of a series whose tilt axis runs along y.
    angles : ndarray (tilt,), optional
        Degrees; None where the file has none.
    """

    shifts: np.ndarray
    angles: np.ndarray | None = None


def read_etspy(path: Path) -> PeerShifts:
    """Shifts of a stack of ETSpy.

    Parameters
    ----------
    path : Path
        ``.hspy``.

    Returns
    -------
    PeerShifts

    Raises
    ------
    InputError
        No stack of ETSpy, or one that was turned.
    """
    inspect(path)
    import h5py

    with reading(path), h5py.File(path, 'r') as file:
        kept = _tomography(file)
        shifts = None if kept is None else _numbers(kept, 'shifts')
        if kept is None or shifts is None or shifts.ndim != 2 or shifts.shape[1] != 2:
            raise InputError(
                f'{path.name} holds no shifts of ETSpy (Tomography.shifts); save the stack with ETSpy, or give a .csv.'
            )
        tilts = _numbers(kept, 'tilts')
        turned, moved_x, moved_y = (float(kept.attrs.get(name, 0.0)) for name in ('tiltaxis', 'xshift', 'yshift'))
    if abs(turned) > _DEGREES:
        raise InputError(
            f'ETSpy has turned the images of {path.name} by {turned:g}°; save the stack before that, and give the '
            'rotation of the tilt axis here (axis_rotation).'
        )
    across, along = shifts[:, 0] - moved_y, shifts[:, 1] + moved_x
    return PeerShifts(_finite(-np.stack([along, across], axis=1), path), None if tilts is None else tilts.ravel())


def read_tomviz(path: Path) -> PeerShifts:
    """Shifts that tomviz saved.

    Parameters
    ----------
    path : Path
        ``.npz``.

    Returns
    -------
    PeerShifts

    Raises
    ------
    InputError
        No transforms of tomviz, or more than shifts.
    """
    if not path.is_file():
        raise InputError(f'There is no file {path}; check the path.')
    if path.stat().st_size > _LARGEST_NPZ:
        raise InputError(f'{path.name} is too large for a table of shifts; choose another file.')
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ('offsets', 'transform_matrices') if name in file.files}
    except Exception as error:
        raise InputError(f'{path.name} cannot be read as shifts of tomviz ({error}); choose another file.') from error
    offsets, matrices = arrays.get('offsets'), arrays.get('transform_matrices')
    if matrices is not None and matrices.ndim == 3 and matrices.shape[1:] == (3, 3):
        if np.abs(matrices[:, :2, :2] - np.eye(2)).max(initial=0.0) > _TURNED:
            raise InputError(
                f'The transforms of {path.name} turn or stretch the images; only shifts are geometry here, so register by '
                'translation in tomviz.'
            )
        # Rows of its images run along the axis; its matrices name the columns first.
        offsets = -matrices[:, [1, 0], 2]
    if offsets is None or offsets.ndim != 2 or offsets.shape[1] != 2 or offsets.dtype.kind not in 'iuf':
        raise InputError(
            f'{path.name} has no offsets and no transform_matrices, which tomviz saves of an alignment; choose another file.'
        )
    return PeerShifts(_finite(-offsets.astype(float), path))


def tomviz_arrays(maps: MapSeries) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` that tomviz applies to images.

    Parameters
    ----------
    maps : MapSeries
        Aligned.
    """
    return {'offsets': -_whole_shifts(maps), 'spacing': np.array([maps.pixel_size, maps.pixel_size, 1.0])}


def write_etspy(maps: MapSeries, path: Path) -> None:
    """Write the sum of the maps as a stack that ETSpy has aligned.

    Parameters
    ----------
    maps : MapSeries
        Aligned.
    path : Path
        ``.hspy``.
    """
    images = maps.data.sum(axis=0)
    pairs = zip(images, np.asarray(maps.shifts), maps.angles, strict=True)
    placed = [
        placed_image(image, shift, maps.axis_shift * (1 - np.cos(np.deg2rad(angle)))).T for image, shift, angle in pairs
    ]
    data = np.maximum(np.array(placed, np.float32), 0)
    length = {'scale': float(maps.pixel_size), 'units': 'nm', 'navigate': False}
    projections = {'name': 'Projections', 'size': len(data), 'units': 'degrees', 'navigate': True}
    axes = [
        projections,
        {'name': 'y', 'size': data.shape[1], **length},
        {'name': 'x', 'size': data.shape[2], **length},
    ]
    moved = -_whole_shifts(maps)[:, ::-1]
    values = {'tilts': np.asarray(maps.angles, float)[:, None], 'shifts': moved}
    signals = {
        name: hyperspy_adapter.make_signal(
            array, [projections, {'name': name, 'size': array.shape[1], 'navigate': False}], name, {}, ''
        )
        for name, array in values.items()
    }
    whole = {'tiltaxis': 0.0, 'xshift': 0.0, 'yshift': 0.0, 'cropped': False}
    hyperspy_adapter.write(path, data, axes, ', '.join(maps.channels), {'Tomography': {**whole, **signals}})


def _whole_shifts(maps: MapSeries) -> np.ndarray:
    """Shifts (tilt, 2) of a series about an axis in the middle."""
    shifts = np.array(maps.shifts, float)
    shifts[:, 1] += maps.axis_shift * (1 - np.cos(np.deg2rad(np.asarray(maps.angles, float))))
    return shifts


def _tomography(file: Any) -> Any | None:
    """The metadata of ETSpy of the first experiment of a file."""
    experiments = file.get('Experiments')
    for experiment in experiments.values() if isinstance(experiments, Mapping) else ():
        found = experiment.get('metadata/Tomography') if isinstance(experiment, Mapping) else None
        if isinstance(found, Mapping):
            return found
    return None


def _numbers(kept: Any, name: str) -> np.ndarray | None:
    """Values that HyperSpy keeps as a signal or as an array."""
    for where in (f'_sig_{name}/data', name):
        found = kept.get(where)
        if found is not None and getattr(getattr(found, 'dtype', None), 'kind', '') in 'iuf':
            return np.asarray(found[()], float)
    return None


def _finite(shifts: np.ndarray, path: Path) -> np.ndarray:
    if not np.isfinite(shifts).all():
        raise InputError(f'{path.name} has shifts that are no numbers; correct the file.')
    return shifts
