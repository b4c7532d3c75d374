"""From dropped files to a volume, through real child processes, on a viewer without a window."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_diptomo.reconstruct import SIRT, DIPmTV
from napari_diptomo.series import MapSeries, Recipe, Volume
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.image_layers import KEY
from napari_diptomo.widgets.tasks.opening import look_over

Settled = Callable[..., None]
#: Long enough that nobody waits for its end.
ENDLESS = DIPmTV(preset='fast', iterations=5000, widths=(8, 8), skips=(2, 2))


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one spectrum image per tilt, named by its angle."""
    from exspy.signals import EDSTEMSpectrum

    from napari_diptomo.simulate import edx_tilt_series, lamella

    angles = np.arange(-30.0, 31.0, 10.0)
    series = edx_tilt_series(lamella(16, voxel_size=2.0), angles, peak_counts=60, seed=1, jitter=1.0).series
    folder = tmp_path_factory.mktemp('series')
    for angle, counts in zip(angles, series.counts, strict=True):
        signal_ = EDSTEMSpectrum(np.asarray(counts))
        for axis, (name, unit, scale) in zip(
            signal_.axes_manager._axes, (('y', 'nm', 2.0), ('x', 'nm', 2.0), ('Energy', 'keV', 0.01)), strict=True
        ):
            axis.name, axis.units, axis.scale = name, unit, scale
        signal_.axes_manager[-1].offset = float(series.energy[0])
        signal_.set_microscope_parameters(beam_energy=200.0)
        signal_.save(folder / f'{angle:g}deg.hspy')
    return folder


def volumes(viewer: ViewerModel) -> list[Any]:
    return [layer for layer in viewer.layers if layer.metadata[KEY]['kind'] in ('volume', 'preview')]


def choose(dock: TomographyDock, step: Any) -> None:
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    page.method.setCurrentText(step.title)
    page.forms[step.title].set_value(step)


def test_from_files_to_a_volume(
    dock: TomographyDock, viewer: ViewerModel, files: Path, qtbot: Any, settled: Settled, reported: list[str]
) -> None:
    dock.open_paths([str(path) for path in files.iterdir()])
    settled(dock)
    assert dock.session.series is not None
    assert dock.session.series.angles == pytest.approx(np.arange(-30, 31, 10))
    assert dock.session.series.pixel_size == 2.0

    dock.run_bar.next_button.click()
    dock.maps_page.picker.set_elements(('Ge', 'Te'))
    dock.run_bar.run_button.click()
    settled(dock)
    dock.run_bar.next_button.click()
    dock.run_bar.run_button.click()
    settled(dock)
    assert dock.session.aligned is not None
    assert 'Largest shift' in dock.align_page.found.text()

    dock.run_bar.next_button.click()
    choose(dock, ENDLESS)
    shown: list[int] = []
    dock.session.frame.connect(lambda frame, iteration: shown.append(iteration))
    dock.run_bar.run_button.click()
    qtbot.waitUntil(lambda: len(shown) >= 3, timeout=60_000)
    assert dock.session.busy, 'previews came while it ran'
    _pause_and_resume(dock, qtbot)
    dock.run_bar.finish_button.click()
    settled(dock)

    volume = dock.session.volume
    assert isinstance(volume, Volume)
    assert [type(step).__name__ for step in volume.recipe.steps] == ['EDXMaps', 'Align', 'DIPmTV']
    assert len(volume.recipe.source.paths) == 7
    for index, layer in enumerate(volumes(viewer)):
        assert np.array_equal(layer.data, volume.data[index])
        assert Recipe.from_json(layer.metadata[KEY]['recipe']).steps == volume.recipe.steps
    assert [str(unit) for unit in viewer.layers.units] == ['degree', 'nanometer', 'nanometer', 'nanometer']
    assert not any(layer.visible for layer in viewer.layers if layer.metadata[KEY]['kind'] == 'maps')
    assert reported == []


def _pause_and_resume(dock: TomographyDock, qtbot: Any) -> None:
    dock.run_bar.pause_button.click()
    qtbot.wait(700)
    held = dock.run_bar.bar.value()
    qtbot.wait(300)
    assert dock.run_bar.bar.value() == held
    assert 'paused' in dock.run_bar.status.text()
    dock.run_bar.pause_button.click()
    qtbot.waitUntil(lambda: dock.run_bar.bar.value() > held, timeout=30_000)


def test_cancelled_killed_and_run_again(
    dock: TomographyDock,
    maps: MapSeries,
    viewer: ViewerModel,
    counting: None,
    qtbot: Any,
    settled: Settled,
    reported: list[str],
) -> None:
    dock.open_page.done(look_over(maps))
    choose(dock, ENDLESS)
    dock.run_page()
    child = dock.session.task.job
    qtbot.waitUntil(lambda: child.pid is not None, timeout=20_000)
    dock.run_bar.cancel_button.click()
    begun = time.monotonic()
    settled(dock, 5_000)
    qtbot.waitUntil(lambda: not child.is_alive, timeout=5_000)
    assert time.monotonic() - begun < 5, 'before its first preview, too'
    assert volumes(viewer) == []
    assert reported == []
    assert 'cancelled' in dock.run_bar.status.text()

    dock.run_page()
    qtbot.waitUntil(lambda: bool(volumes(viewer)), timeout=60_000)
    os.kill(dock.session.task.job.pid, signal.SIGKILL)
    settled(dock, 10_000)
    assert len(reported) == 1
    assert 'signal 9' in reported[0]
    assert len(volumes(viewer)) == 2, 'the last preview stays'

    choose(dock, SIRT(iterations=3))
    dock.run_page()
    settled(dock)
    assert dock.session.volume is not None
    assert len(reported) == 1
