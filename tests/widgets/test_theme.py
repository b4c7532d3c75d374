"""Colours of elements as text are legible on both of napari's themes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from napari.utils.theme import get_theme

from napari_diptomo.jobs.colours import HUES, colours
from napari_diptomo.series.elements import _IN_ORDER
from napari_diptomo.widgets.controls.parts import words
from napari_diptomo.widgets.plots.convergence_plot import ConvergencePlot
from napari_diptomo.widgets.theme import LEGIBLE, contrast, legible, legible_text


@pytest.fixture
def theme() -> Iterator[Any]:
    before = get_settings().appearance.theme
    yield get_settings().appearance
    get_settings().appearance.theme = before


def relative_luminance(hue: str) -> float:
    """As WCAG 2.2 defines it, written anew."""
    parts = np.array([int(hue[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize('name', ['dark', 'light'])
def test_all_elements_are_legible(name: str) -> None:
    background = get_theme(name).background.as_hex('long')
    behind = relative_luminance(background)
    for hue in {*HUES, *(colours((element,))[element] for element in _IN_ORDER)}:
        shown = legible(hue, background)
        low, high = sorted((relative_luminance(shown), behind))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (hue, shown)
        if contrast(hue, background) >= LEGIBLE:
            assert shown == hue


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast('#000000', '#ffffff') == pytest.approx(21.0)
    assert contrast('#fff', '#777777') == pytest.approx(4.48, abs=0.005)
    assert legible('#2ab0ff', '#ffffff') != '#2ab0ff' == legible('#2ab0ff', '#000000')


def test_text_follows_the_theme(theme: Any, qtbot: Any) -> None:
    theme.theme = 'dark'
    label = words('<span style="color: #00d896">● Sb</span>, 12 %')
    plot = ConvergencePlot()
    for widget in (label, plot):
        qtbot.addWidget(widget)
    plot.add(1, {'data': 3.0, 'tv': 0.1}, None)
    plot.redraw()
    dark = plot.deviances.titleLabel.text
    assert '#00d896"> Sb' in label.text() and HUES[0] in dark
    theme.theme = 'light'
    label.follow_theme()
    assert '#00d896"> Sb' not in label.text() and '#00d896">●' in label.text(), 'its curve has that colour still'
    assert HUES[0] not in plot.deviances.titleLabel.text
    assert legible_text(dark) == plot.deviances.titleLabel.text
    theme.theme = 'dark'
    label.follow_theme()
    assert '#00d896"> Sb' in label.text() and plot.deviances.titleLabel.text == dark
    plot.cleanup()


def test_no_line_ends_between_a_number_and_its_percent_sign(qtbot: Any) -> None:
    label = words('1 %')
    qtbot.addWidget(label)
    label.setText('10 % of 20 nm, in % of all')
    assert label.text() == '10\N{NO-BREAK SPACE}% of 20 nm, in % of all'
