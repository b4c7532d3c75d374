"""Stacks of images in MRC files, through mrcfile: numbers, byte order and signs as the header says.

Whole numbers of one byte (mode 0) are signed in MRC2014 and were not before. IMOD says it in its flags, and its signed
bytes are those of 0 to 255 less 128 (https://bio3d.colorado.edu/imod/doc/mrc_format.txt).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.memory import check_fits
from napari_diptomo.series.reading.library_errors import reading
from napari_diptomo.series.reading.stored_signal import StoredAxis, StoredSignal

_IMOD = 1146047817
#: Bit of IMOD's flags: bytes are signed.
_SIGNED = 1
_NUMBERS = {0: 'bytes', 1: 'signed 16 bit', 2: '32-bit floats', 6: 'unsigned 16 bit', 12: '16-bit floats'}
_OTHERS = {3: 'complex numbers', 4: 'complex numbers', 16: 'colours', 101: 'numbers of 4 bit'}
#: FEI's older extended header: 128 bytes for each of 1024 images; the tilt in degrees first, the pixel in m twelfth.
_FEI_SIZE, _FEI_IMAGES, _FEI_TILT, _FEI_PIXEL = 131072, 1024, 0, 11
#: Pixels of exactly 1 angstrom along all axes are what programs write that do not know.
_UNKNOWN = 1.0
_DOUBT = (
    'The header does not say whether the bytes are signed, and they were read as 0 to 255; '
    'if bright pixels come out dark, save the file anew as 16 bit.'
)


def open_signals(path: Path) -> tuple[StoredSignal, ...]:
    """Describe the images of a file as (tilt, y, x), or as (y, x) where it holds one.

    Raises
    ------
    InputError
        The numbers are none that an image is made of, or the file is cut off.
    """
    with _open(path) as file:
        sizes, tilts = _extended(path, file)
        _, doubts = _bytes(file)
        data = _data(path, file)
        # Volumes have a z, of which a stack makes the tilt.
        names = ('z', 'y', 'x')[-data.ndim :]
        origin = _origin(file)
        axes = tuple(_axis(name, size, sizes, origin[name]) for name, size in zip(names, data.shape, strict=True))
        metadata: dict[str, Any] = {'General': {}}
        if tilts is not None:
            metadata['Acquisition_instrument'] = {'TEM': {'Stage': {'tilt_alpha': tilts}}}
        doubtful = doubts and bool((data.view(np.int8) < 0).any())
        doubts = (*(doubts if doubtful else ()), *_turned(file))
        return (StoredSignal(path, 0, '', axes, False, data.dtype, metadata, doubts=doubts),)


def read(signal: StoredSignal, position: int | None, axis: int) -> np.ndarray:
    """The images of a signal, or one position along one of its axes.

    Raises
    ------
    InputError
        The file has changed, or there is no memory for it.
    """
    path = signal.path
    with _open(path) as file:
        data = _data(path, file)
        if data.shape != signal.shape:
            raise InputError(f'{path.name} has changed since it was opened; open the tilt series again.')
        shift, _ = _bytes(file)
        if position is not None:
            data = data[(slice(None),) * axis + (position,)]
        wide = np.dtype(np.int16) if shift else data.dtype.newbyteorder('=')
        check_fits(data.size * wide.itemsize, f'Reading {path.name}', 'close other programs or use a machine with more')
        with reading(path):
            return np.array(data, wide) + wide.type(shift) if shift else np.array(data, wide)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    import mrcfile

    # It warns of what is checked here: a wrong stamp, sizes that do not fit.
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with reading(path):
            with mrcfile.open(path, mode='r', permissive=True, header_only=True) as file:
                mode = int(file.header.mode)
            if mode not in _NUMBERS:
                what = _OTHERS.get(mode, f'numbers of an unknown kind (mode {mode})')
                raise InputError(f'{path.name} holds {what} in place of plain numbers; save it anew as numbers.')
            opened = mrcfile.mmap(path, mode='r', permissive=True)
        try:
            yield opened
        finally:
            opened.close()


def _data(path: Path, file: Any) -> np.ndarray:
    data = file.data
    if data is None or data.ndim not in (2, 3, 4) or not data.size:
        raise InputError(f'{path.name} is cut off or damaged; copy it again or leave it out.')
    if data.ndim == 4:
        raise InputError(f'{path.name} is a stack of volumes; a stack of maps has the axes (tilt, y, x).')
    data = data[0] if data.ndim == 3 and len(data) == 1 else data
    return data.view(np.uint8) if data.dtype == np.int8 and _sign(file) == 'unsigned' else data


def _sign(file: Any) -> str:
    """How the bytes of mode 0 are meant: 'unsigned', 'signed', or 'IMOD': less 128."""
    header = file.header
    if int(header.mode) != 0:
        return 'signed'
    stamp, flags = _imod(header)
    if stamp == _IMOD:
        return 'IMOD' if flags & _SIGNED else 'unsigned'
    least, most = float(header.dmin), float(header.dmax)
    if least <= most and most > 127:
        return 'unsigned'
    if int(header.nversion) >= 20140 or (least < 0 and least <= most):
        return 'signed'
    return 'unsigned'


def _bytes(file: Any) -> tuple[int, tuple[str, ...]]:
    """Number to add to bytes, and a sentence where the header does not say how they are meant."""
    header = file.header
    if int(header.mode) != 0:
        return 0, ()
    sign = _sign(file)
    least, most = float(header.dmin), float(header.dmax)
    said = _imod(header)[0] == _IMOD or int(header.nversion) >= 20140 or (least < most and (least < 0 or most > 127))
    return 128 if sign == 'IMOD' else 0, () if said else (_DOUBT,)


def _turned(file: Any) -> tuple[str, ...]:
    """A sentence where the header says that columns are not along x, rows along y: maps of crystallography may be so."""
    found = [int(file.header[name]) for name in ('mapc', 'mapr', 'maps')]
    if sorted(found) != [1, 2, 3] or found == [1, 2, 3]:
        return ()
    along = ', '.join(
        f'{what} along {"xyz"[axis - 1]}' for what, axis in zip(('columns', 'rows', 'images'), found, strict=True)
    )
    doubt = f'The header has {along}, and the images were opened as they lie in the file; '
    return (f'{doubt}if they lie on their side, choose the tilt axis x.',)


def _imod(header: Any) -> tuple[int, int]:
    """IMOD's stamp and flags, at the bytes 152 and 156 of the header."""
    found = np.frombuffer(
        bytes(header.extra2), dtype=np.dtype('i4').newbyteorder(header.mode.dtype.byteorder), count=12
    )
    return int(found[10]), int(found[11])


def _extended(path: Path, file: Any) -> tuple[dict[str, float], np.ndarray | None]:
    """Pixel sizes in nm by axis, and tilts in degrees, from the extended header where it has them."""
    header, extended = file.header, file.extended_header
    order = header.mode.dtype.byteorder
    cell = {'x': (header.cella.x, header.mx), 'y': (header.cella.y, header.my), 'z': (header.cella.z, header.mz)}
    angstrom = {name: float(length) / int(n) if int(n) > 0 else 0.0 for name, (length, n) in cell.items()}
    known = set(angstrom.values()) != {_UNKNOWN}
    sizes = {
        name: angstrom[name] / 10 for name in 'zyx' if known and np.isfinite(angstrom[name]) and angstrom[name] > 0
    }
    kind, count = bytes(header.exttyp), int(header.nz)
    with reading(path):
        content = extended.tobytes() if extended is not None else b''
        if kind in (b'FEI1', b'FEI2'):
            table = file.indexed_extended_header
            if table is not None and len(table) >= count:
                pixels = {n: float(table[f'Pixel size {n.upper()}'][0]) * 1e9 for n in 'yx'}
                if all(np.isfinite(size) and size > 0 for size in pixels.values()):
                    sizes = pixels
                return sizes, np.asarray(table['Alpha tilt'][:count], float)
        elif kind == b'SERI':
            bytes_of, flags = np.frombuffer(bytes(header.extra2)[16:20], np.dtype('i2').newbyteorder(order))
            # SerialEM: hundredths of a degree come first where there are any.
            if flags & 1 and bytes_of >= 2 and len(content) >= bytes_of * count:
                starts = range(0, int(bytes_of) * count, int(bytes_of))
                hundredths = [np.frombuffer(content, np.dtype('i2').newbyteorder(order), 1, at)[0] for at in starts]
                return sizes, np.asarray(hundredths, float) / 100
        elif len(content) == _FEI_SIZE:
            table = np.frombuffer(content, np.dtype('f4').newbyteorder(order)).reshape(_FEI_IMAGES, -1)
            pixel = float(table[0, _FEI_PIXEL]) * 1e9
            if np.isfinite(pixel) and pixel > 0:
                sizes = {'y': pixel, 'x': pixel}
            tilts = table[: min(count, _FEI_IMAGES), _FEI_TILT].astype(float)
            return sizes, tilts if np.isfinite(tilts).all() else None
    return sizes, None


def _origin(file: Any) -> dict[str, float]:
    """Where the first voxel is, in nm; FEI's older headers have other numbers there."""
    known = file.extended_header is None or file.extended_header.nbytes != _FEI_SIZE
    found = {name: float(file.header.origin[name]) / 10 for name in 'zyx'}
    return found if known and all(map(np.isfinite, found.values())) else dict.fromkeys('zyx', 0.0)


def _axis(name: str, size: int, sizes: dict[str, float], origin: float) -> StoredAxis:
    scale = sizes.get(name, 1.0)
    units = 'nm' if name in sizes and name != 'z' else ''
    return StoredAxis(name, units, size, scale, origin, origin + np.arange(size) * scale, bool(units))
