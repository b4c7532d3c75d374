"""Runs as objects: none touches another, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: F401 -- the estimate of the memory would import it in the midst of another test's set-up
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import Finding, MapSeries, Recipe, Volume, load
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.run import ConvergencePoint, RunStatus, convergence_of
from napari_diptomo.widgets.tasks.opening import look_over
from napari_diptomo.widgets.tasks.reconstruction_job import ReconstructionJob
from napari_diptomo.widgets.tasks.task import Outcome, Task
from napari_diptomo.widgets.volume_runs import VolumeRuns

Settled = Callable[..., None]
DOUBT = Finding('doubt', 'field of view', 'Mass is cut at the edge.', step='SIRT')


def frame(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((2, 16, 16, 16)).astype(np.float32)


def made(seed: int, *findings: Finding) -> Volume:
    scores = {'iteration': [1.0, 2.0], 'validation': [1.2, 1.1], 'data': [1.1, 0.9]}
    recipe = Recipe().then(SIRT(iterations=seed + 1))
    return Volume(frame(seed), ('Ge', 'Te'), 2.0, scores=scores, recipe=recipe, findings=findings)


def visible(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.visible]


@pytest.fixture
def ran(dock: TomographyDock, maps: MapSeries, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Play a reconstruction through the dock without its process, from its first preview to its end."""
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(dock.reconstruct_page)

    def play(outcome: Outcome, preview: int | None = None, **job: Any) -> None:
        recipe = Recipe().then(SIRT(iterations=3))
        with monkeypatch.context() as patch:
            patch.setattr(Task, 'start', lambda *_: None)
            dock._start(ReconstructionJob(recipe, maps, 0.0, **job), 'SIRT', dock.reconstruct_page)
        task = dock.session.task
        assert task is not None
        if preview is not None:
            task.frame.emit(frame(preview), 7)
        task.ended.emit(outcome)

    return play


def rows(dock: TomographyDock) -> list[list[str]]:
    table = dock.reconstruct_page.runs_list
    return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())]


def choose(dock: TomographyDock, number: int, qtbot: Any) -> None:
    table = dock.reconstruct_page.runs_list
    row = next(row for row in range(table.rowCount()) if table.item(row, 0).text() == str(number))
    table.selectRow(row)


def press(dock: TomographyDock, name: str, qtbot: Any) -> None:
    button = dock.reconstruct_page.buttons[name]
    assert button.isVisibleTo(dock) and button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_before_the_first_run_no_empty_plot_is_shown(dock: TomographyDock, maps: MapSeries) -> None:
    dock.open_page.done(look_over(maps))
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    for widget in (page.convergence_heading, page.convergence, page.runs_heading, page.runs_list, page.result_row):
        assert not widget.isVisibleTo(page)


def test_four_failures_leave_the_good_run_as_it_was(
    dock: TomographyDock, viewer: ViewerModel, ran: Callable[..., None], qtbot: Any, reported: list[str]
) -> None:
    ran(Outcome('SIRT', made(0)), preview=0)
    before = visible(viewer)
    assert before == ['Ge (SIRT)', 'Te (SIRT)']
    for number in range(4):
        ran(Outcome('SIRT', error='Memory ran out; bin the images.'), preview=number + 1)
        assert visible(viewer) == before, 'what was hidden is seen again'
    assert len(reported) == 4
    volumes = [layer for layer in viewer.layers if layer.metadata[KEY]['kind'] in ('volume', 'preview')]
    assert len(volumes) == 4, 'the good run, and the preview of the last failure'
    assert rows(dock) == [[str(n), 'SIRT', 'failed'] for n in (5, 4, 3, 2)] + [['1', 'SIRT', 'done']]
    assert dock.reconstruct_page.note.text().startswith('Memory ran out; bin the images.')
    assert not dock.reconstruct_page.buttons['volume'].isVisibleTo(dock), 'a failed run has nothing to save'
    assert dock.session.volume is None

    press(dock, 'discard', qtbot)
    assert [row[0] for row in rows(dock)] == ['4', '3', '2', '1']
    assert visible(viewer) == before
    assert dock.session.volume is not None, 'the run that is seen is the chosen one again'
    for _ in range(3):
        choose(dock, int(rows(dock)[0][0]), qtbot)
        press(dock, 'discard', qtbot)
    assert rows(dock) == [['1', 'SIRT', 'done']]
    assert visible(viewer) == before
    assert np.array_equal(viewer.layers['Ge (SIRT)'].data, frame(0)[0])


def test_save_writes_the_run_it_stands_under(
    dock: TomographyDock,
    ran: Callable[..., None],
    qtbot: Any,
    settled: Settled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in (0, 1):
        ran(Outcome('SIRT', made(seed)), preview=seed)
    ran(Outcome('SIRT', error='It broke.'), preview=2)
    for number, name in ((1, 'first'), (2, 'second')):
        choose(dock, number, qtbot)
        monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_, name=name: (str(tmp_path / f'{name}.hspy'), ''))
        press(dock, 'volume', qtbot)
        settled(dock)
        monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_, name=name: (str(tmp_path / f'{name}.json'), ''))
        press(dock, 'recipe', qtbot)
    assert np.array_equal(load(tmp_path / 'first.hspy').data, frame(0))
    assert np.array_equal(load(tmp_path / 'second.hspy').data, frame(1))
    assert Recipe.load(tmp_path / 'first.json').steps[-1] == SIRT(iterations=1)
    assert Recipe.load(tmp_path / 'second.json').steps[-1] == SIRT(iterations=2)


def test_a_failed_run_has_a_recipe_to_save(
    dock: TomographyDock, ran: Callable[..., None], qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(Outcome('SIRT', error='It broke.'))
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(tmp_path / 'r.json'), ''))
    press(dock, 'recipe', qtbot)
    assert Recipe.load(tmp_path / 'r.json').steps == (SIRT(iterations=3),)


def test_after_a_cancelled_run_the_finished_one_is_chosen_again(
    dock: TomographyDock, ran: Callable[..., None], qtbot: Any
) -> None:
    """The page Judge stays open, on the volume that is seen; the cancelled run stays in the list."""
    first, second = made(1, DOUBT), made(2)
    ran(Outcome('SIRT', result=first))
    ran(Outcome('SIRT', result=second))
    choose(dock, 1, qtbot)
    ran(Outcome('SIRT'), preview=3)
    assert dock.session.volume is first, 'the one that was chosen, not the latest'
    assert not dock.judge_page.closed()
    assert dock.run_bar.status.text() == 'SIRT: cancelled. Run 1 (SIRT) is the chosen run again.'
    assert dock.reconstruct_page.convergence_heading.text() == '<b>Convergence of run 1</b>'
    ran(Outcome('SIRT', error='Out of memory.'))
    ran(Outcome('SIRT'))
    assert dock.session.volume is second, 'what failed before has no volume either'
    assert [row[2] for row in rows(dock)].count('cancelled') == 2


def test_a_run_that_was_chosen_while_another_ran_stays_chosen(
    dock: TomographyDock, ran: Callable[..., None], qtbot: Any
) -> None:
    first, second = made(1), made(2)
    ran(Outcome('SIRT', result=first))
    ran(Outcome('SIRT', result=second))
    end, dock.runs.end = dock.runs.end, lambda outcome: (dock.runs.choose(next(iter(dock.runs))), end(outcome))
    ran(Outcome('SIRT'))
    assert dock.session.volume is first


def test_a_cancelled_run_of_other_maps_does_not_bring_back_a_volume_of_the_first(
    dock: TomographyDock, ran: Callable[..., None], maps: MapSeries
) -> None:
    ran(Outcome('SIRT', result=made(1)))
    dock.session.drop_volume()
    run = dock.runs.begin(replace(maps), 'SIRT')
    dock.runs.end(Outcome('SIRT'))
    assert dock.runs.chosen is run
    assert dock.session.volume is None


def test_a_cancelled_run_leaves_the_view_as_it_was(
    dock: TomographyDock, viewer: ViewerModel, ran: Callable[..., None]
) -> None:
    viewer.scene.camera.zoom, viewer.scene.camera.center = 3.0, (0.0, 11.0, 12.0)
    ran(Outcome('SIRT'), preview=0)
    assert visible(viewer) == ['Ge maps', 'Te maps']
    assert viewer.dims.ndisplay == 2
    assert (viewer.scene.camera.zoom, tuple(viewer.scene.camera.center)) == (3.0, (0.0, 11.0, 12.0))
    assert rows(dock) == [['1', 'SIRT', 'cancelled']]
    assert dock.reconstruct_page.note.text() == 'Cancelled: nothing was kept.'


def test_what_the_user_looks_at_by_now_is_not_taken_away(
    dock: TomographyDock, viewer: ViewerModel, ran: Callable[..., None]
) -> None:
    ran(Outcome('SIRT', made(0)), preview=0)
    dock.session.frame.connect(lambda *_: setattr(viewer.layers['Te (SIRT)'], 'visible', True))
    ran(Outcome('SIRT', error='It broke.'), preview=1)
    assert visible(viewer) == ['Te (SIRT)'], 'shown by the user while the run was under way'


def test_choosing_a_run_shows_its_volume_its_findings_and_its_convergence(
    dock: TomographyDock, viewer: ViewerModel, ran: Callable[..., None], qtbot: Any
) -> None:
    ran(Outcome('SIRT', made(0, DOUBT)), preview=0)
    ran(Outcome('SIRT', replace(made(1), scores={})), preview=1)
    assert visible(viewer) == ['Ge (SIRT, run 2)', 'Te (SIRT, run 2)']
    assert not dock.findings.rows
    page = dock.reconstruct_page
    assert not page.convergence.isVisibleTo(dock), 'nothing was reported by this one'
    choose(dock, 1, qtbot)
    assert visible(viewer) == ['Ge (SIRT)', 'Te (SIRT)']
    assert [row.finding.about for row in dock.findings.rows] == ['field of view']
    assert page.convergence.isVisibleTo(dock)
    assert page.convergence_heading.text() == '<b>Convergence of run 1</b>'
    assert np.array_equal(dock.session.volume.data, frame(0))


def test_the_layers_of_a_run_come_back_when_it_is_chosen(
    dock: TomographyDock, viewer: ViewerModel, ran: Callable[..., None], qtbot: Any
) -> None:
    ran(Outcome('SIRT', made(0)), preview=0)
    ran(Outcome('SIRT', made(1)), preview=1)
    for name in ('Ge (SIRT)', 'Te (SIRT)'):
        viewer.layers.remove(name)
    choose(dock, 1, qtbot)
    assert visible(viewer) == ['Ge (SIRT)', 'Te (SIRT)']
    assert np.array_equal(viewer.layers['Te (SIRT)'].data, frame(0)[1])


def test_old_runs_give_their_layers_back_and_look_as_they_did_when_chosen(
    dock: TomographyDock, viewer: ViewerModel, ran: Callable[..., None], qtbot: Any
) -> None:
    for seed in range(5):
        ran(Outcome('SIRT', made(seed)), preview=seed)
        if seed == 0:
            viewer.layers['Ge (SIRT)'].contrast_limits = (0.25, 0.5)
            viewer.layers['Te (SIRT)'].colormap = 'magma'
    shown = [layer.name for layer in viewer.layers if layer.metadata[KEY]['kind'] == 'volume']
    assert shown == [f'{name} (SIRT, run {run})' for run in (3, 4, 5) for name in ('Ge', 'Te')]
    choose(dock, 1, qtbot)
    assert visible(viewer) == ['Ge (SIRT)', 'Te (SIRT)']
    ge, te = viewer.layers['Ge (SIRT)'], viewer.layers['Te (SIRT)']
    assert np.array_equal(ge.data, frame(0)[0])
    assert tuple(ge.contrast_limits) == (0.25, 0.5)
    assert te.colormap.name == 'magma'


def test_composition_takes_the_chosen_run(dock: TomographyDock, ran: Callable[..., None], qtbot: Any) -> None:
    for seed in (0, 1):
        ran(Outcome('SIRT', made(seed)), preview=seed)
    choose(dock, 1, qtbot)
    dock.stages.go_to(dock.composition_page)
    assert np.array_equal(dock.composition_page.counts.data, frame(0))
    dock.stages.go_to(dock.reconstruct_page)
    choose(dock, 2, qtbot)
    assert np.array_equal(dock.composition_page.counts.data, frame(1))


def test_a_run_stopped_by_the_user_says_so(dock: TomographyDock, ran: Callable[..., None]) -> None:
    dock.session.frame.connect(lambda *_: setattr(dock.session.task.run, 'finishing', True))
    ran(Outcome('SIRT', made(0)), preview=0)
    assert rows(dock) == [['1', 'SIRT', 'stopped early']]


def test_discard_removes_the_checkpoint(
    dock: TomographyDock, ran: Callable[..., None], qtbot: Any, tmp_path: Path
) -> None:
    checkpoint = tmp_path / 'run.pt'
    checkpoint.write_bytes(b'x')
    ran(Outcome('SIRT', error='It broke.'), checkpoint=checkpoint)
    press(dock, 'discard', qtbot)
    assert not checkpoint.exists()
    assert rows(dock) == []
    assert not dock.reconstruct_page.runs_list.isVisibleTo(dock)


def test_other_maps_end_the_choice_but_not_the_runs(
    dock: TomographyDock, maps: MapSeries, viewer: ViewerModel, ran: Callable[..., None]
) -> None:
    ran(Outcome('SIRT', made(0, DOUBT)), preview=0)
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(dock.reconstruct_page)
    page = dock.reconstruct_page
    assert rows(dock) == [['1', 'SIRT', 'done']]
    assert not page.convergence.isVisibleTo(dock) and page.note.text() == '', 'they are of the earlier maps'
    assert dock.session.volume is None
    assert visible(viewer) == ['Ge maps', 'Te maps']


def test_a_discarded_run_hands_on_what_it_had_hidden(viewer: ViewerModel, maps: MapSeries) -> None:
    runs = VolumeRuns(viewer)
    for seed in range(3):
        runs.begin(maps, 'SIRT')
        runs.show(frame(seed))
        runs.end(Outcome('SIRT', made(seed)))
    first, second, third = runs
    runs.discard(second)
    assert visible(viewer) == ['Ge (SIRT, run 3)', 'Te (SIRT, run 3)']
    runs.discard(third)
    assert visible(viewer) == ['Ge (SIRT)', 'Te (SIRT)'], 'not an empty canvas'
    assert runs.chosen is first


def test_the_convergence_of_a_saved_volume() -> None:
    scores = {
        'iteration': [1.0, 2.0, 1.0],
        'validation': [3.0, 2.0, 4.0],
        'data': [5.0, 4.0, 6.0],
        'fit': [0.0, 0.0, 1.0],
    }
    run = VolumeRuns(ViewerModel()).add(replace(made(0), scores=scores), 'SIRT')
    assert run.status is RunStatus.DONE
    assert convergence_of(run) == [
        ConvergencePoint(1, {'data': 5.0}, 3.0, 'fit 1'),
        ConvergencePoint(2, {'data': 4.0}, 2.0, 'fit 1'),
        ConvergencePoint(1, {'data': 6.0}, 4.0, 'fit 2'),
    ]
    run.volume = replace(made(0), scores={**scores, 'weight': [0.7, 0.7, 0.35]})
    found = [(point.losses, point.fit) for point in convergence_of(run)]
    assert found[1:] == [({'data': 4.0}, 'weight 0.7, fit 1'), ({'data': 6.0}, 'weight 0.35, fit 2')]
    # Reports are dropped where the window is slow; those with the channels are the rarest.
    run.convergence = [ConvergencePoint(2, {'data': 4.0}, None, '', {'Ge': 0.5})]
    assert [(point.iteration, point.by_channel) for point in convergence_of(run)] == [
        (1, {}),
        (2, {'Ge': 0.5}),
        (1, {}),
    ]
    # Every iteration was reported, and the volume keeps some.
    run.convergence = [ConvergencePoint(i, {'data': 1.0 / i}) for i in range(1, 6)]
    assert convergence_of(run) == run.convergence
