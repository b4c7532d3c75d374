"""Where a terminal cannot encode a sign, its letters stand; nothing ends for it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_diptomo import simulate
from napari_diptomo._plain_terminal import tolerate

ANGLES = (-40, -20, 0, 20, 40)


@pytest.mark.parametrize(
    ('encoding', 'shown'),
    [
        ('ascii', '-40 deg, tilt / deg, 2 +- 1, 3 x 4 nm^3, 10 % ? sigma'),
        ('latin-1', '-40°, tilt / °, 2 ± 1, 3 × 4 nm³, 10\N{NO-BREAK SPACE}% ? sigma'),
        ('utf-8', '-40°, tilt / °, 2 ± 1, 3 × 4 nm³, 10\N{NO-BREAK SPACE}% ■ σ'),
    ],
)
def test_signs_that_cannot_be_encoded_are_spelled_out(encoding: str, shown: str) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    tolerate(stream, io.StringIO(), None)
    stream.write('-40°, tilt / °, 2 ± 1, 3 × 4 nm³, 10\N{NO-BREAK SPACE}% ■ σ')
    stream.flush()
    assert written.getvalue().decode(encoding) == shown


def test_a_command_prints_angles_to_a_terminal_without_unicode(tmp_path: Path) -> None:
    simulate.tilt_series(simulate.lamella(16), ANGLES).maps.save(tmp_path / 'maps.hspy')
    environment = {**os.environ, 'PYTHONIOENCODING': 'ascii'}
    command = [sys.executable, '-m', 'napari_diptomo', 'info', str(tmp_path / 'maps.hspy')]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert '-40 deg, -20 deg, 0 deg, 20 deg, 40 deg' in done.stdout.decode('ascii')
