"""Files dropped on the dock, and files that napari's reader has put into the viewer."""

from __future__ import annotations

import weakref
from typing import Any

from napari.components import ViewerModel
from qtpy.compat import isalive
from qtpy.QtCore import QMimeData, QObject, QTimer, Signal

from napari_diptomo.widgets.layers.image_layers import KEY

#: napari reads dropped files one by one; a pause this long means that was all.
_PAUSE_MS = 400


def paths_of(mime: QMimeData) -> list[str]:
    """The local files among what is dragged."""
    return [url.toLocalFile() for url in mime.urls() if url.isLocalFile()] if mime.hasUrls() else []


_docks: weakref.WeakSet[Dropped] = weakref.WeakSet()


def hand_over(paths: list[str]) -> bool:
    """Give files that napari was asked to read to the dock that is open; False when there is none."""
    # With its viewer a dock goes without a farewell: only its C++ half is gone.
    alive = [dropped for dropped in _docks if isalive(dropped)]
    if alive:
        alive[0].add(paths)
    return bool(alive)


class Dropped(QObject):
    """Collects what the reader was asked to read, and what it put into the viewer before the dock was there.

    Signals
    -------
    files(list of str)
        Paths, some time after the last of them came.
    maps(MapSeries)
        Ready maps that are in memory already.
    volumes
        Layers of a volume have come into the viewer, by the reader or by a run.
    """

    files = Signal(list)
    maps = Signal(object)
    volumes = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._paths: list[str] = []
        self._layers: list[Any] = []
        self._new_volume = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self._take)
        viewer.layers.events.inserted.connect(self._inserted)
        _docks.add(self)

    def look(self) -> None:
        """Take over what is in the viewer already."""
        for layer in self._viewer.layers:
            self._note(layer)

    def add(self, paths: list[str]) -> None:
        """These files were dropped."""
        self._paths.extend(paths)
        self._timer.start()

    def cleanup(self) -> None:
        """Let go of the viewer."""
        _docks.discard(self)
        self._timer.stop()
        self._viewer.layers.events.inserted.disconnect(self._inserted)

    def _inserted(self, event: Any) -> None:
        self._note(event.value)

    def _note(self, layer: Any) -> None:
        if layer.metadata.get(KEY, {}).get('dropped'):
            self._layers.append(layer)
            self._timer.start()
        elif layer.metadata.get(KEY, {}).get('kind') == 'volume':
            self._new_volume = True
            self._timer.start()

    def _take(self) -> None:
        paths, layers = self._paths, self._layers
        self._paths, self._layers = [], []
        records = [layer.metadata[KEY] for layer in layers]
        ready = next((record['maps'] for record in records if 'maps' in record), None)
        paths += [path for record in records if 'maps' not in record for path in record['source']]
        # The dock shows them anew, sorted and with their angles.
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        if self._new_volume:
            self._new_volume = False
            self.volumes.emit()
        if paths:
            self.files.emit(list(dict.fromkeys(paths)))
        elif ready is not None:
            self.maps.emit(ready)
