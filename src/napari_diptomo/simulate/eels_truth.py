"""A simulated EELS tilt series and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import SpectralTiltSeries, Volume
from napari_diptomo.simulate.eels_model import DualRange
from napari_diptomo.simulate.eels_particle import Particle, Pixels
from napari_diptomo.simulate.eels_shapes import OXIDES, ShapeVariation


@dataclass(frozen=True, eq=False)
class SimulatedEELS:
    """A simulated EELS tilt series with what it was made from.

    Attributes
    ----------
    series : SpectralTiltSeries
        Low-loss counts, core-loss counts of some tilts, HAADF images.
    truth : Volume
        Channels FeO and Fe3O4: M2,3 edge counts per voxel of path.
    clean : ndarray (channel, tilt, y, x), float32
        Expected M2,3 edge counts, before plural scattering.
    core_clean : ndarray (channel, core tilt, y, x), float32
        Expected L2,3 edge counts likewise.
    standards, core_standards : mapping of str to ndarray (energy,)
        Edge of each oxide on the channels of the low and the core loss, as the
        detector shows it without plural scattering; one count in 47-62 or
        704-729 eV.
    per_iron : mapping of str to float
        M2,3 edge counts per iron atom, FeO = 1.
    iron : ndarray (tilt, y, x), bool
        Pixels with at least 5 % of the largest edge counts.
    shifts : ndarray (tilt, y, x)
        Displacement of the ENERGIES of a pixel: its zero loss lies there, eV.
    drift : ndarray (tilt, 2)
        Where the specimen sits in each image, pixels (y, x).
    thickness : ndarray (tilt, y, x)
        t/lambda.
    electrons : float
        Per pixel and tilt of the low loss.
    variation : ShapeVariation
        What the shapes of this experiment differ by from the calculated ones.
    model : DualRange
        Makes `expected` and `core_expected`.
    """

    series: SpectralTiltSeries
    truth: Volume
    clean: np.ndarray
    core_clean: np.ndarray
    standards: Mapping[str, np.ndarray]
    core_standards: Mapping[str, np.ndarray]
    per_iron: Mapping[str, float]
    iron: np.ndarray
    shifts: np.ndarray
    drift: np.ndarray
    thickness: np.ndarray
    electrons: float
    variation: ShapeVariation
    model: DualRange
    _particle: Particle

    def expected(self, tilt: int) -> tuple[np.ndarray, np.ndarray]:
        """Expected low-loss counts of one tilt: all but the edges, and the edges; (y, x, energy) each, float32."""
        return self._images(self.model.low_loss(self._particle.pixels(tilt, self.shifts[tilt])))

    def core_expected(self, tilt: int) -> tuple[np.ndarray, np.ndarray]:
        """Expected core-loss counts of one tilt of the series: background and edges, (y, x, energy) each, float32."""
        return self._images(self.model.core_loss(self._particle.pixels(tilt, self.shifts[tilt])))

    def background(self, tilt: int) -> np.ndarray:
        """Expected low-loss counts of one tilt without the edges, (y, x, energy), float32."""
        return self.expected(tilt)[0]

    def standards_behind(self, t_over_lambda: float, core: bool = False) -> dict[str, np.ndarray]:
        """Edges as they look after plural scattering in so much oxide, (energy,) each; one count in the window.

        What a regression on spectra that are not deconvolved finds.
        """
        part = self.model.core if core else self.model.low
        thickness = np.full(2, t_over_lambda)
        kernel, zero = part.transfer(Pixels(np.eye(2), thickness, 0 * thickness, 0 * thickness))
        shapes = part.edges(np.eye(2), kernel, zero)
        shapes /= shapes[:, part.window].sum(axis=1, keepdims=True)
        return dict(zip(OXIDES, shapes, strict=True))

    def _images(self, spectra: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        background, edges = (part.reshape(*self.clean.shape[2:], -1) for part in spectra)
        return background, edges
