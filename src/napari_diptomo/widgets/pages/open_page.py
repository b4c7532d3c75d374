"""Open: files or a folder in, a tilt series with accepted angles out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets.bases import BaseValueWidget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_diptomo.jobs.reading import warm_up
from napari_diptomo.series import Contradiction, DiptomoError, Finding, MapSeries, Source, SpectralTiltSeries, Volume
from napari_diptomo.widgets.controls.core_loss_files import CoreLossFiles
from napari_diptomo.widgets.controls.form_widgets import add_row, form_rows, source_parameters, widget_for
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.specimen_choice import SpecimenChoice
from napari_diptomo.widgets.controls.tilt_table import TiltTable
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.pages.eels_sentences import describe_calibration
from napari_diptomo.widgets.pages.page import Context, Page
from napari_diptomo.widgets.session import summary
from napari_diptomo.widgets.tasks.eels_spectra import calibrating
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.opening import Opened, opening_files, sample
from napari_diptomo.widgets.tasks.question import Question

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
}
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
        self.table = TiltTable()
        self.table.edited.connect(self._edited)
        self.note = words('')
        self.body.addWidget(self.table)
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
            self.table.show_found(self.session.angles)

    def failed(self) -> None:
        """They stay listed, for the angles may be all that is missing, but nothing joins them."""
        self._joins = False

    def clear(self) -> None:
        """Forget the files."""
        self._paths = ()
        self._joins = True
        self.core_loss.clear()
        self._list_files()

    def source(self) -> Source:
        """The source that the button will open."""
        values = {name: field.value for name, field in self.fields.items()}
        angles = self.table.angles()
        paths = self.table.files() if angles is not None else self._paths
        core = {'core_loss': self.core_loss.paths(), 'core_loss_angles': self.core_loss.tilts()}
        return Source(paths=paths, angles=angles, **core, **values)

    def obstacle(self) -> str:
        if self.table.problem:
            return self.table.problem
        if len(self.specimen.choices) > 1 and self.specimen.value is None:
            return 'The files are of several specimens: choose one.'
        return '' if self._paths else 'Add the files of a tilt series first.'

    def job(self) -> tuple[ThreadJob, str]:
        self._sample_wanted = False
        return ThreadJob(opening_files(self.source())), 'Open'

    def done(self, result: Opened | tuple[tuple[str, Volume], ...]) -> None:
        self.offer(None)
        if not isinstance(result, Opened):
            self._unlist()
            self.volumes.emit(result)
            return
        data = result.data
        if isinstance(data, MapSeries):
            self.session.set_ready_maps(data)
            self.context.maps_view.show_maps(data)
        else:
            assert result.spectrum is not None, 'a series has one'
            self.session.set_series(data, result.spectrum, result.found, result.doubt)
            self.session.sample = self._sample_wanted
            self.context.maps_view.show_series(image_layers.counts_layer(data, result.image), data.angles)
        self._joins = False
        self.table.show_found(data.angles)
        self.opened.setText(_describe(data))
        self._calibrated.forget()
        if isinstance(data, SpectralTiltSeries) and data.energy_unit == 'eV':
            self._calibrated.ask(calibrating(data))
        self.changed.emit()

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
            self.core_loss.add_paths([path for path in source.core_loss if Path(path).exists()])
        for name, field in self.fields.items():
            field.value = getattr(source, name)
        return there

    def state(self) -> dict[str, Any]:
        try:
            tilts = self.core_loss.tilts()
        except DiptomoError:
            tilts = None
        angles = self.table.angles()
        return {
            'paths': list(self._paths if angles is None else self.table.files()),
            'angles': None if angles is None else list(angles),
            'fields': {name: field.value for name, field in self.fields.items()},
            'core_loss': list(self.core_loss.paths()),
            'core_loss_angles': None if tilts is None else list(tilts),
            'opened': self.opened.text() if self.session.angles is not None else '',
        }

    def set_state(self, state: dict[str, Any]) -> None:
        if state.get('paths'):
            self._paths = tuple(state['paths'])
            self._list_files()
            self.table.set_angles(state.get('angles'))
        for name, value in state.get('fields', {}).items():
            if name in self.fields:
                self.fields[name].value = value
        self.core_loss.add_paths(state.get('core_loss', []))
        if state.get('core_loss_angles'):
            self.core_loss.angles.value = state['core_loss_angles']
        opened = self.session.series if self.session.series is not None else self.session.maps
        if opened is not None:
            self._joins = False
            if not state.get('angles'):
                self.table.show_found(opened.angles)
            self.opened.setText(state.get('opened') or _describe(opened))
        self.changed.emit()

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
            self.opened.setText(f'{_describe(self.session.series)} {text}')

    def _add_buttons(self) -> None:
        row = QHBoxLayout()
        for text, tip, slot in (
            ('Add &files…', 'Choose the files of a tilt series, one per tilt, or one stack.', self._choose_files),
            ('Add f&older…', 'Choose the folder that holds the tilt series.', self._choose_folder),
            ('Clear', 'Forget the files listed below.', self.clear),
            (
                'Load sam&ple',
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
            field.changed.connect(self._edited)
            add_row(self._rows, field)
            self.fields[parameter.name] = field
        self.specimen.changed.connect(self._list_files)
        self.core_loss = CoreLossFiles(self.context.last_used)
        self.core_loss.changed.connect(self._edited)
        self._rows.addRow('Core loss', self.core_loss)
        self.body.addLayout(self._rows)
        self._show_rows(())

    def _show_rows(self, files: Sequence[Path]) -> None:
        """Rows that mean something for these files; of one that goes the value goes too."""
        from napari_diptomo.series.reading.file_selection import IMAGES

        suffixes = {file.suffix.lower() for file in files}
        for name, shown in (
            ('dark_level', bool(suffixes & {*IMAGES, *_ANYTHING})),
            ('beam_energy', not files or not suffixes <= set(IMAGES)),
            ('specimen', bool([choice for choice in self.specimen.choices if choice is not None])),
        ):
            if not shown:
                self.fields[name].value = Source.model_fields[name].default
            self._rows.setRowVisible(self.fields[name].native, shown)

    def _edited(self) -> None:
        if self.session.angles is not None and self._paths:
            self.opened.setText('Changed since it was opened: press Open to read it anew.')
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
        self.start.emit(ThreadJob(sample()), 'Sample')

    def _list_files(self) -> bool:
        """Fill the table; returns whether the files can be opened together."""
        from napari_diptomo.series.reading.angles.evidence import find_angles
        from napari_diptomo.series.reading.file_selection import find_files
        from napari_diptomo.series.reading.specimens import listed, one_specimen, specimens_in

        if not self._paths:
            self.specimen.offer(())
            self._show_rows(())
            self.table.show_files((), None)
            self._show_note('')
            self.changed.emit()
            return True
        self.context.last_used.remember_value('folder', str(Path(self._paths[0]).parent))
        try:
            found = find_files(self._paths)
        except DiptomoError as error:
            self.table.show_files((), None)
            self._show_note(str(error))
            self._paths = ()
            self.changed.emit()
            return False
        specimens = specimens_in(found.data)
        self.specimen.offer([one.name for one in specimens])
        self._show_rows(found.data)
        warm_up()
        if specimens and self.specimen.value is None:
            self.table.show_files(found.data, None)
            self._show_note(f'{len(specimens)} specimens: {listed(specimens)}. Choose one below.')
            self.changed.emit()
            return True
        found = one_specimen(found, self.specimen.value)
        try:
            angles = find_angles(len(found.data), tables=found.tables, files=found.data)
            self.table.show_files(found.data, angles.angles)
            self._show_note(f'Angles: {angles.source}; change one by a double click.')
        except Contradiction as error:
            self.table.show_files(found.data, None)
            self._show_note(str(error))
        except DiptomoError:
            self.table.show_files(found.data, None)
            self._show_note('Angles: as the files say, read when opened; or type them in.')
        self.changed.emit()
        return True


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
    return ' '.join(part for part in parts if part)


def _describe_core_loss(series: SpectralTiltSeries) -> str:
    core = series.core_loss
    if core is None:
        return 'Low loss only, without core loss.'
    tilts = ', '.join(f'{series.angles[tilt]:g}°' for tilt in core.tilts)
    where = 'all tilts' if len(core.tilts) == len(series.angles) else tilts
    return f'Core loss at {where}, {core.energy[0]:.0f} to {core.energy[-1]:.0f} eV.'
