"""Errors of the alignment on specimens of several kinds, by start and after refinement.

Each specimen is projected on a grid twice as fine as the images (64 x 64 pixels, 17 tilts over +-40 degrees), and every
image displaced at random by up to the jitter along x and y, with the tilt axis 3 pixels off the middle; the images see
what comes into the field. The peak is the expected count of the brightest pixel. Errors are root mean squares over the
tilts and both axes, in pixels, without what no image shows (a motion of the specimen). A start is the path of
displacements between neighbours on which next neighbours agree, for structures from so many pixels on; the start that
predicts left-out tilts best is refined. "Standard error" is what the alignment itself claims, "doubted" the tilts it
doubts and, of those, how many are wrong by more than 1.5 pixels; "missed" those it should have doubted. The last
column is the rotation of the axis it finds where there is none. Writes `docs/alignment.md`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_diptomo.align import Align
from napari_diptomo.align.align import _BANDS
from napari_diptomo.align.neighbour_votes import voted_shifts
from napari_diptomo.align.specimen_motion import without_rigid_motion
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import MapSeries, Watch
from napari_diptomo.simulate import edx_phantom, eels_phantom, facetted, lamella, needle, porous

PAGE = Path(__file__).parents[1] / 'docs' / 'alignment.md'
ANGLES = np.arange(-40.0, 41.0, 5.0)
SIZE, FINE, AXIS = 64, 2, 3.0
CONDITIONS = ((3.0, 30.0), (8.0, 30.0), (5.0, 5.0))  # jitter in pixels, peak in counts
_BESIDE = 24  # pixels beyond the images that are simulated


def film(thickness: float, seed: int) -> np.ndarray:
    """A film beyond the field of view, thickness as a share of its width, with spheres in it; (z, y, x)."""
    rng = np.random.default_rng(seed)
    wide, deep = 2 * SIZE * FINE, int(SIZE * thickness + 2) * FINE
    half = SIZE * thickness / 2 * FINE
    z, y, x = np.ogrid[:deep, :wide, :wide]
    z = z - (deep - 1) / 2
    inside = np.abs(z) < half
    texture = ndimage.gaussian_filter(rng.normal(size=(deep, wide, wide)), 4 * FINE)
    found = inside * (1 + 0.15 * np.clip(texture / texture.std(), -2, 2))
    for _ in range(90):
        at = rng.uniform(-half, half), rng.uniform(0, wide), rng.uniform(0, wide)
        radius = rng.uniform(0.03, 0.08) * SIZE * FINE
        sphere = ((z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 < radius**2) & inside
        found = np.where(sphere, (1.3, 1.0, 0.9, 0.0)[rng.integers(4)], found)
    return found


SPECIMENS: dict[str, Callable[[], np.ndarray]] = {
    'thick film beyond the field': lambda: film(0.3, 3),
    'thin film beyond the field': lambda: film(0.12, 5),
    'EDX phantom': lambda: edx_phantom(SIZE).fine.sum(axis=0),
    'lamella': lambda: lamella(SIZE, 12).fine.sum(axis=0),
    'nanocube': lambda: eels_phantom(SIZE).fine.sum(axis=0),
    'needle': lambda: needle(SIZE, 1).fine.sum(axis=0),
    'facetted particles': lambda: facetted(SIZE, 2).fine.sum(axis=0),
    'porous body': lambda: porous(SIZE, 1).fine.sum(axis=0),
}


def projections(fine: np.ndarray) -> np.ndarray:
    """Of the specimen at rest, (tilt, y, x), wider than the images by what jitter brings in."""
    beside = _BESIDE * FINE
    padded = np.pad(fine, ((0, 0), (beside, beside), (0, 0)))[None].astype(np.float32)
    return ParallelBeam(ANGLES, padded.shape[1:], columns=padded.shape[3] + 2 * beside).project(padded)[0]


def series(still: np.ndarray, jitter: float, peak: float, seed: int) -> tuple[MapSeries, np.ndarray]:
    """Displaced images with counting noise, and the true shifts (tilt, 2)."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(-jitter, jitter, (len(ANGLES), 2))
    true[:, 1] += AXIS * (1 - np.cos(np.deg2rad(ANGLES)))
    y0, x0 = ((n - SIZE * FINE) // 2 for n in still.shape[1:])
    part = np.s_[y0 : y0 + SIZE * FINE, x0 : x0 + SIZE * FINE]
    moved = [ndimage.shift(image, shift * FINE, order=3)[part] for image, shift in zip(still, true, strict=True)]
    clean = np.array(moved).reshape(len(ANGLES), SIZE, FINE, SIZE, FINE).sum(axis=(2, 4))
    counts = rng.poisson(np.maximum(clean * peak / clean.max(), 0))
    return MapSeries(counts[None].astype(np.float32), ANGLES, ('all',)), true


def error(shifts: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distance of each tilt (tilt,) from the truth, motions of the specimen left out, pixels."""
    return np.hypot(*without_rigid_motion(shifts - true, ANGLES).T)


def row(name: str, jitter: float, peak: float, seeds: int) -> str:
    still = projections(SPECIMENS[name]())
    starts: list[list[float]] = []
    ends, claims, turns, seconds = [], [], [], []
    doubted = right = missed = 0
    for seed in range(seeds):
        maps, true = series(still, jitter, peak, 100 + seed)
        images, half = maps.data[0].astype(float), np.full(2, SIZE / 2)
        votes = voted_shifts(images, ANGLES, half, _BANDS, Watch(None, '', len(ANGLES)))
        starts.append([rms(error(voted.shifts, true)) for voted in votes])
        begin = time.process_time()
        aligned = Align().run(maps)
        seconds.append(time.process_time() - begin)
        notes, whole = aligned.notes['align'], aligned.shifts.copy()
        whole[:, 1] += aligned.axis_shift * (1 - np.cos(np.deg2rad(ANGLES)))
        off = error(whole, true)
        ends.append(rms(off))
        claims.append(notes['standard_error'] or np.inf)
        turns.append(f'{notes["rotation_found"]:.1f} ± {notes["rotation_uncertainty"] or np.inf:.1f}')
        flagged = np.isin(ANGLES, notes['doubtful_angles'])
        doubted, right = doubted + flagged.sum(), right + (flagged & (off > 1.5)).sum()
        missed += (~flagged & (off > 1.5)).sum()
    cells = [f'{np.median(start):.2f}' for start in zip(*starts, strict=True)]
    cells += [', '.join(f'{end:.2f}' for end in ends), f'{np.median(claims):.2f}', f'{doubted} ({right})', str(missed)]
    return f'| {name} | {" | ".join([*cells, turns[0], f"{np.mean(seconds):.1f}"])} |'


def rms(distances: np.ndarray) -> float:
    return float(np.sqrt((distances**2).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=3)
    options = parser.parse_args()
    head = ['specimen', *(f'from {fine:g} px' for fine, _ in _BANDS), f'aligned, {options.seeds} seeds']
    head += ['standard error', 'doubted (wrong)', 'missed', 'rotation', 'CPU s']
    lines = ['# Alignment', '', 'Written by `make bench ONLY=alignment`; do not edit by hand.', '', __doc__ or '']
    for jitter, peak in CONDITIONS:
        lines += [f'## Jitter ± {jitter:g} pixels, peak {peak:g} counts', '', '| ' + ' | '.join(head) + ' |']
        lines += ['|---' * len(head) + '|']
        for name in SPECIMENS:
            lines.append(row(name, jitter, peak, options.seeds))
            print(f'{jitter:g} px, peak {peak:g}: {lines[-1]}', flush=True)
        lines.append('')
    PAGE.write_text('\n'.join(lines).rstrip() + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
