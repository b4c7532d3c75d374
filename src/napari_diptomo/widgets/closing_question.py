"""The question what shall become of a running job: its dock is closed, or Esc was pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QWidget

if TYPE_CHECKING:
    from napari_diptomo.widgets.session import Session


def ask_what_to_do(session: Session, dock: QWidget | None = None) -> QMessageBox | None:
    """Ask whether the job shall run on, stop and keep what it has, or be cancelled; it runs on until there is an answer.

    Parameters
    ----------
    session : Session
        Has the job.
    dock : QWidget, optional
        The dock that asks; None when it has just been closed.

    Returns
    -------
    QMessageBox, optional
        The question, open; None where there is nothing to ask or no window to ask in.
    """
    task = session.task
    above = dock if dock is not None else session.window
    if task is None or above is None:
        return None
    box = QMessageBox(above)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setWindowTitle('Tomography')
    box.setIcon(QMessageBox.Icon.Question)
    box.setText(f'{task.title} is still running.')
    if dock is None:
        box.setInformativeText(
            'The session is kept either way: open Plugins > Tomography (DIPm-TV tomography) to see it again.'
        )
    keep = box.addButton('&Keep running', QMessageBox.ButtonRole.AcceptRole)
    if task.run is not None:
        finish: Any = box.addButton('&Stop and keep', QMessageBox.ButtonRole.ApplyRole)
        finish.clicked.connect(session.finish)
    text = '&Cancel the run' if task.run is not None else '&Cancel'
    cancel: Any = box.addButton(text, QMessageBox.ButtonRole.DestructiveRole)
    cancel.clicked.connect(session.cancel)
    box.setDefaultButton(keep)
    box.setEscapeButton(keep)
    # It may end while the question stands.
    task.ended.connect(box.close)
    box.open()
    return box
