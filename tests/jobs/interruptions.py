"""Interrupts ``diptomo run`` at any moment, resumes it, and compares with the run that nobody disturbed.

``python tests/jobs/interruptions.py`` does it 40 times, 10 of them within the final save, and prints one
line each; `test_interruptions` a few times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

HERE = Path(__file__).parent

#: Runs the command with frequent checkpoints, and interrupts itself at a point of the final save where one is asked for.
COMMAND = """
import os, signal, sys
from napari_diptomo.cli import app
from napari_diptomo.jobs import checkpoint, commands
from napari_diptomo.series import files

point, number = os.environ.get('AT_POINT', ''), int(os.environ.get('WITH_SIGNAL', '9'))
real_job, real_save, real_remove = commands.ChildJob, commands.save, checkpoint.remove
commands.ChildJob = lambda *a, **k: real_job(*a, **k, checkpoint_interval=0.05)

def hit(name):
    if name == point:
        for _ in range(2 if number == signal.SIGINT else 1):
            os.kill(os.getpid(), number)

def around(function, before, after):
    def wrapped(*a, **k):
        hit(before)
        try:
            return function(*a, **k)
        finally:
            hit(after)
    return wrapped

def saving(*a, **k):
    for name, function in (('_reserved', 'reserve'), ('_to_the_disk', 'sync')):
        setattr(files, name, around(getattr(files, name), 'before ' + function, 'after ' + function))
    files.os.replace = around(os.replace, 'before replace', 'after replace')
    return real_save(*a, **k)

commands.save = around(saving, 'before save', 'after save')
checkpoint.remove = around(real_remove, 'before remove', 'after remove')
app(sys.argv[1:])
"""
POINTS = [f'{when} {what}' for what in ('save', 'reserve', 'sync', 'replace', 'remove') for when in ('before', 'after')]
#: Where the result is not yet in its place, so that its checkpoint alone holds what was computed.
UNSAVED = POINTS[: POINTS.index('after replace')]
SIGNALS = {'TERM': signal.SIGTERM, 'INT twice': signal.SIGINT, 'KILL': signal.SIGKILL}


@dataclass(frozen=True)
class Blow:
    """How a run is interrupted: after ``seconds``, by itself at a ``point`` of the final save, or once it is ``computing``."""

    kind: str
    target: str = 'parent'
    seconds: float = 0.0
    point: str = ''
    computing: bool = False

    def __str__(self) -> str:
        when = self.point or ('the first iterations' if self.computing else f'{self.seconds:.2f} s')
        return f'{self.kind} to the {self.target} at {when}'


class Bench:
    """A folder with a small series and a recipe, and the volume of a run that nobody disturbed.

    Parameters
    ----------
    folder : Path
        Empty.
    step : mapping
        Of the recipe.
    """

    def __init__(self, folder: Path, step: dict) -> None:
        from napari_diptomo.series import MapSeries

        self.folder = folder
        self.output, self.recipe = folder / 'out' / 'v.hspy', folder / 'r.json'
        for name in ('out', 'tmp', 'state'):
            (folder / name).mkdir()
        angles = np.arange(-40.0, 41.0, 20.0)
        counts = np.random.default_rng(0).poisson(4.0, (2, len(angles), 8, 8))
        MapSeries(counts, angles, ('Ge', 'Te'), pixel_size=2.0).save(folder / 'maps.hspy')
        source = {'paths': ['maps.hspy']}
        self.recipe.write_text(json.dumps({'napari-diptomo': 1, 'source': source, 'steps': [step]}))
        begun = time.monotonic()
        assert self.run() == 0, self.said
        self.seconds = time.monotonic() - begun
        self.whole = self.volume()

    def start(self, *options: str, **environment: str) -> subprocess.Popen:
        """Start the command; its own folder for temporary files shows what it leaves."""
        paths = [str(HERE), str(HERE.parents[1] / 'src'), os.environ.get('PYTHONPATH', '')]
        env = {
            **os.environ,
            'PYTHONPATH': os.pathsep.join(filter(None, paths)),
            'TMPDIR': str(self.folder / 'tmp'),
            'XDG_STATE_HOME': str(self.folder / 'state'),
            'OMP_NUM_THREADS': '1',
            **environment,
        }
        command = [sys.executable, '-c', COMMAND, 'run', str(self.recipe), '-o', str(self.output), *options]
        with open(self.folder / 'said.txt', 'w') as said:
            return subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)

    def run(self, *options: str, **environment: str) -> int:
        return self.start(*options, **environment).wait(300)

    @property
    def checkpoint(self) -> Path:
        return self.output.with_name(f'{self.output.name}.checkpoint')

    @property
    def said(self) -> str:
        return (self.folder / 'said.txt').read_text()

    def volume(self) -> bytes:
        from napari_diptomo.series import load

        return load(self.output).data.tobytes()

    def clear(self) -> None:
        for path in (self.folder / 'out').iterdir():
            path.unlink()

    def strike(self, blow: Blow) -> int:
        """Run and interrupt; returns the exit code when all processes are gone."""
        if blow.point:
            code = self.run(AT_POINT=blow.point, WITH_SIGNAL=str(int(SIGNALS[blow.kind])))
        else:
            process = self.start()
            if blow.computing:
                while not self.has_state() and process.poll() is None:
                    time.sleep(0.01)
            time.sleep(blow.seconds)
            target = psutil.Process(process.pid)
            if blow.target == 'child':
                target = next(iter(target.children()), target) if target.is_running() else target
            for press in range(2 if blow.kind == 'INT twice' else 1):
                time.sleep(0.2 * press)
                if target.is_running():
                    target.send_signal(SIGNALS[blow.kind])
            code = process.wait(60)
        end = time.monotonic() + 30
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        return code

    def has_state(self) -> bool:
        """Whether a checkpoint holds weights already, and not only the recipe."""
        return self.checkpoint.exists() and self.checkpoint.stat().st_size > 50_000

    def processes(self) -> list[psutil.Process]:
        """Processes of this bench that still run."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get('TMPDIR') == str(self.folder / 'tmp') and process.status() != 'zombie':
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def left(self) -> list[str]:
        """Files that nobody asked for, in any folder that a run writes to."""
        # What libraries put aside (caches of compiled code) is not a run's.
        temporary = [p.name for p in (self.folder / 'tmp').iterdir() if p.name.startswith('diptomo')]
        kept = [p.name for p in (self.folder / 'state').rglob('*') if p.is_file()]
        beside = [p.name for p in (self.folder / 'out').iterdir() if p != self.output]
        return [*temporary, *kept, *beside]

    def survives(self, blow: Blow) -> str:
        """Interrupt, resume, compare; '' when all is as it should be, else what is not."""
        self.clear()
        self.strike(blow)
        if self.processes():
            return f'still running: {self.processes()}'
        before = self.said
        # Before it has begun to compute there is nothing to resume: it is run again.
        if blow.computing and not self.has_state():
            return 'it had ended before'
        if blow.point in UNSAVED and not self.checkpoint.exists():
            return f'the checkpoint is gone: {before}'
        begun = any((self.folder / 'out').iterdir()) or any((self.folder / 'state').rglob('*.npz'))
        if self.run(*(['--resume'] if begun else [])) != 0:
            return f'was not resumed: {self.said} after {before}'
        if self.volume() != self.whole:
            return f'another volume: {before} and then {self.said}'
        return f'left: {self.left()}' if self.left() else ''


def main(random_blows: int = 30, seed: int = 0) -> None:
    choose = random.Random(seed)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), {'step': 'DIPmTV', 'iterations': 24, 'device': 'cpu', 'precision': 'float32'})
        print(f'undisturbed: {bench.seconds:.1f} s', flush=True)
        blows = [
            Blow(choose.choice(list(SIGNALS)), choose.choice(['parent', 'child']), choose.uniform(0, bench.seconds))
            for _ in range(random_blows)
        ]
        blows += [Blow(list(SIGNALS)[i % 3], 'parent', point=point) for i, point in enumerate(POINTS)]
        for number, blow in enumerate(blows, start=1):
            fault = bench.survives(blow)
            failed += bool(fault)
            print(f'{number:3} {blow}: {fault or "as it should be"}', flush=True)
    print(f'{len(blows) - failed} of {len(blows)}')


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
