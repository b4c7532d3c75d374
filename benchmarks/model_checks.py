"""What a wrong model costs, what the default settings make of it, and what is said of it: docs/model-checks.md.

Every mismatch is reconstructed as it comes and as it should be, and the findings
are listed. ``python benchmarks/model_checks.py [--size 36] [--method dip|tv|sirt]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_diptomo.assess import psnr
from napari_diptomo.reconstruct import SIRT, DIPmTV, Reconstruction, TotalVariation
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.simulate import lamella, tilt_series
from napari_diptomo.simulate.phantoms import Phantom
from napari_diptomo.simulate.specimens import facetted, interdiffusion, needle, porous

ANGLES = np.arange(-40, 41, 5.0)
SPECIMENS: dict[str, tuple[Callable[..., Phantom], int]] = {
    'lamella': (lamella, 3),
    'porous': (porous, 3),
    'needle': (needle, 1),
    'facetted': (facetted, 3),
    'interdiffusion': (interdiffusion, 2),
}
METHODS: dict[str, Reconstruction] = {
    'dip': DIPmTV(iterations=120),
    'tv': TotalVariation(iterations=300),
    'sirt': SIRT(iterations=40),
}
PAGE = Path(__file__).parents[1] / 'docs' / 'model-checks.md'


@dataclass(frozen=True, eq=False)
class Mismatch:
    """Data, the same data as they should be treated, and the truth in the unit of the data."""

    maps: MapSeries
    truth: np.ndarray
    changes: dict[str, Any]
    rightly: MapSeries | None
    scale: float = 1.0


def _clean(kind: str, size: int, peak: float, seed: int, shifts: np.ndarray | None = None) -> Any:
    make, member = SPECIMENS[kind]
    return tilt_series(make(size, member), ANGLES, peak, seed=seed, shifts=shifts)


def mismatch(case: str, kind: str, size: int = 36, peak: float = 30.0, seed: int = 1) -> Mismatch:
    """A series with one fault."""
    rng = np.random.default_rng((seed, 7))
    if case == 'specimen leaves the field':
        return _cropped(kind, size, peak, seed)
    if case in ('shifts 1 px rms', 'shifts 0.5 px rms'):
        shifts = rng.normal(0, float(case.split()[1]), (len(ANGLES), 2))
        # What all tilts share is the position of the specimen, which the truth knows and no data can.
        shifts -= shifts.mean(0)
        s = _clean(kind, size, peak, seed, shifts)
        return Mismatch(s.maps, s.truth.data, {}, replace(s.maps, shifts=shifts))
    s = _clean(kind, size, peak, seed)
    maps, truth = s.maps, s.truth.data
    if case == 'clean':
        return Mismatch(maps, truth, {}, None)
    if case.startswith('counts times'):
        factor = float(case.split()[-1])
        return Mismatch(replace(maps, data=maps.data * np.float32(factor)), truth * factor, {}, maps, factor)
    if case == 'dose 5 % per tilt':
        gain = 1 + 0.05 * rng.standard_normal(len(ANGLES))
        data = rng.poisson(s.clean * gain[None, :, None, None])
        return Mismatch(replace(maps, data=data), truth, {'fit_gain': True}, replace(maps, data=data))
    if case == 'leak 10 %':
        mixing = np.eye(3) + 0.1
        data = rng.poisson(np.einsum('wc,ctyx->wtyx', mixing, s.clean))
        return Mismatch(replace(maps, data=data), truth, {}, replace(maps, data=data, mixing=mixing))
    if case == 'background 10 %':
        background = np.full_like(s.clean, 0.1 * s.clean.max())
        data = rng.poisson(s.clean + background)
        return Mismatch(replace(maps, data=data), truth, {}, replace(maps, data=data, background=background))
    if case == 'camera gain 8':
        data = np.round(np.maximum(8 * maps.data + rng.normal(0, 1, maps.data.shape) * (maps.data > 0), 0))
        return Mismatch(replace(maps, data=data), truth * 8, {}, maps, 8.0)
    if case == 'frames averaged':
        data = np.round(rng.poisson(s.clean * 4) / 4)
        return Mismatch(replace(maps, data=data), truth, {}, None)
    if case == 'smoothed':
        data = np.round(ndimage.gaussian_filter(maps.data, (0, 0, 0.7, 0.7)))
        return Mismatch(replace(maps, data=data), truth, {}, maps)
    raise ValueError(case)


def _cropped(kind: str, size: int, peak: float, seed: int) -> Mismatch:
    """A specimen half as large again, of which the images show the middle; of a needle, the part at one side."""
    s = _clean(kind, size * 3 // 2, peak, seed)
    wide = s.maps.data.shape[3]
    left, middle = (wide - size) // 2, slice((wide - size) // 2, (wide - size) // 2 + size)
    offset = 0 if kind != 'needle' else size // 5
    maps = replace(s.maps, data=s.maps.data[:, :, middle, left + offset : left + offset + size])
    # The tilt axis stays where it was: seen from the middle of the images, at one side.
    maps = replace(maps, axis_shift=-float(offset))
    truth = s.truth.data[:, middle, middle, left + offset : left + offset + size]
    return Mismatch(maps, truth, {'beyond_field': True}, maps)


CASES = (
    'clean',
    'specimen leaves the field',
    'counts times 10',
    'counts times 0.1',
    'dose 5 % per tilt',
    'shifts 0.5 px rms',
    'shifts 1 px rms',
    'leak 10 %',
    'background 10 %',
    'camera gain 8',
    'frames averaged',
    'smoothed',
)


def _db(volume: Volume, truth: np.ndarray) -> float:
    return float(psnr(volume.data, truth).mean())


def row(case: str, kind: str, step: Reconstruction, size: int, peak: float) -> dict[str, Any]:
    """PSNR as it comes and as it should be, and what was found."""
    m = mismatch(case, kind, size, peak)
    plain = step.run(m.maps)
    right = None
    if m.rightly is not None:
        right = type(step)(**{**step.model_dump(), **m.changes}).run(m.rightly)
        if m.scale != 1:
            right = replace(right, data=right.data * m.scale)
    doubts = [f for f in plain.findings if f.level == 'doubt']
    return {
        'case': case,
        'specimen': kind,
        'default': _db(plain, m.truth),
        'rightly': None if right is None else _db(right, m.truth),
        'doubts': [f.about for f in doubts],
        'notes': [f.about for f in plain.findings if f.level == 'note'],
        'doubts when treated rightly': [] if right is None else [f.about for f in right.findings if f.level == 'doubt'],
    }
