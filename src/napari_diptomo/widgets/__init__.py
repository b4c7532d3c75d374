"""The napari dock: the only package that knows napari and Qt.

A page per stage shows a form built from its step; small mediators stand
between the running job, the session's data and the viewer's layers. Nothing
here imports torch or HyperSpy; both come in when a job runs.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {'TomographyDock': 'dock', 'StepForm': 'controls.step_form'}

__all__ = ['StepForm', 'TomographyDock']


def __getattr__(name: str) -> Any:
    # The reader and the writer use this package's layer functions without a
    # window; they shall not pay for Qt and the plots.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'{__name__}.{home}'), name)
