"""docs/benchmarks.md, written from the results alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Set
from pathlib import Path

import _verdicts
from _cases import CASES, LAMELLAE, UNLIKE
from _methods import (
    PEAKS,
    PUBLISHED_ITERATIONS,
    PUBLISHED_PATIENCE,
    SEEDS,
    TV_ITERATIONS,
    TV_TOLERANCE,
    WEIGHTS,
)
from _store import Store, is_current
from _table import Result, Table, markdown

HERE = Path(__file__).parent
DOCS = HERE.parent / 'docs' / 'benchmarks.md'
SPEED = HERE / 'results' / 'speed.json'
INTRODUCTION = f"""# Benchmarks

Written by `python benchmarks/quality.py --report` from benchmarks/results/quality.json; do not edit by hand.

Specimens of known truth, simulated on a grid twice as fine as the one they are reconstructed on, with Poisson noise. EDX
is energy-dispersive X-ray spectroscopy, EELS electron energy-loss spectroscopy. The peak is the expected count of the
brightest pixel. At ±40° in steps of 5: four random Ge-Sb-Te lamellae (layers, soft segregation, particles,
voids), the EDX phantom of the source papers, and four specimens of other generators (a porous body of two intergrown
phases crossed by rods, facetted core-shell particles, a smooth interdiffusion, a needle with precipitates of one voxel
and of two), each with three channels of which C is rare. The EELS nanocube with its pore at nine tilts over ±70°.
The presets were chosen on lamella 1, which is not among these; lamellae 10 and 12 and both phantoms were used once, to
keep or drop changes of fast that had gained there. {len(SEEDS)} noises each for SIRT, Poisson-EM, joint TV (Poisson) and
the presets fast and balanced; one noise for the others, and for the weight by held-out counts.

How to read it:

- Rows of one table were measured on the same series, listed in its heading; rows measured on fewer series have a table of
  their own, with the reference rows repeated over the series that they share.
- PSNR (peak signal-to-noise ratio) and SSIM (structural similarity): means over the channels, the truth alone sets the
  range. FSC: mean Fourier shell correlation with the
  truth, among the measured frequencies and among those inside the missing wedge. Elongation: length along the beam over
  width of the sphere in the EDX phantom, 1 in truth. Composition error: mean |fraction - true fraction| in the
  specimen. Matter in voids: mean density outside the specimen over that inside. Seconds and peak memory: each run in a
  process of its own, without loading the libraries. Error bars: [uncertainty](uncertainty.md).
- An oracle knows the truth: for total variation it selects the weight among {len(WEIGHTS)} from {WEIGHTS[0]:g} to
  {WEIGHTS[-1]:g}, a factor of sqrt(2) apart (climbing from the middle in steps of two, then of one: scores have one
  maximum over the weight), for SIRT and the published settings the iterate. Total variation ends when 20 iterations
  change the volume by less than {TV_TOLERANCE:g} of it, or after {TV_ITERATIONS}.
- "published": the settings of the source papers, the EELS ones on the nanocube, the EDX ones elsewhere, best iterate by
  the truth; at most {PUBLISHED_ITERATIONS} iterations, ended when the best was {PUBLISHED_PATIENCE} iterations old; peak
  30, one noise, computed with our kernels in bf16.
- "slab given": the true faces, tilt and tip of the lamella, not its sides, as a limit or as exact; "slab found": from the
  counts."""


def plain_factor(preset: str) -> float | None:
    """Time of an iteration in plain float32 code over that with our kernels, from speed.py; None when not measured."""
    if not SPEED.exists():
        return None
    found = json.loads(SPEED.read_text(encoding='utf-8')).get('iteration', {})
    ours, plain = found.get(f'{preset}, our kernels'), found.get(f'{preset}, plain float32')
    return plain['seconds'] / ours['seconds'] if ours and plain else None


def write(store: Store, path: Path = DOCS) -> str:
    """Write the page; returns it."""
    cells = {name: cell for name, cell in store.cells.items() if not name.endswith(_CHOSEN)}
    current = {name for name, cell in cells.items() if is_current(cell)}
    parts = [INTRODUCTION, '## Which results are current\n\n' + '\n'.join(_state(cells, current))]
    for size in sorted({_size(name) for name in current}):
        parts += [f'## Volumes of {size}^3', *_sections(Table(store, size))]
    text = '\n\n'.join(parts) + '\n'
    path.write_text(text, encoding='utf-8')
    return text


#: Ends the keys of what a search chose; the runs themselves have keys of their own.
_CHOSEN = ' chosen'


def _size(key: str) -> int:
    return int(key.split(' | ')[1])


def _state(cells: Mapping[str, Result], current: Set[str]) -> list[str]:
    """How much was measured with the code there is now, and on what."""
    if not cells:
        return ['Nothing has been run.']
    lines = [
        'A result is current when the code of its method has not changed since, judged by a fingerprint of the sources. Results',
        'of older code stay in the JSON file and count as not run.',
        '',
        '| volumes | method | current | of older code |',
        '|---|---|---|---|',
    ]
    counted: dict[tuple[int, str], list[int]] = {}
    for name, cell in cells.items():
        method = str(cell['step']['step']).rpartition(':')[2]
        counted.setdefault((_size(name), method), [0, 0])[name not in current] += 1
    lines += [f'| {size}^3 | {method} | {new} | {old} |' for (size, method), (new, old) in sorted(counted.items())]
    processors = Counter(cells[name].get('processor', 'an unknown processor') for name in current)
    devices = sorted({cells[name].get('device', '') for name in current} - {''})
    lines += [
        '',
        *(f'- {count} run{"s" * (count > 1)} measured on {name}.' for name, count in processors.most_common()),
    ]
    return [*lines, *([f'- Computed on: {"; ".join(devices)}.'] if devices else [])]


def _sections(table: Table) -> list[str]:
    """Tables and verdicts of one size."""
    names = list(dict.fromkeys(name for name, _ in table.planned))
    parts = [
        '### Specimen by specimen (peak 30, noise 0; PSNR in dB / SSIM)\n\n' + '\n'.join(_verdicts.by_specimen(table))
    ]
    for peak in PEAKS:
        parts.append(f'### All specimens, peak {peak}\n\n' + '\n'.join(markdown(table, names, peak, CASES)))
    for title, cases in (('Lamellae', LAMELLAE), ('Other generators', UNLIKE)):
        parts.append(f'### {title} alone, peak 30\n\n' + '\n'.join(markdown(table, names, 30, cases)))
    for case in CASES:
        if case not in (*LAMELLAE, *UNLIKE):
            parts.append(f'### {case} alone, peak 30\n\n' + '\n'.join(markdown(table, names, 30, [case])))
    sections = {
        'Against joint total variation (lamellae, peak 30)': _verdicts.against_joint_tv(table),
        'Runs of balanced with a lower PSNR than oracle joint TV': _verdicts.lower_psnr(table),
        'Against the best published iterate (peak 30)': _verdicts.against_published(table, plain_factor),
        'A first look (lamellae, peak 30)': _verdicts.first_look(table),
        'Stopping (all runs of DIPm-TV)': _verdicts.stopping(table),
        'Odd runs': _odd(table),
    }
    return parts + [f'### {title}\n\n' + '\n'.join(lines) for title, lines in sections.items()]


def _odd(table: Table) -> list[str]:
    """Remarks on single runs."""
    lines = [f'- {name}, {series}: failed: {error}' for name, series, error in table.failed()]
    lines += [f'- {name}, {series}: the weight is at an end of the grid.' for name, series in table.at_edge()]
    return lines or ['None.']
