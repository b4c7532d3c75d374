"""The one loop: the order of checkpoint, report and question, and who may end it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.reconstruct.iterate import Iterated, iterate
from napari_diptomo.series import Cancelled, Observer, Request, Watch


class Counts(Iterated):
    """Counts to three; its second attempt fails."""

    def __init__(self, resumable: bool = True) -> None:
        self.resumable = resumable
        self.attempts, self.done, self.stopped = 0, 0, False

    @property
    def iteration(self) -> int:
        return self.done

    @property
    def validation(self) -> float | None:
        return 0.5

    def advance(self):
        self.attempts += 1
        if self.attempts == 2:
            return None
        self.done += 1
        return {'data': float(self.done)}

    def is_done(self) -> bool:
        return self.done == 3

    def frame(self) -> np.ndarray:
        return np.full((1, 1, 1, 1), self.done, np.float32)

    def stop(self) -> None:
        self.stopped = True

    def state(self):
        return {'done': self.done}


class Notes(Observer):
    def __init__(self, answers: dict[int, Request] | None = None) -> None:
        self.answers, self.seen = answers or {}, []

    def save_state(self, state):
        self.seen.append(('state', state()['done']))

    def report(self, progress):
        self.latest = progress.iteration
        preview = None if progress.preview is None else float(progress.preview.item())
        self.seen.append(('report', progress.iteration, progress.losses['data'], progress.validation, preview))

    def wants_preview(self):
        return True

    def request(self):
        return self.answers.get(self.latest, Request.GO)


def test_each_iteration_is_saved_then_reported_and_a_failed_one_is_neither():
    method, notes = Counts(), Notes()
    assert iterate(method, Watch(notes, 'Counts', 3)) is False
    expected = [entry for i in (1, 2, 3) for entry in (('state', i), ('report', i, i, 0.5, i))]
    assert notes.seen == expected
    assert method.attempts == 4 and not method.stopped


def test_what_cannot_be_resumed_offers_no_state():
    notes = Notes()
    iterate(Counts(resumable=False), Watch(notes, 'Counts', 3))
    assert [entry[0] for entry in notes.seen] == ['report'] * 3


def test_the_observer_ends_it_and_the_method_judges_where_it_is():
    method = Counts()
    assert iterate(method, Watch(Notes({2: Request.FINISH}), 'Counts', 3)) is True
    assert method.done == 2 and method.stopped


def test_a_cancelled_run_is_not_judged():
    method = Counts()
    with pytest.raises(Cancelled):
        iterate(method, Watch(Notes({1: Request.CANCEL}), 'Counts', 3))
    assert method.done == 1 and not method.stopped


def test_what_is_done_already_is_not_advanced():
    method = Counts()
    method.done = 3
    assert iterate(method, Watch(Notes(), 'Counts', 3)) is False
    assert method.attempts == 0
