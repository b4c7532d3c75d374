from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from napari_diptomo.jobs.frames import FrameReader, FrameWriter
from napari_diptomo.series import InputError


@pytest.fixture
def reader():
    reader = FrameReader((2, 3, 4, 5))
    yield reader
    reader.close()


def test_nothing_before_the_first_frame(reader):
    assert reader.newest() is None


def test_the_newest_frame_wins(reader):
    writer = FrameWriter(reader.path, reader.shape)
    for i in range(1, 8):
        writer.write(np.full(reader.shape, i, np.float32), iteration=10 * i)
    frame, iteration, number = reader.newest()
    assert (iteration, number) == (70, 7)
    np.testing.assert_array_equal(frame, 7.0)
    assert frame.dtype == np.float32
    writer.close()


def test_a_frame_is_given_once(reader):
    writer = FrameWriter(reader.path, reader.shape)
    writer.write(np.zeros(reader.shape), 1)
    number = reader.newest()[2]
    assert reader.newest(number) is None
    writer.close()


def test_a_frame_belongs_to_its_taker(reader):
    writer = FrameWriter(reader.path, reader.shape)
    writer.write(np.ones(reader.shape), 1)
    frame = reader.newest()[0]
    for _ in range(6):
        writer.write(np.zeros(reader.shape), 2)
    np.testing.assert_array_equal(frame, 1.0)
    writer.close()


def test_a_half_written_frame_is_not_given(reader):
    writer = FrameWriter(reader.path, reader.shape)
    writer.write(np.ones(reader.shape), 1)
    writer._header[1 + 2 * 1] = 2 * 1 - 1  # as while the writer is at it
    assert reader.newest() is None
    writer.close()


HAMMER = """
    import sys
    from pathlib import Path
    import numpy as np
    from napari_diptomo.jobs.frames import FrameWriter
    writer = FrameWriter(Path(sys.argv[1]), (1, 40, 50, 60))
    print('ready', flush=True)
    i = 0
    while True:
        i += 1
        writer.write(np.float32(i % 1000), i)
"""


def test_no_frame_is_torn_by_a_hammering_writer_and_nothing_is_left_when_it_is_killed():
    reader = FrameReader((1, 40, 50, 60))
    script = textwrap.dedent(HAMMER)
    writer = subprocess.Popen([sys.executable, '-c', script, str(reader.path)], stdout=subprocess.PIPE)
    try:
        writer.stdout.readline()
        seen = set()
        while len(seen) < 200:
            found = reader.newest(max(seen, default=0))
            if found is None:
                continue
            frame, iteration, number = found
            assert frame.min() == frame.max() == iteration % 1000
            seen.add(number)
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert reader.newest() is None or reader.newest()[0].shape == (1, 40, 50, 60)
    assert reader.path.exists()
    reader.close()
    assert not reader.path.exists()


def test_no_memory_is_one_sentence(monkeypatch):
    from napari_diptomo.jobs import frames

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(frames, '_reserve', full)
    with pytest.raises(InputError, match='no memory for previews'):
        FrameReader((1, 2, 2, 2))
