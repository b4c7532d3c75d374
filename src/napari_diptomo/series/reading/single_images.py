"""Whether a file of images holds one or a stack, by its header."""

from __future__ import annotations

import warnings
from pathlib import Path

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.library_errors import reading

_TIFF = {'.tif', '.tiff'}


def holds_one_image(path: Path) -> bool:
    """Whether a file in TIFF or MRC holds a single image; False where it cannot be read.

    Parameters
    ----------
    path : Path
        A file of images.

    Returns
    -------
    bool
    """
    try:
        with reading(path):
            return _of_tiff(path) if path.suffix.lower() in _TIFF else _of_mrc(path)
    except InputError:
        return False


def _of_tiff(path: Path) -> bool:
    import tifffile

    # As OME-TIFF it could name other files.
    with tifffile.TiffFile(path, is_ome=False) as file:
        return len(file.series[0].shape) == 2


def _of_mrc(path: Path) -> bool:
    import mrcfile

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with mrcfile.open(path, permissive=True, header_only=True) as file:
            return int(file.header.nz) == 1
