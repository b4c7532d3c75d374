from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.jobs.demo import summary, workflow
from napari_diptomo.jobs.demo.element_choice import choice_in_words, of_the_specimen
from napari_diptomo.jobs.demo.workflow import DemoSettings, has_screen, in_the_frame_of_the_truth, run_demo
from napari_diptomo.series import Finding, InputError, MapSeries, Recipe, Remedy, Source, load
from napari_diptomo.simulate import demo_series


def make_small(monkeypatch):
    from napari_diptomo.reconstruct import DIPmTV

    monkeypatch.setattr(workflow, '_FAST_PIXELS', 16)
    quick = DIPmTV(iterations=6, widths=(4, 8), skips=(2, 2), precision='float32')
    monkeypatch.setattr(workflow, '_dip', lambda settings: quick)


@pytest.fixture
def small(monkeypatch):
    make_small(monkeypatch)


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """The demo run once: its result, its folder, and what it opened."""
    folder, opened = tmp_path_factory.mktemp('demo') / 'out', []
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch)
        monkeypatch.setattr(workflow, 'open_napari', opened.append)
        monkeypatch.setenv('DISPLAY', ':99')
        return run_demo(DemoSettings(output=folder, fast=True)), folder, opened


def test_the_demo_leaves_volume_recipe_figures_and_scores(small, demo):
    result, folder, opened = demo
    assert opened == [folder / 'volume.hspy']
    for name in ('slices.png', 'maps.png', 'spectrum.png', 'convergence.png'):
        assert (folder / name).read_bytes().startswith(b'\x89PNG')
    volume = load(folder / 'volume.hspy')
    assert volume.data.shape == (3, 16, 16, 16)
    assert volume.channels == ('Ge', 'Sb', 'Te')
    assert volume.recipe == Recipe(Source(paths=('maps.hspy',)), (workflow._dip(None),)), 'what recipe.json repeats'
    assert 'truth' in load(folder / 'maps.hspy').notes['origin']
    scores = json.loads((folder / 'summary.json').read_text())
    assert list(scores['volumes']) == ['SIRT, 30 iterations', 'Joint TV', 'DIPm-TV']
    for values in scores['volumes'].values():
        assert len(values['psnr']) == len(values['ssim']) == 3
        assert set(values['projection_correlation']) == {'Ge', 'Sb', 'Te'}
        assert set(values['correlation_ceiling']) == {'Ge', 'Sb', 'Te'}
    page = (folder / 'summary.md').read_text()
    assert 'Against the known truth' in page
    assert 'DIPm-TV against SIRT, 30 iterations: ' in page
    assert 'DIPm-TV against Joint TV: ' in page
    assert 'Only far above it, beyond three standard errors, was noise fitted' in page
    assert 'set to that of the known truth' in page
    assert 'per axis' in page
    # Without any alignment it is 1.2.
    assert result.alignment_error < 0.4


def test_the_recipe_of_the_demo_runs(demo):
    from napari_diptomo.jobs import run

    first, folder, _ = demo
    again = run(folder / 'recipe.json')
    np.testing.assert_allclose(again.data, first.volumes['DIPm-TV'].data, rtol=1e-4, atol=1e-4)


def test_the_demo_takes_ready_maps_from_a_folder(small, tmp_path, capsys):
    found = (
        Finding('note', 'angles', 'Nobody checked them.', step='EDXMaps'),
        Finding(
            'stop', 'axis', 'There is none.', {'pixels': 3.5}, Remedy('Fix it', 'Align', {'fit_axis': True}), 'Align'
        ),
    )
    simulated = demo_series(size=16)
    maps = MapSeries(
        np.random.default_rng(0).poisson(simulated.clean),
        simulated.series.angles,
        ('Ge', 'Sb', 'Te'),
        2.0,
        findings=found,
    )
    maps.save(tmp_path / 'in.hspy')
    settings = DemoSettings(tmp_path / 'in.hspy', tmp_path / 'out', ('Sb', 'Te'), fast=True, show=False)
    assert run_demo(settings).volumes['Joint TV'].channels == ('Sb', 'Te')
    page = (tmp_path / 'out' / 'summary.md').read_text()
    assert 'known truth' not in page
    assert 'ceiling of the counts' in page
    lines = page.split('## Findings\n\n')[1].splitlines()
    assert lines[0] == '- **stop** (axis, Align): There is none. Remedy: set fit_axis to true in Align.'
    assert '- **note** (angles, EDXMaps): Nobody checked them.' in lines
    listed = json.loads((tmp_path / 'out' / 'summary.json').read_text())['findings']
    assert Finding.from_dict(listed[0]) == found[1]
    printed = capsys.readouterr().out.splitlines()
    assert printed.count(str(found[1])) == printed.count(str(found[0])) == 1, 'each once'
    assert not any(line.startswith('- **') for line in printed)


def test_choosing_the_origin_undoes_what_no_data_determine_and_nothing_else():
    simulated = demo_series(size=16)
    angles = np.deg2rad(simulated.series.angles)
    moved = np.stack([np.full(len(angles), 1.5), 2 * np.cos(angles) - 3 * np.sin(angles)], axis=1)
    maps = MapSeries(simulated.clean, simulated.series.angles, ('Ge', 'Sb', 'Te'), shifts=simulated.shifts + moved)
    found, error = in_the_frame_of_the_truth(maps, simulated)
    np.testing.assert_allclose(found.shifts, simulated.shifts, atol=1e-9)
    assert error == pytest.approx(0, abs=1e-9)

    rough = np.random.default_rng(0).normal(0, 0.3, moved.shape)
    _, error = in_the_frame_of_the_truth(replace(maps, shifts=maps.shifts + rough), simulated)
    assert 0.15 < error < 0.35

    tilted = replace(maps, shifts=simulated.shifts + moved - [[0, 1]] * (1 - np.cos(angles))[:, None], axis_shift=1.0)
    found, error = in_the_frame_of_the_truth(tilted, simulated)
    assert error == pytest.approx(0, abs=1e-9)


def test_a_screen_is_there_or_not(monkeypatch):
    monkeypatch.setattr(workflow.sys, 'platform', 'linux')
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert not has_screen()
    monkeypatch.setenv('WAYLAND_DISPLAY', 'wayland-0')
    assert has_screen()


def test_elements_of_the_preparation_are_left_out_and_named():
    found = ('Pt', 'Ti', 'O', 'Si', 'Cu', 'Fe', 'Mg', 'Na')
    assert of_the_specimen(found) == ('Ti', 'O', 'Si', 'Fe', 'Mg')
    words = choice_in_words(('Ti', 'O', 'Si', 'Fe', 'Mg'), found)
    assert 'Elements: Ti, O, Si, Fe, Mg.' in words
    assert 'preparation: Pt, Cu.' in words
    assert 'weaker: Na.' in words
    assert 'ELEMENTS="Ti O Si"' in words
    assert of_the_specimen(('Pt', 'Cu')) == ('Pt', 'Cu'), 'a platinum specimen'
    assert choice_in_words(('Ge',), ('Ge',)) == 'Elements: Ge.'


def test_elements_that_the_simulation_does_not_hold_are_one_sentence(tmp_path):
    with pytest.raises(InputError, match='holds Ge, Sb, Te and no Fe'):
        run_demo(DemoSettings(output=tmp_path, elements=('Ge', 'Fe'), show=False))


def test_elements_that_no_volume_explains_are_named():
    row = {'projection_correlation': {'Ti': 0.74, 'O': 0.95}, 'correlation_ceiling': {'Ti': 0.98, 'O': 0.97}}
    words = ' '.join(summary._stray_elements({'channels': ['Ti', 'O'], 'volumes': {'SIRT': row}}))
    assert 'maps of Ti are' in words
    assert 'ELEMENTS="O"' in words
    row['projection_correlation']['Ti'] = 0.9
    assert summary._stray_elements({'channels': ['Ti', 'O'], 'volumes': {'SIRT': row}}) == []
