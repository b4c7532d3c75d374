"""Core losses with known contents: O-K and Mn-L2,3 in three states on a power law.

Shapes are closed forms: Gaussian white lines over smooth steps, whose place and ratio are those that manganese oxides
show, and a step with two maxima for O-K. They know nothing of the cross sections and windows that edges are mapped with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_diptomo.series import CoreLoss, SpectralTiltSeries
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.simulate.projections import project

#: Energy of L3, eV, and the ratio L3 / L2 of three states of manganese.
MANGANESE = {'Mn2+': (640.0, 4.0), 'Mn3+': (641.7, 2.6), 'Mn4+': (643.2, 2.0)}
#: From L3 to L2 of manganese, eV; onset of O-K, eV.
_SPLITTING, _OXYGEN = 11.0, 532.0
#: What lies under the white lines relative to L3.
_STEPS = 0.15


@dataclass(frozen=True, eq=False)
class SimulatedCoreLoss:
    """A simulated core loss.

    Attributes
    ----------
    series : SpectralTiltSeries
        Without a low loss.
    clean : ndarray (state, tilt, y, x)
        Expected counts of Mn-L2,3 in each state, over all energies.
    oxygen : ndarray (tilt, y, x)
        Expected counts of O-K.
    states : tuple of str
        Of manganese.
    """

    series: SpectralTiltSeries
    clean: np.ndarray
    oxygen: np.ndarray
    states: tuple[str, ...]


def power_law(energy: np.ndarray, height: float, exponent: float = 3.0) -> np.ndarray:
    """A power law with ``height`` counts at 600 eV, (energy,)."""
    return np.asarray(height * (energy / 600.0) ** -exponent)


def manganese(state: str, energy: np.ndarray) -> np.ndarray:
    """Mn-L2,3 of a state, one count in all, (energy,)."""
    place, ratio = MANGANESE[state]
    lines = ratio * _line(energy, place, 1.2) + 0.35 * ratio * _line(energy, place + 2.8, 1.3)
    lines = lines + _line(energy, place + _SPLITTING, 1.6)
    steps = 2 / 3 * _rise(energy, place + 2) + 1 / 3 * _rise(energy, place + _SPLITTING + 2)
    shape = lines + _STEPS * ratio * steps * (place / energy) ** 2
    return np.asarray(shape / shape.sum())


def oxygen(energy: np.ndarray) -> np.ndarray:
    """O-K, one count in all, (energy,)."""
    shape = _rise(energy, _OXYGEN) * (_OXYGEN / energy) ** 3
    shape = shape + 0.6 * _line(energy, _OXYGEN + 1, 1.2) + 0.8 * _line(energy, _OXYGEN + 9, 3.0)
    return np.asarray(shape / shape.sum())


def low_loss(energy: np.ndarray, t_over_lambda: float, electrons: float = 1e6) -> np.ndarray:
    """Zero loss and plasmons at 22 eV with their multiples, by Poisson's law, (energy,); energies on a grid through zero."""
    zero = np.exp(-0.5 * (energy / 0.4) ** 2)
    losses = np.maximum(energy, 0)
    single = losses * (energy > 1) / ((losses**2 - 22.0**2) ** 2 + (losses * 6.0) ** 2)
    zero, single = zero / zero.sum(), single / single.sum()
    start = int(np.abs(energy).argmin())
    found, term, weight = np.zeros(len(energy)), zero, float(np.exp(-t_over_lambda))
    for n in range(1, 30):
        found += weight * term
        term = np.convolve(term, single)[start : start + len(energy)]
        weight *= t_over_lambda / n
    return electrons * found


def dual_range(
    edges: np.ndarray,
    background: np.ndarray,
    energy: np.ndarray,
    t_over_lambda: float,
    electrons: float = 1e6,
    **metadata: float,
) -> SpectralTiltSeries:
    """Low and core loss of one tilt and one thickness.

    Parameters
    ----------
    edges : ndarray (y, x, energy)
        Single scattering; what comes out has the plural scattering of the low loss.
    background : ndarray (energy,)
        Under the edges, as it is seen.
    energy : ndarray (energy,)
        eV.
    t_over_lambda : float
        Thickness.
    electrons : float
        Of the low loss of a pixel.
    **metadata : float
        Of both parts.

    Returns
    -------
    SpectralTiltSeries
    """
    step = float(energy[1] - energy[0])
    losses = step * np.arange(round(-20 / step), round(180 / step))
    low = low_loss(losses, t_over_lambda, electrons)
    kernel = low / low.sum()
    zero = int(np.abs(losses).argmin())
    seen = np.apply_along_axis(lambda one: np.convolve(one, kernel)[zero : zero + len(one)], -1, edges)
    counts = np.broadcast_to(low, (*edges.shape[:2], len(low)))
    part = CoreLoss((seen + background)[None], energy, (0,), metadata)
    return SpectralTiltSeries(
        counts[None], losses, np.zeros(1), 1.0, energy_unit='eV', core_loss=part, metadata=metadata
    )


def core_loss_tilt_series(
    size: int = 32,
    angles: ArrayLike = (-40.0, -20.0, 0.0, 20.0, 40.0),
    *,
    edge_counts: float = 4000.0,
    edge_to_background: float = 0.5,
    energy_range: tuple[float, float] = (470.0, 720.0),
    dispersion: float = 0.5,
    seed: int = 0,
) -> SimulatedCoreLoss:
    """Core loss of a manganese oxide particle at every tilt: a core of Mn2+, a shell of Mn3+, oxygen in both.

    Parameters
    ----------
    size : int
        Edge of the volume, voxels.
    angles : array-like (tilt,)
        Degrees.
    edge_counts : float
        Counts of Mn-L2,3 of the mean pixel of the particle.
    edge_to_background : float
        Of Mn-L2,3 to the background, over all energies behind 640 eV, in that pixel.
    energy_range : tuple of float
        eV.
    dispersion : float
        eV per channel.
    seed : int
        Of the noise.

    Returns
    -------
    SimulatedCoreLoss
        Counts are float32, (tilt, y, x, energy).
    """
    angles = np.asarray(angles, float)
    particle = oxide_nanocube(size)
    paths = project(particle, angles)[[particle.channels.index(name) for name in ('FeO', 'Fe3O4')]].astype(float)
    total = paths.sum(axis=0)
    clean = paths * edge_counts / total[total > 0.1 * total.max()].mean()
    energy = np.arange(*energy_range, dispersion)
    shapes = np.stack([manganese(state, energy) for state in ('Mn2+', 'Mn3+')])
    light = 1.5 * clean.sum(axis=0)
    background = power_law(energy, 1.0)
    background *= edge_counts / (edge_to_background * background[energy > MANGANESE['Mn2+'][0]].sum())
    weight = (0.02 * edge_counts + clean.sum(axis=0)) / edge_counts
    rng = np.random.default_rng(seed)
    counts = np.empty((*clean.shape[1:], len(energy)), np.float32)
    for tilt in range(len(angles)):
        edges = np.tensordot(clean[:, tilt], shapes, (0, 0)) + light[tilt][..., None] * oxygen(energy)
        counts[tilt] = rng.poisson(weight[tilt][..., None] * background + edges)
    metadata = {'beam_energy': 200.0, 'convergence_angle': 20.0, 'collection_angle': 30.0}
    series = SpectralTiltSeries(
        counts, energy, angles, particle.voxel_size, energy_unit='eV', metadata=metadata, angle_source='simulation'
    )
    return SimulatedCoreLoss(series, clean, light, ('Mn2+', 'Mn3+'))


def _line(energy: np.ndarray, place: float, width: float) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * ((energy - place) / width) ** 2))


def _rise(energy: np.ndarray, place: float) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh((energy - place) / 2)))
