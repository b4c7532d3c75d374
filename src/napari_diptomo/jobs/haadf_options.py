"""The options of the command line about a HAADF series, put in place of what a recipe says of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_diptomo.series import InputError, Source
from napari_diptomo.series.haadf_orientation import ORIENTATIONS

#: The option that gives each field of a source.
OPTIONS = {
    'haadf': '--haadf',
    'haadf_angles': '--haadf-angles',
    'haadf_pixel_size': '--haadf-pixel-size',
    'haadf_orientation': '--haadf-orientation',
    'own_haadf': '--own-haadf',
}
_NONE: dict[str, Any] = {
    'haadf': (),
    'haadf_angles': None,
    'haadf_pixel_size': None,
    'haadf_orientation': 'as recorded',
    'own_haadf': False,
}


def with_haadf_options(source: Source, given: Mapping[str, Any]) -> Source:
    """A source with what was given about a HAADF series in place of its own.

    Parameters
    ----------
    source : Source
        Of a recipe, or of the files of a command.
    given : mapping
        Fields of a source by their names, those of `OPTIONS` that were given. Other images bring their angles,
        their pixel size and their orientation: those of the source are kept only with its own files.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        A file that does not exist, a pixel size or an orientation that is none, or one of them, or angles, without files.
    """
    if not given:
        return source
    given = dict(given)
    _check_files(given)
    if isinstance(given.get('haadf_angles'), str):
        # A recipe goes to other folders.
        given['haadf_angles'] = str(Path(given['haadf_angles']).absolute())
    size = given.get('haadf_pixel_size')
    if size is not None and not 0 < size < float('inf'):
        raise InputError(
            f'The pixel size of the HAADF series must be a positive length in nm, not {size:g}; correct '
            f'{OPTIONS["haadf_pixel_size"]}.'
        )
    orientation = given.get('haadf_orientation')
    if orientation is not None and orientation not in ORIENTATIONS:
        choices = ', '.join(f'"{one}"' for one in ORIENTATIONS)
        raise InputError(
            f'"{orientation}" is no orientation of a HAADF series; give one of {choices} with {OPTIONS["haadf_orientation"]}.'
        )
    others = _NONE if given.get('haadf') or given.get('own_haadf') else {}
    fields = {**source.model_dump(), **others, **given}
    if not fields['haadf']:
        alone = next((option for name, option in OPTIONS.items() if name in given and name != 'own_haadf'), None)
        if alone is not None:
            raise InputError(
                f'{alone} was given, and there are no files of a HAADF series that it could be of; name them with '
                f'{OPTIONS["haadf"]}.'
            )
    return Source(**fields)


def _check_files(given: Mapping[str, Any]) -> None:
    """Refuse files that do not exist: a recipe is not to be blamed for them."""
    for path in given.get('haadf', ()):
        if not Path(path).exists():
            raise InputError(f'There is no file or folder {path}; correct {OPTIONS["haadf"]}.')
    table = given.get('haadf_angles')
    if isinstance(table, str) and not Path(table).exists():
        raise InputError(
            f'"{table}" is neither a list of angles in degrees nor a table that exists; correct {OPTIONS["haadf_angles"]}.'
        )
