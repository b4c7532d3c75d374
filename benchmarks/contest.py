"""The network chosen by held-out counts, compared with the choice by the truth.

Each specimen is fitted as the preset `balanced` does it, one network per head, each for as long as the prediction of
the held-out counts improves; the truth scores every tenth average on the way, and the three candidates: either network
and their mean. 48^3 voxels, tilts of +-40 degrees in steps of 5 (nanocube: nine over +-70), peak 30, one noise. PSNR is
the peak signal-to-noise ratio, SSIM the structural similarity. Resumable. Writes `results/contest.json` and
`docs/contest.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from _cases import CASES, sample
from _fingerprint import fingerprint
from _processor import processor
from _scores import Curve, mean_psnr, mean_ssim

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'contest.json'
DOCS = HERE.parent / 'docs' / 'contest.md'
SIZE, PEAK = 48, 30
#: dB that the choice may lose against the best candidate, and the end against the best iterate.
CHOICE, END = 0.2, 0.3


def measure(name: str) -> dict[str, Any]:
    """One specimen: both fits, their ends, and the three candidates."""
    import torch

    from napari_diptomo.reconstruct import DIPmTV
    from napari_diptomo.reconstruct.data_terms import held_out_term
    from napari_diptomo.reconstruct.dip import contest
    from napari_diptomo.reconstruct.dip.joined_run import JoinedRun

    data = sample(CASES[name], SIZE, PEAK, 0)
    step = DIPmTV(preset='balanced')
    problem = step.prepare(data.maps)
    fits, volumes = {}, {}
    for member, head in enumerate(contest.HEADS):
        curve = Curve(data.truth, 10)
        run = JoinedRun(1, step.longest, curve)
        run.begin(0, dict, lambda: None)
        begin = time.perf_counter()
        found = contest.fit_candidate(step.fit_settings(), problem, head, member, run)
        volumes[head] = found.x
        returned = problem.frame(found.x)
        fits[head] = {
            'iterations': found.notes['iterations'],
            'returned_iteration': found.notes['returned_iteration'],
            'gains': found.notes['gains'],
            'best': curve.best_point[2],
            'best_iteration': curve.best_point[0],
            'lost': round(max(curve.best_point[2] - mean_psnr(returned, data.truth), 0.0), 3),
            'seconds': round(time.perf_counter() - begin - curve._own, 1),
            'curve': curve.points,
        }
    volumes[contest.MEAN] = torch.stack(list(volumes.values())).mean(0)
    candidates = {}
    for head, x in volumes.items():
        shown = problem.frame(x)
        candidates[head] = {
            'held_out': held_out_term(problem, x, True),
            'psnr': mean_psnr(shown, data.truth),
            'ssim': mean_ssim(shown, data.truth),
        }
    return {'fits': fits, 'candidates': candidates, 'processor': processor(), 'version': version()}


def version() -> str:
    """Of the code that the results belong to."""
    from napari_diptomo.reconstruct import DIPmTV

    return fingerprint(DIPmTV(preset='balanced').to_dict())


def write(results: dict[str, Any]) -> None:
    """The page, from the results alone."""
    current = {name: r for name, r in results.items() if r['version'] == version()}
    lines = ['# Contest', '', 'Written by `make bench ONLY=contest`; do not edit by hand.', '']
    lines += [*(__doc__ or '').partition(' Resumable')[0].splitlines(), '']
    if not current:
        DOCS.write_text('\n'.join([*lines, 'Not run with the present code.', '']), encoding='utf-8')
        return
    lines += [f'Measured on {", ".join(sorted({r["processor"] for r in current.values()}))}.', '']
    lines += [
        '## The choice',
        '',
        '| specimen | softplus | shares | mean | chosen | best | lost (dB) |',
        '|---' * 7 + '|',
    ]
    choices = []
    for name, r in current.items():
        c = r['candidates']
        chosen = min(c, key=lambda head: c[head]['held_out'])
        best = max(c, key=lambda head: c[head]['psnr'])
        choices.append(c[best]['psnr'] - c[chosen]['psnr'])
        cells = [
            f'{c[h]["psnr"]:.2f} dB / {c[h]["ssim"]:.3f} ({c[h]["held_out"]:.5f})'
            for h in ('softplus', 'shares', 'mean')
        ]
        lines.append(f'| {name} | {" | ".join(cells)} | {chosen} | {best} | {choices[-1]:.2f} |')
    lines += [
        '',
        'PSNR / SSIM (held-out deviance per datum), means over the channels.',
        f'The choice is within {CHOICE} dB of the best candidate in {sum(c <= CHOICE for c in choices)} of {len(choices)} runs.',
        '',
        '## The end',
        '',
        '| specimen | head | ended | returned | best iterate | lost (dB) | last gains of the held-out score (standard errors) | seconds |',
        '|---' * 8 + '|',
    ]
    ends = []
    for name, r in current.items():
        for head, f in r['fits'].items():
            ends.append(f['lost'])
            gains = ', '.join(f'{gain:.1f}' for _, gain in f['gains'][-3:])
            lines.append(
                f'| {name} | {head} | {f["iterations"]} | {f["returned_iteration"]} | {f["best_iteration"]} | '
                f'{f["lost"]:.2f} | {gains} | {f["seconds"]:.0f} |'
            )
    lines += [
        '',
        f'{sum(e <= END for e in ends)} of {len(ends)} fits return an average within {END} dB of their best average.',
    ]
    lines += _over_total_variation(current)
    DOCS.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def _over_total_variation(current: dict[str, Any]) -> list[str]:
    """Gain of what the counts chose over total variation with the weight that the truth picks (results of `quality`)."""
    from _store import Store
    from _table import ORACLE_PSNR, ORACLE_SSIM, Series, Table

    table = Table(Store(RESULTS.with_name('quality.json')), SIZE)
    rivals = ('joint TV, Poisson', 'nuclear TV, Poisson')
    lines = [
        '',
        '## Over total variation',
        '',
        'The same series; the weight of total variation is the best of a grid by the truth, for PSNR and for SSIM separately.',
        '',
        '| specimen | joint TV | nuclear TV | chosen by held-out counts | over the better (dB) | (SSIM) |',
        '|---' * 6 + '|',
    ]
    gains = []
    for name, r in current.items():
        series = Series(name, PEAK, 0)
        found = []
        for rival in rivals:
            scores = [
                table.scored(rival + ending, [series]).get(series, {}).get(column)
                for ending, column in ((ORACLE_PSNR, 'psnr'), (ORACLE_SSIM, 'ssim'))
            ]
            found.append(scores if None not in scores else None)
        c = r['candidates']
        ours = c[min(c, key=lambda head: c[head]['held_out'])]
        cells = ['not run' if f is None else f'{f[0]:.2f} dB / {f[1]:.3f}' for f in found]
        known = [f for f in found if f is not None]
        over = '|  |'
        if len(known) == len(rivals):
            gains.append((ours['psnr'] - max(f[0] for f in known), ours['ssim'] - max(f[1] for f in known)))
            over = f'| {gains[-1][0]:+.2f} | {gains[-1][1]:+.3f} |'
        lines.append(f'| {name} | {" | ".join(cells)} | {ours["psnr"]:.2f} dB / {ours["ssim"]:.3f} {over}')
    if gains:
        psnr, ssim = np.mean(gains, axis=0)
        lines += ['', f'Mean over the {len(gains)} specimens with both: {psnr:+.2f} dB, {ssim:+.3f} in SSIM.']
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', nargs='*', default=list(CASES))
    parser.add_argument('--report', action='store_true', help='write the page from the results at hand')
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    if not options.report:
        for name in options.cases:
            if results.get(name, {}).get('version') != version():
                results[name] = measure(name)
                RESULTS.write_text(json.dumps(results) + '\n', encoding='utf-8')
                print(name, {h: round(c['psnr'], 2) for h, c in results[name]['candidates'].items()}, flush=True)
    write(results)


if __name__ == '__main__':
    main()
