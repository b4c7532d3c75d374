"""Errors of the alignment on specimens of several kinds, beside StackReg and ETSpy.

Each specimen is projected on a grid twice as fine as the images (48 x 48 pixels, 17 tilts over ±40°), and every
image displaced at random by up to the jitter along x and y, with the tilt axis 3 pixels off the middle; the images see
what comes into the field. The peak is the expected count of the brightest pixel. Errors are root mean squares over the
tilts of the distance from the truth, in pixels, without what no image shows (a motion of the specimen): the median over
the seeds and the largest. "Start" is the path of displacements between neighbours that the alignment began with.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import napari_diptomo.align as package
from _alignment_cases import ANGLES, SIZE, SPECIMENS, error, projections, rms, series, whole_shifts
from _alignment_peers import PEERS
from _fingerprint import of_module, source_on_disk
from napari_diptomo.align import Align
from napari_diptomo.align.align import _BANDS
from napari_diptomo.align.neighbour_votes import voted_shifts
from napari_diptomo.series import MapSeries, Watch

PAGE = Path(__file__).parents[1] / 'docs' / 'alignment.md'
RESULTS = Path(__file__).parent / 'results' / 'alignment.json'
CONDITIONS = tuple((jitter, peak) for peak in (30.0, 5.0) for jitter in (1.0, 3.0, 5.0, 8.0))  # pixels, counts
WRONG = 1.5  # pixels
ROTATIONS = (0.0, 0.5, 1.0, 2.0, 3.0)  # degrees, at jitter 3 and peak 30
ROTATION_TEXT = """The same specimens about an axis turned in the images by so many degrees; jitter 3 pixels, peak 30. Found and
standard error, in degrees; ? where the images determine none. A point moves along the assumed axis by its distance from the
middle times sin t sin r: .3 pixels at 10 pixels, 40° and r = 3°, so most specimens show it to a degree only."""
#: Modules of the package that no shift depends on.
_APART = {'__init__', 'by_hand', 'shift_files', 'alignment_findings', 'second_axis', 'second_motion'}


def version() -> str:
    """Of the code that aligns."""
    names = sorted(path.stem for path in Path(package.__file__).parent.glob('*.py') if path.stem not in _APART)
    digests = [of_module(f'{package.__name__}.{name}', source_on_disk) for name in names]
    return hashlib.sha256(' '.join(digests).encode()).hexdigest()[:10]


def kept() -> dict[str, dict[str, Any]]:
    """Results so far, by key."""
    return json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}


def keep(results: dict[str, dict[str, Any]]) -> None:
    lines = ',\n'.join(f'{json.dumps(key)}: {json.dumps(results[key])}' for key in sorted(results))
    fresh = RESULTS.with_suffix('.new')
    fresh.write_text('{\n' + lines + '\n}\n', encoding='utf-8')
    os.replace(fresh, RESULTS)


def cell(name: str, jitter: float, peak: float, seed: int) -> dict[str, Any]:
    """One series, aligned by us and by the others."""
    maps, true = series(projections(name), jitter, peak, 100 + seed)
    images = maps.data[0].astype(float)
    begin = time.process_time()
    aligned = Align().run(maps)
    seconds = time.process_time() - begin
    notes = aligned.notes['align']
    off = error(whole_shifts(aligned), true)
    flagged = np.isin(ANGLES, notes['doubtful_angles'])
    found = {
        'error': rms(off),
        'start': rms(error(start_of(maps, notes['method']), true)),
        'standard_error': notes['standard_error'],
        'wrong': int((off > WRONG).sum()),
        'missed': int((~flagged & (off > WRONG)).sum()),
        'flagged': int(flagged.sum()),
        'seconds': seconds,
        'peers': {},
    }
    for peer, shifts_by in PEERS.items():
        begin = time.process_time()
        shifts = shifts_by(images, ANGLES)
        found['peers'][peer] = {'error': rms(error(shifts, true)), 'seconds': time.process_time() - begin}
    return rounded(found)


def rotation_cell(name: str, rotation: float, seed: int) -> dict[str, Any]:
    """One series about a turned axis."""
    maps, _ = series(projections(name, rotation), 3.0, 30.0, 300 + seed)
    notes = Align().run(maps).notes['align']
    found = {'found': notes['rotation_found'], 'uncertainty': notes['rotation_uncertainty']}
    return rounded({**found, 'used': notes['axis_rotation']})


def start_of(maps: MapSeries, method: str) -> np.ndarray:
    """The shifts that an alignment of this name began with, (tilt, 2)."""
    images = maps.data[0].astype(float)
    votes = voted_shifts(images, ANGLES, np.full(2, SIZE / 2), _BANDS, Watch(None, '', len(ANGLES)))
    band = next(k for k, (fine, _) in enumerate(_BANDS) if f'from {fine:g} pixels' in method)
    return votes[band].shifts


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def keys(seeds: int) -> Iterator[tuple[str, str, float, float, int]]:
    for seed in range(seeds):
        for jitter, peak in CONDITIONS:
            for name in SPECIMENS:
                yield f'{name} | jitter {jitter:g} | peak {peak:g} | seed {seed}', name, jitter, peak, seed


def rotation_keys(seeds: int) -> Iterator[tuple[str, str, float, int]]:
    for seed in range(seeds):
        for rotation in ROTATIONS:
            for name in SPECIMENS:
                yield f'{name} | rotation {rotation:g} | seed {seed}', name, rotation, seed


def measure(seeds: int, rotation_seeds: int, minutes: float) -> None:
    """Whatever is not measured with this code, as far as the time allows."""
    now, until = version(), time.monotonic() + 60 * minutes
    results = kept()
    todo: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        (key, partial(rotation_cell, *case)) for key, *case in rotation_keys(rotation_seeds)
    ]
    todo += [(key, partial(cell, *case)) for key, *case in keys(seeds)]
    for key, measured in todo:
        if results.get(key, {}).get('version') == now:
            continue
        if time.monotonic() > until:
            break
        results[key] = {'version': now, **measured()}
        keep(results)
        print(f'{key}: {results[key]}', flush=True)


def row(name: str, cells: list[dict[str, Any]]) -> str:
    ours = [one['error'] for one in cells]
    columns = [f'{np.median(ours):.2f} ({max(ours):.2f})', f'{np.median([one["start"] for one in cells]):.2f}']
    claims = [np.inf if one['standard_error'] is None else one['standard_error'] for one in cells]
    columns += [f'{np.median(claims):.2f}', str(sum(one['wrong'] for one in cells))]
    columns += [str(sum(one['missed'] for one in cells)), str(sum(false_flags(one) for one in cells))]
    for peer in PEERS:
        theirs = [one['peers'][peer]['error'] for one in cells]
        columns.append(f'{np.median(theirs):.2f} ({max(theirs):.2f})')
    return f'| {name} | {" | ".join(columns)} |'


def false_flags(one: dict[str, Any]) -> int:
    """Tilts that are doubted and stand right."""
    return int(one['flagged'] - (one['wrong'] - one['missed']))


def shift_section(results: dict[str, dict[str, Any]], seeds: int) -> list[str]:
    """The tables of shifts and what they come to."""
    by_case: dict[tuple[float, float, str], list[dict[str, Any]]] = {}
    for key, name, jitter, peak, _ in keys(seeds):
        if key in results:
            by_case.setdefault((peak, jitter, name), []).append(results[key])
    lines = []
    for jitter, peak in CONDITIONS:
        rows = [row(name, by_case[peak, jitter, name]) for name in SPECIMENS if (peak, jitter, name) in by_case]
        if not rows:
            continue
        number = len(by_case[peak, jitter, next(iter(SPECIMENS))])
        head = ['specimen', f'aligned, {number} seeds', 'start', 'standard error', f'wrong by > {WRONG:g} px']
        head += ['of these not doubted', 'doubted and right', *PEERS]
        lines += [f'### Jitter ± {jitter:g} pixels, peak {peak:g} counts', '', f'| {" | ".join(head)} |']
        lines += ['|---' * len(head) + '|', *rows, '']
    return [*sums(by_case), '', *lines]


def sums(by_case: dict[tuple[float, float, str], list[dict[str, Any]]]) -> list[str]:
    lines, now = [], version()
    for peak in (30.0, 5.0):
        cells = [one for (p, _, _), ones in by_case.items() if p == peak for one in ones]
        if not cells:
            continue
        below = 100 * np.mean([one['error'] < 0.5 for one in cells])
        worse = max(one['error'] - one['start'] for one in cells)
        doubts = [sum(one[what] for one in cells) for what in ('wrong', 'missed')]
        times = ', '.join(f'{who} {np.mean([s(one) for one in cells]):.2g}' for who, s in _seconds().items())
        earlier = sum(one['version'] != now for one in cells)
        of_these = f' ({earlier} of them by an earlier version)' if earlier else ''
        lines.append(
            f'- Peak {peak:g}, {len(cells)} series{of_these}: error below .5 pixels in {below:.0f} %, worse than the start by {worse:.2f} '
            f'pixels at most; {doubts[0]} of {len(cells) * len(ANGLES)} tilts wrong by more than {WRONG:g} pixels, {doubts[1]} of them '
            f'not doubted, {sum(map(false_flags, cells))} doubted that stand right. CPU seconds: {times}.'
        )
    return lines


def rotation_section(results: dict[str, dict[str, Any]], seeds: int) -> list[str]:
    """Rotations of the axis that were found."""
    cases: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for key, name, rotation, _ in rotation_keys(seeds):
        if key in results:
            cases.setdefault((name, rotation), []).append(results[key])
    lines = [
        f'| specimen | {" | ".join(f"true {rotation:g}" for rotation in ROTATIONS)} |',
        '|---' * (len(ROTATIONS) + 1) + '|',
    ]
    for name in SPECIMENS:
        each = [', '.join(map(_shown, cases.get((name, rotation), []))) for rotation in ROTATIONS]
        lines.append(f'| {name} | {" | ".join(each)} |')
    ones = [(rotation, one) for (_, rotation), all_of_it in cases.items() for one in all_of_it]
    pulls = [(one['found'] - true) / one['uncertainty'] for true, one in ones if one['uncertainty'] is not None]
    within = np.mean(np.abs(pulls) < 1), np.mean(np.abs(pulls) < 2)
    precise = [abs(one['found'] - true) for true, one in ones if (one['uncertainty'] or np.inf) < 0.5]
    harmful = sum(abs(one['used'] - true) > abs(true) for true, one in ones)
    summary = (
        f'Of {len(ones)} series {len(ones) - len(pulls)} determine no rotation; of the others {100 * within[0]:.0f} % lie within one '
        f'standard error and {100 * within[1]:.0f} % within two, and the rms of error over standard error is {rms(np.array(pulls)):.2f}. '
        f'Where the standard error is below .5° ({len(precise)} series) the error is {np.median(precise):.2f} in the median and '
        f'{max(precise):.2f} at most. The rotation is used (*) in {sum(one["used"] != 0 for _, one in ones)} series, and is then farther '
        f'from the truth than none in {harmful}.'
    )
    return [summary, '', *lines, '']


def _shown(one: dict[str, Any]) -> str:
    if one['uncertainty'] is None:
        return '?'
    return f'{one["found"]:.1f} ± {one["uncertainty"]:.1f}{"*" if one["used"] else ""}'


def _seconds() -> dict[str, Any]:
    theirs = {peer: lambda one, peer=peer: one['peers'][peer]['seconds'] for peer in PEERS}
    return {'ours': lambda one: one['seconds'], **theirs}


def real_section() -> list[str]:
    """Measured series, where they are; measured anew each time."""
    import _alignment_real as real

    lines = [(real.__doc__ or '').strip(), '']
    if importlib.util.find_spec('etspy') is not None:
        lines += ["ETSpy's needle, residual in per cent:", '', *_as_list(real.needle()), '']
    if real.OPENNCEM.is_dir():
        lines += ["openNCEM's dust particle, residual in per cent:", '', *_as_list(real.dust_particle()), '']
    return lines


def _as_list(found: dict[str, float]) -> list[str]:
    return [f'- {name}: {value:.1f}' for name, value in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=10)
    parser.add_argument('--rotation-seeds', type=int, default=3)
    parser.add_argument('--minutes', type=float, default=600, help='stop measuring then; the page has what there is')
    options = parser.parse_args()
    measure(options.seeds, options.rotation_seeds, options.minutes)
    lines = ['# Alignment', '', 'Written by `make bench ONLY=alignment`; do not edit by hand.', '', '## Shifts', '']
    lines += [(__doc__ or '').strip(), '', *shift_section(kept(), options.seeds)]
    lines += ['## Rotation of the axis', '', ROTATION_TEXT, '', *rotation_section(kept(), options.rotation_seeds)]
    lines += ['## Measured series', '', *real_section()]
    PAGE.write_text('\n'.join(lines).rstrip() + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
