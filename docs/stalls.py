"""Stacks of the window's thread while events waited, sampled whenever a clock is late."""

from __future__ import annotations

import faulthandler
import re
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

#: Seconds late from which a wait is sampled, and between two samples.
_LATE, _PERIOD = 0.3, 0.05
_OURS, _HERE = 'napari_diptomo', str(Path(__file__).parent)


class Line(NamedTuple):
    """A line of a stack."""

    filename: str
    lineno: str
    name: str


class Stalls:
    """Samples the stack of the thread that made it while `tick` is late.

    A wait that is over is kept as its length, the picture before it, the share of its samples while threads of the software
    OpenGL were at work (Linux), and the lines in which most of it was spent, from the outermost of ours to the innermost.
    """

    def __init__(self) -> None:
        self.step = ''
        self.found: list[tuple[float, str, str]] = []
        self._thread = threading.get_ident()
        self._ticked: float | None = None
        self._samples: list[tuple[str, bool]] = []
        threading.Thread(target=self._watch, name='stalls', daemon=True).start()

    def tick(self) -> None:
        """Events are served."""
        now = time.perf_counter()
        if self._ticked is not None and self._samples:
            where = Counter(place for place, _ in self._samples).most_common(1)[0][0]
            rendered = sum(at_it for _, at_it in self._samples) / len(self._samples)
            self.found.append((now - self._ticked, self.step, f'{rendered:.0%} of it rendering; {where}'))
        self._ticked, self._samples = now, []

    def pause(self) -> None:
        """Leave out the time until the next tick, which no user waits."""
        self._ticked, self._samples = None, []

    def longest(self, number: int = 12) -> list[str]:
        """The longest waits, one line each."""
        longest = sorted(self.found, reverse=True)[:number]
        return [f'{seconds * 1e3:.0f} ms after {step}: {where}' for seconds, step, where in longest]

    def _watch(self) -> None:
        spent = 0.0
        while True:
            time.sleep(_PERIOD)
            ticked = self._ticked
            if ticked is None or time.perf_counter() - ticked < _LATE:
                continue
            before, spent = spent, _render_seconds()
            self._samples.append((_where(_stack(self._thread)), spent > before))


def _stack(thread: int) -> list[Line]:
    """The stack of a thread, from its outermost line.

    Not by `sys._current_frames`: a frame in hand keeps its local variables alive when its function has returned, a
    painter of a widget among them, and ends them in the wrong thread.
    """
    with tempfile.TemporaryFile('w+') as dumped:
        faulthandler.dump_traceback(dumped, all_threads=True)
        dumped.seek(0)
        of_threads = re.split(r'^(?:Current thread|Thread) (0x[0-9a-f]+).*$', dumped.read(), flags=re.MULTILINE)
    stacks = {int(name, 16): lines for name, lines in zip(of_threads[1::2], of_threads[2::2], strict=True)}
    found = re.findall(r'^  File "(.*)", line (\d+) in (.*)$', stacks.get(thread, ''), flags=re.MULTILINE)
    return [Line(*line) for line in reversed(found)]


def _render_seconds() -> float:
    """Processor time of the threads of Mesa's software renderer, seconds."""
    seconds = 0.0
    for task in Path('/proc/self/task').glob('*/stat'):
        # pid (name) state ...: the name may have spaces.
        try:
            name, _, rest = task.read_text().partition('(')[2].rpartition(')')
        except (FileNotFoundError, ProcessLookupError):  # ended since it was listed
            continue
        if name.startswith('llvmpipe'):
            fields = rest.split()
            seconds += (int(fields[11]) + int(fields[12])) / 100
    return seconds


def _where(stack: list[Line]) -> str:
    """The lines of ours and the innermost ones, without those of the walk itself."""
    lines = [frame for frame in stack if not frame.filename.startswith(_HERE)]
    ours = [frame for frame in lines if _OURS in frame.filename]
    kept = [*ours[-4:], *[frame for frame in lines[-3:] if frame not in ours]]
    return (
        ' > '.join(f'{Path(frame.filename).stem}.{frame.name}:{frame.lineno}' for frame in kept)
        or 'Qt, outside of Python'
    )
