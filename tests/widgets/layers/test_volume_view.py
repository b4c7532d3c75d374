"""The layers of a run: previews, contrast, deletion, undo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_diptomo.series import MapSeries, Recipe, Volume
from napari_diptomo.widgets.layers.image_layers import KEY, contrast_limits
from napari_diptomo.widgets.tasks.task import Outcome
from napari_diptomo.widgets.volume_runs import VolumeRuns


def frame(seed: int = 0, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).random((2, size, size, size)).astype(np.float32)


@pytest.fixture
def runs(viewer: ViewerModel, maps: MapSeries) -> VolumeRuns:
    runs = VolumeRuns(viewer)
    runs.begin(maps, 'SIRT')
    return runs


def test_the_first_preview_makes_a_layer_per_element(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.show(frame())
    assert [layer.name for layer in viewer.layers] == ['Ge (SIRT)', 'Te (SIRT)']
    assert all(layer.blending == 'additive' for layer in viewer.layers)
    assert tuple(viewer.layers[0].scale) == (2.0, 2.0, 2.0)
    assert viewer.layers[0].colormap.name != viewer.layers[1].colormap.name
    assert viewer.dims.ndisplay == 3
    assert viewer.canvas.overlays.scale_bar.visible


def test_later_previews_keep_the_view_of_the_user(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.show(frame(0))
    viewer.dims.ndisplay = 2
    viewer.layers[0].visible = False
    runs.show(frame(1))
    assert viewer.dims.ndisplay == 2
    assert not viewer.layers[0].visible
    assert np.array_equal(viewer.layers[1].data, frame(1)[1])


def test_a_deleted_layer_stays_deleted(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.show(frame(0))
    viewer.layers.remove('Ge (SIRT)')
    runs.show(frame(1))
    assert [layer.name for layer in viewer.layers] == ['Te (SIRT)']
    runs.end(Outcome('SIRT', Volume(frame(2), ('Ge', 'Te'), 2.0)))
    assert np.array_equal(viewer.layers[0].data, frame(2)[1])


def test_contrast_follows_until_the_user_takes_over(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.show(frame(0))
    ge, te = viewer.layers
    ge.contrast_limits = (0.0, 0.125)
    runs.show(1000 * frame(1))
    assert tuple(ge.contrast_limits) == (0.0, 0.125)
    assert te.contrast_limits == pytest.approx(contrast_limits(1000 * frame(1)[1]))
    assert te.contrast_limits_range[1] >= te.contrast_limits[1]


def test_the_result_carries_the_record(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.show(frame(0))
    assert viewer.layers[0].metadata[KEY]['kind'] == 'preview'
    runs.end(Outcome('SIRT', Volume(frame(1), ('Ge', 'Te'), 2.0, notes={'device': 'CPU'}, recipe=Recipe())))
    record = viewer.layers[1].metadata[KEY]
    assert (record['kind'], record['channel'], record['notes']) == ('volume', 'Te', {'device': 'CPU'})
    assert Recipe.from_json(record['recipe']) == Recipe()


def test_a_run_that_ends_before_any_preview_is_shown(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.end(Outcome('SIRT', Volume(frame(1), ('Ge', 'Te'), 2.0)))
    assert len(viewer.layers) == 2


def test_binned_previews_fill_the_same_place(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.show(frame(0, size=8))
    small = np.add(viewer.layers[0].extent.world, [[-2.0] * 3, [2.0] * 3])
    runs.end(Outcome('SIRT', Volume(frame(1), ('Ge', 'Te'), 2.0)))
    full = np.add(viewer.layers[0].extent.world, [[-1.0] * 3, [1.0] * 3])
    assert small == pytest.approx(full)
    assert viewer.layers[0].data.shape == (16, 16, 16)


def test_a_transposed_series_is_shown_as_recorded(viewer: ViewerModel, maps: MapSeries) -> None:
    runs = VolumeRuns(viewer)
    runs.begin(replace(maps, transposed=True), 'SIRT')
    runs.show(frame(0))
    assert np.array_equal(viewer.layers[0].data, frame(0)[0].swapaxes(1, 2))


def test_a_cancelled_run_leaves_nothing(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.show(frame(0))
    runs.end(Outcome('SIRT'))
    assert len(viewer.layers) == 0


def test_a_broken_run_leaves_its_last_preview(runs: VolumeRuns, viewer: ViewerModel) -> None:
    runs.show(frame(0))
    runs.end(Outcome('SIRT', error='It broke; run again.'))
    assert len(viewer.layers) == 2


def test_discard_undoes_the_last_run_only(runs: VolumeRuns, viewer: ViewerModel, maps: MapSeries) -> None:
    runs.show(frame(0))
    first = list(viewer.layers)
    runs.begin(maps, 'SIRT')
    runs.show(frame(1))
    assert not first[0].visible, 'the earlier run would shine through'
    runs.discard()
    assert list(viewer.layers) == first


def test_the_spread_of_an_ensemble_is_there_on_request_and_goes_with_its_run(
    runs: VolumeRuns, viewer: ViewerModel
) -> None:
    spread = 0.1 * frame(3)
    runs.show(frame(0))
    runs.end(Outcome('SIRT', Volume(frame(1), ('Ge', 'Te'), 2.0, std=spread)))
    assert [layer.name for layer in viewer.layers] == ['Ge (SIRT)', 'Te (SIRT)', 'Ge ± std', 'Te ± std']
    body, layer = viewer.layers[1], viewer.layers[3]
    assert not layer.visible
    assert np.array_equal(layer.data, spread[1])
    assert layer.colormap.name not in {other.colormap.name for other in viewer.layers[:2]}
    assert layer.metadata[KEY]['kind'] == 'spread'
    assert layer.extent.world == pytest.approx(body.extent.world)
    runs.discard()
    assert len(viewer.layers) == 0


def test_the_spread_of_a_transposed_series_is_shown_as_recorded(viewer: ViewerModel, maps: MapSeries) -> None:
    runs = VolumeRuns(viewer)
    runs.begin(replace(maps, transposed=True), 'SIRT')
    runs.end(Outcome('SIRT', Volume(frame(0), ('Ge', 'Te'), 2.0, std=frame(1), transposed=True)))
    assert np.array_equal(viewer.layers[2].data, frame(1)[0].swapaxes(1, 2))
