"""Other data are seen at once, and nothing that is shown is about the earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch  # noqa: F401 -- the estimate of the memory would import it in the midst of another test's set-up
from napari.components import ViewerModel

from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import MapSeries, Recipe, Volume
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.tasks.opening import look_over
from napari_diptomo.widgets.tasks.task import Outcome

Settled = Callable[..., None]


@pytest.fixture
def small(maps: MapSeries) -> MapSeries:
    """A thirtieth of the size, other tilts."""
    part = maps.data[:, 1:5, 4:12, 4:12].copy()
    return MapSeries(part, maps.angles[1:5] + 3.0, maps.channels, pixel_size=maps.pixel_size / 15)


def seen_first(viewer: ViewerModel) -> tuple[Any, ...]:
    camera = viewer.scene.camera
    return viewer.dims.ndisplay, camera.zoom, camera.center, viewer.dims.point, viewer.canvas.overlays.text.text


@pytest.mark.parametrize('foreign', [False, True])
def test_smaller_maps_fill_the_canvas_as_in_a_new_viewer(
    dock: TomographyDock, viewer: ViewerModel, maps: MapSeries, small: MapSeries, foreign: bool
) -> None:
    fresh = TomographyDock(ViewerModel(), dock.context.last_used)
    fresh.open_page.done(look_over(small))
    wanted = seen_first(fresh.viewer)
    assert wanted[-1] == 'tilt 3°'
    fresh.cleanup()

    if foreign:
        viewer.add_image(np.zeros((50, 50, 50)), scale=(100.0,) * 3, units=('nm',) * 3, visible=False)
    dock.open_page.done(look_over(maps))
    dock.runs.begin(maps, 'SIRT')
    dock.runs.end(Outcome('SIRT', Volume(np.ones((2, 16, 16, 16)), ('Ge', 'Te'), 2.0)))
    viewer.dims.set_point(1, 14.0)
    dock.open_page.done(look_over(small))
    ndisplay, zoom, center, point, text = seen_first(viewer)
    assert ndisplay == 2
    assert zoom == pytest.approx(wanted[1])
    assert center == pytest.approx(wanted[2])
    assert viewer.layers['Ge maps'].extent.world[0][1] - 1 < point[1] < viewer.layers['Ge maps'].extent.world[1][1] + 1
    assert text == 'tilt 3°'
    sliced = viewer.layers['Ge maps']._slice.image.raw
    assert np.array_equal(np.squeeze(sliced), small.data[0, 2]), 'the plane of the maps, and not one beside it'


def test_the_volume_of_smaller_maps_fills_the_canvas(
    dock: TomographyDock, viewer: ViewerModel, maps: MapSeries, small: MapSeries
) -> None:
    def reconstruct(shown: TomographyDock, data: MapSeries) -> float:
        shown.open_page.done(look_over(data))
        size = data.data.shape[-1]
        shown.runs.begin(data, 'SIRT')
        shown.runs.end(Outcome('SIRT', Volume(np.ones((2, size, size, size)), ('Ge', 'Te'), data.pixel_size)))
        return float(shown.viewer.scene.camera.zoom)

    fresh = TomographyDock(ViewerModel(), dock.context.last_used)
    alone = reconstruct(fresh, small)
    fresh.cleanup()
    assert reconstruct(dock, maps) < alone / 10
    assert reconstruct(dock, small) == pytest.approx(alone, rel=0.2)


def test_what_was_said_of_the_earlier_data_is_gone(
    dock: TomographyDock, viewer: ViewerModel, maps: MapSeries, small: MapSeries, settled: Settled, qtbot: Any
) -> None:
    dock.open_page.done(look_over(maps))
    dock.align_page.done(replace(maps, shifts=np.ones((7, 2))))
    volume = Volume(
        np.ones((2, 16, 16, 16)),
        ('Ge', 'Te'),
        2.0,
        scores={'iteration': [1.0, 2.0], 'validation': [1.0, 0.9], 'data': [1.0, 0.9]},
        notes={'lines': {'Ge': 'Ge_K', 'Te': 'Te_L'}, 'tilts': 7, 'max_tilt': [-30.0, 30.0]},
        recipe=Recipe().then(SIRT()),
    )
    dock.reconstruct_page.done(volume)
    dock.stages.go_to(dock.composition_page)
    page = dock.composition_page
    qtbot.waitUntil(lambda: bool(page.factors_note.text()) and not page._asker.busy, timeout=60_000)
    dock.run_bar.run_button.click()
    settled(dock)
    assert page.result_box.isVisibleTo(page)

    dock.open_page.done(look_over(small))
    assert not page.result_box.isVisibleTo(page)
    assert dock.session.composition is None
    assert not dock.align_page.plot.isVisibleTo(dock.align_page)
    assert not dock.reconstruct_page.convergence.isVisibleTo(dock.reconstruct_page)
    assert dock.reconstruct_page.note.text() == ''
