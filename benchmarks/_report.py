"""docs/benchmarks.md, written from the results alone."""

from __future__ import annotations

import json
from pathlib import Path

import _verdicts
from _cases import CASES, LAMELLAE
from _methods import (
    METHODS,
    PEAKS,
    PUBLISHED_ITERATIONS,
    PUBLISHED_PATIENCE,
    SEEDS,
    TV_ITERATIONS,
    TV_TOLERANCE,
    WEIGHTS,
)
from _store import Store
from _table import SIZE, Table, markdown

HERE = Path(__file__).parent
DOCS = HERE.parent / 'docs' / 'benchmarks.md'
SPEED = HERE / 'results' / 'speed.json'
INTRODUCTION = f"""# Benchmarks

Written by `python benchmarks/quality.py --report` from benchmarks/results/quality.json; do not edit by hand.

Specimens of known truth, {SIZE}^3 voxels, simulated on a grid twice as fine, with Poisson noise. The peak is the expected
count of the brightest pixel. Four random Ge-Sb-Te lamellae (layers, soft segregation, particles, voids) and the EDX
phantom of the source papers at +-40 degrees in steps of 5; the EELS nanocube with its pore at nine tilts over +-70
degrees. The presets were chosen on lamella 1, which is not among these; lamellae 10 and 12 and both phantoms were looked
at once, to keep or drop what had gained there for fast. {len(SEEDS)} noises each for SIRT, Poisson-EM, joint TV (Poisson)
and the presets fast and balanced; one noise for the others, and for the weight by held-out counts.

How to read it:

- PSNR and SSIM: means over the channels, the truth alone sets the range. FSC: mean Fourier shell correlation with the
  truth, among the measured frequencies and among those inside the missing wedge. Elongation: length along the beam over
  width of the sphere in the EDX phantom, 1 in truth. Composition error: mean |fraction - true fraction| in the
  specimen. Matter in voids: mean density outside the specimen over that inside. Seconds and peak memory: each run in a
  process of its own, without what loading the libraries takes. Error bars: [uncertainty](uncertainty.md).
- The oracle knows the truth, which nobody does: for total variation it picks the weight among {len(WEIGHTS)} from
  {WEIGHTS[0]:g} to {WEIGHTS[-1]:g}, a factor of sqrt(2) apart (climbing from the middle in steps of two, then of one: scores
  have one hill over the weight), for SIRT and the published settings the iterate. Total variation ends when 20
  iterations change the volume by less than {TV_TOLERANCE:g} of it, or after {TV_ITERATIONS}.
- "published": the settings of the source papers, the EDX ones on the lamellae and the EDX phantom, the EELS ones on the
  nanocube, best iterate by the truth; at most {PUBLISHED_ITERATIONS} iterations, ended when the best was
  {PUBLISHED_PATIENCE} iterations old; peak 30, one noise, computed with our kernels in bf16.
- "slab given": faces, tilt and tip that the lamella was cut to, nothing of its sides, as a limit or as exact; "slab
  found": from the counts.
- A mean is over the runs made; where some are missing, rows compare different runs."""


def plain_factor(preset: str) -> float | None:
    """Time of an iteration in plain float32 code over that with our kernels, from speed.py; None when not measured."""
    if not SPEED.exists():
        return None
    found = json.loads(SPEED.read_text(encoding='utf-8')).get('iteration', {})
    ours, plain = found.get(f'{preset}, our kernels'), found.get(f'{preset}, plain float32')
    return plain['seconds'] / ours['seconds'] if ours and plain else None


def write(store: Store, path: Path = DOCS, size: int = SIZE) -> str:
    """Write the page; returns it."""
    table = Table(store, size)
    names = list(dict.fromkeys(name for name, _ in table.planned))
    parts = [INTRODUCTION]
    for peak in PEAKS:
        parts.append(f'## All cases, peak {peak}\n\n' + '\n'.join(markdown(table, names, peak, CASES)))
    parts.append('## Lamellae alone, peak 30\n\n' + '\n'.join(markdown(table, names, 30, LAMELLAE)))
    for case in CASES:
        if case not in LAMELLAE:
            parts.append(f'## {case} alone, peak 30\n\n' + '\n'.join(markdown(table, names, 30, [case])))
    sections = {
        'Against joint total variation (lamellae, peak 30)': _verdicts.against_joint_tv(table),
        'Runs of balanced with a lower PSNR than oracle joint TV': _verdicts.lower_psnr(table),
        'Against the best published iterate (peak 30)': _verdicts.against_published(table, plain_factor),
        'A first look (lamellae, peak 30)': _verdicts.first_look(table),
        'Stopping (all runs of DIPm-TV)': _verdicts.stopping(table),
        'Odd runs': _odd(table),
    }
    parts += [f'## {title}\n\n' + '\n'.join(lines) for title, lines in sections.items()]
    text = '\n\n'.join(parts) + '\n'
    path.write_text(text, encoding='utf-8')
    return text


def _odd(table: Table) -> list[str]:
    """What a reader should know of single runs."""
    lines = [f'- {name}, {series}: gave up: {error}' for name, series, error in table.failed()]
    lines += [f'- {name}, {series}: the weight is at an end of the grid.' for name, series in table.at_edge()]
    devices = sorted({r.get('device', '') for name in METHODS for r in table.rows.get(name, {}).values()} - {''})
    lines.append(f'- Computed on: {"; ".join(devices) or "not run"}.')
    return lines
