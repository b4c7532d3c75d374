"""A short step, writing its result, and the memory that a reconstruction will need, as work for a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_diptomo.series import MapSeries, Observer, Step
from napari_diptomo.widgets.tasks.duration_estimate import time_in_words

if TYPE_CHECKING:
    from napari_diptomo.reconstruct import Reconstruction


#: Formats of volumes, as a file dialog lists them.
VOLUME_FORMATS = ';;'.join(
    (
        'HyperSpy, everything (*.hspy)',
        'OME-Zarr, a folder (*.ome.zarr)',
        'MRC, one per element (*.mrc)',
        'TIFF of ImageJ (*.tif)',
        'VTK for ParaView (*.vti)',
    )
)


def named(path: str, chosen: str) -> str:
    """A name with the suffix of the format that was chosen in a file dialog, where it has none."""
    return path if Path(path).suffix else f'{path}{chosen.rpartition("(*")[2].rstrip(")")}'


def running(step: Step, data: Any) -> Callable[[Observer], Any]:
    """Run a short step."""
    return running_all((step,), data)


def running_all(steps: Sequence[Step], data: Any) -> Callable[[Observer], Any]:
    """Run short steps, each on what the one before it made."""

    def run_steps(observer: Observer) -> Any:
        made = data
        for step in steps:
            made = step.run(made, observer)
        return made

    run_steps.__name__ = f'run_{"_".join(type(step).__name__ for step in steps)}'
    return run_steps


def saving(result: Any, path: str) -> Callable[[Observer], Any]:
    """Write a result to a file; gives back what was written."""

    def save_result(observer: Observer) -> Any:
        return result.save(path)

    return save_result


def estimating_memory(step: Reconstruction, maps: MapSeries, paces: Mapping[str, float]) -> Callable[[Observer], str]:
    """``'Needs about 0.6 GB, 12 GB are free. Up to 4 min ... CPU, 2 threads (torch 2.13.0).'``; the first imports torch."""

    def estimate_memory(observer: Observer) -> str:
        from napari_diptomo.reconstruct import device

        chosen = device.pick(step.device)
        free = device.free_memory(chosen)
        needed = step.memory_bytes(maps)
        verdict = '' if needed < free else ' That does not fit: use a higher binning or fewer elements.'
        time = time_in_words(step, maps, paces)
        memory = f'Needs about {size(needed)}, {size(free)} are free.{verdict}'
        return ' '.join(part for part in (memory, time, f'{step.device_name()}.') if part)

    return estimate_memory


def missing_devices(observer: Observer) -> dict[str, str]:
    """The devices that this machine lacks, see `reconstruct.device.missing`; imports torch."""
    from napari_diptomo.reconstruct import device

    return device.missing()


def size(count: float) -> str:
    """``'0.62 GB'``."""
    return f'{count / 1e9:.2g} GB' if count >= 1e8 else f'{count / 1e6:.0f} MB'
