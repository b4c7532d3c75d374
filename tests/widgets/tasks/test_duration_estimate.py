"""The pace leaves the warm-up out; the estimate multiplies it by the work to be done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, Reconstruction, TotalVariation
from napari_diptomo.series import MapSeries, Progress
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.widgets.controls.run_bar import RunBar, in_seconds, pace
from napari_diptomo.widgets.tasks.duration_estimate import (
    Pace,
    duration,
    kind_of,
    kind_of_refinement,
    time_in_words,
    trial_of,
    voxels_of,
)


@pytest.fixture
def maps() -> MapSeries:
    counts = np.ones((2, 5, 16, 20), np.float32)
    return MapSeries(counts, np.linspace(-40, 40, 5), ('Ge', 'Te'), pixel_size=2.0)


def reports(*seconds: float, total: int = 100) -> Pace:
    found = Pace()
    for number, after in enumerate(seconds, start=1):
        found.add(Progress('DIPm-TV', number, total, after))
    return found


def test_a_slow_beginning_is_left_out() -> None:
    assert reports(30.0, 31.0).seconds() is None
    assert reports(30.0, 31.0, 31.5, 32.0, 32.5).seconds() == pytest.approx(0.5)


def test_where_iterations_begin_anew_so_does_the_measurement() -> None:
    found = reports(1.0, 2.0, 3.0, 4.0)
    found.add(Progress('DIPm-TV', 1, 100, 50.0))
    assert found.seconds() is None


def test_the_bar_says_what_it_counts(qtbot: Any) -> None:
    bar = RunBar()
    qtbot.addWidget(bar)
    for report, shown in (
        (Progress('DIPm-TV', 16, 160, 2.0, losses={'data': 1.0}), '16 / 160 iterations'),
        (Progress('Totals', 3, 17, 6.0), '3 / 17 tilts'),
        (Progress('Open', 0, 1, 0.0), '0 / 1 step'),
    ):
        bar.show_message(report)
        assert bar.bar.format() == shown


def test_the_bar_shows_no_time_before_the_pace_is_known() -> None:
    report = Progress('DIPm-TV', 2, 100, 20.0, {'tv': 1.0})
    assert pace(report) == 'DIPm-TV: iteration 2 of 100'
    assert pace(report, 0.5) == 'DIPm-TV: 0.5 s per iteration, 49 s to go'
    assert pace(Progress('Totals', 3, 17, 6.0), 2.0) == 'Totals: 2 s per tilt, 28 s to go'


@pytest.mark.parametrize(
    ('seconds', 'words'), [(4.9e-6, 'under 1 ms'), (0.0123, '12 ms'), (0.41, '0.41 s'), (12.0, '12 s')]
)
def test_short_times_are_no_powers_of_ten(seconds: float, words: str) -> None:
    assert in_seconds(seconds) == words


def test_what_was_measured_here_is_scaled_to_the_volume(maps: MapSeries) -> None:
    step = SIRT(iterations=100)
    assert voxels_of(step, maps) == 20 * 16 * 20
    assert time_in_words(step, maps, {}) == ''
    assert time_in_words(step, maps, {kind_of(step, maps): 0.5 / 6400}).startswith('Up to 50 s ')


def test_six_fits_take_six_times_as_long(maps: MapSeries) -> None:
    one = DIPmTV(preset='balanced', iterations=100, output='softplus', ensemble=1)
    six = DIPmTV(preset='balanced', iterations=100, output='softplus', ensemble=6)
    paces = {kind_of(one, maps): 0.1 / 6400}
    assert time_in_words(one, maps, paces).startswith('Up to 10 s ')
    assert time_in_words(six, maps, paces).startswith('Up to 60 s ')


def test_without_a_run_here_the_range_of_other_machines_is_said_with_what_it_rests_on(maps: MapSeries) -> None:
    said = time_in_words(DIPmTV(preset='fast', device='cpu'), maps, {})
    assert said.startswith('All iterations take 6 s to 26 s on two idle cores, longer on a busy machine.')


def test_a_trial_on_this_machine_comes_before_other_machines_and_after_a_run(maps: MapSeries) -> None:
    step = DIPmTV(preset='fast', device='cpu', iterations=100, stopping='last')
    paces = {trial_of(step): 0.2 / 6400}
    assert time_in_words(step, maps, paces).startswith(
        'All iterations take about 20 s, by a short trial on this machine.'
    )
    assert time_in_words(step, maps, paces | {kind_of(step, maps): 0.1 / 6400}).startswith('Up to 10 s ')
    other = DIPmTV(preset='balanced', device='cpu', iterations=100, stopping='last')
    assert 'two idle cores' in time_in_words(other, maps, paces)


@pytest.mark.parametrize(('kind', 'iterations'), [(DIPmTV, 60), (TotalVariation, 770)])
def test_refining_the_shifts_takes_its_time_too(
    maps: MapSeries, kind: type[DIPmTV | TotalVariation], iterations: int
) -> None:
    """As many iterations as it takes at most, or as long as it took here."""
    more = {'stopping': 'last'} if kind is DIPmTV else {'weight': 0.6}
    step = kind(iterations=100, refine_shifts=True, **more)
    paces = {kind_of(step, maps): 0.1 / 6400}
    assert time_in_words(step, maps, paces).startswith(f'Up to {duration(0.1 * (100 + iterations))} ')
    measured = paces | {kind_of_refinement(step): 7.0 / 6400}
    assert time_in_words(step, maps, measured).startswith('Up to 17 s ')
    assert time_in_words(step.model_copy(update={'refine_shifts': False}), maps, measured).startswith('Up to 10 s ')


def test_nor_is_it_forgotten_before_a_run_here(maps: MapSeries) -> None:
    def said(**changes: object) -> str:
        return time_in_words(DIPmTV(preset='fast', device='cpu', iterations=100, stopping='last', **changes), maps, {})

    assert said().startswith('All iterations take 4 s to 16 s ')
    assert said(refine_shifts=True).startswith('All iterations take 6 s to 26 s ')


@pytest.mark.parametrize('device', ['GPU NVIDIA H200 (torch 2.13.0)', 'Apple GPU (torch 2.13.0)'])
def test_of_a_graphics_card_nothing_is_said_before_a_run(
    maps: MapSeries, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(DIPmTV, 'device_name', lambda self: device)
    assert time_in_words(DIPmTV(), maps, {}) == ''


@pytest.mark.parametrize(
    ('step', 'alone', 'with_haadf'),
    [
        (DIPmTV(iterations=100), 20, 30),
        (DIPmTV(iterations=100, haadf=False), 20, 20),
        (DIPmTV(iterations=100, holdout=0.0, stopping='last'), 10, 20),
        (DIPmTV(iterations=100, stopping='last'), 10, 30),
        (DIPmTV(preset='fast', iterations=100), 10, 30),
        (DIPmTV(preset='best', iterations=100), 60, 80),
        (TotalVariation(weight=0.6, iterations=100), 10, 50),
        (TotalVariation(weight=0.6, iterations=100, holdout=0.1), 10, 40),
        (TotalVariation(weight=0.6, iterations=100, haadf=False), 10, 10),
        (TotalVariation(iterations=100), 40, 80),
        (TotalVariation(iterations=100, holdout=0.1), 40, 70),
        (TotalVariation(iterations=200, haadf=False), 80, 80),
        (SIRT(iterations=100), 10, 50),
        (SIRT(iterations=100, haadf=False), 10, 10),
        (PoissonEM(iterations=100, holdout=0.1), 10, 40),
    ],
)
def test_as_many_fits_as_there_will_be(maps: MapSeries, step: Reconstruction, alone: int, with_haadf: int) -> None:
    """An ensemble fits one head a member, and with a HAADF series two more networks that judge it.

    Any other run asks for up to three networks beside a HAADF series, without held-out counts for two. Total variation is
    solved with three weights of the images at most, and once more with all counts where they are held out for the images.
    Three weights of the total variation are compared where none is given. SIRT and Poisson EM are run without the images, with
    them, and once more with all counts where some are held out for the images.
    """
    pictures = HAADFSeries(np.ones((3, 16, 20), np.float32), np.linspace(-60, 60, 3), 2.0)
    for data, seconds in ((maps, alone), (replace(maps, haadf_series=pictures), with_haadf)):
        paces = {kind_of(step, data): 0.1 / 6400}
        assert time_in_words(step, data, paces).startswith(f'Up to {seconds} s ')


def test_the_pace_of_a_run_with_images_is_its_own(maps: MapSeries) -> None:
    pictures = HAADFSeries(np.ones((3, 16, 20), np.float32), np.linspace(-60, 60, 3), 2.0)
    beside = replace(maps, haadf_series=pictures)
    assert kind_of(DIPmTV(), beside) == 'DIPm-TV balanced auto HAADF'
    assert kind_of(DIPmTV(haadf=False), beside) == kind_of(DIPmTV(), maps) == 'DIPm-TV balanced auto'
    assert (kind_of(SIRT(), beside), kind_of(SIRT(), maps)) == ('SIRT auto HAADF', 'SIRT auto')
