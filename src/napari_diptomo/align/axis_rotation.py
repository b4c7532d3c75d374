r"""In-plane rotation of the tilt axis, from tilts that predict each other and from the moments of the images.

About an axis that is turned by r a point at height z moves along the assumed axis by z sin t sin r as the specimen
tilts. The images are turned by several angles about the specimen, so that the axis stands upright if it has that angle,
and every image i_t is compared with what the other tilts predict for it (`held_out_tilts`), p_t:

    loss_t(r) = 1 - |projection of i_t on p_t and its slopes along x and y|^2 / |i_t|^2,

so small displacements that are left do not count. The angle is the vertex of the parabola through the mean over the
tilts, its standard error by the jackknife over the tilts (B. Efron, The Jackknife, the Bootstrap and Other Resampling
Plans, SIAM 1982, section 3.2). Images are turned for this only, and smoothed before: interpolation blurs more at some
angles than at others, and would draw the angle. The volumes are nearly converged (accelerated SIRT): of one that is not,
the angle that it likes by its own shape comes out. One that is too shallow or too deep has such a liking too, of degrees, and
the jackknife does not see it: two depths are taken, and half of what they differ adds to the error.

The moments of the images (`moment_conditions`) need no volume, and their errors are those of other properties of the
counts. So the mean of both is taken, each weighted by 1 / error^2, and where they differ by more than their errors, the
error of the mean is widened by that ratio (R. T. Birge, Phys. Rev. 40 (1932) 207).

Formulas: rotation of the tilt axis and its error (`rotation_in`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from napari_diptomo.align.held_out_tilts import Geometry, LeftOut, filled
from napari_diptomo.align.image_correlation import FINE, prepared
from napari_diptomo.align.moment_conditions import moment_rotation

#: Degrees between the angles that are tried, and tried to either side of the best.
_STEP, _EACH_SIDE = 2.0, 2
#: Depth of the second volume over that of the first.
_DEEPER = 1.5
_CLEAR = 3.0  # standard errors
#: Degrees: an angle that is known worse does more harm than none.
_MOST_UNCERTAIN = 1.0
_LARGEST, _LEAST_TILTS = 10.0, 5
#: Of smaller images a degree moves nothing by a part of a pixel that is seen.
_LEAST_PIXELS = 32


@dataclass(frozen=True)
class Rotation:
    """In-plane rotation of the tilt axis and its standard error, degrees; the error is infinite where nothing shows it."""

    angle: float
    uncertainty: float

    @property
    def is_clear(self) -> bool:
        """Whether it differs from none by more than three standard errors, and is known to a degree."""
        return self.uncertainty < _MOST_UNCERTAIN and _CLEAR * self.uncertainty < abs(self.angle) <= _LARGEST


def rotation_in(images: np.ndarray, geometry: Geometry) -> Rotation:
    """The rotation that predictions and moments show together.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Of a specimen within the field across the axis; not negative, ascending tilts.
    geometry : Geometry
        Aligned about an upright axis.
    """
    if len(images) < _LEAST_TILTS or min(images.shape[1:]) < _LEAST_PIXELS:
        return Rotation(0.0, float('inf'))
    of_moments = Rotation(*moment_rotation(images, geometry.angles, geometry.shifts))
    return _together(predicted_rotation(images, geometry), of_moments)


def _together(first: Rotation, second: Rotation) -> Rotation:
    """The mean of two measurements by their precision, its error widened where they disagree."""
    known = [one for one in (first, second) if np.isfinite(one.uncertainty)]
    if len(known) < 2:
        return known[0] if known else first
    precisions = np.array([1 / max(one.uncertainty, 1e-6) ** 2 for one in known])
    mean = float(precisions @ [one.angle for one in known] / precisions.sum())
    apart = abs(first.angle - second.angle) / np.hypot(first.uncertainty, second.uncertainty)
    return Rotation(mean, float(max(apart, 1.0) / np.sqrt(precisions.sum())))


def predicted_rotation(images: np.ndarray, geometry: Geometry) -> Rotation:
    """The rotation about which the tilts predict each other best, from volumes of two depths; as `rotation_in`."""
    deeper = round(geometry.depth * _DEEPER)
    other = deeper if deeper <= images.shape[2] else max(round(geometry.depth / _DEEPER), 1)
    first, second = (_of_volumes(images, replace(geometry, depth=depth)) for depth in (geometry.depth, other))
    spread = np.sqrt((first.uncertainty**2 + second.uncertainty**2) / 2 + (first.angle - second.angle) ** 2 / 4)
    return Rotation((first.angle + second.angle) / 2, float(spread))


def _of_volumes(images: np.ndarray, geometry: Geometry) -> Rotation:
    """The rotation about which volumes of this depth predict best."""
    losses: dict[int, np.ndarray] = {}
    # The images are turned, not the volume: one geometry for all.
    left_out = LeftOut(images.shape, replace(geometry, rotation=0.0))

    def loss(k: int) -> np.ndarray:
        if k not in losses:
            losses[k] = _losses(_turned(images, geometry.shifts, k * _STEP), left_out)
        return losses[k]

    best = 0
    while (abs(best) + _EACH_SIDE) * _STEP <= _LARGEST:
        around = range(best - _EACH_SIDE, best + _EACH_SIDE + 1)
        lowest = min(around, key=lambda k: float(loss(k).mean()))
        if abs(lowest - best) < _EACH_SIDE:
            return _vertex(np.array(around) * _STEP, np.array([loss(k) for k in around]))
        best = lowest
    return Rotation(0.0, float('inf'))


def _vertex(angles: np.ndarray, losses: np.ndarray) -> Rotation:
    """Of the parabola through the means of the losses (angle, tilt), with the error by the jackknife."""
    bends, slopes = np.polynomial.polynomial.polyfit(angles - angles.mean(), losses, 2)[:0:-1]
    number = len(bends)
    without = np.array([bends.sum() - bends, slopes.sum() - slopes])
    if not (bends.sum() > 0 and without[0].min() > 0):
        return Rotation(0.0, float('inf'))
    angle = angles.mean() - slopes.sum() / bends.sum() / 2
    others = -without[1] / without[0] / 2
    error = np.sqrt((number - 1) / number * ((others - others.mean()) ** 2).sum())
    return Rotation(float(angle), float(error))


def _losses(turned: np.ndarray, left_out: LeftOut) -> np.ndarray:
    """Share of each image that the other tilts do not explain, (tilt,)."""
    prediction = left_out.predicted(turned, finely=True)
    found = np.empty(len(turned))
    for t, rows in enumerate(prediction.rows):
        image, expected = (prepared(filled(one[t], rows), FINE) for one in (turned, prediction.images))
        basis, _ = np.linalg.qr(np.stack([a.ravel() for a in (expected, *np.gradient(expected))], axis=1))
        own = float((image**2).sum())
        found[t] = 1 - float(((basis.T @ image.ravel()) ** 2).sum()) / own if own > 0 else 1.0
    return found


def _turned(images: np.ndarray, shifts: np.ndarray, angle: float) -> np.ndarray:
    """Images (tilt, y, x) turned about the specimen, which stays where it is, until an axis at ``angle`` degrees is upright."""
    ny, nx = images.shape[1:]
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    y, x = np.indices((ny, nx))
    found = np.empty(images.shape)
    for t, (image, (dy, dx)) in enumerate(zip(images, shifts, strict=True)):
        middle_y, middle_x = (ny - 1) / 2 + dy, (nx - 1) / 2 + dx
        across, along = x - middle_x, y - middle_y
        where = middle_y + sine * across + cosine * along, middle_x + cosine * across - sine * along
        smooth = ndimage.gaussian_filter(image, FINE, mode='nearest')
        found[t] = ndimage.map_coordinates(smooth, where, order=3, mode='nearest')
    return np.maximum(found, 0)
