"""What each choice in DIPm-TV's preset is worth: one thing changed at a time.

The first row is the preset `balanced`; each other row changes what it names.
Lamella 1, the one that the presets were chosen on, one seed, so differences below about
0.3 dB and 0.01 in SSIM are scatter. Writes `results/choices.json` and
`docs/choices.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_diptomo.reconstruct import DIPmTV
from quality import HEADER, HERE, cells, measure

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
    'Adam, rate 0.01, 1000 iterations': {'optimiser': 'adam', 'learning_rate': 1e-2, 'iterations': 1000},
}


def main() -> None:
    steps = {name: DIPmTV(**{'seed': SEED, **change}) for name, change in VARIANTS.items()}
    results = measure(HERE / 'results' / 'choices.json', {SEED: steps}, 48)[str(SEED)]
    text = ['# Choices', '', 'Written by `make bench ONLY=choices`; do not edit by hand.', '']
    text += [(__doc__ or '').strip(), '', *HEADER]
    text += [f'| {name} | {cells(results[name])} |' for name in steps]
    Path(HERE.parent / 'docs' / 'choices.md').write_text('\n'.join(text) + '\n', encoding='utf-8')
    print('\n'.join(text[-len(steps) - 2 :]))


if __name__ == '__main__':
    main()
