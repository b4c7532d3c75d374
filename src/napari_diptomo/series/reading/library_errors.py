"""Errors of the libraries that read files, as sentences.

A damaged file makes tifffile, h5py, zarr, zipfile, json or NumPy raise whatever
its bytes provoke: ``zlib.error``, ``struct.error``, ``AssertionError``,
``TypeError``. A reader wraps the call of the library, and nothing of its own
work, in `reading`: an error of ours keeps its traceback.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_diptomo.series.errors import Cancelled, DiptomoError, InputError

_ADVICE = 'it may be damaged or half-written, copy it again'


@contextmanager
def reading(path: str | os.PathLike[str], advice: str = _ADVICE, kind: str = '') -> Iterator[None]:
    """Run the call of a library that reads a file.

    Parameters
    ----------
    path : path
        The file; its name begins the sentence.
    advice : str
        The end of the sentence: the likely cause, and what to do.
    kind : str
        What it cannot be read as, where that is not plain: ``'as a mask'``.

    Raises
    ------
    InputError
        In place of whatever the library raised; `DiptomoError` and `Cancelled` pass. The error of the library is its
        cause, so that ``--debug`` shows where it arose.
    """
    try:
        yield
    except (DiptomoError, Cancelled):
        raise
    except ModuleNotFoundError as error:
        raise InputError(
            f'Reading {Path(path).name} needs the package {error.name}; install it and try again.'
        ) from error
    except Exception as error:
        what = f'cannot be read {kind}'.rstrip()
        raise InputError(f'{Path(path).name} {what} ({_reason(error)}); {advice}.') from error


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return 'it asks for more memory than there is'
    if isinstance(error, RecursionError):
        return 'it is nested too deeply'
    text = str(getattr(error, 'strerror', None) or error) or type(error).__name__
    printable = ''.join(character if character.isprintable() else ' ' for character in text.splitlines()[0])
    return ' '.join(printable.split())[:120] or type(error).__name__
