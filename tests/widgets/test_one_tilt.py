"""One image in the dock: its maps are made and shown; what needs more tilts is closed, and says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from napari.components import ViewerModel

from napari_diptomo import simulate
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.tasks.opening import look_over
from napari_diptomo.widgets.tasks.task import Outcome

REASON = 'There is one tilt only'


def one_of(maps: MapSeries) -> MapSeries:
    return replace(maps, data=maps.data[:, 2:3], angles=maps.angles[2:3], shifts=maps.shifts[2:3])


def test_maps_of_one_tilt_are_shown_and_align_and_reconstruct_say_why_they_are_closed(
    dock: TomographyDock, viewer: ViewerModel, maps: MapSeries
) -> None:
    dock.open_page.done(look_over(one_of(maps)))
    assert REASON in dock.align_page.closed() and REASON in dock.reconstruct_page.closed()
    assert [button.isEnabled() for button in dock.stages.buttons][2:4] == [False, False]
    assert REASON in dock.stages.buttons[2].toolTip() and REASON in dock.stages.buttons[3].toolTip()
    assert 'Align is closed: there is one tilt only' in dock.stages.why.text()
    np.testing.assert_array_equal(np.squeeze(viewer.layers['Ge maps'].data), one_of(maps).data[0, 0])


def test_more_tilts_open_the_pages_again_and_a_volume_keeps_its_page_open(
    dock: TomographyDock, maps: MapSeries
) -> None:
    dock.open_page.done(look_over(maps))
    dock.runs.begin(maps, 'SIRT')
    dock.runs.end(Outcome('SIRT', Volume(np.ones((2, 16, 16, 16)), ('Ge', 'Te'), 2.0)))
    dock.open_page.done(look_over(one_of(maps)))
    assert dock.reconstruct_page.closed() == '' and REASON in dock.reconstruct_page.obstacle()
    dock.open_page.done(look_over(maps))
    assert dock.align_page.closed() == '' and dock.reconstruct_page.obstacle() == ''


def test_spectra_of_one_tilt_leave_the_maps_open(dock: TomographyDock, viewer: ViewerModel, tmp_path: Path) -> None:
    series = simulate.demo_series().series
    one = replace(series, counts=series.counts[7:8], angles=series.angles[7:8], haadf=None)
    dock.open_page.done(look_over(one))
    assert [button.isEnabled() for button in dock.stages.buttons][:4] == [True, True, False, False]
    assert '1 tilt at' in dock.open_page.opened.text()
