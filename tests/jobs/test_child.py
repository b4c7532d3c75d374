from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from job_steps import Break, Chatter, Count, Doubting

from napari_diptomo.jobs import CancelledRun, ChildJob, FrameReady, JobState, Log, Stage, run
from napari_diptomo.jobs.transfer import write
from napari_diptomo.series import Cancelled, Finding, InputError, Progress, Recipe, ReconstructionError


def recipe(*steps):
    return Recipe(steps=steps)


def until(condition, seconds=20.0):
    """Wait for what must come; the limit is for a hanging test, not a measurement."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.01)


def progress(job, found):
    found += [m for m in job.messages() if isinstance(m, Progress)]
    return found


@pytest.fixture
def start(maps):
    jobs = []

    def begin(*steps, data=maps, **options):
        job = ChildJob(recipe(*steps), data, **options)
        jobs.append(job)
        job.start()
        return job

    yield begin
    for job in jobs:
        job.close()


def test_a_run_reports_shows_and_returns_what_a_run_here_returns(start, maps):
    job = start(Count(iterations=30, wait=0.02), preview_interval=0.05)
    frames, messages = [], []
    while job.is_active:
        messages += job.messages()
        frame = job.latest_frame()
        if frame is not None:
            frames.append(frame)
        time.sleep(0.01)
    job.wait(5)
    messages += job.messages()
    assert job.state is JobState.DONE, job.error
    assert job.error is None
    assert messages[0] == Stage(0, 1, 'Count')
    reports = [m for m in messages if isinstance(m, Progress)]
    assert reports[-1].iteration == reports[-1].total == 30
    assert [r.iteration for r in reports] == sorted(r.iteration for r in reports)
    assert reports[-1].validation == pytest.approx(1 / 30)
    assert any(isinstance(m, FrameReady) for m in messages)
    assert len(frames) >= 3
    for volume, iteration in frames:
        assert volume.shape == (2, 4, 4, 4)
        np.testing.assert_array_equal(volume, iteration)
    assert [i for _, i in frames] == sorted({i for _, i in frames})
    here = run(recipe(Count(iterations=30)), data=maps)
    np.testing.assert_array_equal(job.result().data, here.data)
    assert job.result().channels == ('Ge', 'Te')


def test_findings_cross_to_the_computing_process_and_back(start, maps):
    before = Finding('doubt', 'angles', 'Two sources disagree (µ).', {'third': 1 / 3}, step='Align')
    doubtful = replace(maps, findings=(before,))
    job = start(Doubting(), data=doubtful)
    job.wait(20)
    here = run(recipe(Doubting()), data=doubtful)
    assert job.result().findings == here.findings
    assert [finding.level for finding in here.findings] == ['doubt', 'note', 'doubt', 'stop']
    assert here.findings[0] == before
    assert here.findings[2].remedy.changes == {'wide': True}


def test_a_known_preview_shape_and_no_previews(start):
    job = start(Count(iterations=5), preview_shape=(2, 4, 4, 4), preview_interval=1e-6)
    job.wait(20)
    assert job.latest_frame()[1] == 5
    assert job.latest_frame() is None
    silent = start(Count(iterations=5), preview_interval=0)
    silent.wait(20)
    assert silent.latest_frame() is None


def test_a_change_of_shape_on_the_way_gets_new_room(start):
    job = start(Count(iterations=20, wait=0.02), Count(iterations=20, wait=0.02, size=6), preview_interval=0.02)
    # The second step is handed a volume where it takes maps: it fails, after the first showed its previews.
    job.wait(20)
    assert job.error.startswith('Count needs maps')
    assert job.latest_frame()[0].shape == (2, 4, 4, 4)


def test_pause_suspends_and_resume_continues(start):
    job = start(Count(iterations=100_000, wait=0.01))
    seen = []
    until(lambda: progress(job, seen))
    job.pause()
    assert job.state is JobState.PAUSED
    time.sleep(0.3)
    progress(job, seen)
    time.sleep(0.3)
    assert not [m for m in job.messages() if isinstance(m, Progress)]
    job.resume()
    assert job.state is JobState.RUNNING
    until(lambda: progress(job, []))
    job.finish()
    assert job.state is JobState.FINISHING
    job.wait(20)
    assert job.state is JobState.DONE
    assert job.result().notes['iterations'] < 100_000


def test_finish_while_paused(start):
    job = start(Count(iterations=100_000, wait=0.01))
    seen = []
    until(lambda: progress(job, seen))
    job.pause()
    job.finish()
    job.wait(20)
    assert job.state is JobState.DONE


def test_cancel_ends_the_process_and_keeps_nothing(start):
    job = start(Count(iterations=100_000, wait=0.01))
    until(lambda: progress(job, []))
    job.cancel()
    assert job.state is JobState.CANCELLED
    assert job.wait(20)
    assert not job.is_alive
    assert isinstance(job.messages()[-1], CancelledRun)
    assert job.error is None
    with pytest.raises(Cancelled):
        job.result()


def test_cancel_kills_what_does_not_listen(start):
    job = start(Count(iterations=2, wait=3600))
    until(lambda: [m for m in job.messages() if isinstance(m, Stage)])
    job.cancel()
    assert job.wait(20)
    assert job.state is JobState.CANCELLED


def test_cancel_before_the_process_exists(maps):
    with ChildJob(recipe(Count(wait=3600)), maps) as job:
        job.start()
        job.cancel()
        assert job.wait(20)
        assert job.state is JobState.CANCELLED


@pytest.mark.parametrize(
    ('how', 'sentence'),
    [
        ('input', 'The maps are all zero; choose other elements.'),
        ('memory', 'The memory ran out; use a higher binning or fewer elements and run again.'),
        ('torch', 'The memory ran out; use a higher binning or fewer elements and run again.'),
        ('kill', 'The computing process was ended from outside (signal 9), most likely because memory ran out; use a higher binning or fewer elements and run again.'),
        ('abort', 'The computing process broke down (signal 6, SIGABRT); run again, and report it if it recurs.'),
        ('runtime', 'Unexpected error: RuntimeError: matrix is singular; please report it with its traceback (in a terminal: run again with --debug; in napari: the log).'),
    ],
)  # fmt: skip
def test_what_breaks_is_one_sentence(start, how, sentence):
    job = start(Break(how=how))
    assert job.wait(20)
    assert job.state is JobState.FAILED
    assert job.error == sentence
    with pytest.raises(ReconstructionError, match=r'^.+\.$'):
        job.result()


def test_kill_from_outside_while_running_leaves_nothing_behind(start):
    job = start(Count(iterations=100_000, wait=0.01), preview_interval=0.01)
    until(lambda: job.latest_frame() is not None)
    frames, folder = job._connection._frames.path, job._connection._folder
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait(20)
    assert 'signal 9' in job.error
    assert frames.exists()
    job.close()
    assert not frames.exists()
    assert not folder.exists()
    again = start(Count(iterations=3))
    again.wait(20)
    assert again.state is JobState.DONE


def test_a_forgotten_job_ends_its_process(maps):
    job = ChildJob(recipe(Count(iterations=100_000, wait=0.01)), maps)
    job.start()
    while not job.is_alive:
        time.sleep(0.01)
    process, folder = job._connection.process, job._connection._folder
    del job
    gc.collect()
    assert process.wait(20) is not None
    until(lambda: not folder.exists())
    assert not folder.exists()


def test_what_libraries_print_does_not_disturb(start, maps):
    job = start(Chatter())
    job.wait(20)
    assert job.state is JobState.DONE
    np.testing.assert_array_equal(job.result().data, maps.data)
    assert 'from a C library' in job.details


def test_bad_jobs_fail_with_a_sentence(start):
    job = start(Count(), data=None)
    job.wait(20)
    assert 'names no source files' in job.error


def test_a_job_starts_once_and_gives_no_early_result(start):
    job = start(Count(iterations=1000, wait=0.05))
    with pytest.raises(InputError, match='not ended'):
        job.result()
    with pytest.raises(InputError, match='started before'):
        job.start()


def test_a_killed_run_continues_from_its_checkpoint(start, maps, tmp_path):
    step = Count(iterations=8, die_at=6)
    options = {'checkpoint': tmp_path / 'run.checkpoint', 'checkpoint_interval': 0}
    first = start(step, **options)
    first.wait(30)
    assert 'signal 9' in first.error
    assert (tmp_path / 'run.checkpoint').exists()
    second = start(step, resume=True, **options)
    second.wait(30)
    assert second.state is JobState.DONE, second.error
    assert second.result().notes['restored']
    whole = run(recipe(Count(iterations=8)), data=maps)
    np.testing.assert_array_equal(second.result().data, whole.data)
    assert not (tmp_path / 'run.checkpoint').exists()


def test_the_child_goes_when_its_parent_goes(maps, tmp_path):
    folder = tmp_path / 'job'
    folder.mkdir()
    job = {
        'recipe': recipe(Count(iterations=3, wait=3600)).to_dict(),
        'folder': str(folder),
        'data': str(write(maps, folder / 'data.npz')),
        'result': str(folder / 'result.npz'),
    }
    (folder / 'job.json').write_text(json.dumps(job))
    command = [sys.executable, '-m', 'napari_diptomo.jobs', str(folder / 'job.json')]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert 'stage' in child.stdout.readline()
    child.stdin.close()
    assert child.wait(20) == 3
    child.stdout.close()
    assert not folder.exists()


def test_logs_of_the_package_arrive(start):
    job = start(Chatter())
    job.wait(20)
    assert Log('warning', 'two tilts are alike') in job.messages()


def test_a_child_loads_neither_torch_nor_hyperspy_by_itself():
    script = 'import sys, napari_diptomo.jobs.child; print(sorted({"torch", "hyperspy"} & set(sys.modules)))'
    out = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == '[]'


def test_steps_and_judges_load_no_statistics_before_they_need_them():
    # Each takes half a second or more, in every run.
    script = (
        'import sys, napari_diptomo.assess, napari_diptomo.spectra\n'
        'print(sorted({"scipy.stats", "scipy.signal", "matplotlib", "hyperspy", "sklearn"} & set(sys.modules)))'
    )
    out = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == '[]'
