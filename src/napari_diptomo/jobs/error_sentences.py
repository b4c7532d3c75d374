"""One sentence for the user about an exception, or about a process that ended."""

from __future__ import annotations

import signal

from napari_diptomo.series import DiptomoError
from napari_diptomo.series.memory import ran_out

ADVICE = 'use a higher binning or fewer elements and run again'
_ASKED_TO_END = (1, 2, 15)


def explain(error: BaseException) -> str:
    """One sentence on an exception, on one line: what happened, and what to do."""
    if isinstance(error, DiptomoError):
        return _one_line(str(error))
    text = _one_line(str(error))
    if ran_out(error):
        where = 'of the graphics card ' if 'CUDA' in text or 'MPS' in text else ''
        return f'The memory {where}ran out; {ADVICE}.'
    if isinstance(error, OSError) and error.strerror:
        name = f' ({error.filename})' if error.filename else ''
        return f'The system said: {error.strerror}{name}; check the file and the free disk space.'
    return (
        f'Unexpected error: {type(error).__name__}: {text[:300].rstrip(".")}; '
        'please report it with its traceback (in a terminal: run again with --debug; in napari: the log).'
    )


def explain_death(code: int) -> str:
    """One sentence on a computing process that ended by itself with this exit code."""
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number == 9:
        return f'The computing process was ended from outside (signal 9), most likely because memory ran out; {ADVICE}.'
    if number in _ASKED_TO_END:
        return (
            f'The computing process was ended from outside (signal {number}, {signal.Signals(number).name}); run again.'
        )
    if number:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = 'unknown'
        return f'The computing process broke down (signal {number}, {name}); run again, and report it if it recurs.'
    return f'The computing process ended without a result (exit code {code}); run again, and report it if it recurs.'


def _one_line(text: str) -> str:
    return ' '.join(text.split())
