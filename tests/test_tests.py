"""Tests that can fail: no `approx` whose own absolute tolerance swallows what it is compared with.

`pytest.approx(1e-22, rel=0.1)` also allows 1e-12 either way, so it equals 0, 1e-15 and -1e-13 alike. An expected
value that small needs its `abs` written down, if only as 0.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TESTS = Path(__file__).parent
#: A thousand times the absolute tolerance that `approx` has by itself.
SMALLEST = 1e-9
NAMESPACE = {'np': np, 'math': math, '__builtins__': {'abs': abs, 'dict': dict, 'float': float, 'max': max, 'min': min}}
FUNCTIONS = {'array', 'asarray', 'full', 'exp', 'log', 'log10', 'sqrt', 'sin', 'cos', 'deg2rad', 'radians', 'sum'}


def swallowed(source: str) -> list[str]:
    """Calls of `approx` in the source of a test module that are refused, as ``'line: code'``.

    Expected values are followed as far as they are written in the module: literals, arithmetic with them, names bound
    to them, tables of them under whatever key, and the values of a parametrised test.
    """
    tree = ast.parse(source)
    found: list[str] = []
    _search(tree.body, {}, found)
    return found


def _search(body: list[ast.stmt], known: Mapping[str, Any], found: list[str]) -> None:
    known = dict(known)
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = {**known, **_parameters(statement, known)}
            _search(statement.body, inner, found)
            continue
        blocks = [getattr(statement, name, []) for name in ('body', 'orelse', 'finalbody')]
        if any(blocks):
            heads = [value for value in ast.iter_child_nodes(statement) if isinstance(value, ast.expr | ast.withitem)]
            _calls(heads, known, found)
            for block in blocks:
                _search(block, known, found)
            # Which branch was taken, and how often, nobody can say here.
            for name in _bound(statement):
                known.pop(name, None)
        else:
            _calls([statement], known, found)
            _bind(statement, known)


def _calls(nodes: list[Any], known: Mapping[str, Any], found: list[str]) -> None:
    for call in (inner for node in nodes for inner in ast.walk(node)):
        if not (isinstance(call, ast.Call) and call.args and _name(call.func) == 'approx'):
            continue
        absolute = [*call.args[2:3], *(keyword.value for keyword in call.keywords if keyword.arg == 'abs')]
        if any(not (isinstance(value, ast.Constant) and value.value is None) for value in absolute):
            continue
        if any(0 < abs(value) < SMALLEST for value in _values(call.args[0], known)):
            found.append(f'{call.lineno}: {ast.unparse(call)}')


def _values(expression: ast.expr, known: Mapping[str, Any]) -> Iterator[float]:
    """Numbers that an expected value can be, as far as the module shows."""
    try:
        yield from _numbers(_evaluated(expression, known))
    except Exception:
        if isinstance(expression, ast.Subscript):
            yield from _values(expression.value, known)
        elif isinstance(expression, ast.List | ast.Tuple):
            for element in expression.elts:
                yield from _values(element, known)
        elif isinstance(expression, ast.Dict):
            for element in expression.values:
                yield from _values(element, known)
        elif isinstance(expression, ast.Call):
            for element in expression.args:
                yield from _values(element, known)
        elif isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Mult | ast.Div):
            # 1e-22 times what a fixture holds.
            yield from _values(expression.left, known)
            yield from _values(expression.right, known)


class _Either(list):
    """Values of a parametrised argument, one at a time."""


def _evaluated(expression: ast.expr, known: Mapping[str, Any]) -> Any:
    for node in ast.walk(expression):
        if isinstance(node, ast.Call) and _name(node.func) not in FUNCTIONS | set(NAMESPACE['__builtins__']):
            raise LookupError
        if isinstance(node, ast.Name) and isinstance(known.get(node.id), _Either) and node is not expression:
            raise LookupError
    return eval(compile(ast.Expression(expression), 'test', 'eval'), dict(NAMESPACE), dict(known))


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | np.ndarray):
        for element in value:
            yield from _numbers(element)
    elif isinstance(value, int | float | np.number) and math.isfinite(value):
        yield float(value)


def _parameters(function: ast.stmt, known: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the arguments that a parametrised test is given."""
    found: dict[str, Any] = {}
    for decorator in getattr(function, 'decorator_list', []):
        if not (isinstance(decorator, ast.Call) and _name(decorator.func) == 'parametrize' and len(decorator.args) > 1):
            continue
        try:
            names, values = (_evaluated(argument, known) for argument in decorator.args[:2])
        except Exception:
            continue
        names = [name.strip() for name in names.split(',')] if isinstance(names, str) else list(names)
        for k, name in enumerate(names):
            found[name] = _Either(value if len(names) == 1 else value[k] for value in values)
    return found


def _bind(statement: ast.stmt, known: dict[str, Any]) -> None:
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        value: ast.expr | None = ast.BinOp(ast.Name(statement.target.id, ast.Load()), statement.op, statement.value)
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        value, targets = statement.value, statement.targets
    elif isinstance(statement, ast.AnnAssign):
        value, targets = statement.value, [statement.target]
    else:
        return
    for name in _bound(statement):
        bound = known.pop(name, None)
        if value is not None and len(targets) == 1 and isinstance(targets[0], ast.Name):
            try:
                known[name] = _evaluated(ast.fix_missing_locations(value), {**known, name: bound})
            except Exception:
                known.pop(name, None)


def _bound(statement: ast.stmt) -> set[str]:
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, 'id', '')


def test_no_tolerance_is_larger_than_what_it_is_the_tolerance_of() -> None:
    paths = sorted(TESTS.rglob('*.py'))
    assert len(paths) > 100
    refused = {path.relative_to(TESTS).as_posix(): swallowed(path.read_text(encoding='utf-8')) for path in paths}
    assert {path: lines for path, lines in refused.items() if lines} == {}


HEAD = 'TABLE = {"O_K": 5.19e-23, "Fe_K": 1.08e-22}\nBOHR = 5.29e-9\n'


@pytest.mark.parametrize(
    'test',
    [
        'assert f() == pytest.approx(1e-22, rel=0.1)',
        'assert f() == approx(-1e-22)',
        'assert f() == pytest.approx(1e-22, rel=0.1, abs=None)',
        'assert f() == pytest.approx([1.0, 3e-15])',
        'assert f() == pytest.approx({"a": 1e-10})',
        'assert f() == pytest.approx(np.array([1e-22]), rel=0.1)',
        'assert f() == pytest.approx(TABLE["O_K"], rel=0.1)',
        'assert f() == pytest.approx(TABLE[key], rel=0.1)',
        'assert f() == pytest.approx(2 * TABLE[key], rel=0.1)',
        'assert f() == pytest.approx(np.pi * BOHR**2, rel=0.1)',
        'expected = np.pi * BOHR**2\n    expected *= np.log(3.0)\n    assert f() == pytest.approx(expected)',
        'assert f() == pytest.approx(published, rel=0.1)',
        'if key:\n        assert f() == pytest.approx(1e-22)',
        'with g(pytest.approx(1e-22)):\n        pass',
        'assert f() == pytest.approx(1e-22 * scale)',
    ],
)
def test_an_approx_that_cannot_fail_is_refused(test: str) -> None:
    decorator = '@pytest.mark.parametrize(("key", "published"), [("O_K", 5.19e-23)])\n'
    assert len(swallowed(f'{HEAD}\n{decorator}def test(key, published, scale):\n    {test}\n')) == 1


@pytest.mark.parametrize(
    'test',
    [
        'assert f() == pytest.approx(1e-22, rel=0.1, abs=0)',
        'assert f() == pytest.approx(1e-22, 0.1, 0.0)',
        'assert f() == pytest.approx(0.0)',
        'assert f() == pytest.approx([0, 1e-3, 7])',
        'assert f() == pytest.approx(TABLE[key] / TABLE["O_K"], rel=1e-12, abs=0)',
        'assert f() == pytest.approx(TABLE["Fe_K"] / TABLE["O_K"], rel=1e-12)',
        'assert f() == pytest.approx(unknown, rel=1e-10)',
        'BOHR = 0.529\n    assert f() == pytest.approx(BOHR**2)',
        'np.testing.assert_allclose(f(), 1e-22)',
    ],
)
def test_an_approx_that_can_fail_is_let_pass(test: str) -> None:
    assert swallowed(f'{HEAD}\ndef test(key, unknown):\n    {test}\n') == []


def test_the_tolerance_that_this_guards_against_is_there() -> None:
    """Should pytest ever drop it, this file can go."""
    unguarded = pytest.approx
    assert unguarded(1e-22, rel=0.1) == 1e-13
    assert unguarded(1e-22, rel=0.1, abs=0) != 1e-13
