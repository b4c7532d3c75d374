"""How the window feels while a volume is computed, and how fast a cancelled run is gone.

A real napari window (under Xvfb where there is no screen) runs DIPm-TV on the
sample with live previews. A timer is due every 5 ms; how late it comes is what
a mouse click would have waited. Prints one table and writes it as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / 'results' / 'gui_latency.json'
TICK_MS = 5
IDLE_SECONDS = 5.0
RUN_SECONDS = 20.0
REPEATS = 3


class Ticks:
    """When the timer came."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.times: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    def record(self, seconds: float) -> np.ndarray:
        """Lateness of each tick in ms during so many seconds of the event loop."""
        self.times = []
        self._timer.start()
        spin(lambda: False, seconds)
        self._timer.stop()
        return np.maximum(np.diff(self.times) * 1e3 - TICK_MS, 0)

    def _tick(self) -> None:
        self.times.append(time.perf_counter())


def spin(done: Any, seconds: float) -> bool:
    """Let Qt's own event loop run until `done` says so or the time is over."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    end = time.monotonic() + seconds
    watch = QTimer()
    watch.timeout.connect(lambda: loop.quit() if done() or time.monotonic() >= end else None)
    watch.start(20)
    loop.exec_() if hasattr(loop, 'exec_') else loop.exec()
    return bool(done())


def row(late: np.ndarray) -> dict[str, float]:
    """Median, 95th percentile and worst lateness in ms, and the share of the time that hung longer than 50 ms."""
    hung = late[late > 50].sum() / max(late.sum() + TICK_MS * late.size, 1e-9)
    p50, p95 = np.percentile(late, (50, 95))
    values = {'median_ms': p50, 'p95_ms': p95, 'worst_ms': late.max(), 'share_over_50_ms': hung}
    return {name: round(float(value), 3) for name, value in values.items()}


def start(dock: Any) -> Any:
    """Begin a run; returns its child process once a preview was shown."""
    shown: list[int] = []
    dock.session.frame.connect(lambda frame, iteration: shown.append(iteration))
    dock.run_page()
    child = dock.session.task.job
    if not spin(lambda: bool(shown), 120):
        sys.exit(f'No preview came: {child.details}')
    return child


def cancel(dock: Any, child: Any) -> float:
    """Press Cancel; seconds until the process is gone, watched from a thread that no repaint holds up."""
    begun = time.perf_counter()
    ended: list[float] = []

    def watch() -> None:
        while child.is_alive:
            time.sleep(0.005)
        ended.append(time.perf_counter() - begun)

    threading.Thread(target=watch, daemon=True).start()
    dock.run_bar.cancel_button.click()
    spin(lambda: bool(ended) and not dock.session.busy, 10)
    return ended[0]


def measure() -> dict[str, Any]:
    """All figures."""
    import napari

    viewer = napari.Viewer(show=True)
    spin(lambda: False, 2)
    begun = time.perf_counter()
    _, dock = viewer.window.add_plugin_dock_widget('napari-diptomo', 'Tomography')
    spin(lambda: dock.isVisible(), 5)
    opened = time.perf_counter() - begun
    # Not before: the time to open has the imports that it needs.
    from napari_diptomo._sample_data import lamella_maps
    from napari_diptomo.reconstruct import DIPmTV
    from napari_diptomo.widgets.layers.image_layers import KEY
    from napari_diptomo.widgets.tasks import opening as work

    maps = lamella_maps()[0][1]['metadata'][KEY]['maps']
    dock.open_page.done(work.look_over(maps))
    dock.stages.go_to(dock.reconstruct_page)
    dock.reconstruct_page.forms['DIPm-TV'].set_value(DIPmTV(iterations=100_000))
    spin(lambda: 'Needs' in dock.reconstruct_page.estimate.text(), 30)

    ticks = Ticks()
    rows = {'idle': row(ticks.record(IDLE_SECONDS))}
    gone = []
    for repeat in range(REPEATS):
        child = start(dock)
        if repeat == 0:
            rows['while DIPm-TV runs'] = row(ticks.record(RUN_SECONDS))
        gone.append(cancel(dock, child))
    viewer.close()
    return {
        'volume': [len(maps.channels), *(maps.data.shape[-1],) * 3],
        'cores': os.cpu_count(),
        'dock_opens_s': round(opened, 3),
        'event_latency': rows,
        'cancel_to_death_s': [round(seconds, 3) for seconds in gone],
    }


def table(found: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f'{"event latency":<22}{"median":>10}{"p95":>10}{"worst":>10}{"hung > 50 ms":>15}']
    for name, values in found['event_latency'].items():
        cells = [f'{values[key]:.1f} ms' for key in ('median_ms', 'p95_ms', 'worst_ms')]
        lines.append(f'{name:<22}{cells[0]:>10}{cells[1]:>10}{cells[2]:>10}{values["share_over_50_ms"]:>14.1%} ')
    worst = max(found['cancel_to_death_s'])
    lines.append(f'from Cancel to the death of the child: {worst:.2f} s at worst of {len(found["cancel_to_death_s"])}')
    lines.append(f'the dock opens in {found["dock_opens_s"]:.2f} s; volume {" x ".join(map(str, found["volume"]))}')
    return '\n'.join(lines)


def main() -> int:
    if sys.platform.startswith('linux') and not os.environ.get('DISPLAY') and not os.environ.get('WAYLAND_DISPLAY'):
        xvfb = shutil.which('xvfb-run')
        if xvfb is None:
            print('There is no screen and no Xvfb; `make system` installs it.')
            return 1
        os.execv(xvfb, [xvfb, '-a', '-s', '-screen 0 1366x768x24', sys.executable, *sys.argv])
    found = measure()
    print(table(found))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
