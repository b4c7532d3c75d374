"""Displaced tilt series of specimens of several kinds, with known shifts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import ndimage

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.series import MapSeries
from napari_diptomo.simulate import edx_phantom, eels_phantom, facetted, lamella, needle, porous

ANGLES = np.arange(-40.0, 41.0, 5.0)
SIZE, FINE, AXIS = 48, 2, 3.0
BESIDE = 24  # pixels beyond the images that are simulated


def film(thickness: float, seed: int) -> np.ndarray:
    """A film beyond the field of view, thickness as a share of its width, with spheres in it; (z, y, x)."""
    rng = np.random.default_rng(seed)
    wide, deep = 2 * SIZE * FINE, int(SIZE * thickness + 2) * FINE
    half = SIZE * thickness / 2 * FINE
    z, y, x = np.ogrid[:deep, :wide, :wide]
    z = z - (deep - 1) / 2
    inside = np.abs(z) < half
    texture = ndimage.gaussian_filter(rng.normal(size=(deep, wide, wide)), 4 * FINE)
    found = inside * (1 + 0.15 * np.clip(texture / texture.std(), -2, 2))
    for _ in range(90):
        at = rng.uniform(-half, half), rng.uniform(0, wide), rng.uniform(0, wide)
        radius = rng.uniform(0.03, 0.08) * SIZE * FINE
        sphere = ((z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 < radius**2) & inside
        found = np.where(sphere, (1.3, 1.0, 0.9, 0.0)[rng.integers(4)], found)
    return found


SPECIMENS: dict[str, Callable[[], np.ndarray]] = {
    'thick film beyond the field': lambda: film(0.3, 3),
    'thin film beyond the field': lambda: film(0.12, 5),
    'EDX phantom': lambda: edx_phantom(SIZE).fine.sum(axis=0),
    'lamella': lambda: lamella(SIZE, 12).fine.sum(axis=0),
    'nanocube': lambda: eels_phantom(SIZE).fine.sum(axis=0),
    'needle': lambda: needle(SIZE, 1).fine.sum(axis=0),
    'facetted particles': lambda: facetted(SIZE, 2).fine.sum(axis=0),
    'porous body': lambda: porous(SIZE, 1).fine.sum(axis=0),
}


@lru_cache(maxsize=len(SPECIMENS))
def projections(name: str, rotation: float = 0.0) -> np.ndarray:
    """Of a specimen at rest about an axis turned by ``rotation`` degrees, (tilt, y, x), wider than the images by what jitter brings in."""
    beside = BESIDE * FINE
    padded = np.pad(SPECIMENS[name](), ((0, 0), (beside, beside), (0, 0)))[None].astype(np.float32)
    columns = padded.shape[3] + 2 * beside
    return ParallelBeam(ANGLES, padded.shape[1:], columns=columns, axis_rotation=rotation).project(padded)[0]


def series(still: np.ndarray, jitter: float, peak: float, seed: int) -> tuple[MapSeries, np.ndarray]:
    """Displaced images with counting noise, and the true shifts (tilt, 2)."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(-jitter, jitter, (len(ANGLES), 2))
    true[:, 1] += AXIS * (1 - np.cos(np.deg2rad(ANGLES)))
    y0, x0 = ((n - SIZE * FINE) // 2 for n in still.shape[1:])
    part = np.s_[y0 : y0 + SIZE * FINE, x0 : x0 + SIZE * FINE]
    moved = [ndimage.shift(image, shift * FINE, order=3)[part] for image, shift in zip(still, true, strict=True)]
    clean = np.array(moved).reshape(len(ANGLES), SIZE, FINE, SIZE, FINE).sum(axis=(2, 4))
    counts = rng.poisson(np.maximum(clean * peak / clean.max(), 0))
    return MapSeries(counts[None].astype(np.float32), ANGLES, ('all',)), true


def whole_shifts(maps: MapSeries) -> np.ndarray:
    """Shifts (tilt, 2) of an aligned series with what the position of the axis adds."""
    whole = np.array(maps.shifts, float)
    whole[:, 1] += maps.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
    return whole


def error(shifts: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distance of each tilt (tilt,) from the truth, motions of the specimen left out, pixels."""
    return np.hypot(*without_rigid_motion(shifts - true, ANGLES).T)


def rms(distances: np.ndarray) -> float:
    return float(np.sqrt((distances**2).mean()))
