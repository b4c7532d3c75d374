"""Fingerprints: a comment must not throw a day of measuring away, and no change of the code may go unseen."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from _fingerprint import _SILENT, fingerprint, modules, of_module, source_on_disk, unused_by
from napari_diptomo.reconstruct import SIRT, DIPmTV, TotalVariation
from napari_diptomo.reconstruct.steps.poisson_em import PoissonEM

STEP, RULE = 'napari_diptomo.reconstruct.step', 'napari_diptomo.reconstruct.rule'
SOURCES = {
    STEP: '''"""A step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.reconstruct.rule import shrink
from napari_diptomo.series import InputError, Volume, param

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.other import Other


class Made(Step):
    """Docstring."""

    weight: float = param(0.5, 'Strength.', ge=0)
    count: int

    def _run(self, maps: Volume) -> np.ndarray:
        # A comment.
        if maps.data.min() < 0:
            raise InputError(f'negative: {maps.data.min()}')
        if self.weight > 0.25:
            return shrink(np.abs(maps.data), self.weight)
        print('This sentence is longer than forty characters, hence a message.')
        return maps.data
''',
    RULE: """def shrink(x, weight):
    return x - 2.0 * weight
""",
    'napari_diptomo.reconstruct.other': 'FACTOR = 1\n',
    'napari_diptomo.series': 'from napari_diptomo.series.data import Volume\nfrom napari_diptomo.series.errors import InputError\n',
    'napari_diptomo.series.data': 'class Volume:\n    size = 3\n',
    'napari_diptomo.series.errors': 'class InputError(Exception):\n    code = 1\n',
}


def changed(old: str, new: str, module: str = STEP) -> bool:
    """Whether replacing a text in a module changes the fingerprint of the step."""
    assert old in SOURCES[module]
    after = {**SOURCES, module: SOURCES[module].replace(old, new)}
    return of_module(STEP, SOURCES.get) != of_module(STEP, after.get)


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('# A comment.', '# Another, and longer.'),
        ('"""Docstring."""', '"""Of another class."""'),
        ('"""A step."""\n', ''),
        ('maps: Volume) -> np.ndarray', 'maps: Volume | None) -> object'),
        ('weight: float =', 'weight: int ='),
        ('count: int', 'count: "float | None"'),
        (
            'shrink(np.abs(maps.data), self.weight)',
            'shrink(\n                np.abs(maps.data), self.weight\n            )',
        ),
        ("'Strength.'", '"How strong, in what unit, and when to change it."'),
        ("raise InputError(f'negative: {maps.data.min()}')", "raise InputError('less than 0')"),
        ('longer than forty characters, hence a message', 'of more than forty characters, so a message'),
        ('import InputError, Volume, param', 'import param, Volume, InputError'),
        ('import TYPE_CHECKING', 'import TYPE_CHECKING, Any'),
        ('    from napari_diptomo.reconstruct.other import Other\n', '    pass\n'),
    ],
)
def test_what_computes_nothing_does_not_count(old, new):
    assert not changed(old, new)


@pytest.mark.parametrize(
    ('old', 'new', 'module'),
    [
        ('0.25', '0.26', STEP),
        ('param(0.5', 'param(0.4', STEP),
        ('ge=0', 'ge=1', STEP),
        ('np.abs', 'np.square', STEP),
        ('count: int', 'number: int', STEP),
        ('self.weight > ', 'self.weight >= ', STEP),
        ('2.0', '2.5', RULE),
        ('x - ', 'x + ', RULE),
        ('2.0', '2', RULE),
    ],
)
def test_what_may_change_a_result_counts(old, new, module):
    assert changed(old, new, module)


def test_only_modules_that_compute_and_are_used_count():
    # Volume is named in an annotation alone, Other for the type checker alone, and errors compute nothing.
    assert modules(STEP, SOURCES.get) == {STEP, RULE}
    assert not changed('FACTOR = 1', 'FACTOR = 2', 'napari_diptomo.reconstruct.other')
    assert not changed('code = 1', 'code = 2', 'napari_diptomo.series.errors')
    used = {**SOURCES, STEP: SOURCES[STEP].replace('return maps.data\n', 'return Volume(maps.data)\n')}
    assert modules(STEP, used.get) == {STEP, RULE, 'napari_diptomo.series.data'}


def test_the_name_of_a_module_does_not_count():
    renamed = {**SOURCES, STEP: SOURCES[STEP].replace('reconstruct.rule import', 'reconstruct.shrinkage import')}
    renamed['napari_diptomo.reconstruct.shrinkage'] = renamed.pop(RULE)
    assert of_module(STEP, renamed.get) == of_module(STEP, SOURCES.get)


def test_each_step_counts_what_it_runs():
    def of(step):
        return {
            name.rpartition('.')[2]
            for name in modules(type(step).__module__, source_on_disk, unused_by(step.to_dict()))
        }

    assert {'primal_dual', 'problem', 'parallel_beam', 'neighbour_mean'} <= of(TotalVariation())
    assert {'network', 'fit', 'stopping'} <= of(DIPmTV())
    assert not {'network', 'primal_dual'} & of(SIRT())
    assert 'ensemble' in of(DIPmTV(ensemble=3)) and 'ensemble' not in of(DIPmTV())
    assert 'slab_fit' in of(SIRT(support='slab')) and 'slab_fit' not in of(SIRT())
    prints = [
        fingerprint(step.to_dict()) for step in (SIRT(), PoissonEM(), TotalVariation(), DIPmTV(), DIPmTV(ensemble=3))
    ]
    assert len(set(prints)) == 5
    assert all(len(text) == 10 for text in prints)


def test_a_step_that_is_no_more_has_no_fingerprint():
    assert fingerprint({'step': 'Reconstructor'}) == ''
    assert fingerprint({'step': 'napari_diptomo.reconstruct.gone:Gone'}) == ''


CHILD = """
import json, sys
import numpy as np
import napari_diptomo.reconstruct
import napari_diptomo.reconstruct.steps.poisson_em
from napari_diptomo.series import MapSeries
from napari_diptomo.series.steps import step_from_dict
before = set(sys.modules)
counts = np.random.default_rng(0).poisson(5, (2, 5, 16, 16)).astype(np.float32)
step_from_dict(json.loads(sys.argv[1])).run(MapSeries(counts, np.linspace(-40, 40, 5), ('A', 'B'), 1.0))
# A package hands on names of its modules; itself it computes nothing.
loaded = (name for name in set(sys.modules) - before if not hasattr(sys.modules[name], '__path__'))
print(json.dumps(sorted(loaded)))
"""


@pytest.mark.parametrize(
    'step',
    [SIRT(iterations=2), TotalVariation(iterations=2), DIPmTV(iterations=2)],
    ids=lambda step: type(step).__name__,
)
def test_a_run_imports_no_module_that_does_not_count(step):
    """If one of these fails, a module is imported in a way that the fingerprint does not see, or is optional no more."""
    fields = step.to_dict()
    ended = subprocess.run(
        [sys.executable, '-c', CHILD, json.dumps(fields)], capture_output=True, text=True, check=True
    )
    loaded = {
        name
        for name in json.loads(ended.stdout)
        if name.startswith(('napari_diptomo.reconstruct.', 'napari_diptomo.geometry.'))
    }
    assert 'napari_diptomo.reconstruct.problem' in loaded
    assert loaded <= modules(type(step).__module__, source_on_disk, unused_by(fields)) | set(_SILENT)
