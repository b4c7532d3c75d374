"""Parameters of a step as the forms see them; steps in recipes, of this program and of others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.align import Align
from napari_diptomo.jobs import run
from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.series import InputError, MapSeries, Recipe, Source, UnknownStep, Volume, load


def test_leading_parameters_come_first():
    names = [parameter.name for parameter in DIPmTV.parameters()]
    assert names[:2] == ['preset', 'thickness']
    assert len(set(names)) == len(DIPmTV.model_fields)


# Steps of other packages

HERE = Path(__file__).parent


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `lab_steps` as pip would install it, beside whose import lies a mark; the folder of both."""
    folder = tmp_path / 'installed'
    (folder / 'lab_steps-1.dist-info').mkdir(parents=True)
    (folder / 'lab_steps-1.dist-info' / 'METADATA').write_text('Metadata-Version: 2.1\nName: lab-steps\nVersion: 1\n')
    (folder / 'lab_steps-1.dist-info' / 'entry_points.txt').write_text(
        '[napari_diptomo.steps]\nLabFilter = lab_steps:LabFilter\nBroken = lab_steps:gone\nNumber = lab_steps:number\n'
    )
    (folder / 'lab_steps.py').write_text(
        'import pathlib\n'
        'from dataclasses import replace\n'
        'from napari_diptomo.series import Step, param\n'
        f'pathlib.Path({str(tmp_path / "imported")!r}).touch()\n'
        'number = 1\n'
        'class LabFilter(Step):\n'
        '    title = "Filter of the lab"\n'
        '    factor: float = param(2.0, "Factor.", ge=0.0)\n'
        '    def _run(self, data, observer):\n'
        '        return replace(data, data=self.factor * data.data)\n'
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, 'lab_steps', None)
    del sys.modules['lab_steps']
    return folder


TEXT = {'napari-diptomo': 1, 'source': Source().model_dump(mode='json'), 'steps': [{'step': 'LabFilter', 'factor': 3}]}


def maps():
    return MapSeries(np.ones((1, 2, 4, 4)), [-9.0, 9.0], ('Fe',))


def test_a_registered_step_stays_text_until_it_is_run(package, tmp_path):
    recipe = Recipe.from_dict(TEXT)
    assert recipe.to_dict() == TEXT
    assert recipe.steps == (UnknownStep('LabFilter', {'factor': 3}),)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert not (tmp_path / 'imported').exists()
    made = run(recipe, data=maps())
    assert (tmp_path / 'imported').exists()
    np.testing.assert_array_equal(made.data, 3.0)
    assert made.recipe.steps[-1].title == 'Filter of the lab'
    assert made.recipe.to_dict()['steps'] == [{'step': 'LabFilter', 'factor': 3.0}]
    assert Recipe.from_dict(made.recipe.to_dict()) == made.recipe


def test_its_parameters_are_checked_when_it_runs(package):
    wrong = TEXT | {'steps': [{'step': 'LabFilter', 'factor': -1}]}
    with pytest.raises(InputError, match=r'LabFilter: factor: .* greater than or equal to 0'):
        run(Recipe.from_dict(wrong), data=maps())


def test_a_broken_package_is_a_sentence(package):
    with pytest.raises(InputError, match=r"step 'Broken' of the package lab-steps cannot be loaded .*; install"):
        UnknownStep('Broken').resolved()
    with pytest.raises(InputError, match="'Number', registered by an installed package, is no step"):
        UnknownStep('Number').resolved()
    (package / 'lab_steps.py').write_text('this is no Python')
    sys.modules.pop('lab_steps', None)
    with pytest.raises(InputError, match="step 'LabFilter' of the package lab-steps cannot be loaded"):
        UnknownStep('LabFilter').resolved()


HOSTILE = ['antigravity:x', 'unittest.__main__:X', 'lying_around:Step', 'os:system', 'series', '__all__', 'run', '']


@pytest.mark.parametrize('name', HOSTILE)
def test_a_name_from_a_recipe_is_never_imported(tmp_path, monkeypatch, name):
    (tmp_path / 'lying_around.py').write_text('raise SystemExit("executed")')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend('')
    before = set(sys.modules)
    recipe = Recipe.from_dict(TEXT | {'steps': [{'step': name, 'device': 'cpu'}]})
    assert recipe.steps[0].title == name
    with pytest.raises(InputError, match='does not know; correct its name, or install'):
        run(recipe, data=maps())
    assert not {'antigravity', 'unittest.__main__', 'lying_around'} & (set(sys.modules) - before)


@pytest.mark.parametrize('name', HOSTILE)
def test_nor_one_from_a_saved_volume_which_opens_and_keeps_it(tmp_path, monkeypatch, name):
    (tmp_path / 'lying_around.py').write_text('raise SystemExit("executed")')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend('')
    before = set(sys.modules)
    recipe = Recipe(steps=(UnknownStep(name, {'x': [1, {'y': None}]}),))
    Volume(np.ones((1, 2, 2, 2), np.float32), ('Fe',), recipe=recipe).save('v.hspy')
    volume = load('v.hspy')
    assert volume.recipe == recipe
    assert volume.recipe.to_dict()['steps'] == [{'step': name, 'x': [1, {'y': None}]}]
    assert not {'antigravity', 'unittest.__main__', 'lying_around'} & (set(sys.modules) - before)


def test_a_volume_opens_whose_recipe_has_parameters_of_another_version(tmp_path):
    recipe = Recipe(steps=(UnknownStep('SIRT', {'iterations': -3, 'of_the_future': True}),))
    path = Volume(np.ones((1, 2, 2, 2), np.float32), ('Fe',), recipe=recipe).save(tmp_path / 'v.hspy')
    assert load(path).recipe.to_dict()['steps'] == [{'step': 'SIRT', 'iterations': -3, 'of_the_future': True}]
    with pytest.raises(InputError, match='SIRT: iterations'):
        load(path).recipe.resolved()
    with pytest.raises(InputError, match='SIRT: iterations'):
        Recipe.from_dict(recipe.to_dict())


@pytest.mark.parametrize('start', [['-c', '{}'], ['script.py'], ['-m', 'script']])
def test_a_package_that_only_lies_in_the_working_directory_counts_as_not_installed(tmp_path, start):
    """Neither the entry point is seen there, nor does a file of the same name come before the installed module."""
    (tmp_path / 'lying-1.dist-info').mkdir()
    (tmp_path / 'lying-1.dist-info' / 'entry_points.txt').write_text(
        '[napari_diptomo.steps]\nLying = lying_around:Step\n'
    )
    for name in ('lying_around', 'job_steps'):
        (tmp_path / f'{name}.py').write_text('raise SystemExit("executed")')
    code = (
        'from napari_diptomo.series import InputError, UnknownStep\n'
        'print(UnknownStep("job_steps:Count").resolved().title)\n'
        'try:\n    UnknownStep("Lying").resolved()\nexcept InputError as error:\n    print(error)\n'
    )
    (tmp_path / 'script.py').write_text(code)
    path = os.pathsep.join(filter(None, [str(HERE.parent / 'jobs'), os.environ.get('PYTHONPATH', '')]))
    command = [sys.executable, *(part.format(code) for part in start)]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, 'PYTHONPATH': path}, capture_output=True, text=True, check=False
    )
    assert 'executed' not in done.stderr, done.stderr
    title, sentence = done.stdout.splitlines()
    assert title == 'Count'
    assert "'Lying' that this version does not know" in sentence


@pytest.mark.parametrize(
    'values',
    [
        [],
        {'source': {}, 'steps': {}},
        {'source': [], 'steps': []},
        {'source': {}, 'steps': [1]},
        {'source': {}, 'steps': [{}]},
        {'source': {}, 'steps': [{'step': 3}]},
        {'source': {'self': 1}, 'steps': []},
        {'source': {}, 'steps': [{'step': 'SIRT', 'self': 1}]},
    ],
)
def test_what_is_no_recipe_is_a_sentence(values):
    with pytest.raises(InputError):
        Recipe.from_dict(values)


def test_a_step_says_which_stage_is_missing():
    from napari_diptomo import Align, Composition, EDXMaps

    maps = MapSeries(np.ones((1, 2, 4, 4)), [5, 7], ('Ge',))
    with pytest.raises(
        InputError, match=r'^Composition needs a volume but is handed maps; put SIRT or DIPmTV before it'
    ):
        Composition().run(maps)
    with pytest.raises(
        InputError, match=r'^EDXMaps needs a tilt series of spectra but is handed maps; make it the first'
    ):
        EDXMaps(elements=('Ge',)).run(maps)
    with pytest.raises(InputError, match=r'^Align needs maps but is handed str; put EDXMaps before it'):
        Align().run('maps.hspy')


def test_the_unit_of_a_parameter_is_a_sign_without_a_space() -> None:
    (rotation,) = (parameter for parameter in Align.parameters() if parameter.name == 'axis_rotation')
    assert (rotation.unit, rotation.suffix) == ('°', '°')
    assert {p.suffix for p in Align.parameters() if p.unit not in ('', '°')} <= {' pixels', ' nm'}
