"""A few damaged files of every kind; `python -m fuzz` does thousands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fuzz import harness, seeds
from fuzz.damage import damage
from fuzz.harness import Fuzz, Report
from napari_diptomo.jobs.reading.isolated import IsolatedReader
from napari_diptomo.series import InputError


@pytest.fixture(scope='module')
def fuzz() -> Iterator[Fuzz]:
    with Fuzz(seed=3) as fuzz:
        yield fuzz


def test_every_kind_can_be_read_before_it_is_damaged(fuzz: Fuzz) -> None:
    assert len(fuzz.kinds) >= 18
    assert [outcome for kind in fuzz.kinds if (outcome := fuzz.valid(kind)).result != 'ok'] == []


def test_damaged_files_end_and_hang_nothing(fuzz: Fuzz) -> None:
    report = Report()
    for outcome in fuzz.run(5 * len(fuzz.kinds)):
        report.add(outcome)
    assert report.total.total() == 5 * len(fuzz.kinds)
    assert not report.bad
    # Damage that nobody notices would show nothing.
    assert report.total['sentence'] > len(fuzz.kinds), report


def test_a_case_can_be_repeated(tmp_path: Path) -> None:
    def damaged(number: int) -> bytes:
        path = seeds.recipe_json(tmp_path)
        damage(path, np.random.default_rng((1, number)))
        return path.read_bytes()

    assert damaged(2) == damaged(2)
    assert len({damaged(number) for number in range(5)} - {seeds.recipe_json(tmp_path).read_bytes()}) >= 4


@pytest.mark.parametrize(
    ('error', 'result'),
    [(None, 'ok'), (InputError('One sentence.'), 'sentence'), (InputError('Two\nlines.'), 'unexpected'),
     (KeyError('x'), 'unexpected'), (harness._TooLong(), 'hang')],
)  # fmt: skip
def test_the_outcome_of_a_file_is_classified_rightly(
    monkeypatch: pytest.MonkeyPatch, error: BaseException | None, result: str
) -> None:
    def opens(path: Path) -> None:
        if error is not None:
            raise error

    monkeypatch.setitem(harness._OWN, 'recipe', opens)
    report = Report()
    with Fuzz(kinds=['recipe']) as fuzz:
        report.add(fuzz.case('recipe', 0))
    assert report.total == {result: 1}
    assert [bad.result for bad in report.bad] == ([result] if result in ('unexpected', 'hang') else [])


@pytest.mark.skipif(sys.platform == 'win32', reason='signals of POSIX')
def test_a_file_that_ends_the_reading_process_is_reported() -> None:
    strange = Path(__file__).parents[1] / 'jobs' / 'strange_reader.py'
    with Fuzz(kinds=['hspy tilt']) as fuzz:
        fuzz._reader = IsolatedReader((sys.executable, '-P', str(strange)))
        assert fuzz.valid('hspy tilt').result == 'ok'
        (fuzz._valid['hspy tilt'].parent / 'tilt.break').touch()
        assert fuzz.valid('hspy tilt').result == 'broke'
