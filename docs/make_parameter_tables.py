"""Write `parameters.md`: every public step with its parameters, from the one definition in the code.

Run by `make docs`; a test fails when the page and the code differ.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

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


def section(name: str, about: str, parameters: tuple[Parameter, ...]) -> str:
    lines = [
        f'## {name}',
        '',
        about,
        '',
        '| parameter | values | default | unit | what it does |',
        '|---|---|---|---|---|',
    ]
    lines += [row(parameter) for parameter in parameters]
    return '\n'.join(lines) + '\n'


def row(parameter: Parameter) -> str:
    cells = (
        f'`{parameter.name}`' + (' (More)' if parameter.advanced else ''),
        values(parameter),
        shown(parameter.default),
        parameter.unit,
        parameter.description,
    )
    return '| ' + ' | '.join(cell.replace('|', '\\|').replace('\n', ' ') for cell in cells) + ' |'


def values(parameter: Parameter) -> str:
    if parameter.choices:
        return ', '.join(f'`{choice}`' for choice in parameter.choices)
    low, high = parameter.minimum, parameter.maximum
    limits = ''
    if low is not None and high is not None:
        limits = f', {low:g} to {high:g}'
    elif low is not None:
        limits = f', from {low:g}'
    elif high is not None:
        limits = f', up to {high:g}'
    return in_words(parameter.annotation) + limits


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


def parameters_of_source() -> tuple[Parameter, ...]:
    # The source is no step, but is described by the same kind of fields.
    return Step.parameters.__func__(Source)  # type: ignore[attr-defined]


def main(path: Path) -> None:
    parts = [HEAD, section('source', first_paragraph(Source.__doc__), parameters_of_source())]
    parts += [section(kind.__name__, first_paragraph(kind.__doc__), kind.parameters()) for kind in public_steps()]
    path.write_text('\n'.join(parts), encoding='utf-8')


if __name__ == '__main__':
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
