"""The fit of Fe-M2,3: bias and scatter of the FeO fraction, its error, speed, a measured edge.

`python benchmarks/eels_fit.py [quality] [recovered] [speed] [manganese]`, all without.
Writes `results/eels_fit.json` and `docs/eels-fit.md`; what was measured before stays.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import _eels_fit_page as page
from _eels_fit_cases import BACKGROUNDS, Case, cases
from _eels_recovered import recovered
from napari_diptomo.spectra.eels.edge_fit import fit_edges
from napari_diptomo.spectra.eels.systematics import edge_over_background, fit_background_models, shares

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'eels_fit.json'
MANGANESE = HERE.parent.parent / 'shared' / 'data' / 'spectra' / 'lowloss_spectrum.msa'
RATIOS = (0.2, 0.3, 0.4)
SEEDS = (0, 1, 2)
SIZE = 32
#: Standard deviations of the intervals whose coverage is counted: 68, 90, 95 %.
INTERVALS = (1.0, 1.645, 1.96)
SPEED_SHAPE, SPEED_CHANNELS = (15, 64, 64), 300


def quality() -> list[dict[str, Any]]:
    """The FeO fraction by what lies under the edge and by edge over background."""
    rows = []
    for truth in BACKGROUNDS:
        for ratio in RATIOS:
            tilts = [case for seed in SEEDS for case in cases(truth, ratio, seed, SIZE)]
            for negative in (True, False):
                row = {'truth': truth, 'ratio': ratio, 'negative': negative, **_scores(tilts, negative)}
                rows.append(row)
                print(row, flush=True)
    return rows


def _scores(tilts: list[Case], negative: bool) -> dict[str, Any]:
    """All tilts and seeds together."""
    parts: list[dict[str, np.ndarray]] = []
    families = []
    for case in tilts:
        found = fit_background_models(case.counts, case.energy, case.standards, allow_negative=negative, **case.options)
        families.append(found.best)
        share, statistical = shares(found.fit.intensities, found.fit.covariance)
        total = shares(found.fit.intensities, found.covariance)[1]
        intensities = case.intensities
        slope = (
            np.stack([intensities[:, 1], -intensities[:, 0]], axis=1)
            / np.maximum(intensities.sum(axis=1), 1)[:, None] ** 2
        )
        known = case.iron & np.isfinite(share[:, 0])
        parts.append(
            {
                'error': (share[:, 0] - case.share)[known],
                'statistical': statistical[known, 0],
                'total': total[known, 0],
                'strong': case.strong[known],
                'pooled': np.array([_pooled(found.fit.intensities[case.iron]) - _pooled(intensities[case.iron])]),
                # To first order, so that a cut at 0 and 1 hides nothing of the scatter.
                'relative': ((found.fit.intensities - intensities) * slope).sum(axis=1)[case.strong]
                / case.bound[case.strong],
                'told': np.sqrt(np.einsum('pi,pij,pj->p', slope, found.fit.covariance, slope))[case.strong]
                / case.bound[case.strong],
            }
        )
    every = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    strong = every['strong']
    return {
        'pixels': len(every['error']),
        'strong': int(strong.sum()),
        'bias': float(every['error'].mean()),
        'bias_strong': float(every['error'][strong].mean()),
        'bias_pooled': float(every['pooled'].mean()),
        'worst_pooled': float(np.abs(every['pooled']).max()),
        'std_over_bound': float(every['relative'].std()),
        'told_over_bound': float(np.median(every['told'])),
        'std': float(every['error'][strong].std()),
        'systematic': float(np.sqrt(np.median(every['total'] ** 2 - every['statistical'] ** 2))),
        'covered_statistical': _coverage(every['error'], every['statistical']),
        'covered': _coverage(every['error'], every['total']),
        'covered_strong': _coverage(every['error'][strong], every['total'][strong]),
        'families': {name: families.count(name) for name in sorted(set(families))},
    }


def _pooled(intensities: np.ndarray) -> float:
    return float(intensities[:, 0].sum() / intensities.sum())


def _coverage(error: np.ndarray, std: np.ndarray) -> list[float]:
    return [round(float((np.abs(error) < factor * std).mean()), 4) for factor in INTERVALS]


def speed() -> dict[str, Any]:
    """All pixels of a series with six components, ours and HyperSpy's, in this very run."""
    energy = 30 + 0.25 * np.arange(SPEED_CHANNELS)
    peaks = ((54.5, 1.5), (57.2, 2.0), (70.0, 4.0), (84.0, 4.0))
    shapes = np.stack([np.exp(-(((energy - centre) / width) ** 2)) + 1e-3 for centre, width in peaks], axis=1)
    shapes /= shapes.sum(axis=0)
    intensities = np.random.default_rng(0).uniform(300, 1500, (int(np.prod(SPEED_SHAPE)), len(peaks)))
    mean = 110 * (energy / 54) ** -2.5 + intensities @ shapes.T
    counts = np.random.default_rng(1).poisson(mean).astype(np.float32)
    found: dict[str, Any] = {'spectra': len(counts), 'channels': len(energy), 'components': len(peaks) + 2}
    window = (float(energy[0]), float(energy[-1]))
    for name, negative in (('ours', False), ('ours, free sign', True)):
        start = time.perf_counter()
        fit = fit_edges(counts, energy, shapes, 'power law', window=window, allow_negative=negative)
        found[name] = {'seconds': time.perf_counter() - start, 'error': _rms(fit.intensities - intensities)}
    start, place = time.perf_counter(), np.linspace(-0.5, 0.5, len(counts))
    fit = fit_edges(counts, energy, shapes, 'power law', window=window, shifts=1e-3 * place)
    found['ours, a shift in every pixel'] = {
        'seconds': time.perf_counter() - start,
        'error': _rms(fit.intensities - intensities),
    }
    model = _hyperspy(counts, energy, np.hstack([shapes, fit.columns]))
    start = time.perf_counter()
    model.multifit(optimizer='lstsq', show_progressbar=False)
    seconds = time.perf_counter() - start
    rival = np.stack([model[i].yscale.map['values'].ravel() for i in range(len(peaks))], axis=1)
    found['HyperSpy'] = {'seconds': seconds, 'error': _rms(rival - intensities)}
    print(found, flush=True)
    return found


def _hyperspy(counts: np.ndarray, energy: np.ndarray, columns: np.ndarray) -> Any:
    """A linear model of patterns that are only scaled."""
    import hyperspy.api as hs

    logging.getLogger('hyperspy').setLevel(logging.ERROR)

    def signal(values: np.ndarray) -> Any:
        found = hs.signals.Signal1D(values)
        axis = found.axes_manager.signal_axes[0]
        axis.scale, axis.offset = energy[1] - energy[0], energy[0]
        return found

    model = signal(counts.reshape(*SPEED_SHAPE, len(energy))).create_model()
    for column in columns.T:
        pattern = hs.model.components1D.ScalableFixedPattern(signal(column))
        pattern.xscale.free = pattern.shift.free = False
        model.append(pattern)
    return model


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt((error**2).mean()))


def manganese() -> dict[str, Any]:
    """Mn-M2,3 over its background in a measured low loss, by what is taken to lie under it."""
    if not MANGANESE.is_file():
        print('the measured spectrum is not here', flush=True)
        return {}
    lines = MANGANESE.read_text(encoding='latin-1').splitlines()
    counts = np.array([float(line.strip(' ,')) for line in lines if line and not line.startswith('#')])
    energy = -40 + 0.2 * np.arange(len(counts))
    energy -= energy[counts.argmax()]
    found = edge_over_background(energy, counts, (47, 62), (36, 46))
    result = {'values': dict(found.values), 'chi2': dict(found.chi2), 'best': found.best, 'error': found.error}
    print(result, flush=True)
    return result


PARTS: dict[str, Callable[[], Any]] = {
    'quality': quality,
    'recovered': recovered,
    'speed': speed,
    'manganese': manganese,
}


def main(names: list[str]) -> None:
    kept = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    for name in names or PARTS:
        found = PARTS[name]()
        if found:
            kept[name] = found
        RESULTS.write_text(json.dumps(kept, indent=1) + '\n', encoding='utf-8')
    (HERE.parent / 'docs' / 'eels-fit.md').write_text(page.text(kept), encoding='utf-8')


if __name__ == '__main__':
    main(sys.argv[1:])
