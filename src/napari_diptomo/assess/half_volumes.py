r"""Resolution by two volumes that each saw one half of the counts.

Every count falls into one of two halves by the toss of a coin: the halves are independent (see
`napari_diptomo.reconstruct.data_split`), and so is what noise leaves in the volumes made of them. Where their Fourier
coefficients agree something is there that both halves saw. The shell correlation f of the halves gives that of the whole
with the noiseless volume of the same method, sqrt(2 f / (1 + f)) (Rosenthal & Henderson, J. Mol. Biol. 333 (2003) 721), which
is 1/2 at f = 1/7: hence the criterion 0.143. The half-bit criterion of van Heel & Schatz (J. Struct. Biol. 151 (2005) 250)
depends on the number n of independent coefficients in the shell,

    T = (0.2071 + 1.9102 / sqrt n) / (1.2071 + 0.9102 / sqrt n).

Cones about a direction give its own resolution (directional or conical FSC). Halves share what is no noise: the missing
wedge, the prior, the support, the alignment. They agree about an error that these make, and their resolution says
nothing of it.

Formulas: half-bit criterion of a shell correlation (`half_bit`); coefficients in a cone (`cone`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.fft import fftfreq

from napari_diptomo.assess.csv_tables import write_table
from napari_diptomo.assess.resolution import FSC, fsc
from napari_diptomo.reconstruct import Reconstruction
from napari_diptomo.reconstruct.data_split import noise_variance, thinned
from napari_diptomo.series import InputError, MapSeries, Observer, Volume
from napari_diptomo.series.counts import thin

#: Half the opening of a cone, degrees.
CONE = 20.0
#: Independent coefficients that a shell of a cone needs: a single one is weak by chance.
_LEAST_COEFFICIENTS = 6
#: Directions in the plane of x and z, degrees from x towards z: 0 is across the beam, 90 along it.
DIRECTIONS = tuple(range(-90, 90, 15))
_NOTE = (
    'Two halves of the counts share the missing wedge, the prior, the support, the alignment and HAADF images that are fitted '
    'beside them: where these are wrong the halves agree on the same error. The resolution says down to what size noise lets detail be trusted; it does not prove the detail.'
)


@dataclass(frozen=True, eq=False)
class HalfResolution:
    """Shell correlations of two volumes, each of one half of the counts.

    Attributes
    ----------
    channels : tuple of str
    voxel_size : float
        nm.
    curves : tuple of FSC
        Over all directions, one per channel.
    half_bit : ndarray (shell,)
        The half-bit criterion.
    cones : tuple of tuple of FSC
        Per channel, one for each of `directions`.
    directions : tuple of float
        Degrees from x towards z.
    tilts : tuple of float
        Smallest and largest tilt, degrees.
    method : str
        What made the halves, in words.
    """

    channels: tuple[str, ...]
    voxel_size: float
    curves: tuple[FSC, ...]
    half_bit: np.ndarray
    cones: tuple[tuple[FSC, ...], ...]
    directions: tuple[float, ...]
    tilts: tuple[float, float]
    method: str

    @property
    def note(self) -> str:
        """The limits of two halves, in two sentences."""
        return _NOTE

    def periods(self, threshold: float = 0.143) -> np.ndarray:
        """Resolution of each channel, over all directions.

        Parameters
        ----------
        threshold : float
            Of the shell correlation.

        Returns
        -------
        ndarray (channel,)
            Period in nm; twice the voxel where the curve never falls below the threshold.
        """
        return self.voxel_size * np.array([curve.resolution(threshold) for curve in self.curves])

    def periods_by_direction(self, threshold: float = 0.143) -> np.ndarray:
        """Resolution of each channel in each of `directions`.

        Parameters
        ----------
        threshold : float
            Of the shell correlation.

        Returns
        -------
        ndarray (channel, direction)
            nm.
        """
        return self.voxel_size * np.array([[curve.resolution(threshold) for curve in cones] for cones in self.cones])

    def is_measured(self, direction: float) -> bool:
        """Whether a direction lies between the outermost tilts, or in the missing wedge.

        Parameters
        ----------
        direction : float
            Degrees from x towards z.

        Returns
        -------
        bool
        """
        low, high = self.tilts
        return any(low <= direction + turn <= high for turn in (-180, 0, 180))

    def __str__(self) -> str:
        parts = [f'{name} {period:.2g} nm' for name, period in zip(self.channels, self.periods(), strict=True)]
        return f'{", ".join(parts)} (halves of the counts, FSC 0.143; {self.method})'

    def write_csv(self, path: str | Path) -> Path:
        """Write the curves: frequency in 1/nm, the half-bit criterion, then one column per channel.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path
        """
        frequency = self.curves[0].frequency / self.voxel_size
        columns = [frequency, self.half_bit, *(curve.correlation for curve in self.curves)]
        return write_table(path, ['frequency_per_nm', 'half_bit', *self.channels], np.column_stack(columns))


def half_resolution(
    maps: MapSeries, step: Reconstruction, seed: int = 0, observer: Observer | None = None
) -> HalfResolution:
    """Reconstruct two halves of the counts and correlate the volumes.

    Parameters
    ----------
    maps : MapSeries
        All counts.
    step : Reconstruction
        With which each half is reconstructed.
    seed : int
        Of the coin.
    observer : Observer, optional
        Of both reconstructions, one after the other.

    Returns
    -------
    HalfResolution

    Raises
    ------
    InputError
        The maps cannot be halved or reconstructed.
    Cancelled
        When the observer cancels.
    """
    halves = halved(maps, seed)
    volumes = [step.run(half, observer) for half in halves]
    tilts = (float(maps.angles.min()), float(maps.angles.max()))
    return correlate_halves(volumes[0], volumes[1], tilts, f'{step.title} of each half')


def correlate_halves(first: Volume, second: Volume, tilts: tuple[float, float], method: str = '') -> HalfResolution:
    """Shell correlations of two volumes of the halves of one data set.

    Parameters
    ----------
    first, second : Volume
        On one grid.
    tilts : tuple of float
        Smallest and largest tilt, degrees.
    method : str
        What made them, in words.

    Returns
    -------
    HalfResolution

    Raises
    ------
    InputError
        Other channels or shapes.
    """
    if first.channels != second.channels or first.data.shape != second.data.shape:
        raise InputError('The two volumes have other channels or another shape; correlate two halves of one series.')
    shape = first.data.shape[1:]
    masks = [cone(shape, direction) for direction in DIRECTIONS]
    pairs = list(zip(first.data, second.data, strict=True))
    return HalfResolution(
        channels=first.channels,
        voxel_size=first.voxel_size,
        curves=tuple(fsc(a, b) for a, b in pairs),
        half_bit=half_bit(shape),
        cones=tuple(tuple(_in_cone(a, b, mask) for mask in masks) for a, b in pairs),
        directions=tuple(float(direction) for direction in DIRECTIONS),
        tilts=tilts,
        method=method,
    )


def _in_cone(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> FSC:
    """The correlation in a cone; no number in shells of which the cone has too few coefficients to say."""
    found = fsc(a, b, mask)
    few = _coefficients(mask.shape, mask) < _LEAST_COEFFICIENTS
    return FSC(found.frequency, np.where(few, np.nan, found.correlation))


def _coefficients(shape: tuple[int, ...], mask: np.ndarray | None = None) -> np.ndarray:
    """Independent coefficients in every shell, (shell,): k and -k are one of a real volume."""
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*(fftfreq(n) for n in shape), indexing='ij')))
    shells = min(shape) // 2
    shell = np.round(radius * min(shape)).astype(int)
    use = shell <= shells if mask is None else mask & (shell <= shells)
    return np.bincount(shell[use], minlength=shells + 1)[1:] / 2


def halved(maps: MapSeries, seed: int = 0) -> tuple[MapSeries, MapSeries]:
    """Two independent halves of a series of maps, each with half of the signal.

    Parameters
    ----------
    maps : MapSeries
        A part that was held out counts as data again.
    seed : int
        Of the coin.

    Returns
    -------
    tuple of MapSeries
        Their ``data`` add up to those of ``maps``.

    Raises
    ------
    InputError
        Nothing was counted.
    """
    if maps.second_axis is not None:
        firsts, seconds = halved(replace(maps, second_axis=None), seed), halved(maps.second_axis, seed + 1)
        one, other = (replace(a, second_axis=b) for a, b in zip(firsts, seconds, strict=True))
        return one, other
    rng = np.random.default_rng((seed, 2))
    data = maps.data
    if maps.are_counts:
        part = thin(data, 0.5, rng).astype(np.float32)
    elif maps.variance is None and (data >= 0).all():
        part = thinned(data, 0.5, rng)
    else:
        part = (data / 2 + np.sqrt(noise_variance(maps)) / 2 * rng.standard_normal(data.shape)).astype(np.float32)
    if not data.any():
        raise InputError('Nothing was counted in these maps, so there are no halves; make maps of other elements.')
    half = replace(
        maps,
        data=part,
        variance=None if maps.variance is None else maps.variance / 2,
        background=None if maps.background is None else maps.background / 2,
        held_out=None,
        held_out_share=0.0,
    )
    return half, replace(half, data=data - part)


def half_bit(shape: tuple[int, ...]) -> np.ndarray:
    """The half-bit criterion in every shell of a volume.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x).

    Returns
    -------
    ndarray (shell,)
        For the shells of `napari_diptomo.assess.fsc`.
    """
    root = np.sqrt(np.maximum(_coefficients(shape), 1))
    return np.minimum((0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root), 1.0)


def cone(shape: tuple[int, ...], direction: float, opening: float = CONE) -> np.ndarray:
    """Frequencies in a double cone about a direction in the plane of x and z.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x).
    direction : float
        Degrees from x towards z.
    opening : float
        Half the opening, degrees.

    Returns
    -------
    ndarray of bool (z, y, x)
        In the order of an FFT.
    """
    z, y, x = np.meshgrid(*(fftfreq(n) for n in shape), indexing='ij')
    radius = np.sqrt(x**2 + y**2 + z**2)
    along = np.abs(x * np.cos(np.radians(direction)) + z * np.sin(np.radians(direction)))
    return along >= radius * np.cos(np.radians(opening)) - 1e-12
