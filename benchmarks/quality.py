"""DIPm-TV against joint total variation with the oracle's weight, and SIRT, on lamellae with known truth.

Three random Ge-Sb-Te lamellae of 48^3 voxels (layers, soft segregation,
particles, voids), simulated on a grid twice as fine, tilted over +-40 degrees
in steps of 5, 30 counts at the brightest pixel, Poisson noise; the seed of the
lamella is that of the reconstruction. None of the three was looked at while the presets were chosen (that was lamella 1). Total variation gets
the weight that the truth itself picks from the grid below, once for the best
PSNR and once for the best SSIM; nobody has that knowledge in practice. DIPm-TV
gets its preset. Writes `results/quality.json` and `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from napari_diptomo.assess import fsc_wedge, psnr, ssim
from napari_diptomo.reconstruct import SIRT, DIPmTV, Reconstruction, TotalVariation
from napari_diptomo.simulate import lamella, tilt_series

ANGLES = np.arange(-40, 41, 5.0)
WEIGHTS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 2.0, 4.0)
HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'quality.json'
DOCS = HERE.parent / 'docs' / 'benchmarks.md'
HEADER = ['| method | PSNR (dB) | SSIM | FSC measured | FSC wedge | seconds |', '|---|---|---|---|---|---|']


def score(step: Reconstruction, seed: int, size: int) -> dict[str, float]:
    """Scores of one reconstruction of one lamella, means over the channels."""
    sample = tilt_series(lamella(size=size, seed=seed), ANGLES, peak_counts=30, seed=1000 + seed)
    start = time.perf_counter()
    volume = step.run(sample.maps)
    seconds = time.perf_counter() - start
    wedge = fsc_wedge(volume.data, sample.truth.data, float(ANGLES.max()))
    return {
        'psnr': float(np.mean(psnr(volume.data, sample.truth.data))),
        'ssim': float(np.mean(ssim(volume.data, sample.truth.data))),
        'fsc_measured': float(np.mean(wedge.measured)),
        'fsc_wedge': float(np.mean(wedge.missing)),
        'seconds': seconds,
    }


def methods(seed: int, presets: list[str]) -> dict[str, Reconstruction]:
    """What is compared, by name."""
    found: dict[str, Reconstruction] = {'SIRT, 30 iterations': SIRT(iterations=30)}
    found |= {f'joint TV, weight {w:g}': TotalVariation(weight=w, iterations=400) for w in WEIGHTS}
    found |= {f'DIPm-TV {preset}': DIPmTV(preset=preset, seed=seed) for preset in presets}
    return found


def measure(path: Path, cases: dict[int, dict[str, Reconstruction]], size: int) -> dict:
    """Scores by seed and name; what the file already holds is not run again: delete it after a change of the code."""
    kept = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    for seed, steps in cases.items():
        mine = kept.setdefault(str(seed), {})
        for name, step in steps.items():
            key = {'step': step.model_dump(mode='json'), 'size': size}
            if mine.get(name, {}).get('key') != key:
                mine[name] = {**score(step, seed, size), 'key': key}
                print(f'lamella {seed}  {name:36s}', cells(mine[name]), flush=True)
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps(kept, indent=1) + '\n', encoding='utf-8')
    return kept


def summarise(results: dict, seeds: list[int]) -> list[tuple[str, dict[str, float]]]:
    """Means over the lamellae, the oracle's choices made for each lamella."""
    per_seed = [results[str(seed)] for seed in seeds]
    weights = [name for name in per_seed[0] if name.startswith('joint TV')]
    rows = {'SIRT, 30 iterations': [r['SIRT, 30 iterations'] for r in per_seed]}
    for which in ('psnr', 'ssim'):
        best = [max((r[w] for w in weights), key=lambda s, which=which: s[which]) for r in per_seed]
        rows[f'joint TV, oracle weight by {which.upper()}'] = best
    rows |= {n: [r[n] for r in per_seed] for n in per_seed[0] if n.startswith('DIPm-TV')}
    columns = ('psnr', 'ssim', 'fsc_measured', 'fsc_wedge', 'seconds')
    return [(name, {c: float(np.mean([s[c] for s in scores])) for c in columns}) for name, scores in rows.items()]


def cells(row: dict[str, float]) -> str:
    return ' | '.join(
        [f'{row[c]:.{digits}f}' for c, digits in (('psnr', 2), ('ssim', 3), ('fsc_measured', 3), ('fsc_wedge', 3))]
        + [f'{row["seconds"]:.0f}']
    )


def write_docs(rows: list[tuple[str, dict[str, float]]], size: int, seeds: list[int]) -> None:
    """The table that the docs show."""
    text = [
        '# Benchmarks',
        '',
        'Written by `make bench`; do not edit by hand.',
        '',
        f'## Quality: Ge-Sb-Te lamellae, {size}^3, +-40:5, peak 30 counts',
        '',
        (__doc__ or '').strip().split('\n\n', 1)[1].replace('\n', ' '),
        '',
        (
            f'Means over {len(seeds)} lamellae. FSC: mean Fourier shell correlation with the truth among the measured '
            'frequencies and among those inside the missing wedge.'
        ),
        '',
        *HEADER,
    ]
    text += [f'| {name} | {cells(row)} |' for name, row in rows]
    DOCS.write_text('\n'.join(text) + '\n', encoding='utf-8')
    print('\n'.join(text[-len(rows) - 2 :]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, nargs='+', default=[10, 11, 12])
    parser.add_argument('--size', type=int, default=48)
    parser.add_argument('--presets', nargs='+', default=['fast', 'balanced'])
    options = parser.parse_args()
    cases = {seed: methods(seed, options.presets) for seed in options.seeds}
    results = measure(RESULTS, cases, options.size)
    write_docs(summarise(results, options.seeds), options.size, options.seeds)


if __name__ == '__main__':
    main()
