"""Names of steps in recipes: the public names of napari_diptomo, and those that installed packages register.

A package registers a step as an entry point of the group ``napari_diptomo.steps``.
Only what is installed counts: the working directory, which Python puts in front
of its path for ``python -m`` and interactive sessions, is left out both when
entry points are looked for and when one is loaded. A recipe, or a volume that
carries one, comes from anywhere; the name in it must not choose what is imported.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions
from typing import Any

from napari_diptomo.series.errors import InputError

GROUP = 'napari_diptomo.steps'
_PATH = threading.RLock()


def public(name: str) -> Any:
    """The object of napari_diptomo itself under a name, None where it has none of that name."""
    # Looking names up in the public package keeps this lowest package free of imports from the stages above it.
    package = importlib.import_module('napari_diptomo')
    return getattr(package, name) if name in package.__all__ else None


def registered(name: str) -> EntryPoint | None:
    """The entry point of this name, not loaded; None where no installed package has one."""
    return next((found for found in _entry_points() if found.name == name), None)


def load(found: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises
    ------
    InputError
        The package that registers it is broken.
    """
    package = found.dist.name if found.dist is not None else found.module
    try:
        with _without_working_directory():
            return found.load()
    except Exception as error:
        reason = ' '.join(str(error).split())[:240].rstrip('.') or type(error).__name__
        raise InputError(
            f'The step {found.name!r} of the package {package} cannot be loaded ({reason}); install that package anew, '
            'in a version that fits this one of napari-diptomo.'
        ) from error


def name_of(kind: type) -> str:
    """The name of a class in recipes: public, as registered, or, registered nowhere, ``'package.module:Class'``."""
    if public(kind.__name__) is kind:
        return kind.__name__
    value = f'{kind.__module__}:{kind.__qualname__}'
    return next((found.name for found in _entry_points() if found.value == value), value)


def _entry_points() -> Iterator[EntryPoint]:
    for distribution in distributions(path=_installed_path()):
        for found in distribution.entry_points:
            if found.group == GROUP:
                yield found


def _installed_path() -> list[str]:
    """Python's path without the working directory, unless it is on it by configuration too."""
    path = list(sys.path)
    if path and not sys.flags.safe_path and _is_here(path[0]):
        path = path[1:]
    return [folder for folder in path if folder]


def _is_here(folder: str) -> bool:
    return not folder or os.path.realpath(folder) == os.path.realpath(os.getcwd())


@contextmanager
def _without_working_directory() -> Iterator[None]:
    with _PATH:
        before = sys.path[:]
        sys.path[:] = _installed_path()
        try:
            yield
        finally:
            sys.path[:] = before
