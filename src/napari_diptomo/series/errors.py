"""Errors that are one sentence.

Every error that a user can cause or correct is a `DiptomoError`: its text is one
sentence that names what was wrong and what to do. The dock shows it as a
notification, the terminal as one line with exit code 1. Anything else is a
defect of the program and keeps its traceback.
"""

from __future__ import annotations


class DiptomoError(Exception):
    """One clear sentence: what was wrong, and what to do."""


class InputError(DiptomoError, ValueError):
    """The data or a parameter cannot be used."""


class TooLargeError(DiptomoError):
    """The task does not fit the memory; the text names what would fit."""


class ReconstructionError(DiptomoError):
    """A computation broke down (diverged, ran out of memory, lost its process)."""


class Cancelled(Exception):
    """The user cancelled; nothing is kept, nothing is wrong."""
