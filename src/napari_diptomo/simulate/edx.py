"""EDX tilt series of a phantom, photon by photon, with known truth.

Expected spectrum of a pixel at tilt t:

    sum_c n_c f_c(E)            characteristic families, n_c counts
    + b m K(E)                  bremsstrahlung, proportional to mass thickness m
    + s (1 + 2 (t/40)^2) g(E)   copper of grid and holder, rising with tilt
    + z exp(-E^2 / 2 sigma^2)   the zero-strobe peak of a silicon drift detector

and the counts are Poisson. The line shape is a Gaussian whose width follows
FWHM(E)^2 = FWHM(Mn-Ka)^2 + 2.5 (E - E(Mn-Ka)), in eV, the relation of eXSpy.
Lines, yields and the Ge-L absorption are those of a Ge-Sb-Te film at 200 kV
with 18 degrees take-off; the rise of the stray copper with tilt is that of a
measured series (openNCEM).

The tables here are the simulator's own: a fit that is tested on these
spectra brings its own tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from napari_diptomo.series import InputError, SpectralTiltSeries, Volume
from napari_diptomo.simulate.phantoms import Phantom, lamella
from napari_diptomo.simulate.projections import project

#: Lines of each family: energy in keV and relative weight.
LINES: dict[str, tuple[tuple[float, float], ...]] = {
    'O_K': ((0.5249, 1.0),),
    'Si_K': ((1.7397, 1.0), (1.8389, 0.0278)),
    'Fe_K': ((6.4039, 1.0), (7.0580, 0.1272)),
    'Fe_L': ((0.7045, 1.0), (0.6282, 0.1253), (0.6152, 0.3086), (0.7921, 0.0245)),
    'Cu_K': ((8.0478, 1.0), (8.9053, 0.1316)),
    'Cu_L': ((0.9295, 1.0), (0.9494, 0.0320), (0.8312, 0.0198), (0.8113, 0.0840), (1.0225, 0.0011)),
    'Ge_K': ((9.8864, 1.0), (10.9823, 0.1322)),
    'Ge_L': ((1.1880, 1.0), (1.2191, 0.1670), (1.0678, 0.02), (1.0367, 0.0511), (1.2935, 0.0443)),
    'Sb_L': (
        (3.6047, 1.0),
        (3.8435, 0.4276),
        (4.1008, 0.1556),
        (3.8864, 0.0932),
        (3.4367, 0.0155),
        (3.1885, 0.0419),
        (3.9327, 0.1510),
        (4.5999, 0.0321),
        (4.3490, 0.0606),
    ),
    'Te_L': (
        (3.7693, 1.0),
        (4.0295, 0.4318),
        (4.3016, 0.1627),
        (4.0695, 0.0906),
        (3.6060, 0.0154),
        (3.3354, 0.0419),
        (4.1205, 0.1458),
        (4.8290, 0.0317),
        (4.5722, 0.0638),
    ),
}
#: Family that is mapped per element, counts per atom relative to Sb-L (200 kV), atomic number.
ELEMENTS: dict[str, tuple[str, float, int]] = {
    'Ge': ('Ge_K', 0.42, 32),
    'Sb': ('Sb_L', 1.0, 51),
    'Te': ('Te_L', 0.87, 52),
}
_GE_L_PER_K = 2.1
_GE_L_ABSORPTION = 0.22
_E_MN = 5.8987


@dataclass(frozen=True, eq=False)
class SimulatedSpectra:
    """A simulated EDX tilt series with what it was made from.

    Attributes
    ----------
    series : SpectralTiltSeries
        The counts, with HAADF images.
    truth : Volume
        Counts of each element's family per voxel of path.
    clean : ndarray (channel, tilt, y, x), float32
        Expected counts of each element's family.
    shifts : ndarray (tilt, 2)
        Where the specimen sits in each image, pixels (y, x).
    """

    series: SpectralTiltSeries
    truth: Volume
    clean: np.ndarray
    shifts: np.ndarray


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


def edx_tilt_series(
    phantom: Phantom,
    angles: ArrayLike,
    *,
    peak_counts: float = 30.0,
    seed: int = 0,
    jitter: float = 0.0,
    background: float = 1.0,
    stray_copper: float = 0.3,
    zero_peak: float = 2.0,
    resolution: float = 130.0,
    channels: int = 1280,
    dispersion: float = 0.01,
    haadf_noise: float = 0.02,
) -> SimulatedSpectra:
    """Spectrum images of a phantom of Ge, Sb and Te at every tilt.

    Parameters
    ----------
    phantom : Phantom
        The specimen; its channels are elements of `ELEMENTS`.
    angles : array-like (tilt,)
        Tilts, degrees.
    peak_counts : float
        Largest expected counts of a family over all channels, tilts, pixels.
    seed : int
        Of counting noise and jitter.
    jitter : float
        Largest displacement of an image along y and x, pixels; drawn uniformly.
    background : float
        Bremsstrahlung counts per characteristic count, over the specimen.
    stray_copper : float
        Counts of stray Cu-K per pixel at zero tilt.
    zero_peak : float
        Counts of the zero-strobe peak per pixel.
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
        A channel of the phantom that the simulator has no lines for.
    """
    unknown = [name for name in phantom.channels if name not in ELEMENTS]
    if unknown:
        raise InputError(f'The simulator has no lines of {unknown[0]}; it knows {", ".join(ELEMENTS)}.')
    rng = np.random.default_rng(seed)
    angles = np.asarray(angles, float)
    shifts = rng.uniform(-jitter, jitter, (len(angles), 2))
    atoms = np.maximum(project(phantom, angles, shifts), 0)
    yields = np.array([ELEMENTS[name][1] for name in phantom.channels], np.float32)
    families = atoms * yields[:, None, None, None]
    scale = np.float32(peak_counts / families.max())
    clean = families * scale
    mass = np.tensordot(_numbers(phantom), atoms, axes=1)
    mass *= background * clean.sum() / mass.sum()

    energy = (np.arange(channels) - 24) * dispersion
    shapes = _shapes(phantom, energy, resolution)
    counts = np.empty((len(angles), *clean.shape[2:], channels), np.uint8)
    for t, angle in enumerate(angles):
        amounts = _amounts(phantom, clean[:, t], mass[t], angle, stray_copper, zero_peak)
        drawn = rng.poisson(np.tensordot(amounts, shapes, axes=(0, 0)))
        if drawn.max() > np.iinfo(counts.dtype).max:
            counts = counts.astype(np.uint16)
        counts[t] = np.minimum(drawn, np.iinfo(counts.dtype).max)
    series = SpectralTiltSeries(
        counts,
        energy,
        angles,
        phantom.voxel_size,
        haadf=_haadf(phantom, atoms, haadf_noise, rng),
        metadata={'beam_energy': 200.0, 'energy_resolution_MnKa': resolution, 'elevation': 18.0},
        angle_source='simulation',
    )
    truth = phantom.truth
    truth = replace(truth, data=truth.data * (yields * scale)[:, None, None, None])
    return SimulatedSpectra(series, truth, clean, shifts)


def demo_series(seed: int = 0, size: int = 48) -> SimulatedSpectra:
    """The sample of the demo: a Ge-Sb-Te lamella, 17 tilts over +-40 degrees, jitter of up to 2 pixels."""
    phantom = lamella(size, seed, voxel_size=2.0)
    return edx_tilt_series(phantom, np.arange(-40.0, 41.0, 5.0), seed=seed, jitter=2.0)


def _numbers(phantom: Phantom) -> np.ndarray:
    return np.array([ELEMENTS[name][2] for name in phantom.channels], np.float32)


def _shapes(phantom: Phantom, energy: np.ndarray, resolution: float) -> np.ndarray:
    """One row per component, in the order of `_amounts`."""
    names = [ELEMENTS[name][0] for name in phantom.channels]
    rows = [line_shape(energy, LINES[name], resolution) for name in (*names, 'Ge_L', 'Cu_K', 'Cu_L')]
    zero = line_shape(energy, ((0.0, 1.0),), resolution)
    return np.array([*rows, bremsstrahlung(energy), zero])


def _amounts(
    phantom: Phantom, clean: np.ndarray, mass: np.ndarray, angle: float, stray: float, zero: float
) -> np.ndarray:
    flat = np.ones_like(mass)
    germanium = clean[phantom.channels.index('Ge')] if 'Ge' in phantom.channels else 0 * flat
    through = (1 - _GE_L_ABSORPTION) ** (1 / np.cos(np.deg2rad(angle)))
    copper = stray * (1 + 2 * (angle / 40) ** 2) * flat
    return np.stack([*clean, germanium * _GE_L_PER_K * through, copper, 1.2 * copper, mass, zero * flat])


def _haadf(phantom: Phantom, atoms: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    image = np.tensordot(_numbers(phantom) ** 1.7, atoms, axes=1)
    image = image / image.max() * 1000
    return (image + 1000 * noise * rng.standard_normal(image.shape)).astype(np.float32)
