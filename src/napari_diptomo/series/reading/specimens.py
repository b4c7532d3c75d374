"""Which specimens the files of a folder are of, by their names.

What several stacks of elements differ by beside the element (``SET_Ge``, ``Virgin_Ge``), or several series of tilts
beside the numbers (``as-grown_-40``, ``annealed_-40``), distinguishes specimens. They are never merged: without a choice
there is no series.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.reading.angles.names import angles_from_names, sign_first
from napari_diptomo.series.reading.element_names import PICTURES, Labelled, labelled
from napari_diptomo.series.reading.file_selection import IMAGES, DataFiles
from napari_diptomo.series.reading.single_images import holds_one_image

#: A number of an angle or a count, with what may stand for its sign and its unit.
_NUMBER = re.compile(
    r'(?:[+\N{EN DASH}\N{MINUS SIGN}-]|(?<![^\W\d_])(?:(?:neg|minus|pos|plus)[ _]?|[mnp]))?\d+(?:[.,]\d+)?\s?_?(?:deg|\N{DEGREE SIGN})?',
    re.IGNORECASE,
)
#: Letters that end in a number: ``s1``, ``sample2``; those of a tilt, of a sign or of a repetition are no name.
_NUMBERED = re.compile(r'(?<![^\W_])([^\W\d_]+)(\d+)(?![^\W_])')
_NO_NAMES = re.compile(
    r'(tilt|angle|alpha|theta|t|a|m|n|p|neg|minus|pos|plus|frames?|scan|pass|rep|repeat|run|r|take|part)$',
    re.IGNORECASE,
)
_SEPARATORS = ' _-.,'
#: What a specimen is called whose names have nothing that the others have not.
_UNNAMED = 'unnamed'
#: What files of the low loss and of the core loss are called, where each tilt has one of both.
_LOW = frozenset({'ll', 'low', 'lowloss', 'zlp'})
_CORE = frozenset({'hl', 'cl', 'core', 'high', 'coreloss', 'highloss'})
#: Kinds of spectra by which files of one specimen are called.
_SIGNALS = frozenset({'edx', 'eds', 'xeds', 'eels', 'll', 'hl'})
#: A specimen has as many files at least.
_LEAST = 2
#: Fewer images that are numbered are no series of tilts.
_LEAST_COUNTED = 3


@dataclass(frozen=True)
class Specimen:
    """One specimen among the files.

    Attributes
    ----------
    name : str
        By which it is chosen.
    files : tuple of Path
        In their order.
    holds : str
        What there is of it, in words.
    """

    name: str
    files: tuple[Path, ...]
    holds: str


def specimens_in(files: Sequence[Path]) -> tuple[Specimen, ...]:
    """The specimens that the names distinguish; empty where the files are of one.

    Parameters
    ----------
    files : sequence of Path
        Files with data.

    Returns
    -------
    tuple of Specimen
        Two or more, in the order of their files.
    """
    found = _by_elements(files) or _by_series(files)
    return () if _losses(found) else found


def losses_apart(files: Sequence[Path]) -> tuple[Specimen, Specimen] | None:
    """The files of the low loss and those of the core loss, where each tilt has one of both; None where it is not so."""
    return _losses(_by_series(files))


def _losses(found: Sequence[Specimen]) -> tuple[Specimen, Specimen] | None:
    low = [one for one in found if one.name.casefold() in _LOW]
    core = [one for one in found if one.name.casefold() in _CORE]
    return (low[0], core[0]) if len(found) == 2 and low and core else None


def one_specimen(files: DataFiles, chosen: str | None) -> DataFiles:
    """The files of one specimen, with the tables that may be its own.

    Parameters
    ----------
    files : DataFiles
        All that was found.
    chosen : str, optional
        Name of the specimen; capitals do not matter.

    Returns
    -------
    DataFiles
        Unchanged where there is one specimen.

    Raises
    ------
    InputError
        There are several and none was chosen, or none has this name.
    """
    found = specimens_in(files.data)
    if not found:
        if chosen and not any(chosen.casefold() in path.stem.casefold() for path in files.data):
            raise InputError(
                f'There is no specimen {chosen}: the names show one specimen only, as in {files.data[0].name}; leave '
                'the specimen empty.'
            )
        return files
    if not chosen:
        raise InputError(
            f'{files.data[0].parent.name} holds {len(found)} {kind_of(found)}, '
            f"{listed(found)}, which are never merged; choose one: specimen='{found[0].name}'."
        )
    mine = next((one for one in found if one.name.casefold() == chosen.casefold()), None)
    if mine is None:
        raise InputError(f'There is no specimen {chosen}; choose among {listed(found)}.')
    others = [one.name for one in found if one is not mine and one.name != _UNNAMED]
    tables = [table for table in files.tables if not any(_names(table, name) for name in others)]
    return replace(files, data=mine.files, tables=tuple(sorted(tables, key=lambda table: not _names(table, mine.name))))


def kind_of(specimens: Sequence[Specimen]) -> str:
    """The word for what the names distinguish: files of one specimen may be of two kinds of spectra."""
    return 'kinds of spectra' if all(one.name.casefold() in _SIGNALS for one in specimens) else 'specimens'


def listed(specimens: Sequence[Specimen]) -> str:
    """Names of specimens, and what there is of each: ``'SET (Ge, Te) and Virgin (Ge, Te)'``."""
    words = [f'{one.name} ({one.holds})' for one in specimens]
    return ' and '.join(filter(None, (', '.join(words[:-1]), words[-1])))


def different_names(files: Sequence[Path]) -> Finding | None:
    """A doubt where stacks that are taken as one specimen have names that differ by more than the element."""
    found = labelled([file.stem for file in files])
    by_rest = {
        _without_numbers(one.rest): file.name for one, file in zip(found, files, strict=True) if _is_element(one)
    }
    if not all(one.label for one in found) or len(by_rest) < _LEAST:
        return None
    first, second = list(by_rest.values())[:2]
    return Finding(
        'doubt',
        'specimens',
        f'{first} and {second} are named differently but were opened as one specimen, since no '
        'element comes twice; where they are two, choose the files of one.',
        {'names': float(len(by_rest))},
    )


def _by_elements(files: Sequence[Path]) -> tuple[Specimen, ...]:
    """Stacks of elements, several of one element: what else is in the name is the specimen."""
    found = labelled([file.stem for file in files])
    named = [(file, one) for file, one in zip(files, found, strict=True) if one.label]
    labels = {one.label for _, one in named}
    # Numbers in the names of spectra are their tilts; stacks of maps may be numbered specimens.
    stacks = len(labels) > 1 and all(file.suffix.lower() in IMAGES for file, _ in named)
    groups: dict[tuple[str, ...], list[tuple[Path, Labelled]]] = {}
    for file, one in named:
        groups.setdefault(one.rest if stacks else _without_numbers(one.rest), []).append((file, one))
    # An image of no specimen in particular is none.
    of_elements = {key: group for key, group in groups.items() if any(_is_element(one) for _, one in group)}
    groups = of_elements or groups
    several = [[one.label for _, one in group] for group in groups.values()]
    doubled = len(set().union(*map(set, several))) < sum(len(set(group)) for group in several) if several else False
    whole = sum(len(set(group)) >= _LEAST for group in several) >= _LEAST
    if len(groups) < 2 or not (doubled or whole):
        return ()
    if not stacks and any(len(set(group)) < len(group) for group in several):
        # One element in many files is a series of tilts, in whose names it stands.
        return ()
    if angles_from_names([group[0][0] for group in groups.values()]) is not None:
        # An image of every element, tilt by tilt.
        return ()
    if stacks and _are_numbered_tilts(groups):
        return ()
    names = _names_of(list(groups))
    return tuple(
        Specimen(name, tuple(file for file, _ in group), ', '.join(one.label for _, one in group))
        for name, group in zip(names, groups.values(), strict=True)
    )


def _are_numbered_tilts(groups: Mapping[tuple[str, ...], Sequence[tuple[Path, Labelled]]]) -> bool:
    """Whether the names count from group to group, and each file holds one image: not a specimen but a tilt."""
    counted = [re.fullmatch(r'\D*(\d+)\D*', name) for name in _names_of(list(groups))]
    numbers = sorted(int(found[1]) for found in counted if found)
    running = len(numbers) == len(groups) >= _LEAST_COUNTED and numbers == list(
        range(numbers[0], numbers[0] + len(numbers))
    )
    labels = {tuple(sorted(one.label for _, one in group)) for group in groups.values()}
    return running and len(labels) == 1 and all(holds_one_image(group[0][0]) for group in groups.values())


def _by_series(files: Sequence[Path]) -> tuple[Specimen, ...]:
    """Series of single tilts, each with names of its own around the numbers, or numbered themselves."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        groups.setdefault(_parts(_NUMBER.sub(' ', sign_first(file.stem))), []).append(file)
    if sum(len(group) >= _LEAST for group in groups.values()) < _LEAST:
        groups = {}
        for file in files:
            marks = (f'{word}{number}' for word, number in _NUMBERED.findall(file.stem) if not _NO_NAMES.match(word))
            groups.setdefault(tuple(marks), []).append(file)
        if not all(len(group) >= _LEAST for group in groups.values()) or () in groups:
            return ()
    if len(groups) < _LEAST or all(file.suffix.lower() in IMAGES for file in files):
        return ()
    names = _names_of(list(groups))
    return tuple(
        Specimen(name, tuple(group), f'{len(group)} {"file" if len(group) == 1 else "files"}')
        for name, group in zip(names, groups.values(), strict=True)
    )


def _is_element(one: Labelled) -> bool:
    return bool(one.label) and one.label.casefold() not in PICTURES


def _names_of(keys: Sequence[tuple[str, ...]]) -> list[str]:
    """The parts of each key that not all have; the whole key where two would be called the same."""
    common = set(keys[0]).intersection(*map(set, keys[1:]))
    names = ['_'.join(part for part in key if part not in common) or _UNNAMED for key in keys]
    return names if len({name.casefold() for name in names}) == len(names) else ['_'.join(key) for key in keys]


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(rf'[{re.escape(_SEPARATORS)}\s]+', text) if part)


def _without_numbers(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for part in parts if not _NUMBER.fullmatch(part))


def _names(table: Path, specimen: str) -> bool:
    """Whether the name of a table holds that of a specimen, as a word."""
    return re.search(rf'(?<![^\W_]){re.escape(specimen)}(?![^\W_])', table.stem, re.IGNORECASE) is not None
