"""Expected spectra of every pixel: what the beam meets, the edges of iron oxides, and what lies under them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_diptomo.simulate.eels_scattering import Scattering, zero_loss
from napari_diptomo.simulate.eels_shapes import OXIDES, WINDOWS, Edge, ShapeVariation, edge_shape
from napari_diptomo.simulate.phantoms import Phantom
from napari_diptomo.simulate.projections import project

#: t/lambda of carbon per path, relative to the oxides.
_CARBON = 0.7
#: Iron pixels have this share of the largest edge counts.
_IRON_SHARE = 0.05
#: Pixels whose transforms are held at a time.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Pixels:
    """Specimen that the beam meets in a number of pixels.

    Attributes
    ----------
    counts : ndarray (oxide, pixel)
        M2,3 edge counts of FeO and Fe3O4.
    oxide, carbon : ndarray (pixel,)
        t/lambda of the particle and of its ligands.
    shift : ndarray (pixel,)
        Displacement of the zero loss, eV.
    """

    counts: np.ndarray
    oxide: np.ndarray
    carbon: np.ndarray
    shift: np.ndarray

    def chunks(self) -> Iterator[tuple[slice, Pixels]]:
        """Few pixels at a time, so that memory does not grow with the image."""
        for start in range(0, len(self.shift), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield part, Pixels(self.counts[:, part], self.oxide[part], self.carbon[part], self.shift[part])


@dataclass(frozen=True, eq=False)
class Particle:
    """Projections of the specimen.

    Attributes
    ----------
    counts : ndarray (oxide, tilt, y, x)
        M2,3 edge counts.
    oxide, carbon : ndarray (tilt, y, x)
        t/lambda.
    iron : ndarray (tilt, y, x), bool
        Pixels that edge counts and t/lambda are means of.
    unit : float
        Edge counts per unit of the phantom's density.
    """

    counts: np.ndarray
    oxide: np.ndarray
    carbon: np.ndarray
    iron: np.ndarray
    unit: float

    @classmethod
    def of(
        cls, phantom: Phantom, angles: np.ndarray, drift: np.ndarray, edge_counts: float, t_over_lambda: float
    ) -> Particle:
        density = np.maximum(project(phantom, angles, drift), 0)
        full = phantom.compositions.max(axis=0)
        paths = {
            name: image / max(pure, 1e-12) for name, image, pure in zip(phantom.channels, density, full, strict=True)
        }
        counts = density[[phantom.channels.index(oxide) for oxide in OXIDES]]
        total = counts.sum(axis=0)
        iron = total > _IRON_SHARE * total.max()
        unit = edge_counts / float(total[iron].mean())
        oxide = sum(paths[name] for name in OXIDES)
        carbon = _CARBON * paths.get('C', np.zeros_like(total))
        per_path = t_over_lambda / float((oxide + carbon)[iron].mean())
        return cls(counts * np.float32(unit), oxide * per_path, carbon * per_path, iron, unit)

    def pixels(self, tilt: int, shifts: np.ndarray) -> Pixels:
        """One tilt, its pixels in a row."""
        counts = self.counts[:, tilt].reshape(len(self.counts), -1)
        return Pixels(counts, self.oxide[tilt].ravel(), self.carbon[tilt].ravel(), shifts.ravel())

    @property
    def mean_pixel(self) -> Pixels:
        """The mean of the iron pixels, zero loss at zero."""
        counts = self.counts[:, self.iron].mean(axis=1, keepdims=True)
        oxide, carbon = (values[self.iron].mean(keepdims=True) for values in (self.oxide, self.carbon))
        return Pixels(counts, oxide, carbon, np.zeros(1))


@dataclass(frozen=True, eq=False)
class EdgeRange:
    """The M2,3 or the L2,3 edges on the channels of a spectrometer.

    Attributes
    ----------
    edge : {'M', 'L'}
        Which.
    energy : ndarray (energy,)
        True energies of the channels, eV.
    scattering : Scattering
        On the grid behind these channels.
    fwhm : float
        Of the zero loss, eV.
    variation : ShapeVariation
        The shapes of this experiment.
    """

    edge: Edge
    energy: np.ndarray
    scattering: Scattering
    fwhm: float
    variation: ShapeVariation

    @cached_property
    def window(self) -> np.ndarray:
        """Channels whose counts are the edge counts, (energy,), bool."""
        low, high = WINDOWS[self.edge]
        return (self.energy >= low) & (self.energy < high)

    @property
    def _origin(self) -> float:
        """Energy of the first bin that edges are sampled in, eV."""
        return max(self.scattering.grid.start, 0.0)

    @cached_property
    def _per_iron(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per iron atom: transforms (oxide, frequency), spectra (oxide, energy), counts in the window (oxide,)."""
        grid = self.scattering.grid
        losses = grid.losses + self._origin
        shapes = [edge_shape(losses, oxide, self.edge, self.variation) for oxide in OXIDES]
        transforms = grid.transform(grid.taper(np.array(shapes), self._origin))
        spectra = grid.to_channels(transforms * zero_loss(grid.frequency, self.fwhm), self._origin)
        return transforms, spectra, spectra[:, self.window].sum(1)

    @property
    def per_iron(self) -> np.ndarray:
        """Edge counts per iron atom, (oxide,), in the units of the sum rule."""
        return self._per_iron[2]

    @property
    def standards(self) -> np.ndarray:
        """Edges as the detector shows them without plural scattering, (oxide, energy); one count in the window."""
        _, spectra, counts = self._per_iron
        return spectra / counts[:, None]

    def transfer(self, pixels: Pixels) -> tuple[np.ndarray, np.ndarray]:
        """Transforms of plural scattering and of the displaced zero loss, (pixel, frequency) each."""
        kernel = self.scattering.kernel(pixels.oxide, pixels.carbon)
        return kernel, zero_loss(self.scattering.grid.frequency, self.fwhm, pixels.shift)

    def edges(self, counts: np.ndarray, kernel: np.ndarray, zero: np.ndarray) -> np.ndarray:
        """Expected counts of the edges after plural scattering, (pixel, energy).

        Parameters
        ----------
        counts : ndarray (oxide, pixel)
            Edge counts of this edge.
        kernel, zero : ndarray (pixel, frequency)
            From `transfer`.
        """
        transforms, _, norm = self._per_iron
        spectra = counts.T @ (transforms / norm[:, None])
        spectra *= kernel
        spectra *= zero
        return np.maximum(self.scattering.grid.to_channels(spectra, self._origin), 0)

    def low_loss(self, kernel: np.ndarray, zero: np.ndarray) -> np.ndarray:
        """All but the edges, per electron, (pixel, energy): zero loss, plasmons, background."""
        return np.maximum(self.scattering.grid.to_channels(self.scattering.low_loss(kernel) * zero), 0)


@dataclass(frozen=True, eq=False)
class DualRange:
    """Low and core loss of the same pixels.

    Attributes
    ----------
    low, core : EdgeRange
        The two ranges.
    electrons : float
        Per pixel of the low loss.
    core_per_low : ndarray (oxide,)
        Counts of L2,3 in the core loss per count of M2,3 in the low loss.
    core_law : tuple of float
        Background of the core loss: counts per channel at 700 eV and unit
        t/lambda, exponent.
    """

    low: EdgeRange
    core: EdgeRange
    electrons: float
    core_per_low: np.ndarray
    core_law: tuple[float, float]

    def low_loss(self, pixels: Pixels) -> tuple[np.ndarray, np.ndarray]:
        """Expected background and edges, (pixel, energy) each, float32."""

        def spectra(p: Pixels) -> tuple[np.ndarray, np.ndarray]:
            kernel, zero = self.low.transfer(p)
            return self.electrons * self.low.low_loss(kernel, zero), self.low.edges(p.counts, kernel, zero)

        return _by_chunks(pixels, len(self.low.energy), spectra)

    def core_loss(self, pixels: Pixels) -> tuple[np.ndarray, np.ndarray]:
        """Expected background and edges, (pixel, energy) each, float32."""
        height, exponent = self.core_law

        def spectra(p: Pixels) -> tuple[np.ndarray, np.ndarray]:
            moved = self.core.energy - p.shift[:, None]
            background = (height * (p.oxide + p.carbon))[:, None] * (moved / 700.0) ** -exponent
            return background, self.core.edges(p.counts * self.core_per_low[:, None], *self.core.transfer(p))

        return _by_chunks(pixels, len(self.core.energy), spectra)


def _by_chunks(
    pixels: Pixels, channels: int, spectra: Callable[[Pixels], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    background = np.empty((len(pixels.shift), channels), np.float32)
    edges = np.empty_like(background)
    for part, few in pixels.chunks():
        background[part], edges[part] = spectra(few)
    return background, edges
