"""Edges, white lines and reference spectra on the Maps page: what needs no M2,3 edge and no low loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from napari_diptomo.series import DiptomoError, InputError, MapSeries, SpectralTiltSeries, Step
from napari_diptomo.widgets.controls.edge_picker import EdgePicker
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.layers.error_layers import deviation_layers, residual_layers
from napari_diptomo.widgets.layers.line_ratio import ratio_layers
from napari_diptomo.widgets.notifications import say_error
from napari_diptomo.widgets.pages.edges_view import EdgesView
from napari_diptomo.widgets.pages.eels_sentences import describe_edges
from napari_diptomo.widgets.pages.page import Context
from napari_diptomo.widgets.tasks.edge_spectra import finding_edges
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.question import Question
from napari_diptomo.widgets.tasks.steps import running

if TYPE_CHECKING:
    from napari_diptomo.spectra.eels.edges_in_spectrum import FoundEdge

#: Steps by what they map.
STEPS = {'Edges': 'EdgeMaps', 'White lines': 'WhiteLineMaps', 'Reference spectra': 'MLLSMaps'}
_EXPLANATIONS = {
    'Edges': 'Choose edges. A background is fitted in front of each and what is above it is summed, or edges and background are fitted together.',
    'White lines': 'L3 and L2 of a 3d metal above background and steps: their ratio goes with the valence.',
    'Reference spectra': 'Reference spectra and a background are fitted to an edge in every pixel (MLLS). Give files, or draw regions of one state on the image.',
}
_FILES = 'Spectra (*.msa *.csv *.hspy *.dm3 *.dm4 *.emsa);;All files (*)'


class EdgesPart(Part):
    """The spectrum with its edges, the form of what is mapped, references, the outcome.

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
        self.kind = 'Edges'
        self._series: SpectralTiltSeries | None = None
        self._found: tuple[FoundEdge, ...] = ()
        self._problem = ''
        self.explanation = words('')
        self.picker = EdgePicker()
        self.picker.chosen.connect(self._take_edge)
        self.picker.left_out.connect(self._leave_edge)
        self.found = words('')
        self.view = EdgesView(context.viewer)
        self._finding = Question(self)
        self._finding.answered.connect(self._show_found)
        self._finding.failed.connect(self.found.setText)
        self.forms: dict[str, RememberedForm[Any]] = {
            kind: RememberedForm(_loading(step), context.last_used) for kind, step in STEPS.items()
        }
        self.body.addWidget(self.explanation)
        self.body.addWidget(heading('Edges in the spectra'))
        self.body.addWidget(self.found)
        self.body.addWidget(self.picker)
        self.body.addWidget(self.view)
        self._add_references()
        for form in self.forms.values():
            form.changed.connect(self._form_changed)
            self.body.addWidget(form)
        self.outcome_widget = Part()
        self.made = words('')
        self.outcome_widget.body.addWidget(self.made)
        self.body.addWidget(self.outcome_widget)

    @property
    def busy(self) -> bool:
        """Whether the page does not yet show what is asked for."""
        return self.view.busy or self._finding.busy

    @property
    def form(self) -> StepForm[Any] | None:
        """The form of what is mapped, None until it is needed."""
        return self.forms[self.kind].form

    def obstacle(self) -> str:
        """Why no maps can be made, one sentence; empty when they can."""
        return self._problem

    def set_kind(self, kind: str) -> None:
        """Map edges, white lines or references."""
        self.kind = kind
        self.explanation.setText(_EXPLANATIONS[kind])
        for name, form in self.forms.items():
            form.setVisible(name == kind)
        self.references.setVisible(kind == 'Reference spectra')
        if self._series is not None and self.isEnabled():
            self.forms[kind].build()
            self._suggest()
            self._form_changed()

    def set_series(self, series: SpectralTiltSeries | None, spectrum: np.ndarray | None) -> None:
        """Another series is open, or none of energy losses."""
        if series is self._series:
            return
        self._series = series
        self.made.setText('')
        self.picker.set_edges({})
        self.found.setText('')
        self._finding.forget()
        self._found = ()
        self.view.set_series(series, spectrum)
        if series is not None:
            self.found.setText('Edges are being looked for…')
            self._finding.ask(finding_edges(series))

    def enter(self) -> None:
        """The page comes to the front."""
        if self._series is not None:
            self.set_kind(self.kind)

    def job(self) -> tuple[ThreadJob, str]:
        """The work of the page's button.

        Raises
        ------
        InputError
            A parameter that does not do.
        """
        if self._series is None:
            raise InputError('There are no energy losses; open an EELS tilt series.')
        step = self.forms[self.kind].step()
        self.context.last_used.remember(step)
        return ThreadJob(running(step, self._series)), 'Maps'

    def done(self, maps: MapSeries) -> None:
        """Show maps, and below them, hidden, ratio, residual and errors."""
        self.session.set_result(maps)
        self.context.maps_view.show_maps(maps)
        hidden = deviation_layers(maps) + residual_layers(maps) + ratio_layers(maps)
        self.context.maps_view.add_below(hidden)
        self.context.viewer.layers.selection.active = self.context.viewer.layers[-1]
        self.made.setText(describe_edges(maps))

    def take_step(self, step: Step) -> None:
        """Set the form of a step, now or when it is built."""
        kind = next(name for name, own in STEPS.items() if own == type(step).__name__)
        self.forms[kind].take(step)

    def state(self) -> dict[str, Any]:
        """Values of the controls and the text on the maps, JSON-ready."""
        return {'forms': {kind: form.state() for kind, form in self.forms.items()}, 'made': self.made.text()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Set the controls as `state` said."""
        for kind, form in self.forms.items():
            form.set_state(state.get('forms', {}).get(kind, {}))
        if self._series is not None and self.session.maps is not None:
            self.made.setText(str(state.get('made', '')))

    def cleanup(self) -> None:
        """Let go of the viewer and of what is asked."""
        self._finding.cleanup()
        self.view.cleanup()

    def _add_references(self) -> None:
        self.references = Part()
        self.name = QLineEdit()
        self.name.setPlaceholderText('name, e.g. Mn2+')
        self.name.setAccessibleName('Name of the reference')
        self.add_region = QPushButton('Add the region')
        self.add_region.setToolTip(
            '<qt>The pixels in the region that lies on the image become a reference of this name, at the tilt that is shown.</qt>'
        )
        self.add_region.clicked.connect(self._add_region)
        self.add_files = QPushButton('Add files…')
        self.add_files.setToolTip(
            '<qt>Spectra (.msa, .hspy, .dm3, …) or tables (.csv) with columns energy, NAME, NAME.</qt>'
        )
        self.add_files.clicked.connect(self._add_files)
        row = QHBoxLayout()
        for widget in (self.name, self.add_region, self.add_files):
            row.addWidget(widget)
        self.references.body.addWidget(heading('References'))
        self.references.body.addLayout(row)
        self.body.addWidget(self.references)

    def _show_found(self, found: tuple[FoundEdge, ...]) -> None:
        if not found:
            self.found.setText('No edge stands out; name one, or give its range.')
        else:
            self.found.setText('Suggested by the spectra; press to choose or leave out.')
        others = {e.edge: f' Near it are {", ".join(e.others)}.' if e.others else '' for e in found}
        self.picker.set_edges(
            {e.edge: f'The counts rise by {100 * e.rise:.0f} % at {e.energy:.0f} eV.{others[e.edge]}' for e in found}
        )
        self._found = found
        self._suggest()
        self._form_changed()

    def _suggest(self) -> None:
        """Fill in what was found where nothing is chosen yet."""
        found = self._found
        form = self.forms['Edges'].form
        if form is not None and not form.fields['edges'].value and found:
            form.fields['edges'].value = tuple(sorted((e.edge for e in found), key=lambda name: _at(found, name)))
        lines = [e.edge.split('_')[0] for e in found if e.edge.endswith('_L')]
        white = self.forms['White lines'].form
        if white is not None and lines and white.fields['element'].value not in lines:
            white.fields['element'].value = lines[0]
        mlls = self.forms['Reference spectra'].form
        if mlls is not None and not mlls.fields['edge'].value:
            mlls.fields['edge'].value = found[0].edge if found else ''

    def _take_edge(self, name: str) -> None:
        form = self.forms[self.kind].build()
        if self.kind == 'Edges':
            form.fields['edges'].value = (*form.fields['edges'].value, name)
        elif self.kind == 'White lines':
            form.fields['element'].value = name.split('_')[0]
        else:
            form.fields['edge'].value = name

    def _leave_edge(self, name: str) -> None:
        form = self.forms[self.kind].build()
        if self.kind == 'Edges':
            form.fields['edges'].value = tuple(e for e in form.fields['edges'].value if e.split(' ')[0] != name)
        else:
            self._form_changed()

    def _form_changed(self) -> None:
        """Explain the spectrum anew as the form says."""
        if self.form is None or self._series is None:
            return
        try:
            step = self.form.value()
            self._problem = _missing(self.kind, step)
        except DiptomoError as error:
            self._problem = str(error)
            self.changed.emit()
            return
        edges = step.edges if self.kind == 'Edges' else ()
        chosen = {'Edges': edges, 'White lines': (f'{getattr(step, "element", "")}_L',)}.get(self.kind)
        self.picker.set_chosen(chosen if chosen is not None else (step.edge,))
        self.view.set_step(step, _channels(edges))
        self.changed.emit()

    def _add_region(self) -> None:
        shapes = self.view.regions()
        name = self.name.text().strip()
        if not shapes or not name or self._series is None:
            say_error('Draw a region on the image and give the reference a name.')
            return
        corners = ' '.join(f'{value:.1f}' for value in shapes[-1].ravel())
        tilt = self.context.viewer.dims.current_step[0] if self.context.viewer.dims.ndim == 4 else 0
        angle = self._series.angles[int(np.clip(tilt, 0, len(self._series.angles) - 1))]
        form = self.forms['Reference spectra'].build()
        kept = tuple(text for text in form.fields['regions'].value if text.split('=')[0].strip() != name)
        form.fields['regions'].value = (*kept, f'{name} = polygon {corners} at {angle:g}')
        self.name.clear()
        self.view.region.remove()

    def _add_files(self) -> None:
        folder = str(self.context.last_used.value('folder', ''))
        paths, _ = QFileDialog.getOpenFileNames(self, 'References', folder, _FILES)
        form = self.forms['Reference spectra'].build()
        form.fields['references'].value = tuple(dict.fromkeys((*form.fields['references'].value, *paths)))


def _loading(name: str) -> Any:
    def load() -> Any:
        import napari_diptomo.spectra as spectra

        return getattr(spectra, name)

    return load


def _missing(kind: str, step: Any) -> str:
    if kind == 'Edges' and not step.edges:
        return 'Choose at least one edge.'
    if kind == 'Reference spectra' and not step.edge:
        return 'Name the edge of the references.'
    if kind == 'Reference spectra' and not (step.references or step.regions):
        return 'Give references: files, or regions on the image.'
    return ''


def _channels(edges: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the maps of edges, with ranges behind them or without; none where one cannot be read."""
    from napari_diptomo.spectra.eels.edge_windows import EdgeWindows

    try:
        return tuple(EdgeWindows.of(edge).name for edge in edges)
    except InputError:
        return edges


def _at(found: tuple[FoundEdge, ...], name: str) -> float:
    return next(edge.energy for edge in found if edge.edge == name)
