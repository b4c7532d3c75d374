"""X-rays in files of Velox: a stream of events, pixel by pixel and frame by frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.stored_signal import Frames

#: In the stream: on to the next pixel.
_NEXT_PIXEL = 65535
#: Part of the pixels of a frame that may be missing at its end.
_MISSING = 0.02


def frame_options(path: Path, frames: Frames) -> dict[str, Any]:
    """The options of RosettaSciIO for the frames that are to be summed.

    Raises
    ------
    InputError
        The file keeps no frames, or not these.
    """
    number = frames_in(path)
    if number is None:
        raise InputError(
            f'{path.name} keeps no frames, as spectrum images of Velox do; leave the choice of frames empty.'
        )
    first, last = frames[0], number if frames[1] is None else frames[1]
    if not 0 <= first < last <= number:
        raise InputError(
            f'{path.name} has {number} {"frame" if number == 1 else "frames"}, of which {first} to {last} were asked for; '
            'count from 0, and end after the last at most.'
        )
    return {'first_frame': first, 'last_frame': last}


def frames_in(path: Path) -> int | None:
    """How many frames the spectrum images in a file have; None where it is no file of Velox with any.

    Parameters
    ----------
    path : Path

    Returns
    -------
    int or None
        As the settings of the first spectrum image say, else the rows of the table of where each frame begins.
    """
    import h5py

    if path.suffix.lower() != '.emd':
        return None
    with reading(path), h5py.File(path) as file:
        tables = [stream['FrameLocationTable'] for stream in _groups(file, 'SpectrumStream', 'FrameLocationTable')]
        if not tables:
            return None
        for image in _groups(file, 'SpectrumImage', 'SpectrumImageSettings'):
            try:
                return int(json.loads(image['SpectrumImageSettings'][0])['endFramePosition'])
            except (ValueError, TypeError, KeyError):
                continue
        return max(len(table) for table in tables)


def unfinished(path: Path, shape: tuple[int, ...]) -> str:
    """A sentence where the first frame has other pixels than the image (y, x); '' where it has them, or none knows.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Of the image as its reader gives it.
    """
    import h5py

    if path.suffix.lower() != '.emd' or len(shape) != 2:
        return ''
    with reading(path), h5py.File(path) as file:
        streams = _groups(file, 'SpectrumStream', 'FrameLocationTable', 'Data')
        if not streams:
            return ''
        starts = np.ravel(streams[0]['FrameLocationTable'][()]).astype(np.int64)
        events = streams[0]['Data'][: int(starts[1]) if len(starts) > 1 else None]
    scanned, pixels = int(np.count_nonzero(np.ravel(events) == _NEXT_PIXEL)), shape[0] * shape[1]
    if scanned >= (1 - _MISSING) * pixels:
        return ''
    return (
        f'The first frame of the X-rays has {scanned + 1} pixels, where the scan is said to have {shape[1]} x {shape[0]}: it '
        'was stopped early, or is of another scan, and most of the map is empty.'
    )


def _groups(file: Any, name: str, *datasets: str) -> list[Any]:
    """The groups under ``Data/name`` that have these datasets."""
    import h5py

    found = file.get(f'Data/{name}')
    if not isinstance(found, h5py.Group):
        return []
    return [
        group
        for group in found.values()
        if isinstance(group, h5py.Group) and all(isinstance(group.get(one), h5py.Dataset) for one in datasets)
    ]
