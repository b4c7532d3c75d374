"""Gain by prior knowledge in DIPm-TV, and the cost of wrong knowledge.

Random Ge-Sb-Te lamellae of 48^3 voxels, simulated on a grid twice as fine, tilted
over ±40° in steps of 5, 30 counts at the brightest pixel, Poisson noise;
preset `balanced`. Each kind of knowledge is given as it is in the truth, as found
from the counts where that is possible, and wrong. The densities of the pure
elements are those of the lamellae; segregation makes the solid scatter about them,
so the sum rule is nearly but not strictly true. The last rows have a dose that
drifts by a tenth over the tilts. PSNR is the peak signal-to-noise ratio, SSIM the
structural similarity, FSC the Fourier shell correlation with the truth. Writes
`results/priors.json` and `docs/priors.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.assess import compare
from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.support import slab_angles
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.simulate import GST_PHASES, Simulated, lamella, lamella_frame, tilt_series

ANGLES = np.arange(-40, 41, 5.0)
SEEDS = (10, 11)
HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'priors.json'
DOCS = HERE.parent / 'docs' / 'priors.md'
COLUMNS = {'psnr': 2, 'ssim': 3, 'fsc_measured': 3, 'fsc_missing': 3, 'seconds': 0}
HEADER = '| prior | PSNR (dB) | SSIM | FSC measured | FSC wedge | seconds |'
#: Counts per voxel of the pure elements in the phantom's units, in the order of its channels.
PURE = np.array([GST_PHASES[name][channel] for channel, name in enumerate(('Ge', 'Sb', 'Te'))])


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    slab: dict[str, float] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    densities: Sequence[float] | None = None
    drift: float = 0.0

    def step(self, seed: int, size: int, unit: float, changes: dict[str, Any]) -> DIPmTV:
        """The step for one lamella; ``unit`` brings the phantom's densities to counts."""
        found = {'seed': seed, **changes, **self.fields}
        if self.slab is not None:
            found |= {'support': 'slab', **true_slab(size, seed, **self.slab)}
        if self.densities is not None:
            found['densities'] = tuple(float(d) for d in unit * PURE * np.asarray(self.densities))
        return DIPmTV(**found)


def rows() -> list[Row]:
    """Compared settings."""
    exact = {'support_exact': True}
    found = [Row('none')]
    for kind, fields in (('exact', exact), ('limit', {})):
        found += [
            Row(f'slab as it is, {kind}', {}, fields),
            Row(f'slab 15 % too thick, {kind}', {'thicker': 1.15}, fields),
            Row(f'slab 15 % too thin, {kind}', {'thicker': 0.85}, fields),
            Row(f'slab tilted by 5 degrees too much, {kind}', {'turned': 5.0}, fields),
            Row(f'slab found from the counts, {kind}', None, {'support': 'slab', **fields}),
        ]
    right = np.ones(3)
    for kind in ('bound', 'solid'):
        rule = {'sum_rule': kind}
        found += [
            Row(f'{kind}, densities as they are', None, rule, right),
            Row(f'{kind}, all densities 20 % too high', None, rule, 1.2 * right),
            Row(f'{kind}, all densities 20 % too low', None, rule, 0.8 * right),
            Row(f'{kind}, densities wrong by +20, -20 and 0 %', None, rule, (1.2, 0.8, 1.0)),
        ]
    found += [
        Row('slab exact and solid', {}, {**exact, 'sum_rule': 'solid'}, right),
        Row('slab found and solid', None, {'support': 'slab', 'sum_rule': 'solid'}, right),
        Row('dose drifts by 10 %, none', drift=0.1),
        Row('dose drifts by 10 %, gain fitted', None, {'fit_gain': True}, drift=0.1),
        Row('dose is steady, gain fitted', None, {'fit_gain': True}),
    ]
    return found


def true_slab(size: int, seed: int, thicker: float = 1.0, turned: float = 0.0) -> dict[str, float]:
    """The fields of the slab that a lamella was cut to, or of one that is wrong; voxels are 1 nm."""
    half, normal = lamella_frame(size, seed)
    tilt, tip = slab_angles(normal)
    return {
        'slab_thickness': float(2 * half[0] * thicker),
        'slab_tilt': tilt + turned,
        'slab_tip': tip,
        'slab_offset': 0.0,
    }


def sample_of(size: int, seed: int, drift: float) -> tuple[Simulated, float]:
    """The counts, and counts per voxel that a density of 1 in the phantom is."""
    phantom = lamella(size=size, seed=seed)
    sample = tilt_series(phantom, ANGLES, peak_counts=30, seed=1000 + seed)
    if drift:
        gain = 1 - drift * np.linspace(0, 1, len(ANGLES))
        counts = np.random.default_rng(2000 + seed).poisson(sample.clean * gain[None, :, None, None])
        sample = replace(sample, maps=replace(sample.maps, data=counts))
    return sample, float(sample.truth.data.sum() / phantom.truth.data.sum())


def score(step: DIPmTV, maps: MapSeries, truth: Volume) -> dict[str, Any]:
    """Scores of one reconstruction, means over the channels."""
    start = time.perf_counter()
    volume = step.run(maps)
    seconds = time.perf_counter() - start
    found = compare(volume.data, truth.data, float(ANGLES.max()))
    return {**found, 'seconds': seconds, 'support': volume.notes.get('support')}


def measure(path: Path, size: int, seeds: Sequence[int], names: Sequence[str], changes: dict[str, Any]) -> dict:
    """Scores by name and seed; what the file holds is not run again: delete it after a change of the code."""
    kept = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    for row in rows():
        for seed in seeds:
            if names and row.name not in names:
                continue
            sample, unit = sample_of(size, seed, row.drift)
            step = row.step(seed, size, unit, changes)
            key = {'step': step.model_dump(mode='json'), 'size': size, 'drift': row.drift}
            mine = kept.setdefault(row.name, {})
            if mine.get(str(seed), {}).get('key') == key:
                continue
            mine[str(seed)] = {**score(step, sample.maps, sample.truth), 'key': key}
            print(f'lamella {seed}  {row.name:44s}', cells(mine[str(seed)]), flush=True)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(kept, indent=1) + '\n', encoding='utf-8')
    return kept


def cells(scores: dict[str, Any]) -> str:
    return ' | '.join(f'{scores[name]:.{digits}f}' for name, digits in COLUMNS.items())


def table(results: dict, seeds: Sequence[int]) -> list[str]:
    """The lines of the table, means over the lamellae; rows that were not run are left out."""
    lines = [HEADER, '|---|---|---|---|---|---|']
    for row in rows():
        runs = [results.get(row.name, {}).get(str(seed)) for seed in seeds]
        if None not in runs:
            mean = {name: float(np.mean([run[name] for run in runs])) for name in COLUMNS}
            lines.append(f'| {row.name} | {cells(mean)} |')
    return lines


def found_slabs(results: dict, size: int, seeds: Sequence[int]) -> list[str]:
    """How well the slab was found from the counts."""
    lines = [
        '| lamella | thickness found / true | tilt found, true (°) | tip found, true (°) |',
        '|---|---|---|---|',
    ]
    for seed in seeds:
        run = results.get('slab found from the counts, limit', {}).get(str(seed))
        if run is not None:
            true, found = true_slab(size, seed), run['support']
            ratio = found['thickness_nm'] / true['slab_thickness']
            lines.append(
                f'| {seed} | {ratio:.2f} | {found["tilt_deg"]:.1f}, {true["slab_tilt"]:.1f} '
                f'| {found["tip_deg"]:.1f}, {true["slab_tip"]:.1f} |'
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, nargs='+', default=list(SEEDS))
    parser.add_argument('--size', type=int, default=48)
    parser.add_argument('--iterations', type=int, help='fewer, for a trial')
    parser.add_argument('--only', nargs='+', default=[], help='names of rows')
    parser.add_argument('--results', type=Path, default=RESULTS)
    parser.add_argument('--docs', type=Path, default=DOCS)
    options = parser.parse_args()
    changes = {'iterations': options.iterations} if options.iterations else {}
    results = measure(options.results, options.size, options.seeds, options.only, changes)
    lines = table(results, options.seeds)
    text = ['# Prior knowledge', '', 'Written by `make bench ONLY=priors`; do not edit by hand.', '']
    heading = f'Means over lamella {", ".join(map(str, options.seeds))}; rows that were not run are left out.'
    text += [
        (__doc__ or '').strip(),
        '',
        heading,
        '',
        *lines,
        '',
        'The slab as found from the counts, margin included:',
        '',
    ]
    text += found_slabs(results, options.size, options.seeds)
    options.docs.write_text('\n'.join(text) + '\n', encoding='utf-8')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
