"""Finding the shifts of the images and the tilt axis; the counts are never moved."""

from napari_diptomo.align.align import Align
from napari_diptomo.align.second_axis import SecondAxis
from napari_diptomo.align.shift_files import ImportedShifts, check_shift_file, read_shifts, write_shifts
from napari_diptomo.align.tilt_shifts import TiltShift, tilt_shifts

__all__ = [
    'Align',
    'ImportedShifts',
    'SecondAxis',
    'TiltShift',
    'check_shift_file',
    'read_shifts',
    'tilt_shifts',
    'write_shifts',
]
