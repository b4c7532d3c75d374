"""Nothing computed is lost: `interruptions` a few times, and what can go wrong at the end of ``diptomo run``."""

from __future__ import annotations

import errno
import json
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from interruptions import Bench, Blow
from typer.testing import CliRunner

from napari_diptomo.cli import app
from napari_diptomo.jobs import ChildJob, commands, terminal
from napari_diptomo.series import MapSeries, Recipe, load
from napari_diptomo.series.writing import save

NETWORK = {'step': 'DIPmTV', 'iterations': 24, 'output': 'softplus', 'device': 'cpu', 'precision': 'float32'}


@pytest.fixture(scope='module')
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp('bench'), NETWORK)


@pytest.fixture(scope='module')
def counting(tmp_path_factory):
    """A method without torch: what is saved and kept does not depend on it."""
    return Bench(tmp_path_factory.mktemp('counting'), {'step': 'job_steps:Count', 'iterations': 5})


@pytest.mark.parametrize(
    'blow',
    [
        Blow('KILL', 'parent', point='before replace'),
        Blow('INT twice', 'parent', point='before save'),
    ],
    ids=str,
)
def test_a_run_interrupted_in_the_final_save_ends_as_if_nothing_had_been(counting, blow):
    assert counting.survives(blow) == ''


@pytest.mark.parametrize(('kind', 'target'), [('KILL', 'parent'), ('TERM', 'child')])
def test_a_run_interrupted_while_it_computes_is_resumed_to_the_same_volume(bench, kind, target):
    assert bench.survives(Blow(kind, target, computing=True)) == ''


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'state'))
    monkeypatch.chdir(tmp_path)
    angles = np.arange(-40.0, 41.0, 20.0)
    counts = np.random.default_rng(0).poisson(4.0, (2, len(angles), 8, 8))
    MapSeries(counts, angles, ('Ge', 'Te'), pixel_size=2.0).save('maps.hspy')
    write_recipe({'step': 'job_steps:Count', 'iterations': 5})
    return tmp_path


def write_recipe(step):
    recipe = {'napari-diptomo': 1, 'source': {'paths': ['maps.hspy']}, 'steps': [step]}
    Path('r.json').write_text(json.dumps(recipe))


def cli(*arguments):
    return CliRunner().invoke(app, list(arguments))


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_result_that_cannot_be_saved_is_kept_and_resume_saves_it_without_computing(surroundings, monkeypatch):
    (surroundings / 'r.hspy').write_bytes(b'the earlier file')

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as patched:
        patched.setattr(save, 'write_hspy', full)
        result = cli('run', 'r.json')
    assert result.exit_code == 1
    said = ' '.join(result.stderr.splitlines()[-1:])
    assert f'the disk of {surroundings} has' in said
    kept = Path(said.partition('the result is kept in ')[2].partition(', and --resume saves it')[0])
    assert kept.is_file() and kept.parent == surroundings / 'state' / 'napari-diptomo'
    assert (surroundings / 'r.hspy').read_bytes() == b'the earlier file'
    assert files(surroundings) == ['maps.hspy', 'r.hspy', 'r.hspy.checkpoint', 'r.json']
    assert 'could not be saved; --resume saves it' in ' '.join(cli('run', 'r.json', '-o', 'again').stderr.split())

    with monkeypatch.context() as patched:
        patched.setattr(save, 'write_hspy', full)
        result = cli('run', 'r.json', '--resume')
    assert result.exit_code == 1 and kept.is_file(), 'a second failure costs nothing either'

    def computes(*args, **options):
        raise AssertionError('it was computed again')

    with monkeypatch.context() as patched:
        patched.setattr(commands, 'ChildJob', computes)
        result = cli('run', 'r.json', '--resume', '-o', 'r.hspy')
    assert result.exit_code == 0, result.output
    assert load('r.hspy').data.tobytes() == load('again.hspy').data.tobytes()
    assert not kept.exists()
    assert files(surroundings) == ['again.hspy', 'maps.hspy', 'r.hspy', 'r.json']


def test_another_output_may_be_named_for_a_result_that_was_kept(surroundings, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(save, 'write_hspy', lambda *args: 1 / 0)
        result = cli('run', 'r.json')
    assert 'ZeroDivisionError' in result.stderr and 'the result is kept in' in result.stderr
    (surroundings / 'elsewhere').mkdir()
    result = cli('run', 'r.json', '--resume', '-o', 'elsewhere/')
    assert result.exit_code == 0, result.output
    assert files(surroundings / 'elsewhere') == ['r.hspy']


def test_a_complete_run_has_nothing_to_resume(surroundings):
    assert cli('run', 'r.json').exit_code == 0
    before = (surroundings / 'r.hspy').read_bytes()
    result = cli('run', 'r.json', '--resume')
    assert result.exit_code == 0 and 'nothing is left to resume' in result.output
    assert (surroundings / 'r.hspy').read_bytes() == before
    write_recipe({'step': 'job_steps:Count', 'iterations': 6})
    result = cli('run', 'r.json', '--resume')
    assert result.exit_code == 1 and 'There is no checkpoint' in result.stderr


@pytest.mark.parametrize(
    ('output', 'sentence'), [('v.png', 'choose a name that ends in'), ('gone/v.hspy', 'There is no folder')]
)
def test_names_are_refused_before_anything_is_computed(surroundings, monkeypatch, output, sentence):
    monkeypatch.setattr(commands, 'ChildJob', None)
    result = cli('run', 'r.json', '-o', output)
    assert result.exit_code == 1 and sentence in result.stderr
    assert files(surroundings) == ['maps.hspy', 'r.json']


def test_too_little_space_is_refused_by_the_child_before_it_computes(surroundings):
    write_recipe({'step': 'SIRT', 'thickness': 2e12, 'device': 'cpu'})
    result = cli('run', 'r.json')
    assert result.exit_code == 1
    assert f'The disk of {surroundings} has' in result.stderr and 'the result takes about' in result.stderr
    assert files(surroundings) == ['maps.hspy', 'r.json'], 'what fails by itself leaves no checkpoint'


def test_a_run_stopped_by_ctrl_c_says_so_and_its_recipe_repeats_it(surroundings, monkeypatch):
    write_recipe({'step': 'SIRT', 'iterations': 10_000, 'device': 'cpu'})
    real = terminal.TerminalBar.report
    pressed = []

    def report(bar, progress):
        real(bar, progress)
        if progress.stage == 'SIRT' and progress.iteration > 1 and not pressed:
            pressed.append(os.kill(os.getpid(), signal.SIGINT))

    monkeypatch.setattr(terminal.TerminalBar, 'report', report)
    result = cli('run', 'r.json', '-o', 'stopped.hspy')
    assert result.exit_code == 0, result.output
    assert 'Stopped early: SIRT at iteration' in result.stdout
    stopped = load('stopped.hspy')
    assert 1 < stopped.recipe.steps[0].stopped_at < 10_000
    again = Recipe(Recipe.load('r.json').source, stopped.recipe.steps).save('again.json')
    assert cli('run', str(again)).exit_code == 0
    np.testing.assert_array_equal(load('again.hspy').data, stopped.data)


@pytest.mark.skipif(not hasattr(signal, 'SIGHUP'), reason='no such signal')
@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_end_leaves_nothing_but_the_checkpoint(surroundings, monkeypatch, request, number, code):
    # Tests that run under nohup would have SIGHUP ignored, which is respected.
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, signal.SIG_DFL)))
    write_recipe({'step': 'job_steps:Count', 'iterations': 10_000, 'wait': 0.01})
    real = terminal.TerminalBar.report
    jobs = []
    made = commands.ChildJob
    monkeypatch.setattr(commands, 'ChildJob', lambda *a, **k: jobs.append(made(*a, **k)) or jobs[-1])
    sent = []

    def report(bar, progress):
        real(bar, progress)
        if progress.stage == 'Count' and not sent:
            sent.append(os.kill(os.getpid(), number))

    monkeypatch.setattr(terminal.TerminalBar, 'report', report)
    before = signal.getsignal(number)
    result = cli('run', 'r.json')
    assert result.exit_code == code
    assert '--resume continues from r.hspy.checkpoint' in result.stderr
    assert signal.getsignal(number) is before
    assert files(surroundings) == ['maps.hspy', 'r.hspy.checkpoint', 'r.json']
    assert not jobs[0].is_alive and not jobs[0]._connection._folder.exists()


def test_a_job_that_finds_no_space_for_its_result_hands_it_over_elsewhere(surroundings, monkeypatch, tmp_path):
    from napari_diptomo.jobs import child

    state = tmp_path / 'state' / 'napari-diptomo'
    real = child.transfer.write

    def full(data, path):
        if path.parent.name == 'job':
            raise OSError(errno.ENOSPC, 'No space left on device')
        return real(data, path)

    monkeypatch.setattr(child.transfer, 'write', full)
    maps = load('maps.hspy')
    (tmp_path / 'job').mkdir()
    job = {'result': str(tmp_path / 'job' / 'result.npz'), 'recipe': Recipe().to_dict(), 'output': '/x/v.hspy'}
    place = child._hand_over(maps, job)
    assert place.parent == state and place.name.startswith('v.hspy.')
    monkeypatch.setattr(child.transfer, 'write', lambda data, path: full(data, tmp_path / 'job' / 'x'))
    with pytest.raises(Exception, match=r'result\.npz cannot be written .No space'):
        child._hand_over(maps, job)


def test_a_checkpoint_is_left_to_a_caller_who_still_has_to_save(surroundings, monkeypatch):
    recipe = Recipe.load('r.json')
    path = surroundings / 'c'
    with ChildJob(recipe, checkpoint=path, checkpoint_interval=0, keep_checkpoint=True) as job:
        job.start()
        assert job.wait(60)
        assert job.result().channels == ('Ge', 'Te')
    assert path.exists()
