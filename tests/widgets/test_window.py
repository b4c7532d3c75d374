"""In a real window: the dock by its manifest, closing it, closing napari, dropping files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QDockWidget, QMessageBox

from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.file_drops import hand_over
from napari_diptomo.widgets.tasks.opening import look_over

ENDLESS = DIPmTV(preset='fast', iterations=5000, widths=(8, 8), skips=(2, 2))


def running(dock: Any, maps: MapSeries, qtbot: Any) -> Any:
    """Start an endless run and wait for its process."""
    dock.open_page.done(look_over(maps))
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    page.forms[ENDLESS.title].set_value(ENDLESS)
    dock.run_page()
    child = dock.session.task.job
    qtbot.waitUntil(lambda: child.pid is not None, timeout=20_000)
    return child


def test_the_manifest_opens_the_dock(opened: Callable[[Any], Any], window: Any) -> None:
    dock = opened(window)
    assert dock.viewer is not None
    assert dock.sizeHint().width() <= 450
    assert dock.minimumSizeHint().width() <= 450, 'fits beside the canvas on 1366 x 768'
    assert dock.minimumSizeHint().height() <= 640


def test_the_x_of_the_dock_asks_and_cancel_kills_the_child(
    opened: Callable[[Any], Any], window: Any, maps: MapSeries, qtbot: Any
) -> None:
    dock = opened(window)
    child = running(dock, maps, qtbot)
    frame = dock.parent()
    assert isinstance(frame, QDockWidget)
    main = dock.window()
    frame.destroyOnClose()
    (box,) = main.findChildren(QMessageBox)
    assert child.is_alive
    next(button for button in box.buttons() if 'Cancel' in button.text()).click()
    qtbot.waitUntil(lambda: not child.is_alive, timeout=5_000)
    window.layers.clear()
    window.add_image(np.zeros((4, 4)))


def test_closing_napari_kills_the_child(
    opened: Callable[[Any], Any], make_napari_viewer: Any, maps: MapSeries, qtbot: Any
) -> None:
    window = make_napari_viewer()
    dock = opened(window)
    child = running(dock, maps, qtbot)
    dock.session.frame.connect(lambda *_: None)
    del dock
    window.close()
    qtbot.waitUntil(lambda: not child.is_alive, timeout=5_000)
    qtbot.wait(200)


def test_dropped_files_are_listed_and_opened(
    opened: Callable[[Any], Any], window: Any, tmp_path: Path, qtbot: Any, reported: list[str]
) -> None:
    dock = opened(window)
    for angle in (-10, 0, 10):
        (tmp_path / f'{angle}.bcf').write_bytes(b'x')
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in tmp_path.iterdir()])
    where, keys, buttons = QPointF(9, 9), Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    enter = QDragEnterEvent(where.toPoint(), Qt.DropAction.CopyAction, mime, buttons, keys)
    dock.dragEnterEvent(enter)
    assert enter.isAccepted()
    dock.dropEvent(QDropEvent(where, Qt.DropAction.CopyAction, mime, buttons, keys))
    table = dock.open_page.table
    assert [table.item(row, 1).text() for row in range(3)] == ['-10.bcf', '0.bcf', '10.bcf']
    assert [table.item(row, 2).text() for row in range(3)] == ['-10', '0', '10']
    qtbot.waitUntil(lambda: not dock.session.busy, timeout=30_000)
    assert len(reported) == 1, 'they are no real files'


def test_the_settings_page_has_our_settings(window: Any) -> None:
    from napari_diptomo.widgets import preferences as settings

    assert settings._compute() is not None
    assert settings.preview_seconds() == 1.0
    assert settings.default_device() == 'auto'


def test_what_napari_reads_goes_to_the_open_dock(
    opened: Callable[[Any], Any], window: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = opened(window)
    taken: list[list[str]] = []
    dock._dropped.files.connect(taken.append)
    paths = [tmp_path / f'{angle}.bcf' for angle in (-10, 0, 10)]
    for path in paths:
        path.write_bytes(b'x')
        assert hand_over([str(path)])
    qtbot.waitUntil(lambda: bool(taken), timeout=3_000)
    assert taken == [[str(path) for path in paths]]
    qtbot.waitUntil(lambda: not dock.session.busy, timeout=30_000)
    dock.cleanup()
    assert not hand_over(['x'])


def test_the_sample_is_taken_over_by_the_dock(opened: Callable[[Any], Any], window: Any, qtbot: Any) -> None:
    window.open_sample('napari-diptomo', 'lamella')
    assert [layer.name for layer in window.layers] == ['Ge maps', 'Sb maps', 'Te maps']
    dock = opened(window)
    qtbot.waitUntil(lambda: dock.session.maps is not None, timeout=5_000)
    assert dock.session.maps.channels == ('Ge', 'Sb', 'Te')
    assert len(window.layers) == 3


def test_the_volume_is_seen_in_its_colours(
    opened: Callable[[Any], Any], make_napari_viewer: Any, maps: MapSeries, qtbot: Any
) -> None:
    window = make_napari_viewer(show=True)
    dock = opened(window)
    dock.runs.begin(maps, 'SIRT')
    z, y, x = np.mgrid[:16, :16, :16] - 7.5
    ball = (x**2 + y**2 + z**2 < 25).astype(np.float32)
    dock.runs.show(np.stack([ball, np.zeros_like(ball)]))
    picture = window.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
    blue = (picture[..., 2] > 100) & (picture[..., 2] > 1.5 * picture[..., 0])
    assert blue.sum() > 500, 'germanium is sky blue'


def test_a_theme_chosen_after_the_viewer_is_gone_harms_nobody(
    opened: Callable[[Any], Any], make_napari_viewer: Any
) -> None:
    from napari.settings import get_settings

    window = make_napari_viewer()
    dock = opened(window)
    plot = dock.reconstruct_page.convergence
    window.close()
    get_settings().appearance.theme = 'light'
    get_settings().appearance.theme = 'dark'
    assert plot is not None


def test_the_plots_follow_the_theme(opened: Callable[[Any], Any], window: Any) -> None:
    from napari.settings import get_settings

    dock = opened(window)
    plot = dock.reconstruct_page.convergence
    dark = plot.backgroundBrush().color().lightness()
    get_settings().appearance.theme = 'light'
    assert plot.backgroundBrush().color().lightness() > dark + 100
    get_settings().appearance.theme = 'dark'


def test_opening_the_dock_imports_neither_torch_nor_hyperspy_nor_the_stages_nor_plots() -> None:
    import subprocess

    code = (
        'import sys\n'
        'from qtpy.QtWidgets import QApplication\n'
        'app = QApplication([])\n'
        'from napari.components import ViewerModel\n'
        'from napari_diptomo.widgets import TomographyDock, preferences\n'
        # napari reads the manifests of all plugins for them.
        'preferences.get_plugin_settings = lambda plugin: sys.exit("asked for the settings of the plugin")\n'
        'dock = TomographyDock(ViewerModel())\n'
        'dock.show()\n'
        'app.processEvents()\n'
        'late = ("torch", "hyperspy", "exspy", "rsciio", "scipy.signal", "scipy.stats", "scipy.ndimage", "scipy.spatial")\n'
        'late += ("pyqtgraph", "matplotlib.pyplot")\n'
        'stages = ("spectra", "align", "reconstruct", "assess", "geometry")\n'
        'files = ("reading.tilt_series", "reading.saved", "reading.hyperspy_adapter", "reading.file_selection", "writing.save")\n'
        'files += ("showing.plots",)\n'
        'late += tuple(f"napari_diptomo.{stage}" for stage in stages)\n'
        'late += tuple(f"napari_diptomo.series.{module}" for module in files)\n'
        'print([m for m in late if m in sys.modules])\n'
        'dock.cleanup()\n'
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().splitlines()[-1] == '[]', done.stderr[-2000:]
    assert time.monotonic() > begun


def test_no_plot_and_no_periodic_table_is_made_before_it_is_seen(dock: Any) -> None:
    from napari_diptomo.widgets.controls.periodic_table import PeriodicTable
    from napari_diptomo.widgets.plots.plot_place import PlotPlace

    dock.show()
    places = dock.findChildren(PlotPlace)
    assert len(places) == 12
    assert not any(place.made for place in places)
    assert not dock.findChildren(PeriodicTable)


def test_the_stages_and_plots_are_imported_beside_the_window_and_without_torch() -> None:
    import subprocess

    code = (
        'import sys\n'
        'from napari_diptomo.widgets.tasks.stage_imports import import_stages\n'
        'thread = import_stages()\n'
        'assert import_stages() is thread\n'
        'thread.join()\n'
        'print([m for m in ("torch", "hyperspy", "exspy", "rsciio") if m in sys.modules])\n'
        'print([f"napari_diptomo.{m}" in sys.modules for m in ("spectra.edx.edx_maps", "align.align", "reconstruct.steps",'
        ' "assess.composition", "series.reading.tilt_series")], "pyqtgraph" in sys.modules)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().splitlines()[-2:] == ['[]', '[True, True, True, True, True] True'], done.stderr[-2000:]
