"""The base of all pages of the dock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_diptomo.series import Finding, Remedy, Step
from napari_diptomo.series.steps import step_kind
from napari_diptomo.widgets.controls.parts import freeze, words
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.layers.maps_view import MapsView
from napari_diptomo.widgets.preferences import LastUsed
from napari_diptomo.widgets.session import Session
from napari_diptomo.widgets.tasks.job import Job
from napari_diptomo.widgets.tasks.task import Outcome


@dataclass(frozen=True)
class Context:
    """Shared by all pages: the viewer, its session, remembered parameters, the layers of the maps."""

    viewer: ViewerModel
    session: Session
    last_used: LastUsed
    maps_view: MapsView


class Page(QWidget):
    """One stage of the work: its controls, and the job its button starts.

    Subclasses set the class variables, add to `body`, and implement `job` and
    `done`. `enter` is called whenever the page comes to the front.

    Signals
    -------
    changed
        What `obstacle` says may have changed.
    """

    changed = Signal()
    title = ''
    action = ''
    explanation = ''
    #: Names of the steps whose parameters this page sets, as in a recipe.
    steps: tuple[str, ...] = ()
    #: Whether a remedy has taken effect when it was applied, without a press of the button.
    applies_at_once = False

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        #: Shows the result, to be scrolled to.
        self.outcome_widget: QWidget | None = None
        self.context = context
        self.session = context.session
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(8, 4, 8, 4)
        self.lead = words(self.explanation)
        self.body.addWidget(self.lead)

    def closed(self) -> str:
        """Why the page cannot be entered yet, one sentence; empty when it can."""
        return ''

    def obstacle(self) -> str:
        """Why its button cannot be pressed, one sentence; empty when it can."""
        return self.closed()

    def enter(self) -> None:
        """The page comes to the front."""

    def job(self) -> tuple[Job, str]:
        """The job that the button starts, and its title.

        Raises
        ------
        DiptomoError
            A parameter that does not do.
        """
        raise TypeError(f'{type(self).__name__} has no job')

    def done(self, result: Any) -> None:
        """The job ended well."""

    def failed(self, outcome: Outcome) -> None:
        """The job broke down; the sentence is shown elsewhere."""

    def findings(self) -> tuple[Finding, ...]:
        """Findings about the latest result of this page."""
        return ()

    def form_of(self, step: str) -> StepForm | None:
        """The form of this step, in front; None while the page does not show it."""
        return None

    def takes(self, remedy: Remedy) -> bool:
        """Whether `apply` can do something with this remedy."""
        kind = step_kind(remedy.step) if remedy.step in self.steps and not self.closed() else None
        return kind is not None and set(remedy.changes) <= set(kind.model_fields)

    def apply(self, remedy: Remedy) -> QWidget | None:
        """Change the parameters of the page as a remedy says; nothing is run.

        Returns
        -------
        QWidget, optional
            What has changed, to be looked at.

        Raises
        ------
        InputError
            A parameter that does not do.
        """
        self.enter()
        form = self.form_of(remedy.step)
        return None if form is None else form.apply(remedy.changes)

    def take_step(self, step: Step) -> bool:
        """Set the controls to a step of a recipe; returns whether the page has them."""
        if type(step).__name__ not in self.steps:
            return False
        self.enter()
        form = self.form_of(type(step).__name__)
        if form is None:
            return False
        form.set_value(step)
        return True

    def state(self) -> dict[str, Any]:
        """Values of the controls, JSON-ready; `set_state` takes them back."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Set the controls as `state` said; what does not fit, as from another version, is left out."""

    def set_frozen(self, frozen: bool) -> None:
        """While a job runs, what it was started with cannot be changed."""
        freeze(self, frozen)

    def cleanup(self) -> None:
        """Undo connections to what outlives the page."""
