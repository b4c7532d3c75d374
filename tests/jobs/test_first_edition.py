"""Files that the first edition wrote load, run and resume: recipes, maps, a volume, a checkpoint of an interrupted run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.jobs import Checkpoint, run
from napari_diptomo.series import MapSeries, Observer, Recipe, UnknownStep, Volume, load

HERE = Path(__file__).parent / 'first_edition'
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


@pytest.mark.parametrize('resume', [False, True], ids=['run', 'resumed'])
def test_a_recipe_runs_and_an_interrupted_run_resumes(resume, tmp_path):
    folder = shutil.copytree(HERE, tmp_path / 'first')
    recipe = Recipe.load(folder / 'maps-to-volume.json')
    checkpoint = Checkpoint(folder / 'run.checkpoint', recipe, interval=1e9, resume=True) if resume else None
    observer = Notes()
    volume = run(recipe, checkpoint=checkpoint, observer=observer)
    # It was interrupted in its seventh iteration.
    assert max(observer.first.values()) == (8 if resume else 1), observer.first
    # Another processor adds up in another order.
    np.testing.assert_allclose(volume.data, load(HERE / 'volume.hspy').data, atol=1e-3)
