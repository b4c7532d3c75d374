from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.series import Volume
from napari_diptomo.widgets.plots.convergence_plot import ConvergencePlot


@pytest.fixture
def plot(qtbot):
    found = ConvergencePlot()
    qtbot.addWidget(found)
    yield found
    found.cleanup()


def shown(plot_item):
    return [curve.getOriginalDataset()[1].tolist() for curve in plot_item.listDataItems()]


def test_deviances_share_one_plot_and_other_terms_have_their_own(plot):
    for i in (1, 2, 3):
        plot.add(i, {'data': 3.0 / i, 'tv': 0.01 * i}, 4.0 / i)
    plot.redraw()
    assert shown(plot.deviances) == [[3.0, 1.5, 1.0], [4.0, 2.0, pytest.approx(4 / 3)]]
    assert shown(plot.terms) == [pytest.approx([0.01, 0.02, 0.03])]
    assert 'fitted' in plot.deviances.titleLabel.text and 'held-out' in plot.deviances.titleLabel.text
    assert 'tv' in plot.terms.titleLabel.text and 'held-out' not in plot.terms.titleLabel.text
    assert 'deviance per datum' in plot.deviances.titleLabel.text


def test_values_of_numpy_are_values(plot):
    plot.add(1, {'data': np.float64(2.0), 'tv': np.float32(0.1)}, np.float64(1.0))
    plot.redraw()
    assert plot.deviances.getAxis('left').logMode


def test_nothing_is_marked_until_the_result_says_what_was_returned(plot):
    for i in range(1, 6):
        plot.add(i, {'data': 1.0}, float(abs(i - 2) + 1))
    plot.redraw()
    assert plot.returned is None
    plot.mark_returned(4)
    assert plot.returned == 4
    plot.mark_returned(None)
    assert plot.returned is None


def test_a_run_without_other_terms_shows_one_plot(plot):
    plot.add(1, {'data': 2.0}, None)
    plot.redraw()
    assert not plot.terms.isVisible()
    plot.clear_curves()
    plot.add(1, {'data': 2.0, 'tv': 1.0}, np.nan)
    plot.redraw()
    assert plot.terms.isVisible()
    assert shown(plot.deviances) == [[2.0]]


def test_the_mark_is_what_the_volume_says_of_itself(dock):
    page = dock.reconstruct_page
    data = np.zeros((1, 4, 4, 4), np.float32)
    for i in (1, 2, 3):
        page.convergence.add(i, {'data': 1.0}, float(i))
    page.done(Volume(data, ('Ge',), notes={'returned_iteration': 3}))
    assert page.convergence.returned == 3, 'not the lowest of the curve'
    page.done(Volume(data, ('Ge',)))
    assert page.convergence.returned is None


def test_another_fit_and_a_step_back_begin_a_curve_of_their_own(plot):
    for i, fit in ((1, 'fit 1 of 2'), (2, 'fit 1 of 2'), (3, 'fit 2 of 2'), (4, 'fit 2 of 2'), (3, 'fit 2 of 2')):
        plot.add(i, {'data': float(i)}, None, fit)
    plot.redraw()
    assert shown(plot.deviances) == [[1, 2], [3, 4], [3]]
    assert plot.deviances.titleLabel.text.count('fitted') == 1
    colours = {curve.opts['pen'].color().name() for curve in plot.deviances.listDataItems()}
    assert len(colours) == 1
    plot.clear_curves()
    assert shown(plot.deviances) == []
