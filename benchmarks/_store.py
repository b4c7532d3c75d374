"""Results beside the benchmarks: one JSON file, one line per run, resumable.

A run is measured again when its step, its case or the code behind its method
has changed (`_fingerprint`). Results of older code stay in the file until they
are, and count as not measured.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _cases
from _fingerprint import fingerprint
from napari_diptomo.series import Step
from napari_diptomo.series.steps import step_from_dict

#: Fields, by how their names begin, that do nothing while the switch is 'none'.
_IDLE = {'support': ('slab_', 'support_'), 'sum_rule': ('densities', 'absolute_densities', 'sum_rule_')}


def version(step: Mapping[str, Any]) -> str:
    """Which code and which cases a result belongs to."""
    return f'{fingerprint(step)}.{_cases.VERSION}'


def is_current(cell: Mapping[str, Any]) -> bool:
    """Whether a result was measured with the code and the cases there are now."""
    return bool(cell.get('version') == version(cell['step']))


class Store:
    """The results of one benchmark.

    Parameters
    ----------
    path : Path
        JSON file; a missing one is an empty one.

    Attributes
    ----------
    cells : dict of str to dict
        By key; each holds the step and the version that it was measured with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells: dict[str, dict[str, Any]] = _read(path)

    def find(self, key: str, step: Step) -> dict[str, Any] | None:
        """The result, None where there is none of this step and this code."""
        kept = self.cells.get(key)
        if kept is None or not is_current(kept):
            return None
        return kept if same_step(kept.get('step', {}), step) else None

    def current(self, key: str) -> dict[str, Any]:
        """The result of whatever step was measured last with this code; empty where there is none."""
        kept = self.cells.get(key, {})
        return kept if kept and is_current(kept) else {}

    def put(self, key: str, step: Step, result: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a result, on disk at once; another process may write to the same file.

        A version in ``result`` is that of the code that made it, which may have changed since.
        """
        settings = step.to_dict()
        cell = {'version': version(settings), **result, 'step': settings}
        self.path.parent.mkdir(exist_ok=True)
        with self.path.with_suffix('.lock').open('w', encoding='ascii') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.cells = {**_read(self.path), key: cell}
            lines = ',\n'.join(f'{json.dumps(name)}: {json.dumps(self.cells[name])}' for name in sorted(self.cells))
            fresh = self.path.with_suffix('.new')
            fresh.write_text('{"cells": {\n' + lines + '\n}}\n', encoding='utf-8')
            os.replace(fresh, self.path)
        return cell


def _read(path: Path) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text(encoding='utf-8')).get('cells', {}) if path.exists() else {}


def same_step(kept: Mapping[str, Any], step: Step) -> bool:
    """Whether a kept description is that of ``step``; a field that is new since then counts by its default."""
    kept = {name: value for name, value in kept.items() if name == 'step' or name in type(step).model_fields}
    try:
        return _at_work(step_from_dict(dict(kept)).to_dict()) == _at_work(step.to_dict())
    except ValueError:
        return False


def _at_work(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a step that do anything: those of a support or a rule that is off may change their defaults."""
    idle = tuple(prefix for switch, prefixes in _IDLE.items() if values.get(switch) == 'none' for prefix in prefixes)
    return {name: value for name, value in values.items() if name in _IDLE or not name.startswith(idle or ('\0',))}
