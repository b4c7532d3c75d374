"""The Maps page of an EELS series: oxidation states from M2,3, or edges, white lines and references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from napari_diptomo.series import DiptomoError, InputError, MapSeries, SpectralTiltSeries, Step
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.layers.error_layers import deviation_layers
from napari_diptomo.widgets.layers.oxidation_layers import fraction_layers
from napari_diptomo.widgets.pages.eels_edges import STEPS, EdgesPart
from napari_diptomo.widgets.pages.eels_sentences import describe_oxides, describe_spread
from napari_diptomo.widgets.pages.eels_spectrum import EELSView
from napari_diptomo.widgets.pages.eels_standards import StandardsBox
from napari_diptomo.widgets.pages.oxidation_state import READING
from napari_diptomo.widgets.pages.page import Context
from napari_diptomo.widgets.tasks.eels_spectra import MadeOxides, asking_window, is_core_loss_alone, mapping_oxides
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.question import Question

if TYPE_CHECKING:
    from napari_diptomo.spectra import EELSOxidationMaps
    from napari_diptomo.spectra.eels.explained_losses import ExplainedEELS

_EXPLANATION = (
    'The low-loss M2,3 edge is fitted in every pixel with the spectra of the oxides and a background, all together. Drag the '
    'ends of the shaded window to choose what is fitted.'
)


#: What is mapped where the low loss is there.
OXIDES = 'Oxidation states (M2,3)'


class EELSMaps(Part):
    """The part of the Maps page that is shown while the series that is open is of energy losses.

    A core loss alone has no M2,3 edge: it offers edges, white lines and reference spectra.

    Signals
    -------
    changed
        What `obstacle` says may have changed.
    """

    changed = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.context = context
        self.session = context.session
        self.parameters = RememberedForm(_eels_maps, context.last_used)
        self.parameters.changed.connect(self._form_changed)
        #: Result of the last fit of the spectra.
        self.found: ExplainedEELS | None = None
        self._series: SpectralTiltSeries | None = None
        self._looked_at: SpectralTiltSeries | None = None
        self._problem = ''
        self.view = EELSView(context.viewer)
        self.view.explained.connect(self._explained)
        self.view.window_moved.connect(self._window_dragged)
        self._window = Question(self)
        self._window.answered.connect(self._show_window)
        self._window.failed.connect(self._cannot)
        self.standards = StandardsBox(context)
        self.standards.chosen.connect(self._standards_chosen)
        self.spread = words('')
        self.edges = EdgesPart(context)
        self.edges.changed.connect(self.changed)
        self._add_kinds()
        self.oxides = Part()
        self.oxides.body.addWidget(words(_EXPLANATION))
        self.oxides.body.addWidget(heading('Spectrum'))
        self.oxides.body.addWidget(self.view)
        self.oxides.body.addWidget(self.spread)
        self.oxides.body.addWidget(self.parameters)
        self.oxides.body.addWidget(self.standards)
        self.body.addWidget(self.oxides)
        self.body.addWidget(self.edges)
        self._add_outcome()
        self.session.changed.connect(self._session_changed)
        self.setVisible(False)

    @property
    def form(self) -> StepForm[EELSOxidationMaps] | None:
        """The form of the oxidation states, None until it is needed."""
        return self.parameters.form

    @property
    def maps_oxides(self) -> bool:
        """Whether oxidation states are mapped, and not edges."""
        return self.kind.currentText() == OXIDES

    @property
    def step_name(self) -> str:
        """The step that the page's button runs, as in a recipe."""
        return 'EELSOxidationMaps' if self.maps_oxides else STEPS[self.kind.currentText()]

    def form_of(self, step: str) -> StepForm[Any] | None:
        """The form of a step where that is in front, else None."""
        if step != self.step_name:
            return None
        return self.form if self.maps_oxides else self.edges.form

    @property
    def wanted(self) -> bool:
        """Whether the series that is open is of energy losses."""
        series = self.session.series
        return series is not None and series.energy_unit == 'eV'

    @property
    def busy(self) -> bool:
        """Whether the page does not yet show what is asked for."""
        if not self.maps_oxides:
            return self.edges.busy
        return self.view.busy or self._window.busy or self.standards.busy

    def obstacle(self) -> str:
        """Why no maps can be made, one sentence; empty when they can."""
        return self._problem if self.maps_oxides else self.edges.obstacle()

    def enter(self) -> None:
        """The page comes to the front."""
        if not self.maps_oxides:
            self.edges.enter()
            return
        if self.form is not None or not self.wanted:
            return
        self.parameters.build()
        self._form_changed()

    def job(self) -> tuple[ThreadJob, str]:
        """The work of the page's button.

        Raises
        ------
        InputError
            A parameter that does not do.
        """
        self.enter()
        if not self.maps_oxides:
            return self.edges.job()
        if self.form is None or self._series is None:
            raise InputError('There are no energy losses; open an EELS tilt series.')
        step = self.form.value()
        self.context.last_used.remember(step)
        return ThreadJob(mapping_oxides(step, self._series)), 'Maps'

    def done(self, made: MadeOxides | MapSeries) -> None:
        """Show maps, and below them, hidden, states and errors."""
        if isinstance(made, MapSeries):
            self.edges.done(made)
            return
        maps, states = made.maps, made.states
        self.session.set_result(maps)
        self.context.maps_view.show_maps(maps)
        hidden = deviation_layers(made.oxides) + (fraction_layers(made.oxides, states) if states is not None else [])
        self.context.maps_view.add_below(hidden)
        # What was added last would be selected, and is out of sight.
        self.context.viewer.layers.selection.active = self.context.viewer.layers[-1]
        self.made.setText(describe_oxides(made))
        self.reading.setVisible(states is not None)

    def take_step(self, step: Step) -> None:
        """Set the form to a step, or the one that comes with the next series, and show it."""
        name = type(step).__name__
        if name == 'EELSOxidationMaps':
            self.parameters.take(cast('EELSOxidationMaps', step))
        else:
            self.edges.take_step(step)
        self._wanted_kind = next((kind for kind, own in STEPS.items() if own == name), OXIDES)
        self._choose(self._wanted_kind)

    def state(self) -> dict[str, Any]:
        """Values of the controls and the text on the maps, JSON-ready."""
        return {
            'form': self.parameters.state(),
            'made': self.made.text(),
            'reading': not self.reading.isHidden(),
            'kind': self.kind.currentText(),
            'edges': self.edges.state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Set the controls as `state` said."""
        self._session_changed()
        self._wanted_kind = str(state.get('kind', ''))
        self._choose(self._wanted_kind)
        self.edges.set_state(state.get('edges', {}))
        self.parameters.set_state(state.get('form', {}))
        if self._series is not None and self.session.maps is not None:
            self.made.setText(str(state.get('made', '')))
            self.reading.setVisible(bool(state.get('reading')))

    def cleanup(self) -> None:
        """Let go of the viewer and of what is asked."""
        self._window.cleanup()
        self.edges.cleanup()
        self.standards.cleanup()
        self.view.cleanup()

    @property
    def outcome_widget(self) -> Part:
        """Shows the result, to be scrolled to."""
        return self._oxides_outcome if self.maps_oxides else self.edges.outcome_widget

    def _add_kinds(self) -> None:
        self._wanted_kind = ''
        self.kind = QComboBox()
        self.kind.setAccessibleName('What is mapped')
        self.kind.setToolTip(
            '<qt>Oxidation states need the low loss with an M2,3 edge. The others need nothing but the edge itself, in a core loss '
            'alone too.</qt>'
        )
        self.kind.addItems((OXIDES, *STEPS))
        self.kind.currentTextChanged.connect(self._kind_changed)
        row = QHBoxLayout()
        row.addWidget(QLabel('Maps of'))
        row.addWidget(self.kind, 1)
        self.body.addLayout(row)

    def _choose(self, kind: str) -> None:
        if self.kind.findText(kind) >= 0:
            self.kind.setCurrentText(kind)

    def _kind_changed(self, kind: str = '') -> None:
        oxides = self.maps_oxides
        self.oxides.setVisible(oxides)
        self._oxides_outcome.setVisible(oxides)
        self.edges.setVisible(not oxides)
        if not oxides:
            self.edges.set_series(self._series, self.session.spectrum if self._series is not None else None)
            self.edges.set_kind(self.kind.currentText())
        elif self._series is not None:
            self.edges.set_series(None, None)
            self.enter()
            self._look()
        self.changed.emit()

    def _offer_kinds(self, series: SpectralTiltSeries | None) -> None:
        """Of a core loss alone no oxidation states by M2,3."""
        alone = series is not None and is_core_loss_alone(series)
        offered = (*(() if alone else (OXIDES,)), *STEPS)
        if offered != tuple(self.kind.itemText(i) for i in range(self.kind.count())):
            self.kind.blockSignals(True)
            self.kind.clear()
            self.kind.addItems(offered)
            self.kind.blockSignals(False)
        self._choose(self._wanted_kind)

    def _look(self) -> None:
        """Show the spectra that oxidation states are mapped in."""
        series = self._series if self.maps_oxides else None
        if series is self._looked_at:
            return
        self._looked_at = series
        self.standards.set_series(series)
        self.view.set_series(series, self.session.spectrum if series is not None else None)
        if series is not None and self.form is not None:
            self._form_changed()

    def _add_outcome(self) -> None:
        self._oxides_outcome = Part()
        self.made = words('')
        self.reading = words(f'<small>{READING}</small>')
        for part in (self.made, self.reading):
            self._oxides_outcome.body.addWidget(part)
        self.body.addWidget(self._oxides_outcome)
        self.reading.setVisible(False)
        self._kind_changed()

    def _session_changed(self) -> None:
        series = self.session.series if self.wanted else None
        if series is self._series:
            return
        self._series, self.found = series, None
        self._problem = ''
        self.made.setText('')
        self.spread.setText('')
        self.reading.setVisible(False)
        self._offer_kinds(series)
        self._kind_changed()
        self._look()

    def _form_changed(self) -> None:
        """Fit anew as the form says."""
        if self.form is None or self._series is None or not self.maps_oxides:
            return
        self._problem = ''
        try:
            step = self.form.value()
        except DiptomoError as error:
            self._cannot(str(error))
            return
        self.standards.set_step(step)
        self.view.set_step(step)
        self._window.ask(asking_window(step, self._series))
        self.changed.emit()

    def _show_window(self, window: tuple[float, float]) -> None:
        self.view.set_window(window)

    def _cannot(self, why: str) -> None:
        self._problem = why
        self.changed.emit()

    def _window_dragged(self, low: float, high: float) -> None:
        if self.form is None:
            return
        for name, value in (('energy_min', low), ('energy_max', high)):
            self.form.fields[name].value = round(value, 1)

    def _standards_chosen(self, path: str) -> None:
        if self.form is not None:
            self.form.fields['standards'].value = path

    def _explained(self, found: Any) -> None:
        self.found = found
        self.standards.set_found(found)
        self.spread.setText(describe_spread(found))


def _eels_maps() -> type[EELSOxidationMaps]:
    from napari_diptomo.spectra import EELSOxidationMaps

    return EELSOxidationMaps
