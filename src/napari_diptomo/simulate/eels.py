"""Dual-range EELS tilt series of an iron oxide particle, electron by electron, with known truth.

Expected low-loss spectrum of a pixel that N electrons pass:

    Z_d * [ N K' + sum_o a_o s_o * K ]

Z is the zero loss, displaced by the pixel's own d; K the plural scattering of
its thickness and K' the same with the background that was asked for under
40-80 eV (`eels_scattering`); s_o the M2,3 edge of an oxide with one count in
47-62 eV (`eels_shapes`), a_o its counts. The core loss has the L2,3 edges in
place of the M2,3 ones, on a power law. The detector adds counting noise, gain
pattern, dark level and read-out noise.

**Edge counts** are everywhere those in 47-62 eV (L2,3: 704-729 eV) that the
edge would have without plural scattering: they are proportional to the path
through the oxide, so their volume, the truth, is a property of the specimen.
Plasmons after the edge carry a share of 1 - exp(-t/lambda) of them to higher
losses, a third at 0.4. FeO and Fe3O4 differ in iron per volume (48.2, 40.4 per
nm^3) and in counts per iron atom (sum rule 1.6, 1.87, and a continuum that is
the same for both): `SimulatedEELS.per_iron` turns counts into iron.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_diptomo.series import InputError, SpectralTiltSeries, Volume
from napari_diptomo.series.data import CoreLoss
from napari_diptomo.simulate.eels_model import DualRange, EdgeRange, Particle, Pixels
from napari_diptomo.simulate.eels_scattering import Background, LossGrid, Scattering
from napari_diptomo.simulate.eels_shapes import OXIDES, WINDOWS, Edge, ShapeVariation
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.simulate.phantoms import Phantom

#: Brightness of carbon in HAADF per path, relative to the oxides.
_CARBON_HAADF = 0.08
_METADATA = {'beam_energy': 200.0, 'convergence_angle': 35.0, 'collection_angle': 27.8}


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
        """Expected low-loss counts of one tilt.

        Parameters
        ----------
        tilt : int
            Number of the tilt.

        Returns
        -------
        background, edges : ndarray (y, x, energy), float32
            All but the edges, and the edges.
        """
        return self._images(self.model.low_loss(self._particle.pixels(tilt, self.shifts[tilt])))

    def core_expected(self, tilt: int) -> tuple[np.ndarray, np.ndarray]:
        """Expected core-loss counts of one tilt of the series.

        Parameters
        ----------
        tilt : int
            Number of the tilt in the series.

        Returns
        -------
        background, edges : ndarray (y, x, energy), float32
            All but the edges, and the edges.
        """
        return self._images(self.model.core_loss(self._particle.pixels(tilt, self.shifts[tilt])))

    def background(self, tilt: int) -> np.ndarray:
        """Expected low-loss counts of one tilt without the edges.

        Parameters
        ----------
        tilt : int
            Number of the tilt.

        Returns
        -------
        ndarray (y, x, energy), float32
            The first part of `expected`.
        """
        return self.expected(tilt)[0]

    def standards_behind(self, t_over_lambda: float, core: bool = False) -> dict[str, np.ndarray]:
        """Edges as they look after plural scattering: what a regression on spectra that are not deconvolved finds.

        Parameters
        ----------
        t_over_lambda : float
            Thickness of the oxide in inelastic mean free paths.
        core : bool
            L2,3 of the core loss instead of M2,3.

        Returns
        -------
        dict of str to ndarray (energy,)
            By oxide; one count in the window each.
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


@dataclass(frozen=True)
class Detector:
    """Noise and gain that the camera adds to the electrons.

    Attributes
    ----------
    read_noise : float
        Standard deviation of a channel, counts.
    dark : float
        Dark level left in the counts, per channel.
    gain_error : float
        Standard deviation of the gain of the channels, the same in all spectra.
    """

    read_noise: float = 1.0
    dark: float = 0.0
    gain_error: float = 0.0

    def gain(self, channels: int, rng: np.random.Generator) -> np.ndarray:
        """Of each channel, (energy,)."""
        return np.maximum(1 + self.gain_error * rng.standard_normal(channels), 0)

    def record(self, expected: np.ndarray, gain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Counts of expected electrons, (..., energy), float32."""
        counts = (gain * rng.poisson(expected)).astype(np.float32)
        if self.read_noise:
            counts += np.float32(self.read_noise) * rng.standard_normal(counts.shape, np.float32)
        return counts + np.float32(self.dark)


def eels_tilt_series(
    phantom: Phantom,
    angles: ArrayLike,
    *,
    edge_counts: float = 2000.0,
    edge_to_background: float = 0.3,
    background: Background = 'power law',
    t_over_lambda: float = 0.4,
    core_tilts: Sequence[int] | None = None,
    core_dose: float = 20.0,
    core_edge_to_background: float = 1.7,
    core_ratio: float = 24.0,
    jitter_ev: float = 0.3,
    jitter: float = 0.0,
    zero_loss_fwhm: float = 0.8,
    read_noise: float = 1.0,
    dark: float = 0.0,
    gain_error: float = 0.0,
    energy_offset: float = 0.0,
    dispersion: float = 0.25,
    low_range: tuple[float, float] = (-10.0, 100.0),
    core_range: tuple[float, float] = (660.0, 780.0),
    variation: ShapeVariation | None = None,
    haadf_noise: float = 0.02,
    seed: int = 0,
) -> SimulatedEELS:
    """Low loss of a particle at every tilt, core loss at some.

    Parameters
    ----------
    phantom : Phantom
        Channels FeO and Fe3O4, densities in relative M2,3 edge counts; C, where there are ligands.
    angles : array-like (tilt,)
        Tilts, degrees.
    edge_counts : float
        M2,3 edge counts of the mean iron pixel.
    edge_to_background : float
        Counts in 47-62 eV of the edge, as plural scattering leaves it, relative
        to all else there, in a pixel of mean thickness. Gives the dose.
    background : {'power law', 'exponential', 'plasmon'}
        What lies under the M2,3 edges from 34 eV on: E^-r (r 2.4-2.65 by
        seed), exp(-E/w) (w 15.5-17 eV by seed; both as measured on Mn-M2,3),
        or plasmons and their multiples.
    t_over_lambda : float
        Of the mean iron pixel, ligands included.
    core_tilts : sequence of int, optional
        Tilts with a core loss; the one nearest to zero where not given.
    core_dose : float
        Electrons of the core loss per electron of the low loss.
    core_edge_to_background : float
        The same for the L2,3 edges, in 704-729 eV.
    core_ratio : float
        M2,3 edge counts per L2,3 edge count at equal dose.
    jitter_ev : float
        Largest displacement of the zero loss, eV; sampled uniformly for every pixel.
    jitter : float
        Largest displacement of an image along y and x, pixels; sampled uniformly.
    zero_loss_fwhm : float
        eV, of its Gaussian core.
    read_noise, dark, gain_error : float
        See `Detector`.
    energy_offset : float
        What the energies of the core loss are wrong by, eV.
    dispersion : float
        eV per channel.
    low_range, core_range : tuple of float
        eV.
    variation : ShapeVariation, optional
        Shapes of the edges; one of the possible ones by seed where not given.
    haadf_noise : float
        Noise of the HAADF images relative to their maximum.
    seed : int
        Of shapes, background, jitter and noise.

    Returns
    -------
    SimulatedEELS
        Counts are float32, (tilt, y, x, energy).

    Raises
    ------
    InputError
        A phantom without FeO and Fe3O4, counts or ranges that make no spectrum.
    """
    angles = np.asarray(angles, float)
    _check(phantom, edge_counts, edge_to_background, low_range, core_range)
    shape_rng, place_rng, low_rng, core_rng = np.random.default_rng(seed).spawn(4)
    sampled = ShapeVariation.random(shape_rng)
    variation = variation or sampled
    drift = place_rng.uniform(-jitter, jitter, (len(angles), 2))
    particle = Particle.of(phantom, angles, drift, edge_counts, t_over_lambda)
    shifts = place_rng.uniform(-jitter_ev, jitter_ev, particle.iron.shape)
    laws = {'background': background, 'exponent': shape_rng.uniform(2.4, 2.65), 'decay': shape_rng.uniform(15.5, 17.0)}
    low = _edge_range('M', low_range, dispersion, low_range[1], zero_loss_fwhm, variation, **laws)
    core = _edge_range('L', core_range, dispersion, low_range[1], zero_loss_fwhm, variation)
    model = _dual_range(
        low, core, particle, edge_to_background, core_ratio / core_dose, core_edge_to_background,
        exponent=shape_rng.uniform(3.0, 3.5),
    )  # fmt: skip
    tilts = (int(np.abs(angles).argmin()),) if core_tilts is None else tuple(core_tilts)
    detector = Detector(read_noise, dark, gain_error)
    series = SpectralTiltSeries(
        _record(model.low_loss, particle, shifts, range(len(angles)), detector, low_rng),
        low.energy,
        angles,
        phantom.voxel_size,
        energy_unit='eV',
        haadf=_haadf(particle, haadf_noise, place_rng),
        metadata=_METADATA,
        angle_source='simulation',
        core_loss=CoreLoss(
            _record(model.core_loss, particle, shifts, tilts, detector, core_rng),
            core.energy + energy_offset,
            tilts,
            _METADATA,
        ),
    )
    truth = phantom.truth
    data = truth.data[[phantom.channels.index(oxide) for oxide in OXIDES]] * np.float32(particle.unit)
    return SimulatedEELS(
        series,
        replace(truth, data=data, channels=OXIDES),
        particle.counts,
        particle.counts[:, list(tilts)] * model.core_per_low[:, None, None, None].astype(np.float32),
        dict(zip(OXIDES, low.standards, strict=True)),
        dict(zip(OXIDES, core.standards, strict=True)),
        dict(zip(OXIDES, (low.per_iron / low.per_iron[0]).tolist(), strict=True)),
        particle.iron,
        shifts,
        drift,
        particle.oxide + particle.carbon,
        model.electrons,
        variation,
        model,
        particle,
    )


def demo_eels(seed: int = 0, size: int = 32) -> SimulatedEELS:
    """The EELS sample: a nanocube of FeO and Fe3O4 on a counting detector, 9 tilts over +-70 degrees, jitter of 1 pixel.

    Parameters
    ----------
    seed : int
        Of shapes, jitter and noise.
    size : int
        Edge of the field in pixels; the particle needs more than 20.

    Returns
    -------
    SimulatedEELS
        Low loss of all tilts and the core loss of the one nearest to zero, with the truth.
    """
    phantom = oxide_nanocube(size)
    return eels_tilt_series(phantom, np.linspace(-70.0, 70.0, 9), seed=seed, jitter=1.0, read_noise=0.0)


def _edge_range(
    edge: Edge,
    limits: tuple[float, float],
    dispersion: float,
    reach: float,
    fwhm: float,
    variation: ShapeVariation,
    **laws: Any,
) -> EdgeRange:
    energy = limits[0] + dispersion * np.arange(round((limits[1] - limits[0]) / dispersion))
    return EdgeRange(edge, energy, Scattering(LossGrid.behind(energy), reach, **laws), fwhm, variation)


def _dual_range(
    low: EdgeRange,
    core: EdgeRange,
    particle: Particle,
    edge_to_background: float,
    core_ratio: float,
    core_edge_to_background: float,
    exponent: float,
) -> DualRange:
    """Dose and core loss so that the mean iron pixel has the counts asked for."""
    mean = particle.mean_pixel
    # An iron atom has both edges: an oxide's L2,3 counts follow from its M2,3 counts.
    core_per_low = core.per_iron / low.per_iron
    core_per_low = core_per_low / (core_per_low.mean() * core_ratio)
    unscaled = DualRange(low, core, 1.0, core_per_low, (1.0, exponent))
    background, edges = (spectra[:, low.window].sum() for spectra in unscaled.low_loss(mean))
    core_background, core_edges = (spectra[:, core.window].sum() for spectra in unscaled.core_loss(mean))
    electrons = float(edges / edge_to_background / background)
    height = float(core_edges / core_edge_to_background / core_background)
    return replace(unscaled, electrons=electrons, core_law=(height, exponent))


def _record(
    spectra: Callable[[Pixels], tuple[np.ndarray, np.ndarray]],
    particle: Particle,
    shifts: np.ndarray,
    tilts: Sequence[int],
    detector: Detector,
    rng: np.random.Generator,
) -> np.ndarray:
    """Counts (tilt, y, x, energy), tilt by tilt."""
    recorded, gain = [], None
    for tilt in tilts:
        background, edges = spectra(particle.pixels(tilt, shifts[tilt]))
        gain = detector.gain(background.shape[1], rng) if gain is None else gain
        counts = detector.record(background + edges, gain, rng)
        recorded.append(counts.reshape(*shifts.shape[1:], -1))
    return np.stack(recorded)


def _haadf(particle: Particle, noise: float, rng: np.random.Generator) -> np.ndarray:
    image = particle.oxide + _CARBON_HAADF * particle.carbon
    image = image / image.max() * 1000
    return (image + 1000 * noise * rng.standard_normal(image.shape)).astype(np.float32)


def _check(
    phantom: Phantom,
    edge_counts: float,
    edge_to_background: float,
    low_range: tuple[float, float],
    core_range: tuple[float, float],
) -> None:
    if not set(OXIDES) <= set(phantom.channels) or set(phantom.channels) - {*OXIDES, 'C'}:
        raise InputError(
            f'The EELS simulator needs a phantom of FeO and Fe3O4, with C where there are ligands, '
            f'not of {", ".join(phantom.channels)}.'
        )
    if not (edge_counts > 0 and edge_to_background > 0):
        raise InputError('Edge counts and edge to background must be positive numbers; give e.g. 2000 and 0.3.')
    for name, (low, high), (first, last) in (('low', low_range, WINDOWS['M']), ('core', core_range, WINDOWS['L'])):
        if low > first or high < last:
            raise InputError(f'The {name}-loss range must hold {first:g}-{last:g} eV, not {low:g}-{high:g} eV.')
