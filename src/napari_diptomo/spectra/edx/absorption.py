r"""Soft X-rays absorbed on their way out of the specimen.

Photons of energy E that a voxel emits towards a detector arrive with

    t = exp(-sum over the path of mu(E, r) dl),    mu = sum_c mac_c(E) rho_c.

A detector at elevation e and azimuth a sees, with the specimen tilted by t
about y, along the direction

    u = (ux cos t - uz sin t, uy, ux sin t + uz cos t),
    (ux, uy, uz) = (cos e cos a, cos e sin a, -sin e)

in the frame of the volume; the beam goes to +z and the detectors are on its
side of the specimen. The path is followed plane by plane along z, the faces of
the planes read by linear interpolation; inside its own voxel t is averaged
exactly, so that for a slab of mass thickness m the mean over its planes is
(1 - exp(-mu m)) / (mu m). Beside the volume the specimen continues as at its
border (a lamella does; around a particle there is nothing). Rays flatter than
6 degrees to the planes are followed at 6 degrees.

Formulas: absorption of X-rays in the specimen (`transmission`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_diptomo.spectra.common.exspy_adapter import mass_absorption
from napari_diptomo.spectra.edx.lines import families_of

_FLATTEST = 0.1
_CM_PER_NM = 1e-7


def absorption_coefficients(families: Sequence[str], elements: Sequence[str]) -> np.ndarray:
    """Mass absorption coefficients, the mean over the lines of each family.

    Parameters
    ----------
    families : sequence of str
        Emitted, e.g. ``('Ge_L', 'Te_L')``.
    elements : sequence of str
        Symbols of what absorbs.

    Returns
    -------
    ndarray (family, element)
        cm^2/g.
    """
    rows = []
    for name in families:
        element, _, shell = name.partition('_')
        (family,) = (f for f in families_of(element, 0.0, 1e3, 1e4) if f.shell == shell)
        energies, weights = np.array(family.energies), np.array(family.weights)
        rows.append([float(mass_absorption(absorber, energies) @ weights) for absorber in elements])
    return np.array(rows)


def directions(angles: np.ndarray, elevation: float, azimuths: Sequence[float]) -> np.ndarray:
    """Unit vectors (x, y, z) from the specimen to the detectors.

    Parameters
    ----------
    angles : ndarray (tilt,)
        Degrees.
    elevation : float
        Of the detectors above the untilted specimen, degrees.
    azimuths : sequence of float
        From x towards y, degrees.

    Returns
    -------
    ndarray (tilt, detector, 3)
        In the frame of the volume.
    """
    tilt, azimuth = np.radians(angles)[:, None], np.radians(azimuths)[None, :]
    flat, up = np.cos(np.radians(elevation)), -np.sin(np.radians(elevation))
    ux, uy = flat * np.cos(azimuth), flat * np.sin(azimuth)
    return np.stack(
        [ux * np.cos(tilt) - up * np.sin(tilt), uy + 0 * tilt, ux * np.sin(tilt) + up * np.cos(tilt)], axis=-1
    )


def transmission(linear: np.ndarray, direction: np.ndarray, voxel_size: float) -> np.ndarray:
    """Share of the photons of every voxel that leave the volume along one direction.

    Parameters
    ----------
    linear : ndarray (z, y, x)
        Linear absorption coefficient, 1/cm.
    direction : ndarray (3,)
        Unit vector (x, y, z).
    voxel_size : float
        nm.

    Returns
    -------
    ndarray (z, y, x)
        0 to 1.
    """
    ux, uy, uz = direction
    steep = max(abs(uz), _FLATTEST)
    own = linear * (voxel_size * _CM_PER_NM / steep)
    if uz > 0:
        own = own[::-1]
    step = (uy / steep, ux / steep)
    out = np.empty_like(own)
    beyond = np.zeros_like(own[0])
    for k in range(len(own)):
        # `beyond` is the path from the face of this plane on; the path in this plane is added for the next one.
        out[k] = np.exp(-beyond) * _mean_decay(own[k])
        beyond = _along(own[k], step) + _shifted(beyond, step)
    return out[::-1] if uz > 0 else out


def film_transmission(depths: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Share of the photons that leave an even film, the mean over its depth and the detectors.

    Parameters
    ----------
    depths : ndarray (family,)
        Absorption coefficient times mass per area along the normal, for each family.
    rays : ndarray (tilt, detector, 3)
        From `directions`; z is the normal of the film.

    Returns
    -------
    ndarray (family, tilt)
        0 to 1.
    """
    steep = np.maximum(np.abs(rays[..., 2]), _FLATTEST)
    return _mean_decay(np.asarray(depths, float)[:, None, None] / steep).mean(axis=2)


def mean_transmission(
    densities: np.ndarray,
    coefficients: np.ndarray,
    rays: np.ndarray,
    voxel_size: float,
    each: Callable[[], object] | None = None,
) -> np.ndarray:
    """Transmission of each family, the mean over detectors and tilts.

    Parameters
    ----------
    densities : ndarray (element, z, y, x)
        g/cm^3.
    coefficients : ndarray (family, element)
        cm^2/g, from `absorption_coefficients`.
    rays : ndarray (tilt, detector, 3)
        From `directions`.
    voxel_size : float
        nm.
    each : callable, optional
        Called after every ray; what it raises ends the work.

    Returns
    -------
    ndarray (family, z, y, x)
        0 to 1; the counts over it are those without absorption.
    """
    linear = np.einsum('fe,ezyx->fzyx', coefficients, densities)
    found = np.zeros_like(linear)
    vectors = rays.reshape(-1, 3)
    for family, mu in enumerate(linear):
        for vector in vectors:
            found[family] += transmission(mu, vector, voxel_size)
            if each is not None:
                each()
    return found / len(vectors)


def _mean_decay(depth: np.ndarray) -> np.ndarray:
    """Mean of exp(-s) for s from 0 to ``depth``."""
    small = depth < 1e-6
    safe = np.where(small, 1.0, depth)
    return np.where(small, 1.0, -np.expm1(-safe) / safe)


def _along(plane: np.ndarray, step: tuple[float, float]) -> np.ndarray:
    """Mean of a plane along a ray that crosses it while moving by ``step`` (y, x)."""
    pieces = max(int(np.ceil(max(abs(step[0]), abs(step[1])))), 1)
    parts = [_shifted(plane, tuple((i + 0.5) / pieces * s for s in step)) for i in range(pieces)]
    return np.mean(parts, axis=0)


def _shifted(plane: np.ndarray, step: tuple[float, ...]) -> np.ndarray:
    """The plane as it is ``step`` (y, x) further on, by linear interpolation."""
    # Two weighted looks along each axis: five times faster than scipy.ndimage.shift on planes of this size.
    for axis, length in enumerate(step):
        whole = int(np.floor(length))
        part = length - whole
        near = np.clip(np.arange(plane.shape[axis]) + whole, 0, plane.shape[axis] - 1)
        far = np.clip(np.arange(plane.shape[axis]) + whole + 1, 0, plane.shape[axis] - 1)
        plane = (1 - part) * plane.take(near, axis) + part * plane.take(far, axis)
    return plane
