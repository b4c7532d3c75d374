"""Judge: a volume against its maps, its resolution by halves, a profile, its phases; report and movie of it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget

from napari_diptomo.series import DiptomoError, Finding, InputError, Volume
from napari_diptomo.widgets.controls.combo_boxes import compact_box, labelled
from napari_diptomo.widgets.controls.form_widgets import settle
from napari_diptomo.widgets.controls.judged_tables import JudgedTable, PhaseTable
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.layers.judged_layers import JudgedLayers
from napari_diptomo.widgets.notifications import say, say_error
from napari_diptomo.widgets.pages.compare_part import ComparePart
from napari_diptomo.widgets.pages.isosurface_part import IsosurfacePart
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.pages.profile_part import ProfilePart
from napari_diptomo.widgets.plots.plot_place import PlotPlace
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.judging import (
    HALVES,
    JUDGE,
    MAPS,
    MOVIE,
    PHASES,
    REPORT,
    Divided,
    Judged,
    MapsOfVolume,
    describe_halves,
    describe_prediction,
    dividing,
    filming,
    judging,
    loading_maps,
    maps_of_chosen,
    reporting,
)
from napari_diptomo.widgets.tasks.steps import named

if TYPE_CHECKING:
    from napari_diptomo.widgets.plots.direction_plot import DirectionPlot
    from napari_diptomo.widgets.plots.misfit_plot import MisfitPlot
    from napari_diptomo.widgets.plots.shell_correlation_plot import ShellCorrelationPlot

_MOST_PHASES = 20


class JudgePage(Page):
    """The volume of the chosen run, judged.

    Results belong to one volume: while another is chosen they are not shown,
    when it is discarded they are gone.

    Signals
    -------
    start(Job, str)
        Finding phases, which the page's button does not start.
    """

    start = Signal(object, str)
    title = 'Judge'
    action = 'Jud&ge'
    explanation = 'How far the volume can be trusted: its projections against the maps, and two halves of the counts.'

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.judged: Judged | None = None
        self.divided: Divided | None = None
        self._seen: Volume | None = None
        self._given: MapsOfVolume | None = None
        self._layers = JudgedLayers(context.viewer)
        self.halves = compact_box(
            'Resolution by halves',
            'Two volumes are reconstructed one after the other, each of one half of the counts: by SIRT in a short time, or as '
            'the volume was, which takes twice as long as it did.',
        )
        self.halves.addItems(HALVES)
        self.body.addLayout(labelled('Resolution by halv&es', self.halves))
        self.predict = QCheckBox('Predict left-out tilts')
        self.predict.setChecked(True)
        self.predict.setToolTip(
            '<qt>A third of the tilts at a time is left out, a volume is reconstructed from the others by SIRT, and compared with '
            'the images that it has not seen.</qt>'
        )
        self.body.addWidget(self.predict)
        self._add_maps()
        self._add_result()
        self.profile = ProfilePart(context.viewer, self._volume, self._save)
        self.body.addWidget(self.profile)
        self._add_phases()
        self.isosurface = IsosurfacePart(context.viewer, self._volume)
        self.compare = ComparePart(self.session)
        self.body.addWidget(self.isosurface)
        self.body.addWidget(self.compare)
        self._add_output()
        self.body.addStretch(1)
        self.session.changed.connect(self._session_changed)
        self._session_changed()

    @property
    def misfit(self) -> MisfitPlot:
        """Of every tilt that was measured. As the plots below, made when there is a result first."""
        return self._misfit.plot

    @property
    def prediction(self) -> MisfitPlot:
        """Of every tilt as the others predict it."""
        return self._prediction.plot

    @property
    def correlation(self) -> ShellCorrelationPlot:
        """Of two halves of the counts."""
        return self._correlation.plot

    @property
    def directions(self) -> DirectionPlot:
        """The same by direction."""
        return self._directions.plot

    def closed(self) -> str:
        chosen = self.session.runs.chosen
        if chosen is None or chosen.volume is None:
            return 'Reconstruct a volume first, or choose a finished run.'
        return ''

    def obstacle(self) -> str:
        chosen = self.session.runs.chosen
        if self.closed() or chosen is None:
            return self.closed()
        if self._maps() is None:
            return f'The maps of {chosen.name} are not in this session; choose their file above, or open them.'
        return ''

    def job(self) -> tuple[ThreadJob, str]:
        found = self._maps()
        if found is None:
            raise InputError(self.obstacle())
        return ThreadJob(
            judging(found.volume, found.maps, HALVES[self.halves.currentText()], self.predict.isChecked())
        ), JUDGE

    def done(self, result: Judged | Divided | MapsOfVolume) -> None:
        if isinstance(result, MapsOfVolume):
            self._given = result
            self.outcome_widget = None
        elif isinstance(result, Divided):
            self.divided = result
            self.outcome_widget = self.phases_box
            if result.volume is self._volume():
                self._layers.show_phases(result)
        else:
            self.judged = result
            self.outcome_widget = self.result_box
            self._layers.remove_residuals()
        self._show_results()

    def findings(self) -> tuple[Finding, ...]:
        found: tuple[Finding, ...] = ()
        if self.judged is not None and self.judged.volume is self._volume():
            found += self.judged.consistency.findings
            if not isinstance(self.judged.prediction, str):
                found += self.judged.prediction.findings
        if self.divided is not None and self.divided.volume is self._volume():
            found += self.divided.phases.findings
        return found

    def state(self) -> dict[str, Any]:
        return {'halves': self.halves.currentText(), 'predict': self.predict.isChecked()}

    def set_state(self, state: dict[str, Any]) -> None:
        self.halves.setCurrentText(str(state.get('halves', next(iter(HALVES)))))
        self.predict.setChecked(bool(state.get('predict', True)))

    def cleanup(self) -> None:
        self.profile.cleanup()
        self.compare.end()
        for place in self._places:
            place.cleanup()

    def _volume(self) -> Volume | None:
        return self.session.volume

    def _maps(self) -> MapsOfVolume | None:
        """Those that were chosen for this volume, else those of the session."""
        if self._given is not None and self._given.volume is self._volume():
            return self._given
        return maps_of_chosen(self.session)

    def _add_maps(self) -> None:
        """A file of maps for a volume that the session knows none of."""
        self.maps_box = Part()
        self.maps_note = words('')
        self.choose_maps = QPushButton('Choose &maps…')
        self.choose_maps.setToolTip('<qt>The saved maps (.hspy) that this volume was made from.</qt>')
        self.choose_maps.clicked.connect(self._choose_maps)
        row = QHBoxLayout()
        row.addWidget(self.choose_maps)
        row.addStretch(1)
        self.maps_box.body.addWidget(self.maps_note)
        self.maps_box.body.addLayout(row)
        self.body.addWidget(self.maps_box)

    def _add_output(self) -> None:
        self.body.addWidget(heading('Report and movie'))
        row = QHBoxLayout()
        for text, tip, slot in (
            (
                'Write &report…',
                (
                    'Recipe, findings, maps, sinograms, slices, resolution, residuals and phases on one page (.html) and as '
                    '.pdf, every figure as .svg with its data as .csv in a folder beside them.'
                ),
                self._write_report,
            ),
            ('Write m&ovie…', 'The volume turns once about its tilt axis, .mp4 or .gif.', self._write_movie),
        ):
            button = QPushButton(text)
            button.setToolTip(f'<qt>{tip}</qt>')
            button.clicked.connect(slot)
            row.addWidget(button)
        row.addStretch(1)
        self.body.addLayout(row)

    def _add_result(self) -> None:
        self.result_box = self.outcome_widget = Part()
        column = self.result_box.body
        self.table = JudgedTable()
        self._misfit, self._prediction = PlotPlace(_misfit_plot), PlotPlace(_prediction_plot)
        self.prediction_note = words('')
        self._correlation, self._directions = PlotPlace(_correlation_plot), PlotPlace(_direction_plot)
        self._places = (self._misfit, self._prediction, self._correlation, self._directions)
        self.note = words('')
        for widget in (
            heading('Projections against maps'),
            self.table,
            self._misfit,
            self._prediction,
            self.prediction_note,
            self._correlation,
            self._directions,
            self.note,
        ):
            column.addWidget(widget)
        row = QHBoxLayout()
        for text, tip, slot in (
            (
                'Residual &images',
                'Measured less expected at every tilt, in standard deviations of the noise, one layer per element.',
                self._show_residuals,
            ),
            ('Save &tables…', 'Misfit of every tilt and the curves of the halves, as .csv.', self._save_tables),
        ):
            button = QPushButton(text)
            button.setToolTip(f'<qt>{tip}</qt>')
            button.clicked.connect(slot)
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        self.body.addWidget(self.result_box)

    def _add_phases(self) -> None:
        self.phases_box = Part()
        column = self.phases_box.body
        column.addWidget(heading('Phases'))
        self.count = QSpinBox()
        self.count.setRange(0, _MOST_PHASES)
        self.count.setSpecialValueText('auto')
        self.count.setAccessibleName('Number of phases')
        self.count.setToolTip('<qt>How many clusters of alike fractions; auto: as many as the data show.</qt>')
        settle(self.count)
        label = QLabel('&Number')
        label.setBuddy(self.count)
        self.find_phases = QPushButton('Find ph&ases')
        self.find_phases.setToolTip('<qt>Divide the specimen, show the phases as labels, and measure them.</qt>')
        self.find_phases.clicked.connect(self._find_phases)
        self.save_phases = QPushButton('Save regions…')
        self.save_phases.setToolTip('<qt>Volume, surface, thickness, neighbours of every phase, as .csv.</qt>')
        self.save_phases.clicked.connect(self._save_phases)
        row = QHBoxLayout()
        for widget in (label, self.count, self.find_phases, self.save_phases):
            row.addWidget(widget)
        row.addStretch(1)
        column.addLayout(row)
        self.phase_table = PhaseTable()
        column.addWidget(self.phase_table)
        self.body.addWidget(self.phases_box)

    def _show_maps(self) -> None:
        """Say where the maps come from, where that is in doubt."""
        found = self._maps()
        self.maps_box.setVisible(self._volume() is not None and (found is None or bool(found.doubt)))
        if found is None:
            self.maps_note.setText(
                'The maps of this volume are not in the session. Residuals and resolution need them; profile, phases, '
                'report and movie do not.'
            )
        else:
            self.maps_note.setText(found.doubt)

    def _session_changed(self) -> None:
        volumes = [run.volume for run in self.session.runs]
        if self.judged is not None and not any(self.judged.volume is volume for volume in volumes):
            self.judged = None
        if self.divided is not None and not any(self.divided.volume is volume for volume in volumes):
            self.divided = None
        self._show_maps()
        self.compare.refresh()
        if self._volume() is not self._seen:
            self._seen = self._volume()
            self._layers.remove_residuals()
            self._layers.hide_phases()
            self.profile.refresh()
            self.isosurface.refresh()
            self._show_results()

    def _show_results(self) -> None:
        """Those of the volume that is chosen."""
        self._show_maps()
        volume = self._volume()
        judged = self.judged if self.judged is not None and self.judged.volume is volume else None
        divided = self.divided if self.divided is not None and self.divided.volume is volume else None
        self.result_box.setVisible(judged is not None)
        if judged is not None:
            self.table.show_judged(judged)
            self.misfit.show_misfit(judged.consistency)
            self._show_prediction(judged)
            self._correlation.setVisible(judged.resolution is not None)
            self._directions.setVisible(judged.resolution is not None)
            self.note.setVisible(judged.resolution is not None)
            if judged.resolution is not None:
                self.correlation.show_curves(judged.resolution)
                self.directions.show_directions(judged.resolution)
                self.note.setText(describe_halves(judged.resolution))
        self.phase_table.setVisible(divided is not None)
        self.save_phases.setVisible(divided is not None)
        if divided is not None:
            self.phase_table.show_phases(divided)
        self.changed.emit()

    def _show_prediction(self, judged: Judged) -> None:
        prediction = judged.prediction
        text = prediction if isinstance(prediction, str) else describe_prediction(prediction)
        self.prediction_note.setText(text)
        self.prediction_note.setVisible(bool(text))
        self._prediction.setVisible(not isinstance(prediction, str))
        if not isinstance(prediction, str):
            self.prediction.show_misfit(prediction)

    def _find_phases(self) -> None:
        volume = self._volume()
        if volume is not None:
            self.start.emit(ThreadJob(dividing(volume, self.count.value())), PHASES)

    def _choose_maps(self) -> None:
        volume = self._volume()
        path, _ = QFileDialog.getOpenFileName(self, 'Maps of the volume', self._in_folder(''), 'Maps (*.hspy)')
        if path and volume is not None:
            self.start.emit(ThreadJob(loading_maps(volume, path)), MAPS)

    def _write_report(self) -> None:
        volume = self._volume()
        formats = 'Page, with PDF and figures beside it (*.html);;PDF, with page and figures beside it (*.pdf)'
        path, chosen = QFileDialog.getSaveFileName(self, 'Write report', self._in_folder('report.html'), formats)
        if not path or volume is None:
            return
        found = self._maps()
        maps = found.maps if found is not None else 'The maps of the volume were not at hand.'
        judged = self.judged if self.judged is not None and self.judged.volume is volume else None
        divided = self.divided if self.divided is not None and self.divided.volume is volume else None
        halves = HALVES[self.halves.currentText()]
        self.start.emit(ThreadJob(reporting(volume, maps, named(path, chosen), halves, judged, divided)), REPORT)

    def _write_movie(self) -> None:
        volume = self._volume()
        formats = ['MP4 (*.mp4)', 'GIF (*.gif)']
        if find_spec('imageio_ffmpeg') is None:
            formats.reverse()
        name = self._in_folder('turning' + named('', formats[0]))
        path, chosen = QFileDialog.getSaveFileName(self, 'Write movie', name, ';;'.join(formats))
        if path and volume is not None:
            self.start.emit(ThreadJob(filming(volume, named(path, chosen))), MOVIE)

    def _in_folder(self, name: str) -> str:
        return str(Path(str(self.context.last_used.value('folder', ''))) / name)

    def _show_residuals(self) -> None:
        if self.judged is not None:
            self._layers.show_residuals(self.judged)

    def _save_tables(self) -> None:
        judged = self.judged
        if judged is None:
            return
        more: list[tuple[str, Any]] = [
            ('fsc.csv', judged.resolution),
            ('left_out_tilts.csv', judged.prediction or None),
        ]
        if not self._save('misfit.csv', judged.consistency.write_csv):
            return
        for name, found in more:
            if found is not None and not isinstance(found, str) and not self._save(name, found.write_csv):
                return

    def _save_phases(self) -> None:
        from napari_diptomo.assess import write_regions

        divided = self.divided
        if divided is not None:
            self._save(
                'phases.csv', lambda path: write_regions(divided.regions, divided.phases.channels, path, divided.phases)
            )

    def _save(self, name: str, write: Callable[[str], object]) -> bool:
        """Ask for a place and write a table there; returns whether it is written."""
        path, _ = QFileDialog.getSaveFileName(self, 'Save table', self._in_folder(name), 'Table (*.csv)')
        if not path:
            return False
        try:
            write(path)
        except DiptomoError as error:
            say_error(str(error))
        except OSError as error:
            say_error(f'The table cannot be written to {path}: {error.strerror}; choose another place.')
        else:
            say(f'Table written: {Path(path).name}.')
            return True
        return False


def _misfit_plot() -> MisfitPlot:
    from napari_diptomo.widgets.plots.misfit_plot import MisfitPlot

    plot = MisfitPlot()
    plot.setToolTip('<qt>Dashed: 1, what the true specimen leaves. A tilt above the others is doubted.</qt>')
    return plot


def _prediction_plot() -> MisfitPlot:
    from napari_diptomo.widgets.plots.misfit_plot import MisfitPlot

    plot = MisfitPlot('left out: misfit / noise')
    plot.setToolTip(
        '<qt>Every tilt as a volume of other tilts predicts it. Dashed: 1, the noise of the image alone. The outermost tilts '
        'are extrapolated.</qt>'
    )
    return plot


def _correlation_plot() -> ShellCorrelationPlot:
    from napari_diptomo.widgets.plots.shell_correlation_plot import ShellCorrelationPlot

    return ShellCorrelationPlot()


def _direction_plot() -> DirectionPlot:
    from napari_diptomo.widgets.plots.direction_plot import DirectionPlot

    plot = DirectionPlot()
    plot.setToolTip(
        '<qt>The correlation of the halves by direction: x to the right, z (along the beam) up, fine detail at the rim, '
        'bright where they agree. Dashed: the outermost tilts; dimmed: the missing wedge, which no tilt measured.</qt>'
    )
    return plot
