"""The field's words: phrases and identifiers that `codespell` with ``tools/words.txt`` cannot see.

A phrase may be in a name, and run over the end of a line, of a comment line or of a literal.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
#: What is refused, and what is said instead.
PHRASES = {
    r'\b(goes|went|going|go) on\b(?! top)': 'extend, continue',
    r'\b(taken|takes|taking) off\b': 'subtract',
    r'\bput(s|ting)? right\b': 'correct',
    r'\blives on\b': 'keeps running',
    r'\b(hold|holds|held) still\b': 'suspend, fix',
    r'\bfor looking\b': 'for visualisation',
    r'\bheld[-\s]out\s+share\b': 'held-out fraction',
    r'\b(shallow|deep) edges?\b': 'low-loss edge, core-loss edge',
    r'(?<!x\s)(?<![\d.])\b1 voxels\b': '1 voxel',
    r'\b(no|has|enough|leaves) room\b': 'memory, space',
    r'\bcounts of losses\b': 'energy-loss counts',
    r'\brests? on the prior\b': 'is determined by the prior',
    r'\bmost is left\b': 'largest residual',
    r'\bcourse of the run\b': 'convergence',
    r'\b(held|hold|holds) against\b': 'compare with',
    r'\breturned, as asked\b': 'iterations',
    r'"""What\b': 'a noun phrase',
}
#: A phrase may also be part of a name. Before each what is quickly seen to be absent: the phrase wherever words begin.
REFUSED = [
    (
        re.compile(phrase.replace(r'\b', '').replace(' ', r'[\s_]+'), re.IGNORECASE),
        re.compile(phrase.replace(' ', r'[\s_]+').replace(r'\b', r'(?:\b|(?<=_)|(?=_))'), re.IGNORECASE),
        instead,
    )
    for phrase, instead in PHRASES.items()
]
#: Words that no name is made of; alone they are `codespell`'s.
PARTS = frozenset(
    [
        'told',
        'tell',
        'tells',
        'mend',
        'mends',
        'mended',
        'wander',
        'wanders',
        'amount',
        'amounts',
        'freed',
        'drawn',
        'believed',
        'footprint',
        'likeness',
    ]
)
#: Keys of files and notes, and names that modules once had.
ALLOWED = {
    'benchmarks/_eels_fit_page.py': {'told_over_bound'},
    'benchmarks/eels_fit.py': {'told_over_bound'},
    'src/napari_diptomo/_moved.py': {'phase_amounts'},
    'src/napari_diptomo/spectra/eels/calibration/calibrated_series.py': {'wanders_by'},
    'src/napari_diptomo/widgets/pages/eels_sentences.py': {'wanders_by'},
}

#: They get the sign of degrees where they are put into a sentence (`series.degrees`).
SIGNED_LATER = {'{0} at {0} deg', '{0} deg'}
#: Pages that quote sentences or rows as results recorded them.
AS_RECORDED = {'haadf-fit.md', 'haadf-measured.md', 'priors.md'}


def found_in(text: str) -> list[str]:
    """The refused phrases and names of a text, each with what is said instead."""
    joined = re.sub(r'(?<!["\'])(["\'])\n\s*[rf]?\1(?!\1)', '', text)
    joined = re.sub(r'\n\s*#:? ', ' ', joined)
    phrases = [
        f'{" ".join(match.group().split())} -> {instead}'
        for anywhere, phrase, instead in REFUSED
        if anywhere.search(joined)
        for match in phrase.finditer(joined)
    ]
    names = (name for name in re.findall(r'\w+', text) if '_' in name and PARTS.intersection(name.lower().split('_')))
    return phrases + [f'{name} -> report, correct, drift, ...' for name in names]


def pages() -> Iterator[Path]:
    for folder in ('src', 'tests', 'benchmarks', 'tools', 'docs'):
        yield from (path for kind in ('*.py', '*.md', '*.yaml') for path in (ROOT / folder).rglob(kind))
    yield from ROOT.glob('*.md')


def test_the_words_are_those_of_the_field() -> None:
    refused = {}
    paths = [path for path in pages() if path != Path(__file__)]
    assert len(paths) > 300
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        allowed = ALLOWED.get(name, set())
        refused[name] = [f for f in found_in(path.read_text(encoding='utf-8')) if f.partition(' ->')[0] not in allowed]
    assert {name: found for name, found in refused.items() if found} == {}


#: A number, or what stands for one in an f-string, with its unit in letters.
DEGREES = re.compile(r'[\d}] (?:deg|degrees)\b(?!-)')


def sentences(path: Path) -> Iterator[str]:
    """What a module says: its strings, f-strings joined, but for docstrings."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    silent = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.JoinedStr)
    }
    within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in silent or id(node) in within:
            continue
        if isinstance(node, ast.JoinedStr):
            yield ''.join(
                str(part.value) if isinstance(part, ast.Constant) else _stands_for(part) for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _stands_for(part: Any) -> str:
    """A placeholder, with a percent sign where the number is formatted with one."""
    style = ast.unparse(part.format_spec) if part.format_spec is not None else ''
    return '{0}%' if style.strip('f"\'').endswith('%') else '{0}'


def test_angles_have_their_sign_wherever_they_are_read() -> None:
    spelled = {}
    for path in (ROOT / 'src').rglob('*.py'):
        name = path.relative_to(ROOT).as_posix()
        spelled[name] = [text for text in sentences(path) if DEGREES.search(text) and text not in SIGNED_LATER]
    for page in (*(ROOT / 'docs').glob('*.md'), ROOT / 'README.md'):
        if page.name not in AS_RECORDED:
            spelled[page.name] = [match.group() for match in DEGREES.finditer(page.read_text(encoding='utf-8'))]
    assert {name: found for name, found in spelled.items() if found} == {}


def test_percent_stands_behind_a_space() -> None:
    close = re.compile(r'(?:\d|\})%(?![(\w])')
    found = {
        path.name: texts
        for path in (ROOT / 'src').rglob('*.py')
        if (texts := [text for text in sentences(path) if close.search(text)])
    }
    assert found == {}


@pytest.mark.parametrize('name', ALLOWED)
def test_what_is_allowed_is_there(name: str) -> None:
    found = {f.partition(' ->')[0] for f in found_in((ROOT / name).read_text(encoding='utf-8'))}
    assert found >= ALLOWED[name]


@pytest.mark.parametrize(
    'text',
    [
        'A slab that goes on beyond the images.',
        'The dark level is taken\noff.',
        "raise InputError(\n    'it is put '\n    'right here'\n)",
        "raise InputError(\n    f'set the held-out '\n    f'share to 0'\n)",
        '#: The window lives\n#: on.',
        'a finding has no room there',
        'made for looking only',
        'the shallow edge of iron',
        'a region of 1 voxels',
        '    """What flows."""',
        'def test_a_wrong_gain_is_told():',
        'def test_the_gain_is_put_right():',
        '_no_room(folder)',
        'told_by = 3',
        'self._tell_angle()',
        'core_told: dict = {}',
    ],
)
def test_a_refused_phrase_is_found(text: str) -> None:
    assert len(found_in(text)) == 1


@pytest.mark.parametrize(
    'text',
    [
        'file.tell() and recommended_max_memory and account_tellurium',
        '2 x 1 x 1 voxels, 21 voxels, 0.1 voxels',
        'It comes on top and is asked whether to continue.',
        "notes['wanders'], notes['told']",
        '"""Whatever is given."""',
        'held_out_share = 0.5  # the held-out fraction',
    ],
)
def test_other_words_pass(text: str) -> None:
    assert found_in(text) == []
