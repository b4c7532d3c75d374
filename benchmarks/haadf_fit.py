"""HAADF with tilts of its own in the fit of the element maps.

Each specimen is reconstructed from its maps alone (preset `balanced`, tilts of +-40 degrees in steps of 5) and from the same
maps with a HAADF series of +-70 degrees in steps of 5. The realistic series is damped (the thickest path loses a tenth), each
image is displaced against the maps (half a pixel along x and along y, standard deviation), a twentieth of the intensity comes
from matter that no map holds (a third of it in three particles of 1.6 voxels, three times as bright at 48 voxels as at 32),
offset and gain change from tilt to tilt, and the atomic numbers of half of the specimens'
channels are unknown to the fit. The ideal one has a little noise only. PSNR and SSIM are means over the channels.
The last column is what is read of the other channels in voxels that hold one alone, a voxel inside them. SSIM begins at 0.80 to
0.98 at 48 voxels: realistic images give 0.27 to 0.70 of what is missing to 1.

Total variation chooses its weight by held-out counts, and is compared with the objective of fused multi-modal electron tomography
(Schwartz et al. 2024), whose formula is theirs and whose program is ours, with weights that the truth chooses. Resumable;
`--cases`, `--kinds`, `--methods`, `--size` choose. Writes `results/haadf-fit.json` and `docs/haadf-fit.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from _cases import CASES, Case, Sample, phantom_of, sample
from _fingerprint import fingerprint
from _haadf_rivals import fused
from _processor import processor
from _scores import mean_psnr, mean_ssim
from napari_diptomo.assess import psnr
from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, Reconstruction, TotalVariation
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.simulate import eels_phantom, lamella
from napari_diptomo.simulate.haadf import REALISTIC, HAADFModel, SimulatedHAADF, haadf_series

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'haadf-fit.json'
DOCS = HERE.parent / 'docs' / 'haadf-fit.md'
SIZE = 32
WIDE = np.arange(-70, 71, 5.0)
NAMES = (
    'lamella 11',
    'porous 20',
    'facetted 21',
    'needle 23',
    'core and shell 24',
    'lamella 12',
    'lamella 13',
    'interdiffusion 22',
)
#: The last is a cube of one oxide in another.
SPECIMENS = {**CASES, 'core and shell 24': Case('core and shell 24', eels_phantom, CASES['lamella 11'].angles, 8024)}
PEAKS = (30, 5)
STEP = DIPmTV(preset='balanced')
#: Methods, by what stands in front of the kind in the keys of the results; that of the rival has no step.
STEPS: dict[str, Reconstruction] = {
    '': STEP,
    'TV, ': TotalVariation(),
    'fast, ': DIPmTV(preset='fast'),
    'fast with 320 iterations, ': DIPmTV(preset='fast', iterations=320),
    'SIRT, ': SIRT(holdout=0.1),
    'EM, ': PoissonEM(holdout=0.1),
}
FUSED = 'fused, '
METHODS = {
    'DIPm-TV': '',
    'TV': 'TV, ',
    'fused': FUSED,
    'fast': 'fast, ',
    'fast with 320 iterations': 'fast with 320 iterations, ',
    'SIRT': 'SIRT, ',
    'EM': 'EM, ',
}
#: What the methods are called in headings, by the same.
TITLES = {
    '': '',
    'TV, ': 'Total variation: ',
    'fast, ': 'Preset fast: ',
    'fast with 320 iterations, ': 'Preset fast with 320 iterations: ',
    'SIRT, ': 'SIRT, a tenth of the counts held out: ',
    'EM, ': 'Poisson EM, a tenth of the counts held out: ',
}


def _specimen(row: str) -> tuple[str, int]:
    """``'lamella 11, 48 voxels'`` -> ``('lamella 11', 48)``; without a size that of the page."""
    name, _, size = row.partition(', ')
    return name, int(size.split()[0]) if size else SIZE


def _images(row: str, model: HAADFModel, seed: int, angles: np.ndarray = WIDE) -> SimulatedHAADF:
    name, size = _specimen(row)
    return haadf_series(phantom_of(SPECIMENS[name], size), angles, model, seed=1 + seed)


def _own_tilts(row: str) -> np.ndarray:
    return np.array(SPECIMENS[_specimen(row)[0]].angles)


def _series(found: SimulatedHAADF, images: np.ndarray | None = None, angles: np.ndarray | None = None) -> HAADFSeries:
    voxel = 1.0
    return HAADFSeries(found.images if images is None else images, found.angles if angles is None else angles, voxel)


def _other(row: str, seed: int) -> HAADFSeries:
    return _series(haadf_series(lamella(_specimen(row)[1], seed=77), WIDE, REALISTIC, seed=seed))


def _mixed(name: str, seed: int) -> HAADFSeries:
    found = _images(name, REALISTIC, seed)
    return _series(found, found.images[np.random.default_rng(3).permutation(len(WIDE))])


#: Series beside the maps, by what is right or wrong with them.
KINDS: dict[str, Callable[[str, int], HAADFSeries]] = {
    'realistic': lambda name, seed: _series(_images(name, REALISTIC, seed)),
    'ideal': lambda name, seed: _series(_images(name, HAADFModel(), seed)),
    'same tilts': lambda name, seed: _series(_images(name, REALISTIC, seed, _own_tilts(name))),
    'diffracting': lambda name, seed: _series(_images(name, replace(REALISTIC, diffracting=0.3), seed)),
    'other specimen': _other,
    'tilts mixed up': _mixed,
    'tilts reversed': lambda name, seed: _series(found := _images(name, REALISTIC, seed), None, -found.angles),
    'x reversed': lambda name, seed: _series(found := _images(name, REALISTIC, seed), found.images[:, :, ::-1]),
    'bright field': lambda name, seed: _series(
        found := _images(name, REALISTIC, seed), found.images.max() - found.images
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', nargs='*', default=list(NAMES))
    parser.add_argument('--kinds', nargs='*', default=['realistic'], choices=list(KINDS))
    parser.add_argument('--peaks', nargs='*', type=int, default=list(PEAKS))
    parser.add_argument('--seeds', nargs='*', type=int, default=[0])
    parser.add_argument('--methods', nargs='*', default=['DIPm-TV'], choices=list(METHODS))
    parser.add_argument('--size', type=int, default=SIZE)
    options = parser.parse_args()
    for seed in options.seeds:
        for peak in options.peaks:
            for case in options.cases:
                name = case if options.size == SIZE else f'{case}, {options.size} voxels'
                for method in options.methods:
                    for kind in ('alone', *options.kinds) if method != 'fused' else options.kinds:
                        _measure(name, peak, seed, kind, METHODS[method])
    write()


def _measure(name: str, peak: int, seed: int, kind: str, method: str) -> None:
    """One reconstruction, unless it is known."""
    key = f'{name} | {peak} | {seed} | {method}{kind}'
    now = version(method)
    if _results().get(key, {}).get('version') == now:
        return
    specimen, size = _specimen(name)
    data = sample(SPECIMENS[specimen], size, peak, seed)
    maps: MapSeries = data.maps
    if kind != 'alone':
        series = KINDS[kind](name, seed)
        maps = replace(maps, haadf_series=replace(series, pixel_size=maps.pixel_size))
    begin = time.perf_counter()
    if method == FUSED:
        model = HAADFModel()
        best = fused(maps, data.truth, _images(name, model, seed).weights ** (1 / model.gamma))
        found = {
            'psnr': mean_psnr(best.volume, data.truth),
            'ssim': mean_ssim(best.volume, data.truth),
            'weights': [best.images, best.smoothness],
            'tried': best.tried,
        }
    else:
        found = _scores(STEPS[method].run(maps), data)
    found |= {'seconds': round(time.perf_counter() - begin), 'version': now}
    known = _results()
    known[key] = {**found, 'processor': processor()}
    RESULTS.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
    print(key, found['psnr'], found['ssim'], found.get('said', ''), flush=True)


def _scores(volume: Volume, data: Sample) -> dict[str, Any]:
    said = [finding.sentence for finding in volume.findings if finding.about == 'HAADF series']
    found: dict[str, Any] = {
        'psnr': mean_psnr(volume.data, data.truth),
        'ssim': mean_ssim(volume.data, data.truth),
        'channels': [round(float(v), 2) for v in psnr(volume.data, data.truth)],
        'said': said,
    }
    if 'haadf' in volume.notes:
        found['gain'] = volume.notes['haadf'].get('gain', 0.0) / max(volume.notes['haadf'].get('error', 1.0), 1e-30)
        found['used'] = volume.notes['haadf'].get('used')
    foreign = _foreign(volume.data, data.truth)
    return found if foreign is None else {**found, 'foreign': round(foreign, 3)}


def _foreign(volume: np.ndarray, truth: np.ndarray) -> float | None:
    """Share of the other channels in voxels that hold one channel alone, each over its own pure density."""
    full = truth.max(axis=(1, 2, 3), keepdims=True)
    part, found = truth / full, []
    for channel in range(len(truth)):
        others = np.delete(np.arange(len(truth)), channel)
        pure = ndimage.binary_erosion((part[channel] > 0.99) & (part[others] < 0.01).all(axis=0))
        if pure.sum() >= 50:
            found.append(float((volume / full)[others][:, pure].sum(axis=0).mean()))
    return float(np.mean(found)) if found else None


def _results() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text(encoding='utf-8'))) if RESULTS.exists() else {}


def version(method: str = '') -> str:
    """Of the code that the results of a method belong to."""
    return 'Adam' if method == FUSED else fingerprint(STEPS[method].to_dict())


def write() -> None:
    """The page, from the results alone."""
    known = _results()
    groups = sorted({tuple(key.split(' | ')[:3]) for key in known}, key=_place)
    lines = ['# HAADF in the fit', '', 'Written by `make bench ONLY=haadf_fit`; do not edit by hand.', '']
    lines += [*(__doc__ or '').partition(' Resumable')[0].splitlines(), '']
    lines += [
        f'Measured on {", ".join(sorted({r["processor"] for r in known.values()}))}; {SIZE} voxels along each edge where no other number stands.',
        'Rows with a star were measured with an earlier version of the code.',
        '',
    ]
    for method, title in TITLES.items():
        for kind in KINDS:
            rows = [
                (g, known[' | '.join((*g, f'{method}alone'))], known[' | '.join((*g, f'{method}{kind}'))])
                for g in groups
                if {' | '.join((*g, f'{method}{each}')) for each in (kind, 'alone')} <= known.keys()
            ]
            if rows:
                lines += _table(f'{title}{kind}', rows, version(method))
    lines += _beside_others(known)
    lines += _dose_saved(known)
    DOCS.write_text('\n'.join(lines), encoding='utf-8')


def _place(group: tuple[str, ...]) -> tuple[int, int, int, str]:
    """Where a row stands: by peak, size, specimen, noise."""
    name, size = _specimen(group[0])
    return -int(group[1]), size, NAMES.index(name), group[2]


#: What `_beside_others` compares, by the end of the keys; KIND is that of the series.
_COMPARED = {
    'TV alone': 'TV, alone',
    'fused, oracle weights': f'{FUSED}KIND',
    'TV with HAADF': 'TV, KIND',
    'DIPm-TV alone': 'alone',
    'DIPm-TV with HAADF': 'KIND',
}


def _beside_others(known: dict[str, Any]) -> list[str]:
    """Methods with HAADF and without side by side, where the rival was run."""
    lines = ['## Beside fused multi-modal tomography', '']
    lines += [
        'The objective of Schwartz et al. takes powers of densities, the images are simulated as sums over atoms; it was solved',
        'for 7 to 20 pairs of weights for each row, and the pair with the best PSNR is shown; atomic numbers and scale of the',
        'images are the true ones. Ours choose nothing by the truth in a run; five constants of total variation with images, the',
        'scale of what no map holds, its price at first and where it is bright, and the second and third weight of the images, were',
        'chosen on these specimens and on interdiffusion 22 with the truth at hand. Lamella 12, above, had no part in that.',
        '',
        f'| specimen | peak | HAADF | {" | ".join(_COMPARED)} |',
        '|---' * (3 + len(_COMPARED)) + '|',
    ]
    found: dict[str, list[list[float]]] = {}
    for key in known:
        name, peak, seed, run = key.split(' | ')
        if not run.startswith(FUSED):
            continue
        kind, cells, row = run.removeprefix(FUSED), [], []
        for end in _COMPARED.values():
            scores = known.get(f'{name} | {peak} | {seed} | {end.replace("KIND", kind)}')
            cells.append('' if scores is None else f'{scores["psnr"]:.2f} dB / {scores["ssim"]:.3f}')
            row.append(float('nan') if scores is None else scores['psnr'])
        found.setdefault(kind, []).append(row)
        lines.append(f'| {name} | {peak} | {kind} | {" | ".join(cells)} |')
    ends = list(_COMPARED.values())
    for kind, rows in found.items():
        gain = np.array(rows)[:, ends.index('TV, KIND')] - np.array(rows)[:, ends.index(f'{FUSED}KIND')]
        gain = gain[np.isfinite(gain)]
        if gain.size:
            mean = f'{gain.mean():+.2f} dB on the mean of {gain.size}, least {gain.min():+.2f} dB'
            lines += ['', f'{kind.capitalize()}: TV with HAADF less fused {mean}.']
    return [*lines, ''] if found else []


def _dose_saved(known: dict[str, Any]) -> list[str]:
    """A third of the counts with HAADF beside all of them without: the table, empty where the results are not there."""
    rows, gains = [], []
    for name in NAMES:
        full, third, given = (
            known.get(f'{name} | {peak} | 0 | {kind}')
            for peak, kind in ((30, 'alone'), (10, 'alone'), (10, 'realistic'))
        )
        if full is None or third is None or given is None:
            continue
        gains.append([given['psnr'] - full['psnr'], given['ssim'] - full['ssim']])
        cells = [f'{scores["psnr"]:.2f} dB / {scores["ssim"]:.3f}' for scores in (full, third, given)]
        rows.append(f'| {name} | {" | ".join(cells)} | {gains[-1][0]:+.2f} dB / {gains[-1][1]:+.3f} |')
    if not rows:
        return []
    mean, least = np.mean(gains, axis=0), np.min(gains, axis=0)
    return [
        '## Dose saved',
        '',
        'A third of the counts with a realistic HAADF series, beside all of them without.',
        '',
        '| specimen | peak 30, maps alone | peak 10, maps alone | peak 10, with HAADF | with HAADF less all counts alone |',
        '|---' * 5 + '|',
        *rows,
        '',
        f'Mean {mean[0]:+.2f} dB, {mean[1]:+.3f}; least {least[0]:+.2f} dB, {least[1]:+.3f}.',
        '',
    ]


def _table(kind: str, rows: list[tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]], now: str) -> list[str]:
    """Rows with the images and without; ``now`` is the version of the code, and a row of an older one has a star."""
    lines = [f'## {kind[0].upper()}{kind[1:]}', '']
    lines += [
        '| specimen | peak | noise | maps alone | with HAADF | gain | held-out counts | other channels in pure ones |',
        '|---' * 8 + '|',
    ]
    for (name, peak, seed), alone, given in rows:
        cores = ''
        if 'foreign' in alone and 'foreign' in given:
            cores = f'{100 * alone["foreign"]:.0f} % to {100 * given["foreign"]:.0f} %'
        verdict = f'{given["gain"]:+.1f} standard errors' if 'gain' in given else 'not asked: left out before'
        if given.get('used') is False:
            verdict += ', left out'
        star = '' if given['version'] == alone['version'] == now else '*'
        lines.append(
            f'| {name}{star} | {peak} | {seed} | {alone["psnr"]:.2f} dB / {alone["ssim"]:.3f} | {given["psnr"]:.2f} dB / {given["ssim"]:.3f} '
            f'| {given["psnr"] - alone["psnr"]:+.2f} dB / {given["ssim"] - alone["ssim"]:+.3f} | {verdict} | {cores} |'
        )
    for size, peak in sorted({(_specimen(g[0])[1], -int(g[1])) for g, _, _ in rows}):
        part = [(a, b) for g, a, b in rows if (_specimen(g[0])[1], -int(g[1])) == (size, peak)]
        gains = np.array([[b['psnr'] - a['psnr'], b['ssim'] - a['ssim']] for a, b in part])
        where = '' if size == SIZE else f', {size} voxels'
        lines += [
            '',
            f'Peak {-peak}{where}: mean gain {gains[:, 0].mean():+.2f} dB, {gains[:, 1].mean():+.3f}; least {gains[:, 0].min():+.2f} dB.',
        ]
    return [*lines, '']


if __name__ == '__main__':
    main()
