"""How long a fit with HAADF images has to be.

The held-out counts see the projections that were measured and not the missing wedge, so that they cannot say when the images
have nothing to give any more. One network of the preset `balanced` is fitted to the maps alone, which ends when the
held-out counts do not gain, and then from the same start with the images (realistic, see [the page on them](haadf-fit.md))
for so many iterations as a column says. Gains in PSNR are those over the maps alone; behind them stands by how many of their
standard errors the held-out counts are predicted better. Of the measured series (openNCEM's, maps within ±20° only, see
[its page](haadf-measured.md)) nobody knows the truth: the figure in front is by how many standard errors the left-out tilts
are predicted better, a mean over the elements. Resumable. Writes `results/haadf-length.json` and `docs/haadf-length.md`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import haadf_fit
import haadf_measured
from _cases import sample
from _processor import processor
from _scores import mean_psnr
from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.data_terms import is_poisson
from napari_diptomo.reconstruct.dip.contest import fit_candidate
from napari_diptomo.reconstruct.haadf_verdict import calibrated, haadf_helps
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.tv.bright_particles import bright_particles
from napari_diptomo.reconstruct.volume import Solution, volume_of
from napari_diptomo.series import MapSeries, with_haadf
from napari_diptomo.series.tilts import in_use

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'haadf-length.json'
DOCS = HERE.parent / 'docs' / 'haadf-length.md'
LENGTHS = (500, 800, 1200)
MEASURED = 'measured, narrow'
ROWS = (
    *(
        f'{name} | {peak}'
        for peak in (30, 5)
        for name in ('lamella 11', 'porous 20', 'facetted 21', 'needle 23', 'core and shell 24')
    ),
    MEASURED,
)
#: What we conclude; written by hand from the figures.
CONCLUSION: tuple[str, ...] = (
    '500 iterations, the length before, are too few for the measured series: the counts held out are predicted worse with the',
    'images, which were left out, while after 1200 they and the left-out tilts are predicted better. There the maps alone',
    'take 560 iterations, of the simulated ones 160 to 360. Of these most gain most with 800, in the mean by a third of a decibel',
    'more than with 500 and no less than with 1200; single rows differ by half a decibel either way, which is what another',
    'start of the network changes as well. A fit with images therefore takes 800 iterations, and twice as many as the maps alone',
    'where that is more: 1120 of the measured series. Three fits of that one with 500 gave verdicts of -5.0, -3.2 and -3.9.',
)


class Trial:
    """Fits of one series with the images and without, from the same start."""

    def __init__(self, step: DIPmTV, maps: MapSeries) -> None:
        self.problem = step.prepare(maps)
        self._step = step
        self._settings = step.fit_settings()
        self._poisson = is_poisson(self.problem, self._settings.data_term)
        by_itself = self.problem.with_haadf(None)
        self.alone = fit_candidate(self._settings, by_itself, 'shares', 1, None)
        known = calibrated(self.problem, self.alone.x)
        assert known.haadf is not None
        found = replace(known.haadf, particles=bright_particles(known, self.alone.x, self._poisson))
        self._known: Problem = known.with_haadf(found)

    def fitted(self, iterations: int) -> tuple[torch.Tensor, float]:
        """The volume with the images after so many iterations, and the verdict in standard errors."""
        x = fit_candidate(replace(self._settings, iterations=iterations), self._known, 'shares', 1, None).x
        verdict = haadf_helps(self.problem, x, self.alone.x, self._poisson)
        return x, verdict.gain / max(verdict.error, 1e-30)

    def volume(self, x: torch.Tensor) -> Any:
        """As the step returns it."""
        return volume_of(self.problem, Solution(x, {}, {}, ()), self._step.problem_settings(), self._step.title)


def simulated(row: str) -> tuple[DIPmTV, MapSeries, np.ndarray]:
    """Step, maps with their images, and truth."""
    name, peak = row.split(' | ')
    specimen, size = haadf_fit._specimen(name)
    data = sample(haadf_fit.SPECIMENS[specimen], size, int(peak), 0)
    series = replace(haadf_fit.KINDS['realistic'](name, 0), pixel_size=data.maps.pixel_size)
    return DIPmTV(preset='balanced'), replace(data.maps, haadf_series=series), data.truth


def measure(row: str, known: dict[str, Any]) -> None:
    """All lengths of one row that are not known."""
    found = known.setdefault(row, {})
    lengths = [n for n in LENGTHS if str(n) not in found]
    if not lengths:
        return
    if row == MEASURED:
        step, maps, judged = _measured_series()
    else:
        step, maps, truth = simulated(row)

        def judged(trial: Trial, x: torch.Tensor) -> float:
            alone, given = (mean_psnr(trial.problem.frame(each), truth) for each in (trial.alone.x, x))
            return given - alone

    trial = Trial(step, maps)
    found['alone'] = int(trial.alone.notes['iterations'])
    for n in lengths:
        x, verdict = trial.fitted(n)
        found[str(n)] = [round(float(judged(trial, x)), 2), round(verdict, 1)]
        found['processor'] = processor()
        RESULTS.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
        print(row, found, flush=True)


def _measured_series() -> tuple[DIPmTV, MapSeries, Any]:
    whole = haadf_measured.series(haadf_measured.ELEMENTS)
    assert whole.haadf_series is not None
    bare = replace(whole, haadf=None, haadf_series=None, positions=tuple(range(len(whole.angles))))
    unseen = haadf_measured.left_out(bare, 'narrow')

    def judged(trial: Trial, x: torch.Tensor) -> float:
        alone, given = (haadf_measured.misfit(trial.volume(each), bare, unseen) for each in (trial.alone.x, x))
        gain = alone - given
        return float((gain.mean(axis=1) / (gain.std(axis=1) / gain.shape[1] ** 0.5)).mean())

    step = haadf_measured.STEPS['DIPm-TV']
    assert isinstance(step, DIPmTV)
    return step, with_haadf(in_use(bare, unseen), whole.haadf_series), judged


def write(known: dict[str, Any]) -> None:
    """The page, from the results alone."""
    lines = [
        '# Length of a fit with HAADF images',
        '',
        'Written by `make bench ONLY=haadf_length`; do not edit by hand.',
        '',
    ]
    lines += [*(__doc__ or '').partition(' Resumable')[0].splitlines(), '']
    lines += [
        f'Measured on {", ".join(sorted({found["processor"] for found in known.values()}))}; 32 voxels along each edge.',
        '',
    ]
    lines += [
        f'| specimen | peak | iterations of the maps alone | {" | ".join(map(str, LENGTHS))} |',
        '|---' * (3 + len(LENGTHS)) + '|',
    ]
    complete = [row for row in ROWS if {str(n) for n in LENGTHS} <= known.get(row, {}).keys()]
    for row in complete:
        name, _, peak = row.partition(' | ')
        unit = '' if row == MEASURED else ' dB'
        cells = [f'{gain:+.2f}{unit} ({verdict:+.1f})' for gain, verdict in (known[row][str(n)] for n in LENGTHS)]
        lines.append(f'| {name} | {peak} | {known[row]["alone"]} | {" | ".join(cells)} |')
    of_truth = [[known[row][str(n)][0] for n in LENGTHS] for row in complete if row != MEASURED]
    mean = ', '.join(f'{gain:+.2f} dB' for gain in np.mean(of_truth, axis=0))
    lines += ['', f'Mean of the simulated ones: {mean}.', '', *CONCLUSION]
    DOCS.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', nargs='*', default=list(ROWS), choices=list(ROWS))
    options = parser.parse_args()
    known = dict(json.loads(RESULTS.read_text(encoding='utf-8'))) if RESULTS.exists() else {}
    for row in options.rows:
        if row == MEASURED and not haadf_measured.SERIES.is_dir():
            print('The series of openNCEM is not beside the repository.')
            continue
        measure(row, known)
    write(known)


if __name__ == '__main__':
    main()
