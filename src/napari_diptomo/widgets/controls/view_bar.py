"""Ways to look at the volume that is seen: as it lies in space, cut open, as surfaces, in three slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_diptomo.widgets.layers.first_look import look_from_a_corner, volume_layers_seen
from napari_diptomo.widgets.layers.volume_cut import AXES, cut, make_whole, show_densities, show_surfaces

if TYPE_CHECKING:
    from napari_diptomo.widgets.plots.slice_views import SliceViews

_MIDDLE = 50


class ViewBar(QWidget):
    """A button for each view; pressed again it goes back. Out of sight while no volume is seen.

    Parameters
    ----------
    viewer : ViewerModel
        Has the layers.
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._seen: list[Any] = []
        self.slices: SliceViews | None = None
        self.whole = QPushButton('Volume')
        self.whole.setToolTip('<qt>The whole volume as it was first seen, and nothing else.</qt>')
        self.whole.clicked.connect(self.show_whole)
        self.buttons = {
            name: self._toggle(name, tip, slot)
            for name, tip, slot in (
                ('Slices', 'Three linked slices, across z, y and x; a click moves all.', self._slices_toggled),
                ('Cut', 'Cut the volume open; the slider moves the plane.', self._cut_toggled),
                ('Surface', 'Each element as the surface of a density; the slider sets it.', self._surface_toggled),
            )
        }
        self.axis = QComboBox()
        self.axis.addItems(AXES)
        self.axis.setAccessibleName('Axis across which the volume is cut')
        self.axis.setToolTip('<qt>Normal of the cut; z is along the beam.</qt>')
        self.axis.currentTextChanged.connect(self._move_cut)
        self.place = _slider('Position of the cut', 'From the near end of the specimen to its far end.')
        self.place.valueChanged.connect(self._move_cut)
        self.place_note = QLabel('')
        self.level = _slider('Level of the surfaces', 'Per cent of the upper contrast limit of each element.')
        self.level.valueChanged.connect(self._move_level)
        self.level_note = QLabel('')
        self._lay_out()
        # Layers come one by one.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.refresh)
        viewer.layers.events.connect(self._layers_changed)
        self.refresh()

    def refresh(self) -> None:
        """The volume that is seen may be another one: it gets the view that is chosen."""
        seen = volume_layers_seen(self._viewer)
        self.setVisible(bool(seen))
        if seen == self._seen:
            return
        self._seen = seen
        if self.buttons['Cut'].isChecked():
            self._move_cut()
        if self.buttons['Surface'].isChecked():
            self._move_level()
        if not seen:
            self.buttons['Slices'].setChecked(False)

    def show_whole(self) -> None:
        """All views off, the camera where it was first."""
        for button in self.buttons.values():
            button.setChecked(False)
        layers = volume_layers_seen(self._viewer)
        make_whole(layers)
        show_densities(layers)
        self._viewer.dims.ndisplay = 3
        look_from_a_corner(self._viewer, layers)

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._later.stop()
        self._close_slices()
        self._viewer.layers.events.disconnect(self._layers_changed)

    def _layers_changed(self, event: Any = None) -> None:
        # Events of the layers come through their list.
        if event.type in ('inserted', 'removed', 'visible'):
            self._later.start(0)

    def _slices_toggled(self, on: bool) -> None:
        self._close_slices()
        if not on:
            return
        from napari_diptomo.widgets.plots.slice_views import SliceViews

        main = self.window()
        canvas = main.centralWidget() if isinstance(main, QMainWindow) else None
        self.slices = SliceViews(self._viewer, canvas if canvas is not None else self)
        if canvas is None:
            self.slices.setWindowFlag(Qt.WindowType.Window)
        else:
            # A dock would take the height that the pages need; here it is one click from the canvas it covers.
            self.slices.cover(canvas)
        self.slices.show()
        self.slices.raise_()

    def _close_slices(self) -> None:
        slices, self.slices = self.slices, None
        if slices is not None:
            slices.cleanup()
            slices.close()
            slices.deleteLater()

    def _cut_toggled(self, on: bool) -> None:
        self._cut_row.setVisible(on)
        if on:
            self._viewer.dims.ndisplay = 3
            self._move_cut()
        else:
            make_whole(volume_layers_seen(self._viewer))

    def _move_cut(self) -> None:
        if self.buttons['Cut'].isChecked():
            layers = volume_layers_seen(self._viewer)
            place = cut(self._viewer, layers, self.axis.currentText(), self.place.value() / 100)
            self.place_note.setText(f'{place:.3g} nm')

    def _surface_toggled(self, on: bool) -> None:
        self._level_row.setVisible(on)
        if on:
            self._viewer.dims.ndisplay = 3
            self._move_level()
        else:
            show_densities(volume_layers_seen(self._viewer))

    def _move_level(self) -> None:
        if self.buttons['Surface'].isChecked():
            show_surfaces(volume_layers_seen(self._viewer), self.level.value() / 100)
            self.level_note.setText(f'{self.level.value()} %')

    def _toggle(self, text: str, tip: str, slot: Any) -> QPushButton:
        button = QPushButton(text)
        button.setCheckable(True)
        button.setToolTip(f'<qt>{tip} Press again to go back.</qt>')
        button.toggled.connect(slot)
        return button

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(QLabel('View'))
        for button in (self.whole, *self.buttons.values()):
            row.addWidget(button, 1)
        self._cut_row, cut_row = QWidget(), QHBoxLayout()
        self._level_row, level_row = QWidget(), QHBoxLayout()
        for holder, inner, widgets in (
            (self._cut_row, cut_row, (QLabel('Cut across'), self.axis, self.place, self.place_note)),
            (self._level_row, level_row, (QLabel('Level'), self.level, self.level_note)),
        ):
            inner.setContentsMargins(0, 0, 0, 0)
            for widget in widgets:
                inner.addWidget(widget, int(isinstance(widget, QSlider)))
            holder.setLayout(inner)
            holder.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 2, 8, 2)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self._cut_row)
        column.addWidget(self._level_row)


def _slider(name: str, tip: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(2, 98)
    slider.setValue(_MIDDLE)
    slider.setAccessibleName(name)
    slider.setToolTip(f'<qt>{tip}</qt>')
    return slider
