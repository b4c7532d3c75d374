"""Commands that napari's palette starts without an argument ask for what they need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from npe2 import PluginManifest
from qtpy.QtWidgets import QFileDialog

from napari_diptomo.jobs.samples import archives
from napari_diptomo.series import Volume
from napari_diptomo.series.reading.saved import load
from napari_diptomo.widgets import published_sample_dialog

CONTRIBUTED = PluginManifest.from_distribution('napari-diptomo').contributions
#: Samples and docks napari starts in ways of its own.
COMMANDS = ('napari-diptomo.read', 'napari-diptomo.write')


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is asked for files thinks better of it."""
    monkeypatch.setattr(QFileDialog, 'getOpenFileNames', lambda *_: ([], ''))
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: ('', ''))


@pytest.mark.parametrize('command', COMMANDS)
@pytest.mark.usefixtures('no_files')
def test_every_command_runs(command: str, window: Any, qtbot: Any, reported: list[str]) -> None:
    get_app_model().commands.execute_command(command).result()
    qtbot.wait(50)
    if command.endswith('.write'):
        assert 'Select the layers' in reported[0]
    window.layers.clear()


def test_these_are_all_commands_that_are_no_sample_and_no_dock() -> None:
    others = {sample.command for sample in CONTRIBUTED.sample_data or ()}
    others |= {widget.command for widget in CONTRIBUTED.widgets or ()}
    assert {command.id for command in CONTRIBUTED.commands or ()} - others == set(COMMANDS)


@pytest.mark.parametrize('sample', [sample.key for sample in CONTRIBUTED.sample_data or ()])
def test_every_sample_opens(sample: str, window: Any, monkeypatch: pytest.MonkeyPatch, reported: list[str]) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(archives, 'ARCHIVES', ())
    monkeypatch.setattr(published_sample_dialog, 'licence_accepted', asked.append)
    monkeypatch.setattr(published_sample_dialog, 'say_error', asked.append)
    window.open_sample('napari-diptomo', sample)
    # Nothing is fetched where the licence is declined.
    assert bool(asked) is (len(window.layers) == 0)
    assert reported == []
    window.layers.clear()


def test_files_of_the_palette_go_to_the_dock(
    opened: Callable[[Any], Any], window: Any, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = opened(window)
    taken: list[list[str]] = []
    dock._dropped.files.connect(taken.append)
    path = tmp_path / '10.bcf'
    path.write_bytes(b'x')
    monkeypatch.setattr(QFileDialog, 'getOpenFileNames', lambda *_: ([str(path)], ''))
    get_app_model().commands.execute_command('napari-diptomo.read').result()
    qtbot.waitUntil(lambda: taken == [[str(path)]], timeout=3_000)
    qtbot.waitUntil(lambda: not dock.session.busy, timeout=30_000)


def test_selected_layers_are_written_from_the_palette(
    opened: Callable[[Any], Any], window: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = opened(window)
    data = np.random.default_rng(0).random((2, 8, 8, 8)).astype(np.float32)
    dock.runs.add(Volume(data, channels=('Ge', 'Te'), voxel_size=2.0), 'SIRT', shown=True)
    window.layers.selection = set(window.layers)
    path = tmp_path / 'volume.hspy'
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(path), ''))
    get_app_model().commands.execute_command('napari-diptomo.write').result()
    np.testing.assert_allclose(load(path).data, data, rtol=1e-6)
