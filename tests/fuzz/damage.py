"""Ways to damage a file, each a function of its bytes and a random generator."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_NUMBERS = (0, 1, 2, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_WORDS = (
    *('0', '-1', '1e999', 'nan', '-inf', '1e-320', '99999999999999999999', '', 'null', 'true', '[]', '{}', '[[1],2]'),
    *('"x"', '0x10', '1,5', '\0', '\ud7ff', 'é' * 50, '/' * 30, '../../x', '1' * 5000, '[' * 3000, 'Infinity'),
)
_EDITS = re.compile(rb'[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|"[^"]*"|\btrue\b|\bfalse\b|\bnull\b')


def flip_bits(data: bytearray, rng: np.random.Generator) -> bytes:
    for at in rng.integers(len(data), size=rng.integers(1, 20)):
        data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def flip_in_header(data: bytearray, rng: np.random.Generator) -> bytes:
    for at in rng.integers(min(len(data), 1024), size=rng.integers(1, 6)):
        data[at] = int(rng.integers(256))
    return bytes(data)


def edit_field(data: bytearray, rng: np.random.Generator) -> bytes:
    """Put a telling number where a 2, 4 or 8 byte field may be."""
    width = int(rng.choice([2, 4, 8]))
    places = max(min(len(data), int(rng.choice([1024, len(data)]))) // width, 1)
    at = width * int(rng.integers(places))
    value = _NUMBERS[rng.integers(len(_NUMBERS))] % 256**width
    data[at : at + width] = value.to_bytes(width, str(rng.choice(['little', 'big'])))
    return bytes(data)


def truncate(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(len(data))])


def blank(data: bytearray, rng: np.random.Generator) -> bytes:
    start, length = _piece(data, rng)
    data[start : start + length] = bytes(length)
    return bytes(data)


def remove(data: bytearray, rng: np.random.Generator) -> bytes:
    start, length = _piece(data, rng)
    return bytes(data[:start] + data[start + length :])


def repeat(data: bytearray, rng: np.random.Generator) -> bytes:
    start, length = _piece(data, rng)
    return bytes(data[: start + length] + data[start:])


def swap(data: bytearray, rng: np.random.Generator) -> bytes:
    length = int(rng.integers(1, max(len(data) // 4, 2)))
    one, other = sorted(int(at) for at in rng.integers(max(len(data) - length, 1), size=2))
    piece = data[one : one + length]
    data[one : one + length] = data[other : other + length]
    data[other : other + length] = piece
    return bytes(data)


def splice(data: bytearray, rng: np.random.Generator) -> bytes:
    """The beginning of the file and the end of it turned round."""
    at = int(rng.integers(len(data)))
    return bytes(data[:at] + data[: len(data) - at][::-1])


def edit_text(data: bytearray, rng: np.random.Generator) -> bytes:
    """Put other words in the place of numbers and of words in quotes."""
    found = list(_EDITS.finditer(data))
    for match in sorted(rng.permutation(len(found))[: rng.integers(1, 4)], reverse=True):
        word = _WORDS[rng.integers(len(_WORDS))].encode('utf-8', 'surrogatepass')
        data[found[match].start() : found[match].end()] = word
    return bytes(data)


def move_lines(data: bytearray, rng: np.random.Generator) -> bytes:
    lines = bytes(data).splitlines(keepends=True)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(lines))) if lines else 0
        lines[at : at + 1] = lines[at : at + 1] * int(rng.integers(3)) if rng.integers(2) else lines[at : at + 1][::-1]
    return b''.join(lines[i] for i in rng.permutation(len(lines))) if rng.integers(3) == 0 else b''.join(lines)


def edit_zip(data: bytearray, rng: np.random.Generator) -> bytes:
    """Damage one member of an archive and pack it anew, or leave it out."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # damaged once before: zipfile and zlib each have their own errors
        return flip_bits(data, rng)
    name = sorted(members)[rng.integers(len(members))]
    content = members.pop(name)
    if rng.integers(5) and content:
        members[name] = _BYTES[rng.integers(len(_BYTES))](bytearray(content), rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED if rng.integers(2) else zipfile.ZIP_STORED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return packed.getvalue()


def edit_hdf5(data: bytearray, rng: np.random.Generator) -> bytes:
    """Remove, empty or replace an attribute, a dataset or a group, with the checksums right."""
    import h5py

    buffer = io.BytesIO(bytes(data))
    try:
        with h5py.File(buffer, 'r+') as file:
            _edit_items(file, rng)
    except Exception:  # damaged once before: h5py raises whatever the broken bytes provoke
        return flip_bits(data, rng)
    return buffer.getvalue()


def _edit_items(file: Any, rng: np.random.Generator) -> None:
    names: list[str] = []
    file.visit(names.append)
    for _ in range(rng.integers(1, 3)):
        item = file[names[rng.integers(len(names))]] if names else file
        attributes = sorted(item.attrs)
        if attributes and rng.integers(3):
            _replace_attribute(item, attributes[rng.integers(len(attributes))], rng)
        elif item.name != '/':
            _replace_item(file, item, rng)
        names = [name for name in names if name in file]


def _replace_attribute(item: Any, name: str, rng: np.random.Generator) -> None:
    del item.attrs[name]
    if rng.integers(4):
        item.attrs[name] = _odd(rng)


def _replace_item(file: Any, item: Any, rng: np.random.Generator) -> None:
    name = item.name
    del file[name]
    kind = rng.integers(3)
    if kind == 1:
        file[name] = _odd(rng)
    elif kind == 2:
        file.create_group(name)


def _odd(rng: np.random.Generator) -> object:
    odd = (
        *(0, -1, 2**63 - 1, 1e300, float('nan'), True, '', 'x', 'é', b'bytes', '1/0', '{"a": 1}', '_bs_empty_'),
        *(np.zeros(0), np.zeros((3, 0, 2)), np.arange(5), np.full((2, 2), np.nan), np.array([b'a', b'b'])),
        *(np.zeros(3, [('a', int), ('b', float)]), np.array(1j), np.zeros((2, 2, 2, 2, 2), np.uint8)),
    )
    return odd[rng.integers(len(odd))]


def _piece(data: bytearray, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(data)))
    return start, int(min(2 ** rng.integers(1, 14), len(data) - start))


Damage = Callable[[bytearray, np.random.Generator], bytes]
_BYTES: tuple[Damage, ...] = (
    flip_bits, flip_in_header, edit_field, edit_field, truncate, blank, remove, repeat, swap, splice, edit_text,
)  # fmt: skip
_TEXT: tuple[Damage, ...] = (flip_bits, truncate, remove, repeat, swap, edit_text, edit_text, edit_text, move_lines)
_TEXTS = {'.csv', '.txt', '.tlt', '.rawtlt', '.json', '.msa', '.rpl', '.zgroup', '.zattrs', '.zarray', '.zmetadata'}


def damage(path: Path, rng: np.random.Generator) -> str:
    """Damage the file, or one file of the folder, in place; returns how, in a word or two."""
    if path.is_dir():
        inside = sorted(p for p in path.rglob('*') if p.is_file())
        path = inside[rng.integers(len(inside))]
    data = bytearray(path.read_bytes())
    if not data:
        path.write_bytes(rng.bytes(16))
        return 'filled'
    ways: tuple[Damage, ...] = _TEXT if path.suffix in _TEXTS or path.name in _TEXTS else _BYTES
    if data[:4] == b'PK\3\4':
        ways = (*ways, *[edit_zip] * 6)
    elif data[:8] == b'\x89HDF\r\n\x1a\n':
        ways = (*ways, *[edit_hdf5] * 8)
    way = ways[rng.integers(len(ways))]
    path.write_bytes(way(data, rng))
    return way.__name__
