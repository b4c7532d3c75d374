"""Write the tables of `recipes.md`: fields of the source, steps with what they take and give, commands.

Run by `make docs`, after `make_parameter_tables.py`; a test fails when the page and the code differ. The text around the
tables is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, get_type_hints

from make_parameter_tables import public_steps, section
from typer.main import get_command

from napari_diptomo.cli import app
from napari_diptomo.series import Source

PAGE = Path(__file__).with_name('recipes.md')
WORDS = {'SpectralTiltSeries': 'spectra', 'MapSeries': 'maps', 'Volume': 'a volume'}


def source_fields() -> str:
    """One row per field of the source."""
    rows = section(Source).split('\n\n', 2)[2].rstrip()
    return rows.replace('| parameter |', '| field of `source` |', 1)


def steps() -> str:
    """One row per step."""
    lines = ['| step | input | output | what it does |', '|---|---|---|---|']
    for kind in public_steps():
        hints = get_type_hints(kind._run)
        given = next(hint for name, hint in hints.items() if name not in ('observer', 'return'))
        about = ' '.join((kind.__doc__ or '').strip().split('\n\n')[0].split())
        link = f'[`{kind.__name__}`](parameters.md#{kind.__name__.lower()})'
        lines.append(f'| {link} | {words(given)} | {words(hints["return"])} | {about} |')
    return '\n'.join(lines)


def words(kind: Any) -> str:
    return WORDS.get(getattr(kind, '__name__', ''), str(kind))


def commands() -> str:
    """One row per command, with its options."""
    lines = ['| command | purpose |', '|---|---|']
    for name, command in sorted(get_command(app).commands.items()):
        given = []
        for part in command.params:
            if part.param_type_name == 'argument':
                text = (part.metavar or part.name or '').upper().strip('[]').removesuffix('...')
                given.append(text if part.required else f'[{text}]')
            elif part.name not in ('debug', 'help'):
                text = '/'.join(sorted(part.opts, key=len, reverse=True)[:1])
                text = text if part.is_flag else f'{text} {(part.name or "").upper()}'
                given.append(text if part.required else f'[{text}]')
        about = (command.help or '').split('\n\n')[0].replace('\n', ' ')
        lines.append(f'| `diptomo {" ".join([name, *given])}` | {about} |')
    return '\n'.join(lines)


def written(text: str) -> str:
    """The page with its tables anew."""
    for name, table in (('source', source_fields), ('steps', steps), ('commands', commands)):
        block = re.compile(rf'(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)', re.DOTALL)
        made = table()
        assert block.search(text), name
        text = block.sub(lambda found, made=made: f'{found[1]}\n{made}\n{found[2]}', text)
    return text


if __name__ == '__main__':
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(written(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
