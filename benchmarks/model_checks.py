"""Cost of a wrong model, with the default settings, and the findings on it: docs/model-checks.md.

Every mismatch is reconstructed as recorded and as it should be, and the findings
are listed. ``python benchmarks/model_checks.py [--size 36] [--method dip|tv|sirt]``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_diptomo.assess import psnr
from napari_diptomo.reconstruct import SIRT, DIPmTV, Reconstruction, TotalVariation
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.simulate import lamella, tilt_series
from napari_diptomo.simulate.phantoms import Phantom
from napari_diptomo.simulate.specimens import facetted, interdiffusion, needle, porous

ANGLES = np.arange(-40, 41, 5.0)
SPECIMENS: dict[str, tuple[Callable[..., Phantom], int]] = {
    'lamella': (lamella, 3),
    'porous': (porous, 3),
    'needle': (needle, 1),
    'facetted': (facetted, 3),
    'interdiffusion': (interdiffusion, 2),
}
METHODS: dict[str, Reconstruction] = {
    'dip': DIPmTV(iterations=120),
    'tv': TotalVariation(weight=0.6, iterations=300),
    'sirt': SIRT(iterations=40),
}
PAGE = Path(__file__).parents[1] / 'docs' / 'model-checks.md'
RESULTS = Path(__file__).parent / 'results'
HEADER = (
    '{sizes} voxels, tilts ±40:5, at most {peaks} counts per pixel; PSNR in dB as recorded / treated correctly, '
    'and the doubts raised as recorded.'
)
INTRODUCTION = """# Checks of the model

Every reconstruction compares its data with the model that it fits, before and after the fit, and adds a finding where
they disagree. Nothing is corrected silently but the counting unit, which is divided out and restored exactly. PSNR is the
peak signal-to-noise ratio.

| finding | what is measured | reported when |
|---|---|---|
| field of view | signal in the outermost column over the specimen's own level, at each tilt and side, and over all tilts | above 12 % and 5 standard errors of the counts; unless both edges are alike at all tilts and in all rows |
| background | the same, where the edges are alike | above 3 % of the specimen's level and 10 standard errors |
| counting unit (note) | the number that all values are multiples of | it is not 1 |
| counting statistics | variance over mean from mixed differences of neighbours, compared with a Poisson sample of the smoothed data; the part that a short SIRT explains is subtracted where that is above 1 | below 0.75 or above 1.6, and 5 standard errors from 1 |
| dose | total of each tilt over that of the projections | 2 % (root mean square; 5 % where images are displaced) beyond counting noise, chi-square 5 of its standard deviations too large |
| alignment | displacement of each image against the projections, by regression of the residuals on the gradient | 0.12 pixels (root mean square) beyond counting noise along x or y, chi-square likewise |
| floor of all channels | lowest fraction (0.3 % quantile) of each channel inside the specimen | the smallest is above 5 %, or above 2 % and like the next, not near an equal fraction of all, does not grow with further smoothing as a blurred edge does, and channels vary strongly over it |
| fitted noise | correlation of projections with the counts against its ceiling (after a run from a recipe, the window or the command line) | 3 standard errors and a fifth of the noise above it |

Where the specimen reaches the edge of the field the checks after the fit are omitted: matter from outside disturbs all of
them. A fit follows part of a displacement: of 1 pixel, 120 iterations of DIPm-TV leave 0.9, joint TV 0.6-0.8 and SIRT
0.4-0.6 (at 5 counts 0.2-0.3) in the residuals, an undisturbed series 0.00-0.02.

Not detected are: a leak in the volumes of SIRT, whose noise has no floor, and in a porous body, where the rarest channel
is hardly anywhere absent; the step itself loses nothing by it there (DIPm-TV, joint TV) or up to 2 dB (SIRT). Fine
structure at several hundred counts per pixel can be mistaken for a variance above that of counts. The dose of 5 % costs
these volumes nothing, and is reported all the same. Fitted noise is not in the tables.

Made by `benchmarks/model_checks.py`."""


@dataclass(frozen=True, eq=False)
class Mismatch:
    """Data, the same data as they should be treated, and the truth in the unit of the data."""

    maps: MapSeries
    truth: np.ndarray
    changes: dict[str, Any]
    rightly: MapSeries | None
    scale: float = 1.0


def _clean(kind: str, size: int, peak: float, seed: int, shifts: np.ndarray | None = None) -> Any:
    make, member = SPECIMENS[kind]
    return tilt_series(make(size, member), ANGLES, peak, seed=seed, shifts=shifts)


def mismatch(case: str, kind: str, size: int = 36, peak: float = 30.0, seed: int = 1) -> Mismatch:
    """A series with one fault."""
    rng = np.random.default_rng((seed, 7))
    if case == 'specimen leaves the field':
        return _cropped(kind, size, peak, seed)
    if case in ('shifts 1 px rms', 'shifts 0.5 px rms'):
        shifts = rng.normal(0, float(case.split()[1]), (len(ANGLES), 2))
        # What all tilts share is the position of the specimen, which the truth knows and no data can.
        shifts -= shifts.mean(0)
        s = _clean(kind, size, peak, seed, shifts)
        return Mismatch(s.maps, s.truth.data, {}, replace(s.maps, shifts=shifts))
    s = _clean(kind, size, peak, seed)
    maps, truth = s.maps, s.truth.data
    if case == 'clean':
        return Mismatch(maps, truth, {}, None)
    if case.startswith('counts times'):
        factor = float(case.split()[-1])
        return Mismatch(replace(maps, data=maps.data * np.float32(factor)), truth * factor, {}, maps, factor)
    if case == 'dose 5 % per tilt':
        gain = 1 + 0.05 * rng.standard_normal(len(ANGLES))
        data = rng.poisson(s.clean * gain[None, :, None, None])
        return Mismatch(replace(maps, data=data), truth, {'fit_gain': True}, replace(maps, data=data))
    if case == 'leak 10 %':
        mixing = np.eye(3) + 0.1
        data = rng.poisson(np.einsum('wc,ctyx->wtyx', mixing, s.clean))
        return Mismatch(replace(maps, data=data), truth, {}, replace(maps, data=data, mixing=mixing))
    if case == 'background 10 %':
        background = np.full_like(s.clean, 0.1 * s.clean.max())
        data = rng.poisson(s.clean + background)
        return Mismatch(replace(maps, data=data), truth, {}, replace(maps, data=data, background=background))
    if case == 'camera gain 8':
        data = np.round(np.maximum(8 * maps.data + rng.normal(0, 1, maps.data.shape) * (maps.data > 0), 0))
        return Mismatch(replace(maps, data=data), truth * 8, {}, maps, 8.0)
    if case == 'frames averaged':
        data = np.round(rng.poisson(s.clean * 4) / 4)
        return Mismatch(replace(maps, data=data), truth, {}, None)
    if case == 'smoothed':
        data = np.round(ndimage.gaussian_filter(maps.data, (0, 0, 0.7, 0.7)))
        return Mismatch(replace(maps, data=data), truth, {}, maps)
    raise ValueError(case)


def _cropped(kind: str, size: int, peak: float, seed: int) -> Mismatch:
    """The middle half of a specimen, continued by its mirror images on both sides of the field along x."""
    make, member = SPECIMENS[kind]
    phantom = make(size, member)
    columns = phantom.fine.shape[3]
    core = phantom.fine[..., columns // 4 : columns // 4 + columns // 2]
    wide = np.concatenate([core[..., ::-1], core] * 3, axis=3)[..., columns // 4 :][..., : 2 * columns + columns // 2]
    # A field of odd multiples of the mirrored half has its middle in the middle.
    spare = (wide.shape[3] - columns) // 2 // phantom.supersample
    s = tilt_series(replace(phantom, fine=np.ascontiguousarray(wide)), ANGLES, peak, seed=seed)
    field = slice(spare, spare + size)
    maps = replace(s.maps, data=s.maps.data[..., field])
    return Mismatch(maps, s.truth.data[..., field], {'beyond_field': True}, maps)


CASES = (
    'clean',
    'specimen leaves the field',
    'counts times 10',
    'counts times 0.1',
    'dose 5 % per tilt',
    'shifts 0.5 px rms',
    'shifts 1 px rms',
    'leak 10 %',
    'background 10 %',
    'camera gain 8',
    'frames averaged',
    'smoothed',
)


def _db(volume: Volume, truth: np.ndarray) -> float:
    return float(psnr(volume.data, truth).mean())


def row(
    case: str, kind: str, step: Reconstruction, size: int, peak: float, clean: float | None = None
) -> dict[str, Any]:
    """PSNR as recorded and as it should be, and the findings; ``clean``: PSNR of the clean series where it is known."""
    m = mismatch(case, kind, size, peak)
    plain = step.run(m.maps)
    right = None
    if m.rightly is not None and (m.scale == 1 or clean is None):
        right = type(step)(**{**step.model_dump(), **m.changes}).run(m.rightly)
        right = replace(right, data=right.data * m.scale)
    doubts = [f for f in plain.findings if f.level == 'doubt']
    return {
        'case': case,
        'specimen': kind,
        'default': _db(plain, m.truth),
        'rightly': _db(right, m.truth) if right is not None else clean if m.scale != 1 else None,
        'doubts': [f.about for f in doubts],
        'notes': [f.about for f in plain.findings if f.level == 'note'],
        'doubts when treated rightly': [] if right is None else [f.about for f in right.findings if f.level == 'doubt'],
    }


def main() -> None:
    """Make the table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, default=36)
    parser.add_argument('--peak', type=float, default=30.0)
    parser.add_argument('--method', choices=list(METHODS), default='dip')
    parser.add_argument('--specimens', nargs='+', default=['lamella', 'porous', 'needle'])
    parser.add_argument('--cases', nargs='+', default=list(CASES))
    options = parser.parse_args()
    saved = RESULTS / f'model_checks-{options.method}.json'
    rows = json.loads(saved.read_text()) if saved.exists() else []
    for kind in options.specimens:
        clean: float | None = None
        for case in options.cases:
            found = row(case, kind, METHODS[options.method], options.size, options.peak, clean)
            clean = found['default'] if case == 'clean' else clean
            found |= {'size': options.size, 'peak': options.peak}
            rows = [r for r in rows if (r['case'], r['specimen']) != (case, kind)] + [found]
            print(found, flush=True)
            saved.write_text(json.dumps(rows, indent=1) + '\n')
    write_page()


def write_page() -> None:
    """``docs/model-checks.md`` from the stored rows of each method."""
    lines = [INTRODUCTION]
    for name, step in METHODS.items():
        saved = RESULTS / f'model_checks-{name}.json'
        if not saved.exists():
            continue
        rows = json.loads(saved.read_text())
        sizes, peaks = ({r[key] for r in rows} for key in ('size', 'peak'))
        kinds = list(dict.fromkeys(r['specimen'] for r in rows))
        lines += [
            '',
            f'## {step.title}, {step.iterations} iterations',
            '',
            HEADER.format(
                sizes=' and '.join(f'{size}^3' for size in sorted(sizes)),
                peaks=' and '.join(f'{peak:g}' for peak in sorted(peaks)),
            ),
            '',
            '| case | ' + ' | '.join(f'{kind} | doubts' for kind in kinds) + ' |',
            '|---' * (2 * len(kinds) + 1) + '|',
        ]
        for case in CASES:
            cells = [_cells(rows, case, kind) for kind in kinds]
            if any(cells):
                lines.append(f'| {case} | ' + ' | '.join(cell or ' | ' for cell in cells) + ' |')
        wrong = [(r['case'], r['specimen'], r['doubts when treated rightly']) for r in rows]
        remaining = [f'{case} of the {kind} ({", ".join(doubts)})' for case, kind, doubts in wrong if doubts]
        lines += ['', 'Doubts that remain when treated correctly: ' + ('; '.join(remaining) or 'none') + '.']
    PAGE.write_text('\n'.join(lines) + '\n')


def _cells(rows: list[dict[str, Any]], case: str, kind: str) -> str:
    for r in rows:
        if (r['case'], r['specimen']) == (case, kind):
            right = '' if r['rightly'] is None else f' / {r["rightly"]:.1f}'
            return f'{r["default"]:.1f}{right} | {", ".join(r["doubts"]) or "none"}'
    return ''


if __name__ == '__main__':
    main()
