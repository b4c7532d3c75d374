r"""HAADF tilt series of a phantom, with what keeps a real one from being a projection of the mapped elements.

    I_t(v, u) = o_t + g_t D( sum_c Z_c^gamma (A_t x_c) + (A_t m) ) + noise,     D(p) = tau (1 - exp(-p / tau))

x_c are densities of atoms, Z_c atomic numbers; the exponent gamma lies between 1.6 and 2 for detectors that begin at large
angles (Pennycook and Jesson 1991, Ultramicroscopy 37, 14). D is the damping of thick specimens, m matter that no map holds,
o and g offset and gain of the detector. The images of a scan are displaced against the spectra, and crystals that are
tilted into a zone axis diffract: whole grains are brighter or darker in a few images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from napari_diptomo.series import InputError
from napari_diptomo.simulate.phantoms import Phantom
from napari_diptomo.simulate.projections import project

#: Atomic numbers of channels that are no elements.
_STAND_INS = {'A': 30, 'B': 47, 'C': 26}


@dataclass(frozen=True)
class HAADFModel:
    """Faults of the images.

    Attributes
    ----------
    gamma : float
        Exponent of the atomic number.
    damping : float
        Share of the intensity that the thickest path loses, 0 to 0.5.
    misregistration : float
        Displacement of each image, standard deviation along x and along y, pixels.
    unmapped : float
        Share of all intensity that comes from matter no map holds.
    offset : float
        Signal without a specimen, in units of the brightest pixel; a tenth of it changes from tilt to tilt.
    gain : float
        Standard deviation of the gain over the tilts, relative.
    noise : float
        Standard deviation of the noise at the brightest pixel, relative to it.
    diffracting : float
        Share of the tilts at which a grain diffracts.
    """

    gamma: float = 1.7
    damping: float = 0.0
    misregistration: float = 0.0
    unmapped: float = 0.0
    offset: float = 0.1
    gain: float = 0.01
    noise: float = 0.02
    diffracting: float = 0.0


#: As in a good experiment: a tenth damped, half a pixel displaced, a twentieth unmapped.
REALISTIC = HAADFModel(damping=0.1, misregistration=0.5, unmapped=0.05)


@dataclass(frozen=True, eq=False)
class SimulatedHAADF:
    """Images with what they were made from.

    Attributes
    ----------
    images : ndarray (tilt, y, x), float32
        As recorded, largest signal near 1000.
    angles : ndarray (tilt,)
        Degrees.
    weights : ndarray (channel,)
        True intensity per count of each channel, in units of the images.
    shifts : ndarray (tilt, 2)
        True displacements, pixels (y, x).
    unmapped : ndarray (z, y, x)
        Matter that no map holds, on the fine grid, as intensity.
    """

    images: np.ndarray
    angles: np.ndarray
    weights: np.ndarray
    shifts: np.ndarray
    unmapped: np.ndarray


def haadf_series(
    phantom: Phantom,
    angles: ArrayLike,
    model: HAADFModel | None = None,
    atomic_numbers: Sequence[float] | None = None,
    seed: int = 0,
) -> SimulatedHAADF:
    """HAADF images of a phantom.

    Parameters
    ----------
    phantom : Phantom
        The specimen; its densities are taken for densities of atoms.
    angles : array-like (tilt,)
        Degrees.
    model : HAADFModel, optional
        Default: an ideal detector with a little noise.
    atomic_numbers : sequence of float, optional
        One per channel; default: of the elements that the channels are named after.
    seed : int
        Of noise, displacements and unmapped matter.

    Returns
    -------
    SimulatedHAADF
        Images (tilt, y, x) and truth.

    Raises
    ------
    InputError
        Channels that are no elements, without atomic numbers.
    """
    model = model or HAADFModel()
    rng = np.random.default_rng((seed, 17))
    angles = np.asarray(angles, float)
    weights = np.asarray(atomic_numbers or _atomic_numbers(phantom.channels), float) ** model.gamma
    bright = np.tensordot(weights, phantom.fine, 1).astype(np.float32)
    unmapped = _unmapped(bright, phantom.supersample, rng) if model.unmapped else np.zeros_like(bright)
    unmapped *= model.unmapped / (1 - model.unmapped) * bright.sum() / max(float(unmapped.sum()), 1e-12)
    shifts = model.misregistration * rng.standard_normal((len(angles), 2))
    clean = _intensity(phantom, bright + unmapped, angles, shifts)
    if model.diffracting:
        clean = clean + _diffraction(phantom, bright, angles, shifts, model.diffracting, rng)
    top = float(clean.max())
    if model.damping:
        thick = _damping_length(model.damping)
        clean = thick * top * -np.expm1(-clean / (thick * top))
    unit = 1000.0 / top
    gain = 1 + model.gain * rng.standard_normal(len(angles))
    offset = 1000 * model.offset * (1 + 0.1 * rng.standard_normal(len(angles)))
    signal = unit * clean
    # Half of the noise comes with the signal, half from the detector.
    spread = 1000 * model.noise * np.sqrt(0.5 + 0.5 * np.maximum(signal, 0) / 1000)
    images = gain[:, None, None] * signal + offset[:, None, None] + spread * rng.standard_normal(signal.shape)
    return SimulatedHAADF(images.astype(np.float32), angles, unit * weights, shifts, unit * unmapped)


def _atomic_numbers(channels: Sequence[str]) -> list[float]:
    from napari_diptomo.series.elements import atomic_number

    found = [_STAND_INS.get(name, atomic_number(name)) for name in channels]
    for name, number in zip(channels, found, strict=True):
        if number is None:
            raise InputError(f'{name} is no element; give the atomic number of each channel.')
    return [float(number) for number in found if number is not None]


def _intensity(phantom: Phantom, density: np.ndarray, angles: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    whole = replace(phantom, fine=density[None], channels=('HAADF',))
    return project(whole, angles, shifts)[0]


def _damping_length(loss: float) -> float:
    """tau over the thickest path, so that tau (1 - exp(-1 / tau)) = 1 - loss."""
    from scipy.optimize import brentq

    return float(brentq(lambda tau: -tau * np.expm1(-1 / tau) - (1 - loss), 0.3, 1e4))


def _unmapped(bright: np.ndarray, supersample: int, rng: np.random.Generator) -> np.ndarray:
    """Contamination on the surface, particles beside the specimen, and a light element in a part of it."""
    body = ndimage.gaussian_filter(bright, supersample) > 0.1 * np.percentile(bright[bright > 0], 90)
    distance = ndimage.distance_transform_edt(~body)
    skin = (distance > 0) & (distance <= 1.5 * supersample)
    field = ndimage.gaussian_filter(rng.standard_normal(bright.shape), 3 * supersample)
    inside = body & (field > np.quantile(field[body], 0.6))
    found = skin / max(skin.sum(), 1) + inside / max(inside.sum(), 1)
    near = np.argwhere((distance > supersample) & (distance < 5 * supersample))
    for z, y, x in near[rng.integers(len(near), size=3)] if len(near) else ():
        away = np.ogrid[: bright.shape[0], : bright.shape[1], : bright.shape[2]]
        ball = sum((a - c) ** 2 for a, c in zip(away, (z, y, x), strict=True)) < (1.6 * supersample) ** 2
        found = found + ball / (3 * max(ball.sum(), 1))
    return found.astype(np.float32)


def _diffraction(
    phantom: Phantom, bright: np.ndarray, angles: np.ndarray, shifts: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Intensity that grains lose or gain in a few images, a third of theirs."""
    field = ndimage.gaussian_filter(rng.standard_normal(bright.shape), 4 * phantom.supersample)
    grain = bright * (field > np.quantile(field[bright > 0], 0.6))
    images = _intensity(phantom, grain, angles, shifts)
    hit = rng.random(len(angles)) < share
    return np.where(hit, rng.choice([-0.35, 0.35], len(angles)), 0.0)[:, None, None] * images
