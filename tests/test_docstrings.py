"""Docstrings of everything exported: there, complete, and their examples true.

A function or method with several parameters names them as its signature does, a class of data its fields, a step its
fields by their descriptions. What returns an array, a tuple or a mapping says which, what raises says when.
"""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import docstring_parser
import pydantic
import pytest

import napari_diptomo

PACKAGES = (
    'series',
    'spectra',
    'spectra.edx',
    'spectra.eels',
    'geometry',
    'align',
    'reconstruct',
    'assess',
    'simulate',
    'jobs',
)
SOURCE = Path(napari_diptomo.__file__).parent
#: What users call: each shows how.
SHOWN = (
    'load_tilt_series',
    'MapSeries',
    'Volume',
    'Recipe',
    'run',
    'EDXMaps',
    'EELSOxidationMaps',
    'EdgeMaps',
    'MLLSMaps',
    'WhiteLineMaps',
    'Align',
    'SIRT',
    'PoissonEM',
    'TotalVariation',
    'DIPmTV',
    'Composition',
)
#: Returns that a sentence does not describe: arrays have a shape and a unit, tuples and mappings an order.
TO_DESCRIBE = ('ndarray', 'Array', 'tuple', 'dict', 'Mapping', 'list', 'Callable', 'Any')


def exported() -> dict[str, Any]:
    """Functions, classes and their public methods and properties, by full name."""
    found: dict[str, Any] = {}
    for module in (napari_diptomo, *(importlib.import_module(f'napari_diptomo.{name}') for name in PACKAGES)):
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isfunction(item) or inspect.isclass(item):
                full = f'{item.__module__}.{item.__qualname__}'.removeprefix('napari_diptomo.')
                found[full] = item
                found |= {f'{full}.{name}': method for name, method in _methods(item)}
    return found


def _methods(item: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(item).items() if inspect.isclass(item) else ():
        is_value = isinstance(value, property | cached_property)
        function = _getter(value) if is_value else getattr(value, '__func__', value)
        own = inspect.isfunction(function) and function.__module__.startswith('napari_diptomo')
        if own and not name.startswith('_'):
            yield name, value if is_value else getattr(item, name)


def _getter(value: property | cached_property) -> Any:
    return value.fget if isinstance(value, property) else value.func


def faults(item: Any) -> list[str]:
    """Parts that the docstring of a function, class, method or property lacks."""
    text = inspect.getdoc(item)
    if not text or (inspect.isclass(item) and not vars(item).get('__doc__')):
        return ['no docstring']
    doc = docstring_parser.parse(text, docstring_parser.DocstringStyle.NUMPYDOC)
    found = []
    if not text.split('\n\n')[0].rstrip().endswith(('.', ':')):
        found.append('the first sentence does not end')
    named = [name.strip().lstrip('*') for part in doc.params for name in part.arg_name.split(',')]
    wanted, needed = _parameters(item)
    if named != wanted and (named or needed):
        found.append(f'names {named}, takes {wanted}')
    untyped = [part.arg_name for part in doc.params if not part.type_name]
    if untyped:
        found.append(f'names {untyped} without a type')
    if inspect.isfunction(item) or inspect.ismethod(item):
        returns = str(inspect.signature(item).return_annotation)
        silent = doc.returns is None and returns != 'None'
        if silent and (doc.params or any(word in returns for word in TO_DESCRIBE)):
            found.append(f'no section on the {returns} that it returns')
    unsaid = _raised(item) - {part.type_name for part in doc.raises}
    if unsaid:
        found.append(f'raises {", ".join(sorted(unsaid))} without saying so')
    return found


def _parameters(item: Any) -> tuple[list[str], bool]:
    """Names that the docstring has to have, and whether it has to have any."""
    if isinstance(item, property | cached_property):
        return [], False
    if inspect.isclass(item):
        if issubclass(item, pydantic.BaseModel):  # its fields carry their descriptions
            assert all(field.description for field in item.model_fields.values())
            return [], False
        if dataclasses.is_dataclass(item):
            fields = [field.name for field in dataclasses.fields(item) if not field.name.startswith('_')]
            return fields, True
        if '__init__' not in vars(item):
            return [], False
        item = item.__init__
    names = [name for name in inspect.signature(item).parameters if name != 'self']
    return names, len(names) > 1


def _raised(item: Any) -> set[str]:
    """Exceptions raised by name in the body of a function, or when an object of a class is made."""
    if isinstance(item, property | cached_property):
        item = _getter(item)
    if inspect.isclass(item):
        made = [vars(item)[name] for name in ('__init__', '__post_init__') if name in vars(item)]
        own = [function for function in made if function.__module__.startswith('napari_diptomo')]
        return {name for function in own if _has_source(function) for name in _raised(function)}
    tree = ast.parse(textwrap.dedent(inspect.getsource(item)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def _has_source(function: Any) -> bool:
    return function.__code__.co_filename.endswith('.py')  # not so what dataclasses write


def test_modules_begin_with_a_sentence_on_their_contents():
    for path in SOURCE.rglob('*.py'):
        first = (ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or '').split('\n')[0]
        assert first.endswith('.') and len(first) <= 110 and not first.startswith('What'), f'{path}: {first}'


@pytest.mark.parametrize('name', EXPORTED := exported())
def test_the_docstring_is_complete(name):
    assert not faults(EXPORTED[name])


def test_what_is_missing_is_found():
    def bare(a, b): ...

    def wrong(a, b) -> tuple[int, ...]:
        """Does it.

        Parameters
        ----------
        a : int
        c : int
        """
        raise ValueError('no')

    assert faults(bare) == ['no docstring']
    names, returns, raises = faults(wrong)
    assert names == "names ['a', 'c'], takes ['a', 'b']"
    assert 'tuple[int, ...]' in returns and 'ValueError' in raises


@pytest.mark.parametrize('name', SHOWN)
def test_the_example_is_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    item = getattr(napari_diptomo, name)
    examples = doctest.DocTestParser().get_doctest(inspect.getdoc(item), {}, name, None, 0)
    assert examples.examples, f'{name} shows no example'
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples, out=said.append)
    assert not said, ''.join(said)
