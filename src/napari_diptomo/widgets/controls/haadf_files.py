"""The HAADF series beside the spectra: its files, or the images recorded with them."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_diptomo.series import Source
from napari_diptomo.widgets.controls.files_beside import FilesBeside
from napari_diptomo.widgets.controls.form_widgets import source_parameters, tooltip, widget_for
from napari_diptomo.widgets.preferences import LastUsed


class HAADFFiles(FilesBeside):
    """Names files of a HAADF series, with tilts, pixel size and orientation where these do not say them; or takes the spectra's own images."""

    field = 'haadf'
    name = 'HAADF series'
    nothing = 'For more tilts than the spectra: drop a stack or a folder here.'
    question = 'HAADF series: a stack, or one image per tilt'

    def __init__(self, last_used: LastUsed, parent: QWidget | None = None) -> None:
        declared = {parameter.name: parameter for parameter in source_parameters()}
        self.own = QCheckBox('Images recorded with the spectra')
        self.own.setToolTip(tooltip(declared['own_haadf']))
        self.pixel_size = widget_for(declared['haadf_pixel_size'])
        self.size_row = QWidget()
        self.orientation = widget_for(declared['haadf_orientation'])
        self.orientation_row = QWidget()
        self.folder = QPushButton('Folder…')
        super().__init__(last_used, parent)
        self.folder.setAccessibleName('Choose the folder of a HAADF series')
        self.folder.clicked.connect(self._choose_folder)
        self.row.insertWidget(2, self.folder)
        for widget, label, field in (
            (self.size_row, 'Its pixel size', self.pixel_size),
            (self.orientation_row, 'Orientation', self.orientation),
        ):
            row = QHBoxLayout(widget)
            row.setContentsMargins(0, 0, 0, 0)
            row.addWidget(QLabel(label))
            row.addWidget(field.native, 1)
            self.column.addWidget(widget)
        self.column.addWidget(self.own)
        self.own.toggled.connect(self._own_toggled)
        self.pixel_size.changed.connect(self._angles_changed)
        self.orientation.changed.connect(self._angles_changed)
        self._show()

    def values(self) -> dict[str, Any]:
        """The fields of a `Source` as they are set.

        Raises
        ------
        InputError
            What is typed as angles is no list of numbers.
        """
        if self.own.isChecked():
            return {'own_haadf': True}
        if not self._paths:
            return {}
        return {
            'haadf': self._paths,
            'haadf_angles': self.tilts(),
            'haadf_pixel_size': self.pixel_size.value,
            'haadf_orientation': self.orientation.value,
        }

    def set_values(self, source: Source) -> None:
        """Show what a source says; tables of angles are listed among the files."""
        self.clear()
        angles = source.haadf_angles
        table = [angles] if isinstance(angles, str) else []
        self.add_paths([*source.haadf, *table])
        self.angles.value = angles if isinstance(angles, tuple) else ()
        self.pixel_size.value = source.haadf_pixel_size
        self.orientation.value = source.haadf_orientation
        self.own.setChecked(source.own_haadf)

    def clear(self) -> None:
        """Forget all of it."""
        self.own.setChecked(False)
        self.pixel_size.value = None
        self.orientation.value = 'as recorded'
        super().clear()

    def _show(self) -> None:
        files = bool(self._paths)
        for widget, shown in (
            (self.own, not files),
            (self.size_row, files),
            (self.orientation_row, files),
            (self.folder, not files and not self.own.isChecked()),
            (self.add, not self.own.isChecked()),
            (self.note, not self.own.isChecked()),
        ):
            widget.setVisible(shown)
        super()._show()

    def _own_toggled(self) -> None:
        self._show()

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self, 'Folder of a HAADF series', str(self._last_used.value('folder', ''))
        )
        self.add_paths([path] if path else [])
