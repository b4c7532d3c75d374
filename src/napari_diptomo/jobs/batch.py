"""One recipe on many samples: a result and a recipe for each, and one table of scores, findings and times.

The table is written anew after every sample, so that a batch that was cut off leaves what it knew. A sample that fails is a
row with its sentence; the others are computed all the same.
"""

from __future__ import annotations

import csv
import glob
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from napari_diptomo.jobs import json_summaries
from napari_diptomo.jobs.commands import computed, holds_the_result
from napari_diptomo.jobs.error_sentences import explain
from napari_diptomo.jobs.reading.isolated import load_isolated
from napari_diptomo.series import Cancelled, InputError, MapSeries, Recipe, Volume, by_weight
from napari_diptomo.series.files import replacing_text
from napari_diptomo.series.writing.save import VOLUME_SUFFIXES

TABLE = 'summary.csv'
_GENERAL = ('sample', 'status', 'seconds', 'kind', 'channels', 'shape', 'held_out_deviance')
_LAST = ('stops', 'doubts', 'notes', 'findings', 'error', 'output', 'source')


@dataclass
class Row:
    """One sample of a batch.

    Attributes
    ----------
    sample : str
        Its name, unique in the batch.
    source : Path
        Folder or file.
    output : Path
        The result.
    status : str
        ``'waiting'``, ``'done'``, ``'done before'``, ``'failed'`` or ``'cancelled'``.
    seconds : float
        From opening to saving.
    error : str
        The sentence of a failure.
    values : dict
        Of the result, as `json_summaries.of_result` writes them.
    """

    sample: str
    source: Path
    output: Path
    status: str = 'waiting'
    seconds: float = 0.0
    error: str = ''
    values: dict[str, Any] = field(default_factory=dict)


def run_batch(
    recipe_file: Path,
    samples: Sequence[str],
    folder: Path,
    *,
    suffix: str = '.hspy',
    resume: bool = False,
    as_json: bool = False,
) -> int:
    """Run a recipe on every sample.

    Parameters
    ----------
    recipe_file : Path
        Its steps and how it reads are taken; its files are those of each sample in turn.
    samples : sequence of str
        Folders, files or patterns of `glob`.
    folder : Path
        For ``NAME.hspy`` and ``NAME.json`` of each sample, and ``summary.csv``; made where it is not there.
    suffix : str
        Format of the results.
    resume : bool
        Skip samples whose result is there, continue one that has a checkpoint.
    as_json : bool
        Print the rows as JSON, and nothing else, on standard output.

    Returns
    -------
    int
        Number of samples that failed.

    Raises
    ------
    InputError
        No sample, no such format, or a folder that takes no files.
    Cancelled
        On the second Ctrl-C, SIGTERM and SIGHUP; the table is written.
    """
    if suffix not in VOLUME_SUFFIXES and suffix != '.ome.zarr':
        raise InputError(f'Results cannot be saved as {suffix}; choose {", ".join(sorted(VOLUME_SUFFIXES))}.')
    recipe = Recipe.load(recipe_file).resolved()
    rows = _rows([path for path in found_samples(samples) if path.resolve() != folder.resolve()], folder, suffix)
    _make(folder)
    console = Console(highlight=False, stderr=as_json)
    for number, row in enumerate(rows, start=1):
        console.print(f'[{number}/{len(rows)}] {row.sample}', markup=False, soft_wrap=True)
        try:
            _run(row, recipe, resume, quiet=as_json)
        finally:
            write_table(rows, folder / TABLE)
        console.print(f'    {_outcome(row)}', markup=False, soft_wrap=True)
    failed = sum(row.status == 'failed' for row in rows)
    if as_json:
        json_summaries.print_json(
            {'table': str(folder / TABLE), 'failed': failed, 'samples': [_record(r) for r in rows]}
        )
    else:
        console.print(
            f'{len(rows) - failed} of {len(rows)} samples done; the table is {folder / TABLE}.',
            markup=False,
            soft_wrap=True,
        )
    return failed


def found_samples(samples: Sequence[str]) -> list[Path]:
    """Folders and files by name or pattern, each once, in the order of their names.

    Parameters
    ----------
    samples : sequence of str
        Names, or patterns with ``*``, ``?``, ``[...]`` and ``**``.

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        A name that does not exist, or a pattern that finds nothing.
    """
    found: list[Path] = []
    for text in samples:
        matches = [Path(text)] if Path(text).exists() else sorted(map(Path, glob.glob(text, recursive=True)))
        if not matches:
            raise InputError(f'No sample is named {text}; check the path, and put a pattern in quotation marks.')
        found += [path for path in matches if path not in found]
    if not found:
        raise InputError('No sample was given; name folders or files, or a pattern such as "data/*".')
    return found


def write_table(rows: Sequence[Row], path: Path) -> Path:
    """Write one line per sample, an earlier table replaced once the new one is complete.

    Parameters
    ----------
    rows : sequence of Row
    path : Path
        ``.csv``.

    Returns
    -------
    Path
        `path`.
    """
    channels = list(dict.fromkeys(name for row in rows for name in row.values.get('projection_correlation', {})))
    scores = [f'correlation_{name}' for name in channels]
    text = io.StringIO()
    table = csv.DictWriter(text, (*_GENERAL, *scores, *_LAST), restval='', lineterminator='\n')
    table.writeheader()
    for row in rows:
        correlation = row.values.get('projection_correlation', {})
        table.writerow(_record(row) | {f'correlation_{name}': f'{value:.4f}' for name, value in correlation.items()})
    return replacing_text(path, text.getvalue())


def _rows(samples: Sequence[Path], folder: Path, suffix: str) -> list[Row]:
    """One row per sample; those of one name are numbered."""
    rows: list[Row] = []
    taken: set[str] = set()
    for path in samples:
        stem = path.resolve().name if path.is_dir() else path.stem
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f'{stem}-{number}'
        taken.add(name.lower())
        rows.append(Row(name, path, folder / f'{name}{suffix}'))
    return rows


def _run(row: Row, recipe: Recipe, resume: bool, quiet: bool) -> None:
    """Compute one sample; what goes wrong is noted in its row."""
    begun = time.monotonic()
    try:
        own_recipe = _own_recipe(row, recipe)
        own = Recipe.load(own_recipe).resolved()
        if resume and holds_the_result(row.output, own, own_recipe):
            row.values, row.status = _summary(load_isolated(row.output), row.output), 'done before'
            return
        waiting = row.output.with_name(f'{row.output.name}.checkpoint').exists()
        output, result = computed(own_recipe, row.output, resume=resume and waiting, quiet=quiet)
        row.values = _summary(load_isolated(output) if result is None else result, output)
        row.status = 'done'
    except (Cancelled, KeyboardInterrupt):
        row.status = 'cancelled'
        raise
    except Exception as error:  # whatever it is, the other samples are computed
        row.status, row.error = 'failed', explain(error)
    finally:
        row.seconds = time.monotonic() - begun


def _own_recipe(row: Row, recipe: Recipe) -> Path:
    """The recipe of one sample beside its result; written only where it differs, since its age says what is done."""
    source = recipe.source.model_copy(update={'paths': (str(row.source.resolve()),)})
    own, path = Recipe(source, recipe.steps), row.output.with_name(f'{row.sample}.json')
    try:
        if path.exists() and Recipe.load(path) == own:
            return path
    except InputError:
        pass
    return own.save(path)


def _summary(result: MapSeries | Volume, output: Path) -> dict[str, Any]:
    levels = [finding.level for finding in by_weight(result.findings)]
    counts = {f'{level}s': levels.count(level) for level in ('stop', 'doubt', 'note')}
    return {**json_summaries.of_result(result, output), **counts}


def _record(row: Row) -> dict[str, Any]:
    values = row.values
    serious = [
        f'{finding["level"]} ({finding["about"]}): {finding["sentence"]}' for finding in values.get('findings', ())
    ]
    return {
        'sample': row.sample,
        'status': row.status,
        'seconds': round(row.seconds, 1),
        'kind': values.get('kind', ''),
        'channels': ' '.join(values.get('channels', ())),
        'shape': ' x '.join(str(size) for size in values.get('shape', {}).values()),
        'held_out_deviance': values.get('best_held_out_deviance', ''),
        **{name: values.get(name, '') for name in ('stops', 'doubts', 'notes')},
        'findings': ' | '.join(serious),
        'error': row.error,
        'output': str(row.output) if values else '',
        'source': str(row.source),
    }


def _outcome(row: Row) -> str:
    if row.status == 'failed':
        return f'failed: {row.error}'
    counted = ', '.join(f'{row.values[name]} {name}' for name in ('stops', 'doubts', 'notes') if row.values.get(name))
    return f'{row.status} in {row.seconds:.1f} s; findings: {counted or "none"}; {row.output.name}'


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'The folder {folder} cannot be made ({error.strerror}); choose another with -o.') from None
