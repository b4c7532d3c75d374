"""The choices in DIPm-TV's presets: one thing changed at a time.

The first row of each table is the preset; each other row has the change that it names. Lamella 1, the one that the
presets were chosen on, 48^3 for `balanced` and 64^3 for `fast`, one seed, so differences below about 0.3 dB and 0.01 in
SSIM are scatter; one thread. PSNR is the peak signal-to-noise ratio, SSIM the structural similarity, FSC the Fourier
shell correlation with the truth. Writes `results/choices.json` and `docs/choices.md`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _cases import CHOSEN_ON, sample
from _cell import measure
from _store import Store
from napari_diptomo.reconstruct import DIPmTV

HERE = Path(__file__).parent
SEED = 1
#: Of the volume, by preset: what limits a first look is detail, which 48^3 have little of.
SIZES = {'balanced': 48, 'fast': 64}
BALANCED: dict[str, dict[str, Any]] = {
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
FAST: dict[str, dict[str, Any]] = {
    'fast': {},
    'step size 0.05': {'learning_rate': 0.05},
    'step size 0.02': {'learning_rate': 0.02},
    '125 iterations': {'iterations': 125},
    'each channel by itself': {'output': 'softplus'},
    'half the size for half of the iterations': {'coarse_share': 0.5},
    'half the size for 90 % of the iterations': {'coarse_share': 0.9},
    'all iterations at full size, 110 of them': {'coarse_share': 0.0, 'iterations': 110},
}
#: Whose code was not kept; written by hand from the runs, lamella 1 at 64^3 unless another specimen is named.
DROPPED = """## Tried for `fast` and dropped

Against `fast` with the step size 0.05 (26.0 dB, SSIM 0.871), in about the same time:

- The gradient of the data filtered by the square root of a ramp before it enters the network, as filtered
  backprojection does: 26.5 dB, the measured frequencies converge sooner; but 1 dB less on the EDX (energy-dispersive
  X-ray) phantom, whose levels converge later.
- A network at half the size whose last layer predicts eight voxels for each of its own, with that filter: 27.1 dB; but
  1.2 to 1.5 dB less on the EELS (electron energy loss) and EDX phantoms, and no more than 27.5 dB after 300 iterations.
- Three of the input's channels taken from a short joint TV: 26.7 dB, all of it among the measured frequencies.
- A convex refinement of the result, total variation of the difference and of the volume: 0.7 dB more, but 0.02
  less in SSIM.
- Muon with a momentum of 0.9 in place of 0.95: 0.1 dB more over four specimens, less than scatter.
"""


HEADER = ['| choice | PSNR (dB) | SSIM | FSC measured | FSC wedge | seconds |', '|---|---|---|---|---|---|']


def cells(result: dict[str, Any]) -> str:
    """A result as the cells of a row."""
    if 'psnr' not in result:
        return f'{result.get("error", result.get("crash"))} | | | | '
    scores = [f'{result[c]:.{d}f}' for c, d in (('psnr', 2), ('ssim', 3), ('fsc_measured', 3), ('fsc_missing', 3))]
    return ' | '.join([*scores, f'{result["seconds"]:.0f}'])


def main() -> None:
    store = Store(HERE / 'results' / 'choices.json')
    tables: dict[str, list[str]] = {}
    for preset, variants in (('balanced', BALANCED), ('fast', FAST)):
        data = sample(CHOSEN_ON, SIZES[preset], 30, 0)
        rows = tables.setdefault(preset, [])
        for name, change in variants.items():
            step = DIPmTV(**{'preset': preset, 'seed': SEED, **change})
            # Keys of `balanced` are older than the second table.
            key = name if preset == 'balanced' else f'{preset} | {name}'
            found = store.find(key, step)
            if found is None:
                found = measure(data, step.to_dict())
                if 'crash' not in found:
                    store.put(key, step, found)
            rows.append(f'| {name} | {cells(found)} |')
            print(rows[-1], flush=True)
            write(tables)


def write(tables: dict[str, list[str]]) -> None:
    """The page, with the rows there are."""
    parts = ['# Choices', 'Written by `make bench ONLY=choices`; do not edit by hand.', (__doc__ or '').strip()]
    for preset, rows in tables.items():
        parts.append('\n'.join([f'## `{preset}`, {SIZES[preset]}^3', '', *HEADER, *rows]))
    text = '\n\n'.join([*parts, DROPPED])
    Path(HERE.parent / 'docs' / 'choices.md').write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
