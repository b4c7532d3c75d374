from __future__ import annotations

import io
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from napari_diptomo.jobs import run
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import Finding, InputError, MapSeries, Observer, Progress, Recipe, progress_bar
from napari_diptomo.series.progress_bar import ProgressBar, found_line

FOUND = (
    Finding('note', 'angles', 'Nobody checked them.', step='Align'),
    Finding('doubt', 'width', 'It seems too narrow.', step='Align'),
    Finding('note', 'axis', 'Along y.', step='Align'),
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def maps():
    counts = np.random.default_rng(0).poisson(4.0, (2, 3, 8, 8))
    return MapSeries(counts, (-30.0, 0.0, 30.0), ('Ge', 'Te'), pixel_size=2.0)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.delenv(progress_bar.VARIABLE, raising=False)
    monkeypatch.setattr(progress_bar, '_PATIENCE', 0)
    stream = Terminal()
    # pytest sets standard error anew after the fixtures.
    monkeypatch.setattr(progress_bar, 'sys', SimpleNamespace(stderr=stream, stdout=sys.stdout, modules=sys.modules))
    return stream


def notebook(monkeypatch, widgets):
    shell = SimpleNamespace(config={'IPKernelApp': {}})
    monkeypatch.setitem(sys.modules, 'IPython', SimpleNamespace(get_ipython=lambda: shell, version_info=(9,)))
    monkeypatch.setattr(progress_bar, 'find_spec', lambda name: widgets)


def test_the_line_counts_the_findings_and_says_the_gravest():
    line = found_line('Align', FOUND, 12.34)
    assert line == 'Align: 12.3 s; 1 doubt, 2 notes: doubt (width, Align): It seems too narrow.'
    assert found_line('SIRT', (), 2) == 'SIRT: 2 s; no findings'
    assert found_line('SIRT', FOUND[:1], 2) == 'SIRT: 2 s; 1 note'


def test_a_step_in_a_terminal_shows_a_bar_and_what_was_found(maps, terminal):
    SIRT(iterations=4, device='cpu').run(maps)
    shown = terminal.getvalue()
    assert 'SIRT' in shown and '4/4' in shown
    assert shown.splitlines()[-1].startswith('SIRT: ') and ' s; ' in shown.splitlines()[-1]


def test_a_recipe_shows_one_line_for_each_step(maps, terminal):
    from napari_diptomo import Align

    run(Recipe(steps=(Align(rounds=1), SIRT(iterations=3, device='cpu'))), data=maps)
    lines = [line for line in terminal.getvalue().replace('\r', '\n').splitlines() if ' s; ' in line]
    assert [line.partition(':')[0] for line in lines] == ['Align', 'SIRT']


@pytest.mark.parametrize('how', ['observer', 'parameter', 'environment', 'file'])
def test_it_is_silent(maps, terminal, monkeypatch, how):
    step, given = SIRT(iterations=2, device='cpu'), {}
    if how == 'observer':
        given = {'observer': Observer()}
    elif how == 'parameter':
        given = {'progress': False}
    elif how == 'environment':
        monkeypatch.setenv(progress_bar.VARIABLE, '0')
    else:
        terminal.isatty = lambda: False
    step.run(maps, **given)
    run(Recipe(steps=(step,)), data=maps, **given)
    assert terminal.getvalue() == ''


def test_it_can_be_asked_for_where_the_output_is_a_file(maps, terminal):
    terminal.isatty = lambda: False
    SIRT(iterations=2, device='cpu').run(maps, progress=True)
    assert '2/2' in terminal.getvalue()


def test_only_one_bar_at_a_time(terminal):
    with progress_bar.progress_bar(True):
        assert progress_bar.progress_bar(True) is None
    assert progress_bar.progress_bar(True) is not None


def test_another_thread_shows_none(terminal):
    import threading

    found = []
    thread = threading.Thread(target=lambda: found.append(progress_bar.progress_bar()))
    thread.start()
    thread.join()
    assert found == [None]


def test_an_environment_that_says_neither_is_refused(monkeypatch):
    monkeypatch.setenv(progress_bar.VARIABLE, 'maybe')
    with pytest.raises(InputError, match="DIPTOMO_PROGRESS is 'maybe'; set it to 1"):
        progress_bar.progress_bar()


def test_a_notebook_without_ipywidgets_gets_the_bar_of_the_terminal(monkeypatch, capsys):
    from tqdm import tqdm

    notebook(monkeypatch, widgets=None)
    monkeypatch.setattr(progress_bar, '_PATIENCE', 0)
    assert progress_bar._kind() is tqdm
    with progress_bar.progress_bar() as bar:
        bar.report(Progress('SIRT', 2, 2, losses={'data': 0.5}))
        bar.say_found('SIRT', FOUND)
    out = capsys.readouterr()
    assert '2/2' in out.out and 'data 0.5' in out.out and '1 doubt, 2 notes' in out.out
    assert out.err == ''


def test_what_ends_before_its_last_round_is_done(monkeypatch, capsys):
    notebook(monkeypatch, widgets=None)
    monkeypatch.setattr(progress_bar, '_PATIENCE', 0)
    with progress_bar.progress_bar() as bar:
        bar.report(Progress('Align', 26, 32))
        bar.say_found('Align', ())
    last = capsys.readouterr().out.replace('\r', '\n').splitlines()[-2]
    assert '100%' in last and '26/26' in last


def test_what_breaks_is_not_done(monkeypatch, capsys):
    notebook(monkeypatch, widgets=None)
    monkeypatch.setattr(progress_bar, '_PATIENCE', 0)
    with pytest.raises(InputError), progress_bar.progress_bar() as bar:
        bar.report(Progress('Align', 26, 32))
        raise InputError('no')
    assert '26/26' not in capsys.readouterr().out


def test_a_program_with_windows_alone_has_no_standard_error(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', None)
    assert progress_bar.progress_bar() is None


def test_a_terminal_without_unicode_gets_signs_that_it_has():
    code = (
        'from napari_diptomo.series.progress_bar import ProgressBar\n'
        'from napari_diptomo.series import Progress\n'
        'from napari_diptomo.series import progress_bar as p; p._PATIENCE = 0\n'
        'with ProgressBar() as bar:\n'
        '    bar.report(Progress("SIRT", 1, 3)); bar.say_found("SIRT", ())\n'
    )
    environment = {**__import__('os').environ, 'PYTHONIOENCODING': 'ascii', 'TERM': 'dumb', 'NO_COLOR': '1'}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = done.stderr.decode('ascii')
    assert '1/1' in shown and '\x1b[3' not in shown


def test_stages_follow_one_another(terminal):
    with ProgressBar() as bar:
        bar.report(Progress('Open', 2, 2))
        bar.report(Progress('SIRT', 1, 5))
        bar.report(Progress('SIRT', 5, 5))
    shown = terminal.getvalue()
    assert 'Open' in shown and '5/5' in shown
