"""Readers in a process of their own: what breaks them is one sentence here, what they read is the same to the bit."""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_diptomo.jobs.reading import isolated, limits, reader_connection
from napari_diptomo.jobs.reading.isolated import IsolatedReader, ReadingFailed
from napari_diptomo.jobs.reading.reader_connection import ReaderProcess
from napari_diptomo.series import (
    Cancelled,
    Finding,
    InputError,
    MapSeries,
    Observer,
    Recipe,
    Request,
    Source,
    Volume,
    open_source,
)
from napari_diptomo.spectra.common.tilt_counts import counts_of

HERE = Path(__file__).parents[1]
STRANGE = (sys.executable, '-P', str(HERE / 'strange_reader.py'))
ANGLES = (-10.0, 0.0, 15.0)


@pytest.fixture(scope='module')
def reader():
    reader = IsolatedReader()
    yield reader
    reader.close()


@pytest.fixture(scope='module')
def strange():
    """Each test begins with whatever process the one before left it: a reader starts another where there is none."""
    reader = IsolatedReader(STRANGE)
    yield reader
    reader.close()


def spectra(folder: Path, stem: str = 'tilt', n: int = 3) -> list[str]:
    import hyperspy.api as hs

    paths = []
    for i in range(n):
        counts = np.random.default_rng(i).poisson(0.3, (6, 5, 16)).astype(np.uint8)
        axes = [
            {'name': name, 'size': size, 'scale': 2.0, 'units': 'nm'} for name, size in zip('yx', (6, 5), strict=True)
        ]
        axes.append({'name': 'Energy', 'size': 16, 'scale': 0.01, 'offset': -0.1, 'units': 'keV'})
        signal = hs.signals.Signal1D(counts, axes=axes)
        signal.metadata.set_item('Sample.elements', ['Ge', 'Te'])
        signal.metadata.set_item('Acquisition_instrument.TEM.beam_energy', 200.0)
        path = folder / f'{stem}_{i}.hspy'
        signal.save(str(path), overwrite=True)
        paths.append(str(path))
    return paths


def source(paths, **options) -> Source:
    return Source(paths=tuple(paths), angles=ANGLES[: len(paths)], **options)


def assert_same(one, other):
    assert type(one) is type(other)
    for field in dataclasses.fields(one):
        mine, its = getattr(one, field.name), getattr(other, field.name)
        if hasattr(mine, 'compute'):
            assert hasattr(its, 'compute')
            assert mine.dtype == its.dtype
            assert mine.chunks == its.chunks
            mine, its = np.asarray(mine), np.asarray(its)
        if isinstance(mine, np.ndarray):
            assert isinstance(its, np.ndarray)
            assert mine.dtype == its.dtype
            np.testing.assert_array_equal(mine, its, strict=True)
        elif dataclasses.is_dataclass(mine) and hasattr(mine, 'counts'):
            assert_same(mine, its)
        else:
            assert mine == its
            assert type(mine) is type(its)


@pytest.mark.parametrize('options', [{}, {'binning': 2, 'tilt_axis': 'x'}])
def test_spectra_are_those_read_here(reader, tmp_path, options):
    asked = source(spectra(tmp_path), **options)
    here, there = open_source(asked), reader.open(asked)
    assert_same(here, there)
    for tilt in range(3):
        mine, its = (counts_of(series).tilt(tilt) for series in (here, there))
        assert (mine != its).nnz == 0
        assert mine.dtype == its.dtype
        np.testing.assert_array_equal(mine.indices, its.indices)


def test_maps_are_those_read_here(reader, tmp_path):
    import tifffile

    for name in ('Ge', 'Te'):
        data = np.random.default_rng(len(name)).poisson(5, (3, 6, 5)).astype(np.uint16)
        tifffile.imwrite(
            tmp_path / f'{name}.tif', data, imagej=True, resolution=(0.5, 0.5), metadata={'axes': 'ZYX', 'unit': 'nm'}
        )
    asked = Source(paths=(str(tmp_path),), angles=ANGLES)
    here, there = open_source(asked), reader.open(asked)
    assert_same(here, there)
    there.data[0, 0, 0, 0] = 7  # the program's own, as any array read here


def test_the_real_series_is_the_one_read_here(reader, shared_data):
    files = sorted((shared_data / 'openncem-edx').glob('*5.bcf'))[:2]
    asked = Source(paths=tuple(str(path) for path in files), binning=4)
    assert_same(open_source(asked), reader.open(asked))


def test_what_was_saved_comes_back_whole(reader, tmp_path):
    doubt = Finding('doubt', 'angles', 'They disagree.', {'deg': 2.0})
    data = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    maps = MapSeries(data, ANGLES, ('Ge', 'Te'), variance=data, notes={'a': [1, {'b': 2.5}]}, findings=(doubt,))
    maps.save(tmp_path / 'm.hspy')
    assert reader.ask({'do': 'kind', 'path': str(tmp_path / 'm.hspy')}, [tmp_path / 'm.hspy']) == 'map series'
    assert_same(maps, reader.open(Source(paths=(str(tmp_path / 'm.hspy'),))))
    volume = Volume(data, ('Ge', 'Te'), 2.0, scores={'validation': [1.0, 2.0]}, recipe=Recipe(Source(paths=('a',))))
    volume.save(tmp_path / 'v.hspy')
    assert_same(volume, reader.ask({'do': 'load', 'path': str(tmp_path / 'v.hspy')}, [tmp_path / 'v.hspy']))


def test_errors_of_the_reader_arrive_as_they_are(reader, tmp_path):
    (tmp_path / 'cut.bcf').write_bytes(b'AAMVHFSS')
    for asked in (Source(paths=(str(tmp_path / 'none.bcf'),)), Source(paths=(str(tmp_path / 'cut.bcf'),)), Source()):
        with pytest.raises(InputError) as here:
            open_source(asked)
        with pytest.raises(InputError) as there:
            reader.open(asked)
        assert str(there.value) == str(here.value)
        assert type(there.value) is InputError


@pytest.mark.parametrize(
    ('stem', 'words'),
    [
        ('segfault', 'the reader broke down on it (signal 11, SIGSEGV)'),
        ('abort', 'the reader broke down on it (signal 6, SIGABRT)'),
        ('sleep', 'stopped after 1 s without a sign of life'),
        ('bomb', 'more than the 1.1 GB of memory allowed'),
        ('defect', '(BufferError: odd things in defect_0.hspy); '),
    ],
)
@pytest.mark.skipif(sys.platform == 'win32', reason='signals of POSIX')
def test_a_file_that_breaks_its_reader_is_one_sentence(strange, tmp_path, monkeypatch, stem, words):
    good = source(spectra(tmp_path, 'good'))
    before = strange.open(good)  # also: the process is warm, and another file's
    first = strange.pid
    asked = source(spectra(tmp_path, stem))
    with monkeypatch.context() as impatient, pytest.raises(ReadingFailed) as failed:
        impatient.setattr(limits, '_SECONDS', 1.0 if stem == 'sleep' else 60.0)
        impatient.setattr(limits, '_LEAST', 1024**3)
        impatient.setattr(limits, '_TIMES', 1)
        strange.open(asked)
    sentence = str(failed.value)
    assert sentence.startswith(f'{stem}_0.hspy could not be read')
    assert words in sentence
    assert 'damaged' in sentence
    assert len(sentence.splitlines()) == 1
    # The series opened before can still be read, if need be by another process.
    assert_same(open_source(good), before)
    assert (strange.pid == first) == (stem in ('bomb', 'defect'))
    assert_same(open_source(good), strange.open(good))


@pytest.mark.skipif(sys.platform == 'win32', reason='signals of POSIX')
def test_a_file_that_has_just_broken_its_reader_does_not_break_another(strange, tmp_path, monkeypatch):
    paths = spectra(tmp_path, 'segfault')
    asked = source(paths)
    sentences = []
    for _ in range(2):
        with pytest.raises(ReadingFailed) as failed:
            strange.open(asked)
        sentences.append(str(failed.value))
        assert strange.pid is None
    assert sentences[0] == sentences[1]
    started = []
    monkeypatch.setattr(isolated, 'ReaderProcess', lambda command: started.append(command) or ReaderProcess(command))
    with pytest.raises(ReadingFailed):
        strange.open(asked)
    assert not started
    # A copy that has come meanwhile, or a later attempt, is another matter.
    os.utime(paths[0])
    with pytest.raises(ReadingFailed):
        strange.open(asked)
    monkeypatch.setattr(isolated, '_SAME_ATTEMPT', 0.0)
    with pytest.raises(ReadingFailed):
        strange.open(asked)
    assert len(started) == 2


def test_a_file_that_is_damaged_after_opening_is_one_sentence(strange, tmp_path):
    paths = spectra(tmp_path)
    series = strange.open(source(paths))
    Path(paths[1]).with_suffix('.break').touch()
    np.asarray(series.counts[0])
    with pytest.raises(ReadingFailed, match=r'^tilt_1.hspy could not be read'):
        np.asarray(series.counts[1])


def test_a_series_whose_files_have_changed_is_not_mixed(reader, tmp_path):
    paths = spectra(tmp_path)
    series = reader.open(source(paths))
    np.asarray(series.counts[0])
    reader.close()
    for path in paths:
        os.unlink(path)
    import hyperspy.api as hs

    for path in paths:
        axes = [{'name': n, 'size': 4, 'scale': 2.0, 'units': 'nm'} for n in 'yx']
        axes.append({'name': 'Energy', 'size': 8, 'scale': 0.01, 'offset': -0.1, 'units': 'keV'})
        hs.signals.Signal1D(np.ones((4, 4, 8), np.uint8), axes=axes).save(path)
    with pytest.raises(InputError, match='has changed since it was opened'):
        np.asarray(series.counts[0])


def test_cancel_ends_even_a_reader_that_does_not_listen(strange, tmp_path):
    class Impatient(Observer):
        asked = 0

        def request(self):
            self.asked += 1
            return Request.CANCEL if self.asked > 3 else Request.GO

    strange.start()
    with pytest.raises(Cancelled):
        strange.open(source(spectra(tmp_path, 'sleep')), Impatient())
    assert strange.pid is None
    assert_same(open_source(source(spectra(tmp_path))), strange.open(source(spectra(tmp_path))))


def test_a_process_that_cannot_be_started_is_one_sentence(tmp_path):
    reader = IsolatedReader((str(tmp_path / 'no-python'),))
    reader.start()
    with pytest.raises(ReadingFailed, match=r'cannot be started \(No such file or directory\); close other programs'):
        reader.open(Source(paths=('a.bcf',)))


def test_progress_arrives(reader, tmp_path):
    reports = []

    class Listener(Observer):
        def report(self, progress):
            reports.append((progress.stage, progress.iteration, progress.total))

    reader.open(source(spectra(tmp_path)), Listener())
    assert reports[-1] == ('Open', 3, 3)


def test_threads_take_turns(reader, tmp_path):
    asked = source(spectra(tmp_path))
    here, results = open_source(asked), []

    def work():
        results.append(reader.open(asked))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for series in results:
        assert_same(here, series)


def test_a_full_disk_is_one_sentence(tmp_path):
    from napari_diptomo.jobs.reading import shared_arrays

    (tmp_path / 'there').mkdir()
    with pytest.raises(InputError, match=r'cannot be handed over \(No space left on device in .*; free some space'):
        shared_arrays.write(_Full(), tmp_path / 'there' / '1.arrays')
    assert not list((tmp_path / 'there').iterdir())


class _Full(list):
    """Stands for what is written when the disk is full."""

    def __iter__(self):
        raise OSError(28, 'No space left on device')


@pytest.mark.skipif(sys.platform == 'win32', reason='folders in memory')
def test_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    (tmp_path / 'temporary').mkdir()
    in_memory = tmp_path / 'memory'
    in_memory.mkdir()
    monkeypatch.setattr(reader_connection, 'MEMORY', in_memory)
    reader = IsolatedReader()
    series = reader.open(source(spectra(tmp_path)))
    image = np.asarray(series.counts[2])
    assert len(list(in_memory.glob('diptomo-job-*'))) == 1
    assert len(list((tmp_path / 'temporary').glob('diptomo-job-*'))) == 1
    process = psutil.Process(reader.pid)
    del series, reader
    gc.collect()
    _, alive = psutil.wait_procs([process], 10)
    assert not alive
    assert list(in_memory.iterdir()) == list((tmp_path / 'temporary').iterdir()) == []
    assert image.sum() > 0


@pytest.mark.skipif(sys.platform == 'win32', reason='signals of POSIX')
def test_a_process_that_opens_files_imports_no_reader_and_leaves_nothing_when_killed(tmp_path):
    paths = spectra(tmp_path)
    # Folders of its own: other programs that read files have theirs in /dev/shm, too.
    temporary, memory = tmp_path / 'temporary', tmp_path / 'memory'
    temporary.mkdir()
    memory.mkdir()
    code = (
        'import pathlib, sys, time, numpy as np\n'
        'from napari_diptomo.jobs.reading import reader_connection, isolated\n'
        f'reader_connection.MEMORY = pathlib.Path({str(memory)!r})\n'
        'from napari_diptomo.series import Source\n'
        f'series = isolated.open_isolated(Source(paths={tuple(paths)!r}, angles={ANGLES!r}))\n'
        'np.asarray(series.counts[0])\n'
        'print([m for m in ("hyperspy", "rsciio", "h5py") if m in sys.modules])\n'
        'print(isolated.the_reader().pid, flush=True)\n'
        'time.sleep(100)\n'
    )
    environment = {**os.environ, 'TMPDIR': str(temporary)}
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        imported = parent.stdout.readline()
        child = psutil.Process(int(parent.stdout.readline()))
        assert list(memory.iterdir()) and list(temporary.iterdir())
        # A batch system and `timeout` signal the whole group first.
        child.terminate()
        parent.send_signal(signal.SIGKILL)
    assert imported.strip() == '[]'
    psutil.wait_procs([child], 10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert list(temporary.iterdir()) == []
    assert list(memory.iterdir()) == []


def test_a_forgotten_series_is_forgotten_there_too(reader, tmp_path, monkeypatch):
    said = []
    series = reader.open(source(spectra(tmp_path)))
    process = reader._process
    monkeypatch.setattr(process, 'say', said.append)
    number = next(reader._numbers) - 1
    del series
    gc.collect()
    assert {'do': 'drop', 'drop': [number]} in said


def test_patience_and_memory_follow_the_files(tmp_path, monkeypatch):
    (tmp_path / 'a.emi').write_bytes(bytes(10))
    with open(tmp_path / 'a_1.ser', 'wb') as file, open(tmp_path / 'a.ser', 'wb') as other:
        file.truncate(2 * 10**9)
        other.truncate(10**9)
    assert limits.seconds_for(tmp_path / 'a.emi') == pytest.approx(12 + 250, abs=1)
    monkeypatch.setattr(limits, 'free_memory', lambda: 10 * 1024**3)
    assert limits.memory_for([tmp_path / 'a.emi']) == 8 * 1024**3
    assert limits.memory_for([tmp_path / 'missing']) == 4 * 1024**3
    monkeypatch.setattr(limits, 'free_memory', lambda: 0)
    assert limits.memory_for([tmp_path / 'a.emi']) == 1024**3


@pytest.mark.parametrize(
    ('status', 'computed', 'waits'),
    [
        (psutil.STATUS_RUNNING, 1.0, True),  # others have the processors
        (psutil.STATUS_DISK_SLEEP, 0.1, True),
        (psutil.STATUS_RUNNING, 11.9, False),  # busy with itself
        (psutil.STATUS_SLEEPING, 0.1, False),  # waits for what never comes
    ],
)
def test_a_busy_machine_is_not_taken_for_a_damaged_file(status, computed, waits):
    assert reader_connection.waits_for_the_machine(status, computed, 12.0) is waits


@pytest.mark.skipif(sys.platform == 'win32', reason='signals of POSIX')
@pytest.mark.parametrize('waits', [False, True])
def test_the_patience_begins_anew_a_few_times_only(strange, tmp_path, monkeypatch, waits):
    strange.open(source(spectra(tmp_path)))
    monkeypatch.setattr(limits, '_SECONDS', 0.5)
    looks = []
    monkeypatch.setattr(strange._process, '_waits_for_the_machine', lambda request: looks.append(1) or waits)
    with pytest.raises(ReadingFailed, match='without a sign of life'):
        strange.open(source(spectra(tmp_path, 'sleep')))
    # A message that comes late on a busy machine may begin the count anew.
    assert len(looks) >= 4 if waits else len(looks) == 1


def test_warming_up_starts_the_process_once(monkeypatch):
    reader = IsolatedReader()
    monkeypatch.setattr(isolated, '_reader', reader)
    isolated.warm_up()
    end = time.monotonic() + 20
    while reader.pid is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    first = reader.pid
    reader.start()
    assert reader.pid == first
    reader.close()
    assert reader.pid is None
