"""The profile of all channels along a line, on the page Judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_diptomo.series import InputError, Volume
from napari_diptomo.widgets.controls.form_widgets import settle
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.layers.profile_line import ProfileLine
from napari_diptomo.widgets.plots.plot_place import PlotPlace
from napari_diptomo.widgets.tasks.judging import profiling
from napari_diptomo.widgets.tasks.question import Question

if TYPE_CHECKING:
    from napari_diptomo.assess import Profile
    from napari_diptomo.widgets.plots.profile_plot import ProfilePlot

_HINT = 'Draw a line, then drag its ends; a selected layer of shapes with a line is taken as it is.'
_WIDEST = 10_000.0


class ProfilePart(Part):
    """A line to draw, how wide it is, what lies along it, as a table.

    Parameters
    ----------
    viewer : ViewerModel
        Where the line goes.
    volume : callable
        Gives the volume that is looked at, None where there is none.
    save : callable
        Asks where to, and calls what it is given with the path: name of the file, writer.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        volume: Callable[[], Volume | None],
        save: Callable[[str, Callable[[str], object]], object],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._volume, self._ask_to_save = volume, save
        self.profile: Profile | None = None
        self.line = ProfileLine(viewer, self)
        self.line.changed.connect(self.refresh)
        self._asker = Question(self)
        self._asker.answered.connect(self._show)
        self._asker.failed.connect(self._fail)
        self.body.addWidget(heading('Profile'))
        self._add_controls()
        self._place = PlotPlace(_profile_plot)
        self.note = words(_HINT)
        self.body.addWidget(self._place)
        self.body.addWidget(self.note)
        self._place.setVisible(False)

    @property
    def plot(self) -> ProfilePlot:
        """Made when there is a profile first."""
        return self._place.plot

    def refresh(self) -> None:
        """The line, its width or the volume is another one."""
        volume = self._volume()
        if volume is None or self.line.layer is None:
            self._asker.forget()
            self._clear(_HINT)
            return
        try:
            ends = self.line.ends(volume)
        except InputError as error:
            self._asker.forget()
            self._clear(str(error))
            return
        assert ends is not None
        self._asker.ask(profiling(volume, *ends, self.width_box.value()))

    def cleanup(self) -> None:
        """Let go of the viewer."""
        self._asker.cleanup()
        self.line.cleanup()
        self._place.cleanup()

    def _add_controls(self) -> None:
        self.draw = QPushButton('&Draw a line')
        self.draw.setToolTip(
            '<qt>Put a line on the slice that is seen, or take the line of the selected layer of shapes. Drag its ends.</qt>'
        )
        self.draw.clicked.connect(self._take_line)
        self.width_box = QDoubleSpinBox()
        self.width_box.setRange(0.0, _WIDEST)
        self.width_box.setDecimals(1)
        self.width_box.setSuffix(' nm')
        self.width_box.setToolTip(
            '<qt>Side of the square across the line over which is averaged; 0: the line itself.</qt>'
        )
        self.width_box.setAccessibleName('Width')
        settle(self.width_box)
        self.width_box.valueChanged.connect(self.refresh)
        label = QLabel('Width')
        label.setBuddy(self.width_box)
        self.save = QPushButton('Save profile…')
        self.save.setToolTip('<qt>Distance, then value and standard error of every element, as .csv.</qt>')
        self.save.clicked.connect(self._save)
        self.save.setVisible(False)
        row = QHBoxLayout()
        for widget in (self.draw, label, self.width_box, self.save):
            row.addWidget(widget)
        row.addStretch(1)
        self.body.addLayout(row)

    def _take_line(self) -> None:
        volume = self._volume()
        if volume is not None:
            self.line.take(volume)

    def _show(self, profile: Profile) -> None:
        self.profile = profile
        self.plot.show_profile(profile)
        self._place.setVisible(True)
        self.save.setVisible(True)
        length = profile.distance[-1]
        errors = '' if self.plot.bands else ' A line of no width through a volume without a spread has no error bars.'
        self.note.setText(f'{length:.3g} nm, mean over {profile.rays} line{"s" * (profile.rays > 1)}.{errors}')

    def _fail(self, why: str) -> None:
        self._clear(why)

    def _clear(self, why: str) -> None:
        self.profile = None
        if self._place.made is not None:
            self._place.made.clear_curves()
        self._place.setVisible(False)
        self.save.setVisible(False)
        self.note.setText(why)

    def _save(self) -> None:
        if self.profile is not None:
            self._ask_to_save('profile.csv', self.profile.write_csv)


def _profile_plot() -> ProfilePlot:
    from napari_diptomo.widgets.plots.profile_plot import ProfilePlot

    plot = ProfilePlot()
    plot.setToolTip('<qt>Bands: standard errors, from the spread of the volume or the scatter over the width.</qt>')
    return plot
