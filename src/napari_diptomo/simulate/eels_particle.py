"""What the beam meets: edge counts and thickness of every pixel at every tilt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_diptomo.simulate.eels_shapes import OXIDES
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
    """What the beam meets in a number of pixels.

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
