"""Do the error bars of an ensemble hold the truth as often as they say, and do they say where the volume is wrong?

Random Ge-Sb-Te lamellae with known truth (as in `quality`), tilted over +-40
degrees in steps of 5, 30 counts at the brightest pixel. Error bars are judged
over all frequencies, over those between the outermost tilts, and over those
inside the missing wedge, where no data vouch for anything; for a part of the
frequencies volume, truth and members are filtered alike, and the factor is
that of the run.
"Away from edges": no other phase within a voxel; the vacuum is part of it, so
"in the specimen" is the harder test of the ranking. Writes
`results/ensemble.json` and `docs/uncertainty.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.assess import away_from_edges, band, judge_spread, psnr, reliability
from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.ensemble import fit_ensemble, smooth_spread
from napari_diptomo.simulate import lamella, tilt_series

ANGLES = np.arange(-40, 41, 5.0)
TILT = float(ANGLES.max())
HERE = Path(__file__).parent
LEVELS = (0.5, 0.8, 0.9, 0.95)
BANDS = {
    'all': lambda v: np.asarray(v, float),
    'measured': lambda v: band(v, TILT),
    'inside the wedge': lambda v: band(v, TILT, missing=True),
}


def measure(step: DIPmTV, seed: int, size: int, peak: float) -> dict[str, Any]:
    """Calibration of one ensemble on one lamella."""
    phantom = lamella(size=size, seed=seed)
    sample = tilt_series(phantom, ANGLES, peak_counts=peak, seed=1000 + seed)
    start, members = time.perf_counter(), []
    volume = fit_ensemble(step, sample.maps, on_member=members.append)
    away = away_from_edges(phantom.phases)
    regions = {
        'everywhere': np.ones_like(away),
        'away from edges': away,
        'away from edges, in the specimen': away & (phantom.phases > 0),
    }
    factor = volume.notes['ensemble']['factor']
    found: dict[str, Any] = {
        'seconds': time.perf_counter() - start,
        'psnr_members': [float(psnr(m, sample.truth.data).mean()) for m in members],
        'psnr_mean': float(psnr(volume.data, sample.truth.data).mean()),
        'calibration': volume.notes['ensemble'],
        'uncertainty': volume.notes['uncertainty'],
        'rows': [],
    }
    for name, cut in BANDS.items():
        mean, truth = cut(volume.data), cut(sample.truth.data)
        std = factor * np.sqrt(smooth_spread(np.var([cut(m) for m in members], axis=0, ddof=1)))
        for region, where in regions.items():
            if where.any():
                judged = judge_spread(mean, std, truth, where, LEVELS)
                found['rows'].append({'band': name, 'region': region, **_row(judged)})
        if name == 'measured':
            found['reliability'] = reliability(mean, std, truth, away)
    return found


def _row(judged: Any) -> dict[str, Any]:
    return {
        'coverage': {f'{level:g}': share for level, share in judged.coverage.items()},
        'rank_correlation': judged.rank_correlation,
        'error_over_std': judged.error_over_std,
        'voxels': judged.voxels,
    }


def page(results: dict[str, dict[str, Any]], size: int, members: int, peak: float) -> list[str]:
    """The page of the docs."""
    text = [
        '# Uncertainty',
        '',
        'Written by `make bench ONLY=ensemble`; do not edit by hand.',
        '',
        f'## Ensembles of {members}, lamellae of {size}^3, +-40:5, peak {peak:g} counts',
        '',
        (__doc__ or '').strip().split('\n\n', 1)[1].replace('\n', ' '),
        '',
        '| lamella | PSNR of the members | of their mean | factor | from | error over standard deviation, measured, away from edges |',
        '|---|---|---|---|---|---|',
    ]
    for seed, found in results.items():
        given = found['calibration']
        error = f' +- {given["error"]:.2f}' if given['error'] else ''
        row = _find(found, 'measured', 'away from edges')
        text.append(
            f'| {seed} | {np.mean(found["psnr_members"]):.2f} dB | {found["psnr_mean"]:.2f} dB '
            f'| {given["factor"]:.2f}{error} | {given["source"]} | {row["error_over_std"]:.2f} |'
        )
    heads = [f'{level:.0%} interval holds' for level in LEVELS]
    text += ['', '| lamella | frequencies | voxels | ' + ' | '.join(heads) + ' | rank correlation |', '|---' * 8 + '|']
    for seed, found in results.items():
        for row in found['rows']:
            shares = ' | '.join(f'{share:.1%}' for share in row['coverage'].values())
            text.append(f'| {seed} | {row["band"]} | {row["region"]} | {shares} | {row["rank_correlation"]:.2f} |')
    text += ['', *_verdict(results), '', '## Reliability: measured frequencies, away from edges', '']
    text += [
        'Voxels in ten groups from the smallest to the largest standard deviation: what is stated, and the error found',
        '(root mean squares, counts per voxel).',
        '',
        '| lamella | | ' + ' | '.join(str(i) for i in range(1, 11)) + ' |',
        '|---' * 12 + '|',
    ]
    for seed, found in results.items():
        stated, errors = zip(*found['reliability'], strict=True)
        text.append(f'| {seed} | stated | ' + ' | '.join(f'{v:.3f}' for v in stated) + ' |')
        text.append(f'| {seed} | found | ' + ' | '.join(f'{v:.3f}' for v in errors) + ' |')
    return text


def _verdict(results: dict[str, dict[str, Any]]) -> list[str]:
    seen = [_find(found, 'measured', 'away from edges') for found in results.values()]
    inside = [_find(found, 'inside the wedge', 'away from edges') for found in results.values()]
    shares, ranks = [row['coverage']['0.9'] for row in seen], [row['rank_correlation'] for row in seen]
    held = 'reached' if all(0.80 <= share <= 0.97 for share in shares) else 'NOT reached'
    ranked = 'reached' if all(rank >= 0.5 for rank in ranks) else 'NOT reached'
    unseen = ', '.join(f'{row["coverage"]["0.9"]:.1%}' for row in inside)
    larger = ', '.join(f'{row["error_over_std"]:.2f}' for row in inside)
    return [
        'Aims, for measured frequencies away from edges:',
        f'90 % intervals hold 80-97 % of the voxels: {held} ({", ".join(f"{share:.1%}" for share in shares)});',
        f'rank correlation at least 0.5: {ranked} ({", ".join(f"{rank:.2f}" for rank in ranks)}).',
        f'Inside the wedge the same intervals hold {unseen}, and errors are {larger} times the stated size: detail there',
        'rests on the prior.',
    ]


def _find(found: dict[str, Any], name: str, region: str) -> dict[str, Any]:
    return next(row for row in found['rows'] if (row['band'], row['region']) == (name, region))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, nargs='+', default=[10, 11])
    parser.add_argument('--size', type=int, default=48)
    parser.add_argument('--members', type=int, default=5)
    parser.add_argument('--peak', type=float, default=30.0)
    parser.add_argument('--preset', default='balanced')
    parser.add_argument('--iterations', type=int)
    parser.add_argument('--results', type=Path, default=HERE / 'results' / 'ensemble.json')
    parser.add_argument('--docs', type=Path, default=HERE.parent / 'docs' / 'uncertainty.md')
    options = parser.parse_args()
    kept = json.loads(options.results.read_text(encoding='utf-8')) if options.results.exists() else {}
    results = {}
    for seed in options.seeds:
        given = {} if options.iterations is None else {'iterations': options.iterations}
        step = DIPmTV(preset=options.preset, ensemble=options.members, seed=seed, **given)
        key = {'step': step.model_dump(mode='json'), 'size': options.size, 'peak': options.peak}
        if kept.get(str(seed), {}).get('key') != key:
            kept[str(seed)] = {**measure(step, seed, options.size, options.peak), 'key': key}
            options.results.parent.mkdir(exist_ok=True)
            options.results.write_text(json.dumps(kept, indent=1) + '\n', encoding='utf-8')
        results[str(seed)] = kept[str(seed)]
    text = page(results, options.size, options.members, options.peak)
    options.docs.write_text('\n'.join(text) + '\n', encoding='utf-8')
    print('\n'.join(text))


if __name__ == '__main__':
    main()
