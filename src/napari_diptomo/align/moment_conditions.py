r"""Displacements from the moments of the images, which need no volume: a second witness beside predicted images.

A specimen that lies within the field across the axis obeys the first two conditions of Helgason and Ludwig (S. Helgason,
Acta Math. 113 (1965) 153; D. Ludwig, Comm. Pure Appl. Math. 19 (1966) 49): with u the position across the axis and v
along it, and s(t) the shifts,

    sum_u I_t(u, v + s_v)          = P(v)                             the same profile at every tilt,
    sum_u (u - s_u) I_t(u, v + s_v) = P(v) (X(v) cos t + Z(v) sin t)   its mass turns about the axis.

The first gives the displacements along the axis, from every profile against the mean of the others; the second those across
it, from all rows by least squares, each row weighted by what its counts determine. Unlike a prediction from a volume
neither has a wedge, nor detail that the counts do not show. Errors are those that the rows' own disagreement shows.

Mass that comes into the field with tilt, or a response that is not linear, displaces the first moments of all rows alike, and
their disagreement does not show it. So the moments are weighed against the predicted images (`weighed`): where the two
differ by more than their errors, errors are widened by the rest (the variance between measurements: DerSimonian and
Laird 1986, Control. Clin. Trials 7, 177), those of the first moments by all of it, and across the profiles, whose rows do show
it, both by half. A tilt at which they contradict each other, as where a crystal lights up, keeps its match.

The first condition also shows an axis that is turned in the images by r. To first order a row takes up r times what lies across it,

    sum_u I_t = P(v) - r d/dv sum_u (u - s_u) I_t,

where the first moments follow the second condition, a(v) cos t + b(v) sin t, which takes most of their noise out. What
displacements along the axis and the brightness of a tilt would do alike is left out of both sides, and r follows by least
squares, its error by the jackknife over the tilts.

Formulas: conditions on the moments (`moment_moves`); weighing two measurements (`weighed`); rotation of the axis by the
moments (`moment_rotation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_diptomo.geometry.rigid_motion import without_rigid_motion

#: Smoothing of the profiles, pixels, so that they can be interpolated.
_SMOOTHING = 0.7
_ROUNDS = 6
_LARGEST_STEP = 1.0  # pixels per round
#: Smoothing of the profiles that show a rotation, pixels.
_SMOOTHING_OF_ROTATION = 1.0
#: Columns at each edge whose level is background.
_EDGE = 3
#: Rows with less than this share of the fullest say nothing about u.
_LEAST_OF_ROW = 0.02
#: Share of the other tilts that must show a row.
_SHOWN = 2 / 3
#: Degrees up to which a rotation is found to first order, and from which on it is not followed.
_LINEAR, _LARGEST_ROTATION = 1.0, 12.0
#: Degrees: a rotation by the profiles with a larger standard error is none.
_WEAK = 2.0
#: Rows that all tilts show, of which fewer show no rotation.
_LEAST_ROWS = 8
#: Standard error that counts as none known, pixels.
_UNKNOWN = 50.0
#: Of what two measurements differ beyond their errors, the part that widens the error of the moments, (y, x).
_OF_MOMENTS = np.array([0.5, 1.0])
#: Standard errors from which on two measurements contradict each other.
_CONTRADICTION = 4.0
#: Standard deviation of normal deviates over the median of their moduli.
_NORMAL = 1.4826


@dataclass(frozen=True)
class Moves:
    """Displacements and their standard errors, both (tilt, 2), pixels (y, x)."""

    moves: np.ndarray
    errors: np.ndarray


def moment_moves(images: np.ndarray, angles: np.ndarray, shifts: np.ndarray, rotation: float) -> Moves:
    """By how much each image is displaced against what the moments of all say.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Proportional to mass.
    angles : ndarray (tilt,)
        Degrees.
    shifts : ndarray (tilt, 2)
        Present ones, pixels (y, x).
    rotation : float
        Of the tilt axis, degrees.

    Returns
    -------
    Moves
        Infinite errors where the moments determine nothing.
    """
    light = _light(images)
    turned, counted = (_along_the_axis(stack, rotation) for stack in (light, images))
    along, across = _turned(shifts, rotation).T
    dv, error_v = _of_profiles(turned.sum(axis=2), along)
    du, error_u = _of_first_moments(turned, counted, angles, along + dv, across)
    moves, errors = np.stack([dv, du], axis=1), np.stack([error_v, error_u], axis=1)
    if rotation:
        moves = _turned(moves, -rotation)
        turn = np.deg2rad(rotation)
        errors = np.hypot(errors * np.cos(turn), errors[:, ::-1] * np.sin(turn))
    return Moves(moves, errors)


def moment_rotation(images: np.ndarray, angles: np.ndarray, shifts: np.ndarray) -> tuple[float, float]:
    """In-plane rotation of the tilt axis that the profiles along it show, and its standard error, degrees.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Proportional to mass.
    angles : ndarray (tilt,)
        Degrees.
    shifts : ndarray (tilt, 2)
        About an upright axis, pixels (y, x).

    Returns
    -------
    float, float
        Of a few degrees; 0 and infinity where the profiles show none.
    """
    light = _light(images)
    angle, error = _rotation_left(light, angles, *shifts.T)
    # The ratio of two sums that are little more than noise is not normal: its error says too little.
    if error > _WEAK:
        return 0.0, np.inf
    if not max(_LINEAR, error) < abs(angle) <= _LARGEST_ROTATION:
        return angle, error
    # Of more than a degree, and of more than is noise, the first order is not enough.
    more, error = _rotation_left(_along_the_axis(light, angle), angles, *_turned(shifts, angle).T)
    return angle + more, error


def _rotation_left(light: np.ndarray, angles: np.ndarray, along: np.ndarray, across: np.ndarray) -> tuple[float, float]:
    """Rotation of the axis and its error to first order, degrees, from images with shifts along and across an upright axis."""
    u = np.arange(light.shape[2]) - (light.shape[2] - 1) / 2 - across[:, None, None]
    margin = int(np.ceil(np.abs(along).max())) + 1
    rows = np.arange(margin, light.shape[1] - margin, dtype=float)
    total = light.sum(axis=(1, 2))
    if len(rows) < _LEAST_ROWS or not total.min() > 0:
        return 0.0, np.inf

    def of_rows(sums: np.ndarray) -> np.ndarray:
        smooth = ndimage.gaussian_filter1d(sums * (total.mean() / total)[:, None], _SMOOTHING_OF_ROTATION, axis=1)
        return np.stack([ndimage.map_coordinates(p, [rows + s], order=3) for p, s in zip(smooth, along, strict=True)])

    t = np.deg2rad(angles)
    turning = np.linalg.qr(np.stack([np.cos(t), np.sin(t)], axis=1))[0]
    profiles = of_rows(light.sum(axis=2))
    slopes = np.gradient(turning @ (turning.T @ of_rows((light * u).sum(axis=2))), axis=1)
    mean = profiles.mean(axis=0)
    weight = 1 / np.sqrt(np.maximum(mean, 0) + 0.05 * mean.max())
    alike = np.linalg.qr(np.stack([mean * weight, np.gradient(mean) * weight], axis=1))[0]
    left, pattern = ((one - one.mean(axis=0)) * weight for one in (profiles, slopes))
    left, pattern = (one - (one @ alike) @ alike.T for one in (left, pattern))
    shared, power = (left * pattern).sum(axis=1), (pattern**2).sum(axis=1)
    without = power.sum() - power
    if not without.min() > 1e-12 * (profiles**2).sum():
        return 0.0, np.inf
    others = (shared.sum() - shared) / without
    # The mean profile and the slopes have taken up three of the tilts.
    variance = (len(t) - 1) / max(len(t) - 3, 1) * ((others - others.mean()) ** 2).sum()
    return float(-np.rad2deg(shared.sum() / power.sum())), float(np.rad2deg(np.sqrt(variance)))


def weighed(matched: Moves, moments: Moves, angles: np.ndarray) -> tuple[Moves, np.ndarray]:
    """The mean of two measurements of the same displacements by their precision.

    Parameters
    ----------
    matched : Moves
        Against predicted images.
    moments : Moves
        Of the same images (`moment_moves`).
    angles : ndarray (tilt,)
        Degrees.

    Returns
    -------
    Moves
        Without motions of the specimen.
    ndarray (2,)
        Standard deviation between the two beyond their errors, pixels (y, x).
    """
    first, second = (without_rigid_motion(one.moves, angles) for one in (matched, moments))
    variances = [np.minimum(one.errors, _UNKNOWN) ** 2 for one in (matched, moments)]
    known = sum(variances)
    apart = (second - first) ** 2
    # By medians: the tilts that contradict are to stand out.
    beyond = np.maximum(_NORMAL**2 * np.median(apart, axis=0) - np.median(known, axis=0), 0.0)
    alike = apart <= _CONTRADICTION**2 * (known + beyond)
    weights = 1 / (variances[0] + beyond * (1 - _OF_MOMENTS)), alike / (variances[1] + beyond * _OF_MOMENTS)
    moves = (weights[0] * first + weights[1] * second) / sum(weights)
    return Moves(moves, 1 / np.sqrt(sum(weights))), np.sqrt(beyond)


def _light(images: np.ndarray) -> np.ndarray:
    """Images above the level of their edges across the axis."""
    edges = np.concatenate([images[..., :_EDGE], images[..., -_EDGE:]], axis=1)
    return np.asarray(images - np.median(edges.mean(axis=(1, 2))))


def _turned(vectors: np.ndarray, rotation: float) -> np.ndarray:
    """Vectors (tilt, 2) in images (y, x) as seen along an axis at ``rotation`` degrees and across it."""
    turn = np.deg2rad(rotation)
    y, x = vectors.T
    return np.stack([y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)], axis=1)


def _along_the_axis(images: np.ndarray, rotation: float) -> np.ndarray:
    """Images (tilt, v, u) with the axis upright, rows that the images do not show whole left out."""
    if not rotation:
        return images
    turn = np.deg2rad(rotation)
    _, ny, nx = images.shape
    rows = max(int(ny * np.cos(turn) - nx * abs(np.sin(turn))), 1)
    v, u = np.meshgrid(np.arange(rows) - (rows - 1) / 2, np.arange(nx) - (nx - 1) / 2, indexing='ij')
    at = [
        v * np.cos(turn) + u * np.sin(turn) + (ny - 1) / 2,
        u * np.cos(turn) - v * np.sin(turn) + (nx - 1) / 2,
    ]
    return np.stack([ndimage.map_coordinates(image, at, order=1) for image in images])


def _frame(shifts: np.ndarray, rows: int) -> np.ndarray:
    reach = int(np.ceil(np.abs(shifts).max()))
    return np.arange(-reach, rows + reach, dtype=float)


def _of_profiles(profiles: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Displacements (tilt,) of the profiles (tilt, v) against the mean of the others, all moved at once, and their errors."""
    smooth = ndimage.gaussian_filter1d(profiles, _SMOOTHING, axis=1)
    here, errors = shifts.copy(), np.full(len(shifts), np.inf)
    for _ in range(_ROUNDS):
        at = _frame(here, profiles.shape[1]) + here[:, None]
        shown = (at >= 0) & (at <= profiles.shape[1] - 1)
        found = np.stack([ndimage.map_coordinates(p, [a], order=3) for p, a in zip(smooth, at, strict=True)]) * shown
        total, number = found.sum(axis=0), shown.sum(axis=0)
        steps = np.zeros(len(shifts))
        for tilt, (own, own_shown) in enumerate(zip(found, shown, strict=True)):
            others = number - own_shown
            mean = (total - own) / np.maximum(others, 1)
            rows = own_shown & (others >= _SHOWN * (len(shifts) - 1)) & (others > 0)
            steps[tilt], errors[tilt] = _profile_step(own[rows], mean[rows], np.gradient(mean)[rows])
        here = here + np.clip(steps, -_LARGEST_STEP, _LARGEST_STEP)
    return here - shifts, errors


def _profile_step(own: np.ndarray, mean: np.ndarray, slope: np.ndarray) -> tuple[float, float]:
    """Displacement of a profile against a mean one, brightness left free, by least squares with variances as of counts."""
    if not mean.size or mean.max() <= 0:
        return 0.0, np.inf
    weight = 1 / (np.maximum(mean, 0) + 0.05 * mean.max())
    norm = (weight * mean**2).sum()
    bright = (weight * own * mean).sum() / norm
    slope = bright * slope
    slope = slope - mean * (weight * slope * mean).sum() / norm
    steepness = (weight * slope**2).sum()
    if not steepness > 0:
        return 0.0, np.inf
    left = own - bright * mean
    step = -(weight * left * slope).sum() / steepness
    left = left + step * slope
    # Smoothed noise is alike over so many rows.
    alike = 2 * np.sqrt(np.pi) * _SMOOTHING
    return float(step), float(np.sqrt(alike * ((weight * left * slope) ** 2).sum()) / steepness)


def _of_first_moments(
    images: np.ndarray, counted: np.ndarray, angles: np.ndarray, along: np.ndarray, across: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Displacements (tilt,) across the axis that the first moments of the rows show, and their errors.

    ``counted`` are the images with their background, whose counts are noise too.
    """
    own = np.arange(images.shape[1])
    u = np.arange(images.shape[2]) - (images.shape[2] - 1) / 2 - across[:, None, None]

    def of_rows(sums: np.ndarray) -> np.ndarray:
        frame = _frame(along, len(own))
        return np.stack([np.interp(frame + s, own, row, np.nan, np.nan) for row, s in zip(sums, along, strict=True)])

    mass, first = of_rows(images.sum(axis=2)), of_rows((images * u).sum(axis=2))
    mean = mass.mean(axis=0)
    rows = np.isfinite(mean)
    rows[rows] = mean[rows] > _LEAST_OF_ROW * max(mean[rows].max(initial=0), 1e-12)
    if not rows.any():
        return np.zeros(len(angles)), np.full(len(angles), np.inf)
    bright = np.nansum(mass[:, rows], axis=1, keepdims=True)
    bright /= bright.mean()
    mass, first = mass[:, rows] / bright, first[:, rows] / bright
    mean = mass.mean(axis=0)
    t = np.deg2rad(angles)
    turning = np.linalg.qr(np.stack([np.cos(t), np.sin(t)], axis=1))[0]
    centre = turning @ (turning.T @ (first / mean))
    # Counts that a row has by chance are not to displace it.
    of_row = (first - centre * (mass - mean)) / mean
    of_row = of_row - turning @ (turning.T @ of_row)
    zeroth, once, twice = (of_rows((counted * u**k).sum(axis=2))[:, rows] for k in range(3))
    noise = (twice - 2 * centre * once + centre**2 * zeroth).mean(axis=0)
    weight = mean**2 / np.maximum(noise, mean)
    moves = (of_row * weight).sum(axis=1) / weight.sum()
    left = (of_row - moves[:, None]) * weight
    return moves, np.sqrt((left**2).sum(axis=1)) / weight.sum()
