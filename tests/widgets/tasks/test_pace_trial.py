"""The pace of a network on this machine is tried in a process beside the window, and given up when the machine is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from napari_diptomo.reconstruct import SIRT, DIPmTV
from napari_diptomo.series import Recipe, Source
from napari_diptomo.widgets.tasks import pace_trial
from napari_diptomo.widgets.tasks.duration_estimate import trial_of
from napari_diptomo.widgets.tasks.pace_trial import PaceTrial, phantom, shortened

SMALL = DIPmTV(widths=(8, 16), skips=(4, 4), device='cpu')


@pytest.fixture
def trial(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(pace_trial, '_PATIENCE_MS', 10)
    found = PaceTrial()
    yield found
    found.forget()
    qtbot.waitUntil(lambda: not found.busy, timeout=20_000)


def test_a_trial_says_the_pace_of_the_network_on_this_machine(trial: PaceTrial, qtbot: Any) -> None:
    with qtbot.waitSignal(trial.measured, timeout=120_000) as heard:
        trial.ask(SMALL)
    kind, pace = heard.args
    assert kind == trial_of(SMALL) == 'trial DIPm-TV balanced cpu'
    # From a graphics card to a crowded machine: 64000 voxels in 0.6 ms to a minute.
    assert 1e-8 < pace < 1e-3


def test_it_is_given_up_when_the_machine_is_wanted(trial: PaceTrial, qtbot: Any) -> None:
    heard: list[Any] = []
    trial.measured.connect(lambda *found: heard.append(found))
    trial.ask(SMALL)
    qtbot.waitUntil(lambda: trial._task is not None, timeout=10_000)
    trial.forget()
    qtbot.waitUntil(lambda: not trial.busy, timeout=20_000)
    assert heard == []


def test_only_networks_are_tried(trial: PaceTrial) -> None:
    trial.ask(SIRT())
    assert not trial.busy


@pytest.mark.parametrize('preset', ['fast', 'balanced', 'best', 'published-eels', 'published-edx'])
def test_the_shortened_step_is_the_same_network_in_one_fit(preset: str) -> None:
    step = DIPmTV(preset=preset, refine_shifts=True, thickness=50.0)
    short = shortened(step)
    for name in ('widths', 'skips', 'layout', 'optimiser', 'input_channels', 'precision', 'device'):
        assert getattr(short, name) == getattr(step, name)
    assert (short.iterations, short.ensemble, short.refine_shifts, short.thickness) == (8, 1, False, None)
    assert short.output != 'auto'
    recipe = Recipe.from_dict(Recipe(Source(), (short,)).to_dict())
    assert recipe.resolved().steps[0] == short


def test_the_phantom_is_counts() -> None:
    assert phantom().are_counts and phantom().data.shape == (2, 5, 40, 40)
