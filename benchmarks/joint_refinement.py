"""Shifts refined together with the volume, `refine_shifts` of TotalVariation and DIPmTV.

Images displaced by 1 pixel (root mean square over both axes) that the maps do not know of, and by nothing. Each specimen is
reconstructed with the true shifts, with none, and with none refined; and with those that `Align` finds, refined and not. The
displacements hold no motion of the specimen as a whole, which no image shows, and from what `Align` finds that part of its
difference from the truth is taken out first: the refinement moves nothing of it, so all volumes are in the frame of the
truth and PSNR, the mean over the channels, is taken as it is. Where the refinement is refused the volume is that without it.
Resumable. Writes `results/joint_refinement.json` and `docs/joint-refinement.md`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from _cases import CASES, phantom_of
from _processor import processor
from _scores import mean_psnr
from napari_diptomo.align import Align
from napari_diptomo.geometry.rigid_motion import rigid_motion, without_rigid_motion
from napari_diptomo.reconstruct import DIPmTV, TotalVariation
from napari_diptomo.reconstruct.refined_geometry import NOTE
from napari_diptomo.series import MapSeries
from napari_diptomo.simulate import tilt_series

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'joint_refinement.json'
DOCS = HERE.parent / 'docs' / 'joint-refinement.md'
SIZE = 24
METHODS = {'TV': TotalVariation(weight=0.6), 'DIPm-TV': DIPmTV(preset='fast', iterations=100)}
NAMES = ('lamella 10', 'porous 20', 'facetted 21', 'EELS phantom')
PEAKS = (30, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', nargs='*', default=list(NAMES))
    parser.add_argument('--methods', nargs='*', default=list(METHODS), choices=list(METHODS))
    parser.add_argument('--peaks', nargs='*', type=int, default=list(PEAKS))
    options = parser.parse_args()
    for method in options.methods:
        for peak in options.peaks:
            for name in options.cases:
                _measure(name, peak, method)
    write()


def displacements(angles: np.ndarray, seed: int) -> np.ndarray:
    """Pixels (tilt, 2), 1 rms, without a motion of the specimen."""
    sampled = without_rigid_motion(np.random.default_rng(seed).standard_normal((len(angles), 2)), angles)
    return sampled / np.sqrt((sampled**2).mean())


def _measure(name: str, peak: int, method: str) -> None:
    """All volumes of one specimen, unless they are known."""
    key = f'{name} | {peak} | {method}'
    known = _results()
    if key in known:
        return
    angles, step = np.array(CASES[name].angles), METHODS[method]
    refining = step.model_copy(update={'refine_shifts': True})
    found: dict[str, Any] = {'processor': processor()}
    for displaced in (True, False):
        true = displacements(angles, CASES[name].noise) * displaced
        simulated = tilt_series(phantom_of(CASES[name], SIZE), angles, peak, CASES[name].noise, true)
        maps, truth = simulated.maps, simulated.truth.data
        starts: dict[str, MapSeries] = {'none': maps}
        if displaced:
            aligned = Align(find_axis=False, axis_rotation=0.0).run(maps)
            shifts = np.asarray(aligned.shifts) - rigid_motion(np.asarray(aligned.shifts) - true, angles)
            starts['Align'] = replace(maps, shifts=shifts)
        right = mean_psnr(step.run(replace(maps, shifts=true)).data, truth)
        part: dict[str, Any] = {'true': right}
        for start, series in starts.items():
            volume = refining.run(series)
            note = volume.notes[NOTE]
            off, errors = np.array(note['shifts']) - true, np.array(note['errors'])
            alone = mean_psnr(step.run(series).data, truth) if displaced else right
            part[start] = {
                'alone': alone,
                'refined': mean_psnr(volume.data, truth),
                'used': note['used'],
                'sigmas': round(note['gain'] / max(note['standard_error'], 1e-30), 1),
                'off': round(float(np.sqrt(((np.asarray(series.shifts) - true) ** 2).mean())), 3),
                'left': round(float(np.sqrt((off**2).mean())), 3),
                'error': round(float(np.sqrt((errors**2).mean())), 3),
                'pull': round(float(np.sqrt(((off / errors) ** 2).mean())), 2),
                'within_two': round(float((np.abs(off) < 2 * errors).mean()), 3),
                'steps': note['steps'],
            }
        found['displaced' if displaced else 'true'] = part
    known = _results()
    known[key] = found
    RESULTS.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
    print(key, json.dumps({k: v for k, v in found.items() if k != 'processor'}), flush=True)


def _results() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text(encoding='utf-8'))) if RESULTS.exists() else {}


def write() -> None:
    """The page, from the results alone."""
    known = _results()
    lines = [
        '# Joint refinement of the shifts',
        '',
        'Written by `make bench ONLY=joint_refinement`; do not edit by hand.',
        '',
    ]
    lines += [*(__doc__ or '').partition('\nResumable')[0].splitlines(), '']
    measured = (
        f'Measured on {", ".join(sorted({r["processor"] for r in known.values()}))}; {SIZE} voxels along each edge, tilts of ±40° '
        'in steps of 5, the EELS phantom nine of ±70°; DIPm-TV: preset fast, 100 iterations.'
    )
    lines += [measured, '']
    for method in METHODS:
        rows = [(*key.split(' | ')[:2], r) for key, r in known.items() if key.endswith(f'| {method}')]
        if rows:
            lines += _volumes(method, rows)
    lines += _shifts(known)
    DOCS.write_text('\n'.join(lines), encoding='utf-8')


def _volumes(method: str, rows: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    lines = [
        f'## Volumes of {method}',
        '',
        'PSNR in dB. "Loss" is against the true shifts; "used": standard errors by which held-out counts are predicted better.',
        '',
        '| specimen | peak | true shifts | 1 pixel unknown | refined | loss before, after | aligned | refined | used | nothing unknown | refined | used |',
        '|---' * 12 + '|',
    ]
    before, after, harm = [], [], []
    for name, peak, r in sorted(rows, key=lambda row: (-int(row[1]), NAMES.index(row[0]))):
        d, t = r['displaced'], r['true']
        none, aligned, still = d['none'], d['Align'], t['none']
        losses = d['true'] - none['alone'], d['true'] - none['refined']
        before.append(losses[0])
        after.append(losses[1])
        harm.append(t['true'] - still['refined'])
        lines.append(
            f'| {name} | {peak} | {d["true"]:.2f} | {none["alone"]:.2f} | {none["refined"]:.2f} | {losses[0]:.2f}, {losses[1]:.2f} '
            f'| {aligned["alone"]:.2f} | {aligned["refined"]:.2f} | {_verdict(aligned)} '
            f'| {t["true"]:.2f} | {still["refined"]:.2f} | {_verdict(still)} |'
        )
    summary = (
        f'Of 1 pixel unknown: loss {np.mean(before):.2f} dB in the mean, {max(before):.2f} at most; refined {np.mean(after):.2f} and '
        f'{max(after):.2f}. Of the true shifts: loss {max(harm):.2f} dB at most.'
    )
    return [*lines, '', summary, '']


def _verdict(part: dict[str, Any]) -> str:
    return f'{part["sigmas"]:+.1f}' + ('' if part['used'] else ', refused')


def _shifts(known: dict[str, Any]) -> list[str]:
    explained = (
        'Distance from the true shifts in pixels, root mean square over tilts and both axes, before and after; the standard error '
        'that is given; distances over their errors (1 where the errors are right), and the part within two errors.'
    )
    lines = [
        '## Shifts',
        '',
        explained,
        '',
        '| specimen | peak | unknown | refined | given error | over error | within two | after Align | refined | given error |',
        '|---' * 10 + '|',
    ]
    parts = {tuple(key.split(' | ')[:2]): r['displaced'] for key, r in known.items()}
    for (name, peak), d in sorted(parts.items(), key=lambda row: (-int(row[0][1]), NAMES.index(row[0][0]))):
        none, aligned = d['none'], d['Align']
        lines.append(
            f'| {name} | {peak} | {none["off"]:.2f} | {none["left"]:.3f} | {none["error"]:.3f} | {none["pull"]:.2f} '
            f'| {none["within_two"]:.0%} | {aligned["off"]:.2f} | {aligned["left"]:.3f} | {aligned["error"]:.3f} |'
        )
    return [*lines, '']


if __name__ == '__main__':
    main()
