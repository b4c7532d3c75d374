"""The command ``diptomo sample``: list published measurements, show a licence, fetch."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from napari_diptomo.jobs.samples.archives import checked_by_archive
from napari_diptomo.jobs.samples.fetch import fetch, fetched, sample_folder
from napari_diptomo.jobs.samples.published import PublishedSample, published_sample, published_samples
from napari_diptomo.jobs.terminal import Planned, TerminalBar
from napari_diptomo.series import InputError
from napari_diptomo.series.files import megabytes


def list_samples() -> None:
    """Print which published measurements there are."""
    table = Table('name', 'size', 'licence', 'what it is', box=None)
    for one in published_samples():
        size = '' if one.size is None else megabytes(one.size)
        table.add_row(one.key, 'here' if fetched(one) else size, one.licence or 'not recorded', one.title)
    Console(highlight=False).print(table)


def fetch_sample(key: str, folder: Path | None = None, *, yes: bool = False) -> Path:
    """Fetch a published measurement after its licence was accepted, with a bar; Ctrl-C twice cancels.

    Parameters
    ----------
    key : str
        Its name.
    folder : Path, optional
        Default: `sample_folder`.
    yes : bool
        Accept the licence without being asked.

    Returns
    -------
    Path
        The folder with the files.

    Raises
    ------
    InputError
        One sentence, see `fetch`; also where nobody is there to accept.
    Cancelled
        On the second Ctrl-C; what has come is kept.
    """
    sample = published_sample(key)
    console = Console(highlight=False)
    folder = folder or sample_folder(sample)
    if not fetched(sample, folder):
        sample = checked_by_archive(sample)
        sample.check_fetchable()
        console.print(terms(sample), markup=False, soft_wrap=True)
        if not yes:
            _ask(sample)
        with TerminalBar([Planned('Fetch', keeps=False)]) as bar:
            bar.begin()
            fetch(sample, folder, accepted=True, observer=bar)
    console.print(f'The files are in {folder}', markup=False, soft_wrap=True)
    return folder


def terms(sample: PublishedSample) -> str:
    """Name, publication, licence, size of a sample and whose its checksums are, for whoever decides.

    Parameters
    ----------
    sample : PublishedSample

    Returns
    -------
    str
        Some lines.
    """
    size = 'unknown' if sample.size is None else megabytes(sample.size)
    lines = [sample.title, sample.about, f'Licence: {sample.licence}', f'Size: {size}, from {sample.page}']
    if stated := sorted({file.stated_by for file in sample.files if file.stated_by}):
        lines.append(
            f'Checksums: this version has none of its own; those that the archive states today ({"; ".join(stated)}) are '
            'compared. They show that the files arrive as the archive has them now, not that they are those of the publication.'
        )
    return '\n'.join(lines)


def _ask(sample: PublishedSample) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError(f'Nobody is here to accept the licence of {sample.key}; read it above and add --yes.')
    if input('Accept the licence and fetch? [y/N] ').strip().lower() not in ('y', 'yes'):
        raise InputError('The licence was not accepted; nothing was fetched.')
