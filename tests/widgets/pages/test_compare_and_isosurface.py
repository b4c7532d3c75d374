"""Two runs side by side and a surface of constant composition, as a user presses the buttons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_diptomo.assess.at_voxel import percent_of
from napari_diptomo.series import InputError, Volume
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.compared_layers import agreement, check_comparable
from napari_diptomo.widgets.layers.image_layers import KEY


@pytest.fixture
def volume() -> Volume:
    data = np.random.default_rng(0).random((2, 6, 7, 8)).astype(np.float32)
    return Volume(data, ('Ge', 'Te'), 2.0)


@pytest.fixture
def other(volume: Volume) -> Volume:
    return replace(volume, data=volume.data * np.float32(0.5))


def two_runs(dock: TomographyDock, volume: Volume, other: Volume):
    dock.runs.add(other, 'SIRT', shown=True)
    dock.runs.add(volume, 'TV', shown=True)
    dock.stages.go_to(dock.judge_page)
    return dock.judge_page.compare


def test_one_run_has_nothing_to_compare_with(dock: TomographyDock, volume: Volume) -> None:
    dock.runs.add(volume, 'TV', shown=True)
    assert not dock.judge_page.compare.isVisibleTo(dock.judge_page)


@pytest.mark.parametrize('transposed', [False, True])
def test_two_runs_and_their_difference_lie_side_by_side(
    dock: TomographyDock, viewer: ViewerModel, volume: Volume, other: Volume, transposed: bool
) -> None:
    volume, other = replace(volume, transposed=transposed), replace(other, transposed=transposed)
    part = two_runs(dock, volume, other)
    before = [layer.name for layer in viewer.layers if layer.visible]
    part.start.click()
    grid = viewer.canvas.grid
    assert grid.enabled
    columns = [
        {viewer.layers[index].name for index in indices if viewer.layers[index].visible}
        for _, indices in grid.iter_viewboxes(viewer.layers)
    ]
    assert columns == [{'Ge (TV, run 2)', 'Te (TV, run 2)'}, {'Ge (SIRT)', 'Te (SIRT)'}, {'Ge difference'}]
    shown = volume.data[1] - other.data[1]
    expected = shown.swapaxes(-1, -2) if transposed else shown
    np.testing.assert_allclose(viewer.layers['Te difference'].data, expected)
    assert viewer.layers['Te difference'].extent.world.tolist() == viewer.layers['Te (SIRT)'].extent.world.tolist()
    said = part.note.text().replace('\N{NO-BREAK SPACE}', ' ')
    assert 'Ge 1.000, Te 1.000' in said and 'Ge 50 %, Te 50 %' in said
    part.start.click()
    assert not grid.enabled and 'Te difference' not in viewer.layers
    assert [layer.name for layer in viewer.layers if layer.visible] == before


def test_a_comparison_ends_when_another_run_is_chosen_or_one_is_gone(
    dock: TomographyDock, viewer: ViewerModel, volume: Volume, other: Volume
) -> None:
    part = two_runs(dock, volume, other)
    part.start.click()
    dock.runs.choose(next(iter(dock.runs)))
    assert not viewer.canvas.grid.enabled and part.start.text() == 'Side &by side'
    part.start.click()
    dock.runs.discard(list(dock.runs)[1])
    assert not viewer.canvas.grid.enabled
    assert not any(layer.metadata.get(KEY, {}).get('kind') == 'difference' for layer in viewer.layers)


def test_runs_on_other_grids_are_one_sentence(
    dock: TomographyDock, volume: Volume, viewer: ViewerModel, reported: list[str]
) -> None:
    part = two_runs(dock, volume, Volume(volume.data[:, :, :, :5], volume.channels, 2.0))
    part.start.click()
    assert reported == [
        'The runs have 8 x 7 x 6 and 5 x 7 x 6 voxels (x, y, z); compare runs of the same binning and thickness.'
    ]
    assert not viewer.canvas.grid.enabled
    with pytest.raises(InputError, match='other channels'):
        check_comparable(volume, replace(volume, channels=('Ge', 'Sb')))
    with pytest.raises(InputError, match='voxels of 2 and 1 nm'):
        check_comparable(volume, replace(volume, voxel_size=1.0))


def test_agreement_of_independent_volumes(volume: Volume) -> None:
    rng = np.random.default_rng(1)
    one, two = (Volume(rng.normal(size=(1, 30, 30, 30)), ('Fe',), 1.0) for _ in range(2))
    said = agreement(one, two)
    assert abs(float(said.split('Fe ')[1].split(';')[0])) < 0.03
    # Two independent fields differ by the square root of two.
    assert 'Fe 141 %' in said or 'Fe 142 %' in said or 'Fe 140 %' in said


def test_a_surface_of_constant_composition_follows_its_controls(dock: TomographyDock, viewer: ViewerModel) -> None:
    ramp = np.linspace(0.1, 0.9, 20)
    data = 40 * np.stack([np.broadcast_to(ramp, (10, 10, 20)), np.broadcast_to(1 - ramp, (10, 10, 20))])
    volume = Volume(data, ('Ge', 'Te'), 1.0)
    dock.runs.add(volume, 'TV', shown=True)
    dock.stages.go_to(dock.judge_page)
    part = dock.judge_page.isosurface
    part.channel.setCurrentText('Ge')
    part.level.setValue(30.0)
    part.button.click()
    layer = part.surface.layer
    assert layer is not None and layer.rendering == 'iso' and layer.iso_threshold == 30.0
    assert part.note.text().startswith('In % of the counts') and viewer.dims.ndisplay == 3
    # Away from the ends, where the pooling sees the edge, the percent are those of the ramp.
    np.testing.assert_allclose(layer.data[5, 5, 4:-4], 100 * ramp[4:-4], atol=0.5)
    part.level.setValue(60.0)
    assert layer.iso_threshold == 60.0
    part.channel.setCurrentText('Te')
    assert part.surface.layer is not None and 'Te isosurface' in part.surface.layer.name
    part.button.click()
    assert part.surface.layer is None


def test_percent_where_there_is_no_specimen_are_none() -> None:
    data = np.zeros((2, 12, 12, 12))
    data[:, 4:8, 4:8, 4:8] = 20
    percent, unit = percent_of(Volume(data, ('Ge', 'Te'), 1.0))
    assert unit == '% of the counts' and (percent[:, 0, 0] == 0).all()
    np.testing.assert_allclose(percent[:, 6, 6, 6], 50)
