"""More has headings, files have a button, presets stand in the order of their cost."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton

from napari_diptomo.align import Align
from napari_diptomo.assess import Composition
from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.spectra import EdgeMaps, EDXMaps, EELSOxidationMaps, MLLSMaps, WhiteLineMaps
from napari_diptomo.widgets.controls.parameter_groups import FURTHER_GROUPS, GROUPS, OTHER, grouped
from napari_diptomo.widgets.controls.step_form import StepForm


def advanced(kind: Any) -> list[str]:
    return [parameter.name for parameter in kind.parameters() if parameter.advanced]


def test_every_parameter_of_the_network_has_a_heading() -> None:
    found = grouped(advanced(DIPmTV))
    assert list(found)[:4] == list(GROUPS)
    assert sorted(name for names in found.values() for name in names) == sorted(advanced(DIPmTV))
    assert len(found.get(OTHER, ())) <= len(advanced(DIPmTV)) // 4, 'a new parameter wants a heading'


def test_no_heading_names_a_parameter_that_is_gone() -> None:
    known = {name for kind in (DIPmTV, TotalVariation, SIRT) for name in kind.model_fields}
    assert {name for names in GROUPS.values() for name in names} <= known


MAPPING = (EDXMaps, EELSOxidationMaps, EdgeMaps, WhiteLineMaps, MLLSMaps, Composition)


@pytest.mark.parametrize('kind', [Align, DIPmTV, TotalVariation, PoissonEM, SIRT, *MAPPING])
def test_no_parameter_of_a_long_form_is_left_without_a_heading(kind: Any) -> None:
    assert OTHER not in grouped(advanced(kind))


def test_no_heading_of_maps_names_a_parameter_that_is_gone() -> None:
    known = {name for kind in MAPPING for name in kind.model_fields}
    assert {name for names in FURTHER_GROUPS.values() for name in names} <= known


def test_headings_are_seen_in_a_long_form_and_not_in_a_short_one(qtbot: Any) -> None:
    for kind, shown in ((DIPmTV, True), (Align, False)):
        form = StepForm(kind)
        qtbot.addWidget(form)
        texts = [label.text() for label in form.findChildren(QLabel)]
        assert any('<b>Network</b>' in text for text in texts) is shown


def test_what_is_folded_away_takes_the_height_of_its_title(qtbot: Any) -> None:
    form = StepForm(DIPmTV)
    qtbot.addWidget(form)
    form.show()
    folded = form.more.height()
    assert folded <= form.more.toggleButton().height() + 4
    form.more.expand(animate=False)
    qtbot.waitUntil(lambda: form.more.height() > 10 * folded, timeout=3_000)


def test_a_file_is_browsed_for(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    form = StepForm(SIRT)
    qtbot.addWidget(form)
    form.show()
    form.more.expand(animate=False)
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *_: ('/data/mask.tif', ''))
    (button,) = [b for b in form.findChildren(QPushButton) if b.text() == 'Browse…']
    qtbot.waitUntil(button.isVisible, timeout=3_000)
    button.click()
    assert form.value().support_file == '/data/mask.tif'
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *_: ('', ''))
    button.click()
    assert form.value().support_file == '/data/mask.tif', 'cancelled'


def test_presets_stand_in_the_order_of_their_cost() -> None:
    presets = next(parameter.choices for parameter in DIPmTV.parameters() if parameter.name == 'preset')
    own = [DIPmTV(preset=preset) for preset in presets if not preset.startswith('published')]
    cost = [step.longest * step.ensemble for step in own]
    assert cost == sorted(cost)
    papers = [DIPmTV(preset=preset).longest for preset in presets if preset.startswith('published')]
    assert papers == sorted(papers)
