r"""Images as the other tilts predict them: the judge of an alignment, and the target of its moves.

The tilts are divided into groups. For each group a volume is reconstructed from all others (SIRT, a few
iterations, no negative mass, wider than the images by what tilted ones see beyond them) and projected to the tilts that
were left out. An image is compared with that prediction, of which it is no part: a volume made from displaced images
agrees with them, but it does not predict the next one. The comparison is over the same pixels whatever the
shifts are, those of the image itself.

The displacement d of an image i against its prediction p, which is brought to its brightness, is where their
correlation is highest. With r = i - p its standard error is

    sigma_d^2 = A sum (r dp/dx)^2 / (sum di/dx dp/dx)^2,   A = 4 pi s^2,

noise being alike over A pixels after smoothing with a Gaussian of s pixels. Image and prediction share no noise, so
none enters the denominator.

The depth of the volume matters: in one that is too deep mass smears out along the beam and the field's edge draws the
images of an extended film along. It is chosen by the same prediction.

Formulas: prediction of left-out tilts (`predicted`); error of a displacement (`compared`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_diptomo.align.image_correlation import FINE, displacement, normalised_correlation, prepared
from napari_diptomo.geometry import ParallelBeam

#: Of the SIRT, and of the accelerated one, worth its square, that shows what the shifts have to be right for.
_SIRT_ITERATIONS, _FINELY = 8, 20
#: Depths of the volume that are tried, of the width of the images.
DEPTHS = (1.0, 0.75, 0.5, 0.33, 0.2)
#: Tilts that are left out at a time: every third, so that both neighbours stay, or of many every second.
_GROUPS, _MANY, _GROUPS_OF_MANY = 3, 40, 2
_LEAST_DEPTH = 8


@dataclass(frozen=True)
class Geometry:
    """Geometry of the images: degrees (tilt,), pixels (tilt, 2), rotation of the axis, depth of the volume in pixels."""

    angles: np.ndarray
    shifts: np.ndarray
    depth: int
    rotation: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """Images (tilt, y, x) as the others predict them, and the rows (tilt, y) for which they say anything."""

    images: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """Images against the predictions of the tilts around them.

    Attributes
    ----------
    scores : ndarray (tilt,)
        Normalised correlation.
    moves, errors : ndarray (tilt, 2)
        By how much the image is displaced against its prediction, and the standard error, pixels (y, x).
    """

    scores: np.ndarray
    moves: np.ndarray
    errors: np.ndarray

    @property
    def score(self) -> float:
        """Mean over the tilts."""
        return float(self.scores.mean())

    @property
    def standard_error(self) -> float:
        """Typical standard error of a displacement over both axes, pixels: the root of the median over the tilts."""
        return float(np.sqrt(np.median((self.errors**2).sum(axis=1))))

    def better_than(self, other: Comparison, errors: float = 1.0) -> bool:
        """Whether the mean score is higher by more than ``errors`` standard errors of the differences of the tilts."""
        gain = self.scores - other.scores
        return bool(gain.mean() > errors * gain.std(ddof=1) / np.sqrt(len(gain)))


def height_of(images: np.ndarray, geometry: Geometry) -> float:
    """Height of the specimen in pixels from the middle of a volume of all tilts.

    Mass is smeared along z over the whole wedge; detail is sharpest where it
    is, so the planes are weighted by the energy of their detail.
    """
    every = np.ones(len(images), bool)
    beam = _beam(images.shape, geometry, every)
    sirt = _SIRT(np.ones(images.shape[:2], np.float32), beam)
    volume = sirt.volume(images.astype(np.float32), _SIRT_ITERATIONS)
    beyond = (beam.shape[2] - images.shape[2]) // 2
    planes = volume[0, :, :, beyond : beyond + images.shape[2]]
    energy = np.array([(prepared(plane) ** 2).sum() for plane in planes])
    weight = np.maximum(energy - 0.5 * energy.max(), 0)
    z = np.arange(len(planes)) - (len(planes) - 1) / 2
    return float((z * weight).sum() / weight.sum()) if weight.sum() > 0 else 0.0


def depth_of(images: np.ndarray, share: float) -> int:
    """Depth in pixels of a volume as deep as a share of the width of the images."""
    return max(_LEAST_DEPTH, round(share * images.shape[2]))


def predicted(images: np.ndarray, geometry: Geometry, *, finely: bool = False) -> Prediction:
    """Every image as a volume made without it shows it.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Not negative, zero where there is no mass; ascending tilts.
    geometry : Geometry
    finely : bool
        Whether from a volume with all its detail: of shifts that are nearly right. Of others it shows their error as detail.
    """
    return LeftOut(images.shape, geometry).predicted(images, finely=finely)


class LeftOut:
    """Prediction of left-out tilts in one geometry, to be used for images of one shape again and again.

    Parameters
    ----------
    shape : tuple of int
        Of the images (tilt, y, x); ascending tilts.
    geometry : Geometry
    """

    def __init__(self, shape: tuple[int, ...], geometry: Geometry) -> None:
        tilts, ny, nx = shape
        # Rows that shifts bring in from beyond the images at rest have their position too.
        y, x = np.abs(geometry.shifts).max(axis=0)
        beyond = int(np.ceil(y + (nx / 2 + x) * abs(np.sin(np.deg2rad(geometry.rotation)))))
        self._rows, self._inner = ((0, 0), (beyond, beyond), (0, 0)), slice(beyond, beyond + ny)
        measured = np.pad(np.ones((tilts, ny), np.float32), self._rows[:2])
        padded = (tilts, ny + 2 * beyond, nx)
        groups = min(_GROUPS if tilts <= _MANY else _GROUPS_OF_MANY, tilts)
        self._groups: list[tuple[np.ndarray, _SIRT, ParallelBeam]] = []
        self._seen = np.empty((tilts, ny), bool)
        for group in range(groups):
            out = np.arange(tilts) % groups == group
            sirt = _SIRT(measured[~out], _beam(padded, geometry, ~out))
            left_out = _beam(padded, geometry, out)
            self._seen[out] = _rows_seen(left_out, sirt.rows_of)[:, self._inner]
            self._groups.append((out, sirt, left_out))

    def predicted(self, images: np.ndarray, *, finely: bool = False) -> Prediction:
        """Every image as a volume made without it shows it, as `predicted`."""
        padded = np.pad(images, self._rows).astype(np.float32)
        found = np.empty(images.shape, np.float32)
        iterations = _FINELY if finely else _SIRT_ITERATIONS
        for out, sirt, left_out in self._groups:
            volume = sirt.volume(padded[~out], iterations, accelerated=finely)
            found[out] = left_out.project(volume)[0, :, self._inner]
        return Prediction(found, self._seen)


def projected(
    images: np.ndarray, geometry: Geometry, angles: np.ndarray, iterations: int = _SIRT_ITERATIONS
) -> Callable[[np.ndarray], Prediction]:
    """A volume of all images, to be projected to other tilts.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Not negative, zero where there is no mass; ascending tilts.
    geometry : Geometry
    angles : ndarray (tilt,)
        Other tilts, degrees.
    iterations : int
        Of the SIRT.

    Returns
    -------
    callable
        Takes shifts (tilt, 2) of the other tilts and gives their images.
    """
    beam = _beam(images.shape, geometry, np.ones(len(images), bool))
    sirt = _SIRT(np.ones(images.shape[:2], np.float32), beam)
    volume, rows = sirt.volume(images.astype(np.float32), iterations), sirt.rows_of

    def at(shifts: np.ndarray) -> Prediction:
        depth, rows_of_it, width = beam.shape
        other = ParallelBeam(
            angles, (depth, rows_of_it, width), shifts, columns=images.shape[2], axis_rotation=geometry.rotation
        )
        return Prediction(other.project(volume)[0], _rows_seen(other, rows))

    return at


def compared(images: np.ndarray, predictions: Prediction, upsampling: int, fine: float = FINE) -> Comparison:
    """Scores, displacements and their errors.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
    predictions : Prediction
    upsampling : int
        Displacements are found to 1 / upsampling pixel.
    """
    rows = [
        _compared(prepared(filled(i, rows), fine), prepared(filled(p, rows), fine), upsampling, fine)
        for i, p, rows in zip(images, predictions.images, predictions.rows, strict=True)
    ]
    scores, moves, errors = zip(*rows, strict=True)
    return Comparison(np.array(scores), np.array(moves), np.array(errors))


def filled(image: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The image with rows that nothing predicts as the nearest that is predicted: no edge arises."""
    if rows.all() or not rows.any():
        return image
    known = np.flatnonzero(rows)
    nearest = known[np.abs(np.arange(len(rows))[:, None] - known).argmin(axis=1)]
    return np.asarray(image[nearest])


def _compared(
    image: np.ndarray, prediction: np.ndarray, upsampling: int, fine: float
) -> tuple[float, np.ndarray, np.ndarray]:
    score = normalised_correlation(image, prediction)
    move = displacement(image, prediction, upsampling)
    own = (prediction**2).sum()
    fitted = prediction * ((image * prediction).sum() / own if own > 0 else 0.0)
    alike, left = 4 * np.pi * fine**2, (image - fitted) ** 2
    slopes = [(np.gradient(fitted, axis=axis), np.gradient(image, axis=axis)) for axis in (0, 1)]
    noise = [np.sqrt(alike * float((left * p**2).sum())) for p, _ in slopes]
    shared = [float((i * p).sum()) for p, i in slopes]
    # What shares no slope with its prediction has no place.
    errors = np.array([n / s if s > 0 else np.inf for n, s in zip(noise, shared, strict=True)])
    return score, move, errors


def _beam(images: tuple[int, ...], geometry: Geometry, tilts: np.ndarray) -> ParallelBeam:
    """Of those of the images (tilt, y, x) whose tilts are chosen (tilt,)."""
    _, ny, nx = images
    # Tilted and shifted images look beyond the field of zero tilt: mass there must have its position.
    beyond = nx * (1 / max(np.cos(np.deg2rad(np.abs(geometry.angles).max())), 0.1) - 1)
    width = nx + 2 * int(np.ceil(min(beyond, nx) / 2 + 4 + np.abs(geometry.shifts[:, 1]).max()))
    shape = (geometry.depth, ny, width)
    return ParallelBeam(
        geometry.angles[tilts], shape, geometry.shifts[tilts], columns=nx, axis_rotation=geometry.rotation
    )


class _SIRT:
    """SIRT from the measured rows (tilt, y) of images, and ``rows_of`` (y,) the volume: those that some image shows.

    SIRT is a gradient descent in weighted norms, so it is accelerated as such: A. Beck, M. Teboulle, SIAM J. Imaging Sci. 2
    (2009) 183, equations 4.1-4.3.
    """

    def __init__(self, measured: np.ndarray, beam: ParallelBeam) -> None:
        self._beam = beam
        weight = measured[None, :, :, None] * beam.covered_pixels[None]
        weight = np.broadcast_to(weight, (1, *beam.sinogram_shape)).astype(np.float32)
        self._rows = _inverse(beam.project(np.ones((1, *beam.shape), np.float32))) * weight
        self._columns = _inverse(beam.backproject(weight))
        self.rows_of = (self._columns[0] > 0).any(axis=(0, 2))

    def volume(self, images: np.ndarray, iterations: int, accelerated: bool = False) -> np.ndarray:
        """A volume (1, z, y, x) of images (tilt, y, x)."""
        x = before = np.zeros((1, *self._beam.shape), np.float32)
        inertia = 1.0
        for _ in range(iterations):
            later = (1 + np.sqrt(1 + 4 * inertia**2)) / 2
            ahead = x + np.float32((inertia - 1) / later) * (x - before) if accelerated else x
            before, inertia = x, later
            left = self._beam.project(ahead)
            np.subtract(images[None], left, out=left)
            left *= self._rows
            x = self._beam.backproject(left)
            x *= self._columns
            x += ahead
            np.maximum(x, 0, out=x)
        return x


def _rows_seen(beam: ParallelBeam, rows: np.ndarray) -> np.ndarray:
    """Rows of the images (tilt, y) that only rows of the volume that were seen contribute to."""
    if beam.turn_matrix is not None:
        each = np.broadcast_to(rows[None, :, None], (len(beam.angles), len(rows), beam.slice_columns))
        pixels = beam.turn_matrix @ each.astype(np.float32).ravel()
        return np.asarray(pixels.reshape(beam.sinogram_shape).min(axis=2) > 1 - 1e-3)
    if beam.row_matrices is None:
        return np.broadcast_to(rows, (len(beam.angles), len(rows)))
    return np.asarray(beam.row_matrices @ rows.astype(np.float32) > 1 - 1e-3)


def _inverse(sums: np.ndarray) -> np.ndarray:
    return np.asarray((sums > 1e-3) / np.maximum(sums, 1e-3))
