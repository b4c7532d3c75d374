"""napari's plugin settings, and the parameters with which every step was run last."""

from __future__ import annotations

import contextlib
import json
import logging
from pathlib import Path
from typing import Any, TypeVar

from napari.settings import get_plugin_settings, get_settings

from napari_diptomo.series import DiptomoError, Step

_log = logging.getLogger('napari_diptomo')
_PLUGIN = 'napari-diptomo'
StepT = TypeVar('StepT', bound=Step)


def preview_seconds() -> float:
    """Seconds between two previews, 0 when they are switched off."""
    compute = _compute()
    if compute is None:
        return 1.0
    return float(compute.preview_interval) if compute.previews else 0.0


def default_device() -> str:
    """The device a new form starts with."""
    compute = _compute()
    return 'auto' if compute is None else str(getattr(compute.device, 'value', compute.device))


def _compute() -> Any:
    # The manifest is not known where the package runs without being installed as a plugin.
    with contextlib.suppress(KeyError, AttributeError):
        return get_plugin_settings(_PLUGIN).compute
    return None


class LastUsed:
    """The last parameters of every step, in a JSON file beside napari's settings.

    Parameters
    ----------
    path : Path, optional
        The file; by default beside napari's settings, or nowhere when those
        are not kept either.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path if path is not None else _default_path()
        self._values = self._read()

    def step(self, kind: type[StepT]) -> StepT:
        """The step as it was last used, else its defaults."""
        values = self._values.get(kind.__name__, {})
        try:
            return kind(**values)
        except DiptomoError:
            # Written by another version; the defaults always work.
            return kind()

    def remember(self, step: Step) -> None:
        """Keep the parameters of a step that was run."""
        self.remember_value(type(step).__name__, step.model_dump(mode='json'))

    def value(self, name: str, default: Any = None) -> Any:
        """Something else that was kept."""
        return self._values.get(name, default)

    def remember_value(self, name: str, value: Any) -> None:
        """Keep something else, JSON-ready."""
        self._values[name] = value
        if self._path is None:
            return
        try:
            self._path.write_text(json.dumps(self._values, indent=1), encoding='utf-8')
        except OSError as error:
            _log.info('Parameters are not remembered: %s', error)

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self._path.read_text(encoding='utf-8')) if self._path else {}
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}


def _default_path() -> Path | None:
    where = get_settings().config_path
    return Path(where).parent / f'{_PLUGIN}-last-used.json' if where else None
