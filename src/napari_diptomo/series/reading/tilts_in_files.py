"""Images that are stored tilt by tilt, as a file or as a file of frames, to one stack per element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.reading.angles.belonging import shares_name
from napari_diptomo.series.reading.angles.tables import AngleTable, table_or_problem
from napari_diptomo.series.reading.element_names import labelled
from napari_diptomo.series.reading.image_stack import ImageStack

#: Degrees; a stage that moved less during a recording stood still.
_STILL = 0.05
#: Pixel sizes of one series that differ by more are of two magnifications.
SAME_SIZE = 0.01


@dataclass(frozen=True)
class Images:
    """The images of a series.

    Attributes
    ----------
    stacks : tuple of ImageStack
        One for each element or detector.
    tables : tuple of Path
        Tables that may hold the angles of the tilts.
    files : tuple of Path
        The file of each tilt, of the first stack; empty where the stacks were stored whole.
    """

    stacks: tuple[ImageStack, ...]
    tables: tuple[Path, ...]
    files: tuple[Path, ...] = ()


def images_of_tilts(read: Sequence[ImageStack], tables: Sequence[Path]) -> Images:
    """The images of the files, put together where each file is of one tilt.

    Parameters
    ----------
    read : sequence of ImageStack
        File by file.
    tables : sequence of Path
        Found beside them.

    Returns
    -------
    Images
        As read where the files are whole stacks, or the only image of each element.

    Raises
    ------
    InputError
        Not every element has an image at every tilt, or pixel sizes that differ.
    """
    summed, left = _frames_summed(read, tables)
    if any(len(stack.data) > 1 for stack in summed) or len(summed) == 1:
        return Images(tuple(read), tuple(tables))
    groups = _by_label(summed)
    if all(len(group) == 1 for group in groups.values()):
        return Images(tuple(summed), left)
    _check_complete(groups)
    stacks = tuple(_joined(label, group) for label, group in groups.items())
    return Images(stacks, left, tuple(stack.path for stack in next(iter(groups.values()))))


def _frames_summed(read: Sequence[ImageStack], tables: Sequence[Path]) -> tuple[list[ImageStack], tuple[Path, ...]]:
    """Files of several frames at one tilt each as one image each; the tables without those that said so."""
    if len(read) < 2 or all(len(stack.data) == 1 for stack in read):
        return list(read), tuple(tables)
    known: dict[Path, tuple[float, str]] = {}
    used: set[Path] = set()
    for stack in read:
        own = [table for table in tables if shares_name(table, [stack.path])]
        found = _one_angle(stack, own)
        if found is not None:
            known[stack.path] = found
            used.update(own)
    if len(known) < len(read) or np.ptp([angle for angle, _ in known.values()]) < _STILL:
        return list(read), tuple(tables)
    return [_summed(stack, *known[stack.path]) for stack in read], tuple(table for table in tables if table not in used)


def _one_angle(stack: ImageStack, tables: Sequence[Path]) -> tuple[float, str] | None:
    """The angle that all images of a file have and where it is from, by its own table, else by itself."""
    read = [table_or_problem(table) for table in tables]
    sources: list[tuple[Sequence[float | None], str]] = [
        (table.angles, 'the tables of the files') for table in read if isinstance(table, AngleTable)
    ]
    sources += [(angles, 'the metadata of the files') for angles in stack.angles.values()]
    for angles, words in sources:
        known = [angle for angle in angles if angle is not None]
        if len(known) == len(stack.data) and np.ptp(known) < _STILL:
            return float(np.mean(known)), words
    return None


def _summed(stack: ImageStack, angle: float, words: str) -> ImageStack:
    frames = len(stack.data)
    if frames == 1:
        return replace(stack, angles={words: [angle]})
    note = Finding(
        'note',
        'frames',
        f'Each file holds frames of one tilt, {frames} in {stack.path.name}; they are summed.',
        {'frames': float(frames)},
    )
    data = stack.data.sum(axis=0, keepdims=True)
    return replace(stack, data=data, angles={words: [angle]}, findings=(*stack.findings, note))


def _by_label(stacks: Sequence[ImageStack]) -> dict[str, list[ImageStack]]:
    """Images by element or detector, as the names have it, else the metadata."""
    names = [one.label for one in labelled([stack.path.stem for stack in stacks])]
    if not all(names) or len(set(names)) == 1:
        recorded = [stack.label for stack in stacks]
        folders = [one.label for one in labelled([stack.path.parent.name for stack in stacks])]
        names = next((found for found in (recorded, folders) if all(found) and not all(names)), names)
    groups: dict[str, list[ImageStack]] = {}
    for name, stack in zip(names, stacks, strict=True):
        groups.setdefault(name, []).append(stack)
    return groups


def _check_complete(groups: Mapping[str, Sequence[ImageStack]]) -> None:
    fewest = min(groups, key=lambda label: len(groups[label]))
    most = max(groups, key=lambda label: len(groups[label]))
    if len(groups[fewest]) < len(groups[most]):
        raise InputError(
            f'There are {len(groups[most])} images of {most or groups[most][0].path.name} and {len(groups[fewest])} of '
            f'{fewest or groups[fewest][0].path.name}; give one image per tilt of each element, or open those of one alone.'
        )


def _joined(label: str, stacks: Sequence[ImageStack]) -> ImageStack:
    """One stack of single images, in the order of the files."""
    first = stacks[0]
    for stack in stacks:
        if stack.data.shape != first.data.shape:
            raise InputError(
                f'{stack.path.name} has {stack.data.shape[2]} x {stack.data.shape[1]} pixels where {first.path.name} has '
                f'{first.data.shape[2]} x {first.data.shape[1]}; bring the images of all tilts to one size.'
            )
    known = [stack for stack in stacks if stack.pixel_size is not None]
    for stack in known:
        assert stack.pixel_size is not None and known[0].pixel_size is not None
        if abs(stack.pixel_size / known[0].pixel_size - 1) > SAME_SIZE:
            raise InputError(
                f'The pixels of {stack.path.name} are {stack.pixel_size:.4g} nm, those of {known[0].path.name} '
                f'{known[0].pixel_size:.4g} nm; a series is recorded at one magnification.'
            )
    findings: list[Finding] = []
    for stack in stacks:
        findings += [finding for finding in stack.findings if finding.about not in [one.about for one in findings]]
    places = dict.fromkeys(words for stack in stacks for words in stack.angles)
    return ImageStack(
        path=first.path,
        data=np.concatenate([stack.data for stack in stacks]),
        pixel_size=known[0].pixel_size if known else None,
        angles={words: [stack.angles.get(words, [None])[0] for stack in stacks] for words in places},
        label=label or 'images',
        findings=tuple(findings),
    )
