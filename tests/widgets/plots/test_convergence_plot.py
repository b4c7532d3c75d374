from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.jobs import Stage
from napari_diptomo.jobs.colours import colours
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import Progress, Recipe, Volume
from napari_diptomo.widgets.plots.convergence_plot import ConvergencePlot
from napari_diptomo.widgets.tasks.opening import look_over
from napari_diptomo.widgets.theme import plot_colours


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
    assert 'total variation' in plot.terms.titleLabel.text and 'held-out' not in plot.terms.titleLabel.text
    assert 'deviance per datum' in plot.deviances.titleLabel.text


def test_axes_have_no_numbers_until_there_are_curves(plot):
    def numbers():
        return [axis.style['showValues'] for axis in map(plot.deviances.getAxis, ('left', 'bottom'))]

    assert numbers() == [False, False]
    plot.add(10, {'data': 1.5}, None)
    plot.redraw()
    assert numbers() == [True, True]
    plot.clear_curves()
    assert numbers() == [False, False]


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
    pens = {curve.opts['pen'].color().name() for curve in plot.deviances.listDataItems()}
    assert len(pens) == 1
    plot.clear_curves()
    assert shown(plot.deviances) == []


def test_weights_that_were_tried_stand_above_their_curves(plot):
    plot.resize(400, 290)
    plot.show()
    fits = [('weight 0.7, fit 1 of 4', 3.0), ('weight 0.35, fit 2 of 4', 2.0), ('weight 0.5, fit 4 of 4', 2.5)]
    for place, (fit, value) in enumerate(fits):
        for i in range(1, 101):
            plot.add(100 * place + i, {'data': value, 'tv': 0.1}, None, fit)
    plot.redraw()
    assert plot.weights == ['0.7', '0.35', '0.5']
    assert 'by weight' in plot.deviances.titleLabel.text
    widths = [curve.opts['pen'].width() for curve in plot.deviances.listDataItems()]
    assert widths == [1, 1, 2], 'the last is what was asked for'
    # Beside 3000 more iterations the numbers of those of 100 do not fit.
    for i in range(301, 3301):
        plot.add(i, {'data': 1.0}, None, 'weight 0.5 with HAADF, fit 5 of 8')
    plot.redraw()
    assert plot.weights == ['0.5 HAADF']
    plot.clear_curves()
    for place, fit in enumerate(('maps alone, fit 1 of 3', 'with HAADF, fit 2 of 3', 'all counts, fit 3 of 3')):
        for i in range(1, 101):
            plot.add(100 * place + i, {'data': 1.0}, None, fit)
    plot.redraw()
    assert plot.weights == ['maps alone', 'with HAADF', 'all counts']
    assert 'by weight' not in plot.deviances.titleLabel.text
    plot.clear_curves()
    for i, fit in ((1, 'fit 1 of 2'), (2, 'fit 2 of 2')):
        plot.add(i, {'data': float(i)}, None, fit)
    plot.redraw()
    assert plot.weights == []
    assert {curve.opts['pen'].width() for curve in plot.deviances.listDataItems()} == {2}


def test_less_than_a_decade_has_more_than_one_number(plot):
    axis = plot.deviances.getAxis('left')
    axis.setLogMode(x=False, y=True)
    axis.setRange(np.log10(0.3), np.log10(0.8))
    places = np.log10([0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert [text for text in axis.logTickStrings(places, 1.0, None) if text] == ['0.3', '0.4', '0.5', '0.7']
    axis.setRange(-2, 1)
    assert [text for text in axis.logTickStrings(places, 1.0, None) if text] == ['0.5']
    assert axis.logTickStrings([-1.0, 0.0, 1.0, 2.0], 1.0, None) == ['0.1', '1', '10', '100']


def visible(plot_item):
    return [curve.getOriginalDataset()[1].tolist() for curve in plot_item.listDataItems() if curve.isVisible()]


def test_the_channels_take_the_place_of_the_whole_and_give_it_back(plot):
    """In the colours of their layers, which may be those of the whole: both are never seen together."""
    plot.add(1, {'data': 3.0, 'tv': 0.1}, 4.0, by_channel={'Ge': 2.0, 'Te': 4.0})
    plot.add(2, {'data': 2.0, 'tv': 0.2}, 3.0)
    plot.add(3, {'data': 1.0, 'tv': 0.3}, 2.0, by_channel={'Ge': 0.8, 'Te': 1.2})
    plot.redraw()
    assert visible(plot.deviances) == [[3, 2, 1], [4, 3, 2]]
    assert 'Ge' not in plot.deviances.titleLabel.text
    plot.show_channels(True)
    assert visible(plot.deviances) == [[2.0, 0.8], [4.0, 1.2]]
    title = plot.deviances.titleLabel.text
    assert 'fitted' not in title and 'held-out' not in title
    for name, hue in colours(('Ge', 'Te')).items():
        assert f'<span style="color: {hue}">{name}</span>' in title
    assert visible(plot.terms) == [pytest.approx([0.1, 0.2, 0.3])]
    plot.show_channels(False)
    assert visible(plot.deviances) == [[3, 2, 1], [4, 3, 2]]
    assert 'fitted' in plot.deviances.titleLabel.text


def test_a_channel_may_have_the_name_of_a_term(plot):
    plot.add(1, {'data': 3.0, 'tv': 0.1}, None, by_channel={'data': 2.0, 'tv': 4.0})
    plot.show_channels(True)
    assert visible(plot.deviances) == [[2.0], [4.0]]
    assert visible(plot.terms) == [[0.1]]


def test_without_channels_the_whole_is_shown_whatever_is_wished(plot):
    plot.show_channels(True)
    plot.add(1, {'data': 3.0}, None)
    plot.redraw()
    assert not plot.has_channels
    assert visible(plot.deviances) == [[3.0]]


def test_the_box_is_there_where_a_run_has_something_to_show(dock, maps, qtbot):
    page = dock.reconstruct_page
    dock.open_page.done(look_over(maps))
    dock.stages.go_to(page)
    run = dock.runs.begin(maps, 'SIRT', Recipe(steps=(SIRT(),)))
    page.follow(run, Progress('SIRT', 1, 5, losses={'data': 2.0}))
    assert page.by_element.isHidden()
    page.follow(run, Progress('SIRT', 2, 5, losses={'data': 2.0}, by_channel={'Ge': 1.0, 'Te': 3.0}))
    assert not page.by_element.isHidden()
    page.set_frozen(True)
    assert page.by_element.isEnabled(), 'while it runs'
    page.by_element.click()
    assert visible(page.convergence.deviances) == [[1.0], [3.0]]
    page.follow(run, Stage(0, 1, 'SIRT'))
    assert page.by_element.isHidden()


def test_they_come_from_the_computing_process(dock, maps, settled):
    step = SIRT(iterations=20)
    dock.open_page.done(look_over(maps))
    dock.reconstruct_page.take_step(step)
    run = dock.runs.begin(maps, step.title, Recipe(steps=(step,)))
    dock.session.start(*dock.reconstruct_page.job(), 'Reconstruct', run)
    settled(dock)
    known = [point.by_channel for point in run.convergence if point.by_channel]
    assert known and tuple(known[-1]) == ('Ge', 'Te')
    assert all(known[-1][name] < known[0][name] for name in known[0]) or len(known) == 1


def test_the_lower_plot_has_its_place_at_once(plot, qtbot):
    plot.show()
    plot.add(1, {'data': 3.0}, None)
    plot.redraw()
    qtbot.waitUntil(lambda: plot.terms.geometry().height() < 10)
    plot.clear_curves()
    plot.add(1, {'data': 3.0, 'tv': 0.1}, None)
    plot.redraw()
    # Nothing of Qt's loop has run since: a window that paints now must not show one plot on the other.
    assert plot.terms.geometry().height() > 50


def test_titles_are_as_legible_as_the_numbers(plot):
    plot.add(1, {'data': 3.0, 'tv': 0.1}, None)
    plot.redraw()
    for one in (plot.deviances, plot.terms):
        assert one.titleLabel.opts['color'] == plot_colours().text


@pytest.mark.parametrize(
    ('value', 'shown'),
    [(1e-4, '10⁻⁴'), (0.005, '0.005'), (20.0, '20'), (1e3, '1000'), (5e3, '5000'), (1e4, '10⁴'), (2e12, '2·10¹²')],
)
def test_numbers_of_a_logarithmic_axis_are_no_wider_than_it(plot, value, shown):
    axis = plot.deviances.getAxis('left')
    assert axis.logTickStrings([np.log10(value)], 1.0, 1.0) == [shown]
