"""Checksums that archives state of their files, for samples of which this version has recorded none.

Zenodo names the MD5 of every file in the record of its publication, GitHub the object name of git (a SHA-1 over length and
contents). Both are read through https from the archive's own host. They show that a file arrives as the archive has it
today, not that it is the file that we have looked at: whoever accepts the licence reads so beforehand. pooch reads such
records of DOIs as well; it knows nothing of GitHub, and takes whatever a proxy answers.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from napari_diptomo.jobs.samples.published import PublishedFile, PublishedSample
from napari_diptomo.series import InputError
from napari_diptomo.series.files import replacing

if TYPE_CHECKING:
    from requests import Response

#: Seconds to wait for a connection and for the next bytes; the largest record that is read, bytes.
_PATIENCE, _LARGEST = (10, 30), 4_000_000
_KEPT = '.archive.json'


@dataclass(frozen=True)
class _Record:
    """Checksum and size of each file by name, and the licence, as the archive states them."""

    files: Mapping[str, tuple[str, int]]
    licence: str = ''


@dataclass(frozen=True)
class Archive:
    """An archive that states checksums.

    Attributes
    ----------
    file : str
        Pattern of the addresses of its files; its groups make the address of the record.
    record : str
        Address of the record.
    read : callable
        Checksums and licence from the record, parsed.
    """

    file: str
    record: str
    read: Callable[[Any], _Record]


def _zenodo(values: Any) -> _Record:
    files = {one['key']: (str(one['checksum']), int(one['size'])) for one in values['files']}
    licence = (values.get('metadata') or {}).get('license') or {}
    return _Record(files, str(licence.get('id') or ''))


def _github(values: Any) -> _Record:
    return _Record({one['name']: (f'git:{one["sha"]}', int(one['size'])) for one in values if one['type'] == 'file'})


ARCHIVES = (
    Archive(
        r'https://zenodo\.org/records/(?P<number>\d+)/files/[^/?]+(\?download=1)?',
        'https://zenodo.org/api/records/{number}',
        _zenodo,
    ),
    Archive(
        r'https://raw\.githubusercontent\.com/(?P<repository>[\w.-]+/[\w.-]+)/(?P<commit>[0-9a-f]{40})/'
        r'(?P<folder>([^/]+/)*)[^/]+',
        'https://api.github.com/repos/{repository}/contents/{folder}?ref={commit}',
        _github,
    ),
)


def checked_by_archive(sample: PublishedSample) -> PublishedSample:
    """A sample with what its archives state today where this version has recorded no checksum.

    Parameters
    ----------
    sample : PublishedSample

    Returns
    -------
    PublishedSample
        Unchanged where every checksum is recorded; `PublishedFile.stated_by` otherwise says whose the checksum is.

    Raises
    ------
    InputError
        One sentence: the record cannot be read, or has not the file; where to download it by hand.
    """
    if all(file.checksum for file in sample.files):
        return sample
    records: dict[str, _Record] = {}
    files = tuple(file if file.checksum else _stated(sample, file, records) for file in sample.files)
    licences = [record.licence for record in records.values() if record.licence]
    return replace(sample, files=files, licence=sample.licence or (licences[0] if licences else ''))


def keep_statement(sample: PublishedSample, folder: Path) -> None:
    """Keep what archives have stated beside the files, which are as they should be without asking again."""
    stated = {file.name: [file.checksum, file.size, file.stated_by] for file in sample.files if file.stated_by}

    def write(path: Path) -> None:
        path.write_text(json.dumps(stated), encoding='utf-8')

    if stated:
        replacing(folder / _KEPT, write)


def with_kept_statement(sample: PublishedSample, folder: Path) -> PublishedSample:
    """The sample with what was stated when its files were fetched into a folder; unchanged where nothing is kept."""
    try:
        stated = json.loads((folder / _KEPT).read_text(encoding='utf-8'))
        files = tuple(
            file if file.checksum or file.name not in stated else _with(file, *stated[file.name])
            for file in sample.files
        )
    except (OSError, ValueError, TypeError):  # none, or damaged: the archive is asked again
        return sample
    return replace(sample, files=files)


def _stated(sample: PublishedSample, file: PublishedFile, records: dict[str, _Record]) -> PublishedFile:
    for archive in ARCHIVES:
        if match := re.fullmatch(archive.file, file.url):
            address = archive.record.format(**match.groupdict())
            host = urlsplit(address).netloc
            if address not in records:
                records[address] = _read(sample, file, archive, address)
            stated = records[address].files.get(unquote(urlsplit(file.url).path.rpartition('/')[2]))
            if stated is None:
                raise _refused(sample, file, f'the record at {host} has no such file')
            try:
                return _with(file, *stated, f'{host}, {datetime.date.today().isoformat()}')
            except InputError:
                raise _refused(sample, file, f'what {host} states is no checksum ({stated[0]!r})') from None
    return file


def _read(sample: PublishedSample, file: PublishedFile, archive: Archive, address: str) -> _Record:
    import requests

    host = urlsplit(address).netloc
    try:
        with requests.get(address, headers={'Accept': 'application/json'}, stream=True, timeout=_PATIENCE) as response:
            if response.status_code >= 400:
                raise _refused(sample, file, f'{host} does not give its record (status {response.status_code})')
            elsewhere = urlsplit(response.url)
            if (elsewhere.scheme, elsewhere.netloc) != (urlsplit(address).scheme, host):
                raise _refused(sample, file, f'{host} leads to {elsewhere.netloc} for its record')
            return archive.read(json.loads(_contents(response)))
    except requests.exceptions.RequestException:
        raise _refused(sample, file, f'there is no connection to {host} to read its record') from None
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError):
        reason = f'what came in place of the record of {host} is none, as from a proxy or a log-in page of the network'
        raise _refused(sample, file, reason) from None


def _contents(response: Response) -> bytes:
    text = b''
    for chunk in response.iter_content(2**16):
        text += chunk
        if len(text) > _LARGEST:
            raise ValueError('too large for a record')
    return text


def _with(file: PublishedFile, checksum: str, size: int, stated_by: str) -> PublishedFile:
    return replace(file, checksum=checksum, size=size, stated_by=stated_by)


def _refused(sample: PublishedSample, file: PublishedFile, reason: str) -> InputError:
    return InputError(
        f'{sample.key} is not fetched: the checksum of {file.name} is not recorded in this version, and {reason}; '
        f'download it from {sample.page} and open the folder.'
    )
