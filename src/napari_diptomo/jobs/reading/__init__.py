"""Reading files of strangers in a process of its own: `isolated` asks, `reader` is the process."""

from napari_diptomo.jobs.reading.isolated import (
    load_isolated,
    open_isolated,
    pictures_isolated,
    saved_kind_isolated,
    warm_up,
)
from napari_diptomo.jobs.reading.reader_connection import ReadingFailed

__all__ = [
    'ReadingFailed',
    'load_isolated',
    'open_isolated',
    'pictures_isolated',
    'saved_kind_isolated',
    'warm_up',
]
