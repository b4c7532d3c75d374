"""How fast the reconstruction is, and what limits it: ratios in one run on one machine.

At 64^3 voxels, 3 channels, 17 tilts (lamella 10): time of an iteration of
`balanced`, `fast` and the published settings, with our kernels and as plain
float32 torch code (`_published.py`); the projector's and the convolutions'
shares; each convolution against the best layout and type of this machine.
Writes `results/speed.json` and `docs/speed.md`; memory is `memory.py`'s.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'speed.json'
DOCS = HERE.parent / 'docs' / 'speed.md'
SIZE = 64
PRESETS = ('balanced', 'fast')
PUBLISHED = ('published-edx', 'published-eels')


def iterations(size: int, repeats: int) -> dict[str, Any]:
    """Seconds of an iteration of everything, the projector's share, the profile, the convolutions."""
    import torch

    from _cases import CASES, sample
    from _profile import fit_of, seconds_of
    from _published import plain_iteration
    from napari_diptomo.reconstruct import DIPmTV
    from napari_diptomo.reconstruct.dip.retained_memory import kept_memory

    maps = sample(CASES['lamella 10'], size, 30, 0).maps
    fits = {preset: fit_of(DIPmTV(preset=preset), maps) for preset in PRESETS}
    fits |= {f'{p}, our kernels': fit_of(DIPmTV(preset=p, precision='bf16'), maps) for p in PUBLISHED}
    plain: dict[str, Any] = {f'{preset}, plain float32': plain_iteration(maps, preset) for preset in PUBLISHED}
    seconds = seconds_of(plain, repeats)
    with kept_memory(torch.device('cpu')):
        # As the product runs, see `fit_loop`.
        seconds = seconds_of({name: fit.iterate for name, fit in fits.items()}, repeats) | seconds
        return _results(seconds, fits, maps, planned={preset: DIPmTV(preset=preset).longest for preset in PRESETS})


def _results(seconds: dict[str, float], fits: dict[str, Any], maps: Any, planned: dict[str, int]) -> dict[str, Any]:
    import torch

    from _profile import convolution_table, operations, product_peak, projector_seconds

    balanced = fits['balanced']
    return {
        'size': maps.data.shape[-1],
        'channels': len(maps.channels),
        'tilts': len(maps.angles),
        'processor': processor(),
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'precision': 'float32' if balanced.arithmetic.number_type == torch.float32 else 'bf16',
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=SIZE)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--results', type=Path, default=RESULTS)
    parser.add_argument('--docs', type=Path, default=DOCS)
    parser.add_argument('--report', action='store_true', help='write the page and measure nothing')
    asked = parser.parse_args()
    if not asked.report:
        found = iterations(asked.size, asked.repeats)
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
