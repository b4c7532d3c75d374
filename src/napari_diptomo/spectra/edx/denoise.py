r"""Denoised spectra, for visualisation: the part of them in a few principal components.

Counts d of a pixel are scaled so that their noise is alike in every channel
(Keenan and Kotula, Surf. Interface Anal. 36 (2004) 203): divided by the roots
of h, the mean spectrum, and of the total of the pixel. The leading principal
components F (energy, component) of the scaled spectra, scaled back, carry what
pixels have in common; a pixel is what fits it best among them,

    d' = F n,    n = (F^T H^-1 F)^-1 F^T H^-1 d,    H = diag(h).

HyperSpy finds the components, on blocks of pixels: all photons of the series
go in, the table stays small. Negative values, which noise leaves, become zero.

The result is no measurement. What a few pixels alone show is gone, what many
show is lent to all; the noise that is left runs along whole maps. Errors of
maps made from it, and of all that follows, are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from napari_diptomo.series import InputError, Observer, SpectralTiltSeries, Step, Watch, param
from napari_diptomo.spectra.common.exspy_adapter import principal_components
from napari_diptomo.spectra.common.tilt_counts import TiltCounts, counts_of
from napari_diptomo.spectra.edx.fit_range import FitRange

#: Values in the table whose components are found: 80 MB.
_TABLE = 10_000_000
#: Warning in the notes of maps made of a denoised series.
WARNING = 'made from denoised spectra, for visualisation only: errors and residuals are not those of counts'


class Denoise(Step):
    """Replace every spectrum by its part in a few principal components, for visualisation.

    Never a basis for numbers: make maps for reconstruction and composition
    from the spectra as they were counted. Maps made of the result say so in
    their notes.

    Notes
    -----
    Keenan and Kotula, Surf. Interface Anal. 36 (2004) 203: the formula stands at the top of the module.
    ``Denoise.parameters()`` and docs/parameters.md explain the parameters.
    """

    title: ClassVar[str] = 'Denoise'

    components: int = param(
        6,
        'Principal components that are kept: one per phase of the specimen, and a few for stray signal; more keep noise.',
        ge=1,
        le=50,
    )
    energy_binning: int = param(
        1, 'Sum this many energy channels: less noise and memory, broader lines.', ge=1, le=16, advanced=True
    )
    energy_min: float = param(
        0.2, 'Lower end; keep it above the zero-strobe peak.', unit='keV', gt=0.0, le=20.0, advanced=True
    )
    energy_max: float = param(
        20.0, 'Upper end; the end of the spectra where that comes first.', unit='keV', gt=0.5, advanced=True
    )

    def _run(self, data: SpectralTiltSeries, observer: Observer | None) -> SpectralTiltSeries:
        window = FitRange.of(data, self.energy_min, self.energy_max)
        watch = Watch(observer, self.title, len(data.angles))
        binned = _Binned(counts_of(data), window.channels, self.energy_binning, data.counts.shape[1:3])
        side = _block_side(data.counts.shape[:3], binned.width)
        table = []
        for t in range(len(data.angles)):
            table.append(binned.blocks(t, side))
            watch.step(t + 1, message=f'spectra {t + 1} of {len(data.angles)}')
        filter_ = _filter(np.concatenate(table), self.components)
        note = {'components': self.components, 'explained': filter_.explained, 'blocks_of_pixels': side}
        return replace(
            data,
            counts=_lazy(binned, filter_, data.counts.shape[:3]),
            energy=binned.energies(window.energy),
            metadata={**data.metadata, 'denoised': note},
        )


def warned(series: SpectralTiltSeries) -> dict[str, str]:
    """The warning that maps of a denoised series carry in their notes; nothing for spectra as they were counted."""
    return {'denoised': WARNING} if 'denoised' in series.metadata else {}


@dataclass(frozen=True, eq=False)
class _Binned:
    """Spectra of a series within a window, channels summed."""

    counts: TiltCounts
    channels: slice
    binning: int
    shape: tuple[int, int]

    @property
    def width(self) -> int:
        return (self.channels.stop - self.channels.start) // self.binning

    def energies(self, energy: np.ndarray) -> np.ndarray:
        return energy[: self.width * self.binning].reshape(self.width, self.binning).mean(axis=1)

    def tilt(self, index: int) -> Any:
        """Sparse (pixel, energy)."""
        stop = self.channels.start + self.width * self.binning
        spectra = self.counts.tilt(index)[:, self.channels.start : stop]
        return spectra if self.binning == 1 else spectra @ _summing(self.width, self.binning)

    def blocks(self, index: int, side: int) -> np.ndarray:
        """Sums over blocks of ``side`` x ``side`` pixels, those at the far edges smaller, (block, energy)."""
        y, x = np.indices(self.shape)
        across = -(-self.shape[1] // side)
        block = ((y // side) * across + x // side).ravel()
        gather = _indicator(block)
        return np.asarray((gather @ self.tilt(index)).todense(), float)


@dataclass(frozen=True, eq=False)
class _Filter:
    """d' = ``factors`` @ ``weights`` @ d; both empty in channels without counts."""

    factors: np.ndarray
    weights: np.ndarray
    explained: list[float]


def _filter(table: np.ndarray, components: int) -> _Filter:
    table = table[table.sum(axis=1) > 0]
    mean = table.mean(axis=0) if len(table) else np.zeros(table.shape[1])
    filled = mean > 0
    if components >= min(len(table), int(filled.sum())):
        raise InputError(
            f'{components} components cannot be found in {len(table)} spectra with counts in {int(filled.sum())} '
            'channels; ask for fewer.'
        )
    found, explained = principal_components(table[:, filled], components)
    weighted = found / mean[filled][:, None]
    factors, weights = np.zeros((len(mean), components)), np.zeros((components, len(mean)))
    factors[filled] = found
    weights[:, filled] = np.linalg.solve(found.T @ weighted, weighted.T)
    return _Filter(factors, weights, [round(float(share), 6) for share in explained])


def _lazy(binned: _Binned, filter_: _Filter, shape: tuple[int, int, int]) -> Any:
    import dask
    import dask.array as da

    chunk = (*shape[1:], binned.width)
    tilts = [
        dask.delayed(partial(_denoised, binned, filter_, t), pure=False, traverse=False)() for t in range(shape[0])
    ]
    return da.stack([da.from_delayed(tilt, chunk, dtype=np.float32) for tilt in tilts])


def _denoised(binned: _Binned, filter_: _Filter, index: int) -> np.ndarray:
    coefficients = np.asarray(binned.tilt(index) @ filter_.weights.T, np.float32)
    spectra = coefficients @ filter_.factors.T.astype(np.float32)
    np.maximum(spectra, 0, out=spectra)
    return spectra.reshape(*binned.shape, binned.width)


def _block_side(shape: tuple[int, ...], width: int) -> int:
    """Smallest side of blocks with which the table of all tilts keeps its size."""
    n, y, x = shape
    side = 1
    while n * -(-y // side) * -(-x // side) * width > _TABLE and side < max(y, x):
        side += 1
    return side


def _summing(width: int, binning: int) -> Any:
    return _indicator(np.arange(width * binning) // binning).T


def _indicator(group: np.ndarray) -> Any:
    """Sparse matrix (group, member) of ones that sums members of a group."""
    from scipy import sparse

    members = len(group)
    return sparse.csr_matrix((np.ones(members), (group, np.arange(members))), (int(group.max()) + 1, members))
