"""Memory of a run compared with the estimate of `memory_bytes`: writes docs/memory.md.

Each case runs in a process of its own: the highest resident set after a few
iterations less that after the imports. Cases as `benchmarks/memory.py
NAME...` (see `CASES`), all without;
those measured before stay in the table.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / 'benchmarks' / 'results' / 'memory.json'
PAGE = ROOT / 'docs' / 'memory.md'
MIB = 2**20

#: Name: step, its parameters, channels, voxels along each axis.
CASES: dict[str, tuple[str, dict[str, Any], int, int]] = {
    **{
        f'{precision}-{n}-{channels}': ('DIPmTV', {'iterations': 3, 'precision': precision}, channels, n)
        for precision in ('bf16', 'float32')
        for channels, n in ((3, 48), (3, 64), (3, 96), (1, 96), (3, 128))
    },
    'published-edx-64-3': ('DIPmTV', {'iterations': 3, 'preset': 'published-edx'}, 3, 64),
    'sirt-96-3': ('SIRT', {'iterations': 3}, 3, 96),
    'tv-96-3': ('TotalVariation', {'iterations': 10}, 3, 96),
    'bf16-160-3': ('DIPmTV', {'iterations': 2, 'precision': 'bf16'}, 3, 160),
}
#: Only on request: it takes minutes and gigabytes.
LARGE = ('bf16-160-3',)

TEXT = """# Memory

Written by `benchmarks/memory.py`: the memory of a reconstruction on a CPU (highest resident memory of its process less
that after the imports; 17 tilts) and the estimate that the dock shows, by which runs that do not fit are refused.

| step | precision | channels | voxels | measured | estimated | estimate / measured |
|---|---|---|---|---|---|---|
"""


def case(name: str, edge: int | None = None) -> tuple[Any, Any]:
    """The step and its maps, or a corner of them of ``edge`` pixels."""
    import numpy as np

    from napari_diptomo import reconstruct
    from napari_diptomo.series import MapSeries

    step_name, values, channels, n = CASES[name]
    n = edge or n
    counts = np.random.default_rng(0).poisson(5.0, (channels, 17, n, n)).astype(np.float32)
    return getattr(reconstruct, step_name)(device='cpu', **values), MapSeries(
        counts, np.arange(-40, 41, 5.0), tuple('ABC'[:channels])
    )


def measure(name: str) -> int:
    """Run one case in this process; returns the bytes that it needed."""
    step, maps = case(name)
    import torch  # noqa: F401

    import napari_diptomo.reconstruct.dip.fit_loop  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    step.run(maps)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def row(name: str, measured: int) -> str:
    """One line of the table; the estimate is that of the present code."""
    step, maps = case(name)
    _, values, channels, n = CASES[name]
    estimated = step.memory_bytes(maps)
    label = f'{step.title} {values.get("preset", "")}'.strip()
    return (
        f'| {label} | {values.get("precision", "")} | {channels} | {n}^3 '
        f'| {measured / MIB:.0f} MiB | {estimated / MIB:.0f} MiB | {estimated / measured:.2f} |'
    )


def main(names: list[str]) -> int:
    kept = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    for name in names or [name for name in CASES if name not in LARGE]:
        command = [sys.executable, __file__, '--child', name]
        kept[name] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        print(row(name, kept[name]), flush=True)
        RESULTS.write_text(json.dumps(kept, indent=1) + '\n', encoding='utf-8')
    lines = [row(name, kept[name]) for name in CASES if name in kept]
    PAGE.write_text(TEXT + '\n'.join(lines) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    if sys.argv[1:2] == ['--child']:
        print(measure(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
