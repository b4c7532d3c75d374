"""Continuing after an interruption: a step's state, now and then, on disk.

A step hands its state (weights, optimiser, random state, best iterate, ...) to
its observer; a `Checkpoint` writes it when one is due, in one stroke, so that
a crash in the middle leaves the previous one whole. The file says which recipe
and data it belongs to, and is refused for any other. Where it cannot be written
(a full disk), a warning goes to the log and the run continues: the previous
checkpoint stays, and the next is tried when it is due.

A run that has a checkpoint writes an empty one when it begins (`begin`), so that
it can be resumed from the first moment on: one without a state starts over.

The format is that of `torch.save`, read back with ``weights_only=True``: a
checkpoint from a stranger can be wrong, but cannot run code.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series import DiptomoError, InputError, MapSeries, Recipe, Volume
from napari_diptomo.series.files import replacing, replacing_text, sweep_partials

_FORMAT = 2
_log = logging.getLogger('napari_diptomo')


class Checkpoint:
    """The checkpoint file of one run.

    Parameters
    ----------
    path : path
        The file.
    recipe : Recipe
        What is being run.
    interval : float
        Seconds between two checkpoints; 0 writes at every chance.
    resume : bool
        Continue from the file if there is one. Otherwise an old one is overwritten.
    """

    def __init__(self, path: str | Path, recipe: Recipe, interval: float = 60.0, resume: bool = False) -> None:
        self.path = Path(path)
        self._recipe = recipe.to_dict()
        self._interval = interval
        self._last = time.monotonic()
        self._warned = False
        self._stops: dict[int, int] = {}
        self._saved = self._read() if resume and self.path.exists() else None

    def save(self, step: int, data: Any, state: Callable[[], Mapping[str, Any]]) -> bool:
        """Write the state of a step, if a checkpoint is due.

        Parameters
        ----------
        step : int
            Its number in the recipe, from 0.
        data : SpectralTiltSeries, MapSeries or Volume
            What it works on.
        state : callable
            Returns the state; called only when a checkpoint is due.

        Returns
        -------
        bool
            Whether it was written.
        """
        if time.monotonic() - self._last < self._interval:
            return False
        import torch

        content = {
            'format': _FORMAT,
            'recipe': json.dumps(self._recipe),
            'step': step,
            'data': json.dumps(_describe(data)),
            'stops': [list(stop) for stop in self._stops.items()],
            'state': _pack(state(), torch),
        }
        self._last = time.monotonic()
        try:
            replacing(self.path, lambda partial: _write(content, partial))
        except DiptomoError as error:
            if not self._warned:
                _log.warning(
                    'The run continues without a new checkpoint: %s',
                    str(error).removesuffix('; free some space or choose another folder.') + '; free some space there.',
                )
            self._warned = True
            return False
        self._warned = False
        return True

    def stopped_at(self, step: int) -> int | None:
        """Iteration at which a step of the interrupted run had been stopped by hand, None if it was not.

        Parameters
        ----------
        step : int
            Its number in the recipe, from 0.

        Returns
        -------
        int or None
            From 1.
        """
        return self._stops.get(step)

    def note_stop(self, step: int, iteration: int | None) -> None:
        """A step is complete; what is saved from now on says where it was stopped by hand.

        Parameters
        ----------
        step : int
            Its number in the recipe, from 0.
        iteration : int or None
            Where it was stopped, from 1; None: it ran to its end.
        """
        if iteration is not None:
            self._stops[step] = iteration

    def load(self, step: int, data: Any) -> dict[str, Any] | None:
        """The state that a step saved for these data.

        Parameters
        ----------
        step : int
            Its number in the recipe, from 0.
        data : SpectralTiltSeries, MapSeries or Volume
            What it works on.

        Returns
        -------
        dict or None
            As `save` was given it; None when the step saved none.

        Raises
        ------
        InputError
            When the checkpoint belongs to other data.
        """
        if self._saved is None or self._saved['step'] != step:
            return None
        if not _alike(json.loads(self._saved['data']), _describe(data)):
            raise InputError(
                f'The checkpoint {self.path} belongs to other data; '
                'take the data it was made from, or run without resuming.'
            )
        return dict(self._saved['state'])

    def remove(self) -> None:
        """Delete the file: the run has ended well."""
        remove(self.path)

    def _read(self) -> dict[str, Any] | None:
        try:
            saved = _contents(self.path)
            recipe, form = json.loads(saved['recipe']), saved['format']
            # A field that the source or a step has got since then has its default there.
            known = Recipe.from_dict(recipe, embedded=True).to_dict()
            recipe['source'] = known['source']
            recipe['steps'] = [
                now if now['step'] == 'Align' else {**now, **before}
                for before, now in zip(recipe['steps'], known['steps'], strict=True)
            ]
            if 'state' in saved:
                np.asarray(json.loads(saved['data']).get('totals', []), dtype=float)
                self._stops = {int(step): int(at) for step, at in saved.get('stops', ())}
                saved = saved | {'step': int(saved['step']), 'state': _unpack(saved['state'])}
        except Exception:  # torch raises whatever the broken bytes provoke
            raise InputError(
                f'The checkpoint {self.path} cannot be read; delete it and run without resuming.'
            ) from None
        if form != _FORMAT:
            raise InputError(
                f'The checkpoint {self.path} is from another version of napari-diptomo; run without resuming.'
            )
        difference = _difference(recipe, self._recipe)
        if difference:
            raise InputError(
                f'The checkpoint {self.path} belongs to another recipe ({difference}); '
                'run that recipe, or run this one without resuming.'
            )
        return saved if 'state' in saved else None


def begin(path: Path, recipe: Recipe) -> None:
    """Write an empty checkpoint, where there is none yet: the run can be resumed, from its start.

    Raises
    ------
    InputError
        It cannot be written.
    """
    if path.exists() and not is_empty(path):
        return
    content = json.dumps({'format': _FORMAT, 'recipe': json.dumps(recipe.to_dict())})
    replacing_text(path, content)


def is_empty(path: Path) -> bool:
    """Whether this is a checkpoint without a state, as `begin` writes it."""
    try:
        with open(path, 'rb') as file:
            return file.read(1) == b'{'
    except OSError:
        return False


def remove(path: Path) -> None:
    """Delete a checkpoint and what a process that is gone left half written beside it; harmless where there is none."""
    path.unlink(missing_ok=True)
    sweep_partials(path)


def _contents(path: Path) -> dict[str, Any]:
    if is_empty(path):
        return dict(json.loads(path.read_text(encoding='utf-8')))
    import torch

    return dict(torch.load(path, map_location='cpu', weights_only=True))


def _write(content: dict[str, Any], path: Path) -> None:
    import torch

    with open(path, 'wb') as file:
        torch.save(content, file)


def _describe(data: Any) -> dict[str, Any]:
    """Properties that distinguish data; totals instead of a hash, for sums differ in the last digit between machines."""
    if not isinstance(data, MapSeries | Volume):
        return {'kind': type(data).__name__}
    described = {
        'kind': type(data).__name__,
        'channels': list(data.channels),
        'shape': list(data.data.shape),
        'totals': data.data.sum(axis=(1, 2, 3), dtype=float).tolist(),
    }
    if isinstance(data, MapSeries) and data.haadf_series is not None:
        images = data.haadf_series.images
        described['haadf'] = list(images.shape)
        described['totals'] = [*described['totals'], float(images.sum(dtype=float))]
    if isinstance(data, MapSeries) and data.second_axis is not None:
        second = _describe(data.second_axis)
        described['second axis'] = second['shape']
        described['totals'] = [*described['totals'], *second['totals']]
    return described


def _alike(saved: dict[str, Any], now: dict[str, Any]) -> bool:
    saved, now = dict(saved), dict(now)
    before, after = saved.pop('totals', []), now.pop('totals', [])
    return saved == now and len(before) == len(after) and bool(np.allclose(before, after, rtol=1e-3, atol=1e-6))


def _difference(saved: dict[str, Any], now: dict[str, Any]) -> str:
    """The first difference between two recipes in words, '' when they are the same."""
    for key in sorted({*saved['source'], *now['source']}):
        # A folder may have moved since; whether the data are the same their totals show.
        if _names(saved['source'].get(key)) != _names(now['source'].get(key)):
            return f'its source has {key} = {saved["source"].get(key)!r}'
    if [s['step'] for s in saved['steps']] != [s['step'] for s in now['steps']]:
        return f'its steps are {", ".join(s["step"] for s in saved["steps"])}'
    for before, after in zip(saved['steps'], now['steps'], strict=True):
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                return f'its {before["step"]} has {key} = {before.get(key)!r}'
    return ''


def _names(value: Any) -> Any:
    """Of paths their names, anything else as it is."""
    if isinstance(value, list | tuple):
        return [_names(item) for item in value]
    return Path(value).name if isinstance(value, str) else value


_ARRAY = '__numpy__'


def _pack(value: Any, torch: Any) -> Any:
    """`value` with numpy arrays as tensors and numpy scalars as numbers: what weights_only reads back."""
    if isinstance(value, Mapping):
        return {key: _pack(item, torch) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_pack(item, torch) for item in value)
    if isinstance(value, np.ndarray):
        return {_ARRAY: torch.from_numpy(np.array(value))}
    return value.item() if isinstance(value, np.generic) else value


def _unpack(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {_ARRAY}:
            return value[_ARRAY].numpy()
        return {key: _unpack(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_unpack(item) for item in value)
    return value
