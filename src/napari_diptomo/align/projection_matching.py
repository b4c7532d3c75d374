"""Shifts that make all images agree with one volume.

Each round reconstructs the reference images by a few SIRT iterations with the
shifts so far, projects the volume back and moves every image to its own
projection (projection matching; Dengler 1989, Ultramicroscopy 30, 337). That
takes the height of the details into account, which a chain of pairs cannot,
and spreads its accumulated errors. Few iterations matter: a volume fitted
closely to displaced images asks for no correction.

Formulas: projection matching (`matched_shifts`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_diptomo.align.image_correlation import displacement, normalised_correlation, prepared
from napari_diptomo.align.specimen_motion import without_rigid_motion
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.series import Watch

_SIRT_ITERATIONS = 3
_OVERSHOOT = 1.5  # the volume has seen the displaced image, so the displacement comes out short
_LARGEST_STEP = 1.5  # pixels per round
_DEPTH = 0.75  # of the width of the images
_SETTLED = 0.02  # pixels, rms


@dataclass(frozen=True)
class Match:
    """Shifts (tilt, 2) in pixels; normalised correlation of images and projections before and after; height of the specimen in pixels."""

    shifts: np.ndarray
    before: float
    after: float
    rounds: int
    height: float


def matched_shifts(
    images: np.ndarray, angles: np.ndarray, shifts: np.ndarray, upsampling: int, rounds: int, watch: Watch, done: int
) -> Match:
    """Improve shifts by projection matching.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Not negative, zero where there is no mass.
    angles : ndarray (tilt,)
        Degrees.
    shifts : ndarray (tilt, 2)
        To start from, pixels (y, x).
    rounds : int
        At most; the shifts of the best round are returned.
    done : int
        Steps of ``watch`` that lie behind.
    """
    targets = [prepared(image) for image in images]
    best, best_score, height, before = shifts, -np.inf, 0.0, 0.0
    current = shifts
    taken = 0
    for taken in range(rounds + 1):
        volume, projections = _reconstruct(images, angles, current)
        pictures = [prepared(projection) for projection in projections]
        score = float(np.mean([normalised_correlation(a, b) for a, b in zip(targets, pictures, strict=True)]))
        before = score if taken == 0 else before
        if score > best_score:
            best, best_score, height = current, score, _height(volume, images.shape[2])
        if taken == rounds:
            break
        found = np.array([displacement(a, b, upsampling) for a, b in zip(targets, pictures, strict=True)])
        moved = without_rigid_motion(np.clip(_OVERSHOOT * found, -_LARGEST_STEP, _LARGEST_STEP), angles)
        current = current + moved
        if watch.step(done + taken + 1, {'correlation': score}, message='matching projections'):
            break
        if np.sqrt((moved**2).mean()) < _SETTLED:
            break
    return Match(best, before, best_score, taken, height)


def _reconstruct(images: np.ndarray, angles: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tilts, ny, nx = images.shape
    # Tilted images look beyond the field of zero tilt: mass there must have its position.
    beyond = nx * (1 / np.cos(np.deg2rad(np.abs(angles).max())) - 1)
    width = nx + 2 * int(np.ceil(min(beyond, nx) / 2 + 4))
    depth = max(8, round(_DEPTH * nx))
    beam = ParallelBeam(angles, (depth, ny, width), shifts, columns=nx)
    rows = _inverse(beam.project(np.ones((1, depth, ny, width), np.float32)))
    columns = _inverse(beam.backproject(np.ones((1, tilts, ny, nx), np.float32)))
    x = np.zeros((1, depth, ny, width), np.float32)
    measured = images[None].astype(np.float32)
    for _ in range(_SIRT_ITERATIONS):
        x = np.maximum(x + columns * beam.backproject(rows * (measured - beam.project(x))), 0)
    return x[0], beam.project(x)[0]


def _inverse(sums: np.ndarray) -> np.ndarray:
    return (sums > 1e-3) / np.maximum(sums, 1e-3)


def _height(volume: np.ndarray, columns: int) -> float:
    """Height of the specimen in pixels from the middle of the volume.

    Mass is smeared along z over the whole wedge; detail is sharpest where it
    is, so the planes are weighted by the energy of their detail.
    """
    beyond = (volume.shape[2] - columns) // 2
    planes = volume[:, :, beyond : beyond + columns]
    energy = np.array([(prepared(plane) ** 2).sum() for plane in planes])
    weight = np.maximum(energy - 0.5 * energy.max(), 0)
    z = np.arange(len(volume)) - (len(volume) - 1) / 2
    return float((z * weight).sum() / weight.sum()) if weight.sum() > 0 else 0.0
