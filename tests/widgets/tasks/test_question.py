"""Of several questions the newest is answered."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from napari_diptomo.series import InputError, Observer
from napari_diptomo.widgets.tasks.question import Question


@pytest.fixture
def question(qtbot: Any) -> Any:
    question = Question(patience_ms=5)
    yield question
    question.cleanup()


def heard(question: Question) -> list[Any]:
    received: list[Any] = []
    question.answered.connect(received.append)
    question.failed.connect(received.append)
    return received


def test_an_answer_and_a_failure_are_note(question: Question, qtbot: Any) -> None:
    received = heard(question)
    question.ask(lambda observer: 7)
    assert question.busy
    qtbot.waitUntil(lambda: not question.busy)

    def fail(observer: Observer) -> None:
        raise InputError('No such element; choose another.')

    question.ask(fail)
    qtbot.waitUntil(lambda: not question.busy)
    assert received == [7, 'No such element; choose another.']


def test_what_was_asked_before_the_newest_is_not_answered(question: Question, qtbot: Any) -> None:
    received = heard(question)
    begun, released = threading.Event(), threading.Event()

    def slow(observer: Observer) -> str:
        begun.set()
        released.wait(10)
        return 'old'

    question.ask(slow)
    qtbot.waitUntil(begun.is_set)
    question.ask(lambda observer: 'skipped')
    question.ask(lambda observer: 'new')
    released.set()
    qtbot.waitUntil(lambda: not question.busy)
    assert received == ['new']


def test_a_question_that_is_forgotten_is_not_answered(question: Question, qtbot: Any) -> None:
    received = heard(question)
    question.ask(lambda observer: 'answer')
    question.forget()
    qtbot.wait(100)
    assert received == [] and not question.busy
