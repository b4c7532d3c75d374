"""Which of the files given, or found in a folder, hold data and which may hold angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.angles.names import in_natural_order
from napari_diptomo.series.reading.angles.tables import SUFFIXES as TABLES
from napari_diptomo.series.reading.angles.tables import is_angle_name

#: Formats that hold spectrum images.
SPECTRA = {
    *('.bcf', '.emd', '.hspy', '.zspy', '.hdf5', '.h5', '.dm3', '.dm4'),
    *('.emi', '.ser', '.pts', '.asw', '.rpl', '.spd', '.nxs', '.prz'),
}
#: Formats that hold images or stacks of them.
IMAGES = {'.tif', '.tiff', '.mrc', '.ali', '.st', '.rec', '.mrcs', '.preali'}
#: Headers and the data files that go with them: only the header is opened.
_HEADERS = {'.emi': '.ser', '.asw': '.pts'}


@dataclass(frozen=True)
class DataFiles:
    """Files with data in their order, and text files that may hold the angles, likeliest first."""

    data: tuple[Path, ...]
    tables: tuple[Path, ...]


def find_files(paths: Sequence[str]) -> DataFiles:
    """Sort out a folder, a list of files, or one file.

    Raises
    ------
    InputError
        A path does not exist, or nothing there is data.
    """
    if not paths:
        raise InputError('No file was given; choose a folder or the files of a tilt series.')
    given = [Path(path) for path in paths]
    for path in given:
        if not path.exists():
            raise InputError(f'There is no file or folder {path}; check the path.')
    folders = [path for path in given if _is_folder(path)]
    files = [path for path in given if not _is_folder(path)]
    listed = [path for path in files if path.suffix.lower() not in TABLES]
    for folder in folders:
        inside = [p for p in folder.iterdir() if not p.name.startswith('.') and p.suffix.lower() in SPECTRA | IMAGES]
        listed += in_natural_order(inside)
    data = _of_one_kind(listed)
    if not data:
        where = folders[0] if folders else given[0]
        raise InputError(f'No spectra and no maps were found in {where.name}; choose the folder that holds the files.')
    own_tables = [path for path in files if path.suffix.lower() in TABLES]
    return DataFiles(tuple(data), tuple(_unique(own_tables + _tables_near(data))))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and path.suffix.lower() != '.zspy'


def _of_one_kind(files: list[Path]) -> list[Path]:
    """Spectra where there are any: images next to them are their pictures."""
    suffixes = {path.suffix.lower() for path in files}
    dropped = {body for header, body in _HEADERS.items() if header in suffixes}
    if suffixes & SPECTRA:
        dropped |= IMAGES
    return [path for path in _unique(files) if path.suffix.lower() not in dropped]


def _tables_near(data: list[Path]) -> list[Path]:
    folders = _unique([path.parent for path in data])
    # A stack published as folders keeps its angles in metadata/ beside that of the images.
    folders += [folder.parent / 'metadata' for folder in folders if (folder.parent / 'metadata').is_dir()]
    found = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in TABLES and path.is_file()
    ]
    stems = {path.stem for path in data}
    return sorted(found, key=lambda path: (path.stem not in stems, not is_angle_name(path)))


def _unique(paths: list[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))
