r"""Image tilt series (HAADF and the like): the dark level subtracted, the noise measured.

    y = d_t + signal + noise,   var(noise) = a + b * signal

Intensities of a detector are not counts, whole numbers or not: their scale is
arbitrary, and below the signal lies a dark level d_t, which a reconstruction
would spread over the whole volume. d_t is found beside the specimen: there the
values crowd together more closely than anywhere else and nothing is darker.
Read-out noise a is the scatter there, b follows from differences of neighbours
along the tilt axis on the specimen (compare Foi et al. 2008, IEEE TIP 17,
1737). Shifting and rotating a recorded image smooths its noise, so neighbours
differ too little: how much is estimated from pixels further apart beside the specimen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_diptomo.series.data import MapSeries
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.neighbour_mean import neighbours

#: Share of the pixels whose narrowest interval is taken for the dark ones to start from.
_CROWD = 0.05
#: Median of the squared standard normal deviate.
_MEDIAN_SQUARE = 0.4549
#: Levels that differ more between the tilts, relative to the signal, are no dark levels.
_STEADY = 0.1


@dataclass(frozen=True, eq=False)
class DarkLevel:
    """Signal of a detector without a specimen.

    Attributes
    ----------
    levels : ndarray (tilt,)
        Per pixel, in units of the images.
    dark : ndarray of bool (tilt, y, x), optional
        The pixels beside the specimen; None where the level was given.
    """

    levels: np.ndarray
    dark: np.ndarray | None = None

    def __str__(self) -> str:
        typical = f'dark level {np.median(self.levels):.5g}'
        if self.dark is None:
            return f'{typical} as given'
        return (
            f'{typical} ({self.levels.min():.5g} to {self.levels.max():.5g} over the tilts), '
            f'found in the {100 * self.dark.mean():.0f} % of the pixels beside the specimen'
        )


def find_dark_level(images: np.ndarray) -> DarkLevel:
    """Estimate the dark level of every tilt.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        As recorded.

    Raises
    ------
    InputError
        The pixels beside the specimen are not found: there are too few, or
        what is darkest changes with the tilt as only a specimen does.
    """
    images = np.asarray(images, np.float64)
    levels, dark = darkest_crowd(images)
    signal = np.percentile(images - levels[:, None, None], 99)
    if not np.isfinite(levels).all() or np.ptp(levels) > _STEADY * max(signal, 0):
        raise InputError(
            'The dark level cannot be determined from these images, for the specimen seems to fill them; '
            'give the dark level of the detector (0 leaves the images as they are).'
        )
    return DarkLevel(levels, dark)


def darkest_crowd(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level at which the values of each image crowd together and below which there are none.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        As recorded.

    Returns
    -------
    ndarray (tilt,)
        Levels; nan where values crowd nowhere so.
    ndarray of bool (tilt, y, x)
        The pixels at that level.
    """
    found = [_dark_level(image) for image in np.asarray(images, np.float64)]
    return np.array([level for level, _ in found]), np.stack([dark for _, dark in found])


def without_dark_level(images: np.ndarray, level: float | None = None) -> tuple[np.ndarray, DarkLevel]:
    """The signal alone, and the dark level that was subtracted.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        As recorded, not binned: what an alignment left empty must not be mixed with what was recorded.
    level : float, optional
        The dark level, one for all images; without it that of every image is estimated.

    Raises
    ------
    InputError
        See `find_dark_level`; or nothing is brighter than the level given.
    """
    images = np.asarray(images, np.float32)
    found = find_dark_level(images) if level is None else DarkLevel(np.full(len(images), float(level)))
    signal = images - found.levels[:, None, None].astype(np.float32)
    if not (signal > 0).any():
        raise InputError(
            f'No pixel is brighter than the dark level {np.median(found.levels):g}; give a lower dark level.'
        )
    if found.dark is not None:
        signal[np.stack([_filled(image) for image in images]) & (signal < 0)] = 0
    return signal, found


def as_images(maps: MapSeries, level: float | None = None) -> MapSeries:
    """Images in an array ready to be reconstructed: dark level subtracted, variance set, both recorded in the notes.

    `load_tilt_series` does this to files of images.

    Parameters
    ----------
    maps : MapSeries
        Images (channel, tilt, y, x) as recorded, in units of the detector, not binned.
    level : float, optional
        The dark level, one for all images; without it that of every image is estimated.

    Returns
    -------
    MapSeries
        The signal, with its ``variance``.

    Raises
    ------
    InputError
        The pixels beside the specimen are not found, or nothing is brighter than the level given.
    """
    parts = [without_dark_level(images, level) for images in maps.data]
    series = replace(maps, data=np.stack([signal for signal, _ in parts]))
    return with_noise(series, [found for _, found in parts])


def with_noise(maps: MapSeries, levels: Sequence[DarkLevel]) -> MapSeries:
    """Images without their dark level, with the variance of their noise; the notes record both."""
    variance, words = np.empty_like(maps.data), []
    for c, (name, signal, found) in enumerate(zip(maps.channels, maps.data, levels, strict=True)):
        constant, slope = noise_model(signal, found.dark)
        variance[c] = constant + slope * neighbours(signal)
        words.append(f'{name}: {found}; noise variance {constant:.3g} + {slope:.3g} times the signal')
    return replace(maps, variance=variance, notes={**maps.notes, 'images': '; '.join(words)})


def noise_model(signal: np.ndarray, dark: np.ndarray | None = None) -> tuple[float, float]:
    """a and b of var = a + b * signal.

    Parameters
    ----------
    signal : ndarray (tilt, y, x)
        Dark level subtracted; y along the tilt axis.
    dark : ndarray of bool (tilt, y, x), optional
        The pixels beside the specimen.
    """
    signal = np.asarray(signal, np.float64)
    difference, level = _second_differences(signal)
    dark_variance, correlation = _dark_noise(signal, dark) if dark is not None else (None, 1.0)
    # From the faintest to the brightest, as many pixels in each class.
    order = np.argsort(level, axis=None)
    classes = np.array_split(order, max(min(40, order.size // 200), 1))
    levels = np.array([level.flat[c].mean() for c in classes])
    scatter = correlation * np.array([np.median(difference.flat[c]) for c in classes]) / _MEDIAN_SQUARE
    constant, slope = _line(levels, scatter, dark_variance)
    smallest = 1e-12 * float(signal.max()) ** 2
    return max(constant, smallest), slope


def _dark_level(image: np.ndarray) -> tuple[float, np.ndarray]:
    """Level and pixels beside the specimen of one image; not a number where there are none."""
    usable = ~_filled(image)
    values = np.sort(image[usable])
    crowd = max(int(_CROWD * values.size), 9)
    if values.size <= crowd:
        return float('nan'), np.zeros(image.shape, bool)
    start = int(np.argmin(values[crowd:] - values[:-crowd]))
    level, width = float(np.median(values[start : start + crowd])), float(values[start + crowd] - values[start])
    # Whole numbers crowd on single values.
    narrowest = max(float(np.diff(np.unique(values)).min(initial=np.inf)), 1e-6 * float(np.ptp(values)))
    for _ in range(20):
        near = values[np.abs(values - level) <= 3 * max(width, narrowest)]
        level = float(np.median(near))
        width = max(1.4826 * float(np.median(np.abs(near - level))), narrowest)
    below = (values < level - 4 * width).mean()
    above = (values > level + 4 * width).mean()
    if below > 0.02 or above < 0.001:
        return float('nan'), np.zeros(image.shape, bool)
    return level, usable & (np.abs(image - level) <= 4 * width)


def _filled(image: np.ndarray) -> np.ndarray:
    """Corners that an alignment left empty: all of one value, and touching the border."""
    from scipy import ndimage

    flat = ndimage.maximum_filter(image, 3) == ndimage.minimum_filter(image, 3)
    if flat.mean() > 0.4:
        # A detector without noise is as flat beside the specimen.
        return np.zeros(image.shape, bool)
    return ndimage.binary_dilation(flat, iterations=2)


def _second_differences(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared second differences along the tilt axis, in units of the variance, and the signal there."""
    middle = neighbours(signal)[:, 1:-1]
    return (signal[:, 2:] - 2 * signal[:, 1:-1] + signal[:, :-2]) ** 2 / 6, middle


def _dark_noise(signal: np.ndarray, dark: np.ndarray) -> tuple[float | None, float]:
    """Variance beside the specimen, and how many times the differences of neighbours underrate it."""
    inside = dark[:, 2:] & dark[:, 1:-1] & dark[:, :-2]
    near = _second_differences(signal)[0][inside]
    lag = min(6, signal.shape[1] // 2)
    both = dark[:, lag:] & dark[:, :-lag]
    far = ((signal[:, lag:] - signal[:, :-lag]) ** 2 / 2)[both]
    if min(near.size, far.size) < 100:
        return None, 1.0
    variance, underrated = (float(np.median(part)) / _MEDIAN_SQUARE for part in (far, near))
    return (variance, max(variance / underrated, 1.0)) if underrated > 0 else (variance or None, 1.0)


def _line(levels: np.ndarray, scatter: np.ndarray, constant: float | None) -> tuple[float, float]:
    """Robust non-negative line through the scatter of the classes; through ``constant`` where it is known.

    Structure of the specimen only adds to the scatter: a lower quantile of the
    slopes is nearer to the noise than their mean.
    """
    if constant is None:
        constant = float(np.median(scatter[: max(len(scatter) // 10, 1)]))
    bright = levels > 0.2 * levels.max()
    slopes = (scatter[bright] - constant) / levels[bright]
    return constant, max(float(np.quantile(slopes, 0.25)), 0.0)
