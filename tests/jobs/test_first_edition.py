"""Files that the first edition wrote load, run and resume: recipes, maps, a volume, a checkpoint of an interrupted run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import Align
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.jobs import Checkpoint, run
from napari_diptomo.series import MapSeries, Observer, Recipe, UnknownStep, Volume, load

HERE = Path(__file__).parent / 'first_edition'
#: What the alignment of the first edition found in these maps: it has been replaced, and the volume belongs to these.
SHIFTS = np.array(
    [
        [0.09642857142857153, -0.2348390456377294],
        [-0.6785714285714286, 0.35786148105944604],
        [-0.4285714285714286, -0.38445414989485993],
        [0.7964285714285713, -0.3033233440134521],
        [-0.003571428571428781, -1.2412461772147334],
        [0.47142857142857125, -0.6455386935911109],
        [-0.2535714285714288, -0.7084185178819681],
    ]
)
AXIS_SHIFT = 3.9176879965657188
RECIPES = sorted(HERE.glob('*.json'))


class Notes(Observer):
    def __init__(self):
        self.first = {}

    def report(self, progress):
        self.first.setdefault(progress.stage, progress.iteration)


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_a_recipe_means_what_it_meant(path):
    written = json.loads(path.read_text())
    recipe = Recipe.load(path)
    assert [step['step'] for step in written['steps']] == [type(step).__name__ for step in recipe.steps]
    assert not any(isinstance(step, UnknownStep) for step in recipe.steps)
    for before, now in zip(written['steps'], recipe.to_dict()['steps'], strict=True):
        if before.pop('choose_weight', False):
            # A weight of None says it today.
            before['weight'] = None
        assert before.items() <= now.items()


def test_maps_keep_their_geometry():
    maps = load(HERE / 'maps.hspy')
    assert isinstance(maps, MapSeries)
    assert maps.channels == ('Ge', 'Sb', 'Te')
    assert maps.data.shape == (3, 7, 16, 16)
    np.testing.assert_array_equal(maps.angles, np.arange(-45.0, 46.0, 15.0))
    np.testing.assert_array_equal(np.unique(maps.data % 1), [0])


def test_a_volume_keeps_its_recipe_and_its_findings():
    volume = load(HERE / 'volume.hspy')
    assert isinstance(volume, Volume)
    assert volume.data.shape == (3, 16, 16, 16)
    assert volume.recipe is not None
    assert [type(step).__name__ for step in volume.recipe.steps] == ['Align', 'DIPmTV']
    assert volume.recipe.steps[1].seed == 5


def test_the_alignment_of_today_finds_the_shifts_of_the_first_edition():
    aligned = Recipe.load(HERE / 'maps-to-volume.json').steps[0].run(load(HERE / 'maps.hspy'))

    def whole(shifts, axis):
        return shifts + axis * np.stack([np.zeros(7), 1 - np.cos(np.deg2rad(aligned.angles))], axis=1)

    difference = whole(aligned.shifts, aligned.axis_shift) - whole(SHIFTS, AXIS_SHIFT)
    assert np.sqrt((without_rigid_motion(difference, aligned.angles) ** 2).mean(axis=0)).max() < 0.3


@pytest.mark.parametrize('resume', [False, True], ids=['run', 'resumed'])
def test_a_recipe_runs_and_an_interrupted_run_resumes(resume, tmp_path, monkeypatch):
    def as_then(self, maps, observer):
        return replace(maps, shifts=SHIFTS, axis_shift=AXIS_SHIFT)

    monkeypatch.setattr(Align, '_run', as_then)
    folder = shutil.copytree(HERE, tmp_path / 'first')
    recipe = Recipe.load(folder / 'maps-to-volume.json')
    checkpoint = Checkpoint(folder / 'run.checkpoint', recipe, interval=1e9, resume=True) if resume else None
    observer = Notes()
    volume = run(recipe, checkpoint=checkpoint, observer=observer)
    # It was interrupted in its seventh iteration.
    assert max(observer.first.values()) == (8 if resume else 1), observer.first
    # Another processor adds up in another order.
    np.testing.assert_allclose(volume.data, load(HERE / 'volume.hspy').data, atol=1e-3)
