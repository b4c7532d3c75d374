"""Autosave: a session is kept on disk, so that a crash of napari loses at most the job that runs.

Every session has a folder of its own, ``sessions/DATE-PROCESS`` in the user's
state folder, with a lock that falls when the process does. What is new is
written there within a second of a result, and within half a minute of any
other change, by a thread; arrays that have not changed are not written again.
Once the user has saved a project, it is kept in the project's folder instead,
and the session's own says only where that is.

The folder of a session that has ended stays until three later ones have ended
too: it is what the next dock offers to restore, after a crash as well as after
a window that was closed too soon.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QLockFile, QObject, QTimer, Signal

from napari_diptomo.jobs.project import NAME, ProjectFolder, is_project, read_project
from napari_diptomo.series import DiptomoError, InputError, Observer
from napari_diptomo.widgets.projects import record_of
from napari_diptomo.widgets.session import Session
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.task import Outcome, Task

_SOON_MS = 800
_NOW_AND_THEN_MS = 20_000
_KEPT = 3
_POINTER = 'session.json'


def sessions_folder() -> Path:
    """Where the sessions of this user are kept."""
    state = os.environ.get('XDG_STATE_HOME') or os.environ.get('LOCALAPPDATA') or Path.home() / '.local' / 'state'
    return Path(state) / 'napari-diptomo' / 'sessions'


@dataclass(frozen=True)
class Leftover:
    """A session that has ended and can be restored.

    Attributes
    ----------
    folder : Path
        Its own folder.
    project : Path
        The folder of its project, the same unless the user had saved it elsewhere.
    words : str
        When it was and what it holds, for the user.
    """

    folder: Path
    project: Path
    words: str


def leftovers(root: Path) -> list[Leftover]:
    """Sessions that have ended, the latest first; those too old or empty are removed."""
    found: list[Leftover] = []
    folders = sorted((path for path in root.glob('*') if path.is_dir()), reverse=True) if root.is_dir() else []
    for folder in folders:
        lock = _lock(folder)
        if not lock.tryLock(0):
            continue
        leftover = _leftover(folder)
        lock.unlock()
        if leftover is not None and len(found) < _KEPT:
            found.append(leftover)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return found


class Autosave(QObject):
    """Keeps one session.

    Signals
    -------
    saved(str)
        A project that the user asked for is written; its folder.
    failed(str)
        It cannot be written, one sentence. Autosaves that fail say so once.
    """

    saved = Signal(str)
    failed = Signal(str)

    def __init__(self, session: Session, root: Path | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent if parent is not None else session)
        self._session = session
        self.root = root or sessions_folder()
        self._own = self.root / f'{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}-{id(session) % 10_000}'
        self._lock: QLockFile | None = None
        self.folder = ProjectFolder(self._own)
        self._task: Task | None = None
        self._again = self._asked = self._serving = False
        self._complained = False
        self._over = False
        self._automatic = False
        self._soon = _timer(self, _SOON_MS, self._autosave, single=True)
        self._now_and_then = _timer(self, _NOW_AND_THEN_MS, self._autosave)

    def start(self) -> None:
        """Keep the session from now on without being asked."""
        if self._automatic or self._over:
            return
        self._automatic = True
        self._session.checkpoints = self.folder.path
        self._session.changed.connect(self._later)
        self._session.ended.connect(self._later)
        self._session.started.connect(self._later)
        self._now_and_then.start()

    @property
    def project(self) -> Path | None:
        """The folder that the user has chosen, None while there is none."""
        return self.folder.path if self.folder.path != self._own else None

    @property
    def busy(self) -> bool:
        """Whether something is being written."""
        return self._task is not None

    def save(self) -> None:
        """Write what has changed, in a thread."""
        if self._over:
            return
        if self._task is not None:
            self._again = True
            return
        project = record_of(self._session, self.folder)
        if project is None or not (self._asked or self.folder.is_news(project)):
            return
        folder, own, pointer = self.folder, self._own, self._pointer()
        if self._automatic:
            self._hold()

        def save_session(observer: Observer) -> bool:
            written = folder.write(project)
            _write_pointer(own, pointer)
            return written

        self._serving, self._asked = self._asked, False
        self._task = Task(ThreadJob(save_session), 'Autosave', parent=self)
        self._task.ended.connect(self._written)
        self._task.start()

    def save_to(self, path: str | Path) -> None:
        """Keep the session in this folder from now on; `saved` or `failed` says how it went.

        Raises
        ------
        InputError
            The folder holds something else.
        """
        path = Path(path).absolute()
        if path.exists() and not is_project(path) and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f'{path.name} holds other files; choose a new name, the project gets a folder of its own.')
        if path != self.folder.path:
            self.folder = ProjectFolder(path)
            self._session.checkpoints = path
        if record_of(self._session, self.folder) is None:
            raise InputError('There is nothing to save yet; open a tilt series first.')
        self._asked = True
        self.save()

    def opened(self, folder: ProjectFolder, leftover: Path | None = None) -> None:
        """A project was opened and is kept where it is; where that is the folder of an earlier session, it is this one's now."""
        if leftover is not None and folder.path == leftover:
            self._let_go()
            self._own = leftover
        self.folder = folder
        self._session.checkpoints = folder.path
        if self._automatic:
            self._hold()
            self._soon.start()

    def close(self) -> None:
        """The session ends; what is kept stays for the next one, an empty folder goes."""
        if self._over:
            return
        self._over = True
        for timer in (self._soon, self._now_and_then):
            timer.stop()
        self._let_go()

    def _hold(self) -> None:
        """Lock the session's own folder, so that no other process takes it for one that has ended."""
        if self._lock is not None:
            return
        with contextlib.suppress(OSError):
            self._own.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._own)
            self._lock.tryLock(0)

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.unlock()
            self._lock = None
        if self._own.is_dir() and _leftover(self._own) is None and self._task is None:
            shutil.rmtree(self._own, ignore_errors=True)

    def _pointer(self) -> dict[str, Any]:
        """Content of the session's own folder when the project is elsewhere."""
        task = self._session.task
        run = task.run if task is not None else None
        checkpoint = None if run is None or run.checkpoint is None else [run.number, str(run.checkpoint)]
        return {'project': str(self.folder.path), 'checkpoint': checkpoint}

    def _later(self, *_: Any) -> None:
        self._soon.start()

    def _autosave(self) -> None:
        if self._automatic:
            self.save()

    def _written(self, outcome: Outcome) -> None:
        self._task = None
        if self._over:
            return
        if outcome.error is not None:
            if self._serving or not self._complained:
                self.failed.emit(outcome.error)
            self._complained = True
        else:
            self._complained = False
            if self._serving:
                self.saved.emit(str(self.folder.path))
        if self._again:
            self._again = False
            self.save()


def checkpoint_of(leftover: Path) -> tuple[int, Path] | None:
    """The number of the run that was under way, and where its checkpoint is."""
    values = _read_pointer(leftover).get('checkpoint')
    if isinstance(values, list) and len(values) == 2 and isinstance(values[0], int):
        return values[0], Path(str(values[1]))
    return None


def _leftover(folder: Path) -> Leftover | None:
    pointed = _read_pointer(folder).get('project')
    own = folder / NAME
    place = Path(str(pointed)) if pointed else folder
    if not is_project(place) and own.is_file():
        place = folder
    try:
        project, _ = read_project(place)
    except DiptomoError:
        return None
    count = len(project.runs)
    what = f'{count} run{"s" if count != 1 else ""}' if count else 'maps' if project.maps else 'a series'
    with contextlib.suppress(ValueError):
        when = datetime.fromisoformat(project.saved)
        named = '' if place == folder else f'project {place.name}, '
        return Leftover(folder, place, f'{named}{when:%d %B, %H:%M}, {what}')
    return None


def _read_pointer(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        values = json.loads((folder / _POINTER).read_text(encoding='utf-8'))
        if isinstance(values, dict):
            return values
    return {}


def _write_pointer(folder: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values)
    path = folder / _POINTER
    with contextlib.suppress(OSError):
        if path.exists() and path.read_text(encoding='utf-8') == text:
            return
        partial = path.with_name(f'.{_POINTER}.partial')
        partial.write_text(text, encoding='utf-8')
        os.replace(partial, path)


def _lock(folder: Path) -> QLockFile:
    lock = QLockFile(str(folder / 'lock'))
    # A session may last for weeks; only the end of its process frees the lock.
    lock.setStaleLockTime(0)
    return lock


def _timer(parent: QObject, milliseconds: int, slot: Any, single: bool = False) -> QTimer:
    timer = QTimer(parent)
    timer.setInterval(milliseconds)
    timer.setSingleShot(single)
    timer.timeout.connect(slot)
    return timer
