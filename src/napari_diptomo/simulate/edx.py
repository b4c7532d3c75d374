"""EDX tilt series of a phantom, photon by photon, with known truth.

Expected spectrum of a pixel at tilt t:

    g(t) [ sum_f n_f T_f f(E)  +  b m K(E) ]   families and bremsstrahlung of the specimen
    + s (1 + r (t/40)^2) c(E)                  copper and titanium of grid and holder, rising with tilt
    + z exp(-E^2 / 2 sigma^2)                  the zero-strobe peak of a silicon drift detector
    + p N (S * S)(E)                           photons counted two at a time

and the counts are Poisson. T_f is what the specimen lets out of a family, g
what the holder does not hide from the detectors, m the mass thickness, S the
spectrum that arrives. The rise of the stray signal with tilt and the dips of g
at plus and minus the take-off angle are those of a measured series (openNCEM). f(E) is a
Gaussian whose width follows FWHM(E)^2 = FWHM(Mn-Ka)^2 + 2.5 (E - E(Mn-Ka)), in eV, the relation of eXSpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import fftconvolve
from scipy.special import erf

from napari_diptomo.series import InputError, SpectralTiltSeries, Volume
from napari_diptomo.simulate.edx_emission import (
    ELEMENTS,
    GST_ATOMS_PER_NM3,
    LINES,
    counts_per_areal_atom,
    known,
    line_energy,
    mass_absorption,
    mass_per_area,
    transmission,
)
from napari_diptomo.simulate.phantoms import Phantom, lamella
from napari_diptomo.simulate.projections import project

__all__ = ['LINES', 'SimulatedSpectra', 'bremsstrahlung', 'demo_series', 'edx_tilt_series', 'line_shape']

#: Share of Ge-L that a film of 50 nm keeps, for series of which only the peak counts are given.
_FILM_LOSS = 0.22
#: Rise of the stray K lines from 0 to 40 degrees, and L photons per K photon.
_STRAY = {'Cu': (2.0, 1.2), 'Ti': (4.0, 0.5)}
#: Channels below 0 keV.
_ZERO = 24
_E_MN = 5.8987
#: Si-K line and edge, keV; the escape fraction falls with energy about as fast as that of Reed and Ware (1972).
_SI_K, _SI_EDGE, _ESCAPE_POWER = 1.7397, 1.8389, 1.1
#: Width of the dip where the holder hides a detector, degrees.
_DIP_WIDTH = 6.0


@dataclass(frozen=True, eq=False)
class SimulatedSpectra:
    """A simulated EDX tilt series with what it was made from.

    Attributes
    ----------
    series : SpectralTiltSeries
        The counts, with HAADF images.
    truth : Volume
        Counts of each element's family per voxel of path, before absorption
        and shadowing.
    clean : ndarray (channel, tilt, y, x), float32
        Expected counts of each element's family as they were counted.
    shifts : ndarray (tilt, 2)
        Where the specimen sits in each image, pixels (y, x).
    gain : ndarray (tilt,)
        Share of the specimen's photons that the detectors see.
    stray : mapping of str to ndarray (tilt,)
        Expected counts per pixel of the K family of Cu and Ti from grid and holder.
    """

    series: SpectralTiltSeries
    truth: Volume
    clean: np.ndarray
    shifts: np.ndarray
    gain: np.ndarray
    stray: Mapping[str, np.ndarray] = field(default_factory=dict)


def edx_tilt_series(
    phantom: Phantom,
    angles: ArrayLike,
    *,
    peak_counts: float = 30.0,
    dose: float | None = None,
    seed: int = 0,
    jitter: float = 0.0,
    background: float = 1.0,
    stray_copper: float = 0.3,
    stray_titanium: float = 0.0,
    zero_peak: float = 2.0,
    shadow: float = 0.0,
    take_off: float = 18.0,
    escape: float = 0.0,
    sum_peaks: float = 0.0,
    resolution: float = 130.0,
    channels: int = 1280,
    dispersion: float = 0.01,
    haadf_noise: float = 0.02,
) -> SimulatedSpectra:
    """Spectrum images of a phantom of elements at every tilt.

    Parameters
    ----------
    phantom : Phantom
        The specimen; its channels are elements of `edx_emission.ELEMENTS`.
    angles : array-like (tilt,)
        Tilts, degrees.
    peak_counts : float
        Largest expected counts of a family over all channels, tilts, pixels.
        Families that are mapped leave without loss, the others as from a film of 50 nm.
    dose : float, optional
        e-/A^2 PER TILT, in place of ``peak_counts``. The phantom's densities are
        then in atoms of Ge2Sb2Te5 (`GST_ATOMS_PER_NM3`), its voxels in nm, and
        every family is absorbed along the way out of each pixel.
    seed : int
        Of counting noise and jitter.
    jitter : float
        Largest displacement of an image along y and x, pixels; sampled uniformly.
    background : float
        Bremsstrahlung counts per characteristic count, over the specimen.
    stray_copper, stray_titanium : float
        Counts of stray Cu-K and Ti-K per pixel at zero tilt.
    zero_peak : float
        Counts of the zero-strobe peak per pixel.
    shadow : float
        Share of the specimen's photons that the holder hides at a tilt of plus or minus the take-off angle.
    take_off : float
        Degrees.
    escape : float
        Share of the photons of 2 keV whose Si-K photon leaves the detector; about 0.018 in silicon.
    sum_peaks : float
        Share of the photons counted two at a time.
    resolution : float
        FWHM at Mn-Ka, eV.
    channels : int
        Energy channels.
    dispersion : float
        keV per channel.
    haadf_noise : float
        Noise of the HAADF images relative to their maximum.

    Returns
    -------
    SimulatedSpectra
        Counts are uint8 or uint16, (tilt, y, x, energy).

    Raises
    ------
    InputError
        A channel of the phantom that the simulator has no lines for, or a dose that is not positive.
    """
    known(phantom.channels)
    if dose is not None and not dose > 0:
        raise InputError(f'The dose must be a positive number of electrons per square angstrom, not {dose}.')
    rng = np.random.default_rng(seed)
    angles = np.asarray(angles, float)
    shifts = rng.uniform(-jitter, jitter, (len(angles), 2))
    atoms = np.maximum(project(phantom, angles, shifts), 0)
    gain = shadowing(angles, shadow, take_off)
    specimen = _Specimen.of(phantom, atoms, angles, gain, peak_counts, dose, take_off, background)
    strays = {
        name: stray(angles, at_zero, _STRAY[name][0])
        for name, at_zero in (('Cu', stray_copper), ('Ti', stray_titanium))
    }
    energy = (np.arange(channels) - _ZERO) * dispersion
    expected = _expected(specimen, strays, zero_peak, sum_peaks, energy, resolution, escape)
    series = SpectralTiltSeries(
        _draw(expected, (*atoms.shape[1:], channels), rng),
        energy,
        angles,
        phantom.voxel_size,
        haadf=_haadf(phantom, atoms, haadf_noise, rng),
        metadata={'beam_energy': 200.0, 'energy_resolution_MnKa': resolution, 'elevation': take_off},
        angle_source='simulation',
    )
    truth = replace(phantom.truth, data=phantom.truth.data * specimen.scale[:, None, None, None])
    return SimulatedSpectra(series, truth, specimen.clean, shifts, gain, strays)


def demo_series(seed: int = 0, size: int = 48) -> SimulatedSpectra:
    """The sample of the demo: a Ge-Sb-Te lamella, 17 tilts over +-40 degrees, jitter of up to 2 pixels.

    Parameters
    ----------
    seed : int
        Of the lamella, the jitter and the noise.
    size : int
        Edge of the field in pixels of 2 nm.

    Returns
    -------
    SimulatedSpectra
        The spectra with the truth.
    """
    phantom = lamella(size, seed, voxel_size=2.0)
    return edx_tilt_series(phantom, np.arange(-40.0, 41.0, 5.0), seed=seed, jitter=2.0)


@dataclass(frozen=True, eq=False)
class _Specimen:
    """Photons that the specimen sends into the detectors, per tilt and pixel.

    Attributes
    ----------
    scale : ndarray (channel,), float32
        Counts of the mapped family per unit of density and voxel.
    clean : ndarray (channel, tilt, y, x), float32
        Mapped families.
    others : dict of str to ndarray (tilt, y, x)
        Families of the same elements that are not mapped.
    mass : ndarray (tilt, y, x)
        Bremsstrahlung.
    names : tuple of str
        The mapped families.
    """

    scale: np.ndarray
    clean: np.ndarray
    others: dict[str, np.ndarray]
    mass: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        phantom: Phantom,
        atoms: np.ndarray,
        angles: np.ndarray,
        gain: np.ndarray,
        peak_counts: float,
        dose: float | None,
        take_off: float,
        background: float,
    ) -> _Specimen:
        elements = [ELEMENTS[name] for name in phantom.channels]
        names = tuple(element.mapped for element in elements)
        yields = np.array([element.families[element.mapped] for element in elements], np.float32)
        emitted = atoms * yields[:, None, None, None]
        areal = GST_ATOMS_PER_NM3 * phantom.voxel_size
        if dose is None:
            unit = np.float32(peak_counts / (emitted * gain[:, None, None].astype(np.float32)).max())
        else:
            unit = np.float32(1e14 * areal * counts_per_areal_atom(dose, phantom.voxel_size))
        clean = emitted * unit
        numbers = np.array([element.number for element in elements], np.float32)
        mass = np.tensordot(numbers, atoms, axes=1)
        mass *= background * clean.sum() / mass.sum()
        seen = gain[:, None, None].astype(np.float32)

        def through(family: str) -> np.ndarray:
            if dose is not None:
                return transmission(line_energy(family), mass_per_area(atoms * areal, phantom.channels), take_off)
            return _film(family, angles)[:, None, None]

        others = {
            family: clean[i] * (relative / element.families[element.mapped]) * through(family) * seen
            for i, element in enumerate(elements)
            for family, relative in element.families.items()
            if family != element.mapped
        }
        if dose is not None:
            clean = clean * np.stack([through(name) for name in names]).astype(np.float32)
        return cls(yields * unit, clean * seen, others, mass * seen, names)


def _film(family: str, angles: np.ndarray) -> np.ndarray:
    """Share of a family that leaves a film of 50 nm, tilted, (tilt,)."""
    relative = mass_absorption(line_energy(family)) / mass_absorption(line_energy('Ge_L'))
    return (1 - _FILM_LOSS) ** (relative / np.cos(np.deg2rad(angles)))


def _expected(
    specimen: _Specimen,
    strays: Mapping[str, np.ndarray],
    zero_peak: float,
    sum_peaks: float,
    energy: np.ndarray,
    resolution: float,
    escape: float,
) -> Iterator[np.ndarray]:
    """Expected spectra of each tilt, (y, x, energy)."""
    strayed = {name: counts for name, counts in strays.items() if counts.any()}
    names = [*specimen.names, *specimen.others]
    names += [f'{name}_{shell}' for name in strayed for shell in 'KL']
    shapes = [line_shape(energy, with_escape(LINES[name], escape), resolution) for name in names]
    shapes.append(bremsstrahlung(energy))
    zero = line_shape(energy, ((0.0, 1.0),), resolution)
    for t in range(specimen.clean.shape[1]):
        flat = np.ones(specimen.clean.shape[2:])
        counts_of_parts = [*specimen.clean[:, t], *(other[t] for other in specimen.others.values())]
        for name, counts in strayed.items():
            counts_of_parts += [counts[t] * flat, counts[t] * _STRAY[name][1] * flat]
        counts_of_parts.append(specimen.mass[t])
        rows, columns = [*counts_of_parts, zero_peak * flat], [*shapes, zero]
        if sum_peaks:
            total = np.sum(counts_of_parts, axis=0)
            rows.append(sum_peaks * total)
            columns.append(pile_up(np.tensordot([a.sum() for a in counts_of_parts], shapes, axes=1), _ZERO))
        yield np.tensordot(np.stack(rows), np.array(columns), axes=(0, 0))


def _draw(expected: Iterator[np.ndarray], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Poisson counts in the smallest of uint8 and uint16 that holds them, (tilt, y, x, energy)."""
    counts = np.empty(shape, np.uint8)
    for t, spectra in enumerate(expected):
        sampled = rng.poisson(spectra)
        if sampled.max() > np.iinfo(counts.dtype).max:
            counts = counts.astype(np.uint16)
        counts[t] = np.minimum(sampled, np.iinfo(counts.dtype).max)
    return counts


def _haadf(phantom: Phantom, atoms: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    numbers = np.array([ELEMENTS[name].number for name in phantom.channels], np.float32)
    image = np.tensordot(numbers**1.7, atoms, axes=1)
    image = image / image.max() * 1000
    return (image + 1000 * noise * rng.standard_normal(image.shape)).astype(np.float32)


def line_shape(energy: np.ndarray, lines: Sequence[tuple[float, float]], resolution: float = 130.0) -> np.ndarray:
    """Probability of each channel for one photon of a family.

    Parameters
    ----------
    energy : ndarray (energy,)
        Channel centres, keV, equally spaced.
    lines : sequence of (energy in keV, weight)
        The family.
    resolution : float
        FWHM at Mn-Ka, eV.

    Returns
    -------
    ndarray (energy,)
        Sums to one where the axis holds the whole family.
    """
    step = energy[1] - energy[0]
    edges = np.append(energy - step / 2, energy[-1] + step / 2)
    total = sum(weight for _, weight in lines)
    shape = np.zeros(len(energy))
    for centre, weight in lines:
        fwhm = np.sqrt(resolution**2 + 2.5e3 * (centre - _E_MN)) * 1e-3
        sigma = fwhm / np.sqrt(8 * np.log(2))
        shape += weight / total * np.diff(erf((edges - centre) / (np.sqrt(2) * sigma))) / 2
    return shape


def bremsstrahlung(energy: np.ndarray, beam_energy: float = 200.0) -> np.ndarray:
    """Kramers' shape behind a thin window, normalised to one count, (energy,)."""
    e = np.maximum(energy, 0.05)
    shape = np.where(energy > 0.05, (beam_energy - e) / e * np.exp(-((0.45 / e) ** 3)), 0.0)
    return shape / shape.sum()


def with_escape(lines: Sequence[tuple[float, float]], share: float) -> tuple[tuple[float, float], ...]:
    """A family with its escape peaks, 1.74 keV below the lines that lie above the Si-K edge.

    Parameters
    ----------
    lines : sequence of (energy in keV, weight)
    share : float
        Of the photons of 2 keV; some 0.018 in silicon. The photons that escape are missing in their line.
    """
    found = []
    for energy, weight in lines:
        lost = share * (2.0 / energy) ** _ESCAPE_POWER if energy > _SI_EDGE else 0.0
        found.append((energy, weight * (1 - lost)))
        if lost:
            found.append((energy - _SI_K, weight * lost))
    return tuple(found)


def pile_up(spectrum: np.ndarray, zero: int) -> np.ndarray:
    """Shape of the photons counted two at a time, normalised to one count.

    Parameters
    ----------
    spectrum : ndarray (energy,)
        What arrives, without the zero-strobe peak.
    zero : int
        Channel of 0 keV.
    """
    twice = np.maximum(fftconvolve(spectrum, spectrum), 0)[zero : zero + len(spectrum)]
    return twice / max(twice.sum(), 1e-300)


def shadowing(angles: np.ndarray, depth: float, take_off: float = 18.0) -> np.ndarray:
    """Share of the specimen's photons that the detectors count at each tilt, (tilt,).

    A holder hides two of four detectors most where the specimen is edge on to
    them: at a tilt of plus and minus the take-off angle.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.
    depth : float
        Share that is lost in the dip.
    take_off : float
        Degrees.
    """
    dips = [np.exp(-(((angles - side * take_off) / _DIP_WIDTH) ** 2)) for side in (-1, 1)]
    return 1 - depth * np.maximum(*dips)


def stray(angles: np.ndarray, at_zero: float, rise: float) -> np.ndarray:
    """Counts per pixel and tilt of an element of grid or holder, at_zero * (1 + rise * (t / 40°)^2)."""
    return at_zero * (1 + rise * (angles / 40) ** 2)
