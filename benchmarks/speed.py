"""How fast the reconstruction is, and what limits it: ratios in one run on one machine.

At 64^3 voxels, 3 channels, 17 tilts (lamella 10): time of an iteration of
`balanced`, `fast` and the published settings, with our kernels and as plain
float32 torch code (`_published.py`); the projector's and the convolutions'
shares; each convolution against the best layout and type of this machine; the
memory estimate against what is used. Writes `results/speed.json` and
`docs/speed.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'speed.json'
DOCS = HERE.parent / 'docs' / 'speed.md'
SIZE = 64
MEMORY_SIZES = (64, 96, 160)
PRESETS = ('balanced', 'fast')
PUBLISHED = ('published-edx', 'published-eels')


def iterations(size: int, repeats: int) -> dict[str, Any]:
    """Seconds of an iteration of everything, the projector's share, the profile, the convolutions."""
    import torch

    from _cases import CASES, sample
    from _profile import convolution_table, fit_of, operations, product_peak, projector_seconds, seconds_of
    from _published import plain_iteration
    from napari_diptomo.reconstruct import DIPmTV

    maps = sample(CASES['lamella 10'], size, 30, 0).maps
    fits = {preset: fit_of(DIPmTV(preset=preset), maps) for preset in PRESETS}
    fits |= {f'{p}, our kernels': fit_of(DIPmTV(preset=p, precision='bf16'), maps) for p in PUBLISHED}
    calls: dict[str, Any] = {name: fit.iterate for name, fit in fits.items()}
    calls |= {f'{preset}, plain float32': plain_iteration(maps, preset) for preset in PUBLISHED}
    seconds = seconds_of(calls, repeats)
    planned = {preset: DIPmTV(preset=preset).iterations for preset in PRESETS}
    balanced = fits['balanced']
    return {
        'size': size,
        'channels': len(maps.channels),
        'tilts': len(maps.angles),
        'processor': processor(),
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'precision': 'bf16' if balanced.bf16 else 'float32',
        'iteration': {name: {'seconds': round(value, 4)} for name, value in seconds.items()},
        'planned_iterations': planned,
        'projector': {name: round(projector_seconds(fits[name]), 4) for name in PRESETS},
        'product_gflops': product_peak(),
        'profile': operations(balanced.iterate),
        'convolutions': convolution_table(balanced),
    }


def processor() -> str:
    """Name of the processor."""
    import platform

    info = Path('/proc/cpuinfo')
    if info.exists():
        lines = [line for line in info.read_text(encoding='utf-8').splitlines() if line.startswith('model name')]
        return lines[0].partition(':')[2].strip() if lines else platform.machine()
    return platform.processor() or platform.machine()


def memory(size: int, preset: str) -> dict[str, Any]:
    """Estimated and used memory of two iterations; run in a process of its own."""
    from _cell import peak_memory, reset_peak, resident
    from napari_diptomo.geometry import ParallelBeam
    from napari_diptomo.reconstruct import DIPmTV
    from napari_diptomo.series import MapSeries, Observer, Progress, Request

    class Twice(Observer):
        """Ends the run after its second iteration: all buffers are there by then."""

        done = 0

        def report(self, progress: Progress) -> None:
            self.done = progress.iteration

        def request(self) -> Request:
            return Request.FINISH if self.done >= 2 else Request.GO

    angles = np.arange(-40, 41, 5.0)
    block = np.zeros((3, size, size, size), np.float32)
    block[:, size // 4 : -size // 4, 2:-2, size // 4 : -size // 4] = 1
    clean = ParallelBeam(angles, block.shape[1:]).project(block)
    counts = np.random.default_rng(0).poisson(clean * 30 / clean.max()).astype(np.float32)
    del block, clean
    maps = MapSeries(counts, angles, ('Ge', 'Sb', 'Te'))
    step = DIPmTV(preset=preset)
    estimate = step.memory_bytes(maps)
    before = resident()
    import torch  # noqa: F401

    loaded = resident()
    reset_peak()
    step.run(maps, Twice())
    peak = peak_memory()
    return {
        'size': size,
        'preset': preset,
        'estimate_mib': round(estimate / 2**20),
        'used_mib': round((peak - before) / 2**20),
        'of_it_libraries_mib': round((loaded - before) / 2**20),
        'process_mib': round(peak / 2**20),
    }


def memory_in_child(size: int, preset: str) -> dict[str, Any]:
    """`memory` in a fresh process."""
    command = [sys.executable, __file__, '--memory-of', str(size), '--preset', preset]
    environment = {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        return {'size': size, 'preset': preset, 'error': (ended.stderr.strip().splitlines() or ['?'])[-1][:300]}
    return json.loads(ended.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=SIZE)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--memory-sizes', type=int, nargs='*', default=list(MEMORY_SIZES))
    parser.add_argument('--results', type=Path, default=RESULTS)
    parser.add_argument('--docs', type=Path, default=DOCS)
    parser.add_argument('--report', action='store_true', help='write the page and measure nothing')
    parser.add_argument('--memory-of', type=int, help=argparse.SUPPRESS)
    parser.add_argument('--preset', default='balanced', help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.memory_of:
        print(json.dumps(memory(asked.memory_of, asked.preset)))
        return
    if not asked.report:
        found = iterations(asked.size, asked.repeats)
        found['memory'] = [memory_in_child(size, 'balanced') for size in asked.memory_sizes]
        asked.results.parent.mkdir(exist_ok=True)
        asked.results.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
    from _speed_report import page

    text = page(json.loads(asked.results.read_text(encoding='utf-8')))
    asked.docs.write_text(text, encoding='utf-8')
    print(text)


if __name__ == '__main__':
    # Idle threads that spin take the time of those that work.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    main()
