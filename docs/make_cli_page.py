"""Write `cli.md`: every command of ``diptomo`` with its arguments and options, from their one definition.

Run by `make docs`; a test fails when the page and the code differ.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from napari_diptomo.cli import app

PAGE = Path(__file__).with_name('cli.md')

HEAD = """# Command line

Every command of `diptomo`, made by `make docs` from the definitions in the code; `diptomo COMMAND --help` shows the same.

What goes wrong is one sentence on standard error and exit code 1. `diptomo run` and what it leaves when it is
interrupted are in the [user guide](user-guide.md#interrupted-runs), the recipes that it takes in [Recipes](recipes.md).

"""


def section(command: CommandInfo) -> str:
    """A command as Markdown."""
    call = command.callback
    assert call is not None
    name = command.name or call.__name__.replace('_', '-')
    hints = get_type_hints(call, include_extras=True)
    arguments, options = [], []
    for parameter in inspect.signature(call).parameters.values():
        kind, info = get_args(hints[parameter.name])
        if not info.hidden:
            (arguments if isinstance(info, ArgumentInfo) else options).append((parameter, kind, info))
    usage = ' '.join(['diptomo', name, *(placeholder(*argument[:2]) for argument in arguments), '[OPTIONS]'])
    lines = [f'## {name}', '', inspect.cleandoc(call.__doc__ or ''), '', '```sh', usage, '```', '']
    lines += ['| argument or option | default | meaning |', '|---|---|---|']
    lines += [row(f'`{placeholder(*argument[:2])}`', argument[0], argument[2]) for argument in arguments]
    lines += [row(spelt(*option), option[0], option[2]) for option in options]
    return '\n'.join([*lines, ''])


def placeholder(parameter: inspect.Parameter, kind: Any) -> str:
    """An argument as the line of the usage has it."""
    name = parameter.name.upper() + ('...' if get_origin(kind) is list else '')
    return name if parameter.default is parameter.empty else f'[{name}]'


def spelt(parameter: inspect.Parameter, kind: Any, info: OptionInfo) -> str:
    """The names of an option, with the kind of its value."""
    long = f'--{parameter.name.replace("_", "-")}'
    names = [f'`{name}`' for declared in info.param_decls or (long,) for name in declared.split('/')]
    # A switch that names one side alone has no other.
    if kind is bool:
        return ' / '.join(names)
    if not any('--' in name for name in names):
        names.insert(0, f'`{long}`')
    return f'{", ".join(names)} {value_of(kind)}'


def value_of(kind: Any) -> str:
    """Kind of the value of an option, in words."""
    if get_origin(kind) in (Union, UnionType):
        return value_of(next(arg for arg in get_args(kind) if arg is not type(None)))
    if get_origin(kind) is list:
        return value_of(get_args(kind)[0])
    words = {int: 'whole number', float: 'number', str: 'text', Path: 'path'}
    return words.get(kind) or ' or '.join(f'`{choice}`' for choice in get_args(kind)) or kind.__name__.lower()


def row(first: str, parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> str:
    """A line of the table."""
    meaning = ' '.join((info.help or '').split()).replace('|', '\\|')
    return f'| {first} | {default(parameter.default)} | {meaning} |'


def default(value: Any) -> str:
    """The default in words."""
    if value is inspect.Parameter.empty:
        return 'required'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return '' if value in (None, '') else f'`{value}`'


def main(path: Path) -> None:
    """Write the page."""
    parts = [section(command) for command in app.registered_commands if not command.hidden]
    path.write_text(HEAD + '\n'.join(parts), encoding='utf-8')


if __name__ == '__main__':
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
