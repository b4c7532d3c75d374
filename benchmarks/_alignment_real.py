"""Measured tilt series, aligned by us and by others, with what their volumes leave of the images.

The residual is the root mean square of an image less its projection over that of the image, after 50 iterations of SIRT in a
volume as deep as the images are wide, about an upright axis at the shifts of each; images joined to 64 pixels. ETSpy's needle
comes with ETSpy, openNCEM's dust particle is looked for beside the repository.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import mrcfile
import numpy as np

from _alignment_peers import PEERS
from napari_diptomo import load_tilt_series
from napari_diptomo.align import Align
from napari_diptomo.align.held_out_tilts import _SIRT
from napari_diptomo.align.specimen_motion import smallest_shifts
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.reconstruct import TotalVariation
from napari_diptomo.reconstruct.refined_geometry import NOTE
from napari_diptomo.series import MapSeries

OPENNCEM = Path(__file__).parents[2] / 'shared' / 'data' / 'openncem-edx'
_SIZE, _ITERATIONS, _PAD = 64, 50, 24


def residual(images: np.ndarray, angles: np.ndarray, shifts: np.ndarray) -> float:
    """Per cent of the images (tilt, y, x) that a volume at these shifts leaves."""
    rows = ((0, 0), (_PAD, _PAD), (0, 0))
    padded = np.pad(images, rows).astype(np.float32)
    measured = np.pad(np.ones(images.shape[:2], np.float32), rows[:2])
    beam = ParallelBeam(angles, (_SIZE, padded.shape[1], 3 * _SIZE // 2), shifts, columns=_SIZE)
    volume = _SIRT(measured, beam).volume(padded, _ITERATIONS)
    left = beam.project(volume)[0][:, _PAD:-_PAD] - images
    return float(100 * np.sqrt((left**2).sum() / (images**2).sum()))


def ours(maps: MapSeries, **how: object) -> np.ndarray:
    """Shifts (tilt, 2) with what the position of the axis adds."""
    aligned = Align(**{'axis_rotation': 0.0, **how}).run(maps)
    shifts = np.array(aligned.shifts)
    shifts[:, 1] += aligned.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
    return shifts


def refined(maps: MapSeries) -> np.ndarray:
    """Shifts (tilt, 2) as `ours`, then refined together with a volume of TV."""
    aligned = Align(axis_rotation=0.0).run(maps)
    shifts = np.array(TotalVariation(weight=0.6, refine_shifts=True).run(aligned).notes[NOTE]['shifts'])
    shifts[:, 1] += aligned.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
    return shifts


def joined(images: np.ndarray) -> np.ndarray:
    """Images (tilt, y, x) of 64 pixels above their dark level."""
    n = images.shape[1] // _SIZE
    light = images - np.percentile(images, 1)
    return np.maximum(light.reshape(len(images), _SIZE, n, _SIZE, n).mean(axis=(2, 4)), 0)


def beside_others(images: np.ndarray, angles: np.ndarray) -> dict[str, float]:
    """Residuals by who aligned."""
    maps = MapSeries(images[None].astype(np.float32), angles, ('HAADF',))
    found = {'not aligned': residual(images, angles, np.zeros((len(angles), 2)))}
    found['ours'] = residual(images, angles, ours(maps))
    found['ours, refined with the volume'] = residual(images, angles, refined(maps))
    for name, shifts_by in PEERS.items():
        found[name] = residual(images, angles, smallest_shifts(shifts_by(images, angles), angles))
    return found


def needle() -> dict[str, float]:
    """ETSpy's HAADF series, 77 tilts over ±76°; its axis runs along rows."""
    import hyperspy.api as hs
    from etspy import datasets

    folder = Path(datasets.__file__).parent / 'tests' / 'test_data'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with mrcfile.open(folder / 'HAADF.mrc', permissive=True) as file:
            recorded = np.array(file.data, float)
    aligned = np.asarray(hs.load(folder / 'HAADF_Aligned.hspy').data, float)
    angles = np.arange(-76.0, 77.0, 2.0)
    found = beside_others(joined(recorded.transpose(0, 2, 1)), angles)
    found["ETSpy's aligned file"] = residual(joined(aligned.transpose(0, 2, 1)), angles, np.zeros((77, 2)))
    return found


def dust_particle() -> dict[str, float]:
    """openNCEM's series: HAADF images, and how far their shifts are from those of the sum of the X-rays (rms, pixels of 256)."""
    series = load_tilt_series(OPENNCEM, binning=4)
    x_rays = np.stack([tilt[..., 80:1000].sum(axis=-1).compute() for tilt in series.counts])
    images = joined(np.asarray(series.haadf, float))
    found = beside_others(images, series.angles)
    counts = MapSeries(x_rays[None].astype(np.float32), series.angles, ('all',))
    maps = MapSeries(images[None].astype(np.float32), series.angles, ('HAADF',))
    apart = without_rigid_motion(ours(counts) - ours(maps), series.angles)
    found['HAADF and X-rays apart along y, pixels'], found['along x'] = (4 * np.sqrt((apart**2).mean(axis=0))).tolist()
    return found
