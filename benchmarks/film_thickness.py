"""Thickness of films that extend beyond the field, found at Align, and bodies that end within it.

Images of 48 pixels, tilted over ±40° in steps of 5, displaced by up to 3 or 8 pixels along each axis, aligned by
`Align` with its defaults. Films with spheres and soft texture, films of upright layers that run through, and films of soft
structure alone; twice as wide as the images. The bodies are those of `alignment`. "In the volume" counts the films that the
proposed thickness holds. The SIRT column is the peak signal-to-noise ratio of 60 iterations without noise in the shifts: as deep as
the images are wide and within the field, beyond it, and beyond it with the proposed thickness. Writes
`docs/film-thickness.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from _alignment_cases import ANGLES, BESIDE, FINE, SIZE, SPECIMENS, film, projections, series
from napari_diptomo import SIRT
from napari_diptomo.align import Align
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import Finding, MapSeries

DOCS = Path(__file__).parents[1] / 'docs' / 'film-thickness.md'
CASES = ((3.0, 30.0), (8.0, 5.0))
SHARES = (0.12, 0.3)


def layers(share: float, seed: int) -> np.ndarray:
    """A slab of layers that run through it along the beam, oblique to both axes of the images."""
    inside, shape = _slab(share)
    rng = np.random.default_rng(seed)
    _, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    bounds = np.sort(rng.uniform(-0.5, 1.2, 20)) * shape[1]
    where = np.cos(0.6) * x + np.sin(0.6) * y * rng.choice([-1, 1])
    wavy = where + 6 * FINE * np.sin(y / (7.0 * FINE))
    return inside * rng.uniform(0.3, 1.3, 21)[np.searchsorted(bounds, wavy)]


def soft(share: float, seed: int) -> np.ndarray:
    """A slab of soft structure alone, three pixels wide."""
    inside, shape = _slab(share)
    noise = np.random.default_rng(seed).normal(size=(shape[0] + 24, *shape[1:])).astype(np.float32)
    texture = ndimage.gaussian_filter(noise, 3 * FINE)[12:-12]
    return inside * np.clip(1 + 0.3 * texture / texture.std(), 0.05, None)


def _slab(share: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    shape = (int(SIZE * share + 2) * FINE, 2 * SIZE * FINE, 2 * SIZE * FINE)
    z = np.arange(shape[0]) - (shape[0] - 1) / 2
    return (np.abs(z) < SIZE * share / 2 * FINE)[:, None, None].astype(np.float32), shape


FILMS: dict[str, Callable[[float, int], np.ndarray]] = {'spheres': film, 'layers': layers, 'soft structure': soft}


def projected(body: np.ndarray) -> np.ndarray:
    beside = BESIDE * FINE
    padded = np.pad(body, ((0, 0), (beside, beside), (0, 0)))[None].astype(np.float32)
    return ParallelBeam(ANGLES, padded.shape[1:], columns=padded.shape[3] + 2 * beside).project(padded)[0]


def true_thickness(share: float) -> float:
    """As simulated on the fine grid, pixels."""
    return float(_slab(share)[0].sum()) / FINE


def proposal(maps: MapSeries) -> Finding | None:
    return next((one for one in Align().run(maps).findings if one.about == 'extended specimen'), None)


def gain(body: np.ndarray, still: np.ndarray, found: Finding | None) -> str:
    """PSNR of SIRT within the field, beyond it, and with the thickness proposed, dB."""
    maps, _ = series(still, 0.0, 30.0, 9)
    maps = MapSeries(maps.data, ANGLES, ('all',))
    middle = (body.shape[1] - SIZE * FINE) // 2
    part = body[:, middle : middle + SIZE * FINE, middle : middle + SIZE * FINE]
    depth = len(part) // FINE
    truth = part.reshape(depth, FINE, SIZE, FINE, SIZE, FINE).mean(axis=(1, 3, 5))
    steps = [SIRT(iterations=60), SIRT(iterations=60, beyond_field=True)]
    if found is not None and found.remedy is not None:
        steps.append(SIRT(iterations=60, **found.remedy.changes))
    return ', '.join(f'{_psnr(step.run(maps).data[0], truth):.1f}' for step in steps)


def _psnr(volume: np.ndarray, truth: np.ndarray) -> float:
    depth = max(len(volume), len(truth))
    a, b = (np.pad(v, ((_low(depth, v), depth - len(v) - _low(depth, v)), (0, 0), (0, 0))) for v in (volume, truth))
    b = b * (a * b).sum() / (b**2).sum()
    return float(10 * np.log10(b.max() ** 2 / ((a - b) ** 2).mean()))


def _low(depth: int, volume: np.ndarray) -> int:
    return (depth - len(volume)) // 2


def rows(shares: tuple[float, ...]) -> list[str]:
    found = []
    for name, make in FILMS.items():
        for share in shares:
            body = make(share, 7)
            still, true = projected(body), true_thickness(share)
            each, held, last = [], 0, None
            for number, (jitter, peak) in enumerate(CASES):
                finding = proposal(series(still, jitter, peak, number)[0])
                last = finding if number == 0 else last
                numbers = {} if finding is None else finding.evidence
                if 'thickness, nm' in numbers:
                    each.append(f'{numbers["thickness, nm"]:.1f} ± {numbers["its standard error, nm"]:.1f}')
                else:
                    each.append('not proposed' if finding is None else 'unknown')
                depth = SIZE if finding is None else finding.remedy.changes.get('thickness', SIZE)
                held += depth >= true
            row = f'| {name} | {true:.0f} | {" | ".join(each)} | {held} of {len(CASES)} | {gain(body, still, last)} |'
            found.append(row)
            print(row, flush=True)
    return found


def bodies() -> list[str]:
    found = []
    for name in SPECIMENS:
        if 'beyond the field' in name:
            continue
        proposed = [proposal(series(projections(name), jitter, peak, 20)[0]) is not None for jitter, peak in CASES]
        found.append(f'| {name} | {sum(proposed)} of {len(proposed)} |')
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--shares', type=float, nargs='+', default=list(SHARES), help='thicknesses over the width')
    parser.add_argument('--docs', type=Path, default=DOCS)
    options = parser.parse_args()
    heads = ' | '.join(f'jitter {jitter:g}, peak {peak:g}' for jitter, peak in CASES)
    lines = [
        '# Thickness of films',
        '',
        'Written by `make bench ONLY=film_thickness`; do not edit by hand.',
        '',
        (__doc__ or '').strip(),
        '',
        f'| film of | thickness (pixels) | {heads} | in the volume | SIRT: within, beyond, with thickness (dB) |',
        f'|---|---|{"---|" * len(CASES)}---|---|',
        *rows(tuple(options.shares)),
        '',
        'Bodies that end within the field: proposals to reconstruct beyond it.',
        '',
        '| body | proposed |',
        '|---|---|',
        *bodies(),
    ]
    options.docs.write_text('\n'.join(lines) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
