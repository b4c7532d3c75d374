"""The page of the HAADF needle: its table, what it shows, and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from napari_diptomo.series import MapSeries


class Results(Protocol):
    """Scores and central slices by subset and method, as `haadf` keeps them."""

    scores: dict[str, Any]
    slices: dict[str, np.ndarray]

    def best(self, subset: str, prefix: str, by: str) -> tuple[str, dict[str, Any]]:
        """Of the methods so named the one with the best score."""
        ...


HERE = Path(__file__).parent
DOCS = HERE.parent / 'docs' / 'haadf.md'
FIGURE = HERE.parent / 'docs' / 'images' / 'haadf.png'
SUBSETS = {
    '-60:10:60': np.arange(-60, 61, 10),
    '-30:2:30': np.arange(-30, 31, 2),
    '-60:2:60': np.arange(-60, 61, 2),
}
#: Word, unit and digits of the scores.
SCORES = {'psnr': ('PSNR', ' dB', 2), 'ssim': ('SSIM', '', 3), 'left_out': ('left-out tilts', ' %', 2)}
#: What we conclude; written by hand from the figures.
CONCLUSION = (
    'Independently of the reference, DIP and DIPm-TV predict the tilts that were left out as well as total variation with the '
    'weight that is best for these tilts, and up to 5 % better from the narrow range. Equal weights for all pixels, which '
    'the SIRT of the reference has, were tried on the slices that are not scored: at +-60 they bring total variation '
    'and DIPm-TV nearer to that reference (by 0.3 to 1.1 dB), but predict the left-out tilts no better (DIPm-TV 1.46 % either '
    'way), and from the narrow range worse (2.42 % in place of 2.22 %). The measured noise therefore stays the weight.'
)


def badness(scores: dict[str, Any], by: str) -> float:
    """Small is good."""
    return float(scores[by] if by == 'left_out' else -scores[by])


def rows(results: Results, subset: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Rows of the table for one subset: title, name of the run, scores."""
    found = [('SIRT, 100 iterations', 'SIRT, 100 iterations', results.scores[subset]['SIRT, 100 iterations'])]
    for title, prefix in (('SIRT, best', 'SIRT'), ('TV, oracle', 'TV')):
        chosen: dict[str, list[str]] = {}
        for by, (word, _, _) in SCORES.items():
            chosen.setdefault(results.best(subset, prefix, by)[0], []).append(word)
        for name, words in chosen.items():
            found.append((f'{title} by {", ".join(words)} ({name.split(", ")[1]})', name, results.scores[subset][name]))
    return found + [(name, name, results.scores[subset][name]) for name in ('DIP', 'DIPm-TV')]


def verdict(results: Results, subset: str) -> str:
    """Whether DIPm-TV is first, and by how much."""
    table = rows(results, subset)
    ours = results.scores[subset]['DIPm-TV']
    words = []
    for by, (word, unit, digits) in SCORES.items():
        title, _, other = min((row for row in table if row[1] != 'DIPm-TV'), key=lambda row: badness(row[2], by))
        ahead = badness(other, by) - badness(ours, by)
        words.append(
            f'{word} {abs(ahead):.{digits}f}{unit} {"better" if ahead > 0 else "worse"} than the best other ({title})'
        )
    return f'{subset}: DIPm-TV is in ' + ', in '.join(words) + '.'


def write_docs(results: Results, maps: MapSeries, introduction: str) -> None:
    """The page with the table."""
    _, _, ny, nx = maps.data.shape
    text = ['# HAADF: a real needle', '', 'Written by `make bench ONLY=haadf`; do not edit by hand.', '']
    text += [introduction.strip(), '']
    text += [
        (
            f'The images are binned to {maps.pixel_size:.3g} nm and cut to {nx} pixels across the tilt axis and {ny} slices '
            f'along it. {maps.notes["images"]}.'
        ),
        '',
        '| tilts | method | PSNR (dB) | SSIM | left-out tilts (%) | CPU seconds |',
        '|---|---|---|---|---|---|',
    ]
    for subset in SUBSETS:
        for title, _, scores in rows(results, subset):
            cells = (
                f'{scores["psnr"]:.2f} | {scores["ssim"]:.3f} | {scores["left_out"]:.2f} | {scores["cpu_seconds"]:.0f}'
            )
            text.append(f'| {subset} ({scores["tilts"]}) | {title} | {cells} |')
    text += ['', *(f'- {verdict(results, subset)}' for subset in SUBSETS), '', CONCLUSION, '']
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
                picture, caption = results.slices['reference'], 'reference'
            else:
                name, scores = (
                    results.best(subset, prefix, 'ssim') if prefix == 'TV' else exact(results, subset, prefix)
                )
                picture, caption = results.slices[f'{subset} {name}'], f'{scores["psnr"]:.1f} dB, {scores["ssim"]:.3f}'
            axis.imshow(picture, cmap='gray', vmin=0, vmax=top, origin='lower')
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(f'{title}\n{caption}', fontsize=11)
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
    names = results.scores[subset]
    name = prefix if prefix in names else next(n for n in names if n.startswith(prefix))
    return name, results.scores[subset][name]
