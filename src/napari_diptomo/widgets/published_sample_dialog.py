"""A published sample from the menu of napari: licence, fetching with progress and cancel, layers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QMessageBox, QProgressDialog, QWidget

from napari_diptomo.series import Cancelled, DiptomoError, MapSeries, Observer, Progress, Request, Source
from napari_diptomo.widgets.layers.reader_and_writer import dropped_counts, dropped_maps
from napari_diptomo.widgets.notifications import say, say_error

if TYPE_CHECKING:
    from pathlib import Path

    from napari_diptomo.jobs.samples import PublishedSample
    from napari_diptomo.widgets.layers.image_layers import LayerTuple

_Result = TypeVar('_Result')

_TITLE = 'Published sample'
#: Milliseconds between two looks; seconds that a download which was cancelled may take to end.
_POLL_MS, _JOIN_SECONDS = 100, 2.0

#: An image of no channels. napari reports an error where a sample has no layers; of this it makes none.
NO_LAYERS: list[LayerTuple] = [(np.zeros((0, 1, 1), np.float32), {'channel_axis': 0}, 'image')]


def published_layers(key: str) -> list[LayerTuple]:
    """Layers of a published sample, fetched where it is not here yet; none where the user declined or it failed."""
    from napari_diptomo.jobs.samples import published_sample

    try:
        sample = published_sample(key)
        folder = _folder_of(sample)
        return [] if folder is None else _layers(sample, folder)
    except DiptomoError as error:
        say_error(str(error))
        return []


def _folder_of(sample: PublishedSample) -> Path | None:
    from napari_diptomo.jobs.samples import checked_by_archive, fetch, fetched

    if fetched(sample):
        return fetch(sample)
    if not all(file.checksum for file in sample.files):
        asked = _with_dialog('Reading the record of the archive', lambda observer: checked_by_archive(sample))
        if asked is None:
            return None
        sample = asked
    sample.check_fetchable()
    if not licence_accepted(sample):
        return None
    folder = _with_dialog(f'Fetching {sample.title}', lambda observer: fetch(sample, accepted=True, observer=observer))
    if folder is None:
        say('Fetching was cancelled; what has come is kept for the next time.')
    return folder


def licence_accepted(sample: PublishedSample) -> bool:
    """Show what it is, under which licence and how large, and ask."""
    from napari_diptomo.jobs.samples.commands import terms

    box = QMessageBox(_parent())
    box.setWindowTitle(_TITLE)
    box.setIcon(QMessageBox.Icon.Question)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(terms(sample).replace('\n', '\n\n'))
    accept = box.addButton('&Accept and fetch', QMessageBox.ButtonRole.AcceptRole)
    box.setEscapeButton(box.addButton(QMessageBox.StandardButton.Cancel))
    box.exec()
    return box.clickedButton() is accept


class _Latest(Observer):
    """Keeps the latest report for the window's thread, and cancels when it is asked to."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.cancelled = False

    def report(self, progress: Progress) -> None:
        self.progress = progress

    def request(self) -> Request:
        return Request.CANCEL if self.cancelled else Request.GO


def _with_dialog(text: str, task: Callable[[Observer], _Result]) -> _Result | None:
    """Result of a task that runs beside the window, with its progress and a button; None where it was cancelled."""
    latest = _Latest()
    found: dict[str, Any] = {}

    def work() -> None:
        try:
            found['result'] = task(latest)
        except Exception as error:  # raised again in the thread of the window
            found['error'] = error

    dialog = QProgressDialog(text, '&Cancel', 0, 0, _parent())
    dialog.setWindowTitle(_TITLE)
    dialog.setWindowModality(Qt.WindowModality.ApplicationModal)
    dialog.setAutoClose(False)
    dialog.setAutoReset(False)
    dialog.setMinimumDuration(0)
    thread = threading.Thread(target=work, name='published sample', daemon=True)
    timer = QTimer(dialog)

    def look() -> None:
        if not thread.is_alive():
            dialog.done(0)
        elif latest.progress is not None:
            dialog.setMaximum(latest.progress.total)
            dialog.setValue(latest.progress.iteration)
            dialog.setLabelText(latest.progress.message)

    def cancel() -> None:
        latest.cancelled = True

    dialog.canceled.connect(cancel)
    timer.timeout.connect(look)
    thread.start()
    timer.start(_POLL_MS)
    dialog.exec()
    timer.stop()
    latest.cancelled = latest.cancelled or thread.is_alive()
    thread.join(_JOIN_SECONDS)
    dialog.deleteLater()
    error = found.get('error')
    if isinstance(error, Cancelled) or (error is None and 'result' not in found):
        return None
    if error is not None:
        raise error
    return found['result']


def _layers(sample: PublishedSample, folder: Path) -> list[LayerTuple]:
    from napari_diptomo.jobs import open_isolated

    if sample.reading is None:
        say(f'The files of {sample.title} are in {folder}.')
        return []
    series = open_isolated(Source(paths=(str(folder),), **sample.reading), Observer())
    names = [str(path) for path in sorted(folder.iterdir()) if not path.name.startswith('.')]
    return dropped_maps(series, names) if isinstance(series, MapSeries) else [dropped_counts(series, names)]


def _parent() -> QWidget | None:
    return QApplication.activeWindow()
