"""Volumes and labels as stacks of images for other programs: MRC, a file per channel, and ImageJ TIFF with nm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_diptomo.series.data import Volume
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.files import replacing
from napari_diptomo.series.reading.saved import swapped


def mrc_writer(stack: np.ndarray, voxel_size: float) -> Callable[[Path], None]:
    """A function that writes one channel (z, y, x); ``voxel_size`` in nm."""

    def write(path: Path) -> None:
        import mrcfile

        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(np.ascontiguousarray(stack))
            file.voxel_size = 10.0 * voxel_size  # MRC counts in angstrom

    return write


def write_tiff(volume: Volume, path: Path) -> None:
    """Write all channels as one composite."""
    import tifffile

    data = swapped(volume.data, volume.transposed)
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


def write_labels(labels: np.ndarray, volume: Volume, path: str | Path) -> Path:
    """Write the labels of the voxels of a volume as a stack of its grid.

    Parameters
    ----------
    labels : ndarray of int (z, y, x)
        0 to 65535.
    volume : Volume
        Whose voxel size and axes are taken: labels lie on its voxels as `write_tiff` writes them.
    path : str or Path
        ``.tif``.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        Labels of another shape, more than the format numbers, or a file that cannot be written.
    """
    import tifffile

    if labels.shape != volume.data.shape[1:]:
        raise InputError(
            f'The labels have the shape {labels.shape} and the volume {volume.data.shape[1:]}; take labels of it.'
        )
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= np.iinfo(np.uint16).max:
        raise InputError(f'Labels are saved from 0 to {np.iinfo(np.uint16).max}; number them anew.')

    def write(partial: Path) -> None:
        tifffile.imwrite(
            partial,
            np.ascontiguousarray(swapped(labels, volume.transposed), dtype=np.uint16),
            imagej=True,
            resolution=(1 / volume.voxel_size, 1 / volume.voxel_size),
            metadata={'axes': 'ZYX', 'unit': 'nm', 'spacing': volume.voxel_size},
        )

    return replacing(Path(path), write)
