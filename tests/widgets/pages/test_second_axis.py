"""A second tilt axis joined in the dock: by its buttons, undone, kept through another alignment and in a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_diptomo import SecondAxis, simulate
from napari_diptomo.series import MapSeries, Recipe, Source
from napari_diptomo.series.reinsertion import Reinsertion
from napari_diptomo.simulate import second_tilt_series
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.pages.second_axis_part import without_second_axis
from napari_diptomo.widgets.tasks.opening import look_over

ANGLES = np.arange(-40.0, 41.0, 10.0)


@pytest.fixture(scope='module')
def specimen() -> simulate.Phantom:
    return simulate.porous(16, seed=4)


@pytest.fixture
def maps(specimen: simulate.Phantom) -> MapSeries:
    return simulate.tilt_series(specimen, ANGLES, 60, seed=1).maps


@pytest.fixture
def second(specimen: simulate.Phantom, tmp_path: Path) -> Path:
    path = tmp_path / 'second.hspy'
    second_tilt_series(specimen, Reinsertion.turned(90), ANGLES, 60, seed=2).maps.save(path)
    return path


@pytest.fixture
def aligned(dock: TomographyDock, maps: MapSeries, settled: Callable[..., None]) -> TomographyDock:
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(dock.align_page)
    dock.align_page.parameters.build().apply({'rounds': 0, 'axis_rotation': 0.0})
    dock.run_page()
    settled(dock)
    dock.show()
    return dock


def click(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_joined_undone_redone_and_taken_apart(
    aligned: TomographyDock, second: Path, qtbot: Any, settled: Callable[..., None]
) -> None:
    page = aligned.align_page
    part = page.second
    assert not part.join_button.isEnabled()
    part.form.fields['maps'].value = str(second)
    assert part.join_button.isEnabled()
    click(qtbot, part.join_button)
    settled(aligned)
    found = aligned.session.aligned
    assert found.second_axis.reinsertion.turn == pytest.approx(90, abs=2)
    assert 'turned by' in part.found.text()
    assert found.recipe.steps[-1] == SecondAxis(maps=str(second))
    assert any(finding.about == 'Second axis' for finding in page.findings())
    page.by_hand.history.undo()
    assert aligned.session.aligned.second_axis is None
    page.by_hand.history.redo()
    assert aligned.session.aligned.second_axis is not None
    click(qtbot, part.part_button)
    alone = aligned.session.aligned
    assert alone.second_axis is None
    assert not any(isinstance(step, SecondAxis) for step in alone.recipe.steps)
    assert not part.named


def test_another_alignment_places_the_second_series_anew(
    aligned: TomographyDock, second: Path, settled: Callable[..., None]
) -> None:
    aligned.align_page.second.form.fields['maps'].value = str(second)
    aligned.run_page()
    settled(aligned)
    assert aligned.session.aligned.second_axis is not None
    assert [type(step).__name__ for step in aligned.session.aligned.recipe.steps] == ['Align', 'SecondAxis']


def test_a_file_that_is_no_second_series_leaves_the_maps_as_they_are(
    aligned: TomographyDock, tmp_path: Path, qtbot: Any, settled: Callable[..., None], reported: list[str]
) -> None:
    before = aligned.session.aligned
    aligned.align_page.second.form.fields['maps'].value = str(tmp_path / 'nothing.hspy')
    click(qtbot, aligned.align_page.second.join_button)
    settled(aligned)
    assert aligned.session.aligned is before
    assert any('nothing.hspy' in message for message in reported)


def test_a_recipe_sets_the_form(aligned: TomographyDock, second: Path) -> None:
    aligned._take_recipe(Recipe(Source(), (SecondAxis(maps=str(second), turn=90.0),)), 'recipe.json')
    assert aligned.align_page.second.step() == SecondAxis(maps=str(second), turn=90.0)
    state = aligned.align_page.state()
    aligned.align_page.second.forget()
    assert not aligned.align_page.second.named
    aligned.align_page.set_state(state)
    assert aligned.align_page.second.step().turn == 90.0


def test_the_first_series_alone_is_what_it_was(maps: MapSeries, second: Path) -> None:
    joined = SecondAxis(maps=str(second)).run(maps)
    alone = without_second_axis(joined)
    assert alone.second_axis is None
    assert alone.findings == maps.findings
    assert alone.data is maps.data
