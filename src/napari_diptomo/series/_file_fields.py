"""Fields that name files: of a recipe's source and of its steps, declared with ``param(..., file=True)``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar('Model', bound=BaseModel)


def files_in(model: BaseModel) -> tuple[str, ...]:
    """The files that a source or step names, in the order of its fields."""
    return tuple(path for _, paths in _named(model) for path in paths)


def with_files(model: Model, change: Callable[[str], str]) -> Model:
    """The source or step with every path changed."""
    changed: dict[str, Any] = {}
    for name, paths in _named(model):
        new = tuple(change(path) for path in paths)
        changed[name] = new if isinstance(getattr(model, name), tuple) else new[0]
    return model.model_copy(update=changed)


def inside(path: str, folder: Path) -> str:
    """The path relative to a folder where it lies in or below it, otherwise as it is."""
    if not os.path.isabs(path):
        return path
    for here, there in ((Path(path), folder.absolute()), (Path(path).resolve(), folder.resolve())):
        if here.is_relative_to(there):
            return here.relative_to(there).as_posix()
    return path


def is_outside(path: Path, folder: Path) -> bool:
    """Whether a path leads out of a folder, links followed."""
    return not path.resolve().is_relative_to(folder.resolve())


def _named(model: BaseModel) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Fields that name files, and the files; those that name none are left out."""
    for name, info in type(model).model_fields.items():
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get('file'):
            value = getattr(model, name)
            # Angles may be numbers in place of a table.
            paths = tuple(path for path in (value if isinstance(value, tuple) else (value,)) if isinstance(path, str))
            if any(paths):
                yield name, paths
