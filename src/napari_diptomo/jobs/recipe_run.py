"""Running a recipe in this process: open the source, do the steps in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from napari_diptomo.jobs.checkpoint import Checkpoint
from napari_diptomo.jobs.volume_against_maps import compared_with_maps
from napari_diptomo.series import (
    InputError,
    MapSeries,
    Observer,
    Progress,
    Recipe,
    Request,
    Source,
    SpectralTiltSeries,
    Step,
    Volume,
)
from napari_diptomo.series.progress_bar import progress_bar
from napari_diptomo.series.steps import new_findings


def run(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    *,
    observer: Observer | None = None,
    data: SpectralTiltSeries | MapSeries | Volume | None = None,
    on_open: Callable[[Any], None] | None = None,
    on_step: Callable[[int, int, Step], None] | None = None,
    on_result: Callable[[int, Any], None] | None = None,
    keep: str | Path | None = None,
    checkpoint: Checkpoint | None = None,
    opener: Callable[[Source, Observer], Any] | None = None,
    progress: bool | None = None,
) -> Any:
    """Run a recipe.

    Parameters
    ----------
    recipe : Recipe, mapping or path
        The recipe, the mapping `Recipe.to_dict` wrote, or a JSON file.
    observer : Observer, optional
        Notified of the progress of every step, asked for pause, finish or cancel.
        Finish ends the step that is running, with its best result; the steps after it are done.
    data : SpectralTiltSeries, MapSeries or Volume, optional
        Start from these instead of opening the recipe's source.
    on_open : callable, optional
        Called with the data before the first step; what it raises ends the run.
    on_step : callable, optional
        Called with (index, count, step) before each step.
    on_result : callable, optional
        Called with (index, result) after each step.
    keep : path, optional
        Folder into which the result of every step is saved, ``1-EDXMaps.hspy``, ...
    checkpoint : Checkpoint, optional
        Where long steps keep their state and continue from.
    opener : callable, optional
        Opens the source, as `napari_diptomo.jobs.reading.isolated.open_isolated` does in another process; default: in this one.
    progress : bool, optional
        Without an observer: show a bar of tqdm, and after each step a line on what it found; default: in terminals and
        notebooks, unless the environment variable ``DIPTOMO_PROGRESS`` is 0.

    Returns
    -------
    MapSeries or Volume
        What the last step made; its recipe is the whole one, and a volume's notes
        record how well it agrees with the maps (`napari_diptomo.jobs.volume_against_maps`).

    Raises
    ------
    InputError
        The recipe has no steps or no source.
    DiptomoError
        One sentence on what a step cannot do.
    Cancelled
        When the observer cancels.

    Examples
    --------
    >>> from napari_diptomo import Align, Recipe, SIRT, run, simulate
    >>> maps = simulate.tilt_series(simulate.lamella(16), [-40, -20, 0, 20, 40]).maps
    >>> volume = run(Recipe(steps=(Align(rounds=2), SIRT(iterations=20))), data=maps)
    >>> volume.data.shape, [step.title for step in volume.recipe.steps]
    ((3, 16, 16, 16), ['Align', 'SIRT'])
    """
    recipe = as_recipe(recipe)
    steps = recipe.runnable()
    if not steps:
        raise InputError('The recipe has no steps; add at least one, for example SIRT.')
    bar = progress_bar(progress) if observer is None else None
    watching = bar if bar is not None else observer if observer is not None else Observer()
    with bar if bar is not None else nullcontext():
        current = data if data is not None else _open(recipe, watching, opener)
        if on_open is not None:
            on_open(current)
        for index, step in enumerate(steps):
            if checkpoint is not None and checkpoint.stopped_at(index) is not None:
                step = step.stopping_at(checkpoint.stopped_at(index))
            step.check_input(current)
            if on_step is not None:
                on_step(index, len(steps), step)
            before, current = current, step.run(current, _StepObserver(watching, checkpoint, index, current))
            if checkpoint is not None and current.recipe is not None:
                checkpoint.note_stop(index, current.recipe.steps[-1].stopped_at)
            if isinstance(before, MapSeries) and isinstance(current, Volume):
                current = compared_with_maps(current, before)
            if bar is not None:
                bar.say_found(step.title or type(step).__name__, new_findings(before, current))
            if keep is not None:
                folder = Path(keep)
                folder.mkdir(parents=True, exist_ok=True)
                current.save(folder / f'{index + 1}-{type(step).__name__}.hspy')
            if on_result is not None:
                on_result(index, current)
    return current


def as_recipe(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    """The recipe that was given as such, as a mapping or as a JSON file."""
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        return Recipe.from_dict(dict(recipe))
    return Recipe.load(recipe)


def _open(recipe: Recipe, observer: Observer, opener: Callable[[Source, Observer], Any] | None) -> Any:
    if not recipe.source.paths:
        raise InputError('The recipe names no source files; add their paths, or hand over the data.')
    if opener is not None:
        return opener(recipe.source, observer)
    from napari_diptomo.series import open_source

    return open_source(recipe.source, observer)


class _StepObserver(Observer):
    """Passes everything on, and knows which step a checkpoint is of."""

    def __init__(self, observer: Observer, checkpoint: Checkpoint | None, index: int, data: Any) -> None:
        self._observer = observer
        self._checkpoint = checkpoint
        self._index = index
        self._data = data

    def report(self, progress: Progress) -> None:
        self._observer.report(progress)

    def note(self, notes: Mapping[str, Any]) -> None:
        self._observer.note(notes)

    def request(self) -> Request:
        return self._observer.request()

    def wants_preview(self) -> bool:
        return self._observer.wants_preview()

    def save_state(self, state: Callable[[], Mapping[str, Any]]) -> None:
        if self._checkpoint is None:
            self._observer.save_state(state)
        else:
            self._checkpoint.save(self._index, self._data, state)

    def load_state(self) -> dict[str, Any] | None:
        if self._checkpoint is None:
            return self._observer.load_state()
        return self._checkpoint.load(self._index, self._data)
