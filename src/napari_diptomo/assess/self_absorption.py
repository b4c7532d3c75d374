"""Counts as they were emitted: corrected for what the volume itself absorbs on the way to the detectors.

Composition and absorption depend on one another; a few rounds of emitted counts, densities of the elements and
transmissions (`napari_diptomo.spectra.edx.absorption`) settle both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_diptomo.assess.channel_factors import Factors
from napari_diptomo.assess.fractions import pooled, typical
from napari_diptomo.assess.mass_density import Dose, columns, estimated_density
from napari_diptomo.series import Finding, InputError, Volume
from napari_diptomo.spectra.edx.absorption import absorption_coefficients, directions, mean_transmission

#: Rounds that settle composition and absorption.
ROUNDS = 3


@dataclass(frozen=True)
class Absorber:
    """The specimen as an absorber, and where the detectors are.

    Attributes
    ----------
    density : float, optional
        g/cm^3 of the typical voxel; None: by absolute factors and ``dose``.
    dose : Dose, optional
        None where factors are relative: without a density it is estimated from the elements.
    elevation : float
        Of the detectors above the plane of the untilted specimen, degrees.
    azimuths : tuple of float
        Directions of the detectors about the beam, from x towards y, degrees.
    smooth : float
        Sigma of the Gaussian that counts are pooled with before densities are taken, voxels.
    """

    density: float | None
    dose: Dose | None
    elevation: float
    azimuths: tuple[float, ...]
    smooth: float


@dataclass(frozen=True, eq=False)
class Absorbed:
    """A correction for absorption.

    Attributes
    ----------
    gain : ndarray (channel, z, y, x)
        Counts emitted over counts that arrived.
    words : str
        Fraction of the counts absorbed, by channel.
    findings : tuple of Finding
        What it assumes.
    """

    gain: np.ndarray
    words: str
    findings: tuple[Finding, ...] = ()


def emission_gain(
    volume: Volume,
    factors: Factors,
    absorber: Absorber,
    *,
    each_round: Callable[[int], object] | None = None,
    each_ray: Callable[[], object] | None = None,
) -> Absorbed:
    """Counts emitted over counts that arrived.

    Parameters
    ----------
    volume : Volume
        Counts per tilt.
    factors : Factors
        With line families.
    absorber : Absorber
    each_round : callable, optional
        Called with the number of every round done, from 1.
    each_ray : callable, optional
        Called after every ray.

    Returns
    -------
    Absorbed

    Raises
    ------
    InputError
        The line families of the channels are not known.
    """
    if not factors.families:
        raise InputError('The absorption needs the line families of the channels; name them as lines, e.g. Ge_L, Te_L.')
    gain = np.ones((len(volume.channels), 1, 1, 1))
    for turn in range(ROUNDS):
        elements = _element_densities(pooled(volume.data * gain, absorber.smooth), factors, absorber, volume.voxel_size)
        gain = 1 / _transmissions(volume, factors, elements, absorber, each_ray)
        if each_round is not None:
            each_round(turn + 1)
    lost = 1 - volume.data.sum(axis=(1, 2, 3)) / np.maximum((volume.data * gain).sum(axis=(1, 2, 3)), 1e-300)
    each = ', '.join(f'{name} {100 * part:.1f} %' for name, part in zip(volume.channels, lost, strict=True))
    findings: tuple[Finding, ...] = ()
    if absorber.density is None and absorber.dose is None:
        findings = (_assumed_density(_density_of_elements(pooled(volume.data * gain, absorber.smooth), factors), lost),)
    return Absorbed(gain, f'corrected; of the counts emitted, absorbed: {each}', findings)


def _element_densities(counts: np.ndarray, factors: Factors, absorber: Absorber, voxel_size: float) -> np.ndarray:
    """(channel, z, y, x), g/cm^3."""
    masses = columns(factors.values) * counts
    if absorber.density is None and absorber.dose is not None:
        return masses / (absorber.dose.per_pixel() * voxel_size * 1e-9) * 1e-3
    density = absorber.density or _density_of_elements(counts, factors)
    # A given density is that of the typical voxel; a brighter one holds more mass.
    return masses * (density / max(typical(masses.sum(axis=0)), 1e-300))


def _density_of_elements(counts: np.ndarray, factors: Factors) -> float:
    """Estimated from the mean composition, g/cm^3."""
    masses = np.maximum(factors.values * counts.sum(axis=(1, 2, 3)), 0.0)
    return estimated_density(dict(zip((name.partition('_')[0] for name in factors.families), masses, strict=True)))


def _assumed_density(density: float, lost: np.ndarray) -> Finding:
    sentence = (
        f'No density is given: {density:.2g} g/cm³ was estimated from the elements, good to some 20 % for alloys and '
        f'compounds without pores. The absorption (up to {100 * lost.max():.0f} % of a channel) is as uncertain; give the '
        'density where it matters.'
    )
    evidence = {'density assumed, g/cm3': density, 'largest absorption, %': 100 * float(lost.max())}
    return Finding('note', 'density', sentence, evidence)


def _transmissions(
    volume: Volume,
    factors: Factors,
    densities: np.ndarray,
    absorber: Absorber,
    each_ray: Callable[[], object] | None,
) -> np.ndarray:
    """Fraction of the photons of each channel that reach the detectors, (channel, z, y, x), mean over the tilts.

    The notes of a volume hold its smallest and largest tilt; between them the tilts are taken as even.
    """
    low, high = volume.notes.get('max_tilt', (0.0, 0.0))
    angles = np.linspace(float(low), float(high), int(volume.notes.get('tilts', 1)))
    elements = [family.partition('_')[0] for family in factors.families]
    coefficients = absorption_coefficients(factors.families, elements)
    rays = directions(angles, absorber.elevation, absorber.azimuths)
    return mean_transmission(np.maximum(densities, 0), coefficients, rays, volume.voxel_size, each_ray)
