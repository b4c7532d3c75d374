"""The Maps page of an EELS series: spectra with the fit of the edge, standards, maps of the oxides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_diptomo.series import DiptomoError, InputError, SpectralTiltSeries
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.layers.error_layers import deviation_layers
from napari_diptomo.widgets.layers.oxidation_layers import fraction_layers
from napari_diptomo.widgets.pages.eels_sentences import describe_oxides, describe_spread
from napari_diptomo.widgets.pages.eels_spectrum import EELSView
from napari_diptomo.widgets.pages.eels_standards import StandardsBox
from napari_diptomo.widgets.pages.oxidation_state import READING
from napari_diptomo.widgets.pages.page import Context
from napari_diptomo.widgets.tasks.eels_spectra import MadeOxides, asking_window, mapping_oxides
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.question import Question

if TYPE_CHECKING:
    from napari_diptomo.spectra import EELSOxidationMaps
    from napari_diptomo.spectra.eels.explained_losses import ExplainedEELS

_EXPLANATION = (
    'The low-loss M2,3 edge is fitted in every pixel with the spectra of the oxides and a background, all together. Drag the '
    'ends of the shaded window to choose what is fitted.'
)


class EELSMaps(Part):
    """The part of the Maps page that is shown while the series that is open is of energy losses.

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
        self._problem = ''
        self.view = EELSView(context.viewer)
        self.view.explained.connect(self._explained)
        self.view.plot.window_moved.connect(self._window_dragged)
        self._window = Question(self)
        self._window.answered.connect(self._show_window)
        self._window.failed.connect(self._cannot)
        self.standards = StandardsBox(context)
        self.standards.chosen.connect(self._standards_chosen)
        self.spread = words('')
        self.body.addWidget(words(_EXPLANATION))
        self.body.addWidget(heading('Spectrum'))
        self.body.addWidget(self.view)
        self.body.addWidget(self.spread)
        self.body.addWidget(self.parameters)
        self.body.addWidget(self.standards)
        self._add_outcome()
        self.session.changed.connect(self._session_changed)
        self.setVisible(False)

    @property
    def form(self) -> StepForm[EELSOxidationMaps] | None:
        """The form, None until it is needed."""
        return self.parameters.form

    @property
    def wanted(self) -> bool:
        """Whether the series that is open is of energy losses."""
        series = self.session.series
        return series is not None and series.energy_unit == 'eV'

    @property
    def busy(self) -> bool:
        """Whether the page does not yet show what is asked for."""
        return self.view.busy or self._window.busy or self.standards.busy

    def obstacle(self) -> str:
        """Why no maps can be made, one sentence; empty when they can."""
        return self._problem

    def enter(self) -> None:
        """The page comes to the front."""
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
        if self.form is None or self._series is None:
            raise InputError('There are no energy losses; open an EELS tilt series.')
        step = self.form.value()
        self.context.last_used.remember(step)
        return ThreadJob(mapping_oxides(step, self._series)), 'Maps'

    def done(self, made: MadeOxides) -> None:
        """Show maps, and below them, hidden, states and errors."""
        maps, states = made.maps, made.states
        self.session.set_result(maps)
        self.context.maps_view.show_maps(maps)
        hidden = deviation_layers(made.oxides) + (fraction_layers(made.oxides, states) if states is not None else [])
        self.context.maps_view.add_below(hidden)
        # What was added last would be selected, and is out of sight.
        self.context.viewer.layers.selection.active = self.context.viewer.layers[-1]
        self.made.setText(describe_oxides(made))
        self.reading.setVisible(states is not None)

    def take_step(self, step: EELSOxidationMaps) -> None:
        """Set the form to a step, or the one that comes with the next series."""
        self.parameters.take(step)

    def state(self) -> dict[str, Any]:
        """Values of the controls and the text on the maps, JSON-ready."""
        return {'form': self.parameters.state(), 'made': self.made.text(), 'reading': not self.reading.isHidden()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Set the controls as `state` said."""
        self._session_changed()
        self.parameters.set_state(state.get('form', {}))
        if self._series is not None and self.session.maps is not None:
            self.made.setText(str(state.get('made', '')))
            self.reading.setVisible(bool(state.get('reading')))

    def cleanup(self) -> None:
        """Let go of the viewer and of what is asked."""
        self._window.cleanup()
        self.standards.cleanup()
        self.view.cleanup()

    def _add_outcome(self) -> None:
        self.outcome_widget = Part()
        self.made = words('')
        self.reading = words(f'<small>{READING}</small>')
        for part in (self.made, self.reading):
            self.outcome_widget.body.addWidget(part)
        self.body.addWidget(self.outcome_widget)
        self.reading.setVisible(False)

    def _session_changed(self) -> None:
        series = self.session.series if self.wanted else None
        if series is self._series:
            return
        self._series, self.found = series, None
        self._problem = ''
        self.made.setText('')
        self.spread.setText('')
        self.reading.setVisible(False)
        self.standards.set_series(series)
        self.view.set_series(series, self.session.spectrum if series is not None else None)
        if series is not None and self.form is not None:
            self._form_changed()

    def _form_changed(self) -> None:
        """Fit anew as the form says."""
        if self.form is None or self._series is None:
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
