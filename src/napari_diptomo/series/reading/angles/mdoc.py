"""Tilt angles from SerialEM's metadata beside an image stack (``.mdoc``).

The file is sections of lines ``Key = value``: ``[ZValue = 0]`` for each image of a stack, numbered as in the stack, or
``[Image = name]`` where every tilt is a file of its own, or ``[FrameSet = 0]`` with ``SubFramePath`` for frames. The
sections stand in the order of acquisition; the number, not the place of the section, says which image is meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SECTION = re.compile(r'\[\s*(ZValue|FrameSet|Image)\s*=\s*(.*?)\s*\]\s*$', re.IGNORECASE)
#: The number of an image; a number of thousands of digits cannot be converted.
_IMAGE = re.compile(r'\d{1,9}')
_ENTRY = re.compile(r'(\w+)\s*=\s*(.*?)\s*$')


@dataclass(frozen=True)
class Mdoc:
    """Angles in the order of the images where they are numbered, else of the sections, and file names where it has them.

    Numbered sections of a series whose frames were saved name the file of each.
    """

    angles: tuple[float, ...]
    names: tuple[str, ...]
    numbered: bool


def parse_mdoc(text: str) -> Mdoc | str:
    """The angles of all sections, or in words what is wrong with the text."""
    sections: list[tuple[str, str, dict[str, str]]] = []
    for line in text.splitlines():
        line = line.strip()
        section = _SECTION.match(line)
        if section:
            sections.append((section[1].casefold(), section[2], {}))
        elif line.startswith('['):
            sections.append(('other', '', {}))
        elif sections and (entry := _ENTRY.match(line)):
            sections[-1][2].setdefault(entry[1].casefold(), entry[2])
    images = [section for section in sections if section[0] != 'other']
    if not images:
        return 'has no section for an image ([ZValue = 0])'
    angles: list[float] = []
    for kind, value, entries in images:
        try:
            angles.append(float(entries['tiltangle'].replace(',', '.')))
        except (KeyError, ValueError):
            return f'has no TiltAngle in the section [{kind} = {value}]'
    names = tuple(value if kind == 'image' else entries.get('subframepath', '') for kind, value, entries in images)
    known = all(names) and len(set(names)) == len(names)
    if all(kind == 'zvalue' and _IMAGE.fullmatch(value) for kind, value, _ in images):
        numbers = [int(value) for _, value, _ in images]
        if len(set(numbers)) < len(numbers):
            return 'has two sections for one image'
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        return Mdoc(tuple(angles[i] for i in order), tuple(names[i] for i in order) if known else (), True)
    return Mdoc(tuple(angles), names if all(names) else (), False)
