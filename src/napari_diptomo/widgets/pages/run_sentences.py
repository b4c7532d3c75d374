"""Sentences on the runs of the page Reconstruct: how one ended, what its volume is, what HAADF was worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_diptomo.series import Step, Volume
from napari_diptomo.series.tilts import angle_in_words
from napari_diptomo.widgets.run import Run, RunStatus

if TYPE_CHECKING:
    from napari_diptomo.reconstruct import Reconstruction


def describe_run(run: Run, has_preview: bool = False) -> str:
    """How a run ended, and what is left of it."""
    if run.volume is not None:
        return describe_volume(run.volume)
    if run.status is RunStatus.FAILED:
        kept = ' Its last preview is among the layers.' if has_preview else ''
        return f'{run.error}{kept}'
    if run.status is RunStatus.CANCELLED:
        return 'Cancelled: nothing was kept.'
    if run.status is RunStatus.INTERRUPTED:
        saved = run.checkpoint is not None and run.checkpoint.exists()
        where = 'continues from its last checkpoint' if saved else 'starts it anew: it had no checkpoint yet'
        return f'napari ended before this run did. Resume {where}.'
    return ''


def haadf_counterpart(run: Run) -> Reconstruction | None:
    """The step of a run with the HAADF series where it was without, or without where it was with; None where it has none."""
    from napari_diptomo.reconstruct import Reconstruction

    steps = run.recipe.steps if run.recipe is not None else ()
    step = steps[-1] if steps else None
    if run.maps is None or run.maps.haadf_series is None or not isinstance(step, Reconstruction):
        return None
    # Not a copy: where this one was stopped by hand the other is not.
    return type(step)(**{**step.model_dump(), 'haadf': not step.haadf})


def compared_haadf(run: Run, runs: Iterable[Run]) -> str:
    """The same run with or without the HAADF series, and how well each predicts the held-out counts, where some are."""
    counterpart = haadf_counterpart(run)
    own = _held_out(run)
    for other in runs:
        steps = other.recipe.steps if other.recipe is not None else ()
        if other is run or other.maps is not run.maps or not steps or counterpart is None:
            continue
        theirs = _held_out(other)
        alike = isinstance(steps[-1], Step) and steps[-1].model_dump() == counterpart.model_dump()
        if alike and run.volume is not None and other.volume is not None:
            how = 'with' if counterpart.haadf else 'without'
            compared = ''
            if own is not None and theirs is not None:
                compared = f': misfit of the held-out counts {own:.4g} here, {theirs:.4g} there'
            return (
                f'{other.name} is the same {how} HAADF series{compared}. Choose it in the list to see it in place of '
                'this one.'
            )
    return ''


def _held_out(run: Run) -> float | None:
    value = None if run.volume is None else run.volume.notes.get('held_out_deviance')
    return float(value) if isinstance(value, int | float) else None


def describe_volume(volume: Volume) -> str:
    """Size, how the run ended, and what no data can vouch for."""
    _, z, y, x = volume.data.shape
    parts = [f'{x} x {y} x {z} voxels of {volume.voxel_size:.3g} nm.']
    reason = volume.notes.get('stopping')
    if isinstance(reason, str):
        parts.append(reason[:1].upper() + reason[1:].rstrip('.') + '.')
    uncertainty = volume.notes.get('uncertainty')
    if isinstance(uncertainty, str):
        parts.append(uncertainty[:1].upper() + uncertainty[1:].rstrip('.') + '.')
    tilts = volume.notes.get('max_tilt')
    if isinstance(tilts, list | tuple) and len(tilts) == 2 and tilts[1] - tilts[0] < 180:
        parts.append(
            f'Tilts end at {angle_in_words(tilts[0])} and {angle_in_words(tilts[1])}: faces normal to the beam and detail along it '
            'are determined by the prior, not by data.'
        )
    return ' '.join(parts)
