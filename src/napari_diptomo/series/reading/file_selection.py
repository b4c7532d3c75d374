"""Which of the files given, or found in a folder, hold data and which may hold angles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.reading.angles.names import angles_from_names, in_natural_order
from napari_diptomo.series.reading.angles.tables import SUFFIXES as TABLES
from napari_diptomo.series.reading.angles.tables import is_angle_name
from napari_diptomo.series.reading.element_names import PICTURES, element_in, parts_of

#: Formats that hold spectrum images.
SPECTRA = {
    *('.bcf', '.emd', '.hspy', '.zspy', '.hdf5', '.h5', '.dm3', '.dm4'),
    *('.emi', '.ser', '.pts', '.asw', '.rpl', '.spd', '.nxs', '.prz'),
}
#: Formats that hold images or stacks of them.
IMAGES = {'.tif', '.tiff', '.mrc', '.ali', '.st', '.rec', '.mrcs', '.preali'}
#: Levels above or below a folder at which its data or its tables are looked for.
_DEEPEST = 4
_MOST_FOLDERS = 2000
_MOST_NAMED = 5
#: Folders in which published series keep their angles.
_FOLDERS_OF_TABLES = {'metadata', 'meta', 'angles', 'tilt_angles', 'tilts', 'tables'}
#: The file that makes a folder a project of this program (`napari_diptomo.jobs.project`).
_PROJECT = 'project.json'
#: Headers and the data files that go with them: only the header is opened.
_HEADERS = {'.emi': '.ser', '.asw': '.pts'}


@dataclass(frozen=True)
class DataFiles:
    """Files with data in their order, and what lies beside them.

    Attributes
    ----------
    data : tuple of Path
    tables : tuple of Path
        Text files that may hold the angles, likeliest first.
    images : tuple of Path
        Images that are not opened, since there are spectra.
    """

    data: tuple[Path, ...]
    tables: tuple[Path, ...]
    images: tuple[Path, ...] = ()


def find_files(paths: Sequence[str], without: Collection[Path] = ()) -> DataFiles:
    """Sort out a folder, a list of files, or one file.

    Parameters
    ----------
    paths : sequence of str
        What was given.
    without : collection of Path
        Files in the folders that are known to be no data.

    Returns
    -------
    DataFiles

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
        inside = _data_in(folder)
        listed += in_natural_order([path for path in inside or _data_below(folder) if path not in without])
    data = _of_one_kind(listed)
    if not data:
        where = folders[0] if folders else given[0]
        raise InputError(f'No spectra and no maps were found in {where.name}; choose the folder that holds the files.')
    own_tables = [path for path in files if path.suffix.lower() in TABLES]
    left = [
        path for path in _unique(listed) if path not in data and (path.suffix.lower() in IMAGES or _is_picture(path))
    ]
    return DataFiles(tuple(data), tuple(_unique(own_tables + _tables_near(data))), tuple(left))


def _is_folder(path: Path) -> bool:
    return path.suffix.lower() != '.zspy' and path.is_dir()


def _data_in(folder: Path) -> list[Path]:
    return [path for path in _listing(folder) if path.suffix.lower() in SPECTRA | IMAGES]


def _listing(folder: Path) -> list[Path]:
    """The contents of a folder that are not hidden, in the order of the names; nothing where it has gone or is closed."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith('.'))
    except OSError:
        return []


def _data_below(folder: Path) -> list[Path]:
    """The data of the one folder below that holds some, or of folders that hold one stack each, named by its element.

    Raises
    ------
    InputError
        Several folders hold data of their own, or there are too many to look into.
    """
    level, found, looked = [folder], [], 0
    for _ in range(_DEEPEST):
        level = [below for above in level for below in _listing(above) if _is_folder(below) and not below.is_symlink()]
        looked += len(level)
        if looked > _MOST_FOLDERS:
            raise InputError(f'{folder.name} holds more than {_MOST_FOLDERS} folders; choose the one with the data.')
        # A project is what was made of a series.
        level = [below for below in level if not (below / _PROJECT).is_file()]
        found = [(below, data) for below in level if (data := _of_one_kind(_data_in(below)))]
        if found:
            break
    if len(found) > 1 and not (_named_by_elements(found) or _named_by_tilts(found)):
        names = ', '.join(below.name for below, _ in found[:_MOST_NAMED]) + (
            ', ...' if len(found) > _MOST_NAMED else ''
        )
        raise InputError(f'{folder.name} holds data in {len(found)} folders ({names}); choose one of them.')
    return [path for _, data in found for path in data]


def _named_by_elements(found: list[tuple[Path, list[Path]]]) -> bool:
    """Whether each folder is of one element: one stack, or an image of each tilt."""
    counts = {len(data) for _, data in found}
    # Folders of many spectra are series of specimens called so.
    alike = counts == {1} or (len(counts) == 1 and _are_images(found))
    return alike and all(element_in(parts_of(below.name)) for below, _ in found)


def _named_by_tilts(found: list[tuple[Path, list[Path]]]) -> bool:
    """Whether each folder is of one tilt: the same files in all, and an angle in the name of each."""
    names = {tuple(path.name for path in data) for _, data in found}
    single = all(len(data) == 1 for _, data in found)
    of_elements = _are_images(found) and all(element_in(parts_of(path.stem)) for _, data in found for path in data)
    return len(names) == 1 and (single or of_elements) and angles_from_names([data[0] for _, data in found]) is not None


def _are_images(found: list[tuple[Path, list[Path]]]) -> bool:
    return all(path.suffix.lower() in IMAGES for _, data in found for path in data)


def _of_one_kind(files: list[Path]) -> list[Path]:
    """Spectra where there are any: images next to them are their pictures."""
    suffixes = {path.suffix.lower() for path in files}
    dropped = {body for header, body in _HEADERS.items() if header in suffixes}
    if suffixes & SPECTRA:
        dropped |= IMAGES
    return _without_pictures([path for path in _unique(files) if path.suffix.lower() not in dropped])


def _without_pictures(files: list[Path]) -> list[Path]:
    """Spectra without the images of a dark field that have files of their own beside them, in the same format."""
    spectra = [path for path in files if not _is_picture(path)]
    # Beside maps of elements they are what these are aligned by.
    maps = any(element_in(parts_of(path.stem)) for path in spectra)
    return files if not spectra or maps or any(path.suffix.lower() in IMAGES for path in files) else spectra


def _is_picture(path: Path) -> bool:
    return any(part.casefold() in PICTURES for part in parts_of(path.stem))


def _tables_near(data: list[Path]) -> list[Path]:
    folders = _unique([path.parent for path in data])
    found = _tables_in(folders)
    # A series published as folders keeps its angles in one of its own, beside that of the data or above it.
    above = folders
    for _ in range(_DEEPEST):
        above = _unique([folder.parent for folder in above if folder.parent != folder])
        beside = [
            path
            for folder in above
            for path in _listing(folder)
            if path.name.casefold() in _FOLDERS_OF_TABLES and path.is_dir()
        ]
        of_angles = [
            path for path in _tables_in(beside) if is_angle_name(path) or path.parent.parent in _parents(folders)
        ]
        found += of_angles
        if any(is_angle_name(path) for path in found):
            break
    stems = {path.stem for path in data}
    return sorted(found, key=lambda path: (path.stem not in stems, not is_angle_name(path)))


def _parents(folders: list[Path]) -> set[Path]:
    return {folder.parent for folder in folders}


def _tables_in(folders: list[Path]) -> list[Path]:
    return [path for folder in folders for path in _listing(folder) if path.suffix.lower() in TABLES and path.is_file()]


def _unique(paths: list[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))
