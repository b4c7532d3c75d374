from __future__ import annotations

import pytest

from napari_diptomo.series import TooLargeError
from napari_diptomo.series.memory import binning_that_fits, check_fits, free_memory, ran_out


def test_the_control_group_limits_what_is_free(tmp_path):
    (tmp_path / 'memory.max').write_text('5000000\n')
    (tmp_path / 'memory.current').write_text('2000000\n')
    assert free_memory(tmp_path) == 3_000_000


def test_a_control_group_without_limit_leaves_the_machine(tmp_path):
    (tmp_path / 'memory.max').write_text('max\n')
    (tmp_path / 'memory.current').write_text('2000000\n')
    assert free_memory(tmp_path) > 10_000_000


def test_the_old_control_group_counts_too(tmp_path):
    (tmp_path / 'memory').mkdir()
    (tmp_path / 'memory/memory.limit_in_bytes').write_text('7000000')
    (tmp_path / 'memory/memory.usage_in_bytes').write_text('9000000')
    assert free_memory(tmp_path) == 0


def test_the_smallest_binning_that_fits():
    def needed(binning):
        return 8_000 // binning**3 + 100

    assert binning_that_fits(needed, free=1_100) == 2
    assert binning_that_fits(needed, free=1_099) == 3
    assert binning_that_fits(needed, free=8_100) == 1
    assert binning_that_fits(needed, free=99) is None
    assert binning_that_fits(needed, free=1_099, most=2) is None


def test_what_fits_passes():
    check_fits(100, 'SIRT', 'use binning 2', free=100)


def test_what_does_not_fit_says_need_room_and_advice():
    with pytest.raises(TooLargeError) as caught:
        check_fits(16_000_000_000, 'DIPm-TV on 512 x 512 x 512 voxels', 'use binning 2', free=2_000_000_000)
    text = str(caught.value)
    assert text == 'DIPm-TV on 512 x 512 x 512 voxels needs 16.0 GB of memory, 2.0 GB are free; use binning 2.'


def test_errors_that_speak_of_memory_are_known():
    assert ran_out(MemoryError())
    assert ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
    assert not ran_out(RuntimeError('shapes cannot be multiplied'))
