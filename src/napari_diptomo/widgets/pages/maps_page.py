"""Maps: from spectra to counts per element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_diptomo.series import Finding, InputError, MapSeries, Remedy, Step
from napari_diptomo.widgets.controls.element_picker import ElementPicker
from napari_diptomo.widgets.controls.overlap_table import OverlapTable
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.periodic_table import PLACES
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.pages.detector_gain import GainView
from napari_diptomo.widgets.pages.edx_spectrum import SpectrumView
from napari_diptomo.widgets.pages.eels_maps import EELSMaps
from napari_diptomo.widgets.pages.element_totals import TotalsView
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.tasks.edx_spectra import (
    confusing,
    doubts_of,
    large_unchosen,
    likely,
    lines_in_range,
    marks_of,
    totalling,
)
from napari_diptomo.widgets.tasks.eels_spectra import MadeOxides
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.question import Question
from napari_diptomo.widgets.tasks.steps import running

if TYPE_CHECKING:
    from napari_diptomo.spectra import EDXMaps
    from napari_diptomo.spectra.edx.overlaps import OverlapReport
    from napari_diptomo.spectra.edx.totals import Totals

#: Fewer tilts show no trend.
_ENOUGH_TILTS = 3


class MapsPage(Page):
    """Elements, spectra with their lines and fit, totals over the tilts, the parameters of the maps.

    A series of energy losses has a part of its own, `EELSMaps`, in place of all that.
    """

    title = 'Maps'
    action = '&Make maps'
    explanation = 'Choose the elements. Their line families and a smooth background are fitted in every pixel.'
    steps = ('EDXMaps', 'EELSOxidationMaps', 'EdgeMaps', 'WhiteLineMaps', 'MLLSMaps')

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.eels = EELSMaps(context)
        self.eels.changed.connect(self.changed)
        self.edx = Part()
        self.edx.body.addWidget(self.lead)
        self.body.addWidget(self.edx)
        self.body.addWidget(self.eels)
        self.parameters = RememberedForm(_edx_maps, context.last_used, hide=('elements', 'lines'))
        self._state: dict[str, Any] = {}
        self._series: Any = None
        #: What was opened, whose tilts in use the series is.
        self._whole: Any = None
        self._hint = ''
        self.picker = ElementPicker()
        self.picker.changed.connect(self._elements_changed)
        self.picker.table_wanted.connect(self._show_table)
        self.view = SpectrumView(context.viewer)
        self.totals = TotalsView()
        self.gain = GainView()
        self.gain.applied.connect(self._gain_applied)
        self.hint = words('')
        self.warning = words('')
        self.overlap_table = OverlapTable()
        self._overlaps = Question(self)
        self._overlaps.answered.connect(self._show_overlaps)
        self._totals = Question(self)
        self._totals.answered.connect(self._totals_answered)
        self._maps: MapSeries | None = None
        self.edx.body.addWidget(heading('Elements'))
        self.edx.body.addWidget(self.picker)
        self.edx.body.addWidget(self.hint)
        self.edx.body.addWidget(self.warning)
        self.edx.body.addWidget(self.overlap_table)
        self.edx.body.addWidget(heading('Spectrum'))
        self.edx.body.addWidget(self.view)
        self.edx.body.addWidget(self.parameters)
        self._add_outcome()
        self.body.addStretch(1)
        self.session.changed.connect(self._session_changed)

    @property
    def form(self) -> StepForm[EDXMaps] | None:
        """The form of EDX maps, None until it is needed."""
        return self.parameters.form

    def closed(self) -> str:
        if self.session.series is not None or self.session.maps is not None:
            return ''
        return 'Open a tilt series first.'

    def obstacle(self) -> str:
        if self.session.series is None:
            if self.session.maps is None:
                return self.closed()
            return self.session.too_few_tilts or 'These are ready maps: continue with Align.'
        if self.eels.wanted:
            return self.eels.obstacle()
        return '' if self.picker.elements() else 'Choose at least one element.'

    def enter(self) -> None:
        self.eels.enter()
        if not self.eels.wanted:
            self.parameters.build()

    def job(self) -> tuple[ThreadJob, str]:
        self.enter()
        if self.eels.wanted:
            return self.eels.job()
        if self.session.series is None:
            raise InputError('There are no spectra; open a tilt series of spectrum images.')
        step = self.parameters.step().model_copy(update={'elements': self.picker.elements(), 'lines': ()})
        self.context.last_used.remember(step)
        return ThreadJob(running(step, self.session.series)), 'Maps'

    def done(self, maps: MapSeries | MadeOxides) -> None:
        if isinstance(maps, MadeOxides) or self.eels.wanted:
            self.outcome_widget = self.eels.outcome_widget
            self.eels.done(maps)
            return
        self.session.set_result(maps)
        self.context.maps_view.show_maps(maps)
        self._show_made(maps)

    def take_step(self, step: Step) -> bool:
        name = type(step).__name__
        if name not in self.steps:
            return False
        # Which of the two forms there is, the next series decides.
        if name == 'EDXMaps':
            self.parameters.set_state(step.model_dump(mode='json'))
            self._state = {**self._state, 'elements': _named(step)}
            if self._series is not None:
                self.picker.set_elements(_named(step))
            return super().take_step(step) or self._series is None
        self.eels.take_step(step)
        return True

    def state(self) -> dict[str, Any]:
        state = {'elements': list(self.picker.elements()), 'eels': self.eels.state()}
        return state | {'form': self.parameters.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        self._state = dict(state)
        self._session_changed()
        if self._series is not None and state.get('elements'):
            self.picker.set_elements(tuple(state['elements']))
        self.parameters.set_state(state.get('form', {}))
        self.eels.set_state(state.get('eels', {}))
        if self._series is not None and self.session.maps is not None:
            self._show_made(self.session.maps)

    def _show_made(self, maps: MapSeries) -> None:
        # Counts of windows say nothing of an element until they are unmixed.
        made, maps = maps, maps if maps.mixing is None else maps.unmixed()
        self._maps = maps
        self.gain.set_maps(made, maps)
        self.made.setText(describe_maps(maps))
        self.deviations.setChecked(False)
        self.deviations.setVisible(maps.variance is not None)
        self._show_totals(maps)

    def findings(self) -> tuple[Finding, ...]:
        # Ready maps were opened, not made here.
        made = self.session.maps if self.session.series is not None else None
        return () if made is None else made.findings

    def takes(self, remedy: Remedy) -> bool:
        losses = remedy.step != 'EDXMaps'
        if 'lines' in remedy.changes:  # the picker has them among its elements
            return False
        return self.session.series is not None and losses is self.eels.wanted and super().takes(remedy)

    def form_of(self, step: str) -> StepForm | None:
        return self.eels.form_of(step) if self.eels.wanted else self.form

    def apply(self, remedy: Remedy) -> QWidget | None:
        if self.eels.wanted or 'elements' not in remedy.changes:
            return super().apply(remedy)
        changed = super().apply(remedy)
        self.picker.set_elements(tuple(remedy.changes['elements']))
        return changed or self.picker

    def cleanup(self) -> None:
        self.eels.cleanup()
        self._overlaps.cleanup()
        self._totals.cleanup()
        self.gain.cleanup()
        self.view.cleanup()
        self.totals.cleanup()

    def _add_outcome(self) -> None:
        self.made = words('')
        self.deviations = QCheckBox('Standard deviations as hidden layers')
        self.deviations.setToolTip(
            '<qt>Adds the standard deviation of every map, in counts, to the list of layers.</qt>'
        )
        self.deviations.toggled.connect(self._show_deviations)
        self.deviations.setVisible(False)
        self._outcome = Part()
        for part in (self.made, self.totals, self.gain, self.deviations):
            self._outcome.body.addWidget(part)
        self.edx.body.addWidget(self._outcome)

    def _show_totals(self, maps: MapSeries) -> None:
        from napari_diptomo.spectra.edx.totals import check_totals

        self._totals.forget()
        self.totals.clear()
        if len(maps.angles) < _ENOUGH_TILTS:
            return
        if self._series is not None and np.array_equal(self._series.angles, maps.angles):
            self._totals.ask(totalling(self._series, maps))
        else:
            self.totals.set_totals(maps.angles, check_totals(maps))

    def _totals_answered(self, totals: tuple[Totals, ...]) -> None:
        if self._maps is not None:
            self.totals.set_totals(self._maps.angles, totals)

    def _gain_applied(self, maps: MapSeries) -> None:
        self.session.set_result(maps)
        self._maps = maps if maps.mixing is None else maps.unmixed()
        self.gain.set_maps(maps, self._maps)

    def _show_deviations(self, shown: bool) -> None:
        if shown and self._maps is not None:
            self.context.maps_view.show_deviations(self._maps)
        else:
            self.context.maps_view.hide_deviations()

    def _show_overlaps(self, report: OverlapReport | None) -> None:
        warnings = () if report is None else report.warnings
        self.warning.setText(' '.join(warnings))
        self.warning.setVisible(bool(warnings))
        self.overlap_table.show_report(report)

    def _session_changed(self) -> None:
        losses = self.eels.wanted
        self.edx.setVisible(not losses)
        self.eels.setVisible(losses)
        self.outcome_widget = self.eels.outcome_widget if losses else self._outcome
        series = None if losses else self.session.series
        if series is self._series:
            return
        chosen = self.picker.elements()
        self._series = series
        self.made.setText('')
        self.view.setVisible(series is not None)
        self.picker.setVisible(series is not None)
        self.hint.setText('')
        self._overlaps.forget()
        self._show_overlaps(None)
        self.deviations.setVisible(False)
        self.view.set_series(series, self.session.spectrum, not self.session.doubt)
        self.totals.clear()
        self._totals.forget()
        self.gain.clear()
        if series is None:
            return
        found = self.session.found
        suggested = tuple(f.element for f in found)
        self._hint = self.session.doubt or (
            'Suggested by the spectra; press to choose or leave out.' if suggested else 'No element stands out.'
        )
        self.picker.suggest(suggested, doubts_of(found))
        # Other tilts of the same data: what was chosen stays chosen.
        whole, self._whole = self._whole, self.session.whole
        wanted = self._state.pop('elements', None) or (chosen if whole is not None and whole is self._whole else None)
        if wanted:
            self.picker.set_elements(tuple(wanted))
            return
        kept = self.context.last_used.value('EDXMaps', {}).get('elements', ())
        self.picker.set_elements(tuple(kept) if kept and set(kept) <= set(suggested) else likely(found))

    def _elements_changed(self) -> None:
        if self._series is not None:
            chosen = self.picker.elements()
            marks, problem = marks_of(chosen, self._series)
            unchosen = large_unchosen(self.session.found, chosen, self._series)
            self.view.set_elements(chosen, (*marks, *unchosen))
            self.hint.setText(problem or self._hint)
            self._show_overlaps(None)
            self._overlaps.forget()
            if len(chosen) > 1 and not (problem or self.session.doubt):
                self._overlaps.ask(confusing(self._series, chosen))
        self.changed.emit()

    def _show_table(self) -> None:
        """The table of elements is about to open."""
        if self._series is not None and not self.session.doubt:
            self.picker.table.set_lines(*lines_in_range(self._series, PLACES))


def _edx_maps() -> type[EDXMaps]:
    from napari_diptomo.spectra import EDXMaps

    return EDXMaps


def _named(step: Any) -> tuple[str, ...]:
    """Elements or line families of a step, whichever it has."""
    return tuple(step.lines or step.elements)


def describe_maps(maps: MapSeries) -> str:
    """Mean counts per pixel of every channel."""
    shown = maps.unmixed().data
    means = [f'{name} {shown[i].mean():.2g}' for i, name in enumerate(maps.channels)]
    return f'Mean counts per pixel and tilt: {", ".join(means)}.'
