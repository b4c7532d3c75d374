r"""The images that an alignment compares: HAADF or the sum of the maps, cleaned and binned; and as placed.

The dark level of a detector is no mass, and it drifts from tilt to tilt. Where the specimen of HAADF images ends within the
field it is found beside it, tilt by tilt (`series.detector_images`): the edges are judged without it. An even support film
hides in that level, and grows as 1 / cos of the tilt, by which it is distinguished:

    d_t = d + f (1 / cos t - 1) + g sin t,

where f is clearly more than 0 and not small beside the specimen, the edges are those of a specimen.

Formulas: growth of the dark level with the tilt (`dark_levels`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from napari_diptomo.reconstruct.field_edges import AT_EDGE, edges_of
from napari_diptomo.series import Finding, InputError, MapSeries
from napari_diptomo.series.detector_images import darkest_crowd
from napari_diptomo.series.haadf import FEWEST
from napari_diptomo.series.haadf_pixels import blank_images
from napari_diptomo.series.outliers import without_outliers
from napari_diptomo.series.tilts import angles_in_words, at_tilts

Reference = Literal['auto', 'haadf', 'maps']
#: Images are binned to at most this many pixels.
_MATCHING_SIZE = 96
_SMALLEST = 8
#: Displacement of the images, as a fraction of their width, at which a point of the specimen is still distinguished from an outlier.
_MAY_BE_OFF = 0.2
#: Standard errors by which a dark level grows with 1 / cos that is a film, and the tilts it takes to see it.
_GROWS, _LEAST_TILTS = 4.0, 5


def uses_haadf(maps: MapSeries, reference: Reference) -> bool:
    """Whether the HAADF images are compared, and not the sum of the maps."""
    return maps.haadf is not None and reference != 'maps'


@dataclass(frozen=True, eq=False)
class ComparedImages:
    """The images that an alignment compares, tilts ascending; HAADF images without contents are none of them.

    Attributes
    ----------
    small : ndarray (tilt, y, x)
        Not negative, `binning` x `binning` pixels joined.
    angles : ndarray (tilt,)
        Degrees.
    order : ndarray (tilt,)
        Numbers of the tilts in their series.
    all_angles : ndarray (tilt of the series,)
        Degrees, of those without contents too, in the order of the series.
    binning : int
    shape : tuple of int
        Rows and columns of the images before they were binned.
    name : str
        What they are, in words.
    within : bool
        Whether the specimen ends within the field of view along x at most tilts.
    """

    small: np.ndarray
    angles: np.ndarray
    order: np.ndarray
    all_angles: np.ndarray
    binning: int
    shape: tuple[int, int]
    name: str
    within: bool

    @property
    def blank(self) -> np.ndarray:
        """Numbers of the tilts of the series without contents."""
        return np.setdiff1d(np.arange(len(self.all_angles)), self.order)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values of these tilts (tilt, ...) as those of all, in the order of the series: between neighbours interpolated."""
        every = np.empty((len(self.all_angles), *values.shape[1:]))
        every[self.order] = values
        columns = values.reshape(len(values), -1)
        between = [np.interp(self.all_angles[self.blank], self.angles, column) for column in columns.T]
        every[self.blank] = np.stack(between, axis=-1).reshape(-1, *values.shape[1:])
        return every

    def blank_findings(self) -> tuple[Finding, ...]:
        """A doubt where there are tilts without contents: nothing says where the specimen sits in them."""
        if not self.blank.size:
            return ()
        several = self.blank.size > 1
        sentence = (
            f'The HAADF image{"s" if several else ""} at {angles_in_words(self.all_angles[self.blank], 6)} '
            f'{"hold" if several else "holds"} nothing: the shift{"s" if several else ""} of '
            f'{"these tilts lie" if several else "this tilt lies"} between those of the neighbours. Align by the maps, or leave '
            f'the tilt{"s" if several else ""} out.'
        )
        return (Finding('doubt', 'blank images', sentence, {'images': float(self.blank.size)}),)


def compared_images(maps: MapSeries, reference: Reference) -> ComparedImages:
    """The images of a series that are compared, with what an alignment has to know of them.

    Raises
    ------
    InputError
        As `reference_images`.
    """
    order = np.argsort(maps.angles, kind='stable')
    blank = _blank_tilts(maps, reference)
    if blank.any():
        order = order[~blank[order]]
        images, name, within = _cleaned(at_tilts(maps, order), reference)
    else:
        images, name, within = _cleaned(maps, reference)
        images = images[order]
    n = binning_of(images)
    shape = images.shape[1], images.shape[2]
    return ComparedImages(binned(images, n), maps.angles[order], order, maps.angles, n, shape, name, within)


def _blank_tilts(maps: MapSeries, reference: Reference) -> np.ndarray:
    """Tilts (tilt,) whose HAADF images hold nothing, where these are compared.

    Raises
    ------
    InputError
        Fewer than three others.
    """
    if maps.haadf is None or not uses_haadf(maps, reference):
        return np.zeros(len(maps.angles), bool)
    blank = blank_images(maps.haadf)
    if blank.any() and (~blank).sum() < FEWEST:
        raise InputError(
            f'The HAADF images at {angles_in_words(maps.angles[blank], 6)} hold nothing, which leaves {(~blank).sum()} to align '
            'the series by; choose the maps as reference.'
        )
    return blank


def reference_images(maps: MapSeries, reference: Reference) -> tuple[np.ndarray, str]:
    """Images (tilt, y, x) to compare, and what they are in words.

    Raises
    ------
    InputError
        No HAADF images where they are asked for, one tilt, images too small or empty.
    """
    images, name, _ = _cleaned(maps, reference)
    return images, name


def _cleaned(maps: MapSeries, reference: Reference) -> tuple[np.ndarray, str, bool]:
    if reference == 'haadf' and maps.haadf is None:
        raise InputError('There are no HAADF images to align; choose the maps as reference.')
    haadf = maps.haadf if uses_haadf(maps, reference) else None
    images = _without_outliers(maps, maps.data if haadf is None else haadf[None]).sum(axis=0)
    what = 'sum of the maps' if haadf is None else 'HAADF images'
    if len(images) < 2:
        raise InputError('There is one tilt only; nothing can be aligned to it.')
    if min(images.shape[1:]) < _SMALLEST:
        raise InputError(
            f'Images of {images.shape[2]} x {images.shape[1]} pixels are too small to be aligned; bin them less.'
        )
    flat = [float(angle) for angle, image in zip(maps.angles, images, strict=True) if np.ptp(image) == 0]
    if flat:
        raise InputError(
            f'The {what} at {flat[0]:g}° is empty, so it cannot be aligned; leave this tilt out or '
            'choose another reference.'
        )
    if haadf is None:
        return images, what, not edges_of(maps).typical
    levels = dark_levels(images, maps)
    dark = np.percentile(images, 1) if levels is None else levels[:, None, None]
    return images - dark, what, levels is not None


def dark_levels(images: np.ndarray, maps: MapSeries) -> np.ndarray | None:
    """Dark level of each HAADF image (tilt,); None where the specimen, or a film that carries it, reaches the edges along x.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Intensities of a detector, of any dark level.
    maps : MapSeries
        The series they belong to, for its geometry.
    """
    levels, _ = darkest_crowd(images)
    if not np.isfinite(levels).all():
        return None
    light = (images - levels[:, None, None]).astype(np.float32)
    shown = MapSeries(light[None], maps.angles, ('HAADF',), shifts=maps.shifts, axis_shift=maps.axis_shift)
    if edges_of(shown).typical or _holds_a_film(levels, light, maps.angles):
        return None
    return levels


def _holds_a_film(levels: np.ndarray, light: np.ndarray, angles: np.ndarray) -> bool:
    """Whether the dark level grows with the tilt as the path through a film that counts beside the specimen."""
    t = np.deg2rad(np.asarray(angles, float))
    patterns = np.stack([1 / np.maximum(np.cos(t), 0.1) - 1, np.sin(t), np.ones_like(t)], axis=1)
    if len(t) < _LEAST_TILTS or np.linalg.matrix_rank(patterns) < 3:
        return False
    fitted, *_ = np.linalg.lstsq(patterns, levels, rcond=None)
    left = levels - patterns @ fitted
    error = np.sqrt((left @ left) / (len(t) - 3) * np.linalg.inv(patterns.T @ patterns)[0, 0])
    columns = np.maximum(light.mean(axis=(0, 1), dtype=np.float64), 0)
    specimen = (columns**2).sum() / max(columns.sum(), 1e-12)
    return bool(fitted[0] > _GROWS * error and fitted[0] > AT_EDGE * specimen)


def binning_of(images: np.ndarray) -> int:
    """Pixels that are joined in x and in y before images are compared."""
    return -(-max(images.shape[1:]) // _MATCHING_SIZE)


def binned(images: np.ndarray, n: int) -> np.ndarray:
    """Mean of n x n pixels about the middle, so that shifts scale by n alone."""
    tilts, ny, nx = images.shape
    y0, x0 = (ny % n) // 2, (nx % n) // 2
    y, x = ny // n, nx // n
    # Fitted maps may be negative; clipped before binning their noise would turn into mass.
    return np.maximum(images[:, y0 : y0 + y * n, x0 : x0 + x * n].reshape(tilts, y, n, x, n).mean(axis=(2, 4)), 0)


def shown_images(maps: MapSeries, reference: Reference) -> np.ndarray:
    """Reference images (tilt, y, x) as they were recorded."""
    if maps.haadf is not None and uses_haadf(maps, reference):
        return np.asarray(maps.haadf, np.float32)
    return np.asarray(maps.data.sum(axis=0), np.float32)


def placed_image(
    image: np.ndarray, shift: np.ndarray, axis_shift: float = 0.0, axis_rotation: float = 0.0
) -> np.ndarray:
    """An image (y, x) moved to where the aligned stack has it: to be looked at, interpolated.

    Parameters
    ----------
    image : ndarray (y, x)
    shift : ndarray (2,)
        Where the specimen sits in it, pixels (y, x).
    axis_shift, axis_rotation : float
        Of the tilt axis, which is brought to the middle: pixels across the axis, degrees. The image is not turned.

    Returns
    -------
    ndarray (y, x)
        Zero where the recorded image has nothing.
    """
    turn = np.deg2rad(axis_rotation)
    axis = axis_shift * np.array([np.sin(turn), np.cos(turn)])
    return np.asarray(ndimage.shift(image, -(np.asarray(shift, float) + axis), order=1, prefilter=False))


def _without_outliers(maps: MapSeries, data: np.ndarray) -> np.ndarray:
    """Images (channel, tilt, y, x) of a series; what stands in for an outlier is only compared, never reconstructed."""
    missing = maps.missing if data is maps.data else None
    names = tuple(f'image {i + 1}' for i in range(len(data)))
    images = MapSeries(data, maps.angles, names, missing=missing)
    return np.asarray(without_outliers(images, _MAY_BE_OFF * max(data.shape[2:]))[0].data, float)
