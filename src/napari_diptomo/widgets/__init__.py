"""The napari dock: the only package that knows napari and Qt.

A page per stage shows a form built from its step; small mediators stand
between the running job, the session's data and the viewer's layers. Nothing
here imports torch or HyperSpy; both come in when a job runs.
"""

from __future__ import annotations

from napari_diptomo._first_use import at_first_use

__all__ = ['StepForm', 'TomographyDock']

# The reader and the writer use this package's layer functions without a
# window; they shall not pay for Qt and the plots.
__getattr__ = at_first_use(__name__, {'TomographyDock': 'dock', 'StepForm': 'controls.step_form'})
