"""Write `map.md`: what stands in each file, and where each formula stands, from the docstrings of the code.

The first sentence of a module's docstring says what is in it. A module that owns formulas, conventions or tables that
readers look for names them in the last paragraph, each with the function or class that computes it, where there is one:
"Formulas: joint norm of total variation (`joint_norm`); its dual (`project`)." A name stands once in all the code. Run by
`make docs`; a test fails when the page and the code differ.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).with_name('map.md')
SOURCE = Path(__file__).parents[1] / 'src' / 'napari_diptomo'

HEAD = """# Map of the code

Made by `make docs` from the docstrings. [Developer guide](developer.md): the rules of the house, and the way of a series
through it.
"""
FORMULAS = """## Where each formula stands

Formulas, conventions and tables by name; each stands once.

| what | file | in |
|---|---|---|
"""


@dataclass(frozen=True)
class Formula:
    """One entry of the index.

    Attributes
    ----------
    name : str
        What readers look for.
    path : str
        File, relative to the package.
    owner : str
        Function or class that computes it; empty for the whole module.
    """

    name: str
    path: str
    owner: str


def docstring(path: Path) -> str:
    """Of a module, each paragraph on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return '\n\n'.join(' '.join(paragraph.split()) for paragraph in text.split('\n\n'))


def first_sentence(text: str) -> str:
    """Of a docstring."""
    return re.split(r'(?<=[.!?]) (?=[A-Z`])', text.partition('\n\n')[0])[0].removesuffix('.')


def formulas(path: Path) -> Iterator[Formula]:
    """Entries that a module declares."""
    last = docstring(path).split('\n\n')[-1]
    if last.startswith('Formulas: '):
        for entry in last.removeprefix('Formulas: ').removesuffix('.').split('; '):
            name, _, owner = entry.partition(' (`')
            yield Formula(name, path.relative_to(SOURCE).as_posix(), owner.removesuffix('`)'))


def files() -> list[Path]:
    """All modules that hold more than names of others, in the order of the tree."""
    found = (p for p in SOURCE.rglob('*.py') if p.name != '__init__.py' or p.parent == SOURCE)
    return sorted(found, key=lambda p: p.relative_to(SOURCE).parts)


def tree() -> list[str]:
    """One table for each folder."""
    lines: list[str] = ['## The tree']
    folder = None
    for path in sorted(files(), key=lambda p: (p.relative_to(SOURCE).parent.parts, p.name)):
        if path.parent != folder:
            folder = path.parent
            about = first_sentence(docstring(folder / '__init__.py'))
            name = folder.relative_to(SOURCE.parent).as_posix()
            lines += ['', f'### `{name}/`', '', f'{about}.', '', '| file | holds |', '|---|---|']
        about = first_sentence(docstring(path)).replace('|', '\\|')
        lines.append(f'| `{path.name}` | {about} |')
    return lines


def index() -> list[str]:
    """The rows of the formulas, by name."""
    found = sorted((f for path in files() for f in formulas(path)), key=lambda f: f.name.lower())
    return [f'| {f.name} | `{f.path}` | {f"`{f.owner}`" if f.owner else ""} |' for f in found]


def main(page: Path = PAGE) -> None:
    page.write_text('\n'.join([HEAD, FORMULAS.rstrip('\n'), *index(), '', *tree(), '']), encoding='utf-8')


if __name__ == '__main__':
    main(*map(Path, sys.argv[1:]))
