"""Docks on a viewer without a window, small samples, waiting."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.open_dock import open_dock as open_dock_of
from napari_diptomo.widgets.pages import reconstruct_page
from napari_diptomo.widgets.preferences import LastUsed

HERE = Path(__file__).parent
JOBS = str(HERE.parent / 'jobs')
for folder in (str(HERE), JOBS):
    if folder not in sys.path:
        sys.path.insert(0, folder)


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own: no test is offered the session of another."""
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'state'))
    return tmp_path / 'state'


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def last_used(tmp_path: Path) -> LastUsed:
    return LastUsed(tmp_path / 'last-used.json')


@pytest.fixture
def dock(viewer: ViewerModel, last_used: LastUsed, qtbot: Any) -> Iterator[TomographyDock]:
    dock = TomographyDock(viewer, last_used)
    qtbot.addWidget(dock)
    yield dock
    dock.cleanup()


@pytest.fixture
def settled(qtbot: Any) -> Callable[..., None]:
    """Wait until the dock's job has ended."""

    def wait(dock: TomographyDock, timeout: int = 60_000) -> None:
        qtbot.waitUntil(lambda: not dock.session.busy, timeout=timeout)

    return wait


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs count in their process; see `counting_runs`."""
    from counting_runs import CountingJob

    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, [JOBS, os.environ.get('PYTHONPATH', '')])))
    monkeypatch.setattr(reconstruct_page, 'ReconstructionJob', CountingJob)


@pytest.fixture
def reported() -> Iterator[list[str]]:
    """Messages of the notifications dispatched during the test."""
    messages: list[str] = []

    def note(notification: Any) -> None:
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(note)
    yield messages
    notification_manager.notification_ready.disconnect(note)


@pytest.fixture
def maps() -> MapSeries:
    """Two balls of two elements, 7 tilts, 16 x 16 pixels."""
    z, y, x = np.mgrid[:16, :16, :16] - 7.5
    ball = ((x - 2) ** 2 + y**2 + z**2 < 16).astype(float)
    other = ((x + 3) ** 2 + y**2 + z**2 < 9).astype(float)
    angles = np.arange(-30.0, 31.0, 10.0)
    from napari_diptomo.geometry import ParallelBeam

    clean = ParallelBeam(angles, shape=(16, 16, 16)).project(np.stack([ball, other]).astype(np.float32))
    counts = np.random.default_rng(0).poisson(np.maximum(clean, 0) * 4)
    return MapSeries(counts, angles, ('Ge', 'Te'), pixel_size=2.0)


@pytest.fixture
def window(make_napari_viewer: Callable[[], Any]) -> Any:
    """A viewer with its window."""
    return make_napari_viewer()


@pytest.fixture
def opened(qtbot: Any) -> Callable[[Any], Any]:
    """Opens the dock in a window as the menu does, and gives it."""

    def open_dock(window: Any) -> Any:
        dock = open_dock_of(window)
        qtbot.waitUntil(lambda: dock.session.window is not None, timeout=3_000)
        return dock

    return open_dock
