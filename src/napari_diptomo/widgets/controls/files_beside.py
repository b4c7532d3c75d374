"""Files that belong to a tilt series beside its own: dropped or chosen, with the tilts they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_diptomo.widgets.controls.form_widgets import CommaList, source_parameters, tooltip
from napari_diptomo.widgets.controls.parts import words
from napari_diptomo.widgets.file_drops import paths_of
from napari_diptomo.widgets.preferences import LastUsed


class FilesBeside(QWidget):
    """Names the files; their angles can be typed where the files do not hold them.

    Signals
    -------
    changed
        Other files or angles.
    """

    changed = Signal()
    #: The field of a source that the files are, its name in words, and in a sentence what is there without files.
    field = ''
    name = ''
    nothing = ''
    question = ''

    def __init__(self, last_used: LastUsed, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._last_used = last_used
        self._paths: tuple[str, ...] = ()
        declared = {parameter.name: parameter for parameter in source_parameters()}
        self.setToolTip(tooltip(declared[self.field]))
        self.setAccessibleName(self.name)
        self.setAcceptDrops(True)
        self.note = words('')
        self.add = QPushButton('Choose…')
        self.add.setAccessibleName(f'Choose {self.name} files')
        self.add.clicked.connect(self._choose)
        self.forget = QPushButton('Clear')
        self.forget.setToolTip(f'Open the series without these {self.name} files.')
        self.forget.clicked.connect(self.clear)
        self.angles = CommaList(kind=float, tooltip=tooltip(declared[f'{self.field}_angles']))
        self.angles.native.setPlaceholderText('tilts in degrees: as the files say')
        self.angles.native.setAccessibleName(f'Tilts of the {self.name}')
        self.angles.changed.connect(self._angles_changed)
        self.row = QHBoxLayout()
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.addWidget(self.note, 1)
        self.row.addWidget(self.add)
        self.row.addWidget(self.forget)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.addLayout(self.row)
        self.column.addWidget(self.angles.native)
        self._show()

    def paths(self) -> tuple[str, ...]:
        """Files or folders, in the order in which they came."""
        return self._paths

    def tilts(self) -> tuple[float, ...] | None:
        """Angles in degrees as typed, None where nothing is.

        Raises
        ------
        InputError
            What is typed is no list of numbers.
        """
        return (self.angles.value or None) if self._paths else None

    def add_paths(self, paths: list[str]) -> None:
        """More files; a folder replaces them."""
        if not paths:
            return
        keep = self._paths if not any(Path(path).is_dir() for path in (*paths, *self._paths)) else ()
        self._paths = tuple(dict.fromkeys((*keep, *paths)))
        self._show()

    def clear(self) -> None:
        """Forget them."""
        self._paths = ()
        self.angles.value = ()
        self._show()

    def _show(self) -> None:
        names = [Path(path).name for path in self._paths]
        self.note.setText(self.nothing if not names else ', '.join(names) if len(names) < 4 else f'{len(names)} files')
        self.note.setToolTip('<br>'.join(self._paths))
        self.forget.setVisible(bool(names))
        self.angles.visible = bool(names)
        self.changed.emit()

    def _angles_changed(self) -> None:
        self.changed.emit()

    def _choose(self) -> None:
        folder = str(self._last_used.value('folder', ''))
        paths, _ = QFileDialog.getOpenFileNames(self, self.question, folder)
        self.add_paths(paths)

    def dragEnterEvent(self, event: Any) -> None:
        if paths_of(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        event.acceptProposedAction()
        self.add_paths(paths_of(event.mimeData()))
