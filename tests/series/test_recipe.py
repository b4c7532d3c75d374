"""Recipes as files: where their paths lead."""

from __future__ import annotations

import json

import pytest

from napari_diptomo import EELSOxidationMaps
from napari_diptomo.assess import Composition
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import InputError, Recipe, Source, UnknownStep


@pytest.fixture
def recipe(tmp_path):
    """Data, tables and the files of steps in the folder `work`, and a table above it."""
    work = tmp_path / 'work'
    source = Source(
        paths=(str(work / 'tilts' / 'a.hspy'), str(work / 'tilts' / 'b.hspy')),
        angles=str(work / 'angles.csv'),
        core_loss=(str(tmp_path / 'core.hspy'),),
    )
    steps = (
        EELSOxidationMaps(references=str(work / 'oxides.csv')),
        SIRT(support_file=str(work / 'mask.tif')),
        Composition(factor_table=str(tmp_path / 'factors.csv')),
    )
    for name in ('work/tilts/a.hspy', 'work/tilts/b.hspy', 'work/angles.csv', 'core.hspy'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ('work/oxides.csv', 'work/mask.tif', 'factors.csv'):
        (tmp_path / name).touch()
    return Recipe(source, steps)


def test_paths_in_the_folder_of_the_recipe_are_written_relative_to_it_and_others_whole(recipe, tmp_path):
    written = json.loads(recipe.save(tmp_path / 'work' / 'r.json').read_text())
    assert written['source']['paths'] == ['tilts/a.hspy', 'tilts/b.hspy']
    assert written['source']['angles'] == 'angles.csv'
    assert written['source']['core_loss'] == [str(tmp_path / 'core.hspy')]
    assert written['steps'][0]['references'] == 'oxides.csv'
    assert written['steps'][1]['support_file'] == 'mask.tif'
    assert written['steps'][2]['factor_table'] == str(tmp_path / 'factors.csv')


def test_what_is_read_is_what_was_written_and_a_folder_can_move(recipe, tmp_path):
    path = recipe.save(tmp_path / 'work' / 'r.json')
    assert Recipe.load(path) == recipe
    moved = (tmp_path / 'work').rename(tmp_path / 'elsewhere')
    again = Recipe.load(moved / 'r.json')
    assert again.source.paths[0] == str(moved / 'tilts' / 'a.hspy')
    assert again.steps[1].support_file == str(moved / 'mask.tif')
    assert again.source.core_loss == recipe.source.core_loss


def test_empty_paths_stay_empty_and_a_folder_itself_is_a_dot(tmp_path):
    recipe = Recipe(Source(paths=(str(tmp_path),)), (SIRT(), EELSOxidationMaps()))
    path = recipe.save(tmp_path / 'r.json')
    assert json.loads(path.read_text())['source']['paths'] == ['.']
    again = Recipe.load(path)
    assert again.steps == recipe.steps
    assert again.source.paths == (str(tmp_path),)


def test_files_outside_are_those_that_lead_out_through_dots_and_links_too(recipe, tmp_path):
    work = tmp_path / 'work'
    assert recipe.files_outside(work) == (tmp_path / 'core.hspy', tmp_path / 'factors.csv')
    (work / 'link').symlink_to(tmp_path)
    source = Source(paths=('tilts/a.hspy', '../core.hspy', 'tilts/../../core.hspy', 'link/core.hspy'))
    (work / 'r.json').write_text(Recipe(source).to_json())
    outside = Recipe.load(work / 'r.json').files_outside(work)
    assert [path.resolve() for path in outside] == 3 * [tmp_path / 'core.hspy']


def test_paths_of_steps_of_other_packages_are_left_alone(tmp_path):
    recipe = Recipe(steps=(UnknownStep('LabFilter', {'file': str(tmp_path / 'x')}),))
    assert Recipe.load(recipe.save(tmp_path / 'r.json')) == recipe


@pytest.mark.parametrize('text', ['[' * 100_000, '{"a": ' + '9' * 5000 + '}', '\0', '', 'null', '[]', '"x"'])
def test_text_that_is_no_recipe_is_a_sentence(tmp_path, text):
    (tmp_path / 'r.json').write_text(text)
    with pytest.raises(InputError, match='recipe'):
        Recipe.load(tmp_path / 'r.json')
    (tmp_path / 'r.json').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(InputError, match='not a text file'):
        Recipe.load(tmp_path / 'r.json')
