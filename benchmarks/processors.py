"""Stability of fits, and repeatability to the bit, with the instruction sets of several kinds of processors.

oneDNN is restricted to the instructions of the named kind (`ONEDNN_MAX_CPU_ISA`), and so runs the kernels of such a
processor. For each kind: 60 fits of 25 iterations (presets fast and balanced, 4 to 40 voxels along the beam, 3 seeds)
in memory filled with not-a-number; the gradient of every layer, as the fit computes it, compared with float32; the same
fits again, whose volumes must be equal to the bit. Writes `results/processors.json` and `docs/processors.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'processors.json'
DOCS = HERE.parent / 'docs' / 'processors.md'
KINDS = {'': 'all instructions of this processor', 'AVX512_CORE_BF16': 'AVX512-BF16 without AMX', 'AVX2': 'AVX2'}
DEPTHS = (4, 6, 8, 12, 16, 20, 24, 28, 32, 40)
PRESETS = ('fast', 'balanced')
SEEDS = (0, 1, 2)
ITERATIONS = 25
WIDTH = 16


def poison() -> None:
    """Leave released memory full of not-a-number."""
    import torch

    kept = [torch.full((2**k // 4,), float('nan')) for k in range(10, 22) for _ in range(2)]
    del kept


def fits() -> dict[str, Any]:
    """All fits with the instructions that this process may use."""
    import torch

    from napari_diptomo.reconstruct import DIPmTV
    from napari_diptomo.series import DiptomoError, MapSeries

    rng = np.random.default_rng(0)
    found: dict[str, Any] = {'fits': 0, 'diverged': [], 'restarted': [], 'unequal': [], 'faulty': {}}
    for depth in DEPTHS:
        counts = rng.poisson(0.4 * depth, (3, 17, WIDTH, WIDTH))
        maps = MapSeries(counts, np.arange(-40.0, 41, 5), ('A', 'B', 'C'), recipe=None)
        for preset in PRESETS:
            for seed in SEEDS:
                name, digests = f'{preset}, {depth} voxels, seed {seed}', []
                step = DIPmTV(preset=preset, iterations=ITERATIONS, thickness=float(depth), seed=seed)
                try:
                    for _ in range(2):
                        poison()
                        volume = step.run(maps)
                        digests.append(hashlib.sha256(volume.data.tobytes()).hexdigest())
                except DiptomoError as error:
                    found['diverged'].append(f'{name}: {error}')
                    continue
                finally:
                    found['fits'] += 1
                if not np.isfinite(volume.data).all():
                    found['diverged'].append(name)
                if 'restarts' in volume.notes:
                    found['restarted'].append(name)
                if digests[0] != digests[1]:
                    found['unequal'].append(name)
                found['precision'] = volume.notes['precision']
                for finding in volume.findings:
                    if finding.about == 'arithmetic':
                        found['faulty'].setdefault(finding.sentence, []).append(name)
    found['worst_gradient'], found['layers'] = gradients()
    found['torch'] = torch.__version__
    return found


def gradients() -> tuple[float, int]:
    """Largest relative error of a weight gradient against float32 without oneDNN, over all layers of all sizes."""
    import torch

    from napari_diptomo.reconstruct import DIPmTV
    from napari_diptomo.reconstruct.device import takes_bf16
    from napari_diptomo.reconstruct.dip import arithmetic
    from napari_diptomo.reconstruct.dip.network import UNet, structure_of
    from napari_diptomo.series import MapSeries

    worst, layers = 0.0, 0
    kind = torch.bfloat16 if takes_bf16('auto', torch.device('cpu')) else torch.float32
    for depth in DEPTHS:
        shape = (depth, WIDTH, WIDTH)
        maps = MapSeries(np.ones((3, 2, *shape[1:])), [-10.0, 10.0], ('A', 'B', 'C'), recipe=None)
        for preset in PRESETS:
            step = DIPmTV(preset=preset, output='softplus')
            network = UNet(*structure_of(step.fit_settings().network, maps, shape))
            plan = arithmetic.arithmetic_for(network, (1, step.input_channels, *shape), kind)
            plan.prepare(network)
            modules = dict(network.named_modules())
            for name, layer in arithmetic.layers_of(network, (1, step.input_channels, *shape)).items():
                worst = max(worst, _error(modules[name], layer, plan))
                layers += 1
    return worst, layers


def _error(module: Any, layer: Any, plan: Any) -> float:
    import torch

    random = torch.Generator().manual_seed(3)
    x = torch.randn((1, layer.inputs, *layer.shape), generator=random).to(plan.number_type)
    size = module(x).shape
    grad = torch.randint(-3, 4, tuple(size), generator=random).float()
    found = []
    for library, given in ((True, x), (False, x.float())):
        module.zero_grad(set_to_none=True)
        torch._C._set_mkldnn_enabled(library)
        poison()
        y = module(given)
        poison()
        y.backward(grad.to(y.dtype))
        torch._C._set_mkldnn_enabled(True)
        found.append(module.weight.grad.clone())
    error = float((found[0] - found[1]).norm() / found[1].norm().clamp_min(1e-30))
    return error if np.isfinite(error) else float('inf')


def measure(kind: str) -> dict[str, Any]:
    """One kind of processor in a process of its own, with nothing known of its layers."""
    import tempfile

    with tempfile.TemporaryDirectory() as cache:
        environment = {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ, 'XDG_CACHE_HOME': cache}
        if kind:
            environment['ONEDNN_MAX_CPU_ISA'] = kind
        begin = time.monotonic()
        ended = subprocess.run(
            [sys.executable, __file__, '--child'], env=environment, capture_output=True, text=True, check=True
        )
        return {**json.loads(ended.stdout.splitlines()[-1]), 'seconds': round(time.monotonic() - begin)}


def write(results: dict[str, Any]) -> None:
    """The page, from the results alone."""
    lines = [
        '# Processors',
        '',
        'Written by `make bench ONLY=processors`; do not edit by hand.',
        '',
        *(__doc__ or '').partition(' Writes')[0].splitlines()[2:],
        '',
        f'Measured on {results["processor"]}.',
        '',
        '| instructions | numbers | fits | diverged | restarted | not equal to the bit | layers checked | worst weight gradient |',
        '|---|---|---|---|---|---|---|---|',
    ]
    faulty = []
    for kind, words in KINDS.items():
        r = results['kinds'].get(kind)
        if r is None:
            lines.append(f'| {words} | not run | | | | | | |')
            continue
        lines.append(
            f'| {words} | {r["precision"]} | {r["fits"]} | {len(r["diverged"])} | {len(r["restarted"])} | '
            f'{len(r["unequal"])} | {r["layers"]} | {r["worst_gradient"]:.4f} |'
        )
        faulty += [f'- {words}: {sentence} ({len(names)} fits.)' for sentence, names in r['faulty'].items()]
    lines += ['', 'Findings of the check:', '', *(faulty or ['- none.'])]
    DOCS.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--child', action='store_true', help='measure in this process')
    parser.add_argument('--kinds', nargs='*', default=list(KINDS))
    options = parser.parse_args()
    if options.child:
        print(json.dumps(fits()))
        return
    from _processor import processor

    results = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {'kinds': {}}
    for kind in options.kinds:
        results['kinds'][kind] = measure(kind)
        results['torch'] = results['kinds'][kind]['torch']
        results['processor'] = processor()
        RESULTS.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
        write(results)


if __name__ == '__main__':
    main()
