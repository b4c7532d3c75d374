"""The network chosen by held-out counts, compared with the choice by the truth.

Each specimen is fitted as the preset `balanced` does it, one network per head, each for as long as the prediction of
the held-out counts improves; the truth scores every tenth average on the way, and the three candidates: either network
and their mean. 48^3 voxels, tilts of ±40° in steps of 5 (nanocube: nine over ±70°), peak 30, one noise. PSNR is
the peak signal-to-noise ratio, SSIM the structural similarity. Resumable; `--rivals` fits total variation alone,
`--fits` the networks alone. Writes `results/contest.json`, `results/contest-rivals.json` and `docs/contest.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _cases import CASES, sample
from _fingerprint import fingerprint
from _methods import METHODS, WEIGHTS
from _processor import processor
from _scores import Curve, mean_psnr, mean_ssim
from _search import climb
from napari_diptomo.assess import psnr, ssim

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'contest.json'
RIVALS = HERE / 'results' / 'contest-rivals.json'
DOCS = HERE.parent / 'docs' / 'contest.md'
SIZE, PEAK = 48, 30
#: dB that the choice may lose against the best candidate, and the end against the best iterate.
CHOICE, END = 0.2, 0.3
#: What a channel may lose against the better total variation: dB, and structural similarity.
BELOW = (0.2, 0.005)


def measure(name: str) -> dict[str, Any]:
    """One specimen: both fits, their ends, and the three candidates."""
    import torch

    from napari_diptomo.reconstruct import DIPmTV
    from napari_diptomo.reconstruct.data_terms import held_out_term
    from napari_diptomo.reconstruct.dip import contest
    from napari_diptomo.reconstruct.joined_run import JoinedRun

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
            **_scores(shown, data.truth),
        }
    return {'fits': fits, 'candidates': candidates, 'processor': processor(), 'version': version()}


def measure_rivals(name: str) -> dict[str, Any]:
    """Total variation of one specimen: of each norm the weight with the best mean PSNR, found by climbing, and its scores."""
    data = sample(CASES[name], SIZE, PEAK, 0)
    found: dict[str, Any] = {}
    start = WEIGHTS.index(0.4)
    for norm in ('joint TV', 'nuclear TV'):
        fits: dict[int, dict[str, Any]] = {}

        def score(index: int, norm: str = norm, fits: dict[int, dict[str, Any]] = fits) -> float:
            if index not in fits:
                step = METHODS[f'{norm}, Poisson'].step(CASES[name], SIZE, 0, WEIGHTS[index])
                fits[index] = {'weight': WEIGHTS[index], **_scores(step.run(data.maps).data, data.truth)}
            return float(fits[index]['psnr'])

        start = climb(score, start, len(WEIGHTS), (1,))
        # The weight that is best by SSIM lies beside it.
        found[norm] = {'psnr': fits[start], 'ssim': max(fits.values(), key=lambda fit: fit['ssim'])}
    return {**found, 'processor': processor(), 'version': version_of_rivals()}


def _scores(volume: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    return {
        'psnr': mean_psnr(volume, truth),
        'ssim': mean_ssim(volume, truth),
        'channels': [[round(float(v), 4) for v in values] for values in (psnr(volume, truth), ssim(volume, truth))],
    }


def version_of_rivals() -> str:
    """Of the code that total variation belongs to."""
    return fingerprint(METHODS['joint TV, Poisson'].step(CASES['porous 20'], SIZE, 0, 0.4).to_dict())


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
    """Volume chosen by held-out counts, compared with total variation with the weight that the truth picks."""
    rivals = {k: r for k, r in _read(RIVALS).items() if r['version'] == version_of_rivals() and k in current}
    lines = [
        '',
        '## Over total variation',
        '',
        'The same series; the weight of total variation is the best of a grid by the truth (mean PSNR; beside it the best in',
        'SSIM of the weights tried). The last column is the worst channel against the better norm.',
        '',
        '| specimen | joint TV | nuclear TV | chosen by held-out counts | over the better (dB) | (SSIM) | worst channel (dB / SSIM) |',
        '|---' * 7 + '|',
    ]
    gains, worst = [], []
    for name, rival in rivals.items():
        candidates = current[name]['candidates']
        ours = candidates[min(candidates, key=lambda head: candidates[head]['held_out'])]
        norms = [rival['joint TV'], rival['nuclear TV']]
        best = [max((norm[score] for norm in norms), key=lambda fit: fit[score]) for score in ('psnr', 'ssim')]
        gains.append([ours[score] - fit[score] for score, fit in zip(('psnr', 'ssim'), best, strict=True)])
        channels = [np.subtract(ours['channels'][i], fit['channels'][i]) for i, fit in enumerate(best)]
        worst.append([float(channel.min()) for channel in channels])
        cells = [f'{norm["psnr"]["psnr"]:.2f} dB / {norm["ssim"]["ssim"]:.3f}' for norm in norms]
        lines.append(
            f'| {name} | {" | ".join(cells)} | {ours["psnr"]:.2f} dB / {ours["ssim"]:.3f} | {gains[-1][0]:+.2f} | '
            f'{gains[-1][1]:+.3f} | {worst[-1][0]:+.2f} / {worst[-1][1]:+.3f} |'
        )
    if gains:
        mean = np.mean(gains, axis=0)
        kept = sum(w[0] >= -BELOW[0] and w[1] >= -BELOW[1] for w in worst)
        lines += [
            '',
            (
                f'Mean over the {len(gains)} specimens: {mean[0]:+.2f} dB, {mean[1]:+.3f} in SSIM. No channel falls more than '
                f'{BELOW[0]} dB or {BELOW[1]} in SSIM below the better norm in {kept} of {len(gains)}.'
            ),
        ]
    return lines


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}


def _complete(path: Path, names: list[str], measured: Callable[[str], dict[str, Any]], now: str) -> None:
    """Measure what the file does not hold of the present code."""
    for name in names:
        results = _read(path)
        if results.get(name, {}).get('version') != now:
            path.write_text(json.dumps(results | {name: measured(name)}) + '\n', encoding='utf-8')
            print(path.stem, name, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', nargs='*', default=list(CASES))
    parser.add_argument('--report', action='store_true', help='write the page from the results at hand')
    parser.add_argument('--fits', action='store_true', help='the networks alone')
    parser.add_argument('--rivals', action='store_true', help='total variation alone')
    options = parser.parse_args()
    if not options.report:
        if not options.rivals:
            _complete(RESULTS, options.cases, measure, version())
        if not options.fits:
            _complete(RIVALS, options.cases, measure_rivals, version_of_rivals())
    write(_read(RESULTS))


if __name__ == '__main__':
    main()
