"""Run the benchmarks one after the other: `make bench`, or `make bench ONLY=name`.

Each file of this folder without a leading underscore is one benchmark: a script
that prints one table, baselines and ours side by side in the same run. The
whole of `quality` takes more than a day on two cores; it can be interrupted and
continues where it was, or be run in pieces (`python benchmarks/quality.py --help`).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def chosen(names: list[str]) -> list[Path]:
    """The scripts to run; unknown names end the program with the list of the known ones."""
    scripts = {path.stem: path for path in sorted(HERE.glob('*.py')) if not path.stem.startswith('_')}
    unknown = [name for name in names if name not in scripts]
    if unknown:
        sys.exit(f'There is no benchmark {unknown[0]}; choose among {", ".join(scripts)}.')
    return [scripts[name] for name in names] if names else list(scripts.values())


def main(names: list[str]) -> int:
    failed = []
    for script in chosen(names):
        print(f'\n== {script.stem} ==', flush=True)
        start = time.monotonic()
        # One process each: no benchmark inherits the threads, caches or memory of another.
        if subprocess.run([sys.executable, script], check=False).returncode:
            failed.append(script.stem)
        print(f'({time.monotonic() - start:.0f} s)', flush=True)
    if failed:
        print(f'\nFailed: {", ".join(failed)}', file=sys.stderr)
    return len(failed)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
