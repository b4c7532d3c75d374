"""Findings beneath the pages: they appear, their remedies change the form, a new result replaces them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import Finding, MapSeries, Observer, Remedy, Step, Volume
from napari_diptomo.widgets.controls.findings_panel import COLOURS, FindingsPanel, Shown, Sign, evidence
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.opening import look_over
from napari_diptomo.widgets.tasks.steps import running

NOTE = Finding('note', 'angles', 'Nobody could check <them>.', {'tilts_compared': 17, 'deg': 0.123456}, step='DIPmTV')
WIDER = Remedy('Extend beyond the field', 'DIPmTV', {'beyond_field': True})
DOUBT = Finding('doubt', 'field of view', 'Mass is cut at the edge.', {'cut': 0.12}, WIDER, 'DIPmTV')
STOP = Finding('stop', 'tilt axis', 'No axis explains these maps.', step='Align')


def volume(*findings: Finding) -> Volume:
    return Volume(np.ones((2, 4, 16, 16)), ('Ge', 'Te'), 2.0, findings=findings)


def reconstructed(dock: TomographyDock, maps: MapSeries, *findings: Finding) -> None:
    """The last page in front with a volume that has these findings."""
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(dock.reconstruct_page)
    dock.reconstruct_page.done(volume(*findings))


def texts(dock: TomographyDock) -> list[str]:
    return [row.text.text() for row in dock.findings.rows]


def shown(dock: TomographyDock) -> bool:
    return dock.findings.isVisibleTo(dock)


def press(dock: TomographyDock, qtbot: Any, finding: Finding) -> None:
    row = next(row for row in dock.findings.rows if row.finding == finding)
    assert row.button is not None
    qtbot.mouseClick(row.button, Qt.MouseButton.LeftButton)


def test_evidence_in_degrees_has_their_sign() -> None:
    found = Finding('doubt', 'angles', 'They differ.', {'largest difference, deg': 3.0, 'tilts': 5.0})
    assert '<td>largest difference</td><td>&nbsp;&nbsp;3°</td>' in evidence(found)
    assert '<td>tilts</td><td>&nbsp;&nbsp;5</td>' in evidence(found)


def test_without_findings_there_is_no_panel(dock: TomographyDock, maps: MapSeries) -> None:
    reconstructed(dock, maps)
    assert not shown(dock)
    assert not dock.findings.rows


def test_findings_appear_with_the_result_and_go_with_it(dock: TomographyDock, maps: MapSeries) -> None:
    reconstructed(dock, maps, NOTE, DOUBT, STOP)
    assert shown(dock)
    assert texts(dock) == [
        '<b>Stop in Align: tilt axis.</b> No axis explains these maps.',
        '<b>Doubt: field of view.</b> Mass is cut at the edge.',
        '<b>Note: angles.</b> Nobody could check &lt;them&gt;.',
    ]
    dock.stages.go_to(dock.align_page)
    assert not shown(dock), 'they are of the page with the volume'
    dock.stages.go_to(dock.reconstruct_page)
    dock.reconstruct_page.done(volume(NOTE))
    assert len(texts(dock)) == 1
    dock.session.drop_volume()
    assert not shown(dock)


def test_every_page_shows_those_of_its_result(dock: TomographyDock, maps: MapSeries) -> None:
    opened = replace(NOTE, step='')
    dock.open_page.done(look_over(replace(maps, findings=(opened,))))
    assert texts(dock) == ['<b>Note: angles.</b> Nobody could check &lt;them&gt;.']
    dock.stages.go_to(dock.align_page)
    assert not shown(dock)
    dock.align_page.done(replace(maps, findings=(opened, STOP)))
    assert [row.finding.level for row in dock.findings.rows] == ['stop', 'note']
    assert texts(dock)[0].startswith('<b>Stop: tilt axis.')


def test_the_numbers_and_the_step_are_in_the_tooltip(dock: TomographyDock, maps: MapSeries) -> None:
    reconstructed(dock, maps, NOTE, STOP)
    tip = dock.findings.rows[1].toolTip()
    for text in ('tilts compared', '17', '0.1235', 'Found by DIPmTV.'):
        assert text in tip
    assert dock.findings.rows[0].toolTip() == '<qt>Found by Align.</qt>'


def test_a_remedy_changes_the_form_and_runs_nothing(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    reconstructed(dock, maps, DOUBT)
    page = dock.reconstruct_page
    page.method.setCurrentText('SIRT')
    page.forms['DIPm-TV'].fields['seed'].value = 7
    press(dock, qtbot, DOUBT)
    assert page.method.currentText() == 'DIPm-TV'
    assert page.step().beyond_field is True
    assert page.step().seed == 7, 'the rest stays as it was'
    assert dock.run_bar.status.text() == 'Extends beyond view: on. Press Run to compute again.'
    assert not dock.session.busy
    assert shown(dock), 'it is about the result, which has not changed'


def test_what_holds_for_the_specimen_holds_for_every_method(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    remedy = Remedy('Beyond', 'DIPmTV', {'beyond_field': True, 'thickness': 30.0})
    proposed = Finding('note', 'extended specimen', 'A film.', {}, remedy, 'Align')
    reconstructed(dock, maps, proposed)
    press(dock, qtbot, proposed)
    page = dock.reconstruct_page
    for method in ('DIPm-TV', 'SIRT', 'Poisson EM'):
        page.method.setCurrentText(method)
        assert (page.step().beyond_field, page.step().thickness) == (True, 30.0)


def test_a_remedy_under_more_is_brought_to_light(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    finer = Finding('doubt', 'seed', 'An unlucky one.', {}, Remedy('Another', 'DIPmTV', {'seed': 3}), 'DIPmTV')
    reconstructed(dock, maps, finer)
    form = dock.reconstruct_page.forms['DIPm-TV']
    assert not form.more.isExpanded()
    press(dock, qtbot, finer)
    assert form.fields['seed'].value == 3
    assert form.more.isExpanded()


def test_a_preset_as_a_remedy_refills_the_form(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    from napari_diptomo.reconstruct import DIPmTV

    best = Remedy('Take the preset best', 'DIPmTV', {'preset': 'best', 'seed': 5})
    doubt = Finding('doubt', 'error bars', 'There are none.', {}, best, 'DIPmTV')
    reconstructed(dock, maps, doubt)
    press(dock, qtbot, doubt)
    form = dock.reconstruct_page.forms['DIPm-TV']
    assert form.value() == DIPmTV(preset='best', seed=5)


def test_a_remedy_for_another_page_goes_there(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    farther = Remedy('Search farther', 'Align', {'max_shift': 0.5})
    far = Finding('doubt', 'shifts', 'They reach the limit.', {}, farther, 'Align')
    reconstructed(dock, maps, far)
    press(dock, qtbot, far)
    assert dock.stages.current is dock.align_page
    assert dock.align_page.form is not None
    assert dock.align_page.form.value().max_shift == 0.5
    assert dock.run_bar.status.text() == 'Maximum shift: 0.5. Press Align to compute again.'


def test_choosing_another_method_is_a_remedy(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    other = Finding('doubt', 'noise', 'It is fitted.', {}, Remedy('Use DIPm-TV', 'DIPmTV'), 'SIRT')
    reconstructed(dock, maps, other)
    dock.reconstruct_page.method.setCurrentText('SIRT')
    press(dock, qtbot, other)
    assert dock.reconstruct_page.method.currentText() == 'DIPm-TV'
    assert dock.run_bar.status.text() == 'Use DIPm-TV. Press Run to compute again.'


def test_elements_as_a_remedy_change_the_picker(dock: TomographyDock, qtbot: Any) -> None:
    from napari_diptomo.simulate import edx_tilt_series, lamella

    series = edx_tilt_series(lamella(16), np.arange(-30.0, 31.0, 10.0), peak_counts=60, seed=1).series
    dock.open_page.done(look_over(series))
    dock.stages.go_to(dock.maps_page)
    without = Remedy('Leave Sb out', 'EDXMaps', {'elements': ('Ge', 'Te'), 'background_order': 3})
    stray = Finding('doubt', 'Sb', 'No projection of a specimen.', {}, without, 'EDXMaps')
    made = MapSeries(np.ones((1, 7, 16, 16)), series.angles, ('Sb',), findings=(stray,))
    dock.maps_page.done(made)
    press(dock, qtbot, stray)
    assert dock.maps_page.picker.elements() == ('Ge', 'Te')
    assert dock.maps_page.form is not None
    assert dock.maps_page.form.value().background_order == 3


@pytest.mark.parametrize(
    'remedy', [Remedy('Do', 'NoStep', {}), Remedy('Do', 'DIPmTV', {'magic': 1}), Remedy('Do', 'EDXMaps', {'fit': 'x'})]
)
def test_what_no_page_can_apply_has_no_button(dock: TomographyDock, maps: MapSeries, remedy: Remedy) -> None:
    reconstructed(dock, maps, replace(DOUBT, remedy=remedy))
    assert dock.findings.rows[0].button is None


def test_a_value_that_does_not_do_is_one_sentence_and_changes_nothing(
    dock: TomographyDock, maps: MapSeries, qtbot: Any, reported: list[str]
) -> None:
    bad = replace(DOUBT, remedy=Remedy('Do', 'DIPmTV', {'beyond_field': True, 'iterations': -3}))
    reconstructed(dock, maps, bad)
    press(dock, qtbot, bad)
    assert len(reported) == 1
    assert 'iterations' in reported[0]
    assert dock.reconstruct_page.step().beyond_field is False


class Slow(Step):
    """Maps with a stop, once the test lets it."""

    def _run(self, data: MapSeries, observer: Observer | None) -> MapSeries:
        return replace(data, findings=(STOP,))


def test_a_run_hides_what_it_will_replace_and_reminds_of_a_stop(
    dock: TomographyDock, maps: MapSeries, settled: Callable[..., None]
) -> None:
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(dock.align_page)
    dock.align_page.done(replace(maps, findings=(NOTE,)))
    assert shown(dock)
    dock._start(ThreadJob(running(Slow(), maps)), 'Align', dock.align_page)
    assert not shown(dock)
    settled(dock)
    assert [row.finding.level for row in dock.findings.rows] == ['stop']
    assert dock.run_bar.status.text() == 'Align: done, but the result must not be used: see above.'


def test_a_run_that_fails_keeps_the_result_and_its_findings(
    dock: TomographyDock, maps: MapSeries, settled: Callable[..., None]
) -> None:
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(dock.align_page)
    dock.align_page.done(replace(maps, findings=(NOTE,)))
    dock._start(ThreadJob(running(SIRT(), 'no maps')), 'Align', dock.align_page)
    settled(dock)
    assert [row.finding for row in dock.findings.rows] == [NOTE]


def test_while_something_runs_no_remedy_can_be_pressed(
    dock: TomographyDock, maps: MapSeries, settled: Callable[..., None]
) -> None:
    reconstructed(dock, maps, DOUBT)
    (row,) = dock.findings.rows
    dock._start(ThreadJob(running(Slow(), maps)), 'Align', dock.align_page)
    assert row.button is not None
    assert not row.button.isEnabled()
    settled(dock)


def test_many_findings_take_a_quarter_and_scroll(dock: TomographyDock, maps: MapSeries, qtbot: Any) -> None:
    many = [replace(DOUBT, about=f'tilt {i}', sentence='A long sentence that wraps. ' * 6) for i in range(9)]
    dock.resize(400, 640)
    dock.show()
    qtbot.waitExposed(dock)
    reconstructed(dock, maps, *many, STOP)
    panel = dock.findings
    qtbot.waitUntil(lambda: panel.height() == 160, timeout=3_000)
    assert panel.verticalScrollBar().maximum() > 0
    assert not panel.horizontalScrollBar().isVisible()
    assert dock.minimumSizeHint().width() <= 450
    assert panel.rows[0].finding == STOP
    dock.reconstruct_page.done(volume(NOTE))
    qtbot.waitUntil(lambda: panel.height() < 60, timeout=3_000)
    (row,) = panel.rows
    assert panel.height() >= row.heightForWidth(row.width())
    assert panel.verticalScrollBar().maximum() == 0
    dock.reconstruct_page.done(volume())
    qtbot.waitUntil(lambda: not panel.isVisible(), timeout=3_000)


def test_the_scroll_bar_goes_when_there_is_room(qtbot: Any) -> None:
    panel = FindingsPanel()
    qtbot.addWidget(panel)
    bar = panel.verticalScrollBar()
    wraps = 0
    for words in range(20, 60):
        panel.show_findings([Shown(replace(NOTE, sentence='so ' * words))])
        panel.resize(300, 30)
        qtbot.waitUntil(bar.isVisible, timeout=3_000)
        # The bar takes width: some texts wrap into one more line beside it and would keep it.
        wraps += panel.widget().heightForWidth(panel.viewport().width()) > panel.widget().heightForWidth(300)
        panel.resize(300, panel.sizeHint().height())
        qtbot.waitUntil(lambda: not bar.isVisible(), timeout=3_000)
    assert wraps


def test_levels_differ_in_colour_and_in_shape(dock: TomographyDock, maps: MapSeries) -> None:
    pictures = [Sign(level).grab().toImage() for level in COLOURS]
    masks = []
    for picture in pictures:
        inside = {(x, y) for x in range(16) for y in range(16) if picture.pixelColor(x, y) != picture.pixelColor(0, 0)}
        masks.append(inside)
    assert len({frozenset(mask) for mask in masks}) == len(COLOURS)
    reconstructed(dock, maps, NOTE, STOP)
    assert COLOURS['stop'] in dock.findings.rows[0].styleSheet()


def test_a_sign_is_painted_to_the_end_though_its_frame_is_kept(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sign = Sign('doubt')
    qtbot.addWidget(sign)
    kept: list[Any] = []

    def fail(painter: Any) -> None:
        # As the traceback does of an error that is shown to the user later, or a thread that samples stacks.
        kept.append(painter)
        raise RuntimeError('no ink')

    monkeypatch.setattr(sign, '_draw_letter', fail)
    with qtbot.capture_exceptions() as raised:
        sign.show()
        qtbot.waitUntil(lambda: bool(kept), timeout=3_000)
    assert isinstance(raised[0][1], RuntimeError)
    # A widget that is deleted while it is painted takes napari down.
    assert not any(painter.isActive() and painter.end() for painter in kept)
