r"""Density of voxels by zeta-factors.

With D electrons per pixel and voxels of edge d the counts I_c of the channels give

    rho = sum_c zeta_c I_c / (D d)

(Watanabe and Williams, J. Microsc. 221 (2006) 89).

Formulas: density by zeta-factors (`densities`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import InputError

_ELEMENTARY_CHARGE = 1.602176634e-19  # C


@dataclass(frozen=True)
class Dose:
    """Electrons that the counts were made with.

    Attributes
    ----------
    electrons : float, optional
        Per pixel and tilt; None: from current and live time.
    beam_current : float, optional
        nA.
    live_time : float, optional
        Per pixel and tilt, s.
    """

    electrons: float | None = None
    beam_current: float | None = None
    live_time: float | None = None

    def per_pixel(self) -> float:
        """Electrons per pixel and tilt.

        Raises
        ------
        InputError
            Neither they nor current and live time are given.
        """
        if self.electrons is not None:
            return self.electrons
        if self.beam_current is None or self.live_time is None:
            raise InputError('The method zeta needs the dose; give electrons per pixel, or beam current and live time.')
        return self.beam_current * 1e-9 * self.live_time / _ELEMENTARY_CHARGE


def columns(values: np.ndarray) -> np.ndarray:
    """One value per channel, shaped to multiply (channel, z, y, x)."""
    return np.asarray(values, float)[:, None, None, None]


def densities(
    zeta: np.ndarray, dose: Dose, voxel_size: float, counts: np.ndarray, errors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Density of every voxel and its error.

    Parameters
    ----------
    zeta : ndarray (channel,)
        kg/m^2.
    dose : Dose
    voxel_size : float
        nm.
    counts, errors : ndarray (channel, z, y, x)
        Per tilt, as emitted.

    Returns
    -------
    density, error : ndarray (z, y, x)
        g/cm^3.

    Examples
    --------
    A zeta-factor of 1000 kg/m^2, 1e9 electrons, voxels of 2 nm and 10 counts:

    >>> counts = np.full((1, 1, 1, 1), 10.0)
    >>> density, _ = densities(np.array([1000.0]), Dose(electrons=1e9), 2.0, counts, 0 * counts)
    >>> print(f'{density.item():.1f} g/cm^3')
    5.0 g/cm^3
    """
    scale = columns(zeta / (dose.per_pixel() * voxel_size * 1e-9) * 1e-3)
    return (scale * counts).sum(axis=0), np.sqrt(((scale * errors) ** 2).sum(axis=0))
