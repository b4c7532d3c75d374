"""Volumes as stacks of images for other programs: MRC, one file per channel, and calibrated ImageJ TIFF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_diptomo.series.data import Volume
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
