"""Write `parameters.md`: every public step with its parameters, from the one definition in the code.

Run by `make docs`; a test fails when the page and the code differ.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

import napari_diptomo
from napari_diptomo.series import Parameter, Source, Step

PAGE = Path(__file__).with_name('parameters.md')

HEAD = """# Parameters

Every step of a recipe with its parameters, made by `make docs` from the definitions that the forms in napari and the
recipes use as well. Those marked (More) are folded away in the forms.
"""


def public_steps() -> list[type[Step]]:
    """The steps among the public names, in the order in which the package lists them."""
    found = []
    for name in napari_diptomo.__all__:
        kind = getattr(napari_diptomo, name)
        if isinstance(kind, type) and issubclass(kind, Step) and kind is not Step:
            found.append(kind)
    return found


def section(kind: type[BaseModel]) -> str:
    # The source of a recipe is no step, but its fields are declared in the same way.
    name = 'source' if kind is Source else kind.__name__
    parameters = Step.parameters.__func__(kind)  # type: ignore[attr-defined]
    lines = [
        f'## {name}',
        '',
        first_paragraph(kind.__doc__),
        '',
        '| parameter | values | default | unit | what it does |',
        '|---|---|---|---|---|',
    ]
    lines += [row(parameter, open_ends(kind, parameter.name)) for parameter in parameters]
    return '\n'.join(lines) + '\n'


def row(parameter: Parameter, open_ends: tuple[bool, bool]) -> str:
    cells = (
        f'`{parameter.name}`' + (' (More)' if parameter.advanced else ''),
        values(parameter, *open_ends),
        shown(parameter.default),
        parameter.unit,
        parameter.description,
    )
    return '| ' + ' | '.join(cell.replace('|', '\\|').replace('\n', ' ') for cell in cells) + ' |'


def open_ends(kind: type[BaseModel], name: str) -> tuple[bool, bool]:
    """Whether the lower and the upper limit themselves are excluded."""
    limits = kind.model_fields[name].metadata
    return any(hasattr(item, 'gt') for item in limits), any(hasattr(item, 'lt') for item in limits)


def values(parameter: Parameter, above: bool, below: bool) -> str:
    if parameter.choices:
        return ', '.join(f'`{choice}`' for choice in parameter.choices)
    parts = [in_words(parameter.annotation)]
    if parameter.minimum is not None:
        parts.append(f'{"above" if above else "from"} {parameter.minimum:g}')
    if parameter.maximum is not None:
        parts.append(f'{"below" if below else "up to"} {parameter.maximum:g}')
    return ', '.join(parts)


def in_words(annotation: Any) -> str:
    words = {bool: 'yes or no', int: 'whole number', float: 'number', str: 'text', type(None): 'empty'}
    if annotation in words:
        return words[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ', '.join(f'`{arg}`' for arg in args)
    if origin in (Union, types.UnionType):
        return ' or '.join(in_words(arg) for arg in args)
    if origin in (tuple, list):
        return 'list of ' + in_words(args[0])
    return getattr(annotation, '__name__', str(annotation))


def shown(default: Any) -> str:
    if default is None or default == () or default == '':
        return 'empty'
    if isinstance(default, bool):
        return 'yes' if default else 'no'
    if isinstance(default, tuple):
        return ', '.join(f'`{item}`' for item in default)
    return f'`{default}`'


def first_paragraph(docstring: str | None) -> str:
    return ' '.join((docstring or '').strip().split('\n\n')[0].split())


def main(path: Path) -> None:
    parts = [HEAD, *(section(kind) for kind in (Source, *public_steps()))]
    path.write_text('\n'.join(parts), encoding='utf-8')


if __name__ == '__main__':
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
