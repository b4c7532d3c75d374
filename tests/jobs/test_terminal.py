from __future__ import annotations

import io
import os
import signal

import pytest
from job_steps import Break, Count
from rich.console import Console

from napari_diptomo.jobs import ChildJob
from napari_diptomo.jobs.terminal import Ended, Planned, TerminalBar, clock, follow, print_findings
from napari_diptomo.series import Cancelled, Finding, Progress, Recipe, ReconstructionError, Request


def bar_on(stream, *plan, terminal=True):
    return TerminalBar(plan, Console(file=stream, force_terminal=terminal, width=120, highlight=False))


@pytest.mark.parametrize(('seconds', 'text'), [(None, '-:--'), (5, '0:05'), (125.4, '2:05'), (3725, '1:02:05')])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_the_time_to_go_is_that_of_this_stage_and_the_planned_ones():
    bar = bar_on(io.StringIO(), Planned('a', 10), Planned('b', 20), Planned('c', 40))
    bar.begin()
    bar.report(Progress('a', 1, 4, seconds=2.0))
    assert bar.to_go == pytest.approx(6 + 20 + 40)
    bar.begin('b')
    bar.report(Progress('b', 5, 10, seconds=30.0))
    assert bar.to_go == pytest.approx(30 + 40)


def test_without_a_plan_only_the_stage_has_a_time_to_go():
    bar = bar_on(io.StringIO(), Planned('Open'), Planned('SIRT'))
    bar.begin()
    assert bar.to_go is None
    bar.begin('SIRT')
    bar.report(Progress('SIRT', 5, 10, seconds=1.0))
    assert bar.to_go == pytest.approx(1.0)


def test_it_shows_stage_iteration_time_and_losses():
    stream = io.StringIO()
    with bar_on(stream, Planned('Open'), Planned('DIPm-TV')) as bar:
        bar.begin()
        bar.begin('DIPm-TV')
        bar.report(Progress('DIPm-TV', 10, 10, 65.0, {'data': 0.52}, validation=0.55))
    shown = stream.getvalue()
    for text in ('DIPm-TV', '10/10', 'to go', 'data 0.52', 'held out 0.55', '2/2'):
        assert text in shown


def test_a_log_gets_lines_without_control_characters():
    stream = io.StringIO()
    with bar_on(stream, Planned('Open'), Planned('SIRT'), terminal=False) as bar:
        bar.begin()
        bar.begin('SIRT')
        bar.report(Progress('SIRT', 1, 2))
    # Rich before 14.3 ends with an empty line.
    assert stream.getvalue().rstrip().splitlines() == ['[1/2] Open', '[2/2] SIRT']


def test_ctrl_c_finishes_then_cancels_and_a_new_stage_forgets_the_finish():
    stream = io.StringIO()
    before = signal.getsignal(signal.SIGINT)
    with bar_on(stream, Planned('SIRT'), Planned('DIPm-TV'), terminal=False) as bar:
        bar.begin()
        os.kill(os.getpid(), signal.SIGINT)
        assert bar.request() is Request.FINISH
        bar.begin()
        assert bar.request() is Request.GO
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert bar.request() is Request.CANCEL
    assert signal.getsignal(signal.SIGINT) is before
    assert 'press Ctrl-C again to cancel' in stream.getvalue()


class Impatient(TerminalBar):
    """Presses Ctrl-C when the first reports come."""

    presses = 1

    def report(self, progress):
        super().report(progress)
        if progress.iteration >= 1:
            for _ in range(self.presses):
                self._interrupted(signal.SIGINT, None)
            self.presses = 0


def followed(maps, step, presses):
    bar = Impatient([Planned('Count')], Console(file=io.StringIO()))
    bar.presses = presses
    with ChildJob(Recipe(steps=(step,)), maps) as job:
        return follow(job, bar)


def test_a_followed_job_is_finished_or_cancelled_by_ctrl_c(maps):
    assert followed(maps, Count(iterations=100_000, wait=0.01), 1).notes['iterations'] < 100_000
    with pytest.raises(Cancelled):
        followed(maps, Count(iterations=100_000, wait=0.01), 2)


def test_a_followed_job_that_breaks_raises_its_sentence_with_details(maps):
    with pytest.raises(ReconstructionError, match='all zero') as caught:
        followed(maps, Break(how='input'), 0)
    assert 'Traceback' in caught.value.details


def test_findings_are_marked_in_colour_where_there_is_one():
    findings = [Finding('note', 'angles', 'Unchecked [yet].'), Finding('stop', 'axis', f'None. {"More. " * 30}')]
    stream = io.StringIO()
    print_findings(findings, Console(file=stream, force_terminal=True, width=60, highlight=False))
    stop, note = stream.getvalue().splitlines()
    assert stop.startswith('\x1b[') and 'stop' in stop and stop.endswith('More.')
    assert note.endswith(' (angles): Unchecked [yet].')
    print_findings([], Console(file=stream))
    assert len(stream.getvalue().splitlines()) == 2


def test_a_second_ctrl_c_cancels_although_a_new_stage_began_in_between():
    with bar_on(io.StringIO(), Planned('Open', keeps=False), Planned('SIRT'), terminal=False) as bar:
        bar.begin()
        os.kill(os.getpid(), signal.SIGINT)
        bar.begin()
        os.kill(os.getpid(), signal.SIGINT)
        assert bar.request() is Request.CANCEL


def test_ctrl_c_says_what_it_does():
    said = {}
    for name in ('open', 'compute', 'save'):
        stream = io.StringIO()
        with bar_on(stream, Planned('Open', keeps=False), Planned('SIRT'), Planned('Save'), terminal=False) as bar:
            bar.begin()
            if name != 'open':
                bar.begin('SIRT')
            if name == 'save':
                bar.saving()
            os.kill(os.getpid(), signal.SIGINT)
            if name == 'save':
                bar.check_cancelled()
                os.kill(os.getpid(), signal.SIGINT)
                with pytest.raises(Ended, match='Cancelled') as caught:
                    bar.check_cancelled()
                assert caught.value.code == 130
        said[name] = stream.getvalue()
    assert 'There is no result to keep yet; press Ctrl-C again' in said['open']
    assert 'Finishing this stage with the best result so far; press Ctrl-C again' in said['compute']
    assert 'The result is being saved; press Ctrl-C again' in said['save']


def test_a_ctrl_c_that_finished_the_stage_counts_while_its_result_is_saved():
    with bar_on(io.StringIO(), Planned('SIRT'), Planned('Save'), terminal=False) as bar:
        bar.begin()
        os.kill(os.getpid(), signal.SIGINT)
        bar._pressed -= 10
        bar.saving()
        bar.check_cancelled()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Ended):
            bar.check_cancelled()


def test_sigterm_ends_a_run_and_lets_a_result_be_saved():
    before = signal.getsignal(signal.SIGTERM)
    with bar_on(io.StringIO(), Planned('SIRT'), Planned('Save'), terminal=False) as bar:
        bar.begin()
        os.kill(os.getpid(), signal.SIGTERM)
        assert bar.request() is Request.CANCEL
        assert (str(bar.ended), bar.ended.code) == ('Ended by SIGTERM', 143)
        bar.saving()
        bar.check_cancelled()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(not hasattr(signal, 'SIGHUP'), reason='no such signal')
def test_under_nohup_the_end_of_the_terminal_ends_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with bar_on(io.StringIO(), Planned('SIRT'), terminal=False) as bar:
            os.kill(os.getpid(), signal.SIGHUP)
            assert bar.request() is Request.GO
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize('error', [OSError(5, 'Input/output error'), BrokenPipeError()])
def test_a_terminal_that_is_gone_ends_no_run(error):
    class Gone(io.StringIO):
        def write(self, text):
            raise error

    with bar_on(Gone(), Planned('SIRT'), Planned('DIPm-TV')) as bar:
        bar.begin()
        bar.report(Progress('SIRT', 1, 2))
        bar.say('x')
        bar.begin('DIPm-TV')
    assert bar.request() is Request.GO
