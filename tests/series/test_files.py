"""An earlier file is never lost, nothing half written stays, nothing is written elsewhere."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.series import InputError, Recipe, Volume, save
from napari_diptomo.series import files as module
from napari_diptomo.series.files import replacing, replacing_all, sweep_partials


def writing(text):
    return lambda path: path.write_text(text)


def full(path):
    path.write_text('half')
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_new_file_stands_only_when_it_is_complete(tmp_path):
    path = tmp_path / 'v.txt'
    path.write_text('old')
    seen = []

    def write(partial):
        partial.write_text('new')
        seen.append((path.read_text(), partial.suffix, partial.parent))

    assert replacing(path, write) == path
    assert seen == [('old', '.txt', tmp_path)]
    assert (path.read_text(), names(tmp_path)) == ('new', ['v.txt'])


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (OSError(errno.ENOSPC, 'x'), 'No space left on device'),
        (OSError(errno.EDQUOT, 'x'), 'No space left on device'),
        (
            RuntimeError('Unable to flush (errno = 28, error message = "No space left on device")\nand so on'),
            'No space',
        ),
    ],
)
def test_a_full_disk_is_a_sentence_that_names_disk_and_size(tmp_path, error, reason):
    path = tmp_path / 'v.txt'
    path.write_text('old')

    def write(partial):
        partial.write_text('half')
        raise error

    with pytest.raises(InputError) as caught:
        replacing(path, write, needed=3.21e9)
    said = str(caught.value)
    assert said.startswith(f'v.txt cannot be written ({reason}')
    assert f'the disk of {tmp_path} has ' in said and 'v.txt takes about 3.21 GB' in said
    assert (path.read_text(), names(tmp_path)) == ('old', ['v.txt'])


def test_a_disk_without_a_byte_is_full_whatever_the_writer_says(tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_free', lambda folder: 0.0)

    def write(partial):
        raise RuntimeError('file write failed')

    with pytest.raises(InputError, match='No space left on device'):
        replacing(tmp_path / 'v.txt', write)


def test_a_read_only_folder_is_a_sentence(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EROFS, 'Read-only file system')

    monkeypatch.setattr(module.os, 'open', refuse)
    with pytest.raises(InputError, match=r'v\.txt cannot be written .Read-only file system.; choose another folder'):
        replacing(tmp_path / 'v.txt', writing('new'))


def test_of_several_files_all_are_replaced_or_none(tmp_path):
    first, second = tmp_path / 'a.txt', tmp_path / 'b.txt'
    first.write_text('old a')
    second.write_text('old b')
    with pytest.raises(InputError, match=r'b\.txt'):
        replacing_all({first: writing('new a'), second: full})
    assert (first.read_text(), second.read_text()) == ('old a', 'old b')
    replacing_all({first: writing('new a'), second: writing('new b')})
    assert (first.read_text(), second.read_text()) == ('new a', 'new b')
    assert names(tmp_path) == ['a.txt', 'b.txt']


def test_channels_of_mrc_are_all_or_none(tmp_path, monkeypatch):
    import mrcfile

    old = Volume(np.zeros((2, 2, 3, 4)), ('Ge', 'Te'))
    save(old, tmp_path / 'v.mrc')
    before = [(tmp_path / name).read_bytes() for name in ('v_Ge.mrc', 'v_Te.mrc')]
    real, opened = mrcfile.new, []

    def second_fails(*args, **options):
        opened.append(args)
        if len(opened) == 2:
            raise OSError(errno.ENOSPC, 'No space left on device')
        return real(*args, **options)

    monkeypatch.setattr(mrcfile, 'new', second_fails)
    with pytest.raises(InputError, match='No space left'):
        save(Volume(np.ones((2, 2, 3, 4)), ('Ge', 'Te')), tmp_path / 'v.mrc')
    assert [(tmp_path / name).read_bytes() for name in ('v_Ge.mrc', 'v_Te.mrc')] == before
    assert names(tmp_path) == ['v_Ge.mrc', 'v_Te.mrc']


def test_who_changes_his_mind_when_all_is_written_leaves_the_old_file(tmp_path):
    path = tmp_path / 'v.txt'
    path.write_text('old')

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replacing(path, writing('new'), before=stop)
    assert (path.read_text(), names(tmp_path)) == ('old', ['v.txt'])


def test_nothing_is_written_through_a_symbolic_link(tmp_path, monkeypatch):
    outside = tmp_path / 'outside.txt'
    outside.write_text('untouched')
    folder = tmp_path / 'folder'
    folder.mkdir()
    tokens = iter(['aa', 'bb'])
    monkeypatch.setattr(module.secrets, 'token_hex', lambda n: next(tokens))
    planted = folder / f'.v.{module._host()}-{os.getpid()}-aa.partial.txt'
    planted.symlink_to(outside)
    (folder / f'.v.{os.getpid()}.partial.txt').symlink_to(outside)
    with pytest.raises(InputError, match='File exists'):
        replacing(folder / 'v.txt', writing('new'))
    (folder / 'v.txt').symlink_to(outside)
    replacing(folder / 'v.txt', writing('new'))
    assert outside.read_text() == 'untouched'
    assert (folder / 'v.txt').read_text() == 'new' and not (folder / 'v.txt').is_symlink()
    assert planted.is_symlink(), 'what is not ours is left alone'


def test_who_may_read_the_earlier_file_may_read_the_new_one(tmp_path):
    path = tmp_path / 'v.txt'
    path.write_text('old')
    path.chmod(0o600)
    replacing(path, writing('new'))
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_process_left_half_written_is_swept_and_nothing_else(tmp_path):
    script = (
        'import os, signal, sys\nfrom pathlib import Path\nfrom napari_diptomo.series.files import replacing\n'
        'replacing(Path(sys.argv[1]), lambda partial: os.kill(os.getpid(), signal.SIGKILL))'
    )
    path = tmp_path / 'v.hspy'
    subprocess.run([sys.executable, '-c', script, str(path)], check=False)
    (orphan,) = names(tmp_path)
    assert orphan.startswith('.v.') and orphan.endswith('.partial.hspy')
    elsewhere = orphan.replace(module._host(), '0' * 8)
    living = f'.v.{module._host()}-{os.getpid()}-ab.partial.hspy'
    for name in (elsewhere, living, 'v.hspy', '.w' + orphan[2:], '.v.hspy'):
        (tmp_path / name).touch()
    sweep_partials(path)
    assert names(tmp_path) == sorted([elsewhere, living, 'v.hspy', '.w' + orphan[2:], '.v.hspy'])


def test_a_recipe_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = Recipe().save(tmp_path / 'r.json')
    before = path.read_text()
    monkeypatch.setattr(Path, 'write_text', lambda self, *a, **k: _half(self))
    with pytest.raises(InputError, match=r'r\.json cannot be written .No space'):
        Recipe().save(path)
    assert path.read_text() == before


def _half(path):
    path.write_bytes(b'half')
    raise OSError(errno.ENOSPC, 'No space left on device')


@pytest.mark.skipif(sys.platform == 'win32', reason='no limit on the size of files')
def test_hdf5_on_a_full_disk_neither_ends_the_process_nor_costs_the_old_file(tmp_path):
    script = (
        'import gc, resource, sys\nimport numpy as np\nfrom napari_diptomo.series import InputError, Volume\n'
        'small = Volume(np.zeros((1, 2, 3, 4)), ("Ge",)).save(sys.argv[1])\n'
        'big = np.random.default_rng(0).random((2, 60, 60, 60), np.float32)\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n'
        'try:\n    Volume(big, ("Ge", "Te")).save(sys.argv[1])\nexcept InputError as error:\n    print(error)\n'
        'gc.collect()\nimport h5py\nh5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_ALL)\n'
    )
    path = tmp_path / 'v.hspy'
    done = subprocess.run([sys.executable, '-c', script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('v.hspy cannot be written (File too large)')
    assert names(tmp_path) == ['v.hspy']
    from napari_diptomo.series import load

    assert load(path).channels == ('Ge',)


def test_a_file_that_another_program_has_open_is_replaced_and_that_program_keeps_what_it_sees(tmp_path):
    import h5py

    path = save(Volume(np.zeros((1, 2, 3, 4)), ('Ge',)), tmp_path / 'v.hspy')
    with h5py.File(path) as opened:
        (experiment,) = opened['Experiments'].values()
        save(Volume(np.ones((1, 2, 3, 4)), ('Te',)), path)
        assert experiment['data'][...].max() == 0.0
    from napari_diptomo.series import load

    assert load(path).channels == ('Te',)
