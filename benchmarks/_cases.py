"""The specimens that the benchmarks reconstruct, with their tilts and their noise.

Everything is simulated on a grid twice as fine as the one it is reconstructed
on, with Poisson noise; the peak is the expected count of the brightest pixel.
Lamella 1 chose the presets and is therefore no case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from napari_diptomo.series import MapSeries
from napari_diptomo.simulate import (
    Phantom,
    edx_phantom,
    eels_phantom,
    facetted,
    interdiffusion,
    lamella,
    needle,
    porous,
    tilt_series,
)

#: Raise by one when a phantom, its tilts or its noise change: all results are then measured anew.
VERSION = 1

#: Where a body stands alone in its channel: the channel and the box around it, by the size of the volume.
Blob = Callable[[int], tuple[int, tuple[slice, slice, slice]]]


#: Parts of a series that are there or not.
_EXTRA = ('mixing', 'variance', 'held_out')


@dataclass(frozen=True)
class Case:
    """One specimen.

    Attributes
    ----------
    name : str
        As in the tables.
    build : callable
        From the size in voxels to the phantom.
    angles : tuple of float
        Tilts, degrees.
    noise : int
        First seed of the counting noise, one stream per case.
    published : str
        The published preset that was made for such data.
    blob : callable, optional
        A round body that stands alone in its channel, to measure the elongation of.
    """

    name: str
    build: Callable[[int], Phantom]
    angles: tuple[float, ...]
    noise: int
    published: str = 'published-edx'
    blob: Blob | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One noisy tilt series with its truth."""

    maps: MapSeries
    truth: np.ndarray
    phases: np.ndarray
    phase_names: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write for a child process."""
        maps = self.maps
        extra = {name: getattr(maps, name) for name in _EXTRA if getattr(maps, name) is not None}
        np.savez(
            path,
            data=maps.data,
            angles=maps.angles,
            channels=maps.channels,
            truth=self.truth,
            phases=self.phases,
            phase_names=self.phase_names,
            share=maps.held_out_share,
            **extra,
        )

    @staticmethod
    def load(path: Path) -> Sample:
        """Data that `save` wrote."""
        with np.load(path) as file:
            extra = {name: file[name] for name in _EXTRA if name in file.files}
            channels = tuple(map(str, file['channels']))
            share = float(file['share'])
            maps = MapSeries(file['data'], file['angles'], channels, held_out_share=share, recipe=None, **extra)
            return Sample(maps, file['truth'], file['phases'], tuple(map(str, file['phase_names'])))


def _sphere(size: int) -> tuple[int, tuple[slice, slice, slice]]:
    # Twice its diameter: space for what the wedge adds to its length, none for noise far away.
    middle, reach = np.array([76, 70, 101]) * size / 160, 18 * size / 160
    low = np.maximum(np.floor(middle - reach).astype(int), 0)
    z, y, x = (slice(int(a), int(np.ceil(m + reach))) for a, m in zip(low, middle, strict=True))
    return 2, (z, y, x)


_LIMITED = tuple(np.arange(-40, 41, 5.0))
CASES: dict[str, Case] = {
    case.name: case
    for case in (
        *(Case(f'lamella {seed}', partial(lamella, seed=seed), _LIMITED, 1000 + seed) for seed in (10, 11, 12, 13)),
        Case('EDX phantom', edx_phantom, _LIMITED, 2000, blob=_sphere),
        Case('porous 20', partial(porous, seed=20), _LIMITED, 4020),
        Case('facetted 21', partial(facetted, seed=21), _LIMITED, 5021),
        Case('interdiffusion 22', partial(interdiffusion, seed=22), _LIMITED, 6022),
        Case('needle 23', partial(needle, seed=23), _LIMITED, 7023),
        Case('EELS phantom', partial(eels_phantom, pore=True), tuple(np.linspace(-70, 70, 9)), 3000, 'published-eels'),
    )
}
LAMELLAE = tuple(name for name in CASES if name.startswith('lamella'))
#: Of other generators than the lamellae that the presets were tuned on.
UNLIKE = tuple(name for name in CASES if name.split()[0] in ('porous', 'facetted', 'interdiffusion', 'needle'))
#: The one that the presets were chosen on; `choices.py` continues to use it.
CHOSEN_ON = Case('lamella 1', partial(lamella, seed=1), _LIMITED, 1001)


@lru_cache(maxsize=1)
def _phantom(case: Case, size: int) -> Phantom:
    return case.build(size)


def phantom_of(case: Case, size: int) -> Phantom:
    """The specimen itself; the last one is kept."""
    return _phantom(case, size)


def sample(case: Case, size: int, peak: float, seed: int) -> Sample:
    """The tilt series of a case.

    Parameters
    ----------
    case : Case
        The specimen.
    size : int
        Edge of the volume, voxels.
    peak : float
        Expected counts of the brightest pixel.
    seed : int
        Number of the noise, from 0.
    """
    phantom = _phantom(case, size)
    simulated = tilt_series(phantom, case.angles, peak, case.noise + 100 * seed)
    return Sample(simulated.maps, simulated.truth.data, phantom.phases, phantom.phase_names)
