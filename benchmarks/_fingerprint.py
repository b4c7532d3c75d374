"""Fingerprints of the code behind a method: they change when what it computes may change, and not for a comment.

Hashed are the syntax trees of the module of a step and of all that it imports
within the reconstruction, the geometry and the data it takes, transitively.
Comments, formatting, docstrings, annotations, imports that only these need,
messages (raised or longer than 40 characters) and names of modules do not
count; constants, defaults and names do. A change of what is only imported for
an option that a step does not use, such as an ensemble, does not count either.
"""

from __future__ import annotations

import ast
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

import napari_diptomo

#: Source of a module by its full name; None for what does not belong to the package.
Source = Callable[[str], 'str | None']

PACKAGE = 'napari_diptomo'
#: Modules that count: those that begin so ...
_WITHIN = (f'{PACKAGE}.reconstruct.', f'{PACKAGE}.geometry.')
#: ... and of the data that steps take, those that compute.
_ALSO = tuple(
    f'{PACKAGE}.series.{name}'
    for name in ('array_checks', 'counts', 'data', 'detector_images', 'neighbour_mean', 'outliers', 'window_unmixing')
)
#: They estimate memory, report and check; no voxel depends on them.
_SILENT = tuple(
    f'{PACKAGE}.reconstruct.{name}'
    for name in (
        'data_checks',
        'dip.network_memory',
        'field_edges',
        'haadf_particles',
        'joined_run',
        'memory_check',
        'model_checks',
    )
)
#: Modules that are imported only for an option, by the field of the step and the values that do without.
_OPTIONAL: dict[str, tuple[str, tuple[Any, ...]]] = {
    f'{PACKAGE}.reconstruct.dip.ensemble': ('ensemble', (1,)),
    f'{PACKAGE}.reconstruct.shift_refinement': ('refine_shifts', (False,)),
    f'{PACKAGE}.reconstruct.slab_fit': ('support', ('none', 'box', 'mask')),
}
_LONGEST = 40


def fingerprint(step: Mapping[str, Any]) -> str:
    """Of a step as `Step.to_dict` gives it, 10 hexadecimal digits; empty for a step that there is no longer.

    Parameters
    ----------
    step : mapping
        ``step`` is the name of its class, the rest its fields.
    """
    name = str(step['step'])
    module = name.partition(':')[0] if ':' in name else getattr(getattr(napari_diptomo, name, None), '__module__', '')
    if source_on_disk(module) is None:
        return ''
    # Sources are looked at anew every second at most: a table asks thousands of times.
    return _on_disk(module, unused_by(step), int(time.monotonic()))


def unused_by(step: Mapping[str, Any]) -> frozenset[str]:
    """Modules that a step does not import as its fields are."""
    return frozenset(m for m, (field, values) in _OPTIONAL.items() if field in step and step[field] in values)


@lru_cache(maxsize=64)
def _on_disk(module: str, unused: frozenset[str], second: int) -> str:
    return of_module(module, source_on_disk, unused)


def of_module(module: str, source: Source, unused: frozenset[str] = frozenset()) -> str:
    """Of a module and all that counts of what it imports, 10 hexadecimal digits."""
    digests = sorted(_read(text).digest for _, text in _closure(module, source, unused))
    return hashlib.sha256(' '.join(digests).encode()).hexdigest()[:10]


def modules(module: str, source: Source, unused: frozenset[str] = frozenset()) -> set[str]:
    """Names of the modules that `of_module` hashes."""
    return {name for name, _ in _closure(module, source, unused)}


def _closure(module: str, source: Source, unused: frozenset[str]) -> Iterator[tuple[str, str]]:
    waiting, seen = [module], set(unused)
    while waiting:
        name = waiting.pop()
        text = source(name)
        if name in seen or text is None:
            continue
        seen.add(name)
        yield name, text
        for base, imported in _read(text).imports:
            waiting += [found for found in _owner(resolve_name(base, name), imported, source) if _counts(found)]


def _counts(module: str) -> bool:
    return (module.startswith(_WITHIN) or module in _ALSO) and module not in _SILENT


def _owner(module: str, name: str, source: Source) -> list[str]:
    """The module that ``from module import name`` is about: itself, a module in it, or one that it takes the name from."""
    if not module.startswith(PACKAGE):
        return []
    if name and source(f'{module}.{name}') is not None:
        return [f'{module}.{name}']
    text = source(module)
    if text is None:
        return []
    # A package hands on names of its modules; itself it computes nothing.
    exported = _read(text).exports.get(name)
    return [module] if exported is None else _owner(resolve_name(exported[0], module), exported[1], source)


@dataclass(frozen=True)
class _Module:
    """Digest and imports of a source.

    Attributes
    ----------
    digest : str
        Of the tree without what does not count.
    imports : tuple of (str, str)
        Module and name of what the code that counts imports; no name for ``import module``.
    exports : dict of str to (str, str)
        All names imported at the top, with module and name there.
    """

    digest: str
    imports: tuple[tuple[str, str], ...]
    exports: dict[str, tuple[str, str]]


@lru_cache(maxsize=512)
def _read(text: str) -> _Module:
    tree = ast.parse(text)
    exports = {bound: (base, name) for base, name, bound in _imports(tree.body)}
    bare = _Bare().visit(tree)
    kept = [node for node in ast.walk(bare) if isinstance(node, ast.Import | ast.ImportFrom)]
    stripped = _WithoutImports().visit(bare)
    used = {node.id for node in ast.walk(stripped) if isinstance(node, ast.Name)}
    # An import that only annotations needed is as good as none.
    needed = sorted({found for found in _imports(kept) if found[2] in used})
    lines = [
        f'{name} as {bound}' if base.startswith((PACKAGE, '.')) else f'{base} {name} {bound}'
        for base, name, bound in needed
    ]
    digest = hashlib.sha256(repr((sorted(lines), _plain(stripped))).encode()).hexdigest()
    return _Module(digest, tuple((base, name) for base, name, _ in needed), exports)


def _imports(nodes: list[Any]) -> Iterator[tuple[str, str, str]]:
    """Module, name in it and name that is bound, for each import among some statements."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module != '__future__':
            for alias in node.names:
                yield '.' * node.level + (node.module or ''), alias.name, alias.asname or alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, '', alias.asname or alias.name.partition('.')[0]


class _Bare(ast.NodeTransformer):
    """Removes docstrings, annotations and messages."""

    def visit_Expr(self, node: ast.Expr) -> Any:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        if isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING':
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if isinstance(node.annotation, ast.Name) and node.annotation.id == 'TypeAlias':
            return None
        if node.value is None:
            # The fields of a dataclass, and their order, do count.
            return ast.Expr(node.target)
        return self.generic_visit(ast.Assign([node.target], node.value))

    def visit_arg(self, node: ast.arg) -> Any:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id == 'param':
            # Default and limits count; what the form says does not.
            node.args = node.args[:1]
            node.keywords = [k for k in node.keywords if k.arg not in ('description', 'unit', 'advanced')]
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> Any:
        return ast.Constant('') if isinstance(node.value, str) and len(node.value) > _LONGEST else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        fixed = sum(len(part.value) for part in node.values if isinstance(part, ast.Constant))
        return ast.Constant('') if fixed > _LONGEST else self.generic_visit(node)


class _WithoutImports(ast.NodeTransformer):
    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None


def _plain(node: Any) -> Any:
    """A tree as nested tuples that do not depend on the version of Python."""
    if isinstance(node, ast.AST):
        fields = (
            (name, _plain(value))
            for name, value in ast.iter_fields(node)
            if name not in ('ctx', 'kind', 'type_comment')
        )
        return type(node).__name__, tuple(sorted((name, value) for name, value in fields if value not in (None, ())))
    if isinstance(node, list):
        return tuple(_plain(item) for item in node if not isinstance(item, ast.Pass))
    # Not the value: 1, 1.0 and True are equal.
    return None if node is None else repr(node)


@lru_cache(maxsize=512)
def _file(path: Path, changed: int) -> str:
    return path.read_text(encoding='utf-8')


def source_on_disk(module: str) -> str | None:
    """Source on disk of a module of the package, as it is now."""
    head, *parts = module.split('.')
    if head != PACKAGE:
        return None
    path = Path(napari_diptomo.__file__).parent.joinpath(*parts)
    for candidate in (path.with_suffix('.py'), path / '__init__.py'):
        if candidate.exists():
            return _file(candidate, candidate.stat().st_mtime_ns)
    return None
