"""Sentences of the dock on a finished volume."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.reconstruct import SIRT, TotalVariation, device
from napari_diptomo.reconstruct.refined_geometry import NOTE
from napari_diptomo.series import InputError, Observer, Progress, Recipe, Volume
from napari_diptomo.widgets.pages.reconstruct_page import shifts_are_sought
from napari_diptomo.widgets.pages.run_sentences import describe_volume
from napari_diptomo.widgets.tasks.duration_estimate import kind_of_refinement, trial_of
from napari_diptomo.widgets.tasks.opening import look_over
from napari_diptomo.widgets.tasks.preview_misfit import misfit_of_preview


def test_a_volume_is_described_with_its_size_its_end_and_its_missing_wedge():
    notes = {'stopping': 'iterate 7 of 9 predicts the held-out counts best', 'max_tilt': [-40.0, 35.0]}
    sentence = describe_volume(Volume(np.ones((1, 4, 5, 6)), ('Ge',), 2.0, notes=notes))
    assert sentence == (
        '6 x 5 x 4 voxels of 2 nm. Iterate 7 of 9 predicts the held-out counts best. '
        'Tilts end at -40° and 35°: faces normal to the beam and detail along it are determined by the prior, not by data.'
    )
    sentence = describe_volume(
        Volume(np.ones((1, 4, 5, 6)), ('Ge',), 2.0, notes={'uncertainty': 'the spread of 5 fits'})
    )
    assert sentence.endswith('nm. The spread of 5 fits.')
    assert 'Tilts end' not in describe_volume(
        Volume(np.ones((1, 4, 5, 6)), ('Ge',), 2.0, notes={'max_tilt': [-90, 90]})
    )


def test_the_misfit_of_a_preview_is_that_of_each_element(maps):
    """The second element is left out of the preview, so that all its counts are misfit."""
    volume = SIRT(iterations=30).run(maps).data.copy()
    volume[1] *= 0.5
    sentence = misfit_of_preview(volume, 12, maps, {})(Observer())
    assert sentence.startswith('Misfit at iteration 12: Ge ')
    germanium, tellurium = (
        float(part.split()[-1]) for part in sentence.partition(' (')[0].partition(': ')[2].split(',')
    )
    assert 0.3 < germanium < 1.5 < tellurium
    assert misfit_of_preview(volume[..., ::2, ::2], 12, maps, {})(Observer()) == '', 'binned previews are not compared'


def test_the_first_estimate_is_tried_on_this_machine_and_remembered(dock, maps, qtbot, monkeypatch):
    page, asked = dock.reconstruct_page, []
    monkeypatch.setattr(page._trial, 'ask', asked.append)
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(page)
    assert asked == [], 'nobody sees the page'
    monkeypatch.setattr(page, 'isVisible', lambda: True)
    page.enter()
    assert [step.title for step in asked] == ['DIPm-TV']
    page._trial.measured.emit(trial_of(asked[0]), 1e-6)
    qtbot.waitUntil(lambda: 'by a short trial on this machine' in page.estimate.text(), timeout=60_000)
    page.enter()
    assert len(asked) == 1


def test_no_trial_is_left_where_a_run_has_shown_the_pace(dock, maps, monkeypatch):
    page = dock.reconstruct_page
    monkeypatch.setattr(page, 'isVisible', lambda: True)
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(page)
    assert page._trial.busy
    dock.runs.begin(maps, 'DIPm-TV', Recipe(steps=(page.step(),)))
    for number in range(1, 6):
        page._pace.add(Progress('DIPm-TV', number, 5, 0.1 * number))
    page.done(SIRT(iterations=2).run(maps))
    assert not page._trial.busy


def test_the_note_of_a_run_has_the_misfit_of_its_preview(dock, maps, qtbot):
    dock.open_page.done(look_over(maps))
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    run = dock.runs.begin(maps, 'SIRT', Recipe(steps=(SIRT(),)))
    page.show_preview(SIRT(iterations=5).run(maps).data, 5)
    assert page.note.text() == 'The viewer shows iteration 5.'
    qtbot.waitUntil(lambda: 'Misfit at iteration 5: Ge ' in page.note.text(), timeout=30_000)
    page.show_preview(np.zeros_like(run.maps.data[:, :1]), 6)
    assert page.note.text().startswith('The viewer shows iteration 6. Misfit at iteration 5: Ge ')
    assert not page._misfit.busy, 'no sooner than ten seconds later'


def test_the_misfit_of_a_preview_is_in_the_refined_geometry(dock, maps, qtbot):
    """Maps displaced at random: their volume explains them only with the shifts that the run has found."""
    volume = SIRT(iterations=30).run(maps).data
    moved = np.roll(maps.data, 3, axis=-2)
    displaced = replace(maps, data=np.where(np.arange(7)[:, None, None] % 2, moved, maps.data))
    found = {'used': True, 'angles': list(maps.angles), 'shifts': [[3.0 * (t % 2), 0.0] for t in range(7)]}
    step = TotalVariation(refine_shifts=True)
    dock.open_page.done(look_over(displaced))
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    run = dock.runs.begin(displaced, step.title, Recipe(steps=(step,)))
    page.show_preview(volume, 500)
    assert page.note.text() == 'The viewer shows iteration 500. Its misfit is shown once the shifts are refined.'
    assert not page._misfit.busy
    run.noted.update({'shift_refinement': found})
    page.show_preview(volume, 502)
    assert not page._misfit.busy, 'a preview that was on its way when the refinement ended'
    page.show_preview(volume, 3)
    qtbot.waitUntil(lambda: 'Misfit at iteration 3: Ge ' in page.note.text(), timeout=30_000)
    assert all(0.3 < float(value) < 1.5 for value in re.findall(r'(?:Ge|Te) ([\d.]+)', page.note.text()))
    unmoved = misfit_of_preview(volume, 3, displaced, {})(Observer())
    assert all(float(value) > 1.5 for value in re.findall(r'(?:Ge|Te) ([\d.]+)', unmoved))


def test_what_a_run_has_found_reaches_the_window(dock, maps, qtbot, settled):
    """Through the computing process, with the shifts in it."""
    step = TotalVariation(refine_shifts=True, iterations=3)
    dock.open_page.done(look_over(maps))
    dock.reconstruct_page.take_step(step)
    dock.session.start(
        *dock.reconstruct_page.job(), 'Reconstruct', run := dock.runs.begin(maps, step.title, Recipe(steps=(step,)))
    )
    assert shifts_are_sought(run)
    settled(dock)
    assert run.volume is not None, run.error
    assert run.noted == {NOTE: run.volume.notes[NOTE]}
    assert not shifts_are_sought(run)
    found = run.noted[NOTE]
    assert dock.reconstruct_page._paces()[kind_of_refinement(step)] == pytest.approx(found['seconds'] / 16**3)


def entries(form):
    """Texts of the box of devices, and whether they can be chosen."""
    box = form.fields['device'].native
    model = box.model()
    return {box.itemText(i): bool(model.item(i).isEnabled()) for i in range(box.count())}


@pytest.mark.parametrize('lacking', [('cuda', 'mps'), ('mps',), ()])
def test_devices_that_this_machine_lacks_cannot_be_chosen(dock, maps, qtbot, monkeypatch, lacking):
    monkeypatch.setattr(device, 'missing', lambda: {name: f'There is no {name}.' for name in lacking})
    dock.open_page.done(look_over(maps))
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    qtbot.waitUntil(lambda: not page._devices.busy, timeout=30_000)
    for form in page.forms.values():
        assert entries(form) == {name: name not in lacking for name in ('auto', 'cpu', 'cuda', 'mps')}
    assert page.no_device.isHidden()


def test_a_recipe_for_a_device_that_is_not_there_loads_and_says_so(dock, maps, qtbot, monkeypatch, tmp_path):
    sentence = 'This machine offers torch no CUDA device; choose auto or cpu.'
    monkeypatch.setattr(device, 'missing', lambda: {'cuda': sentence})
    Recipe(steps=(SIRT(device='cuda', iterations=3),)).save(tmp_path / 'recipe.json')
    dock.open_recipe(tmp_path / 'recipe.json')
    page = dock.reconstruct_page
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(page)
    qtbot.waitUntil(lambda: not page.no_device.isHidden(), timeout=30_000)
    assert page.no_device.text() == sentence
    assert page.step() == SIRT(device='cuda', iterations=3), 'what the recipe says stays'
    with pytest.raises(InputError, match='no CUDA device'):
        page.job()
    page.forms['SIRT'].fields['device'].value = 'cpu'
    assert page.no_device.isHidden()
    qtbot.waitUntil(lambda: 'Needs about' in page.estimate.text(), timeout=30_000)


def test_auto_is_never_missing():
    assert 'cpu' not in device.missing()
    assert 'auto' not in device.missing()
    assert device.pick('auto').type not in device.missing()


def test_the_weight_of_total_variation_is_chosen_unless_one_is_typed_in(dock, maps):
    dock.open_page.done(look_over(maps))
    page = dock.reconstruct_page
    dock.stages.go_to(page)
    page.method.setCurrentText(TotalVariation.title)
    form = page.forms[TotalVariation.title]
    weight = form.fields['weight']
    assert weight.auto.value and form.value().weight is None
    assert 'empty: chosen by a tenth of the counts' in weight.tooltip
    weight.auto.value = False
    assert form.value() == TotalVariation(weight=0.35)
