"""Fetched samples from the menu, against a server on this machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox, QProgressDialog

from napari_diptomo import _sample_data
from napari_diptomo.widgets import published_sample_dialog as dialogs

_spec = importlib.util.spec_from_file_location(
    'sample_server', Path(__file__).parents[1] / 'jobs' / 'samples' / 'conftest.py'
)
_server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_server)
site, manifest, archive = _server.site, _server.manifest, _server.archive


@pytest.fixture
def said(monkeypatch):
    sentences = []
    monkeypatch.setattr(dialogs, 'say', sentences.append)
    monkeypatch.setattr(dialogs, 'say_error', sentences.append)
    return sentences


def press(text, seen):
    """Press a button of the question that is about to be asked."""

    def look():
        for window in QApplication.topLevelWidgets():
            if isinstance(window, QMessageBox) and window.isVisible():
                seen.append(window.text())
                next(button for button in window.buttons() if text in button.text()).click()
                return
        QTimer.singleShot(50, look)

    QTimer.singleShot(50, look)


def test_the_licence_is_shown_and_the_series_is_opened(qtbot, manifest, site, said):
    seen = []
    press('Accept', seen)
    layers = dialogs.published_layers('small')
    assert 'Licence: CC BY 4.0' in seen[0]
    assert sorted(meta['name'].split()[0] for _, meta, _ in layers) == ['Ge', 'Sb', 'Te', 'Ti']
    assert layers[0][0].shape == (16, 1, 48, 40)
    assert said == []
    asked = len(site.asked)
    assert len(dialogs.published_layers('small')) == 4
    assert len(site.asked) == asked, 'nothing is fetched twice, and nothing asked'


def test_nothing_is_fetched_when_the_licence_is_declined(qtbot, manifest, site, said):
    press('Cancel', [])
    assert dialogs.published_layers('small') == []
    assert site.asked == []


def test_a_declined_licence_opens_no_layer_and_is_no_error_of_napari(qtbot, monkeypatch):
    from napari.plugins import _initialize_plugins

    _initialize_plugins()
    monkeypatch.setattr(dialogs, 'published_layers', lambda key: [])
    viewer = ViewerModel()
    assert viewer.open_sample('napari-diptomo', 'measured-nanocrystals') == []
    assert len(viewer.layers) == 0


def test_a_failure_is_one_sentence_in_napari(qtbot, manifest, site, said, monkeypatch):
    monkeypatch.setattr(dialogs, 'licence_accepted', lambda sample: True)
    site.mode = 'page'
    assert dialogs.published_layers('small') == []
    assert len(said) == 1 and said[0].startswith('A web page came in place of SET_Ti_proj.tif')


def test_cancel_keeps_what_has_come(qtbot, manifest, site, said, monkeypatch):
    import threading

    proceed = threading.Event()
    real = _server.Handler._answer
    monkeypatch.setattr(_server.Handler, '_answer', lambda self, *a, **k: (proceed.wait(5), real(self, *a, **k)))
    monkeypatch.setattr(dialogs, 'licence_accepted', lambda sample: True)

    def cancel():
        for window in QApplication.topLevelWidgets():
            if isinstance(window, QProgressDialog) and window.isVisible():
                window.cancel()
                proceed.set()
                return
        QTimer.singleShot(20, cancel)

    QTimer.singleShot(20, cancel)
    assert dialogs.published_layers('small') == []
    assert said == ['Fetching was cancelled; what has come is kept for the next time.']


def test_the_question_says_whose_checksums_they_are(qtbot, archive, said):
    seen = []
    press('Accept', seen)
    assert len(dialogs.published_layers('small')) == 4
    assert 'Licence: CC BY 4.0' in seen[0] and 'those that the archive states today' in seen[0]
    asked = len(archive.asked)
    assert len(dialogs.published_layers('small')) == 4
    assert len(archive.asked) == asked and said == []


def test_a_record_that_cannot_be_read_is_one_sentence_and_no_question(qtbot, archive, said):
    archive.mode = 'record: page'
    assert dialogs.published_layers('small') == []
    assert len(said) == 1 and said[0].startswith(
        'small is not fetched: the checksum of SET_Ti_proj.tif is not recorded'
    )


def test_cancelled_while_the_record_is_read_asks_nothing(qtbot, archive, said, monkeypatch):
    import threading

    proceed = threading.Event()
    real = _server.Handler._record
    monkeypatch.setattr(_server.Handler, '_record', lambda self: (proceed.wait(5), real(self)))
    monkeypatch.setattr(dialogs, '_JOIN_SECONDS', 0.1)

    def cancel():
        for window in QApplication.topLevelWidgets():
            if isinstance(window, QProgressDialog) and window.isVisible():
                window.cancel()
                return
        QTimer.singleShot(20, cancel)

    QTimer.singleShot(20, cancel)
    assert dialogs.published_layers('small') == [] and said == []
    proceed.set()


def test_a_sample_without_checksums_says_where_it_is_to_be_had(qtbot, said, monkeypatch):
    from napari_diptomo.jobs.samples import archives, published_sample

    monkeypatch.setattr(archives, 'ARCHIVES', ())

    if all(file.checksum for file in published_sample('gst-memory').files):
        pytest.skip('the checksums have been recorded')
    assert _sample_data.measured_memory_device() is dialogs.NO_LAYERS
    assert 'download it from https://github.com/' in said[0]


@pytest.mark.parametrize(
    ('make', 'channels', 'shape'),
    [
        ('edx_phantom_maps', 3, (17, 1, 48, 48)),
        ('eels_phantom_maps', 2, (9, 1, 48, 48)),
        ('lamella_spectra', 1, (17, 48, 48)),
    ],
)
def test_the_offline_samples_are_made(make, channels, shape):
    layers = getattr(_sample_data, make)()
    assert len(layers) == channels
    assert layers[0][0].squeeze().shape == tuple(size for size in shape if size > 1)
