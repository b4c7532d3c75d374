"""A project folder brings back what was on screen; so does the autosave after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: F401 -- the estimate of the memory would import it in the midst of another test's set-up
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_diptomo.reconstruct import SIRT, DIPmTV
from napari_diptomo.series import Finding, MapSeries, Recipe, Volume
from napari_diptomo.widgets.autosave import Autosave, leftovers, sessions_folder
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.run import RunStatus
from napari_diptomo.widgets.tasks.opening import look_over

DOUBT = Finding('doubt', 'field of view', 'Mass is cut at the edge.', {'counts, %': 12.0}, step='SIRT')


@pytest.fixture
def state(state_home: Path) -> Path:
    return sessions_folder()


def made(seed: int, *findings: Finding) -> Volume:
    data = np.random.default_rng(seed).random((2, 16, 16, 16)).astype(np.float32)
    scores = {'iteration': [1.0, 2.0], 'validation': [1.2, 1.1], 'data': [1.1, 0.9]}
    recipe = Recipe().then(SIRT(iterations=seed + 1))
    return Volume(data, ('Ge', 'Te'), 2.0, scores=scores, recipe=recipe, findings=findings)


def fill(dock: Any, maps: MapSeries) -> None:
    """Maps, shifts, a good run with findings, a failed one, a look of one's own."""
    from napari_diptomo.widgets.tasks.task import Outcome

    dock.open_page.done(look_over(maps))
    dock.align_page.done(maps)
    dock.stages.go_to(dock.reconstruct_page)
    dock.runs.begin(maps, 'SIRT', Recipe().then(SIRT(iterations=1)))
    dock.runs.show(made(0).data)
    dock.runs.end(Outcome('SIRT', made(0, DOUBT)))
    dock.runs.begin(maps, 'DIPm-TV', Recipe().then(DIPmTV(seed=3)))
    dock.runs.end(Outcome('DIPm-TV', error='Memory ran out; bin the images.'))
    dock.reconstruct_page.method.setCurrentText('SIRT')
    dock.reconstruct_page.forms['SIRT'].set_value(SIRT(iterations=12))
    dock.reconstruct_page.runs_list.selectRow(1)
    ge = dock.viewer.layers['Ge (SIRT)']
    ge.contrast_limits, ge.opacity, ge.colormap = (0.25, 0.75), 0.5, 'magma'
    dock.viewer.layers['Te (SIRT)'].visible = False
    dock.viewer.scene.camera.angles = (11.0, 22.0, 33.0)


def check(dock: Any, viewer: Any, shifted: MapSeries) -> None:
    """All of `fill` is there."""
    assert np.array_equal(dock.session.maps.data, shifted.data)
    assert np.array_equal(dock.session.aligned.shifts, shifted.shifts)
    first, second = dock.runs
    assert (first.number, first.status, first.title) == (1, RunStatus.DONE, 'SIRT')
    assert np.array_equal(first.volume.data, made(0).data)
    assert first.findings == (DOUBT,)
    assert (second.status, second.error) == (RunStatus.FAILED, 'Memory ran out; bin the images.')
    assert second.recipe.steps == (DIPmTV(seed=3),)
    assert dock.runs.chosen is first
    assert dock.stages.current is dock.reconstruct_page
    assert dock.reconstruct_page.step() == SIRT(iterations=12)
    assert [row.finding for row in dock.findings.rows] == [DOUBT]
    assert dock.reconstruct_page.convergence.isVisibleTo(dock)
    assert [layer.name for layer in viewer.layers] == ['Ge maps', 'Te maps', 'Ge (SIRT)', 'Te (SIRT)']
    ge, te = viewer.layers['Ge (SIRT)'], viewer.layers['Te (SIRT)']
    assert (tuple(ge.contrast_limits), ge.opacity, ge.colormap.name) == ((0.25, 0.75), 0.5, 'magma')
    assert ge.visible and not te.visible
    assert te.colormap.map(np.array([1.0]))[0, :3] == pytest.approx(_hue('Te'), abs=0.01)
    assert viewer.dims.ndisplay == 3
    assert tuple(viewer.scene.camera.angles) == pytest.approx((11.0, 22.0, 33.0))


def _hue(name: str) -> tuple[float, ...]:
    from napari_diptomo.jobs.colours import colours

    hue = colours(('Ge', 'Te'))[name]
    return tuple(int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5))


def save_as(dock: Any, path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(path), ''))
    action = next(a for a in dock.run_bar.project_button.menu().actions() if 'as' in a.text())
    with qtbot.waitSignal(dock.session.autosave.saved, timeout=60_000):
        action.trigger()


def test_a_project_brings_everything_back(
    opened: Callable[[Any], Any],
    window: Any,
    make_napari_viewer: Any,
    maps: MapSeries,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    shifted = replace(maps, shifts=np.arange(14.0).reshape(7, 2) / 10)
    dock = opened(window)
    fill(dock, shifted)
    save_as(dock, tmp_path / 'mine', qtbot, monkeypatch)
    other = make_napari_viewer()
    again = opened(other)
    monkeypatch.setattr(QFileDialog, 'getExistingDirectory', lambda *_: str(tmp_path / 'mine'))
    next(a for a in again.run_bar.project_button.menu().actions() if 'Open' in a.text()).trigger()
    qtbot.waitUntil(lambda: len(again.runs) == 2 and not again.session.busy, timeout=60_000)
    check(again, other, shifted)
    assert again.session.autosave.project == tmp_path / 'mine'
    again.runs.discard(again.runs.chosen)
    assert [run.title for run in again.runs] == ['DIPm-TV']


def test_unchanged_arrays_are_not_written_again_and_discarded_ones_go(
    dock: TomographyDock, maps: MapSeries, qtbot: Any, tmp_path: Path
) -> None:
    fill(dock, maps)
    autosave = dock.session.autosave
    with qtbot.waitSignal(autosave.saved, timeout=60_000):
        autosave.save_to(tmp_path / 'p')
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'p').glob('*.hspy')}
    assert {name.split('-')[0] for name in before} == {'maps', 'run'}
    assert not (tmp_path / 'state').exists(), 'without a window nothing is kept unasked'
    dock.runs.add(made(1), 'SIRT', shown=True)
    with qtbot.waitSignal(autosave.saved, timeout=60_000):
        autosave.save_to(tmp_path / 'p')
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'p').glob('*.hspy')}
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1
    dock.runs.discard()
    with qtbot.waitSignal(autosave.saved, timeout=60_000):
        autosave.save_to(tmp_path / 'p')
    assert {path.name for path in (tmp_path / 'p').glob('*.hspy')} == set(before)
    text = (tmp_path / 'p' / 'project.json').read_text()
    assert str(tmp_path) not in text


def test_a_project_goes_into_no_folder_with_other_files(
    dock: TomographyDock, maps: MapSeries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reported: list[str]
) -> None:
    dock.open_page.done(look_over(maps))
    (tmp_path / 'thesis.tex').write_text('x')
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(tmp_path), ''))
    next(a for a in dock.run_bar.project_button.menu().actions() if 'as' in a.text()).trigger()
    assert len(reported) == 1 and 'choose a new name' in reported[0]
    assert [path.name for path in tmp_path.glob('*.json')] in ([], ['last-used.json'])


def test_unsaved_runs_are_asked_about_before_another_project_is_opened(
    dock: TomographyDock, maps: MapSeries, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dock, maps)
    asked: list[str] = []
    monkeypatch.setattr(QFileDialog, 'getExistingDirectory', lambda *_: str(tmp_path))

    def cancel(*given: Any) -> Any:
        asked.append(given[2])
        return QMessageBox.StandardButton.Cancel

    monkeypatch.setattr(QMessageBox, 'question', cancel)
    next(a for a in dock.run_bar.project_button.menu().actions() if 'Open' in a.text()).trigger()
    assert asked == ['1 finished run is in no project and will be gone. Open another project all the same?']
    assert not dock.session.busy


def test_a_damaged_file_is_said_and_left_alone_and_the_rest_is_there(
    dock: TomographyDock, maps: MapSeries, qtbot: Any, tmp_path: Path, reported: list[str], viewer: Any
) -> None:
    fill(dock, maps)
    autosave = dock.session.autosave
    with qtbot.waitSignal(autosave.saved, timeout=60_000):
        autosave.save_to(tmp_path / 'p')
    (tmp_path / 'p' / 'run-1-1.hspy').write_bytes(b'scratched')
    reported.clear()
    dock.open_project(tmp_path / 'p')
    qtbot.waitUntil(lambda: not dock.session.busy, timeout=60_000)
    assert len(reported) == 1 and 'run-1-1.hspy' in reported[0]
    assert [run.number for run in dock.runs] == [2]
    assert dock.session.maps is not None
    dock.runs.discard(dock.runs.latest)
    with qtbot.waitSignal(autosave.saved, timeout=60_000):
        autosave.save_to(tmp_path / 'p')
    assert (tmp_path / 'p' / 'run-1-1.hspy').read_bytes() == b'scratched'


def test_autosave_keeps_the_session_and_the_next_dock_offers_it(
    opened: Callable[[Any], Any], window: Any, make_napari_viewer: Any, maps: MapSeries, qtbot: Any, state: Path
) -> None:
    dock = opened(window)
    fill(dock, maps)
    qtbot.waitUntil(lambda: bool(list(state.glob('*/project.json'))), timeout=60_000)
    qtbot.waitUntil(lambda: not dock.session.autosave.busy, timeout=60_000)
    dock.session.autosave.save()
    qtbot.waitUntil(lambda: not dock.session.autosave.busy, timeout=60_000)
    assert leftovers(state) == [], 'it is in use'
    dock.session.autosave.close()
    (leftover,) = leftovers(state)
    assert leftover.words.endswith('2 runs')

    other = make_napari_viewer()
    again = opened(other)
    qtbot.waitUntil(lambda: again.open_page.restore_button.isVisibleTo(again), timeout=5_000)
    again.open_page.restore_button.click()
    qtbot.waitUntil(lambda: len(again.runs) == 2 and not again.session.busy, timeout=60_000)
    check(again, other, maps)
    assert leftovers(state) == [], 'it is in use again'


def test_only_the_latest_sessions_are_kept(dock: TomographyDock, maps: MapSeries, state: Path) -> None:
    from napari_diptomo.jobs.project import ProjectFolder
    from napari_diptomo.widgets.projects import record_of

    dock.open_page.done(look_over(maps))
    for number in range(5):
        folder = ProjectFolder(state / f'2026010{number}-120000-1-1')
        folder.write(record_of(dock.session, folder))
    (state / '20260109-120000-1-1').mkdir()
    assert [found.folder.name[:8] for found in leftovers(state)] == ['20260104', '20260103', '20260102']
    assert len(list(state.iterdir())) == 3


def test_a_failing_autosave_says_so_once(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, qtbot: Any, state: Path, reported: list[str]
) -> None:
    state.parent.mkdir(parents=True)
    state.write_text('a file where the folder should be')
    dock = opened(window)
    dock.open_page.done(look_over(maps))
    qtbot.waitUntil(lambda: bool(reported), timeout=20_000)
    dock.session.autosave.save()
    qtbot.waitUntil(lambda: not dock.session.autosave.busy, timeout=20_000)
    assert len(reported) == 1 and 'cannot be written' in reported[0]


SCRIPT = """
import sys, time
import numpy as np
import napari
from qtpy.QtWidgets import QApplication
from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.tasks.opening import look_over
from napari_diptomo.widgets.pages import reconstruct_page
from tests.widgets.counting_runs import CountingJob
from tests.widgets.test_project import fill
import napari_diptomo.jobs.child_job as process

reconstruct_page.ReconstructionJob = CountingJob
checkpointed = process.ChildJob.__init__
def often(self, *given, **named):
    checkpointed(self, *given, **named | {'checkpoint_interval': 0.0})
process.ChildJob.__init__ = often
viewer = napari.Viewer(show=False)
_, dock = viewer.window.add_plugin_dock_widget('napari-diptomo', 'Tomography')
maps = MapSeries(np.random.default_rng(0).poisson(3, (2, 7, 16, 16)), np.arange(-30.0, 31, 10), ('Ge', 'Te'), 2.0)
app = QApplication.instance()
def until(done):
    while not done():
        app.processEvents()
        time.sleep(0.01)
until(lambda: dock.session.window is not None)
fill(dock, maps)
page = dock.reconstruct_page
page.method.setCurrentText('DIPm-TV')
page.forms['DIPm-TV'].set_value(DIPmTV(preset='fast', iterations=200, widths=(8, 8), skips=(2, 2)))
dock.run_page()
until(lambda: dock.session.task.progress is not None and dock.session.task.progress.iteration > 8)
until(lambda: dock.runs.latest.checkpoint.exists() and not dock.session.autosave.busy)
dock.session.autosave.save()
until(lambda: not dock.session.autosave.busy)
print('pid', dock.session.task.job.pid, dock.session.task.progress.iteration, flush=True)
until(lambda: False)
"""


@pytest.mark.skipif(not hasattr(signal, 'SIGKILL'), reason='needs POSIX signals')
def test_after_a_crash_of_napari_all_is_there_and_the_run_resumes(
    opened: Callable[[Any], Any], window: Any, counting: None, qtbot: Any, state: Path, tmp_path: Path
) -> None:
    script = tmp_path / 'napari_that_dies.py'
    script.write_text(textwrap.dedent(SCRIPT))
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([os.environ.get('PYTHONPATH', ''), os.getcwd()])}
    crashing = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        word, pid, iteration = crashing.stdout.readline().split()
        assert word == 'pid'
    finally:
        crashing.kill()
        crashing.wait()
    begun = time.monotonic()
    while Path(f'/proc/{pid}').exists() and 'Z' not in Path(f'/proc/{pid}/stat').read_text().split()[2]:
        assert time.monotonic() - begun < 20, 'the child goes with its parent'
        time.sleep(0.1)

    dock = opened(window)
    qtbot.waitUntil(lambda: dock.open_page.restore_button.isVisibleTo(dock), timeout=5_000)
    dock.open_page.restore_button.click()
    qtbot.waitUntil(lambda: len(dock.runs) == 3 and not dock.session.busy, timeout=60_000)
    assert [run.status.value for run in dock.runs] == ['done', 'failed', 'interrupted']
    assert [layer.name for layer in window.layers if layer.metadata[KEY]['kind'] == 'volume'] == [
        'Ge (SIRT)',
        'Te (SIRT)',
    ]
    page = dock.reconstruct_page
    assert page.buttons['resume'].isVisibleTo(dock)
    assert 'continues from its last checkpoint' in page.note.text()
    seen: list[int] = []
    dock.session.message.connect(lambda message: seen.append(getattr(message, 'iteration', 0)))
    page.buttons['resume'].click()
    qtbot.waitUntil(lambda: any(seen), timeout=120_000)
    assert next(i for i in seen if i) >= int(iteration) - 2, 'not from the beginning'
    qtbot.waitUntil(lambda: not dock.session.busy, timeout=120_000)
    assert dock.runs.latest.status is RunStatus.DONE
    assert dock.session.volume is dock.runs.latest.volume
    assert not dock.runs.latest.checkpoint.exists()


def test_project_files_from_strangers(tmp_path: Path) -> None:
    from napari_diptomo.jobs.project import load_part, read_project
    from napari_diptomo.series import InputError

    file = tmp_path / 'project.json'
    good = {'napari-diptomo project': 1, 'maps': 'maps-1.hspy'}
    for text in (
        '[' * 100_000,
        '{',
        '[]',
        '{}',
        json.dumps(good | {'napari-diptomo project': 99}),
        json.dumps(good | {'maps': '../maps.hspy'}),
        json.dumps(good | {'maps': '/etc/passwd'}),
        json.dumps(good | {'runs': [{'number': 0, 'title': 'x', 'status': 'done', 'begun': ''}]}),
        json.dumps(good | {'view': {'zoom': -1}}),
        json.dumps(good)[:-1] + ', "view": {"zoom": NaN}}',
    ):
        file.write_text(text)
        with pytest.raises(InputError) as refused:
            read_project(tmp_path)
        assert str(file) in str(refused.value)
        assert '\n' not in str(refused.value)
    file.write_text(json.dumps(good))
    assert read_project(file)[0].maps == 'maps-1.hspy'
    (tmp_path / 'elsewhere.hspy').write_bytes(b'x')
    (tmp_path / 'maps-1.hspy').symlink_to(tmp_path / 'elsewhere.hspy')
    with pytest.raises(InputError, match='is a link'):
        load_part(tmp_path, 'maps-1.hspy')


def test_sources_inside_the_project_move_with_it(tmp_path: Path) -> None:
    from napari_diptomo.jobs.project import absolute_source, relative_source

    inside, outside = tmp_path / 'p' / 'data', tmp_path / 'far'
    source = {'paths': [str(inside / '0.bcf'), str(outside / '1.bcf')], 'angles': str(inside / 'a.txt'), 'binning': 2}
    kept = relative_source(source, tmp_path / 'p')
    assert kept == {'paths': ['data/0.bcf', str(outside / '1.bcf')], 'angles': 'data/a.txt', 'binning': 2}
    moved = absolute_source(kept, tmp_path / 'q')
    assert moved['paths'] == [str(tmp_path / 'q' / 'data' / '0.bcf'), str(outside / '1.bcf')]


def test_the_keeper_of_a_session_without_data_leaves_nothing(
    opened: Callable[[Any], Any], window: Any, qtbot: Any, state: Path
) -> None:
    dock = opened(window)
    autosave: Autosave = dock.session.autosave
    autosave.save()
    autosave.close()
    assert not state.exists() or not list(state.iterdir())


def test_a_run_cut_off_outside_its_project_finds_its_checkpoint(
    opened: Callable[[Any], Any],
    window: Any,
    make_napari_viewer: Any,
    maps: MapSeries,
    qtbot: Any,
    state: Path,
    tmp_path: Path,
) -> None:
    """The project was saved while the run, with its checkpoint in the session's own folder, was under way."""
    from napari_diptomo.widgets.tasks.job import ThreadJob
    from napari_diptomo.widgets.tasks.task import Task

    dock = opened(window)
    dock.open_page.done(look_over(maps))
    checkpoint = dock.session.new_checkpoint()
    checkpoint.write_bytes(b'state')
    run = dock.runs.begin(maps, 'SIRT', Recipe().then(SIRT(iterations=3)), checkpoint)
    dock.session.task = Task(ThreadJob(lambda observer: None), 'SIRT', 'Reconstruct', run)
    with qtbot.waitSignal(dock.session.autosave.saved, timeout=60_000):
        dock.session.autosave.save_to(tmp_path / 'mine')
    dock.session.task = None
    dock.session.autosave.close()

    again = opened(make_napari_viewer())
    qtbot.waitUntil(lambda: again.open_page.restore_button.isVisibleTo(again), timeout=5_000)
    assert 'project mine' in again.open_page._offered.text()
    again.open_page.restore_button.click()
    qtbot.waitUntil(lambda: len(again.runs) == 1 and not again.session.busy, timeout=60_000)
    (found,) = again.runs
    assert found.status is RunStatus.INTERRUPTED
    assert found.checkpoint == checkpoint and checkpoint.exists()
    assert again.session.autosave.project == tmp_path / 'mine'
