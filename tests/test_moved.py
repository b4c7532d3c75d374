"""Former names of modules: a sentence with the new one, in Python and in a recipe, and nothing redirected."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec

import pytest

from napari_diptomo import Recipe, _moved
from napari_diptomo.series import DiptomoError


@pytest.mark.parametrize('name', _moved.MOVED)
def test_a_former_name_says_where_the_module_is_now(name):
    with pytest.raises(ModuleNotFoundError) as raised:
        importlib.import_module(f'napari_diptomo.{name}')
    sentence = f'napari_diptomo.{name} has moved: import from napari_diptomo.{_moved.MOVED[name]} instead.'
    assert str(raised.value) == sentence
    assert f'napari_diptomo.{name}' not in sys.modules
    assert find_spec(f'napari_diptomo.{_moved.MOVED[name]}') is not None


def test_so_does_one_that_is_imported_from_its_package():
    with pytest.raises(
        ModuleNotFoundError, match=r'series\.loading has moved: import from napari_diptomo\.series\.read'
    ):
        from napari_diptomo.series import loading  # noqa: F401


@pytest.mark.parametrize('name', ['napari_diptomo.nowhere', 'napari_diptomo.series.nowhere', 'series.loading'])
def test_what_never_was_a_module_is_not_found_as_ever(name):
    with pytest.raises(ModuleNotFoundError, match='No module named'):
        importlib.import_module(name)


def test_the_finder_is_asked_last_and_is_there_once():
    _moved.install()
    assert [type(finder) for finder in sys.meta_path].count(_moved.FormerNames) == 1
    before = [finder for finder in sys.meta_path if type(finder).__module__.startswith('_frozen_importlib')]
    assert all(sys.meta_path.index(f) < sys.meta_path.index(_finder()) for f in before)


def test_a_step_of_another_package_that_imports_a_former_name_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / 'old_steps.py').write_text('from napari_diptomo.series.loading import load_tilt_series\n')
    info = tmp_path / 'old_steps-1.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: old-steps\nVersion: 1\n')
    (info / 'entry_points.txt').write_text('[napari_diptomo.steps]\nOldFilter = old_steps:OldFilter\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = Recipe.from_dict({'source': {}, 'steps': [{'step': 'OldFilter'}]})
    with pytest.raises(DiptomoError) as raised:
        recipe.resolved()
    moved = 'napari_diptomo.series.loading has moved: import from napari_diptomo.series.reading.tilt_series instead'
    assert f"The step 'OldFilter' of the package old-steps cannot be loaded ({moved}); install" in str(raised.value)


def _finder():
    return next(finder for finder in sys.meta_path if isinstance(finder, _moved.FormerNames))
