"""The standard that factors are calibrated on: its files, composition, thickness, and the file for the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_diptomo.series import InputError
from napari_diptomo.widgets.controls.parts import words


@dataclass(frozen=True)
class StandardRequest:
    """Answers of the dialog.

    Attributes
    ----------
    paths : tuple of str
        Spectra or saved maps of the standard.
    composition : str
        As typed.
    output : Path
        The table of factors.
    lines : tuple of str
        Line families; empty: as they are chosen for the elements.
    thickness, density, electrons : float, optional
        nm, g/cm^3, per pixel and image.
    """

    paths: tuple[str, ...]
    composition: str
    output: Path
    lines: tuple[str, ...] = ()
    thickness: float | None = None
    density: float | None = None
    electrons: float | None = None


class StandardDialog(QDialog):
    """Asks for a standard; `request` is what was answered.

    Parameters
    ----------
    quantity : str
        What is calibrated, e.g. ``'k-factors'``.
    folder : str
        Where files are looked for.
    """

    def __init__(self, quantity: str, folder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._paths: tuple[str, ...] = ()
        self.setWindowTitle(f'Calibrate {quantity}')
        self.files = QLineEdit()
        self.files.setReadOnly(True)
        self.composition = _line('Ge2Sb2Te5, or Fe 70, Pt 30 wt.%')
        self.lines = _line('as for the maps')
        self.thickness = _line('not known: no correction for absorption')
        self.density = _line('estimated from the elements')
        self.electrons = _line('for zeta-factors and cross sections')
        self.output = _line('factors.csv')
        self.complaint = words('')
        form = QFormLayout(self)
        form.addRow(words('A specimen of known composition, as even as it can be: one image or a tilt series.'))
        for label, line, slot in (
            ('&Files', self.files, self._choose_files),
            ('&Composition', self.composition, None),
            ('&Lines', self.lines, None),
            ('&Thickness, nm', self.thickness, None),
            ('&Density, g/cm³', self.density, None),
            ('&Electrons per pixel', self.electrons, None),
            ('&Save as', self.output, self._choose_output),
        ):
            line.setAccessibleName(label.replace('&', ''))
            name = QLabel(label)
            name.setBuddy(line)
            form.addRow(name, line if slot is None else _with_button(line, slot))
        form.addRow(self.complaint)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)

    def take_files(self, paths: tuple[str, ...]) -> None:
        """Show the files; the table is to lie beside them."""
        self._paths = paths
        self.files.setText(', '.join(Path(path).name for path in paths))
        if paths and not self.output.text():
            self.output.setText(str(Path(paths[0]).parent / 'factors.csv'))

    def request(self) -> StandardRequest:
        """The answers.

        Raises
        ------
        InputError
            Something is missing, or no number.
        """
        if not self._paths:
            raise InputError('Choose the files of the standard.')
        composition, output = self.composition.text().strip(), self.output.text().strip()
        if not composition:
            raise InputError('Write the composition of the standard, e.g. Ge2Sb2Te5.')
        if not output:
            raise InputError('Name the file for the table of factors.')
        names = tuple(self.lines.text().replace(',', ' ').split())
        numbers = (_number(line) for line in (self.thickness, self.density, self.electrons))
        return StandardRequest(self._paths, composition, Path(output), names, *numbers)

    def accept(self) -> None:
        """Close where the answers are complete, else say what is missing."""
        try:
            self.request()
        except InputError as error:
            self.complaint.setText(str(error))
            return
        super().accept()

    def _choose_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, 'Spectra or maps of the standard', self._folder)
        if paths:
            self.take_files(tuple(paths))

    def _choose_output(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, 'Table of factors', self.output.text(), 'Tables (*.csv)')
        if path:
            self.output.setText(path)


def _line(hint: str) -> QLineEdit:
    line = QLineEdit()
    line.setPlaceholderText(hint)
    line.setMinimumWidth(280)
    return line


def _with_button(line: QLineEdit, slot: Callable[[], None]) -> QHBoxLayout:
    button = QPushButton('Choose…')
    button.setAutoDefault(False)
    button.clicked.connect(slot)
    row = QHBoxLayout()
    row.addWidget(line, 1)
    row.addWidget(button)
    return row


def _number(line: QLineEdit) -> float | None:
    text = line.text().strip().replace(',', '.')
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise InputError(f'{line.accessibleName()}: {line.text()} is no positive number; correct it or leave it empty.')
    return value
