"""Check that the wheel installs from ready-made wheels on every platform, one line each.

Needs the network, ``pip install uv`` beside the development tools, and a minute or two:

    .venv/bin/python tools/check_platforms.py [--pip]

uv resolves what the wheel of this checkout requires, with the environment
markers of the target, which pip evaluates for its own machine instead. With
``--pip`` pip has to find a wheel for the target of every package in the
result, too; it takes a few minutes more. Fails when a platform does that is
not in `IMPOSSIBLE`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ('3.11', '3.12', '3.13', '3.14')


@dataclass(frozen=True)
class Target:
    """A platform, as uv and pip call it."""

    name: str
    uv: str
    pip: tuple[str, ...]
    macos: str = ''
    extra: str = '[all]'


def _glibc(machine: str, newest: int) -> tuple[str, ...]:
    # pip does not know that the last two are the same.
    return (*(f'manylinux_2_{minor}_{machine}' for minor in range(newest, 16, -1)), f'manylinux2014_{machine}')


TARGETS = (
    Target('macOS 12, arm64', 'aarch64-apple-darwin', ('macosx_12_0_arm64',), '12.0'),
    Target('macOS 14, arm64', 'aarch64-apple-darwin', ('macosx_14_0_arm64',), '14.0'),
    Target('macOS 13, x86_64', 'x86_64-apple-darwin', ('macosx_13_0_x86_64',), '13.0'),
    Target('Linux x86_64, glibc 2.28', 'x86_64-manylinux_2_28', _glibc('x86_64', 28)),
    Target('Linux aarch64, glibc 2.28', 'aarch64-manylinux_2_28', _glibc('aarch64', 28)),
    # No Qt is built for this one; users bring their own.
    Target('Linux aarch64, glibc 2.17', 'aarch64-manylinux_2_17', _glibc('aarch64', 17), extra=''),
    Target('Windows AMD64', 'x86_64-pc-windows-msvc', ('win_amd64',)),
)
IMPOSSIBLE = {
    ('macOS 13, x86_64', '3.13'): 'torch has no builds for Intel Macs and Python 3.13',
    ('macOS 13, x86_64', '3.14'): 'torch has no builds for Intel Macs and Python 3.14',
    ('Linux aarch64, glibc 2.17', '3.13'): 'torch has no builds for this glibc and Python 3.13',
    ('Linux aarch64, glibc 2.17', '3.14'): 'h5py has no builds for this glibc and Python 3.14',
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pip', action='store_true', help='let pip look for the wheels as well')
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, '-m', 'build', '--wheel', '--outdir', folder, str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob('*.whl')
        for target in TARGETS:
            for python in PYTHONS:
                ok, text = check(target, python, wheel, options.pip)
                reason = IMPOSSIBLE.get((target.name, python))
                failed |= not ok and reason is None
                verdict = 'yes' if ok else 'no ' if reason else 'NO '
                print(f'{verdict}  {target.name}, Python {python}: {text if ok else reason or text}', flush=True)
    return int(failed)


def check(target: Target, python: str, wheel: Path, ask_pip: bool) -> tuple[bool, str]:
    """Whether all requirements are to be had, and the versions that matter or the reason why not."""
    request = f'napari-diptomo{target.extra} @ {wheel.as_uri()}\n'
    command = [sys.executable, '-m', 'uv', 'pip', 'compile', '-', '--quiet', '--only-binary', ':all:', '--no-header']
    command += ['--no-annotate', '--python-version', python, '--python-platform', target.uv]
    environment = {**os.environ, **({'MACOSX_DEPLOYMENT_TARGET': target.macos} if target.macos else {})}
    done = subprocess.run(command, input=request, capture_output=True, text=True, env=environment)
    if done.returncode:
        return False, re.sub(r'\s+', ' ', done.stderr)[:400]
    pins = [line for line in done.stdout.splitlines() if '==' in line]
    if ask_pip:
        missing = without_wheel(pins, target, python, wheel.parent)
        if missing:
            return False, missing
    versions = dict(pin.split('==') for pin in pins)
    shown = ', '.join(
        f'{name} {versions[name]}' for name in ('torch', 'numpy', 'napari', 'hyperspy', 'pyqt6') if name in versions
    )
    return True, f'{len(pins)} packages, {shown}'


def without_wheel(pins: list[str], target: Target, python: str, folder: Path) -> str:
    """Message of pip when one of these versions has no wheel for the target; empty when all have."""
    listed = folder / 'pins.txt'
    listed.write_text('\n'.join(pins), encoding='utf-8')
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--dry-run', '--no-deps', '--ignore-installed']
    command += ['--only-binary=:all:', '--target', str(folder / 'none'), '--python-version', python]
    command += [part for platform in target.pip for part in ('--platform', platform)]
    done = subprocess.run([*command, '-r', str(listed)], capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith('ERROR')]
    return ' '.join(errors)[:400] or 'pip failed' if done.returncode else ''


if __name__ == '__main__':
    sys.exit(main())
