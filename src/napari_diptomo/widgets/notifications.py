"""One sentence to the user, in napari and in the log."""

from __future__ import annotations

import logging

from napari.utils.notifications import show_error, show_info

_log = logging.getLogger('napari_diptomo')


def say_error(sentence: str) -> None:
    """One sentence on what went wrong and what to do.

    A warning and not an error: napari's errors open with a traceback button,
    and the user's mistakes have none worth reading.
    """
    _log.warning(sentence)
    show_error(sentence)


def say(sentence: str) -> None:
    """Something worth knowing."""
    _log.info(sentence)
    show_info(sentence)
