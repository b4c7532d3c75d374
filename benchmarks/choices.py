"""What each choice in DIPm-TV's preset is worth: one thing changed at a time.

The first row is the preset `balanced`; each other row changes what it names.
Lamella 1, 48^3, the one that the presets were chosen on, one seed, so differences below about
0.3 dB and 0.01 in SSIM are scatter; one thread. Writes `results/choices.json` and
`docs/choices.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _cases import CHOSEN_ON, sample
from _cell import measure
from _store import Store
from napari_diptomo.reconstruct import DIPmTV

HERE = Path(__file__).parent
SIZE = 48
SEED = 1
VARIANTS: dict[str, dict[str, Any]] = {
    'balanced': {},
    'Adam, rate 0.01, as many iterations': {'optimiser': 'adam', 'learning_rate': 1e-2},
    'total variation 0': {'tv_weight': 0.0},
    'total variation 0.5': {'tv_weight': 0.5},
    'jitter 0.03': {'jitter': 0.03},
    'widths 8-16-32-64': {'widths': (8, 16, 32, 64)},
    'batch normalisation': {'normalisation': 'batch'},
    'raw iterates': {'averaging': 0.0},
    'coarse features mixed at full size, as published': {'layout': 'published'},
    'half the size for half of the iterations': {'coarse_share': 0.5},
    'total and shares of the channels': {'output': 'shares'},
    '600 iterations': {'iterations': 600},
    'Adam, rate 0.01, 1000 iterations': {'optimiser': 'adam', 'learning_rate': 1e-2, 'iterations': 1000},
}


HEADER = ['| choice | PSNR (dB) | SSIM | FSC measured | FSC wedge | seconds |', '|---|---|---|---|---|---|']


def cells(result: dict[str, Any]) -> str:
    """A result as the cells of a row."""
    if 'psnr' not in result:
        return f'{result.get("error", result.get("crash"))} | | | | '
    scores = [f'{result[c]:.{d}f}' for c, d in (('psnr', 2), ('ssim', 3), ('fsc_measured', 3), ('fsc_missing', 3))]
    return ' | '.join([*scores, f'{result["seconds"]:.0f}'])


def main() -> None:
    store = Store(HERE / 'results' / 'choices.json')
    data = sample(CHOSEN_ON, SIZE, 30, 0)
    rows = []
    for name, change in VARIANTS.items():
        step = DIPmTV(**{'seed': SEED, **change})
        found = store.find(name, step)
        if found is None:
            found = measure(data, step.to_dict())
            if 'crash' not in found:
                store.put(name, step, found)
        rows.append(f'| {name} | {cells(found)} |')
        print(rows[-1], flush=True)
        write(rows)


def write(rows: list[str]) -> None:
    """The page, with the rows there are."""
    text = ['# Choices', '', 'Written by `make bench ONLY=choices`; do not edit by hand.', '']
    text += [(__doc__ or '').strip(), '', *HEADER, *rows]
    Path(HERE.parent / 'docs' / 'choices.md').write_text('\n'.join(text) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
