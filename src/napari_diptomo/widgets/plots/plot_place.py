"""The place of a plot on a page: the plot itself is made when it is first seen or filled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_diptomo.widgets.plots.themed_plot import ThemedPlot

PlotT = TypeVar('PlotT', bound='ThemedPlot')


class PlotPlace(QWidget, Generic[PlotT]):
    """Stands where the plot will be; shown and hidden in its stead.

    pyqtgraph takes as long to import as all of the dock beside it, and every plot some hundredths of a second to
    make: a dock that is opened shall wait for none of them, as none is seen yet.

    Parameters
    ----------
    make : callable
        Imports the plot's class, and makes it.

    Attributes
    ----------
    made : ThemedPlot, optional
        The plot, None as long as nobody has needed it.
    """

    #: A plot can be looked at while a job runs.
    never_frozen = True

    def __init__(self, make: Callable[[], PlotT], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make = make
        self.made: PlotT | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        # As high as the plot wants it, which the plot alone knows.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    @property
    def plot(self) -> PlotT:
        """The plot; the first call makes it."""
        if self.made is None:
            self.made = self._make()
            layout = self.layout()
            assert layout is not None
            layout.addWidget(self.made)
        return self.made

    def cleanup(self) -> None:
        """Let go of the theme, where there is a plot that follows it."""
        if self.made is not None:
            self.made.cleanup()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self.plot.show()
