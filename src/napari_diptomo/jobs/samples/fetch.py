"""Fetching a published sample: by pooch, with a checksum, progress, cancel, and resume after a break.

Bytes that have come stay in ``NAME.part`` beside the file, and the next attempt asks the server for the rest. The file takes
its name only when its checksum agrees; a part that led to another checksum is thrown away.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from napari_diptomo.jobs.samples.archives import checked_by_archive, keep_statement, with_kept_statement
from napari_diptomo.jobs.samples.published import PublishedFile, PublishedSample
from napari_diptomo.series import InputError, Observer, Watch
from napari_diptomo.series.files import megabytes

if TYPE_CHECKING:
    from requests import Response

#: Seconds to wait for a connection and for the next bytes; bytes read at once; bytes per unit of progress.
_PATIENCE, _CHUNK, _UNIT = (10, 30), 2**14, 1000
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PAGE = (b'<!doctype html', b'<html')


def sample_folder(sample: PublishedSample) -> Path:
    """Where a sample is kept, ``~/.cache/napari-diptomo/samples/KEY`` on Linux; it need not be there.

    Parameters
    ----------
    sample : PublishedSample

    Returns
    -------
    Path
    """
    import pooch

    return Path(os.environ.get('XDG_CACHE_HOME') or pooch.os_cache('')) / 'napari-diptomo' / 'samples' / sample.key


def fetched(sample: PublishedSample, folder: Path | None = None) -> bool:
    """Whether all files are here and as they were published.

    Parameters
    ----------
    sample : PublishedSample
    folder : Path, optional
        Default: `sample_folder`.

    Returns
    -------
    bool
    """
    folder = folder or sample_folder(sample)
    return all(_agrees(folder / file.name, file) for file in with_kept_statement(sample, folder).files)


def fetch(
    sample: PublishedSample, folder: Path | None = None, *, accepted: bool = False, observer: Observer | None = None
) -> Path:
    """Fetch what is not here yet; where this version has recorded no checksum, the archive is asked for its own.

    Parameters
    ----------
    sample : PublishedSample
        As in the manifest, or already `checked_by_archive`.
    folder : Path, optional
        Default: `sample_folder`.
    accepted : bool
        The user has read the licence and accepts it; not asked where all is here already.
    observer : Observer, optional
        Notified of the progress in kB, asked for cancel. What has come is kept for the next time.

    Returns
    -------
    Path
        The folder with the files.

    Raises
    ------
    InputError
        One sentence: no licence accepted, no connection, another page in place of the file, another checksum, no space.
    Cancelled
        When the observer cancels.
    """
    import pooch

    folder = folder or sample_folder(sample)
    if fetched(sample, folder):
        return folder
    sample = checked_by_archive(sample)
    sample.check_fetchable()
    if not accepted:
        raise InputError(f'{sample.key} is published under {sample.licence}; accept the licence to fetch it.')
    _make(folder)
    pooch.get_logger().setLevel('WARNING')
    for file in sample.files:
        if _agrees(folder / file.name, file):
            continue
        _check_space(folder, file)
        try:
            _retrieve(file, folder, observer)
        except InputError:
            raise
        except ValueError:  # another checksum
            raise InputError(
                f'{file.name} is not the file that was published (its checksum differs) and was removed; '
                f'fetch it again, or download it from {sample.page}.'
            ) from None
        except OSError as error:
            raise InputError(_not_written(folder, file, error)) from None
    keep_statement(sample, folder)
    return folder


def _retrieve(file: PublishedFile, folder: Path, observer: Observer | None) -> None:
    import pooch

    known: str | None = file.checksum
    # pooch has no checksum of git's, and without one would take the file that is here for the right one.
    if file.checksum.startswith('git:'):
        known = None
        (folder / file.name).unlink(missing_ok=True)
    pooch.retrieve(file.url, known, file.name, folder, downloader=_Download(file, folder, observer))


class _Download:
    """Downloader of pooch that continues where an earlier one was cut off."""

    def __init__(self, file: PublishedFile, folder: Path, observer: Observer | None) -> None:
        self._file = file
        self._part = folder / f'{file.name}.part'
        self._observer = observer

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        import requests

        try:
            self._fetch(url)
        except (requests.exceptions.RequestException, _CutOff):
            raise InputError(self._no_connection(url)) from None
        if not _agrees(self._part, self._file):
            self._part.unlink()
            raise ValueError('another checksum')
        os.replace(self._part, output_file)

    def _fetch(self, url: str) -> None:
        import requests

        here = self._part.stat().st_size if self._part.exists() else 0
        if here and here == self._file.size:
            return
        # Packed on its way it would have another length.
        headers = {'Accept-Encoding': 'identity', **({'Range': f'bytes={here}-'} if here else {})}
        with requests.get(url, headers=headers, stream=True, timeout=_PATIENCE) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self._part.unlink()
                return self._fetch(url)
            self._check(response)
            continued = response.status_code == requests.codes.partial_content
            here = here if continued and _begins_at(response, here) else 0
            total = here + int(response.headers.get('Content-Length') or (self._file.size or here) - here)
            self._write(response, here, total)
        return None

    def _write(self, response: Response, here: int, total: int) -> None:
        watch = Watch(self._observer, 'Fetch', max(-(-total // _UNIT), 1))
        with open(self._part, 'r+b' if here else 'wb') as part:
            part.seek(here)
            part.truncate()
            for chunk in response.iter_content(_CHUNK):
                if not here and chunk[:64].lstrip().lower().startswith(_PAGE):
                    raise InputError(self._a_page())
                part.write(chunk)
                here += len(chunk)
                watch.step(here // _UNIT, message=f'{self._file.name}, {megabytes(here)} of {megabytes(total)}')
        if here < total:
            raise _CutOff

    def _check(self, response: Response) -> None:
        """Refuse whatever is not the file."""
        host, status = urlsplit(response.url).netloc, response.status_code
        if 'text/html' in response.headers.get('Content-Type', '').lower() and status < 400:
            raise InputError(self._a_page())
        if status == 407:
            raise InputError(
                f'The proxy asks for a name and a password; set HTTPS_PROXY so that {host} can be reached.'
            )
        if status >= 400:
            raise InputError(
                f'{host} does not give {self._file.name} (status {status}); try later, or {self._by_hand()}.'
            )

    def _a_page(self) -> str:
        return (
            f'A web page came in place of {self._file.name}, as from a proxy or a log-in page of the network; '
            f'log in there, or {self._by_hand()}.'
        )

    def _no_connection(self, url: str) -> str:
        kept = self._part.stat().st_size if self._part.exists() else 0
        been = f'; the {megabytes(kept)} that have come are kept, and it continues from there' if kept else ''
        return f'There is no connection to {urlsplit(url).netloc}; check the network and try again{been}.'

    def _by_hand(self) -> str:
        return f'download it by hand from {self._file.url}'


class _CutOff(Exception):
    """The connection ended before the file did."""


def _begins_at(response: Response, position: int) -> bool:
    return response.headers.get('Content-Range', '').startswith(f'bytes {position}-')


def _agrees(path: Path, file: PublishedFile) -> bool:
    import pooch

    if not path.is_file() or not file.checksum:
        return False
    algorithm, _, expected = file.checksum.partition(':')
    if algorithm == 'git':
        return _git_name(path) == expected
    return bool(pooch.file_hash(str(path), alg=algorithm) == expected)


def _git_name(path: Path) -> str:
    """Name of the contents in git: SHA-1 of ``blob``, the length and the contents."""
    digest = hashlib.sha1(b'blob %d\0' % path.stat().st_size, usedforsecurity=False)
    with open(path, 'rb') as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'The folder {folder} cannot be made ({error.strerror}); choose another.') from None


def _check_space(folder: Path, file: PublishedFile) -> None:
    part = folder / f'{file.name}.part'
    needed = (file.size or 0) - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f'{file.name} takes {megabytes(needed)}, and the disk of {folder} has {megabytes(free)} free; '
            'free some space, or choose another folder.'
        )


def _not_written(folder: Path, file: PublishedFile, error: OSError) -> str:
    if error.errno in _FULL:
        return f'The disk of {folder} is full; free some space and fetch again, which continues {file.name} where it ended.'
    reason = error.strerror or str(error)
    return f'{file.name} cannot be written to {folder} ({reason}); check the folder, or choose another.'
