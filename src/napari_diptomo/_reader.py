"""Reader for what is dropped on napari: tilt series, maps, volumes.

The check is cheap: suffixes, and for folders the names inside. What is read is
read in a process of its own, so that no file can end the viewer. Where the dock is open a tilt series goes straight to
it; otherwise its layers remember their files for the dock to take over later.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_diptomo.series import Volume
    from napari_diptomo.widgets.layers.image_layers import LayerTuple

_SUFFIXES = {'.hspy', '.zspy', '.emd', '.bcf', '.dm3', '.dm4', '.mrc', '.ali', '.rpl', '.pts'}
#: What napari takes as "read, but nothing to show".
_NOTHING: list[Any] = [(None,)]
_log = logging.getLogger('napari_diptomo')


def get_reader(path: str | list[str] | None = None) -> Callable[[str | list[str]], list[Any]] | None:
    """The reader for these files or this folder, None where it cannot help.

    From napari's command palette it comes without files, and asks for them.
    """
    if path is None:
        from napari_diptomo.widgets.palette import choose_and_open

        choose_and_open()
        return None
    try:
        paths = [path] if isinstance(path, str) else list(path)
        return read if paths and all(_is_ours(Path(p)) for p in paths) else None
    except (OSError, TypeError, ValueError):
        return None


def read(path: str | list[str]) -> list[Any]:
    """Layers for these files; what cannot be read is said in one notification."""
    from napari_diptomo.series import DiptomoError

    paths = [path] if isinstance(path, str) else list(path)
    try:
        return _read([str(Path(p)) for p in paths])
    except DiptomoError as error:
        from napari_diptomo.widgets.notifications import say_error

        say_error(str(error))
        return _NOTHING


def _is_ours(path: Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return path.exists()
    if path.suffix.lower() == '.json':
        return _for_the_dock(path)
    if path.suffix.lower() == '.zarr':
        return _is_volume_folder(path)
    return path.is_dir() and (
        _for_the_dock(path / 'project.json') or any(child.suffix.lower() in _SUFFIXES for child in path.iterdir())
    )


def _is_volume_folder(path: Path) -> bool:
    """Whether this is the folder of an OME-Zarr image."""
    from napari_diptomo.series.reading.ome_zarr import is_ome_zarr

    return path.is_dir() and is_ome_zarr(path)


def _for_the_dock(path: Path) -> bool:
    """Whether this is a recipe or a project of ours; both say so at their beginning."""
    if not path.is_file():
        return False
    with path.open('rb') as file:
        return b'"napari-diptomo' in file.read(1000)


def _read(paths: list[str]) -> list[Any]:
    from napari_diptomo.jobs.reading import load_isolated, saved_kind_isolated
    from napari_diptomo.series import InputError, Volume
    from napari_diptomo.widgets.layers import image_layers as layers
    from napari_diptomo.widgets.layers.error_layers import spread_layers

    if any(_for_the_dock(path) for name in paths for path in (Path(name), Path(name) / 'project.json')):
        _show_dock()
        if not _hand_to_dock(paths):
            raise InputError(
                f'{Path(paths[0]).name} is opened by the dock: Plugins > Tomography (DIPm-TV tomography), and drop it there.'
            )
        return _NOTHING
    may_be_volume = len(paths) == 1 and Path(paths[0]).suffix.lower() in ('.hspy', '.zarr')
    if may_be_volume and saved_kind_isolated(paths[0]) == 'volume':
        volume = load_isolated(paths[0])
        assert isinstance(volume, Volume)
        _warn_of(volume, paths[0])
        _show_scale_bar()
        return [*layers.volume_layers(volume), *spread_layers(volume)]
    if _hand_to_dock(paths):
        return _NOTHING
    return _series_layers(paths)


def _warn_of(volume: Volume, path: str) -> None:
    """Layers cannot show findings; one that forbids the use of a volume must not go unseen."""
    stops = [finding.sentence for finding in volume.findings if finding.level == 'stop']
    if stops:
        from napari_diptomo.widgets.notifications import say_error

        say_error(f'{Path(path).name} must not be used: {" ".join(stops)}')


def _show_scale_bar() -> None:
    """In the viewer that asked, where there is one."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_diptomo.widgets.layers.first_look import label_canvas

        label_canvas(viewer)


def _show_dock() -> None:
    """Open the dock in the window that was dropped on; without a window nothing happens."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from napari_diptomo.widgets.open_dock import open_dock

        open_dock(viewer)


def _hand_to_dock(paths: list[str]) -> bool:
    # A dock can only be open when this module has been imported; importing it
    # here would load Qt for scripts that only read.
    drops = sys.modules.get('napari_diptomo.widgets.file_drops')
    return drops is not None and drops.hand_over(paths)


def _series_layers(paths: list[str]) -> list[LayerTuple]:
    from napari_diptomo.jobs.reading import ReadingFailed, open_isolated
    from napari_diptomo.series import InputError, MapSeries, Source
    from napari_diptomo.widgets.layers import reader_and_writer as layer_files

    try:
        opened = open_isolated(Source(paths=tuple(paths)))
    except ReadingFailed:
        raise
    except InputError as error:
        if len(paths) > 1 or Path(paths[0]).is_dir():
            raise
        # One tilt of a series, or a picture without angles: worth a look all the same.
        single = _single_file(paths[0])
        if not single:
            raise
        _log.info('%s', error)
        return single
    if isinstance(opened, MapSeries):
        return layer_files.dropped_maps(opened, paths)
    return [layer_files.dropped_counts(opened, paths)]


def _single_file(path: str) -> list[LayerTuple]:
    from napari_diptomo.jobs.reading import pictures_isolated
    from napari_diptomo.widgets.layers import reader_and_writer as layer_files

    return [
        layer_files.picture(shown.data, shown.axes, f'{Path(path).stem} {shown.title}'.strip(), path, shown.spectral)
        for shown in pictures_isolated(path)
    ]
