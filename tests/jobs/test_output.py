"""Obstacles to writing a result, found before the hours of computing."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from napari_diptomo import Align, DIPmTV, EDXMaps
from napari_diptomo.jobs import disk_space
from napari_diptomo.jobs import output as module
from napari_diptomo.jobs.output import output_path, reserved
from napari_diptomo.series import InputError, MapSeries, Recipe, Source, SpectralTiltSeries, Volume

VOLUME = Recipe(steps=(DIPmTV(),))
MAPS = Recipe(steps=(EDXMaps(elements=('Ge', 'Te')), Align()))


def test_where_the_result_goes(tmp_path):
    recipe = tmp_path / 'needle.json'
    folder = tmp_path / 'results'
    folder.mkdir()
    assert output_path(VOLUME, recipe, None) == tmp_path / 'needle.hspy'
    assert output_path(VOLUME, recipe, folder / 'v') == folder / 'v.hspy'
    assert output_path(VOLUME, recipe, folder / 'v.MRC') == folder / 'v.MRC'
    assert output_path(VOLUME, recipe, folder) == folder / 'needle.hspy'
    assert output_path(VOLUME, recipe, f'{folder}/') == folder / 'needle.hspy'
    assert output_path(VOLUME, recipe, f'{tmp_path}/new/') == tmp_path / 'new' / 'needle.hspy'
    assert (tmp_path / 'new').is_dir()


@pytest.mark.parametrize(
    ('recipe', 'name', 'sentence'),
    [
        (
            VOLUME,
            'v.png',
            r'v\.png cannot be saved: choose a name that ends in \.hspy, \.ome\.zarr, \.mrc, \.tif or \.vti\.',
        ),
        (MAPS, 'm.mrc', r'm\.mrc cannot be saved: choose a name that ends in \.hspy\.'),
        (VOLUME, 'gone/v.hspy', 'There is no folder .*gone; make it, or choose another output'),
        (VOLUME, 'gone/too/', 'There is no folder'),
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path, recipe, name, sentence):
    with pytest.raises(InputError, match=sentence):
        output_path(recipe, tmp_path / 'r.json', f'{tmp_path}/{name}')


def test_the_lock_says_whose_it_is_and_vanishes(tmp_path):
    output = tmp_path / 'v.hspy'
    with reserved(output):
        (lock,) = tmp_path.iterdir()
        assert lock.name == 'v.hspy.lock'
        held = json.loads(lock.read_text())
        assert held['pid'] == os.getpid() and held['host'] and held['since']
    assert not list(tmp_path.iterdir())


HOLD = """
import sys
from pathlib import Path
from napari_diptomo.jobs.output import reserved
with reserved(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_a_second_run_names_the_one_that_writes_and_takes_over_when_that_one_was_killed(tmp_path):
    output = tmp_path / 'v.hspy'
    command = [sys.executable, '-c', HOLD, str(output)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == 'held\n'
        with (
            pytest.raises(InputError, match=rf'being written by another run .process {holder.pid} on .+, since 20'),
            reserved(output),
        ):
            raise AssertionError('the output was given twice')
        with reserved(tmp_path / 'other.hspy'):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / 'v.hspy.lock').exists()
    with reserved(output):
        assert json.loads((tmp_path / 'v.hspy.lock').read_text())['pid'] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_a_lock_of_another_machine_is_respected(tmp_path):
    lock = tmp_path / 'v.hspy.lock'
    lock.write_text(json.dumps({'pid': 1, 'host': 'node17', 'since': '2026-01-01 00:00:00'}))
    with (
        pytest.raises(InputError, match=r'process 1 on node17.*if that run is gone, delete v\.hspy\.lock'),
        reserved(tmp_path / 'v.hspy'),
    ):
        pass
    assert lock.exists()
    lock.write_text('half a li')
    with reserved(tmp_path / 'v.hspy'):
        pass


def test_where_the_file_system_knows_no_locks_the_process_is_asked_for(tmp_path, monkeypatch):
    import platform

    monkeypatch.setattr('napari_diptomo.jobs.file_locks._lock', lambda handle: False)
    lock = tmp_path / 'v.hspy.lock'
    lock.write_text(json.dumps(module._myself()))
    with pytest.raises(InputError, match='another run'), reserved(tmp_path / 'v.hspy'):
        pass
    lock.write_text(json.dumps({**module._myself(), 'started': 1.0, 'host': platform.node()}))
    with reserved(tmp_path / 'v.hspy'):
        pass


def test_the_lock_is_not_taken_through_a_symbolic_link(tmp_path):
    outside = tmp_path / 'outside'
    outside.write_text('untouched')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'v.hspy.lock').symlink_to(outside)
    with pytest.raises(InputError, match='takes no files'), reserved(tmp_path / 'out' / 'v.hspy'):
        pass
    assert outside.read_text() == 'untouched'


@pytest.mark.parametrize('number', [errno.EROFS, errno.EACCES])
def test_a_folder_that_takes_no_files_is_refused(tmp_path, monkeypatch, number):
    def refuse(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, 'FileLock', refuse)
    with (
        pytest.raises(InputError, match=f'The folder {tmp_path} takes no files .{os.strerror(number)}.; choose'),
        reserved(tmp_path / 'v.hspy'),
    ):
        pass


def test_an_earlier_file_that_may_not_be_replaced_is_refused(tmp_path, monkeypatch):
    output = tmp_path / 'v_Ge.mrc'
    output.write_text('old')
    real = os.open

    def refuse(path, *args, **options):
        if str(path).endswith('v_Ge.mrc'):
            raise PermissionError(errno.EACCES, 'Permission denied')
        return real(path, *args, **options)

    monkeypatch.setattr(module.os, 'open', refuse)
    with (
        pytest.raises(InputError, match=r'v_Ge\.mrc is there already and may not be replaced .Permission denied'),
        reserved(tmp_path / 'v.mrc'),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ['v_Ge.mrc']


def test_a_full_disk_is_found_by_the_probe(tmp_path, monkeypatch):
    def full(path, size):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(module, '_fill', full)
    with (
        pytest.raises(
            InputError, match=rf'^v\.hspy cannot be written .No space left on device.: the disk of {tmp_path} has'
        ),
        reserved(tmp_path / 'v.hspy'),
    ):
        pass
    assert not list(tmp_path.iterdir())


def maps(size=100):
    return MapSeries(np.ones((2, 3, size, size), np.float32), [-1.0, 0.0, 1.0], ('Ge', 'Te'), pixel_size=2.0)


def test_the_size_of_the_result_is_known_from_the_data():
    assert disk_space.result_bytes(VOLUME, maps()) == 4 * 2 * 100**3
    assert (
        disk_space.result_bytes(Recipe(steps=(DIPmTV(thickness=60.0, ensemble=3),)), maps()) == 2 * 4 * 2 * 30 * 100**2
    )
    assert disk_space.result_bytes(MAPS, maps()) == 4 * 4 * 2 * 3 * 100**2
    spectra = SpectralTiltSeries(np.zeros((5, 20, 30, 7)), np.arange(7.0), np.arange(5.0), 1.0)
    assert disk_space.result_bytes(Recipe(steps=(*MAPS.steps, DIPmTV())), spectra) == 4 * 2 * 30 * 20 * 30


def test_a_run_whose_result_finds_no_space_is_refused_before_it_computes(tmp_path, monkeypatch):
    free = dict.fromkeys(['free'], 7_900_000)
    monkeypatch.setattr(disk_space.shutil, 'disk_usage', lambda folder: type('Usage', (), free))
    with pytest.raises(
        InputError, match=r'The disk of .+ has 7\.9 MB free, and the result takes about (8|16) MB there'
    ):
        disk_space.check_space(VOLUME, maps(), tmp_path / 'v.hspy')
    free['free'] = 20_000_000
    assert 'v.hspy finds space, its checkpoints may not' in disk_space.check_space(VOLUME, maps(), tmp_path / 'v.hspy')
    free['free'] = 200_000_000
    monkeypatch.setattr(disk_space.shutil, 'disk_usage', lambda folder: type('Usage', (), free))
    assert disk_space.check_space(VOLUME, maps(), tmp_path / 'v.hspy') is None


@pytest.fixture
def inputs(tmp_path):
    """Maps beside a recipe of their name, and stacks in a folder."""
    maps = MapSeries(np.ones((2, 3, 4, 4)), [-10.0, 0.0, 10.0], ('Ge', 'Te'))
    maps.save(tmp_path / 'maps.hspy')
    (tmp_path / 'stacks').mkdir()
    for name in ('GST_Ge.mrc', 'GST_Te.mrc', 'Ge.tif'):
        (tmp_path / 'stacks' / name).write_bytes(b'data')
    return tmp_path


def reading(*paths):
    return Recipe(Source(paths=tuple(str(path) for path in paths)), (DIPmTV(),))


def test_a_result_never_takes_the_place_of_its_data(inputs):
    own = reading(inputs / 'maps.hspy')
    linked = inputs / 'link.hspy'
    linked.symlink_to(inputs / 'maps.hspy')
    stacks = reading(inputs / 'stacks' / 'GST_Ge.mrc', inputs / 'stacks' / 'GST_Te.mrc')
    for recipe, output in (
        (own, None),
        (own, inputs / 'maps.hspy'),
        (own, linked),
        (stacks, inputs / 'stacks' / 'GST.mrc'),
        (reading(inputs / 'stacks'), inputs / 'stacks' / 'Ge.tif'),
    ):
        with pytest.raises(InputError, match='is read by this recipe and would be replaced by its result; choose'):
            output_path(recipe, inputs / 'maps.json', output)
    assert output_path(own, inputs / 'maps.json', inputs / 'v.hspy') == inputs / 'v.hspy'


def test_a_volume_among_the_data_may_be_replaced_by_the_next(inputs):
    Volume(np.ones((1, 2, 2, 2)), ('Ge',), 1.0).save(inputs / 'stacks' / 'v.hspy')
    recipe = reading(inputs / 'stacks')
    assert output_path(recipe, inputs / 'r.json', inputs / 'stacks' / 'v.hspy') == inputs / 'stacks' / 'v.hspy'
