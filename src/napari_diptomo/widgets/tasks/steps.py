"""A short step, and writing its result, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_diptomo.series import Observer, Step


def running(step: Step, data: Any) -> Callable[[Observer], Any]:
    """Run a short step."""

    def run_step(observer: Observer) -> Any:
        return step.run(data, observer)

    run_step.__name__ = f'run_{type(step).__name__}'
    return run_step


def saving(result: Any, path: str) -> Callable[[Observer], Any]:
    """Write a result to a file; gives back what was written."""

    def save_result(observer: Observer) -> Any:
        return result.save(path)

    return save_result
