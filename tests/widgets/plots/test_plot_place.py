"""The place of a plot: nothing is made before it is seen or filled, and then once."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_diptomo.widgets.plots.plot_place import PlotPlace
from napari_diptomo.widgets.plots.themed_plot import ThemedPlot


def page_with(place: PlotPlace[ThemedPlot], qtbot: Any) -> QWidget:
    page = QWidget()
    qtbot.addWidget(page)
    QVBoxLayout(page).addWidget(place)
    return page


def test_a_plot_is_made_when_its_place_is_seen_first(qtbot: Any) -> None:
    made: list[ThemedPlot] = []

    def make() -> ThemedPlot:
        made.append(ThemedPlot())
        return made[-1]

    place = PlotPlace(make)
    page = page_with(place, qtbot)
    place.setVisible(False)
    page.show()
    assert made == [] and place.made is None, 'a place that is hidden on a page that is seen'
    place.setVisible(True)
    assert made == [place.plot] and place.plot.isVisible()
    assert place.sizeHint().height() == place.plot.height(), 'as high as its plot'
    page.hide()
    page.show()
    assert len(made) == 1


def test_a_plot_that_is_filled_before_it_is_seen_is_the_one_that_is_seen(qtbot: Any) -> None:
    place = PlotPlace(ThemedPlot)
    page = page_with(place, qtbot)
    filled = place.plot
    filled.plots[0].plot([0, 1], [2, 3])
    page.show()
    assert place.plot is filled and filled.isVisible()


class Watched(ThemedPlot):
    """Counts how often it was let go of."""

    let_go = 0

    def cleanup(self) -> None:
        self.let_go += 1
        super().cleanup()


def test_a_place_without_a_plot_has_nothing_to_let_go_of(qtbot: Any) -> None:
    place = PlotPlace(Watched)
    qtbot.addWidget(place)
    place.cleanup()
    assert place.made is None
    plot = place.plot
    place.cleanup()
    assert plot.let_go == 1
