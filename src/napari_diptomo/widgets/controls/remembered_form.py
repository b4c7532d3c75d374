"""The form of a step that is built when it is first needed, and remembers what it is to show until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_diptomo.series import Step
from napari_diptomo.widgets.controls.parts import Part
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.preferences import LastUsed

StepT = TypeVar('StepT', bound=Step)


class RememberedForm(Part, Generic[StepT]):
    """A `StepForm` that begins with the parameters that were used last.

    Parameters
    ----------
    load : callable
        Imports the step's class: the module of a step may bring torch or HyperSpy, which a dock that is only
        opened shall not wait for.
    last_used : LastUsed
        Where parameters are remembered.
    hide : tuple of str
        Parameters that are shown elsewhere.

    Signals
    -------
    changed
        Of the form, once it is there.
    """

    changed = Signal()

    def __init__(
        self,
        load: Callable[[], type[StepT]],
        last_used: LastUsed,
        hide: tuple[str, ...] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._load = load
        self._last_used = last_used
        self._hide = hide
        self._state: dict[str, Any] = {}
        #: None until it is built.
        self.form: StepForm[StepT] | None = None

    def build(self) -> StepForm[StepT]:
        """The form; the first call makes it."""
        if self.form is None:
            kind = self._load()
            self.form = StepForm(kind, hide=self._hide)
            self.form.set_value(self._last_used.step(kind))
            if self._state:
                self.form.set_state(self._state)
            self.form.changed.connect(self.changed)
            self.body.addWidget(self.form)
        return self.form

    def step(self) -> StepT:
        """The step as the controls stand.

        Raises
        ------
        InputError
            A value the step does not take; the text names it.
        """
        return self.build().value()

    def take(self, step: StepT) -> None:
        """Show this step, now or when the form is built."""
        self._state = step.model_dump(mode='json')
        if self.form is not None:
            self.form.set_value(step)

    def state(self) -> dict[str, Any]:
        """The values of the controls, JSON-ready."""
        return self.form.state() if self.form is not None else self._state

    def set_state(self, state: dict[str, Any]) -> None:
        """Set the controls as `state` said, now or when the form is built."""
        self._state = state
        if self.form is not None and state:
            self.form.set_state(state)
