from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_diptomo.jobs.messages import (
    CancelledRun,
    Failure,
    FrameMemoryNeeded,
    FrameReady,
    Log,
    Noted,
    Result,
    Stage,
    format_message,
    parse_message,
)
from napari_diptomo.series import Progress


@pytest.mark.parametrize(
    'message',
    [
        Progress('SIRT', 3, 10, 1.5, {'data': 0.25, 'tv': 1e-9}, 0.5, None, 'µ-step "quoted"\nsecond line'),
        Progress('SIRT', 0, 10),
        Progress('SIRT', 4, 10, by_channel={'Ge': 1.25, 'Te': 0.5}),
        Stage(1, 3, 'DIPm-TV'),
        FrameMemoryNeeded((3, 48, 47, 46)),
        FrameReady(7, 12),
        Log('warning', 'ZnO → Zn'),
        Noted({'shift_refinement': {'used': True, 'shifts': [[0.25, -1.5]]}}),
        Result('/tmp/a b.npz'),
        Failure('One sentence.', 'InputError', 'Traceback\n  line'),
        CancelledRun('SIRT'),
    ],
)
def test_what_is_written_is_read(message):
    line = format_message(message)
    assert '\n' not in line
    assert parse_message(line) == message


def test_a_preview_does_not_travel_in_the_line():
    line = format_message(Progress('SIRT', 1, 2, preview=np.ones((1, 2, 2, 2), np.float32)))
    assert len(line) < 200
    assert parse_message(line).preview is None


def test_numpy_numbers_and_nan_are_valid_json():
    progress = Progress('SIRT', np.int64(2), 4, np.float32(0.5), {'data': float('nan'), 'tv': np.float32(2)})
    line = format_message(progress)
    assert 'NaN' not in line
    json.loads(line)
    read = parse_message(line)
    assert math.isnan(read.losses['data'])
    assert read.losses['tv'] == 2.0
    assert read.iteration == 2


@pytest.mark.parametrize(
    'line', ['', 'half a line', '[]', '3', '{"a": 1}', '{"type": "nonsense"}', '{"type": "frame"}']
)
def test_what_is_no_message_is_none(line):
    assert parse_message(line) is None
