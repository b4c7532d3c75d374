"""Seconds and memory of the maps of large tilt series of spectra.

EDX: 16 tilts of 256 x 256 pixels and 2048 channels (the spectra of a simulated lamella of 64 x 64 pixels, four by four of them),
in a file on disk. EELS: dual range, 9 tilts of 128 x 128 pixels. Each runs in a process of its own, on all cores; memory is the
peak of that process, files mapped into memory included. Silence is the longest time without a message of progress.
Writes `docs/spectra-speed.md`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from _processor import processor
from napari_diptomo.series import Observer, Recipe, SpectralTiltSeries
from napari_diptomo.simulate import demo_eels, edx_tilt_series, lamella
from napari_diptomo.spectra import EDXMaps, EELSOxidationMaps

PAGE = Path(__file__).parent.parent / 'docs' / 'spectra-speed.md'
ANGLES = np.linspace(-40, 40, 16)


class Silence(Observer):
    """Longest time without a report, seconds."""

    def __init__(self) -> None:
        self.last, self.longest = time.perf_counter(), 0.0

    def report(self, progress: object) -> None:
        now = time.perf_counter()
        self.longest, self.last = max(self.longest, now - self.last), now


def make_edx(folder: Path) -> None:
    series = edx_tilt_series(lamella(64, seed=3), ANGLES, peak_counts=10.0, channels=2048).series
    counts = np.lib.format.open_memmap(folder / 'edx.npy', 'w+', np.uint8, (16, 256, 256, 2048))
    for tilt in range(16):
        counts[tilt] = np.tile(np.minimum(np.asarray(series.counts[tilt]), 255).astype(np.uint8), (4, 4, 1))
    counts.flush()
    np.savez(folder / 'edx.npz', energy=series.energy, angles=series.angles)


def edx(folder: Path) -> tuple[SpectralTiltSeries, EDXMaps]:
    known = np.load(folder / 'edx.npz')
    counts = np.load(folder / 'edx.npy', mmap_mode='r')
    series = SpectralTiltSeries(counts, known['energy'], known['angles'], 1.0, recipe=Recipe())
    return series, EDXMaps(elements=('Ge', 'Sb', 'Te'))


def make_eels(folder: Path) -> None:
    series = demo_eels(size=128).series
    core = series.core_loss
    assert core is not None
    np.save(folder / 'eels.npy', np.asarray(series.counts))
    np.save(folder / 'core.npy', np.asarray(core.counts))
    np.savez(folder / 'eels.npz', energy=series.energy, angles=series.angles, core=core.energy, tilts=core.tilts)


def eels(folder: Path) -> tuple[SpectralTiltSeries, EELSOxidationMaps]:
    from napari_diptomo.series.data import CoreLoss

    known = np.load(folder / 'eels.npz')
    core = CoreLoss(np.load(folder / 'core.npy', mmap_mode='r'), known['core'], tuple(map(int, known['tilts'])))
    counts = np.load(folder / 'eels.npy', mmap_mode='r')
    series = SpectralTiltSeries(
        counts, known['energy'], known['angles'], 1.0, energy_unit='eV', core_loss=core, recipe=Recipe()
    )
    return series, EELSOxidationMaps()


KINDS: dict[
    str, tuple[Callable[[Path], None], Callable[[Path], tuple[SpectralTiltSeries, EDXMaps | EELSOxidationMaps]]]
] = {
    'EDX, 16 x 256 x 256 x 2048': (make_edx, edx),
    'EELS, dual, 9 x 128 x 128': (make_eels, eels),
}


def measured(kind: str, folder: Path) -> dict[str, float]:
    """Of this process: seconds of the clock and of the processor, GiB, silence."""
    series, step = KINDS[kind][1](folder)
    silence = Silence()
    begin, used = time.perf_counter(), time.process_time()
    step.run(series, observer=silence)
    silence.report(None)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        'seconds': time.perf_counter() - begin,
        'processor': time.process_time() - used,
        'memory': most,
        'silence': silence.longest,
        'load': os.getloadavg()[0],
    }


def main() -> None:
    lines = ['# Speed of the maps', '', 'Written by `make bench ONLY=spectra_speed`; do not edit by hand.', '']
    lines += [(__doc__ or '').split('\n\n', 1)[1].rsplit('\nWrites', 1)[0].strip(), '']
    lines += [f'Measured on {os.cpu_count()} cores, {processor()}.', '']
    lines += [
        '| series | seconds | of the processor | peak of memory / GiB | silence / s | load of the machine |',
        '|---' * 6 + '|',
    ]
    with tempfile.TemporaryDirectory() as folder:
        for kind, (make, _) in KINDS.items():
            make(Path(folder))
            done = subprocess.run(
                [sys.executable, __file__, '--one', kind, folder], check=True, stdout=subprocess.PIPE, text=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            lines.append(
                f'| {kind} | {found["seconds"]:.0f} | {found["processor"]:.0f} | {found["memory"]:.2f} | {found["silence"]:.0f} | '
                f'{found["load"]:.1f} |'
            )
            print(lines[-1], flush=True)
    PAGE.write_text('\n'.join([*lines, '']), encoding='utf-8')


if __name__ == '__main__':
    if sys.argv[1:2] == ['--one']:
        print(json.dumps(measured(sys.argv[2], Path(sys.argv[3]))))
    else:
        main()
