"""Frames of a file of Velox: the measured one with streams of known events in place of its own."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from series_files import REAL, write_spectra

from napari_diptomo.series import InputError, load_tilt_series

VELOX = REAL / 'readers' / 'velox_EELS_EDS.zip'
pytestmark = pytest.mark.skipif(not VELOX.exists(), reason='the measured file of Velox is not here')
SIDE = 128
#: Events of each detector in each of three frames.
EVENTS = (700, 300, 50)


def frame(events: int, seed: int) -> np.ndarray:
    """A stream with so many events anywhere, and its mark after every pixel."""
    random = np.random.default_rng(seed)
    pixels = np.sort(random.integers(0, SIDE**2, events))
    marks = np.full(SIDE**2, 65535, np.uint16)
    return np.insert(marks, pixels, random.integers(100, 4000, events).astype(np.uint16))[:, None]


@pytest.fixture(scope='module')
def measured(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('velox')
    with zipfile.ZipFile(VELOX) as archive:
        return Path(archive.extract(archive.namelist()[0], folder))


@pytest.fixture
def three_frames(measured, tmp_path) -> Path:
    import h5py

    path = Path(shutil.copy(measured, tmp_path / 'tilt.emd'))
    with h5py.File(path, 'r+') as file:
        for number, stream in enumerate(file['Data/SpectrumStream'].values()):
            frames = [frame(events, 10 * number + index) for index, events in enumerate(EVENTS)]
            del stream['Data'], stream['FrameLocationTable']
            stream['Data'] = np.concatenate(frames)
            stream['FrameLocationTable'] = np.cumsum([0, *map(len, frames[:-1])]).astype(np.uint64)[:, None]
        for image in file['Data/SpectrumImage'].values():
            image['SpectrumImageSettings'][0] = json.dumps({'startFramePosition': '1', 'endFramePosition': '3'})
    return path


# Both ends at once, and no end beside the number of all frames: that each is heeded alone is seen in these, too.
@pytest.mark.parametrize(('first', 'last', 'events'), [(0, None, 1050), (1, 2, 300), (0, 3, 1050)])
def test_the_events_of_the_frames_that_were_chosen_are_summed(three_frames, first, last, events):
    series = load_tilt_series(three_frames, first_frame=first, last_frame=last)
    # Six detectors.
    assert int(np.asarray(series.counts).sum()) == 6 * events
    assert series.metadata['frames'] == 3
    noted = [finding.sentence for finding in series.findings if finding.about == 'frames']
    assert len(noted) == (events != 1050)
    assert not any('was stopped early' in finding.sentence for finding in series.findings)


@pytest.mark.parametrize(('first', 'last'), [(0, 4), (3, None), (2, 1)])
def test_frames_that_are_not_there(three_frames, first, last):
    with pytest.raises(InputError, match=r'tilt\.emd has 3 frames, of which'):
        load_tilt_series(three_frames, first_frame=first, last_frame=last)


def test_files_without_frames_have_none_to_choose(tmp_path):
    path = write_spectra(tmp_path / 'a.hspy', np.ones((4, 4, 16), np.uint8))
    with pytest.raises(InputError, match=r'a\.hspy keeps no frames'):
        load_tilt_series(path, last_frame=1)


def test_a_scan_with_fewer_pixels_than_its_image_is_doubted(measured):
    """The X-rays of this file are of 16 x 20 pixels, as its energy losses; its reader takes them for 128 x 128."""
    (doubt,) = [finding for finding in load_tilt_series(measured).findings if finding.about.startswith('layout')]
    assert doubt.level == 'doubt'
    assert 'has 320 pixels, where the scan is said to have 128 x 128' in doubt.sentence
