"""Composition: from the counts of a volume to atomic or weight percent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_diptomo.series import Finding, InputError, Remedy, Volume
from napari_diptomo.widgets.controls.combo_boxes import compact_box, labelled, refill
from napari_diptomo.widgets.controls.composition_tables import FactorTable, MeanTable
from napari_diptomo.widgets.controls.parts import Part, follow_layout, heading, words
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.standard_dialog import StandardDialog
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.layers.composition_layers import (
    PALETTES,
    CompositionView,
    ShownVolume,
    is_shown_as,
    labels_on,
    shown_volumes,
)
from napari_diptomo.widgets.pages.oxidation_state import OxidationPart, are_oxides
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.tasks.composition import (
    CALIBRATION,
    CalibratedTable,
    Composed,
    asking_factors,
    calibrating,
    composing,
    describe_composition,
)
from napari_diptomo.widgets.tasks.composition_diagram import Quantified
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.question import Question
from napari_diptomo.widgets.tasks.steps import VOLUME_FORMATS, named, saving

if TYPE_CHECKING:
    from napari_diptomo.assess import Composition
    from napari_diptomo.widgets.pages.diagram_part import DiagramPart


class _Kind(NamedTuple):
    """The factors of a method: their field of the step, their name over the table and in a sentence."""

    field: str
    heading: str
    quantity: str


_KINDS = {
    'Cliff-Lorimer': _Kind('k_factors', 'k by mass', 'k-factors'),
    'zeta': _Kind('zeta_factors', 'zeta, kg/m²', 'zeta-factors'),
    'cross section': _Kind('cross_sections', 'barn', 'cross sections'),
}
_CLOSED = 'Reconstruct a volume first, or drop a saved one on napari.'
_NO_REGIONS = 'none'


class CompositionPage(Page):
    """The volume, its factors, the parameters of the step; layers and means of what comes of it.

    Signals
    -------
    start(Job, str)
        Saving and calibrating, which the page's button does not start.
    """

    start = Signal(object, str)
    title = 'Composition'
    action = 'Co&mpute'
    explanation = 'The composition of every voxel with enough counts, in atomic or weight percent.'
    steps = ('Composition', 'OxidationState')

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.parameters = RememberedForm(
            _composition, context.last_used, hide=tuple(kind.field for kind in _KINDS.values())
        )
        self.parameters.changed.connect(self._ask_factors)
        self.result: Volume | None = None
        self._latest: Volume | None = None
        self._table_findings: tuple[Finding, ...] = ()
        self._choices: list[ShownVolume | None] = []
        self._view = CompositionView(context.viewer)
        self._asker = Question(self)
        self._asker.answered.connect(self._show_factors)
        self._asker.failed.connect(self._no_factors)
        self._add_volume_row()
        self.oxidation = OxidationPart(context.viewer, context.last_used)
        self.percent = Part()
        self.body.addWidget(self.oxidation)
        self.body.addWidget(self.percent)
        self._add_factors()
        self.percent.body.addWidget(self.parameters)
        self._add_result()
        self._diagram: DiagramPart | None = None
        self._diagram_state: dict[str, Any] = {}
        self._diagram_place = Part()
        self.body.addWidget(self._diagram_place)
        self.body.addStretch(1)
        self.session.changed.connect(self._list_layers)
        self.session.renewed.connect(self._renewed)
        layers = context.viewer.layers.events
        layers.inserted.connect(self._layers_changed)
        layers.removed.connect(self._layers_changed)
        layers.renamed.connect(self._layer_renamed)
        self._list_layers()

    @property
    def diagram(self) -> DiagramPart:
        """The diagram of the voxels; made when there is a composition first, as it brings all that assesses volumes."""
        if self._diagram is None:
            from napari_diptomo.widgets.pages.diagram_part import DiagramPart

            self._diagram = DiagramPart(self.context.viewer, self._folder)
            self._diagram.start.connect(self.start)
            self._diagram_place.body.addWidget(self._diagram)
            follow_layout(self)
        return self._diagram

    @property
    def form(self) -> StepForm[Composition] | None:
        """The form, None until the page was entered."""
        return self.parameters.form

    def closed(self) -> str:
        return '' if self._choices else _CLOSED

    def obstacle(self) -> str:
        return self.closed() or ('' if self._of_oxides() else self.factors.problem())

    def enter(self) -> None:
        self.parameters.build()
        self._take_selected()
        self._ask_factors()

    @property
    def counts(self) -> Volume | None:
        """The volume that is quantified."""
        index = self.volume.currentIndex()
        if not 0 <= index < len(self._choices):
            return None
        choice = self._choices[index]
        return self.session.volume if choice is None else choice.volume

    def step(self) -> Composition:
        """The step as form and table stand; factors are part of it only where the user typed them."""
        step = self.parameters.step()
        if not self.factors.touched:
            return step
        return type(step)(**{**step.model_dump(), _KINDS[step.method].field: self.factors.values()})

    def job(self) -> tuple[ThreadJob, str]:
        if self.form is None:
            self.enter()
        volume = self.counts
        if volume is None:
            raise InputError(_CLOSED)
        if self._of_oxides():
            return self.oxidation.job(volume), 'Oxidation state'
        step = self.step()
        # Factors belong to these elements, not to the next volume's.
        own = dict.fromkeys((*(kind.field for kind in _KINDS.values()), 'lines'), ())
        self.context.last_used.remember(step.model_copy(update=own))
        name = self.regions.currentText()
        labels = None if name in ('', _NO_REGIONS) else labels_on(volume, self.context.viewer.layers[name])
        return ThreadJob(composing(step, volume, labels)), 'Composition'

    def done(self, composed: Composed | CalibratedTable | Volume) -> None:
        if isinstance(composed, CalibratedTable):
            self._calibrated(composed)
            return
        self.session.composition = composed
        if isinstance(composed, Volume):
            self.oxidation.done(composed)
            self._show_diagram()
            return
        self._view.show(composed.volume, self.palette_box.currentText())
        self._show_note(composed)

    def state(self) -> dict[str, Any]:
        return {
            'form': self.parameters.state(),
            'oxidation': self.oxidation.state(),
            'palette': self.palette_box.currentText(),
            'diagram': self._diagram_state if self._diagram is None else self._diagram.state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.parameters.set_state(state.get('form', {}))
        self.oxidation.set_state(state.get('oxidation', {}))
        self.palette_box.blockSignals(True)
        self.palette_box.setCurrentText(str(state.get('palette', PALETTES[0])))
        self.palette_box.blockSignals(False)
        self._list_layers()
        made = self.session.composition
        if isinstance(made, Composed):
            self._show_note(made)
        elif made is not None and 'composition' not in made.notes:
            self.oxidation.show_note(made)
        self._diagram_state = state.get('diagram', {})
        self._show_diagram()
        if self._diagram is not None:
            self._diagram.set_state(self._diagram_state)

    def show_again(self) -> None:
        """Layers of the composition that a project brought along."""
        made = self.session.composition
        if isinstance(made, Volume):
            if 'composition' in made.notes:
                self._view.show(made, self.palette_box.currentText())
                self._show_note(Composed(made, {}))
            else:
                self.oxidation.done(made)
        self._show_diagram()

    def _renewed(self) -> None:
        """Other data were opened."""
        self.result = self.session.composition = None
        self.result_box.setVisible(False)
        self.oxidation.clear()
        self._show_diagram()

    def _show_note(self, composed: Composed) -> None:
        self.result = composed.volume
        # Of a composition that was opened the means are not known.
        self.means.setVisible(bool(composed.regions))
        if composed.regions:
            self.means.show_regions(composed.regions)
        self.note.setText(describe_composition(composed.volume))
        self.result_box.setVisible(True)
        self._show_diagram()

    def _show_diagram(self) -> None:
        """The voxels of the latest composition or oxidation state."""
        made, first = self.session.composition, self._diagram is None
        if isinstance(made, Composed):
            self.diagram.show_composition(Quantified(made.volume, made.counts, made.step))
        elif made is not None:
            self.diagram.show_composition(Quantified(made))
        elif self._diagram is not None:
            self._diagram.show_composition(None)
        if first and made is not None and self._diagram_state:
            self.diagram.set_state(self._diagram_state)

    def findings(self) -> tuple[Finding, ...]:
        result = self.oxidation.result if self._of_oxides() else self.result
        return (*self._table_findings, *(() if result is None else result.findings))

    def form_of(self, step: str) -> StepForm | None:
        return self.oxidation.form if self._of_oxides() else self.form

    def takes(self, remedy: Remedy) -> bool:
        return (remedy.step == 'OxidationState') is self._of_oxides() and super().takes(remedy)

    def cleanup(self) -> None:
        self._asker.cleanup()
        if self._diagram is not None:
            self._diagram.cleanup()
        layers = self.context.viewer.layers.events
        layers.inserted.disconnect(self._layers_changed)
        layers.removed.disconnect(self._layers_changed)
        layers.renamed.disconnect(self._layer_renamed)

    def _add_volume_row(self) -> None:
        self.volume = compact_box(
            'Volume',
            'The counts that are quantified: the run chosen on the page Reconstruct, or another volume in the viewer.',
        )
        self.volume.activated.connect(self._ask_factors)
        self.regions = compact_box(
            'Regions', 'A labels layer painted on the volume: the mean composition of every label is shown.'
        )
        self.body.addLayout(labelled('V&olume', self.volume))
        self._regions_row = Part()
        self._regions_row.body.addLayout(labelled('Re&gions', self.regions))
        self.body.addWidget(self._regions_row)

    def _add_factors(self) -> None:
        self.percent.body.addWidget(heading('Factors'))
        self.factors = FactorTable()
        self.factors.edited.connect(self._factors_edited)
        self.percent.body.addWidget(self.factors)
        self.factors_note = words('')
        self.percent.body.addWidget(self.factors_note)
        row = QHBoxLayout()
        for text, tip, slot in (
            (
                'From f&ile…',
                'Take the factors of a table (.csv or .json): line family, factor.',
                self._factors_from_file,
            ),
            (
                'From a stan&dard…',
                'Measure factors on a specimen of known composition, save them as a table, and use it.',
                self._factors_from_standard,
            ),
            ('C&alculated', 'Go back to calculated factors.', self._factors_calculated),
        ):
            button = QPushButton(text)
            button.setToolTip(f'<qt>{tip}</qt>')
            button.clicked.connect(slot)
            row.addWidget(button)
        row.addStretch(1)
        self.percent.body.addLayout(row)

    def _add_result(self) -> None:
        self.result_box = self.outcome_widget = Part()
        column = self.result_box.body
        column.addWidget(heading('Mean composition'))
        self.means = MeanTable()
        column.addWidget(self.means)
        self.note = words('')
        column.addWidget(self.note)
        self.palette_box = compact_box(
            'Colours',
            'Colours of the layers: one per element, or the corners of a colour triangle for the first three elements.',
        )
        self.palette_box.addItems(PALETTES)
        self.palette_box.currentTextChanged.connect(self._recolour)
        row = labelled('Colou&rs', self.palette_box)
        self.save_button = QPushButton('Save…')
        self.save_button.setToolTip(
            '<qt>Write the composition as .hspy (with its recipe and errors), OME-Zarr, .mrc, .tif or .vti.</qt>'
        )
        self.save_button.clicked.connect(self._save)
        row.addWidget(self.save_button)
        column.addLayout(row)
        self.percent.body.addWidget(self.result_box)
        self.result_box.setVisible(False)

    def _layers_changed(self, event: Any = None) -> None:
        self._list_layers()
        self.changed.emit()

    def _layer_renamed(self, event: Any = None) -> None:
        # What was chosen has kept its place in the boxes.
        places = [(box, box.currentIndex()) for box in (self.volume, self.regions)]
        self._list_layers()
        for box, place in places:
            box.setCurrentIndex(place)

    def _list_layers(self) -> None:
        """Volumes and labels that are there now, keeping what was chosen."""
        chosen, latest = self.session.runs.chosen, self.session.volume
        shown = [found for found in shown_volumes(self.context.viewer) if not is_shown_as(latest, found)]
        self._choices = ([None] if latest is not None else []) + shown
        names = [f'{chosen.name}: {", ".join(latest.channels)}'] if chosen is not None and latest is not None else []
        refill(self.volume, [*names, *(found.label for found in shown)])
        if names and latest is not self._latest:
            self.volume.setCurrentIndex(0)
        self._latest = latest
        labels = [layer.name for layer in self.context.viewer.layers if isinstance(layer, Labels)]
        refill(self.regions, [_NO_REGIONS, *labels])

    def _take_selected(self) -> None:
        selected = self.context.viewer.layers.selection
        for index, choice in enumerate(self._choices):
            if choice is not None and any(layer in selected for layer in choice.layers):
                self.volume.setCurrentIndex(index)

    def _ask_factors(self) -> None:
        volume = self.counts
        self._show_part()
        if volume is None or self.form is None or self._of_oxides() or self.factors.problem():
            return
        try:
            step = self.step()
        except InputError as error:
            self._no_factors(str(error))
            return
        self._asker.ask(asking_factors(step, volume))

    def _of_oxides(self) -> bool:
        """Whether the volume has an oxidation state and no composition."""
        volume = self.counts
        return volume is not None and are_oxides(volume.channels)

    def _show_part(self) -> None:
        oxides = self._of_oxides()
        self.oxidation.set_wanted(oxides)
        for part in (self.percent, self._regions_row):
            part.setVisible(not oxides)
        self.changed.emit()

    def _show_factors(self, factors: Any) -> None:
        volume = self.counts
        if volume is None or len(volume.channels) != len(factors.values):
            return
        # The tables of lines are there by now; to open the dock does not take them.
        from napari_diptomo.spectra.edx.lines import spoken_name

        lines = [spoken_name(name) for name in factors.names]
        if self.factors.touched:
            self.factors.show_lines(self._factor_name(), lines)
            return
        self.factors.show_factors(self._factor_name(), volume.channels, lines, factors.named)
        origin = {'table': 'From the table', 'given': 'As given'}.get(factors.origin, 'Calculated')
        error = f', good to {100 * factors.errors.max():.0f} %' if factors.errors.any() else ''
        self.factors_note.setText(f'{origin}{error}. Double-click one to give your own.')
        self.changed.emit()

    def _no_factors(self, why: str) -> None:
        volume = self.counts
        if volume is not None and not self.factors.touched:
            self.factors.show_factors(self._factor_name(), volume.channels, (), ())
        self.factors_note.setText(why)
        self.changed.emit()

    def _factor_name(self) -> str:
        return _KINDS[self._method()].heading

    def _method(self) -> Any:
        return 'Cliff-Lorimer' if self.form is None else self.form.fields['method'].value

    def _factors_edited(self) -> None:
        self.factors_note.setText('Your own.')
        self.changed.emit()

    def _factors_from_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, 'Table of factors', self._folder(), 'Tables (*.csv *.txt *.json);;All files (*)'
        )
        if path:
            self._use_table(path)

    def _factors_from_standard(self) -> None:
        dialog = StandardDialog(_KINDS[self._method()].quantity, self._folder(), self)
        if dialog.exec():
            self.start.emit(ThreadJob(calibrating(dialog.request(), self._method())), CALIBRATION)

    def _calibrated(self, table: CalibratedTable) -> None:
        self._table_findings = table.factors.findings
        self._use_table(str(table.path))

    def _factors_calculated(self) -> None:
        self._use_table('')

    def _use_table(self, path: str) -> None:
        if self.form is None:
            self.enter()
        self.factors.touched = False
        self.parameters.build().fields['factor_table'].value = path
        self._ask_factors()

    def _recolour(self, palette: str) -> None:
        if self.result is not None:
            self._view.recolour(self.result.channels, palette)

    def _save(self) -> None:
        path, chosen = QFileDialog.getSaveFileName(
            self,
            'Save composition',
            str(Path(self._folder()) / 'composition.hspy'),
            VOLUME_FORMATS,
        )
        if path and self.result is not None:
            self.start.emit(ThreadJob(saving(self.result, named(path, chosen))), 'Save')

    def _folder(self) -> str:
        return str(self.context.last_used.value('folder', ''))


def _composition() -> type[Composition]:
    from napari_diptomo.assess import Composition

    return Composition
