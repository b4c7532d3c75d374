"""Projections of a volume beside the maps that it was made from, on the pixels that show the volume alone.

A specimen larger than the images puts matter into the tilted images that is cut off the volume in the end. Only pixels
whose ray runs inside the volume that was kept are compared. Window counts are compared as the element maps that they
stand for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import Reconstruction
from napari_diptomo.reconstruct.counting_unit import in_counts
from napari_diptomo.reconstruct.data_split import noise_variance
from napari_diptomo.reconstruct.grid import volume_shape
from napari_diptomo.reconstruct.refined_geometry import in_geometry_of
from napari_diptomo.series import InputError, MapSeries, Volume
from napari_diptomo.series.counts import thin
from napari_diptomo.series.outliers import without_outliers

#: Share of a ray's length that must lie in the volume for its pixel to be compared.
_INSIDE = 0.999
#: Smallest variance of a count: pixels where nothing is expected do not know their own.
_LEAST_VARIANCE = 0.1


@dataclass(frozen=True, eq=False)
class Reprojection:
    """Maps and what the volume makes expect of them.

    Attributes
    ----------
    maps : MapSeries
        By element, without outliers, in the unit of the data.
    counted : MapSeries
        The same in counts, where they are multiples of one.
    expected : ndarray (channel, tilt, y, x)
        Projections, gain and background included.
    noise : ndarray (channel, tilt, y, x)
        Variance of the maps: what is expected where they are counts, else as the maps or their neighbours say.
    unit : ndarray (channel,), optional
        What one count is in the unit of the data; None where they are no counts.
    seen : ndarray of bool (tilt, y, x)
        The pixels that show the volume and nothing else.
    """

    maps: MapSeries
    counted: MapSeries
    expected: np.ndarray
    noise: np.ndarray
    unit: np.ndarray | None
    seen: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """Measured less expected in standard deviations of the noise, (channel, tilt, y, x); 0 where not compared.

        Where next to nothing is expected of counts, the deviation is that of a tenth of one.
        """
        noise = self.noise
        if self.unit is not None:
            noise = np.maximum(noise, _LEAST_VARIANCE * self.unit[:, None, None, None] ** 2)
        return np.where(self.seen[None], (self.maps.data - self.expected) / np.sqrt(noise), 0).astype(np.float32)


def reprojection(volume: Volume, maps: MapSeries) -> Reprojection:
    """Project a volume as its maps were recorded.

    Parameters
    ----------
    volume : Volume
        Counts, as a reconstruction made them.
    maps : MapSeries
        What was reconstructed: its geometry is taken, with shifts that the reconstruction refined.

    Returns
    -------
    Reprojection

    Raises
    ------
    InputError
        The volume is not of these maps: other channels, or another field.
    """
    if volume.channels != maps.channels:
        raise InputError(
            f'The volume has the channels {", ".join(volume.channels)} and the maps {", ".join(maps.channels)}; take the '
            'maps that it was made from.'
        )
    if volume.data.shape[2:] != maps.data.shape[2:]:
        ny, nx = maps.data.shape[2:]
        raise InputError(
            f'The volume has {volume.data.shape[3]} x {volume.data.shape[2]} voxels (x, y) and the maps {nx} x {ny} pixels; '
            'take the maps that it was made from.'
        )
    maps = in_geometry_of(volume.notes, maps)
    # The reconstruction left them out as well.
    maps, _ = without_outliers(maps)
    counted = by_element(in_counts(maps).maps)
    maps = by_element(maps)
    beam = ParallelBeam(
        maps.angles,
        volume.data.shape[1:],
        maps.shifts,
        maps.axis_shift,
        maps.data.shape[3],
        axis_rotation=maps.axis_rotation,
    )
    seen = _accounted_for(beam, volume, maps)
    if maps.missing is not None:
        seen &= ~maps.missing.any(axis=0)
    if not seen.any():
        raise InputError('No pixel of the maps shows the volume alone, so they cannot be compared.')
    expected = beam.project(volume.data)
    if maps.gain is not None:
        expected = expected * maps.gain[:, :, None, None]
    if maps.background is not None:
        expected = expected + maps.background
    if not counted.are_counts:
        return Reprojection(maps, counted, expected, noise_variance(maps), None, seen)
    unit = _unit(maps, counted)
    return Reprojection(maps, counted, expected, np.maximum(expected, 0) * unit[:, None, None, None], unit, seen)


def by_element(maps: MapSeries) -> MapSeries:
    """Element maps of window counts, with a held-out part.

    Parameters
    ----------
    maps : MapSeries

    Returns
    -------
    MapSeries
        The series itself where it is one of element maps.
    """
    if maps.mixing is not None and maps.held_out is None and maps.are_counts:
        half = thin(maps.data, 0.5, np.random.default_rng(0))
        maps = replace(maps, held_out=half, held_out_share=0.5)
    return maps.unmixed()


def _unit(maps: MapSeries, counted: MapSeries) -> np.ndarray:
    """One count in the unit of the data, (channel,)."""
    pairs = zip(maps.data, counted.data, strict=True)
    return np.array([float(data.sum() / counts.sum()) if counts.any() else 1.0 for data, counts in pairs])


def _accounted_for(beam: ParallelBeam, volume: Volume, maps: MapSeries) -> np.ndarray:
    # Rows that were shifted in from outside are not of this volume.
    rows = np.broadcast_to(beam.covered_pixels, beam.sinogram_shape)
    solved = _solved_shape(volume, maps)
    if solved == beam.shape:
        return rows.copy()
    whole = ParallelBeam(
        maps.angles, solved, maps.shifts, maps.axis_shift, beam.columns, axis_rotation=beam.axis_rotation
    )
    length, kept = _ray_lengths(whole), _ray_lengths(beam)
    return rows & (length > 0) & (kept >= _INSIDE * length)


def _solved_shape(volume: Volume, maps: MapSeries) -> tuple[int, int, int]:
    """Shape (z, y, x) before the volume was cut to the field of view."""
    step = volume.recipe.steps[-1] if volume.recipe is not None and volume.recipe.steps else None
    if not isinstance(step, Reconstruction):
        nz, ny, nx = volume.data.shape[1:]
        return nz, ny, nx
    return volume_shape(maps, step.thickness, step.beyond_field)


def _ray_lengths(beam: ParallelBeam) -> np.ndarray:
    """Length of each ray inside the volume, pixels, (tilt, 1, u), with a turned axis (tilt, y, u)."""
    if beam.turn_matrix is not None:
        return np.asarray(beam.project(np.ones((1, *beam.shape), np.float32))[0])
    return np.asarray(beam.matrix.sum(axis=1)).reshape(len(beam.angles), 1, beam.columns)
