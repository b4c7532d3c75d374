"""The status bar over a volume: all elements of the voxel, in two dimensions, also where x and y are swapped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_diptomo.series import Volume
from napari_diptomo.widgets.dock import TomographyDock


@pytest.mark.parametrize('transposed', [False, True])
def test_the_status_names_all_elements_of_the_voxel(
    dock: TomographyDock, viewer: ViewerModel, transposed: bool, qtbot: Any
) -> None:
    data = np.full((2, 5, 12, 12), 1e-3, np.float32)
    data[0, 1:4, 6:9, 2:5], data[1, 1:4, 6:9, 2:5] = 60, 40
    dock.runs.add(Volume(data, ('Ge', 'Te'), 2.0, transposed=transposed), 'saved', shown=True)
    viewer.dims.ndisplay = 2
    layer = viewer.layers.selection.active or viewer.layers[0]
    # z = 2, y = 7, x = 3 of the volume.
    where = layer.data_to_world((2, 3, 7) if transposed else (2, 7, 3))
    status = layer.get_status(where, view_direction=None, dims_displayed=[1, 2], world=True)
    assert status['coordinates'].endswith('Ge 60.0, Te 40.0 % of the counts')
    assert status['layer_base'] == layer.name
    other = layer.get_status(layer.data_to_world((2, 0, 0)), view_direction=None, dims_displayed=[1, 2], world=True)
    assert other['coordinates'].endswith('no specimen')
    outside = layer.get_status((500.0, 500.0, 500.0), view_direction=None, dims_displayed=[1, 2], world=True)
    assert 'Ge' not in outside['coordinates']
    viewer.dims.ndisplay = 3
    solid = layer.get_status(where, view_direction=np.array([1.0, 0, 0]), dims_displayed=[0, 1, 2], world=True)
    assert 'Ge' not in solid['coordinates']


def test_the_viewer_itself_asks_for_it(dock: TomographyDock, viewer: ViewerModel) -> None:
    data = np.full((2, 5, 12, 12), 1.0, np.float32)
    dock.runs.add(Volume(data, ('Ge', 'Te'), 2.0), 'saved', shown=True)
    viewer.dims.ndisplay = 2
    layer = viewer.layers[0]
    viewer.layers.selection.active = layer
    viewer.mouse_over_canvas = True
    viewer.cursor.position = tuple(layer.data_to_world((2, 5, 5)))
    viewer.update_status_from_cursor()
    assert 'Ge 50.0, Te 50.0' in str(viewer.status)
