"""The composition page as a user meets it: after a run, with a volume that was opened, with factors of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QFileDialog

from napari_diptomo.series import MapSeries, Recipe, Volume, load
from napari_diptomo.widgets.controls.standard_dialog import StandardDialog
from napari_diptomo.widgets.dock import TomographyDock
from napari_diptomo.widgets.layers.composition_layers import shown_volumes
from napari_diptomo.widgets.layers.error_layers import spread_layers
from napari_diptomo.widgets.layers.image_layers import KEY, volume_layers

Settled = Callable[..., None]
WEIGHTS = {'Ge': 72.63, 'Sb': 121.76, 'Te': 127.60}
K = {'Ge': 1.32, 'Sb': 1.0, 'Te': 1.2}


def counted(atoms: dict[str, float], name: str) -> float:
    """Counts per voxel of atoms, with the k-factors above."""
    return atoms[name] * WEIGHTS[name] / K[name] / 10


@pytest.fixture
def volume() -> Volume:
    """Ge2Sb2Te5 on the left, Sb2Te3 on the right, vacuum around; not cubic, so that axes cannot be mistaken."""
    data = np.zeros((3, 8, 12, 16), np.float32)
    for index, name in enumerate(WEIGHTS):
        data[index, 2:6, 2:10, 2:8] = counted({'Ge': 2, 'Sb': 2, 'Te': 5}, name)
        data[index, 2:6, 2:10, 8:14] = counted({'Ge': 0, 'Sb': 2, 'Te': 3}, name)
    notes = {'lines': {'Ge': 'Ge_K', 'Sb': 'Sb_L', 'Te': 'Te_L'}, 'tilts': 17, 'max_tilt': [-40.0, 40.0]}
    return Volume(data, tuple(WEIGHTS), 2.0, notes=notes, recipe=Recipe())


def show(viewer: ViewerModel, volume: Volume) -> None:
    for part in (*volume_layers(volume, 'SIRT'), *spread_layers(volume)):
        viewer.add_layer(Layer.create(*part))


def enter(dock: TomographyDock, qtbot: Any) -> Any:
    page = dock.composition_page
    assert dock.stages.buttons[4].isEnabled()
    dock.stages.buttons[4].click()
    qtbot.waitUntil(lambda: bool(page.factors_note.text()), timeout=60_000)
    page.form.fields['smooth'].value = 0.0
    qtbot.waitUntil(lambda: not page._asker.busy, timeout=60_000)
    return page


def type_factors(page: Any) -> None:
    for row, value in enumerate(K.values()):
        page.factors.item(row, 2).setText(str(value))


def compute(dock: TomographyDock, settled: Settled) -> None:
    dock.run_bar.run_button.click()
    settled(dock)


def percent(viewer: ViewerModel) -> dict[str, Any]:
    return {layer.name: layer for layer in viewer.layers if layer.metadata.get(KEY, {}).get('kind') == 'composition'}


def test_closed_until_there_is_a_volume(dock: TomographyDock, viewer: ViewerModel, volume: Volume) -> None:
    assert dock.stages.buttons[4].text() == '5 Composition'
    assert not dock.stages.buttons[4].isEnabled()
    show(viewer, volume)
    assert dock.stages.buttons[4].isEnabled()
    viewer.layers.clear()
    assert not dock.stages.buttons[4].isEnabled()
    dock.session.set_result(volume)
    assert dock.stages.buttons[4].isEnabled()


def test_from_a_volume_in_the_viewer_to_percent(
    dock: TomographyDock, viewer: ViewerModel, volume: Volume, qtbot: Any, settled: Settled, reported: list[str]
) -> None:
    show(viewer, volume)
    page = enter(dock, qtbot)
    assert [page.factors.item(row, 1).text() for row in range(3)] == ['Ge-K', 'Sb-L', 'Te-L']
    assert 'Calculated, good to' in page.factors_note.text()
    calculated = page.factors.values()
    assert calculated[0] / calculated[1] == pytest.approx(1.32, rel=0.25)

    type_factors(page)
    labels = np.zeros(volume.data.shape[1:], np.uint8)
    labels[2:6, 2:10, 2:8] = 1
    labels[2:6, 2:10, 8:14] = 2
    labels[0] = 3
    viewer.add_layer(Labels(labels, name='phases'))
    page.regions.setCurrentText('phases')
    compute(dock, settled)
    assert reported == []

    made = percent(viewer)
    assert set(made) == {'Ge at.%', 'Sb at.%', 'Te at.%'}
    for name, left, right in (('Ge', 200 / 9, 0), ('Sb', 200 / 9, 40), ('Te', 500 / 9, 60)):
        layer = made[f'{name} at.%']
        assert layer.data[4, 5, 4] == pytest.approx(left, abs=0.02)
        assert layer.data[4, 5, 11] == pytest.approx(right, abs=0.02)
        assert layer.data[0, 0, 0] == 0
        assert tuple(layer.contrast_limits) == (0, 100)
        assert tuple(layer.scale) == (2.0, 2.0, 2.0)
    assert not any(layer.visible for layer in viewer.layers if layer.metadata.get(KEY, {}).get('kind') == 'volume')

    table = page.means
    texts = [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount())]
    assert [row[0] for row in texts] == ['Specimen', 'label 1', 'label 2', 'label 3']
    assert [float(text.split(' ± ')[0]) for text in texts[1][1:]] == pytest.approx([22.2, 22.2, 55.6], abs=0.11)
    assert [float(text.split(' ± ')[0]) for text in texts[2][1:]] == pytest.approx([0, 40, 60], abs=0.11)
    assert texts[3][1:] == ['-'] * 3
    assert 'no counts' in table.item(3, 1).toolTip()
    assert page.result_box.isVisibleTo(page)


def test_computing_again_replaces_and_colours_change_at_once(
    dock: TomographyDock, viewer: ViewerModel, volume: Volume, qtbot: Any, settled: Settled
) -> None:
    dock.session.set_result(volume)
    page = enter(dock, qtbot)
    compute(dock, settled)
    page.form.fields['unit'].value = 'wt.%'
    compute(dock, settled)
    assert set(percent(viewer)) == {'Ge wt.%', 'Sb wt.%', 'Te wt.%'}
    page.palette_box.setCurrentText('RGB')
    brightest = [layer.colormap.map(np.array([1.0]))[0, :3].tolist() for layer in percent(viewer).values()]
    np.testing.assert_allclose(brightest, np.eye(3), atol=0.01)


def test_a_saved_volume_that_is_opened_again(
    dock: TomographyDock,
    viewer: ViewerModel,
    volume: Volume,
    qtbot: Any,
    settled: Settled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_diptomo._reader import read

    spread = Volume(volume.data, volume.channels, 2.0, std=volume.data / 10, notes=volume.notes, transposed=True)
    path = spread.save(tmp_path / 'volume.hspy')
    for part in read(str(path)):
        viewer.add_layer(Layer.create(*part))
    (shown,) = shown_volumes(viewer)
    np.testing.assert_array_equal(shown.volume.data, volume.data)
    np.testing.assert_allclose(shown.volume.std, volume.data / 10)

    page = enter(dock, qtbot)
    type_factors(page)
    compute(dock, settled)
    # Shown as it was recorded, y and x swapped back.
    assert percent(viewer)['Te at.%'].data[4, 11, 5] == pytest.approx(60, abs=0.02)
    monkeypatch.setattr(QFileDialog, 'getSaveFileName', lambda *_: (str(tmp_path / 'made.hspy'), ''))
    page.save_button.click()
    settled(dock)
    saved = load(tmp_path / 'made.hspy')
    np.testing.assert_array_equal(saved.data, page.result.data)
    assert saved.recipe.steps[-1].k_factors == tuple(K.values())
    # A composition is no volume of counts: it is not offered again.
    for part in read(str(tmp_path / 'made.hspy')):
        viewer.add_layer(Layer.create(*part))
    assert len(shown_volumes(viewer)) == 1


def test_factors_from_a_file_and_back(
    dock: TomographyDock, volume: Volume, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock.session.set_result(volume)
    page = enter(dock, qtbot)
    calculated = page.factors.values()
    table = tmp_path / 'factors.csv'
    table.write_text('family,k\nGe_K,1.5\nSb_L,1\nTe_L,1.25\n')
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *_: (str(table), ''))
    page._factors_from_file()
    qtbot.waitUntil(lambda: page.factors.values() == (1.5, 1.0, 1.25), timeout=20_000)
    assert 'From the table' in page.factors_note.text()
    page._factors_calculated()
    qtbot.waitUntil(lambda: page.factors.values() == calculated, timeout=20_000)


def test_what_cannot_be_quantified_is_said(
    dock: TomographyDock, volume: Volume, viewer: ViewerModel, qtbot: Any, settled: Settled, reported: list[str]
) -> None:
    states = Volume(volume.data[:2], ('core', 'shell'), 2.0)
    dock.session.set_result(states)
    page = enter(dock, qtbot)
    assert 'core' in page.factors_note.text()
    compute(dock, settled)
    assert len(reported) == 1 and 'core' in reported[0]
    assert percent(viewer) == {}

    dock.session.set_result(volume)
    enter(dock, qtbot)
    qtbot.waitUntil(lambda: page.factors.rowCount() == 3, timeout=20_000)
    page.factors.item(0, 2).setText('much')
    assert 'Ge is no positive number' in dock.run_bar.status.text()
    assert not dock.run_bar.run_button.isEnabled()


def test_regions_of_another_size_are_refused(
    dock: TomographyDock, volume: Volume, viewer: ViewerModel, qtbot: Any, reported: list[str]
) -> None:
    dock.session.set_result(volume)
    page = enter(dock, qtbot)
    viewer.add_layer(Labels(np.ones((4, 4, 4), np.uint8), name='small'))
    page.regions.setCurrentText('small')
    dock.run_bar.run_button.click()
    assert len(reported) == 1 and 'same size' in reported[0]


def test_regions_that_are_renamed_stay_chosen(
    dock: TomographyDock, volume: Volume, viewer: ViewerModel, settled: Settled, qtbot: Any, reported: list[str]
) -> None:
    dock.session.set_result(volume)
    page = enter(dock, qtbot)
    type_factors(page)
    viewer.add_layer(Labels(np.ones(volume.data.shape[1:], np.uint8), name='Labels'))
    viewer.add_layer(Labels(np.ones((4, 4, 4), np.uint8), name='other'))
    page.regions.setCurrentText('Labels')
    viewer.layers['Labels'].name = 'grains'
    assert page.regions.currentText() == 'grains'
    assert [page.regions.itemText(i) for i in range(page.regions.count())] == ['none', 'grains', 'other']
    compute(dock, settled)
    assert reported == []
    assert page.means.isVisibleTo(dock)


def test_a_volume_of_oxides_has_an_oxidation_state_instead(
    dock: TomographyDock, volume: Volume, viewer: ViewerModel, settled: Settled, qtbot: Any
) -> None:
    """Left is FeO alone, right Fe3O4 alone; a composition in percent is not asked for."""
    data = np.zeros((2, 8, 12, 16), np.float32)
    data[0, 2:6, 2:10, 2:8] = 900.0
    data[1, 2:6, 2:10, 8:14] = 900.0
    dock.session.set_result(Volume(data, ('FeO', 'Fe3O4'), 2.0))
    dock.stages.buttons[4].click()
    page = dock.composition_page
    assert page.oxidation.isVisibleTo(dock)
    assert not page.percent.isVisibleTo(dock)
    page.oxidation.form.fields['smooth'].value = 0.0
    compute(dock, settled)
    assert [layer.name for layer in viewer.layers if layer.visible] == ['Fe2+ fraction']
    assert {'mean valence', 'mean valence ± std', 'Fe2+ fraction ± std'} <= {layer.name for layer in viewer.layers}
    shown = viewer.layers['Fe2+ fraction']
    assert shown.name_overlay.visible and shown.colorbar.visible, 'what the colours say stands on the canvas'
    fraction = shown.data
    assert fraction[4, 5, 4] == pytest.approx(1.0)
    assert fraction[4, 5, 11] == pytest.approx(1 / 3, abs=1e-4)
    assert fraction[0, 0, 0] == 0
    assert 'Fe2+ fraction 0.67' in page.oxidation.note.text()
    assert '0.3 ± 0.1' in page.oxidation.reading.text()
    dock.session.set_result(volume)
    page.enter()
    assert page.percent.isVisibleTo(dock)
    assert not page.oxidation.isVisibleTo(dock)
    qtbot.waitUntil(lambda: not page._asker.busy, timeout=60_000)


def test_factors_of_alpha_lines_typed_and_from_a_table(
    dock: TomographyDock, viewer: ViewerModel, volume: Volume, qtbot: Any, settled: Settled, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, reported: list[str],
) -> None:  # fmt: skip
    """The same specimen, its factors typed for the alpha lines: shares by eXSpy's tables, Ge .883, Sb .506, Te .504."""
    dock.session.set_result(volume)
    page = enter(dock, qtbot)
    families = page.factors.values()
    page.form.fields['factors_of'].value = 'alpha line'
    qtbot.waitUntil(lambda: page.factors.item(0, 1).text() == 'Ge-Ka', timeout=20_000)
    shares = (0.88324, 0.50568, 0.50412)
    of_lines = page.factors.values()
    ratios = [line * share / family for line, share, family in zip(of_lines, shares, families, strict=True)]
    assert ratios == pytest.approx([ratios[0]] * 3, rel=2e-3)
    for row, (value, share) in enumerate(zip(K.values(), shares, strict=True)):
        page.factors.item(row, 2).setText(str(value / share))
    compute(dock, settled)
    assert reported == []
    assert percent(viewer)['Te at.%'].data[4, 5, 4] == pytest.approx(500 / 9, abs=0.03)
    assert [finding.about for finding in page.findings()] == ['factors of lines']
    page.form.fields['factors_of'].value = 'family'
    qtbot.waitUntil(lambda: page.factors.item(0, 1).text() == 'Ge-K', timeout=20_000)
    assert page.factors.values()[0] == pytest.approx(K['Ge'] / shares[0], rel=1e-4)
    page.form.fields['factors_of'].value = 'as named'
    table = tmp_path / 'factors.csv'
    table.write_text(
        ''.join(f'{n}a, {k / s}\n' for n, k, s in zip(('Ge_K', 'Sb_L', 'Te_L'), K.values(), shares, strict=True))
    )
    monkeypatch.setattr(QFileDialog, 'getOpenFileName', lambda *_: (str(table), ''))
    page._factors_from_file()
    qtbot.waitUntil(lambda: page.factors.item(2, 1).text() == 'Te-La', timeout=20_000)
    compute(dock, settled)
    assert percent(viewer)['Te at.%'].data[4, 5, 4] == pytest.approx(500 / 9, abs=0.03)


def test_factors_from_a_standard(
    dock: TomographyDock, volume: Volume, qtbot: Any, settled: Settled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    reported: list[str],
) -> None:  # fmt: skip
    counts = np.array([counted({'Ge': 2, 'Sb': 2, 'Te': 5}, name) for name in WEIGHTS])
    data = np.random.default_rng(0).poisson(20 * counts[:, None, None, None], (3, 1, 24, 24))
    standard = MapSeries(data, [0.0], tuple(WEIGHTS), notes={'lines': volume.notes['lines'], 'beam_energy_keV': 200.0})
    path = standard.save(tmp_path / 'standard.hspy')
    dock.session.set_result(volume)
    page = enter(dock, qtbot)

    def answered(dialog: StandardDialog) -> bool:
        dialog.accept()
        assert 'Choose the files' in dialog.complaint.text()
        dialog.take_files((str(path),))
        dialog.composition.setText('Ge2Sb2Te5')
        dialog.thickness.setText('thin')
        dialog.accept()
        assert 'Thickness, nm: thin is no positive number' in dialog.complaint.text()
        dialog.thickness.clear()
        dialog.accept()
        return True

    monkeypatch.setattr(StandardDialog, 'exec', answered)
    page._factors_from_standard()
    settled(dock)
    assert reported == []
    assert 'Ge_K' in (tmp_path / 'factors.csv').read_text()
    qtbot.waitUntil(lambda: 'From the table' in page.factors_note.text(), timeout=20_000)
    values = page.factors.values()
    assert values[0] / values[1] == pytest.approx(1.32, rel=0.05)
    assert [finding.about for finding in page.findings()] == ['absorption in the standard']
    page._factors_from_standard()
    settled(dock)
    assert len(reported) == 1 and 'factors.csv is there already' in reported[0]
