"""The fit of EDX maps against windows and plain least squares: bias, variance, speed, memory.

`python benchmarks/edx_fit.py [quality] [speed] [series]`, all without. Writes
`results/edx_fit.json` and `docs/edx-fit.md`; what was measured before stays.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import _edx_fit_page as page
from _edx_rivals import RIVALS, LeastSquares
from napari_diptomo.series import Recipe, SpectralTiltSeries, load_tilt_series
from napari_diptomo.simulate import line_shape
from napari_diptomo.simulate.edx import LINES, bremsstrahlung
from napari_diptomo.spectra import EDXMaps

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'edx_fit.json'
SERIES = HERE.parent.parent / 'shared' / 'data' / 'openncem-edx'
ELEMENTS = ('Ge', 'Sb', 'Te')
FAMILIES = ('Ge_K', 'Sb_L', 'Te_L')
#: Counts of each mapped family relative to the level, in the two halves of the image.
HALVES = {'Ge-Sb-Te': (1.0, 1.0, 1.0), 'no Sb': (1.5, 0.0, 1.0)}
LEVELS = (1, 5, 15)
EDGE = 96
REAL = ('O', 'Mg', 'Al', 'Si', 'S', 'Ti', 'Fe', 'Ni', 'Cu', 'Pt')
#: Spectra by the thirteen: eleven families and a background of two.
SPEED_SHAPE, SPEED_CHANNELS = (15, 48, 48), 970
SPEED_FAMILIES = ('Ge_K', 'Ge_L', 'Sb_L', 'Te_L', 'Cu_K', 'Cu_L', 'Fe_K', 'Fe_L', 'Si_K', 'O_K', 'Ti_K')


def columns(energy: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Shapes of families and a background of two, from the simulator's own tables, (energy, column)."""
    place = np.linspace(0, 1, len(energy))
    background = bremsstrahlung(energy)
    lines = [line_shape(energy, LINES[name]) for name in names]
    return np.stack([*lines, background * (1 - place), background * place], axis=1)


def homogeneous(level: float, seed: int = 0) -> tuple[SpectralTiltSeries, dict[str, dict[str, np.ndarray]]]:
    """One image, its left half of one composition, its right half of the other, and the truth of each."""
    energy = (np.arange(1280) - 24) * 0.01
    fitted = energy >= 0.2
    every = columns(energy, (*FAMILIES, 'Ge_L', 'Cu_K', 'Cu_L'))
    strobe = 2 * line_shape(energy, ((0.0, 1.0),))
    rng = np.random.default_rng(seed)
    images, truth = [], {}
    for name, (ge, sb, te) in HALVES.items():
        intensities = level * np.array([ge, sb, te, 1.6 * ge, 0.06, 0.04, 3.0, 3.0])
        mean = every @ intensities + strobe
        images.append(rng.poisson(mean, (EDGE, EDGE // 2, len(energy))))
        information = every[fitted].T @ (every[fitted] / mean[fitted, None])
        truth[name] = {'counts': intensities[:3], 'bound': np.diag(np.linalg.inv(information))[:3]}
    counts = np.concatenate(images, axis=1)[None].astype(np.uint8)
    metadata = {'beam_energy': 200.0, 'energy_resolution_MnKa': 130.0}
    return SpectralTiltSeries(counts, energy, np.zeros(1), 1.0, metadata=metadata, recipe=Recipe()), truth


def quality() -> list[dict[str, Any]]:
    """Bias and variance of every method at every level."""
    rows = []
    for level in LEVELS:
        series, truth = homogeneous(level)
        for method in ('poisson', 'linear', *RIVALS):
            if method in RIVALS:
                maps, variance = RIVALS[method](series, ELEMENTS), None
            else:
                found = EDXMaps(elements=ELEMENTS, fit=method, holdout=0).run(series)
                maps, variance = found.data[:, 0], found.variance[:, 0]
            for half, known in truth.items():
                # Away from the border, where the variance looks at the neighbours.
                part = np.s_[:, :, : EDGE // 2 - 8] if half == 'Ge-Sb-Te' else np.s_[:, :, EDGE // 2 + 8 :]
                row = {'counts': level, 'method': method, 'half': half}
                row |= scores(maps[part], None if variance is None else variance[part], known)
                rows.append(row)
                print(row, flush=True)
    return rows


def scores(maps: np.ndarray, variance: np.ndarray | None, known: dict[str, np.ndarray]) -> dict[str, Any]:
    """Mean error, scatter relative to the bound and, where a variance is reported, reduced chi-square by element."""
    truth = known['counts'][:, None, None]
    error = maps - truth
    found = {
        'error': error.mean(axis=(1, 2)),
        'error_of_mean': error.std(axis=(1, 2)) / np.sqrt(error[0].size),
        'truth': known['counts'],
        'variance': error.var(axis=(1, 2)) / known['bound'],
    }
    if variance is not None:
        found['chi2'] = (error**2 / variance).mean(axis=(1, 2))
    return {name: [round(float(v), 4) for v in values] for name, values in found.items()}


def speed() -> dict[str, Any]:
    """All pixels of one series, ours and HyperSpy's, in this very run."""
    energy = 0.205 + 0.01 * np.arange(SPEED_CHANNELS)
    every = columns(energy, SPEED_FAMILIES)
    intensities = np.random.default_rng(0).uniform(2, 10, (*SPEED_SHAPE, every.shape[1]))
    counts = np.random.default_rng(1).poisson(intensities @ every.T).astype(np.uint8)
    series = SpectralTiltSeries(counts, energy, np.arange(15.0), 1.0, recipe=Recipe())
    truth = np.moveaxis(intensities[..., : len(SPEED_FAMILIES)], -1, 0)
    result: dict[str, Any] = {'spectra': int(np.prod(SPEED_SHAPE)), 'channels': SPEED_CHANNELS, 'components': 13}
    EDXMaps(elements=ELEMENTS).run(homogeneous(1)[0])  # the tables of lines are read
    for method in ('poisson', 'linear'):
        start = time.perf_counter()
        maps = EDXMaps(lines=SPEED_FAMILIES, fit=method, holdout=0).run(series).data
        result[method] = {'seconds': time.perf_counter() - start, 'error': rms(maps - truth)}
        print(method, result[method], flush=True)
    rival = LeastSquares(counts, energy, SPEED_FAMILIES)
    start = time.perf_counter()
    maps = rival.fit()
    result['lstsq'] = {'seconds': time.perf_counter() - start, 'error': rms(maps - truth)}
    print('lstsq', result['lstsq'], flush=True)
    few = LeastSquares(counts[:1, :8, :8], energy, SPEED_FAMILIES)
    start = time.perf_counter()
    maps = few.fit_bounded()
    seconds = (time.perf_counter() - start) / 64 * result['spectra']
    result['bounded'] = {'seconds': seconds, 'error': rms(maps - truth[:, :1, :8, :8]), 'pixels': 64}
    print('bounded', result['bounded'], flush=True)
    return result


def rms(error: np.ndarray) -> float:
    return float(np.sqrt((error**2).mean()))


def real_series(method: str) -> dict[str, Any]:
    """Seconds and memory of the whole measured series, in this process."""
    start = time.perf_counter()
    series = load_tilt_series(sorted(SERIES.glob('*.bcf')))
    maps = EDXMaps(elements=REAL, fit=method).run(series)
    return {
        'seconds': time.perf_counter() - start,
        'gib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        'shape': list(series.counts.shape),
        'families': len(REAL) + len(maps.notes['also_fitted']),
        'residual': float(maps.residual.mean()),
        'chi2': maps.notes['chi2'],
    }


def main(names: list[str]) -> None:
    kept = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    for name in names or ('quality', 'speed', 'series'):
        if name == 'series':
            found = {method: _in_a_process(method) for method in ('linear', 'poisson')} if SERIES.is_dir() else {}
            print(found or 'the measured series is not here', flush=True)
        else:
            found = {'quality': quality, 'speed': speed}[name]()
        if found:
            kept[name] = found
        RESULTS.write_text(json.dumps(kept, indent=1) + '\n', encoding='utf-8')
    (HERE.parent / 'docs' / 'edx-fit.md').write_text(page.text(kept), encoding='utf-8')


def _in_a_process(method: str) -> dict[str, Any]:
    """Measured apart: the memory of a process is its highest ever."""
    command = [sys.executable, __file__, '--child', method]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


if __name__ == '__main__':
    if sys.argv[1:2] == ['--child']:
        print(json.dumps(real_series(sys.argv[2])))
    else:
        main(sys.argv[1:])
