"""Whether HAADF images show the specimen of the maps, the same way round and at the same tilts.

Weighted counts are correlated with the images. Where another reading of the series (an axis or the sign of its tilts reversed,
its images turned, its angles off, its pixels of another size) agrees with the maps clearly better than the series as it was
given, that reading is named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage

from napari_diptomo.reconstruct.data_split import noise_variance
from napari_diptomo.reconstruct.haadf_images import TiltImages
from napari_diptomo.reconstruct.haadf_weights import Intensity, intensity_per_count, powers_of_atomic_numbers
from napari_diptomo.series import Finding, MapSeries, Source
from napari_diptomo.series.haadf_orientation import SWAPPING, Orientation, followed_by, oriented

#: Correlation of images and weighted counts below which they show different things; displacement tried, pixels.
_ALIKE, _REACH = 0.3, 4
#: Correlation that another reading needs to be named: two things that differ agree a little better somehow.
_NAMED = 0.5
#: Correlation that images lose against the tilt they resemble most, mean, and how far that is away, degrees: right orders
#: lost up to 0.006 (5 counts) on five specimens, wrong orders and signs 0.011 to 0.19 on those that are no needle.
_MISSED, _AWAY = 0.009, 15.0
#: By how much the correlation is higher with another reading, mean and in standard errors. Of seven specimens, 32 voxels, 30 and 5
#: counts, no other reading of right images gained more than 0.0016 and 1.4; of 76 random ones, 16 to 32 voxels and 3 to 100 counts,
#: three of 3 counts did, and 65 of 70 wrong ones were found. With 3 errors two of the right ones would be left out, but of seven
#: specimens reversed tilts of two more would be taken, and most angles that are 10 degrees off.
_BETTER = (0.002, 2.0)
#: Share of an image that must be known for it to be compared.
_SEEN = 0.05
_SMOOTH = 1.0
#: Pixels along the shorter side that are enough to compare.
_ENOUGH = 56


class Counts:
    """Maps that HAADF images are compared with.

    Attributes
    ----------
    data, variance : ndarray (channel, tilt, y, x)
        Unmixed maps and the variance of their noise.
    used : ndarray of bool (tilt, y, x)
        Pixels that all maps hold.
    start : ndarray (channel,)
        Intensity per count that is expected, to within a factor.
    """

    def __init__(self, data: np.ndarray, variance: np.ndarray, used: np.ndarray, start: np.ndarray) -> None:
        self.data, self.variance, self.used, self.start = data, variance, used, start

    @classmethod
    def of(cls, maps: MapSeries) -> Counts:
        """Those of a series of maps."""
        unmixed = maps.unmixed()
        lost = np.zeros(unmixed.data.shape[1:], bool) if maps.missing is None else maps.missing.any(axis=0)
        return cls(unmixed.data, noise_variance(unmixed), np.logical_not(lost), powers_of_atomic_numbers(maps.channels))

    def binned(self, n: int) -> Counts:
        """Summed over n x n pixels."""
        data, variance = (_blocks(a, n).sum(axis=(-3, -1)) for a in (self.data, self.variance))
        return Counts(data, variance, np.asarray(_blocks(self.used, n).all(axis=(-3, -1))), self.start)

    @cached_property
    def square(self) -> Counts:
        """Their middle, as wide as high."""
        return Counts(_square(self.data), _square(self.variance), _square(self.used), self.start)

    def intensity(self, images: np.ndarray) -> Intensity:
        """Intensity per count in images (tilt, y, x) of the same tilts, not a number where nothing is known."""
        seen = self.used & np.isfinite(images)
        return intensity_per_count(self.data, self.variance, np.nan_to_num(images), self.start, seen)

    def brightness(self, images: np.ndarray) -> np.ndarray:
        """Counts (tilt, y, x) weighted so that they resemble such images most."""
        bright = np.tensordot(self.intensity(images).weights, self.data, 1)
        # No channel may be brighter where there is more of it.
        return np.asarray(bright if bright.any() else self.data.sum(axis=0))

    def correlations(self, images: np.ndarray) -> np.ndarray:
        """The strongest correlation of each image with the counts of its tilt, ndarray (tilt,), with its sign."""
        pairs = zip(self._spectra(images), self._of_counts(self.brightness(images)), strict=True)
        return np.array([image.correlation(counts) for image, counts in pairs])

    def every_correlation(self, images: np.ndarray) -> np.ndarray:
        """That of each image with the counts of each tilt, ndarray (tilt, tilt)."""
        counts = self._of_counts(self.brightness(images))
        return np.array([[image.correlation(other) for other in counts] for image in self._spectra(images)])

    def _spectra(self, images: np.ndarray) -> list[_Spectra]:
        return [_Spectra(image, np.isfinite(image)) for image in images]

    def _of_counts(self, bright: np.ndarray) -> list[_Spectra]:
        return [_Spectra(counts, used) for counts, used in zip(bright, self.used, strict=True)]


class _Spectra:
    """Transforms of an image for its masked correlation with others (Padfield 2012, IEEE Trans. Image Process. 21, 2706)."""

    def __init__(self, image: np.ndarray, seen: np.ndarray) -> None:
        ny, nx = image.shape
        self.reach = max(min(_REACH, min(ny, nx) // 8), 1)
        self._shape = (ny + self.reach, nx + self.reach)
        mask = seen.astype(np.float64)
        level = np.where(seen, image, 0.0).sum() / max(mask.sum(), 1)
        smooth = ndimage.gaussian_filter(np.where(seen, image - level, 0.0), _SMOOTH)
        smooth = mask * smooth / np.maximum(ndimage.gaussian_filter(mask, _SMOOTH), 1e-9)
        smooth /= max(float(smooth.std()), 1e-12)
        self._mask, self._image, self._squares = (np.fft.rfft2(a, self._shape) for a in (mask, smooth, smooth**2))

    def correlation(self, other: _Spectra) -> float:
        """The strongest within a few pixels of displacement, with its sign."""
        pixels = np.maximum(self._at_displacements(self._mask, other._mask), 1)
        own = self._at_displacements(self._image, other._mask)
        others = self._at_displacements(self._mask, other._image)
        spread = self._at_displacements(self._squares, other._mask) - own**2 / pixels
        spread_of_other = self._at_displacements(self._mask, other._squares) - others**2 / pixels
        both = self._at_displacements(self._image, other._image) - own * others / pixels
        every = both / np.sqrt(np.maximum(spread, 1e-9) * np.maximum(spread_of_other, 1e-9))
        return float(every.ravel()[np.abs(every).argmax()])

    def _at_displacements(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        every = np.fft.irfft2(one * np.conj(other), self._shape)
        return np.roll(every, (self.reach, self.reach), (0, 1))[: 2 * self.reach + 1, : 2 * self.reach + 1]


@dataclass(frozen=True)
class _Reading:
    """Another way to read a series: its words, its angles at those of the maps, and its images.

    Attributes
    ----------
    words : str
        The series agrees better when they are true.
    sign, off : float
        Angles are these times those of the maps, plus degrees.
    turn, size : float
        The images are turned by this, degrees, and what they show is larger by this factor.
    orientation : str
        What is done to the images besides; to those of the middle square where axes are swapped.
    """

    words: str
    sign: float = 1.0
    off: float = 0.0
    turn: float = 0.0
    size: float = 1.0
    orientation: Orientation = 'as recorded'

    @property
    def swapped(self) -> bool:
        return self.orientation in SWAPPING

    @property
    def resamples(self) -> bool:
        return self.turn != 0 or self.size != 1

    def of(self, images: np.ndarray) -> np.ndarray:
        """Images (tilt, y, x) read so."""
        read = _resampled(images, self.turn, self.size, moved=True)
        return oriented(_square(read) if self.swapped else read, self.orientation)

    def unmoved(self, images: np.ndarray) -> np.ndarray:
        """Images (tilt, y, x) as they are, of the size and with the interpolation of those that are read so."""
        read = _resampled(images, self.turn, self.size, moved=False)
        return _square(read) if self.swapped else read


def _blocks(stack: np.ndarray, n: int) -> np.ndarray:
    """(..., y, n, x, n); what is left over at the far edges is dropped."""
    ny, nx = (size // n for size in stack.shape[-2:])
    return stack[..., : ny * n, : nx * n].reshape(*stack.shape[:-2], ny, n, nx, n)


def _square(stack: np.ndarray) -> np.ndarray:
    ny, nx = stack.shape[-2:]
    n = min(ny, nx)
    return stack[..., (ny - n) // 2 :, (nx - n) // 2 :][..., :n, :n]


def _resampled(images: np.ndarray, turn: float, size: float, moved: bool) -> np.ndarray:
    """Images (tilt, y, x) turned about their middle, degrees, and made larger, not a number beyond their edge.

    Interpolation takes noise out, and noisy images would agree better with the maps however they were turned. Not ``moved`` each
    pixel is interpolated at the same fraction of a pixel, next to where it is: as much noise is taken out, and detail is jagged.
    """
    if turn == 0 and size == 1:
        return images
    grid = np.indices(images.shape[1:]).astype(np.float64)
    middle = (np.array(images.shape[1:])[:, None, None] - 1) / 2
    cosine, sine = np.cos(np.deg2rad(turn)) / size, np.sin(np.deg2rad(turn)) / size
    wanted = np.tensordot([[cosine, sine], [-sine, cosine]], grid - middle, 1) + middle
    if not moved:
        wanted = grid + wanted - np.rint(wanted)
    return np.stack([ndimage.map_coordinates(image, wanted, order=1, cval=np.nan) for image in images])


_READINGS = (
    _Reading('when the sign of its tilts is reversed', sign=-1.0),
    _Reading('when its x axis is reversed', orientation='reverse x'),
    _Reading('when its y axis is reversed', orientation='reverse y'),
    _Reading('when its images are turned by 180°', orientation='turn by 180'),
    _Reading('when its x axis and the sign of its tilts are reversed', sign=-1.0, orientation='reverse x'),
    _Reading('when its y axis and the sign of its tilts are reversed', sign=-1.0, orientation='reverse y'),
    _Reading(
        'when its images are turned by 180° and the sign of its tilts is reversed', sign=-1.0, orientation='turn by 180'
    ),
    _Reading('when x and y of its images are swapped', orientation='swap x and y'),
    _Reading('when its images are turned by 90° to the left', orientation='turn left'),
    _Reading('when its images are turned by 90° to the right', orientation='turn right'),
    _Reading('when x and y of its images are swapped and both reversed', orientation='swap and turn by 180'),
    *(
        _Reading(f'when its angles are {abs(off):g}° {"lower" if off > 0 else "higher"}', off=off)
        for off in (-20.0, -10.0, -5.0, 5.0, 10.0, 20.0)
    ),
    *(
        _Reading(f'when its pixels are {factor:g} times as large', size=factor)
        for factor in (0.5, 0.8, 0.9, 1.11, 1.25, 2.0)
    ),
    *(
        _Reading(f'when its images are turned by {abs(angle):g}°', turn=angle)
        for angle in (-16.0, -8.0, -4.0, 4.0, 8.0, 16.0)
    ),
)


def contradiction(maps: MapSeries, images: TiltImages, counts: Counts) -> Finding | None:
    """A doubt where a series does not show the specimen of the maps, or shows it otherwise.

    Parameters
    ----------
    maps : MapSeries
    images : TiltImages
        On the pixels of the maps.
    counts : Counts
        Of the maps.
    """
    n = max(round(min(maps.data.shape[2:]) / _ENOUGH), 1)
    compared = _Comparison(maps, images, counts.binned(n), n)
    own = compared.own(not images.recorded(maps.angles).all())
    seen = np.isfinite(own).mean(axis=(1, 2)) > _SEEN
    every = compared.counts.every_correlation(own)[seen]
    correlations = every[:, seen].diagonal()
    if not correlations.size:
        return Finding(
            'doubt', 'HAADF series', 'The HAADF series shows nothing at the tilts of the maps: it is left out.'
        )
    alike, missed = float(np.median(correlations)), float((every.max(1) - correlations).mean())
    far = float(np.median(np.abs(maps.angles[every.argmax(1)] - maps.angles[seen])))
    numbers = {'correlation': round(alike, 3), 'missed': round(missed, 4), 'away': far}
    better = compared.better_reading()
    # Images that are mirrored may be dark where the maps hold more: what agrees most is said.
    if alike < -_ALIKE and (better is None or better[2] < -alike):
        sentence = (
            'The HAADF series is darker where the maps hold more (bright field, or inverted contrast): it is left out. '
            'Give dark-field images, and maps of what is bright in them.'
        )
    elif better is not None and better[2] > _NAMED:
        reading, before, after = better
        sentence = (
            f'The HAADF series agrees with the maps better {reading.words} (correlation {after:.3f} instead of {round(before, 3) + 0.0:.3f}): it '
            f'is left out. {_advice(maps, reading)}'
        )
    elif alike < _ALIKE or better is not None:
        sentence = (
            f'The HAADF series does not show what the maps show (correlation {alike:.2f}): it is left out. Check that it is of '
            'this specimen and field, its tilts and pixel size, and that what is bright in it (a metal strap, a heavy element) is mapped.'
        )
    elif missed > _MISSED and far > _AWAY:
        sentence = (
            f'HAADF images resemble maps of other tilts more than those of their own, {far:.0f}° away: the series is left '
            'out. Check its angles, their sign and their order.'
        )
    else:
        return None
    return Finding('doubt', 'HAADF series', sentence, numbers)


def _advice(maps: MapSeries, reading: _Reading) -> str:
    """How a series from files is opened so that it is read so."""
    source = maps.recipe.source if maps.recipe else Source()
    if reading.orientation == 'as recorded' or source.own_haadf:
        return 'Check its angles, its pixel size, how its images lie, and that it is of this specimen.'
    # The images are as the files were opened: one choice has to do both.
    choice = followed_by(source.haadf_orientation, reading.orientation)
    sign = ' and its angles with the sign reversed' if reading.sign < 0 else ''
    return f'If it is of this specimen, open it again with the orientation "{choice}"{sign}.'


class _Comparison:
    """A series with its readings, and counts on pixels that are enough to compare."""

    def __init__(self, maps: MapSeries, images: TiltImages, counts: Counts, n: int) -> None:
        self._maps, self._images, self.counts, self._n = maps, images, counts, n
        self._given: dict[tuple[bool, bool, float, float], np.ndarray] = {}

    def own(self, projected: bool) -> np.ndarray:
        """Images (tilt, y, x) at the tilts of the maps, as they were given."""
        return self._at(self._maps.angles, projected)

    def better_reading(self) -> tuple[_Reading, float, float] | None:
        """That which agrees most, with the mean correlations as given and so read; None where none agrees better."""
        found, best = None, _BETTER[0]
        for reading in _READINGS:
            compared = self.counts.square if reading.swapped else self.counts
            # Projections of a volume have less noise than images: both are of one kind.
            read_at = reading.sign * self._maps.angles + reading.off
            projected = not self._images.recorded(np.concatenate([self._maps.angles, read_at])).all()
            images = reading.of(self._at(read_at, projected))
            before, after = self._as_given(reading, projected), compared.correlations(images)
            known = np.isfinite(images).mean(axis=(1, 2)) > _SEEN
            gain = (after - before)[known]
            if not known.any() or gain.mean() <= best or after[known].mean() < _ALIKE:
                continue
            if gain.mean() > _BETTER[1] * gain.std() / np.sqrt(len(gain)):
                found, best = (reading, float(before[known].mean()), float(after[known].mean())), float(gain.mean())
        return found

    def _at(self, angles: np.ndarray, projected: bool) -> np.ndarray:
        found = self._images.at(angles, np.asarray(self._maps.shifts), projected)
        return np.asarray(_blocks(found, self._n).mean(axis=(-3, -1)))

    def _as_given(self, reading: _Reading, projected: bool) -> np.ndarray:
        """Correlations (tilt,) without the reading: of the images as they are, or with its interpolation if that helps them."""
        key = projected, reading.swapped, reading.turn, reading.size
        if key not in self._given:
            counts = self.counts.square if reading.swapped else self.counts
            self._given[key] = counts.correlations(reading.unmoved(self.own(projected)))
            if reading.resamples:
                plain = replace(reading, turn=0.0, size=1.0)
                self._given[key] = np.maximum(self._given[key], self._as_given(plain, projected))
        return self._given[key]
