"""The manifest of published measurements, ``published.json``: addresses, checksums, licences.

Who maintains this program fills it in with ``tools/record_sample.py``. Of what has no checksum yet the archive's own is asked
(`archives`); what has none there either, or no licence, is listed and not fetched: nothing is taken from the network unchecked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_diptomo.series import InputError

MANIFEST = Path(__file__).with_name('published.json')
_CHECKSUM = re.compile(r'(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}|git:[0-9a-f]{40})')
_NAME = re.compile(r'[\w][\w.+-]*')
#: Addresses that may be fetched; those of this machine are for tests.
_ADDRESS = re.compile(r'https://|http://(127\.0\.0\.1|localhost)[:/]')


@dataclass(frozen=True)
class PublishedFile:
    """One file of a sample.

    Attributes
    ----------
    name : str
        Under which it is kept.
    url : str
        ``https`` alone.
    size : int, optional
        Bytes, where they are known.
    checksum : str
        ``'sha256:...'``, ``'md5:...'``, or ``'git:...'``, the name that git gives the contents; empty where nobody has
        recorded it yet.
    stated_by : str
        Host and date where the checksum is not of this version but what the archive stated.

    Raises
    ------
    InputError
        The manifest is wrong.
    """

    name: str
    url: str
    size: int | None = None
    checksum: str = ''
    stated_by: str = ''

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(f'The manifest of the samples names a file {self.name!r}; give a plain file name.')
        if not _ADDRESS.match(self.url):
            raise InputError(f'The manifest of the samples has the address {self.url!r}; give one with https.')
        if self.checksum and not _CHECKSUM.fullmatch(self.checksum):
            raise InputError(
                f'The manifest of the samples has the checksum {self.checksum!r}; give sha256:, md5: or git:.'
            )


@dataclass(frozen=True)
class PublishedSample:
    """A published measurement.

    Attributes
    ----------
    key : str
        Its name on the command line.
    title, about : str
        For the user; the latter names the publication.
    page : str
        Where its authors describe it.
    licence : str
        Empty where it is not known.
    files : tuple of PublishedFile
    reading : mapping or None
        How `load_tilt_series` reads its folder; None where the files are no tilt series that opens as it is.
    """

    key: str
    title: str
    about: str
    page: str
    licence: str
    files: tuple[PublishedFile, ...]
    reading: Mapping[str, Any] | None = field(default_factory=dict)

    @property
    def size(self) -> int | None:
        """Bytes of all files, None where one is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def check_fetchable(self) -> None:
        """Refuse what could not be checked, or what nobody has allowed.

        Raises
        ------
        InputError
            A checksum or the licence is not recorded.
        """
        unchecked = [file.name for file in self.files if not file.checksum]
        lacks = f'the checksum of {unchecked[0]}' if unchecked else '' if self.licence else 'its licence'
        if lacks:
            raise InputError(
                f'{self.key} is not fetched, since {lacks} is not recorded in this version; '
                f'download it from {self.page} and open the folder.'
            )


def published_samples(manifest: Path | None = None) -> tuple[PublishedSample, ...]:
    """All published measurements, those too that are not to be had yet.

    Parameters
    ----------
    manifest : Path, optional
        Default: that of this version.

    Returns
    -------
    tuple of PublishedSample

    Raises
    ------
    InputError
        The manifest is wrong.
    """
    values = json.loads((manifest or MANIFEST).read_text(encoding='utf-8'))
    return tuple(
        PublishedSample(
            **{name: one[name] for name in ('key', 'title', 'about', 'page', 'licence', 'reading')},
            files=tuple(
                PublishedFile(file['name'], file['url'], file['bytes'], file['checksum']) for file in one['files']
            ),
        )
        for one in values['samples']
    )


def published_sample(key: str, manifest: Path | None = None) -> PublishedSample:
    """One of them.

    Parameters
    ----------
    key : str
        Its name.
    manifest : Path, optional
        Default: that of this version.

    Returns
    -------
    PublishedSample

    Raises
    ------
    InputError
        There is none of that name.
    """
    known = {sample.key: sample for sample in published_samples(manifest)}
    if key not in known:
        raise InputError(f'There is no published sample {key}; choose among {", ".join(known)}.')
    return known[key]
