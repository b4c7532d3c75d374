"""A surface of constant composition through the volume, on the page Judge."""

from __future__ import annotations

from collections.abc import Callable

from napari.components import ViewerModel
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QPushButton, QWidget

from napari_diptomo.series import Volume
from napari_diptomo.widgets.controls.combo_boxes import compact_box
from napari_diptomo.widgets.controls.form_widgets import settle
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.layers.isosurface import Isosurface

_SHOW, _REMOVE = 'Show &surface', 'Remove &surface'


class IsosurfacePart(Part):
    """The element, its percent, and a button that shows the surface.

    Parameters
    ----------
    viewer : ViewerModel
        Where the surface goes.
    volume : callable
        Gives the volume that is looked at, None where there is none.
    """

    def __init__(self, viewer: ViewerModel, volume: Callable[[], Volume | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._volume = volume
        self.surface = Isosurface(viewer)
        self.body.addWidget(heading('Isosurface'))
        self.channel = compact_box('Element', 'The element whose percent is constant on the surface.')
        self.channel.currentTextChanged.connect(self._moved)
        self.level = QDoubleSpinBox()
        self.level.setRange(0.5, 99.5)
        self.level.setValue(50.0)
        self.level.setDecimals(1)
        self.level.setSuffix(' %')
        self.level.setAccessibleName('Percent on the surface')
        self.level.setToolTip(
            '<qt>at.% where the lines of the maps are recorded (calculated k-factors), else percent of the counts.</qt>'
        )
        settle(self.level)
        self.level.valueChanged.connect(self.surface.set_level)
        self.button = QPushButton(_SHOW)
        self.button.clicked.connect(self._toggle)
        self.note = words('')
        row = QHBoxLayout()
        for widget in (self.channel, self.level, self.button):
            row.addWidget(widget)
        row.addStretch(1)
        self.body.addLayout(row)
        self.body.addWidget(self.note)
        self.refresh()

    def refresh(self) -> None:
        """The volume is another one."""
        self.surface.remove()
        self._say()
        volume = self._volume()
        self.channel.blockSignals(True)
        self.channel.clear()
        self.channel.addItems(volume.channels if volume is not None else ())
        self.channel.blockSignals(False)
        # Of one channel everything is a hundred percent.
        self.setVisible(volume is not None and len(volume.channels) > 1)

    def _toggle(self) -> None:
        volume = self._volume()
        if self.surface.layer is not None:
            self.surface.remove()
        elif volume is not None:
            self.surface.show(volume, self.channel.currentText(), self.level.value())
        self._say()

    def _moved(self) -> None:
        volume = self._volume()
        if self.surface.layer is not None and volume is not None and self.channel.currentText():
            self.surface.show(volume, self.channel.currentText(), self.level.value())

    def _say(self) -> None:
        shown = self.surface.layer is not None
        self.button.setText(_REMOVE if shown else _SHOW)
        self.note.setVisible(shown)
        if shown:
            pooled = 'of voxels pooled over their width; a tenth of the counts of the specimen is its end.'
            self.note.setText(f'In {self.surface.unit}, {pooled}')
