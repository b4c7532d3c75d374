"""Steps small enough to watch: they count, wait, chatter and crash."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Literal

import numpy as np

from napari_diptomo.series import Finding, InputError, MapSeries, Observer, Remedy, Step, Volume, Watch, param


class Count(Step):
    """Adds random numbers, one iteration after another: an interrupted run must give the same sum."""

    title = 'Count'
    iterations: int = param(10, 'Iterations.', ge=1)
    wait: float = param(0.0, 'Pause between them.', unit='s', ge=0.0)
    size: int = param(4, 'Edge of the volume.', ge=1)
    die_at: int = param(0, 'Iteration at which the process kills itself, if nothing was restored; 0: never.')

    def _run(self, data: MapSeries, observer: Observer | None) -> Volume:
        watch = Watch(observer, self.title, self.iterations)
        rng = np.random.default_rng(1)
        total, start = np.zeros((len(data.channels), self.size, self.size, self.size), np.float32), 0
        saved = watch.load_state()
        if saved is not None:
            total, start = saved['total'], saved['iteration']
            rng.bit_generator.state = saved['random']
        for i in range(start, self.iterations):
            if i + 1 == self.die_at and saved is None:
                os.kill(os.getpid(), 9)
            total = total + rng.random(total.shape, np.float32)
            time.sleep(self.wait)
            state = {'total': total, 'iteration': i + 1, 'random': rng.bit_generator.state}
            watch.save_state(lambda state=state: state)
            frame = np.full_like(total, i + 1)
            if watch.step(i + 1, {'sum': float(total.mean())}, validation=1.0 / (i + 1), preview=lambda f=frame: f):
                break
        return Volume(total, data.channels, notes={'iterations': i + 1, 'restored': saved is not None})


class Break(Step):
    """Fails in a way of one's choice."""

    title = 'Break'
    how: Literal['input', 'runtime', 'memory', 'torch', 'kill', 'abort'] = param('input', 'The way.')

    def _run(self, data: MapSeries, observer: Observer | None) -> Volume:
        if self.how == 'input':
            raise InputError('The maps are all zero; choose other elements.')
        if self.how == 'runtime':
            raise RuntimeError('matrix is\nsingular')
        if self.how == 'memory':
            raise MemoryError
        if self.how == 'torch':
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")
        os.kill(os.getpid(), 9 if self.how == 'kill' else 6)
        return Volume(data.data, data.channels)


class Chatter(Step):
    """Prints on every standard output there is, then returns the maps as they are."""

    title = 'Chatter'

    def _run(self, data: MapSeries, observer: Observer | None) -> MapSeries:
        print('{"type": "result", "path": "nowhere"}')
        sys.__stdout__.write('half a line')
        sys.__stdout__.flush()
        os.write(1, b'from a C library\n')
        logging.getLogger('napari_diptomo.series').warning('two tilts are alike')
        return data


class Doubting(Step):
    """Finds something of every level, the note first."""

    wide: bool = param(False, 'Answers the doubt.')

    def _run(self, data: MapSeries, observer: Observer | None) -> Volume:
        found = [Finding('note', 'angles', 'Nobody checked them [yet].')]
        if not self.wide:
            remedy = Remedy('Make it wide', 'job_steps:Doubting', {'wide': True})
            found.append(Finding('doubt', 'width', 'It seems too narrow.', {'width in nm': 1.5}, remedy))
        found.append(Finding('stop', 'axis', f'No axis explains these maps, {"tilt by tilt, " * 9}at all.'))
        return Volume(data.data, data.channels, findings=tuple(found))


class NeedsVolume(Step):
    """Takes a volume."""

    def _run(self, data: Volume, observer: Observer | None) -> Volume:
        return data
