"""Open: files or a folder in, a tilt series with accepted angles out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets.bases import BaseValueWidget
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_diptomo.jobs.reading import warm_up
from napari_diptomo.series import (
    Contradiction,
    DiptomoError,
    Evidence,
    Finding,
    MapSeries,
    Remedy,
    Source,
    SpectralTiltSeries,
    Volume,
)
from napari_diptomo.series.haadf_of_series import described
from napari_diptomo.series.tilts import angle_in_words, angles_in_words, positions_of
from napari_diptomo.widgets.controls.core_loss_files import CoreLossFiles
from napari_diptomo.widgets.controls.form_widgets import add_row, form_rows, source_parameters, widget_for
from napari_diptomo.widgets.controls.haadf_files import HAADFFiles
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.specimen_choice import SpecimenChoice
from napari_diptomo.widgets.controls.tilt_table import TiltTable
from napari_diptomo.widgets.controls.tilt_tools import TiltTools
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.appearance import apply_looks, apply_view, looks_of, view_of
from napari_diptomo.widgets.notifications import say_error
from napari_diptomo.widgets.pages.eels_sentences import describe_calibration
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.session import summary
from napari_diptomo.widgets.tasks.eels_spectra import calibrating
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.opening import SAMPLE, Opened, opening_files, sample
from napari_diptomo.widgets.tasks.question import Question
from napari_diptomo.widgets.tasks.task import Outcome

if TYPE_CHECKING:
    from napari_diptomo.spectra.eels.calibration import CalibratedSeries
    from napari_diptomo.widgets.autosave import Leftover

_LABELS = {
    'pixel_size': 'Pixel size',
    'binning': 'Binning',
    'tilt_axis': 'Tilt axis along',
    'dark_level': 'Dark level',
    'beam_energy': 'Beam energy',
    'specimen': 'Specimen',
    'repeated': 'Repeated tilts',
    'first_frame': 'First frame',
    'last_frame': 'Frames up to',
}
_CHANGED = 'Changed since it was opened: press Open to read it anew.'
#: Suffixes of files that hold images as well as spectra.
_ANYTHING = {'.hspy', '.zspy', '.hdf5', '.h5'}


class OpenPage(Page):
    """Files, angles, pixel size, binning.

    Signals
    -------
    start(Job, str)
        A job that the page's button does not start: the sample.
    restore(Leftover)
        The session that is offered shall be taken up again.
    volumes(tuple of (path, Volume))
        Saved volumes were opened.
    """

    start = Signal(object, str)
    restore = Signal(object)
    volumes = Signal(object)
    title = 'Open'
    action = '&Open'
    applies_at_once = True
    explanation = 'Drop the files of a tilt series here, or their folder: one spectrum image per tilt, or ready maps.'

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, parent)
        self._paths: tuple[str, ...] = ()
        #: Whether files that are dropped join those that are listed.
        self._joins = True
        self._sample_wanted = False
        #: Files that were listed before the last were added.
        self._replaced: tuple[str, ...] = ()
        self.fields: dict[str, BaseValueWidget[Any]] = {}
        self._leftover: Leftover | None = None
        self._calibrated = Question(self)
        self._calibrated.answered.connect(self._show_calibration)
        self._calibrated.failed.connect(self._show_more)
        self._add_offer()
        self._add_buttons()
        #: Whether angles or fields were changed since the data were opened.
        self._pending = False
        self._more = ''
        self.table = TiltTable()
        self.table.edited.connect(self._angles_edited)
        self.table.ticked.connect(self._ticked)
        self.table.refused.connect(say_error)
        self.tools = TiltTools(self.table)
        self.note = words('')
        self.body.addWidget(self.table, 10)
        self.body.addWidget(self.tools)
        self.body.addWidget(self.note)
        self._show_note('')
        self._add_fields()
        self.body.addWidget(heading('Opened'))
        self.opened = self.outcome_widget = words('Nothing yet: add files, or load the sample to look around.')
        self.body.addWidget(self.opened)
        self.body.addStretch(1)

    def add_paths(self, paths: list[str]) -> None:
        """Take files or a folder.

        More files join those that are listed. A folder replaces them, and so does
        anything once they were opened or could not be. Files that cannot be listed
        are not kept.
        """
        if not paths:
            return
        joins = self._joins and not any(Path(p).is_dir() for p in (*paths, *self._paths))
        before, self._paths = self._paths, tuple(dict.fromkeys((*(self._paths if joins else ()), *paths)))
        self._joins, self._replaced = True, before
        if not self._list_files() and before:
            refused = self.note.text()
            self._paths = before
            self._list_files()
            self._show_note(refused)

    def _unlist(self) -> None:
        """The files that were dropped are no tilt series: those listed before are listed again."""
        self._paths, self._replaced = self._replaced, ()
        self._list_files()
        if self.session.angles is not None:
            self._joins = False
            self._show_tilts()

    def failed(self, outcome: Outcome) -> None:
        """They stay listed, for the angles may be all that is missing, but nothing joins them.

        Angles of sources that contradict each other are listed side by side.
        """
        self._joins = False
        if outcome.evidence:
            self._ask_which('The sources of the angles disagree.', outcome.evidence)

    def clear(self) -> None:
        """Forget the files."""
        self._paths = ()
        self._joins = True
        self.core_loss.clear()
        self.haadf.clear()
        self._list_files()

    def source(self) -> Source:
        """The source that the button will open."""
        values = {name: field.value for name, field in self.fields.items()}
        angles = self.table.angles()
        paths = (self.table.files() if angles is not None else ()) or self._paths
        core = {'core_loss': self.core_loss.paths(), 'core_loss_angles': self.core_loss.tilts()}
        return Source(paths=paths, angles=angles, unused=self.table.unused(), **core, **self.haadf.values(), **values)

    def obstacle(self) -> str:
        if self.table.problem:
            return self.table.problem
        if len(self.specimen.choices) > 1 and self.specimen.value is None:
            return 'The files are of several specimens: choose one.'
        if self._paths:
            return ''
        return (
            'Add the files of a tilt series first.'
            if self.session.whole is None
            else 'Already open: press Next, or add other files.'
        )

    def job(self) -> tuple[ThreadJob, str]:
        self._sample_wanted = False
        return ThreadJob(opening_files(self.source())), 'Open'

    def done(self, result: Opened | tuple[tuple[str, Volume], ...]) -> None:
        self.offer(None)
        if not isinstance(result, Opened):
            self._unlist()
            self.volumes.emit(result)
            return
        self._joins = self._pending = False
        self._show_opened(result)
        self.session.sample = self._sample_wanted and isinstance(result.data, SpectralTiltSeries)
        self._show_tilts()
        self.changed.emit()

    def _show_opened(self, result: Opened) -> None:
        """Its tilts in use to the session, the viewer, and in words."""
        data = result.data
        whole = result.whole or result
        if isinstance(data, MapSeries):
            self.session.set_ready_maps(data, whole)
            self.context.maps_view.show_maps(data)
        else:
            assert result.spectrum is not None, 'a series has one'
            self.session.set_series(data, result.spectrum, result.found, result.doubt, whole)
            self.context.maps_view.show_series(image_layers.counts_layer(data, result.image), data.angles)
            self.context.maps_view.show_haadf(data)
        self._more = ''
        self._describe_opened()
        self._calibrated.forget()
        if isinstance(data, SpectralTiltSeries) and data.energy_unit == 'eV':
            self._calibrated.ask(calibrating(data))

    def _show_tilts(self) -> None:
        """All tilts of what is open in the table, those out of use unticked."""
        whole = self.session.whole
        if whole is None:
            return
        self.table.show_found(
            whole.data.angles,
            positions_of(whole.data),
            getattr(whole.data, 'evidence', ()),
            _angle_source(whole.data),
            editable=bool(self._paths),
        )
        # Of a series the text below says it.
        source = _angle_source(whole.data) if isinstance(whole.data, MapSeries) else ''
        self._show_note(f'Angles: {source}.' if source else '')
        self._show_repeated()
        self.tools.refresh()

    def _ticked(self) -> None:
        """Other tilts are used: of what is open at once, of what is not when it is opened."""
        self._show_repeated()
        self.tools.refresh()
        self._use()
        self.changed.emit()

    def _use(self) -> None:
        """Use the tilts that are ticked of the open data; those that could not be read wait for the button."""
        whole, unused = self.session.whole, self.table.unused()
        if whole is None or self.table.problem:
            return
        if self.table.places() - set(unused) <= set(positions_of(whole.data)):
            before, looks = view_of(self.context.viewer), looks_of(self.context.viewer)
            try:
                part = whole.in_use(unused, self.fields['repeated'].value)
            except DiptomoError as error:
                say_error(str(error))
                return
            sample = self.session.sample
            self._show_opened(part)
            self.session.sample = sample
            apply_looks(self.context.viewer, looks)
            apply_view(self.context.viewer, before)
        else:
            self._pending = True
            self._describe_opened()

    def _show_repeated(self) -> None:
        """The choice is shown while there is one."""
        field = self.fields['repeated']
        self._rows.setRowVisible(field.native, self.table.repeats() or field.value != 'keep')

    def takes(self, remedy: Remedy) -> bool:
        return remedy.step == 'Source' and set(remedy.changes) <= set(self.fields)

    def apply(self, remedy: Remedy) -> QWidget | None:
        changed: QWidget | None = None
        for name, value in remedy.changes.items():
            self.fields[name].value = value
            changed = self.fields[name].native
        return changed

    def findings(self) -> tuple[Finding, ...]:
        opened = self.session.series if self.session.series is not None else self.session.maps
        return () if opened is None else opened.findings

    def take_source(self, source: Source) -> bool:
        """List the files of a recipe and set the fields as it says; returns whether they are there."""
        there = bool(source.paths) and all(Path(path).exists() for path in source.paths)
        if there:
            self.clear()
            self.add_paths(list(source.paths))
            self.table.set_angles(source.angles if isinstance(source.angles, tuple) else None)
            self.table.set_unused(source.unused)
            self.core_loss.add_paths([path for path in source.core_loss if Path(path).exists()])
            self.haadf.set_values(
                source.model_copy(update={'haadf': tuple(p for p in source.haadf if Path(p).exists())})
            )
        for name, field in self.fields.items():
            field.value = getattr(source, name)
        self._show_repeated()
        self.tools.refresh()
        return there

    def state(self) -> dict[str, Any]:
        try:
            tilts = self.core_loss.tilts()
        except DiptomoError:
            tilts = None
        try:
            haadf = json.loads(json.dumps(self.haadf.values()))
        except DiptomoError:
            haadf = {}
        angles, whole = self.table.angles(), self.session.whole
        return {
            'paths': list((self.table.files() if angles is not None else ()) or self._paths),
            'angles': None if angles is None else list(angles),
            'unused': list(self.table.unused()),
            'positions': [] if whole is None else list(positions_of(whole.data)),
            'fields': {name: field.value for name, field in self.fields.items()},
            'core_loss': list(self.core_loss.paths()),
            'core_loss_angles': None if tilts is None else list(tilts),
            'haadf': haadf,
            'opened': self.opened.text() if self.session.angles is not None else '',
        }

    def set_state(self, state: dict[str, Any]) -> None:
        if state.get('paths'):
            self._paths = tuple(state['paths'])
            self._list_files()
            self.table.set_angles(state.get('angles'))
        self.table.set_unused(state.get('unused', ()))
        for name, value in state.get('fields', {}).items():
            if name in self.fields:
                self.fields[name].value = value
        self.core_loss.add_paths(state.get('core_loss', []))
        if state.get('core_loss_angles'):
            self.core_loss.angles.value = state['core_loss_angles']
        with contextlib.suppress(DiptomoError), QSignalBlocker(self.haadf):
            self.haadf.set_values(Source(**state.get('haadf', {})))
        opened = self.session.series if self.session.series is not None else self.session.maps
        if opened is not None:
            self._joins = False
            self._restore_whole(state.get('positions', ()))
            if not state.get('angles'):
                self._show_tilts()
            self.opened.setText(state.get('opened') or _describe(opened))
        self._show_repeated()
        self.tools.refresh()
        self.changed.emit()

    def _restore_whole(self, positions: Sequence[int]) -> None:
        """Maps of a project are those that were in use: the others are read again when they are wanted."""
        session = self.session
        if session.whole is not None or session.maps is None:
            return
        left = [place for place in positions if place not in self.table.unused()]
        maps = session.maps
        if len(left) == len(maps.angles):
            maps = replace(maps, positions=tuple(left))
        session.whole = Opened(maps, maps.data.sum(axis=0))

    def cleanup(self) -> None:
        self._calibrated.cleanup()

    def offer(self, leftover: Leftover | None) -> None:
        """Offer an earlier session, until something else is opened."""
        self._leftover = leftover
        self._offer.setVisible(leftover is not None)
        if leftover is not None:
            self._offered.setText(f'An earlier session can be restored: {leftover.words}.')

    def _add_offer(self) -> None:
        self._offer = Part()
        self._offered = words('')
        self.restore_button = QPushButton('Restore')
        self.restore_button.setToolTip('Show everything again as it was; a run that was cut off can be resumed.')
        self.restore_button.clicked.connect(self._restore)
        row = QHBoxLayout()
        row.addWidget(self._offered, 1)
        row.addWidget(self.restore_button)
        self._offer.body.addLayout(row)
        self._offer.setVisible(False)
        self.body.addWidget(self._offer)

    def _restore(self) -> None:
        if self._leftover is not None:
            self.restore.emit(self._leftover)

    def _show_calibration(self, calibrated: CalibratedSeries) -> None:
        self._show_more(describe_calibration(calibrated))

    def _show_more(self, text: str) -> None:
        if self.session.series is not None:
            self._more = text
            self._describe_opened()

    def _describe_opened(self) -> None:
        opened = self.session.series if self.session.series is not None else self.session.maps
        if opened is None:
            return
        whole = self.session.whole
        left = '' if whole is None else _left_out(whole.data, opened)
        parts = [_describe(opened), left, self._more, _CHANGED if self._pending else '']
        self.opened.setText(' '.join(filter(None, parts)))

    def _add_buttons(self) -> None:
        row = QHBoxLayout()
        for text, tip, slot in (
            ('A&dd files…', 'Choose the files of a tilt series, one per tilt, or one stack.', self._choose_files),
            ('Add fold&er…', 'Choose the folder that holds the tilt series.', self._choose_folder),
            ('Clear', 'Forget the files listed below.', self.clear),
            (
                'Load &sample',
                'Simulate a Ge-Sb-Te lamella with counted EDX spectra. Others, also of EELS: File > Open Sample.',
                self._load_sample,
            ),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(slot)
            row.addWidget(button)
        self.body.addLayout(row)

    def _add_fields(self) -> None:
        self._rows = form_rows()
        self.specimen = SpecimenChoice(
            name='specimen', tooltip='The names of the files distinguish several specimens; one is opened.'
        )
        for parameter in source_parameters():
            if parameter.name not in _LABELS:
                continue
            field = self.specimen if parameter.name == 'specimen' else widget_for(parameter)
            field.label = _LABELS[parameter.name]
            field.value = parameter.default
            field.changed.connect(self._repeated_edited if parameter.name == 'repeated' else self._edited)
            add_row(self._rows, field)
            self.fields[parameter.name] = field
        self.specimen.changed.connect(self._list_files)
        self.core_loss = CoreLossFiles(self.context.last_used)
        self.core_loss.changed.connect(self._edited)
        self._rows.addRow('Core loss', self.core_loss)
        self.haadf = HAADFFiles(self.context.last_used)
        self.haadf.changed.connect(self._edited)
        self._rows.addRow('HAADF series', self.haadf)
        self.body.addLayout(self._rows)
        self._show_rows(())

    def _show_rows(self, files: Sequence[Path]) -> None:
        """Rows that mean something for these files; of one that goes the value goes too."""
        suffixes = {file.suffix.lower() for file in files}
        images = _images() if files else set()
        for name, shown in (
            ('dark_level', bool(suffixes & {*images, *_ANYTHING})),
            ('beam_energy', not files or not suffixes <= images),
            ('first_frame', '.emd' in suffixes),
            ('last_frame', '.emd' in suffixes),
            ('specimen', bool([choice for choice in self.specimen.choices if choice is not None])),
        ):
            if not shown:
                self.fields[name].value = Source.model_fields[name].default
            self._rows.setRowVisible(self.fields[name].native, shown)
        self._show_repeated()

    def _edited(self) -> None:
        if self.session.angles is not None and self._paths:
            self._pending = True
            self.opened.setText(_CHANGED)
        self.changed.emit()

    def _angles_edited(self) -> None:
        self._show_repeated()
        self.tools.refresh()
        self._edited()

    def _repeated_edited(self) -> None:
        if self.session.whole is None:
            self._edited()
            return
        self._show_repeated()
        self._use()
        self.changed.emit()

    def _show_note(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _choose_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, 'Files of a tilt series', self._folder())
        # Unlike a drop the button says that it adds.
        self._joins = self._joins or self.session.angles is not None
        self.add_paths(paths)

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, 'Folder of a tilt series', self._folder())
        self.add_paths([path] if path else [])

    def _folder(self) -> str:
        return str(self.context.last_used.value('folder', ''))

    def _load_sample(self) -> None:
        self.clear()
        self._sample_wanted = True
        self.start.emit(ThreadJob(sample()), SAMPLE)

    def _list_files(self) -> bool:
        """Fill the table; returns whether the files can be opened together."""
        from napari_diptomo.series.reading.angles.evidence import find_angles
        from napari_diptomo.series.reading.file_selection import IMAGES, find_files
        from napari_diptomo.series.reading.specimens import listed, one_specimen, specimens_in

        if not self._paths:
            self.specimen.offer(())
            self._show_rows(())
            self._list((), None, '')
            return True
        self.context.last_used.remember_value('folder', str(Path(self._paths[0]).parent))
        try:
            found = find_files(self._paths)
        except DiptomoError as error:
            self._paths = ()
            self._list((), None, str(error))
            return False
        specimens = specimens_in(found.data)
        self.specimen.offer([one.name for one in specimens])
        self._show_rows(found.data)
        warm_up()
        if specimens and self.specimen.value is None:
            self._list(found.data, None, f'{len(specimens)} specimens: {listed(specimens)}. Choose one below.', True)
            return True
        found = one_specimen(found, self.specimen.value)
        stacks = len(found.data) == 1 or all(file.suffix.lower() in IMAGES for file in found.data)
        try:
            angles = find_angles(len(found.data), tables=found.tables, files=found.data)
            self._list(found.data, angles.angles, f'Angles: {angles.source}; change one by a double click.', stacks)
        except DiptomoError as error:
            note = 'Angles: as the files say, read when opened; or give them under Angles.'
            self._list(found.data, None, note, stacks)
            if isinstance(error, Contradiction):
                self._ask_which(str(error), error.evidence)
        return True

    def _ask_which(self, sentence: str, evidence: Sequence[Evidence]) -> None:
        """The angles of each source in a column of its own; the menu of the angles takes those of one."""
        self.table.show_evidence(evidence)
        self._show_note(f'{sentence} The columns show what each says; the menu Angles takes those of one.')
        self.tools.refresh()

    def _list(self, files: Sequence[Path], angles: Any, note: str, stacks: bool = False) -> None:
        self.table.show_files(files, None if stacks else angles, stacks)
        self._show_note(note)
        self._show_repeated()
        self.tools.refresh()
        self.changed.emit()


def _images() -> set[str]:
    """Endings of files that hold images without spectra."""
    from napari_diptomo.series.reading.file_selection import IMAGES

    return set(IMAGES)


def _describe(data: SpectralTiltSeries | MapSeries) -> str:
    """The opened data in two or three sentences."""
    parts = [summary(data.angles) + '.']
    if isinstance(data, SpectralTiltSeries):
        _, rows, columns, channels = data.counts.shape
        parts.append(f'Angles: {data.angle_source}.' if data.angle_source else '')
        parts.append(f'{columns} x {rows} pixels of {data.pixel_size:.4g} nm, {channels} energy channels.')
        beam = data.metadata.get('beam_energy')
        parts.append(f'Beam {beam:g} keV.' if beam else 'The files do not give the beam energy.')
        parts.append(_describe_core_loss(data) if data.energy_unit == 'eV' else '')
    else:
        _, _, rows, columns = data.data.shape
        parts.append(f'{columns} x {rows} pixels of {data.pixel_size:.4g} nm; maps of {", ".join(data.channels)}.')
        parts.append(f'Images, {data.notes["images"]}.' if 'images' in data.notes else '')
    if data.haadf_series is not None:
        angles = data.haadf_series.angle_source
        parts.append(f'HAADF series: {described(data.haadf_series, data)}{f"; angles: {angles}" if angles else ""}.')
    return ' '.join(part for part in parts if part)


def _left_out(whole: SpectralTiltSeries | MapSeries, used: SpectralTiltSeries | MapSeries) -> str:
    """Which tilts are not used, where some are not."""
    places = set(positions_of(used)) if len(used.angles) < len(whole.angles) else set(positions_of(whole))
    out = [angle_in_words(a) for a, place in zip(whole.angles, positions_of(whole), strict=True) if place not in places]
    if not out:
        return ''
    return f'Out of use or joined: {", ".join(out[:6])}{", …" if len(out) > 6 else ""}.'


def _angle_source(data: SpectralTiltSeries | MapSeries) -> str:
    return data.angle_source if isinstance(data, SpectralTiltSeries) else str(data.notes.get('angle_source', ''))


def _describe_core_loss(series: SpectralTiltSeries) -> str:
    core = series.core_loss
    if core is None:
        if series.energy[0] > 0:
            return f'A core loss alone, {series.energy[0]:.0f} to {series.energy[-1]:.0f} eV, without low loss.'
        return 'Low loss only, without core loss.'
    tilts = angles_in_words(series.angles[list(core.tilts)])
    where = 'all tilts' if len(core.tilts) == len(series.angles) else tilts
    return f'Core loss at {where}, {core.energy[0]:.0f} to {core.energy[-1]:.0f} eV.'
