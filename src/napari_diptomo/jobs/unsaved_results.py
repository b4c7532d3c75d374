"""Results that were computed and could not be saved: kept until ``--resume`` saves them.

A run may take hours, and its end may meet a full disk, a folder that went
away, or be killed. Its result is then moved to ``~/.local/state/napari-diptomo``
(``XDG_STATE_HOME``), and where there is no space either it stays in the folder for
temporary files. Its name holds a digest of the recipe, by which `find` knows it.

The files are those of `napari_diptomo.jobs.transfer`: arrays and JSON, no code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_diptomo.series import InputError, Recipe
from napari_diptomo.series.files import replacing, sweep_partials

_SUFFIX = '.unsaved.npz'


def folders() -> Iterator[Path]:
    """Where results are kept, the better folder first; they need not exist yet."""
    home = os.environ.get('XDG_STATE_HOME')
    with contextlib.suppress(RuntimeError):  # there are users without a home
        yield (Path(home) if home else Path.home() / '.local' / 'state') / 'napari-diptomo'
    yield Path(tempfile.gettempdir())


def targets(recipe: Recipe | dict[str, Any], name: str) -> Iterator[Path]:
    """The files in which the result of a recipe can be kept, the better one first; see `keep`."""
    yield from (folder / f'{name}.{_digest(recipe)}{_SUFFIX}' for folder in folders())


def keep(result: Path, recipe: Recipe | dict[str, Any], name: str) -> Path:
    """Move a result file to where it stays.

    Parameters
    ----------
    result : Path
        Written by `napari_diptomo.jobs.transfer.write`.
    recipe : Recipe or mapping
        The recipe that was run.
    name : str
        Of the output that could not be written, for the eye.

    Returns
    -------
    Path
        Where it is now; where it was, when it could be moved nowhere.
    """
    for target in targets(recipe, name):
        with contextlib.suppress(OSError, InputError):
            target.parent.mkdir(parents=True, exist_ok=True)
            sweep_partials(target)
            if target.parent == result.parent.parent:  # the folder for temporary files: no copy needs space there
                os.replace(result, target)
            else:
                replacing(target, lambda partial: _copy(result, partial), result.stat().st_size)
                result.unlink()
            return target
    return result


def find(recipe: Recipe) -> Path | None:
    """The newest kept result of this recipe; None where there is none that is newer than the files it starts from."""
    found: list[Path] = []
    changed = max(map(_changed, (*recipe.source.paths, *recipe.source.core_loss, *recipe.source.haadf)), default=0.0)
    for folder in folders():
        with contextlib.suppress(OSError):
            found += [path for path in folder.glob(f'*.{_digest(recipe)}{_SUFFIX}') if _is_own_file(path)]
    found = [path for path in found if path.stat().st_mtime >= changed]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def is_kept(path: Path) -> bool:
    """Whether a file is a kept result already."""
    return path.name.endswith(_SUFFIX)


def rescue(folder: Path) -> None:
    """Keep the result in the folder of a child process whose parent is gone, if there is a complete one."""
    result = folder / 'result.npz'
    if not result.is_file():
        return
    with contextlib.suppress(OSError, ValueError, KeyError):
        job = json.loads((folder / 'job.json').read_text(encoding='utf-8'))
        if job['output'] is not None:
            keep(result, job['recipe'], Path(job['output']).name)


def _digest(recipe: Recipe | dict[str, Any]) -> str:
    values = recipe.to_dict() if isinstance(recipe, Recipe) else recipe
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _copy(source: Path, target: Path) -> None:
    with open(source, 'rb') as read, open(target, 'wb') as write:
        shutil.copyfileobj(read, write, 1 << 20)
    shutil.copystat(source, target)  # when it was computed


def _changed(path: str) -> float:
    """When a file, or a file in a folder, was last written; 0 where there is none."""
    with contextlib.suppress(OSError):
        inside = Path(path).iterdir() if Path(path).is_dir() else ()
        return max(file.stat().st_mtime for file in (Path(path), *inside))
    return 0.0


def _is_own_file(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and (not hasattr(os, 'getuid') or found.st_uid == os.getuid())
