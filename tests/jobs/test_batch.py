from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_diptomo.cli import app
from napari_diptomo.jobs import batch
from napari_diptomo.series import Cancelled, InputError, MapSeries, Recipe, load


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.chdir(tmp_path)


def cli(*arguments):
    return CliRunner().invoke(app, list(arguments))


def sample(name, seed):
    rng = np.random.default_rng(seed)
    maps = MapSeries(rng.poisson(4.0, (2, 3, 8, 8)), (-40.0, 0.0, 40.0), ('Ge', 'Te'), pixel_size=2.0)
    path = Path('data') / f'{name}.hspy'
    path.parent.mkdir(exist_ok=True)
    maps.save(path)
    return path


@pytest.fixture
def recipe(tmp_path):
    values = {
        'napari-diptomo': 1,
        'source': {'paths': ['elsewhere.hspy']},
        # A batch does not depend on the method, and this one does without torch.
        'steps': [{'step': 'job_steps:Count', 'iterations': 3, 'size': 8}],
    }
    (tmp_path / 'r.json').write_text(json.dumps(values))
    return 'r.json'


def table(folder='out'):
    with open(Path(folder) / 'summary.csv', newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def test_one_bad_sample_does_not_stop_the_others_and_the_exit_code_says_so(recipe):
    sample('first', 0)
    Path('data/broken.hspy').write_bytes(b'no file of HDF5')
    result = cli('batch', recipe, 'data/*.hspy', '-o', 'out')
    assert result.exit_code == 1
    rows = {row['sample']: row for row in table()}
    assert {name: row['status'] for name, row in rows.items()} == {'broken': 'failed', 'first': 'done'}
    assert 'broken.hspy' in rows['broken']['error'] and rows['first']['error'] == ''
    volume = load('out/first.hspy')
    assert float(rows['first']['correlation_Ge']) == pytest.approx(
        volume.notes['projection_correlation']['Ge'], abs=1e-4
    )
    assert rows['first']['shape'] == '2 x 8 x 8 x 8' and rows['first']['channels'] == 'Ge Te'
    assert int(rows['first']['doubts'] or 0) == sum(f.level == 'doubt' for f in volume.findings)
    assert float(rows['first']['seconds']) > 0
    assert Recipe.load('out/first.json').source.paths == (str(Path('data/first.hspy').resolve()),)
    assert '1 of 2 samples done' in result.stdout
    assert 'Traceback' not in result.output

    before = os.stat('out/first.hspy').st_mtime_ns
    sample('broken', 1)
    again = cli('batch', recipe, 'data/*.hspy', '-o', 'out', '--resume', '--json')
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)
    statuses = {row['sample']: row['status'] for row in found['samples']}
    assert statuses == {'broken': 'done', 'first': 'done before'}
    assert found['failed'] == 0
    assert os.stat('out/first.hspy').st_mtime_ns == before


def test_the_table_is_up_to_date_when_the_batch_is_cancelled(recipe, monkeypatch):
    for number, name in enumerate('abc'):
        sample(name, number)
    made = MapSeries(np.ones((1, 2, 4, 4)), (0.0, 10.0), ('Ge',))

    def stopped(own, output, **_):
        if output.stem == 'b':
            raise Cancelled('twice')
        return output, made

    monkeypatch.setattr(batch, 'computed', stopped)
    with pytest.raises(Cancelled):
        batch.run_batch(Path(recipe), ['data/*'], Path('out'))
    assert [row['status'] for row in table()] == ['done', 'cancelled', 'waiting']


def test_samples_of_one_name_get_numbers_and_the_output_is_no_sample(tmp_path):
    for folder in ('x/s', 'y/s', 'x/out'):
        (tmp_path / folder).mkdir(parents=True)
    found = batch.found_samples(['x/*', 'y/s', 'x/s'])
    assert found == [Path('x/out'), Path('x/s'), Path('y/s')]
    rows = batch._rows([path for path in found if path.name != 'out'], Path('x/out'), '.hspy')
    assert [row.output.name for row in rows] == ['s.hspy', 's-2.hspy']


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (('nowhere/*', '-o', 'out'), 'No sample is named nowhere/*; check the path'),
        (('data', '-o', 'out', '--format', '.xyz'), 'cannot be saved as .xyz; choose .hspy'),
        (('data', '-o', 'r.json'), 'cannot be made'),
    ],
)
def test_what_cannot_begin_is_one_sentence(recipe, arguments, sentence):
    Path('data').mkdir()
    result = cli('batch', recipe, *arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_no_sample_is_refused():
    with pytest.raises(InputError, match='No sample was given'):
        batch.found_samples([])
