"""A stage before the fit: what it found is noted at once, computed or taken from a checkpoint."""

from __future__ import annotations

from napari_diptomo.reconstruct.joined_run import JoinedRun
from napari_diptomo.reconstruct.staged_run import StagedRun
from napari_diptomo.series.observe import Observer, StopAt


class Listening(Observer):
    """Keeps what is noted, and a checkpoint."""

    def __init__(self, state=None):
        self.noted, self.state = [], state

    def note(self, notes):
        self.noted.append(notes)

    def save_state(self, state):
        self.state = state()

    def load_state(self):
        return self.state


def test_the_result_is_noted_once_also_after_an_interruption():
    first = Listening()
    found = StagedRun(StopAt(first), 'sought').result(lambda observer: {'x': 1.5})
    assert found == {'x': 1.5}
    assert first.noted == [{'sought': {'x': 1.5}}]
    second = Listening(first.state)

    def again(observer):
        raise AssertionError('it is in the checkpoint')

    assert StagedRun(StopAt(second), 'sought').result(again) == {'x': 1.5}
    assert second.noted == first.noted


def test_what_a_fit_of_several_finds_is_passed_on():
    whole = Listening()
    StagedRun(JoinedRun(2, 10, StopAt(whole)), 'sought').note({'x': 1})
    assert whole.noted == [{'x': 1}]
