"""Folders and frames of processes that are gone are swept, those of the living and of others never."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from napari_diptomo.jobs import job_folders, unsaved_results
from napari_diptomo.jobs.frames import FrameReader
from napari_diptomo.jobs.job_folders import make_folder, sweep
from napari_diptomo.jobs.transfer import read, write
from napari_diptomo.series import InputError, Recipe, Source, Volume

DIE = """
import os, signal
from napari_diptomo.jobs.job_folders import make_folder
from napari_diptomo.jobs import frames
folder = make_folder()
(folder.path / 'data.npz').write_bytes(b'x')
reader = frames.FrameReader((1, 2, 2, 2))
print(folder.path, reader.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / 'tmp'
    folder.mkdir()
    monkeypatch.setenv('TMPDIR', str(folder))
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'state'))
    monkeypatch.setattr(tempfile, 'tempdir', None)
    yield folder
    monkeypatch.undo()
    tempfile.tempdir = None


def killed():
    out = subprocess.run([sys.executable, '-c', DIE], capture_output=True, text=True, check=False).stdout
    return [job_folders.Path(name) for name in out.split()]


def test_what_a_killed_process_leaves_is_swept_when_the_next_folder_is_made(temporary):
    folder, frames = killed()
    assert folder.parent == temporary and folder.exists() and frames.exists()
    mine, reader = make_folder(), FrameReader((1, 2, 2, 2))
    assert not folder.exists() and not frames.exists()
    sweep()
    assert mine.path.exists() and reader.path.exists(), 'what a living process holds is left alone'
    mine.remove()
    mine.remove()
    reader.close()
    assert not list(temporary.iterdir()) and not reader.path.exists()


def test_a_folder_without_a_lock_is_one_whose_owner_was_killed_at_once(temporary):
    (temporary / 'diptomo-job-abc').mkdir()
    (temporary / 'diptomo-job-abc' / 'x').touch()
    (temporary / 'diptomo-jobs').mkdir()
    sweep()
    assert [path.name for path in temporary.iterdir()] == ['diptomo-jobs']


def test_no_link_is_followed_and_nothing_of_others_is_touched(temporary, tmp_path, monkeypatch):
    outside = tmp_path / 'outside'
    outside.mkdir()
    (outside / 'precious').touch()
    (temporary / 'diptomo-job-link').symlink_to(outside)
    (temporary / 'diptomo-1-x.frames').symlink_to(outside / 'precious')
    inside = temporary / 'diptomo-job-dead'
    inside.mkdir()
    (inside / 'link').symlink_to(outside)
    (inside / 'lock').symlink_to(outside / 'precious')
    sweep()
    assert (outside / 'precious').exists() and (temporary / 'diptomo-job-link').is_symlink()
    (inside / 'lock').unlink()
    monkeypatch.setattr(job_folders.os, 'getuid', lambda: 12345)
    sweep()
    assert inside.exists()
    monkeypatch.undo()


def test_a_folder_that_takes_no_files_is_one_sentence(monkeypatch, temporary):
    def refuse(**options):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(job_folders.tempfile, 'mkdtemp', refuse)
    with pytest.raises(InputError, match=f'temporary files {temporary} takes no files .No space left.*TMPDIR'):
        make_folder()


@pytest.mark.parametrize('output', ['/somewhere/v.hspy', None])
def test_a_complete_result_that_lost_its_parent_is_kept_for_resume(temporary, output):
    recipe = Recipe()
    volume = Volume(np.ones((1, 2, 2, 2)), ('Ge',))
    for name, complete in (('diptomo-job-a', True), ('diptomo-job-b', False)):
        folder = temporary / name
        folder.mkdir()
        if complete:
            write(volume, folder / 'result.npz')
        (folder / 'job.json').write_text(json.dumps({'recipe': recipe.to_dict(), 'output': output}))
    sweep()
    assert not list(temporary.iterdir())
    kept = unsaved_results.find(recipe)
    if output is None:
        assert kept is None
    else:
        np.testing.assert_array_equal(read(kept).data, volume.data)
        assert kept.name.startswith('v.hspy.')
        assert unsaved_results.find(Recipe(steps=(folders_step(),))) is None


def folders_step():
    from napari_diptomo import SIRT

    return SIRT()


def test_a_result_stays_where_it_is_when_no_other_disk_takes_it(temporary, tmp_path, monkeypatch):
    (tmp_path / 'state').write_text('in the way')
    folder = make_folder()
    result = write(Volume(np.ones((1, 2, 2, 2)), ('Ge',)), folder.path / 'result.npz')
    kept = unsaved_results.keep(result, Recipe(), 'v.hspy')
    assert kept.parent == temporary and kept.exists() and not result.exists()
    folder.remove()
    assert unsaved_results.find(Recipe()) == kept


def test_a_kept_result_of_files_that_were_changed_since_is_not_taken(temporary, tmp_path):
    source = tmp_path / 'series'
    source.mkdir()
    (source / 'tilt.bcf').touch()
    recipe = Recipe(Source(paths=(str(source),)))
    folder = make_folder()
    result = write(Volume(np.ones((1, 2, 2, 2)), ('Ge',)), folder.path / 'result.npz')
    os.utime(result, (2e9, 2e9))
    kept = unsaved_results.keep(result, recipe, 'v.hspy')
    folder.remove()
    assert unsaved_results.find(recipe) == kept
    os.utime(source / 'tilt.bcf', (2.1e9, 2.1e9))
    assert unsaved_results.find(recipe) is None
