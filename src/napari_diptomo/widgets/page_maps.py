"""Maps: from spectra to counts per element."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_diptomo.jobs.colours import colours
from napari_diptomo.series import DiptomoError, InputError, MapSeries
from napari_diptomo.widgets import work
from napari_diptomo.widgets.element_picker import ElementPicker
from napari_diptomo.widgets.form import StepForm
from napari_diptomo.widgets.page import Context, Page, heading, words
from napari_diptomo.widgets.plots import SpectrumPlot
from napari_diptomo.widgets.thread_job import ThreadJob

_STRAY = {'Cu', 'Ga', 'Mo'}


class MapsPage(Page):
    """Elements, the sum spectrum with their lines, the parameters of the fit."""

    title = 'Maps'
    action = '&Make maps'
    explanation = 'Choose the elements. Their line families and a smooth background are fitted in every pixel.'

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self.form: StepForm | None = None
        self._series: Any = None
        self._hint = ''
        self.picker = ElementPicker()
        self.picker.changed.connect(self._elements_changed)
        self.plot = SpectrumPlot()
        self.hint = words('')
        self.body.addWidget(heading('Elements'))
        self.body.addWidget(self.picker)
        self.body.addWidget(self.hint)
        self.body.addWidget(heading('Sum spectrum'))
        self.body.addWidget(self.plot)
        self._place = QVBoxLayout()
        self.body.addLayout(self._place)
        self.made = self.outcome_widget = words('')
        self.body.addWidget(self.made)
        self.body.addStretch(1)
        self.session.changed.connect(self._session_changed)

    def closed(self) -> str:
        if self.session.series is not None or self.session.maps is not None:
            return ''
        return 'Open a tilt series first.'

    def obstacle(self) -> str:
        if self.session.series is None:
            return 'These are ready maps: go on to Align.' if self.session.maps is not None else self.closed()
        return '' if self.picker.elements() else 'Choose at least one element.'

    def enter(self) -> None:
        if self.form is not None:
            return
        from napari_diptomo.spectra import EDXMaps

        names = {parameter.name for parameter in EDXMaps.parameters()}
        self.form = StepForm(EDXMaps, hide=tuple({'elements', 'lines'} & names))
        self.form.set_value(self.context.last_used.step(EDXMaps))
        self._place.addWidget(self.form)

    def job(self) -> tuple[ThreadJob, str]:
        self.enter()
        if self.session.series is None:
            raise InputError('There are no spectra; open a tilt series of spectrum images.')
        step = self.form.value().model_copy(update={'elements': self.picker.elements(), 'lines': ()})
        self.context.last_used.remember(step)
        return ThreadJob(work.running(step, self.session.series)), 'Maps'

    def done(self, maps: MapSeries) -> None:
        self.session.set_result(maps)
        self.context.maps_view.show_maps(maps)
        self.made.setText(describe_maps(maps))

    def cleanup(self) -> None:
        self.plot.cleanup()

    def _session_changed(self) -> None:
        series = self.session.series
        if series is self._series:
            return
        self._series = series
        self.made.setText('')
        self.plot.setVisible(series is not None)
        self.picker.setVisible(series is not None)
        self.hint.setText('')
        if series is None:
            return
        self.plot.set_spectrum(series.energy, self.session.spectrum, series.energy_unit)
        suggested = self.session.suggested
        self._hint = self.session.doubt or (
            'Suggested by the sum spectrum; press to choose or leave out.' if suggested else 'No element stands out.'
        )
        self.picker.suggest(suggested)
        kept = self.context.last_used.value('EDXMaps', {}).get('elements', ())
        self.picker.set_elements(tuple(kept) if kept and set(kept) <= set(suggested) else likely(suggested))

    def _elements_changed(self) -> None:
        if self._series is not None:
            chosen = self.picker.elements()
            marks, problem = _lines(chosen, self._series)
            self.plot.mark(marks, colours(chosen))
            self.hint.setText(problem or self._hint)
        self.changed.emit()


def likely(suggested: tuple[str, ...]) -> tuple[str, ...]:
    """The first few suggested elements that are not commonly stray: grid, mask, ion beam."""
    return tuple(name for name in suggested if name not in _STRAY)[:4] or suggested[:1]


def describe_maps(maps: MapSeries) -> str:
    """Mean counts per pixel of every channel."""
    means = [f'{name} {maps.data[i].mean():.2g}' for i, name in enumerate(maps.channels)]
    return f'Mean counts per pixel and tilt: {", ".join(means)}.'


def _lines(elements: tuple[str, ...], series: Any) -> tuple[dict[str, tuple[str, float]], str]:
    """The main line of each chosen element, and a sentence about the first that has none."""
    from napari_diptomo.spectra import families_for

    beam = float(series.metadata.get('beam_energy') or 200.0)
    marks: dict[str, tuple[str, float]] = {}
    problem = ''
    for name in elements:
        try:
            (family,) = families_for((name,), max(float(series.energy[0]), 0.1), float(series.energy[-1]), beam)
        except DiptomoError as error:
            problem = problem or str(error)
            continue
        marks[name] = (family.name.replace('_', '-'), family.main_energy)
    return marks, problem
