"""Files that are not there as a whole are refused before a reader trusts their headers."""

from __future__ import annotations

import struct
from pathlib import Path

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.plain_reader import READERS

#: Kind of number in an MRC file -> bytes; 101 packs two in one.
_MRC_BYTES = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 6: 2, 12: 2, 16: 3, 101: 0.5}


def check_complete(path: Path) -> None:
    """Refuse files that are cut off, or say that they are larger, where their readers do not.

    The compiled reader of Bruker files would end the whole process; that of MRC plans an image for every one named.

    Raises
    ------
    InputError
        Not there, empty, or shorter than its header says.
    """
    if not path.exists():
        raise InputError(f'There is no file {path}; check the path.')
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f'{path.name} is empty; copy it again or leave it out.')
    expected_size = {'Bruker': _size_of_bcf, 'MRC': _size_of_mrc}.get(READERS.get(path.suffix.lower(), ''))
    if expected_size is None or path.suffix.lower() == '.spx' or not path.is_file():
        return
    with reading(path), path.open('rb') as file:
        expected = expected_size(file.read(1024))
    if expected is None or path.stat().st_size < expected:
        raise InputError(f'{path.name} is cut off or damaged; copy it again or leave it out.')


def _size_of_bcf(header: bytes) -> int | None:
    """Bytes of a .bcf, a container of equal chunks: their size is at byte 0x128, their number at 0x148."""
    if header[:8] != b'AAMVHFSS' or len(header) < 0x150:
        return None
    (chunk_size,) = struct.unpack_from('<I', header, 0x128)
    (chunks,) = struct.unpack_from('<I', header, 0x148)
    return 0x118 + chunk_size * chunks


def _size_of_mrc(header: bytes) -> int | None:
    """Bytes of an MRC file at least: columns, rows, sections and the kind of number come first, in either byte order."""
    if len(header) < 1024:
        return None
    sizes = []
    for order in '<>':
        x, y, z, mode = struct.unpack_from(f'{order}4i', header)
        (extended,) = struct.unpack_from(f'{order}i', header, 92)
        if min(x, y, z) > 0 and mode in _MRC_BYTES:
            sizes.append(1024 + max(extended, 0) + int(x * y * z * _MRC_BYTES[mode]))
    return min(sizes, default=None)
