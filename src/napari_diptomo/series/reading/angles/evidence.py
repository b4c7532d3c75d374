"""Finding the tilt angles of a series: every source that speaks is read, and they are compared.

Names, metadata, stored axes and tables with file names say of each image which
angle it has. The rows of other tables are matched with these by value, for they
may stand in the order of acquisition; only where nothing else speaks they are
taken in the order of the files. Sources that agree within what a stage is exact
to give the angles of the finest one; of sources that disagree nobody knows which
is right, and the caller is asked. What the caller gives decides, with a doubt
where it differs from the files.

Metadata that give one and the same angle to every file are no evidence: Bruker
files do so whatever the stage did.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_diptomo.series.array_checks import check_degrees
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.evidence import Contradiction, Evidence
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.reading.angles.belonging import is_shared, own_tables, shares_name
from napari_diptomo.series.reading.angles.comparison import STAGE, agree, constant_offset, order_in
from napari_diptomo.series.reading.angles.names import angles_from_names
from napari_diptomo.series.reading.angles.tables import AngleTable, is_angle_name, resolution, table_or_problem
from napari_diptomo.series.reading.angles.tilt_range import doubtful_range

#: A stage that is said to move less than this over a whole series has not been read out.
_STILL = 0.5
#: Files of which equal steps from 0 on may be a numbering.
_LEAST_COUNTED = 3
_NAMES = 'the file names'
_METADATA = 'the metadata of the files'


@dataclass(frozen=True)
class FoundAngles:
    """Angles in degrees, in the order of the files, and where they are from.

    Attributes
    ----------
    angles : ndarray
    source : str
        In words.
    evidence : tuple of Evidence
        What every source said, in the order of the files.
    findings : tuple of Finding
        What is doubtful about them.
    """

    angles: np.ndarray
    source: str
    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()

    def evidence_in(self, order: np.ndarray) -> tuple[Evidence, ...]:
        """The evidence with the tilts in another order."""
        return tuple(Evidence(one.source, one.values[order], one.kind) for one in self.evidence)

    def among(self, count: int, places: Sequence[int]) -> FoundAngles:
        """The same with all tilts; no number where an image is not one of those asked about.

        Parameters
        ----------
        count : int
            Of all tilts.
        places : sequence of int
            Where each of these is among them.
        """

        def spread(values: np.ndarray) -> np.ndarray:
            every = np.full(count, np.nan)
            every[list(places)] = values
            return every

        evidence = tuple(Evidence(one.source, spread(one.values), one.kind) for one in self.evidence)
        return replace(self, angles=spread(self.angles), evidence=evidence)


@dataclass(frozen=True)
class _Series:
    """Images whose angles are wanted."""

    count: int
    files: tuple[Path, ...]
    noun: str

    def name(self, i: int) -> str:
        return self.files[i].name if self.files else f'tilt {i + 1}'

    @property
    def those(self) -> str:
        """How many there are, in words."""
        return self.files[0].name if self.count == 1 and self.files else f'{self.count} {self.noun}'

    @property
    def order(self) -> str:
        return 'in the order of the files' if self.files else 'in the order of the images'


@dataclass
class _Heard:
    """The sources that have spoken."""

    placed: list[Evidence] = field(default_factory=list)  # one value for each tilt
    rows: list[AngleTable] = field(default_factory=list)  # tables whose rows are not known to follow the files
    doubt: str = ''  # why the metadata were not accepted
    findings: list[Finding] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)  # tables that nothing calls angles


def find_angles(
    count: int,
    *,
    given: Sequence[float] | str | None = None,
    tables: Iterable[Path] = (),
    metadata: Sequence[float | None] = (),
    stored: Mapping[str, Sequence[float | None]] | None = None,
    files: Sequence[Path] = (),
    stacks: Sequence[Path] = (),
    noun: str = 'files',
    offset: float = 0.0,
) -> FoundAngles:
    """Find one angle for every tilt.

    Parameters
    ----------
    count : int
        Number of tilts.
    given : sequence of float or str, optional
        The caller's angles, or the path of a table.
    tables : iterable of Path
        Text files next to the data that may hold the angles.
    metadata : sequence of float or None
        The angle that the metadata give for each tilt.
    stored : mapping of str to sequence of float or None, optional
        What else gives an angle for each tilt, by its name in words.
    files : sequence of Path
        One per tilt in the order of the tilts; empty for a stack.
    stacks : sequence of Path
        The files of the stacks.
    noun : str
        What there are `count` of, for the messages.
    offset : float
        Degrees, added to all angles.

    Returns
    -------
    FoundAngles

    Raises
    ------
    Contradiction
        Sources that disagree; it has what each says.
    InputError
        No angles, a wrong number of them, or a table that cannot be read.
    """
    series = _Series(count, tuple(files), noun)
    heard = _Heard()
    _hear_metadata(heard, series, {_METADATA: metadata, **(stored or {})})
    _hear_names(heard, series)
    answer = None if given is None else _answer(given, series)
    beside = own_tables(list(tables), [*files, *stacks])
    if isinstance(given, str):
        beside = tuple(path for path in beside if path.absolute() != Path(given).absolute())
    try:
        _hear_tables(heard, series, beside, [*files, *stacks])
        found = _compared(heard, series)
    except InputError as error:
        # The caller has answered already.
        if answer is None:
            raise
        found = None
        heard.findings = [_disputed(error)]
    if answer is not None:
        found = _decided(answer, found, heard, series)
    if found is None:
        raise InputError(
            f'No tilt angles were found{heard.doubt} for the {count} {noun}; give them, or put a table angles.csv '
            '(file name, angle) next to the data.'
        )
    return _checked(found, series, offset)


def _hear_metadata(heard: _Heard, series: _Series, sources: Mapping[str, Sequence[float | None]]) -> None:
    for source, angles in sources.items():
        known = np.array([np.nan if angle is None else angle for angle in angles], float)
        finite = known[np.isfinite(known)]
        if len(known) != series.count or not finite.size:
            continue
        if series.count > 1 and np.ptp(finite) < _STILL:
            # One or two angles of many say nothing of whether the stage was read out.
            if finite.size == series.count:
                heard.doubt = f' (the metadata say {known[0]:g}° for every tilt and were not accepted)'
            continue
        if finite.size < series.count:
            heard.doubt = ' (the metadata give an angle for some files only)'
        heard.placed.append(Evidence(source, known))


def _hear_names(heard: _Heard, series: _Series) -> None:
    named = angles_from_names(series.files) if series.files else None
    if named is not None:
        heard.placed.append(Evidence(_NAMES, np.asarray(named, float)))


def _hear_tables(heard: _Heard, series: _Series, paths: Sequence[Path], data: Sequence[Path]) -> None:
    own = [path for path in paths if shares_name(path, data)]
    for path in paths:
        table = table_or_problem(path)
        meant = is_angle_name(path) or (table is not None and table.named)
        if table is None or not (meant or (isinstance(table, AngleTable) and _fits(table, series))):
            continue
        if isinstance(table, AngleTable) and table.other:
            called = 'the name of the file says' if table.other == path.name else f'the heading "{table.other}" says'
            heard.doubt += f' ({path.name} was passed over: {called} that its numbers are something else)'
            continue
        if not meant:
            heard.unmarked.append(path.name)
        try:
            if not isinstance(table, AngleTable):
                raise InputError(_unreadable(path, table.words))
            listed = _by_name(table, series)
            if listed is not None:
                heard.placed.append(listed)
                continue
            _check_rows(table, series)
        except InputError as error:
            theirs = _speaks(heard) and is_shared(path, data)
            if not theirs and (path in own or not own):
                raise
            # It is of another file of this name, or the stack has a table of its own and whose this is nobody says.
            heard.findings.append(_passed_over(str(error)))
            continue
        if table.order == 'images' and not series.files:
            heard.placed.append(
                Evidence(f'the table {path.name}, by the numbers of the images', np.array(table.angles))
            )
        elif meant or not _speaks(heard):
            heard.rows.append(table)


def _speaks(heard: _Heard) -> bool:
    return bool(heard.rows) or any(np.isfinite(one.values).all() for one in heard.placed)


def _by_name(table: AngleTable, series: _Series) -> Evidence | None:
    """The angles of a table with file names; None where it has none, or those of other files."""
    if not table.names or not series.files:
        return None
    listed = table.for_files(series.files)
    if None not in listed:
        return Evidence(f'the table {table.path.name}, by file name', np.asarray(listed, float))
    if any(angle is not None for angle in listed):
        missing = series.files[listed.index(None)].name
        raise InputError(f'The table {table.path.name} has no angle for {missing}; add its line.')
    return None


def _fits(table: AngleTable, series: _Series) -> bool:
    if table.names and series.files and None not in table.for_files(series.files):
        return True
    distinct = len({round(angle, 3) for angle in table.angles}) == series.count
    return len(table.angles) == series.count and distinct


def _check_rows(table: AngleTable, series: _Series) -> None:
    if len(table.angles) < series.count <= len(table.angles) + len(table.lacking):
        raise InputError(f'The table {table.path.name} has no angle in the row "{table.lacking[0]}"; write it there.')
    if len(table.angles) != series.count:
        raise InputError(
            f'The table {table.path.name} has {len(table.angles)} angles for {series.those}; give one for each.'
        )


def _compared(heard: _Heard, series: _Series) -> FoundAngles | None:
    """The finest of the sources that agree."""
    placed = list(heard.placed)
    for i, one in enumerate(placed):
        for other in placed[:i]:
            if not agree(other.values, one.values):
                raise _contradiction(other, one, series)
    whole = [one for one in placed if np.isfinite(one.values).all()]
    tables = [_matched(table, whole[0], series) for table in heard.rows] if whole else []
    if not whole and heard.rows:
        tables = _in_order(heard, series)
    # A partial source was compared with the others where it speaks, and with the rows that are matched only now.
    for one in tables:
        for other in placed:
            if not agree(other.values, one.values):
                raise _contradiction(other, one, series)
    # Of equally fine ones that which somebody made for these files.
    by_hand = sorted(whole, key=lambda one: not one.source.startswith('the table'))
    complete = [*tables, *by_hand]
    if not complete:
        return None
    best = min(complete, key=lambda one: resolution(one.values))
    unmarked = next((name for name in heard.unmarked if best.source.startswith(f'the table {name}')), '')
    if unmarked and len(complete) == 1:
        heard.findings.append(_unmarked(unmarked, series))
    return FoundAngles(best.values, f'from {best.source}{heard.doubt}', (*tables, *placed), tuple(heard.findings))


def _matched(table: AngleTable, known: Evidence, series: _Series) -> Evidence:
    """The rows of a table given to the tilts whose angle they have."""
    values = np.asarray(table.angles, float)
    rows = order_in(values, known.values)
    source = f'the table {table.path.name}'
    if rows is None and np.abs(values).max() <= np.pi:
        # Nobody has said so, but tilts of half a degree in place of 30 can be nothing else.
        radians = np.rad2deg(values)
        rows = order_in(radians, known.values)
        if rows is not None:
            values, source = radians, f'{source}, in radians'
    if rows is None:
        raise _contradiction(Evidence(source, values), known, series)
    by_value = not (rows == np.arange(len(rows))).all()
    return Evidence(source + (', each row by its value' if by_value else ''), values[rows])


def _in_order(heard: _Heard, series: _Series) -> list[Evidence]:
    """Tables alone, line by line."""
    words = ', line by line in the order of the file names' if series.files else ''
    found = [Evidence(f'the table {t.path.name}{words}', np.asarray(t.angles, float)) for t in heard.rows]
    for table, other in zip(heard.rows[1:], found[1:], strict=True):
        if not agree(found[0].values, other.values):
            raise _contradiction(found[0], Evidence(f'the table {table.path.name}', other.values), series)
    unknown = [table for table in heard.rows if table.order == 'unknown']
    if unknown and len(unknown) == len(heard.rows):
        raise InputError(
            f'The rows of {unknown[0].path.name} are numbered in another order than they stand in, and nothing says of '
            f'which {series.noun} they are; name the column "image", or give the angles {series.order}.'
        )
    if series.files:
        # File names that are none of these files speak against the order.
        strange = any(table.names for table in heard.rows)
        heard.findings.append(
            Finding(
                'doubt' if strange else 'note',
                'tilt angles',
                f'The {series.count} angles of {heard.rows[0].path.name} were given to the files in the order of their '
                'names, which nothing else confirms; a table with file name and angle leaves no question.',
                {'tilts': series.count},
            )
        )
    return found


def _answer(given: Sequence[float] | str, series: _Series) -> Evidence | AngleTable:
    """The answer of the caller: one angle for each tilt, or the rows of a table."""
    if not isinstance(given, str):
        angles = np.asarray(given, float).ravel()
        if len(angles) != series.count:
            raise InputError(f'There are {len(angles)} angles for {series.those}; give one for each.')
        if not np.isfinite(angles).all() or np.abs(angles).max() > 180:
            raise InputError('A tilt angle is not a number between -180 and 180; correct the list of angles.')
        return Evidence('the angles given', angles)
    path = Path(given)
    if not path.exists():
        raise InputError(f'There is no table of angles {given}; check the path.')
    table = table_or_problem(path)
    if not isinstance(table, AngleTable):
        why = f' ({path.name} {table.words})' if table else ''
        raise InputError(
            f'{path.name} is not a table of angles{why}; write one angle, or file name and angle, per line.'
        )
    listed = _by_name(table, series)
    if listed is None:
        _check_rows(table, series)
    return table if listed is None else listed


def _decided(answer: Evidence | AngleTable, found: FoundAngles | None, heard: _Heard, series: _Series) -> FoundAngles:
    """The answer of the caller, compared with what the files say."""
    others = () if found is None else found.evidence
    findings = tuple(heard.findings)
    whole = [one for one in others if np.isfinite(one.values).all()]
    if isinstance(answer, AngleTable):
        if whole and order_in(np.asarray(answer.angles, float), whole[0].values) is not None:
            answer = _matched(answer, whole[0], series)
        else:
            if not whole:
                heard = _Heard(rows=[answer])
                found = FoundAngles(_in_order(heard, series)[0].values, '')
                findings = (*findings, *heard.findings)
            order = ', line by line in the order of the file names' if series.files else ''
            answer = Evidence(f'the table {answer.path.name}{order}', np.asarray(answer.angles, float))
        source = f'from {answer.source}'
    else:
        source = 'as given' if answer.source == 'the angles given' else f'from {answer.source}'
        differing = [one for one in whole if not agree(one.values, answer.values)]
        if series.files and source == 'as given' and differing:
            _check_order(answer, differing[0], series)
    findings += tuple(_differs(answer, one, series) for one in others if not agree(one.values, answer.values))
    return FoundAngles(answer.values, source, (answer, *others), findings)


def _check_order(answer: Evidence, other: Evidence, series: _Series) -> None:
    """A list of what the files say, in another order, was most likely made for another order of the files.

    The opposite sign throughout is what somebody wants whose volume is a mirror image, and where most tilts keep
    their angle the others were exchanged on purpose.
    """
    kept = np.abs(answer.values - other.values) <= STAGE
    if order_in(answer.values, other.values) is None or agree(answer.values, -other.values) or kept.mean() > 0.5:
        return
    raise Contradiction(
        f'The angles given ({answer.some()}) are those of {other.source} ({other.some()}) in another order; give them '
        f'in the order of the files ({", ".join(path.name for path in series.files[:3])}, ...), or, if {other.source} '
        'are wrong, a table with file name and angle.',
        (answer, other),
    )


def _contradiction(one: Evidence, other: Evidence, series: _Series) -> Contradiction:
    alike = len(one.values) == len(other.values)
    offset = constant_offset(one.values, other.values) if alike else None
    worst = int(np.nanargmax(np.abs(one.values - other.values))) if alike else 0
    by = '' if offset is None or abs(offset) <= STAGE else f', {abs(offset):.4g}° apart throughout'
    return Contradiction(
        f'The tilt angles of {one.source} ({one.some(worst)}) and of {other.source} ({other.some(worst)}) disagree{by}; '
        f'give the right ones {series.order}, or as a table with {"file name and " if series.files else ""}angle.',
        (one, other),
    )


def _differs(answer: Evidence, other: Evidence, series: _Series) -> Finding:
    difference = np.abs(answer.values - other.values)
    worst = int(np.nanargmax(difference))
    return Finding(
        'doubt',
        'tilt angles',
        f'{answer.source[0].upper()}{answer.source[1:]} were taken, and {other.source} say otherwise: '
        f'{answer.values[worst]:g}° and {other.values[worst]:g}° for {series.name(worst)}. Check which is right.',
        {'largest difference, deg': float(difference[worst])},
    )


def _disputed(error: InputError) -> Finding:
    sentence = str(error).split(';')[0]
    return Finding('doubt', 'tilt angles', f'The angles given were taken. Without them: {sentence}.')


def _passed_over(sentence: str) -> Finding:
    return Finding('note', 'tilt angles', f'A table beside the data was passed over: {sentence.split(";")[0]}.')


def _unmarked(name: str, series: _Series) -> Finding:
    return Finding(
        'doubt',
        'tilt angles',
        f'The numbers of {name} were taken as the tilt angles, though nothing calls them so; check them, and head the '
        'column "angle".',
        {'tilts': series.count},
    )


def _unreadable(path: Path, problem: str) -> str:
    return (
        f'The table {path.name} {problem}; write one angle in degrees, or file name and angle, per line, '
        'or move it elsewhere if it belongs to other data.'
    )


def _counted(found: FoundAngles, series: _Series) -> Finding | None:
    """A doubt where the files are called 0, 5, 10, ... and nothing else says that these are degrees."""
    if (
        not found.source.startswith(f'from {_NAMES}')
        or len(found.evidence) > 1
        or not all(f.stem.isdigit() for f in series.files)
    ):
        return None
    steps = np.diff(np.sort(found.angles))
    if found.angles.min() < 0 or series.count < _LEAST_COUNTED or np.ptp(steps) > _STILL:
        return None
    return Finding(
        'doubt',
        'tilt angles',
        f'The names {", ".join(file.name for file in series.files[:3])}, ... were taken for tilts from '
        f'{found.angles.min():g}° to {found.angles.max():g}°, all on one side, and nothing confirms it; if they number the '
        'files, give the angles.',
        {'tilts': float(series.count)},
    )


def _unsigned(found: FoundAngles, series: _Series) -> Finding | None:
    """A doubt where every number in the names stands behind a hyphen, which was taken for no sign."""
    if not found.source.startswith(f'from {_NAMES}') or len(found.evidence) > 1 or found.angles.min() < 0:
        return None
    numbers = [f'{angle:g}' for angle in found.angles]
    behind = [
        re.search(rf'[^\W_]-0*{re.escape(number)}(?!\d)', file.stem)
        for number, file in zip(numbers, series.files, strict=True)
    ]
    if not all(behind):
        return None
    return Finding(
        'doubt',
        'tilt angles',
        f'The hyphens in the names {", ".join(file.name for file in series.files[:3])}, ... were taken for separators, so that '
        'all tilts are positive; if they are minus signs, give the angles, or the volume will be a mirror image.',
        {'tilts': float(series.count)},
    )


def _checked(found: FoundAngles, series: _Series, offset: float) -> FoundAngles:
    angles = found.angles + offset
    if np.abs(angles).max() > 180:
        worst = angles[np.abs(angles).argmax()]
        raise InputError(
            f'The tilt angle {worst:g}° ({found.source}) is not between -180° and 180°; correct it, or give the offset '
            f'to the untilted specimen, e.g. {-(angles.min() + angles.max()) / 2 + offset:g}°.'
        )
    check_degrees(angles)
    evidence = tuple(Evidence(one.source, one.values + offset, one.kind) for one in found.evidence)
    doubt = doubtful_range(angles, offset) or _counted(found, series) or _unsigned(found, series)
    source = found.source + (f', with an offset of {offset:g}°' if offset else '')
    return FoundAngles(angles, source, evidence, (*found.findings, *([doubt] if doubt else [])))
