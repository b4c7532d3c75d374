"""A bar of tqdm for whoever calls a step from a terminal or a notebook, and one line on what was found.

Shown where nobody else observes: the main thread, a terminal or a notebook, no observer given. ``progress=False`` or the
environment variable ``DIPTOMO_PROGRESS=0`` turns it off, ``progress=True`` or ``DIPTOMO_PROGRESS=1`` turns it on
where the output goes to a file. A notebook without ipywidgets gets the bar of the terminal.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding, by_weight, counted
from napari_diptomo.series.observe import Observer, Progress

VARIABLE = 'DIPTOMO_PROGRESS'
_YES, _NO = ('1', 'true', 'yes', 'on'), ('0', 'false', 'no', 'off')
#: Seconds before a bar appears: what is done at once needs none.
_PATIENCE = 0.5


class ProgressBar(Observer):
    """An observer that shows one bar per stage, and at its end one line on the findings.

    Use it in a ``with`` statement: inside, no second bar appears.
    """

    _shown: ProgressBar | None = None

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ''
        self._begun = time.monotonic()

    def __enter__(self) -> ProgressBar:
        ProgressBar._shown = self
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()
        ProgressBar._shown = None

    def report(self, progress: Progress) -> None:
        if self._bar is None or progress.stage != self._stage:
            self._close(done=True)
            self._stage = progress.stage
            self._bar = _kind()(total=progress.total, desc=progress.stage, file=_stream(), delay=_PATIENCE)
        self._bar.total = progress.total
        self._bar.set_postfix_str(_note(progress), refresh=False)
        self._bar.update(progress.iteration - self._bar.n)

    def say_found(self, title: str, findings: Iterable[Finding]) -> None:
        """Print what a step found and how long it took; the next one begins.

        Parameters
        ----------
        title : str
            Of the step.
        findings : iterable of Finding
            Its own.
        """
        self._close(done=True)
        seconds, self._begun = time.monotonic() - self._begun, time.monotonic()
        print(found_line(title, findings, seconds), file=_stream())

    def _close(self, done: bool = False) -> None:
        if self._bar is not None:
            if done:
                # What ended by itself before its last round has not failed: a notebook would show the bar in red.
                self._bar.total = self._bar.n
            self._bar.close()
            self._bar = None


def progress_bar(shown: bool | None = None) -> ProgressBar | None:
    """The bar of a step without an observer, None where none is to be shown.

    Parameters
    ----------
    shown : bool, optional
        Default: as `DIPTOMO_PROGRESS` says, else in terminals and notebooks, in the main thread.

    Returns
    -------
    ProgressBar or None
        None also where a bar is shown already.

    Raises
    ------
    InputError
        The environment variable is neither yes nor no.
    """
    if ProgressBar._shown is not None:
        return None
    if shown is None:
        shown = _from_environment()
    if shown is None:
        here = threading.current_thread() is threading.main_thread()
        shown = here and (in_notebook() or _is_terminal(sys.stderr))
    return ProgressBar() if shown else None


def found_line(title: str, findings: Iterable[Finding], seconds: float) -> str:
    """``'SIRT: 12 s; 1 doubt, 2 notes: doubt (field of view, SIRT): ...'``, the gravest finding in full.

    Parameters
    ----------
    title : str
        Of the step.
    findings : iterable of Finding
        Its own.
    seconds : float
        How long it took.

    Returns
    -------
    str
        One line.
    """
    weighed = by_weight(findings)
    gravest = f': {weighed[0]}' if weighed and weighed[0].level != 'note' else ''
    return f'{title}: {seconds:.3g} s; {counted(weighed) or "no findings"}{gravest}'


def in_notebook() -> bool:
    """Whether the code runs in the kernel of a notebook."""
    if 'IPython' not in sys.modules:
        return False
    shell = sys.modules['IPython'].get_ipython()
    return shell is not None and 'IPKernelApp' in getattr(shell, 'config', {})


def _kind() -> Any:
    """The bar of the notebook where it can be shown, else that of the terminal."""
    if in_notebook() and find_spec('ipywidgets') is not None:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm


def _stream() -> Any:
    # What a kernel writes to standard error looks like a failure in a notebook.
    return sys.stdout if in_notebook() else sys.stderr


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # none in a program with windows alone, or closed
        return False


def _from_environment() -> bool | None:
    text = os.environ.get(VARIABLE, '').strip().lower()
    if text and text not in (*_YES, *_NO):
        raise InputError(f'{VARIABLE} is {text!r}; set it to 1 for a progress bar, 0 for none, or unset it.')
    return None if not text else text in _YES


def _note(progress: Progress) -> str:
    parts = [f'{name} {value:.4g}' for name, value in list(progress.losses.items())[:2]]
    if progress.validation is not None:
        parts.append(f'held out {progress.validation:.4g}')
    return ', '.join([*parts, progress.message] if progress.message else parts)
