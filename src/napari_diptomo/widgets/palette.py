"""Commands of napari's palette that need files or layers: they ask for them."""

from __future__ import annotations

from typing import Any

from napari import current_viewer
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_diptomo.widgets.file_drops import hand_over
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.notifications import say_error
from napari_diptomo.widgets.open_dock import open_dock

_FORMATS = 'HyperSpy (*.hspy);;OME-Zarr, a folder (*.ome.zarr);;MRC (*.mrc);;TIFF of ImageJ (*.tif);;VTK (*.vti)'


def choose_and_open() -> None:
    """Ask for files and give them to the dock, which is opened where it is not."""
    viewer = current_viewer()
    if viewer is None:
        return
    paths, _ = QFileDialog.getOpenFileNames(QApplication.activeWindow(), 'Open a tilt series, maps or a volume')
    if paths:
        open_dock(viewer)
        hand_over(paths)


def choose_and_save() -> tuple[str, list[Any]] | None:
    """The selected layers of ours and where they shall be written; None when the user thinks better of it."""
    viewer = current_viewer()
    if viewer is None:
        return None
    layers = [layer for layer in viewer.layers if layer in viewer.layers.selection and KEY in layer.metadata]
    if not layers:
        say_error('Select the layers of one volume, or of one series of maps, in the layer list first.')
        return None
    path, _ = QFileDialog.getSaveFileName(QApplication.activeWindow(), 'Save the selected layers', '', _FORMATS)
    return (path, [layer.as_layer_data_tuple() for layer in layers]) if path else None
