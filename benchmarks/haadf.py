"""SIRT, total variation, DIP and DIPm-TV on a real HAADF tilt series, from few tilts and from a narrow range.

The series is ETSpy's aligned needle of layered material (NIST; 77 tilts over +-76 degrees, 3.36 nm per pixel), the
experiment that of the first source paper (arXiv 2605.27139): subsets of the tilts are reconstructed and compared with
the SIRT (100 iterations) of all 77 on the same grid. That reference is no truth: it has SIRT's blur and SIRT's noise,
which a SIRT of a subset shares, and a volume sharper than it loses points. Every method gets the same images, dark
level and noise variance. Total variation gets the weight that the reference itself picks from the grid below, once for
the best PSNR and once for the best SSIM, and SIRT its best number of iterations; nobody has that knowledge in practice.
DIPm-TV gets one setting for all subsets: the mean of two fits by its preset, with a weight of the total variation chosen on
slices of the needle that are not scored here; DIP is the same without total variation. Writes `results/haadf.json`, `docs/haadf.md` and its figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo import load_tilt_series
from napari_diptomo.assess import psnr, ssim
from napari_diptomo.reconstruct import SIRT, DIPmTV, Reconstruction, TotalVariation
from napari_diptomo.series import MapSeries

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'haadf.json'
DOCS = HERE.parent / 'docs' / 'haadf.md'
FIGURE = HERE.parent / 'docs' / 'images' / 'haadf.png'
NAME = 'HAADF_Aligned.hspy'

SUBSETS = {
    '-60:10:60': np.arange(-60, 61, 10),
    '-30:2:30': np.arange(-30, 31, 2),
    '-60:2:60': np.arange(-60, 61, 2),
}
REFERENCE = SIRT(iterations=100)
SIRT_ITERATIONS = (30, 100, 300, 1000)
WEIGHTS = (1, 3, 10, 30, 100, 300)
#: Of DIP and DIPm-TV. More iterations than the preset's were tried on slices 62 to 78 of the needle, which are not scored
#: here: 800 gained up to 1 dB at +-60 degrees and lost 0.6 dB at +-30. On the slices that are scored 500 lost everywhere.
ENSEMBLE = 2
DIP_WEIGHT = 10.0
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, help=f'{NAME}, or the wheel of ETSpy that holds it')
    parser.add_argument('--binning', type=int, default=2)
    parser.add_argument('--width', type=int, default=48, help='binned pixels across the tilt axis')
    parser.add_argument('--slices', type=int, nargs=2, default=(42, 62), help='from and to along the tilt axis')
    parser.add_argument('--subsets', nargs='+', default=list(SUBSETS), choices=list(SUBSETS))
    parser.add_argument('--methods', default='', help='only those whose name begins so')
    parser.add_argument('--results', type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        series = load_tilt_series(find_data(options.data, Path(folder)), tilt_axis='x', binning=options.binning)
    maps = cut(series, options.width, slice(*options.slices))
    grid = [options.binning, options.width, *options.slices]
    results = Results(options.results, grid)
    reference = results.volume('reference', REFERENCE, maps)
    for subset in options.subsets:
        for name, step in methods().items():
            if name.startswith(options.methods):
                results.score(subset, name, step, of_angles(maps, SUBSETS[subset]), reference)
    if not all(set(methods()) <= set(results.scores.get(subset, {})) for subset in SUBSETS):
        print('Not all is measured yet; the page is written when it is.')
        return
    write_docs(results, maps)
    draw(results, reference, maps.pixel_size)


def methods() -> dict[str, Reconstruction]:
    """What is compared, by name."""
    found: dict[str, Reconstruction] = {f'SIRT, {n} iterations': SIRT(iterations=n) for n in SIRT_ITERATIONS}
    found |= {f'TV, weight {w:g}': TotalVariation(weight=w) for w in WEIGHTS}
    network = {'ensemble': ENSEMBLE, 'seed': SEED}
    found['DIP'] = DIPmTV(tv_weight=0.0, **network)
    found['DIPm-TV'] = DIPmTV(tv_weight=DIP_WEIGHT, **network)
    return found


def find_data(given: Path | None, folder: Path) -> Path:
    """The series: the file given, that inside a wheel of ETSpy, or that of a wheel downloaded now."""
    if given is None:
        command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', str(folder), 'etspy']
        failed = subprocess.run(command, capture_output=True, check=False).returncode
        wheels = list(folder.glob('etspy*.whl'))
        if failed or not wheels:
            sys.exit(
                'ETSpy cannot be downloaded here; run "pip download --no-deps etspy" where there is a network, '
                'and give the file by --data.'
            )
        given = wheels[0]
    if not given.exists():
        sys.exit(f'There is no file {given}; check the path.')
    if given.suffix != '.whl':
        return given
    with zipfile.ZipFile(given) as wheel:
        inside = [name for name in wheel.namelist() if name.endswith('/' + NAME)]
        if not inside:
            sys.exit(f'{given.name} does not hold {NAME}; give the wheel of ETSpy 1.3.')
        return Path(wheel.extract(inside[0], folder))


def cut(series: MapSeries, width: int, slices: slice) -> MapSeries:
    """The slices wanted, and so many pixels about the tilt axis."""
    begin = (series.data.shape[3] - width) // 2
    part = np.s_[:, :, slices, begin : begin + width]
    return replace(series, data=series.data[part], variance=series.variance[part])


def of_angles(maps: MapSeries, angles: np.ndarray) -> MapSeries:
    """The tilts of a subset."""
    keep = np.flatnonzero(np.isin(np.round(maps.angles), angles))
    return replace(
        maps,
        data=maps.data[:, keep],
        variance=maps.variance[:, keep],
        angles=maps.angles[keep],
        shifts=maps.shifts[keep],
    )


class Results:
    """Scores by subset and method in a JSON file, the central slices beside it; what is there is not run again."""

    def __init__(self, path: Path, grid: list[int]) -> None:
        self.path, self._grid = path, grid
        self._pictures = path.with_suffix('.npz')
        self.scores: dict[str, Any] = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
        self.slices: dict[str, np.ndarray] = {}
        if self._pictures.exists():
            with np.load(self._pictures) as kept:
                self.slices = {name: kept[name] for name in kept.files}

    def volume(self, name: str, step: Reconstruction, maps: MapSeries) -> np.ndarray:
        """A volume computed anew, its slice kept."""
        data = step.run(maps).data
        self.slices[name] = data[0, :, data.shape[2] // 2]
        return data

    def score(
        self, subset: str, name: str, step: Reconstruction, maps: MapSeries, reference: np.ndarray
    ) -> dict[str, Any]:
        """Scores of one reconstruction; measured unless the same was measured before."""
        key = {'step': step.model_dump(mode='json'), 'grid': self._grid}
        kept = self.scores.get(subset, {}).get(name, {})
        place = f'{subset} {name}'
        if kept.get('key') == key and place in self.slices:
            return kept
        start = time.process_time()
        volume = step.run(maps)
        data = volume.data
        found = {
            'psnr': float(psnr(data, reference)[0]),
            'ssim': float(ssim(data, reference)[0]),
            'cpu_seconds': round(time.process_time() - start, 1),
            'tilts': len(maps.angles),
            'iteration': volume.notes.get('returned_iteration'),
            'stopping': volume.notes.get('stopping'),
            'key': key,
        }
        self.slices[place] = data[0, :, data.shape[2] // 2]
        self.scores.setdefault(subset, {})[name] = found
        self._save()
        print(f'{place:36s} {found["psnr"]:6.2f} dB {found["ssim"]:.3f} {found["cpu_seconds"]:5.0f} s', flush=True)
        return found

    def _save(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.scores, indent=1) + '\n', encoding='utf-8')
        np.savez_compressed(self._pictures, **self.slices)

    def best(self, subset: str, prefix: str, by: str) -> tuple[str, dict[str, Any]]:
        """Of the methods so named the one with the highest score."""
        names = [name for name in methods() if name.startswith(prefix)]
        name = max(names, key=lambda n: self.scores[subset][n][by])
        return name, self.scores[subset][name]


def rows(results: Results, subset: str) -> list[tuple[str, str, dict[str, Any]]]:
    """What the table shows of one subset: title, name of the run, scores."""
    found = []
    for title, prefix in (('SIRT, 100 iterations', 'SIRT, 100 '), ('SIRT, best', 'SIRT'), ('TV, oracle', 'TV')):
        for by in ('psnr', 'ssim'):
            name, scores = results.best(subset, prefix, by)
            how = '' if prefix == 'SIRT, 100 ' else f' by {by.upper()} ({name.split(", ")[1]})'
            found.append((title + how, name, scores))
    found = [found[0], *found[2:]]
    found += [(name, name, results.scores[subset][name]) for name in ('DIP', 'DIPm-TV')]
    return found


def verdict(results: Results, subset: str) -> str:
    """Whether DIPm-TV is first, and by how much."""
    table = rows(results, subset)
    ours = results.scores[subset]['DIPm-TV']
    words = []
    for by, unit, digits in (('psnr', ' dB', 2), ('ssim', '', 3)):
        title, _, other = max((row for row in table if row[1] != 'DIPm-TV'), key=lambda row: row[2][by])
        ahead = ours[by] - other[by]
        words.append(
            f'{by.upper()} {abs(ahead):.{digits}f}{unit} {"above" if ahead > 0 else "below"} the best other ({title})'
        )
    return f'{subset}: DIPm-TV is in ' + ', in '.join(words) + '.'


def write_docs(results: Results, maps: MapSeries) -> None:
    """The page with the table."""
    _, _, ny, nx = maps.data.shape
    text = ['# HAADF: a real needle', '', 'Written by `make bench ONLY=haadf`; do not edit by hand.', '']
    text += [(__doc__ or '').split('\n\n', 1)[0], '', (__doc__ or '').split('\n\n', 1)[1].strip(), '']
    text += [
        (
            f'The images are binned to {maps.pixel_size:.3g} nm and cut to {nx} pixels across the tilt axis and {ny} slices '
            f'along it. {maps.notes["images"]}.'
        ),
        '',
        '| tilts | method | PSNR (dB) | SSIM | CPU seconds |',
        '|---|---|---|---|---|',
    ]
    for subset in SUBSETS:
        for title, _, scores in rows(results, subset):
            cells = f'{scores["psnr"]:.2f} | {scores["ssim"]:.3f} | {scores["cpu_seconds"]:.0f}'
            text.append(f'| {subset} ({scores["tilts"]}) | {title} | {cells} |')
    text += ['', *(f'- {verdict(results, subset)}' for subset in SUBSETS), '']
    text += [
        '![Central slices across the needle](images/haadf.png)',
        (
            '*Central slice across the needle, beam upwards: the reference of all 77 tilts and what each method makes of a '
            'subset (PSNR in dB and SSIM of the whole volume; total variation with the weight best by SSIM).*'
        ),
    ]
    DOCS.write_text('\n'.join(text) + '\n', encoding='utf-8')
    print('\n'.join(text[-len(SUBSETS) * 9 :]))


def draw(results: Results, reference: np.ndarray, voxel: float) -> None:
    """The central slices side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = [('SIRT of 77 tilts', None), ('SIRT', 'SIRT, 100 '), ('TV', 'TV'), ('DIP', 'DIP'), ('DIPm-TV', 'DIPm-TV')]
    figure = Figure(figsize=(11, 7.2), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(SUBSETS), len(columns))
    top = float(results.slices['reference'].max())
    for row, subset in zip(axes, SUBSETS, strict=True):
        for axis, (title, prefix) in zip(row, columns, strict=True):
            if prefix is None:
                picture, told = results.slices['reference'], 'reference'
            else:
                name, scores = (
                    results.best(subset, prefix, 'ssim') if prefix == 'TV' else exact(results, subset, prefix)
                )
                picture, told = results.slices[f'{subset} {name}'], f'{scores["psnr"]:.1f} dB, {scores["ssim"]:.3f}'
            axis.imshow(picture, cmap='gray', vmin=0, vmax=top, origin='lower')
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(f'{title}\n{told}', fontsize=11)
        row[0].set_ylabel(f'{subset.replace(":", " : ")} deg', fontsize=12)
    length = 100 / voxel
    # Below the picture: in it the needle would be behind the words.
    axes[-1][0].plot([0, length], [-3, -3], color='black', linewidth=4, solid_capstyle='butt', clip_on=False)
    axes[-1][0].text(length + 1, -3, '100 nm', va='center', fontsize=11)
    axes[-1][0].set(xlim=(-0.5, picture.shape[1] - 0.5), ylim=(-0.5, picture.shape[0] - 0.5))
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


def exact(results: Results, subset: str, prefix: str) -> tuple[str, dict[str, Any]]:
    """The run whose name begins so and no other's does."""
    name = prefix if prefix in methods() else next(n for n in methods() if n.startswith(prefix))
    return name, results.scores[subset][name]


if __name__ == '__main__':
    main()
