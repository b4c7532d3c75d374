"""The frame that an alignment finds: shifts, axis, errors, comparison; and its notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_diptomo.align.held_out_tilts import Comparison, Geometry
from napari_diptomo.align.reference_images import ComparedImages
from napari_diptomo.align.specimen_motion import Axis
from napari_diptomo.align.tilt_shifts import ShiftSource, TiltShift


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the images of a series lie, tilts ascending.

    Attributes
    ----------
    shifts : ndarray (tilt, 2)
        Pixels of the maps (y, x), without what the position of the axis adds.
    axis : Axis
    geometry : Geometry
        In which the images were compared, binned pixels; it may differ from the shifts by a motion of the specimen.
    comparison : Comparison
        With what the other tilts predict, binned pixels.
    errors : ndarray (tilt, 2)
        Standard errors of the shifts, binned pixels.
    hidden : ndarray (tilt, 2)
        Of these the part of tilts that are unlike the others, see `misfit_errors`.
    """

    shifts: np.ndarray
    axis: Axis
    geometry: Geometry
    comparison: Comparison
    errors: np.ndarray
    hidden: np.ndarray

    def in_pixels(self, binning: int) -> Comparison:
        """The comparison with the errors of the shifts, pixels of the maps."""
        return Comparison(self.comparison.scores, self.comparison.moves * binning, self.errors * binning)

    def left_in(self, binning: int) -> np.ndarray:
        """The excess of the compared geometry over the shifts (tilt, 2), pixels of the maps."""
        return np.asarray(self.geometry.shifts * binning - self.shifts)

    def notes(
        self, images: ComparedImages, shifts: np.ndarray, by_hand: np.ndarray, source: ShiftSource
    ) -> dict[str, Any]:
        """Its numbers, JSON-ready; ``shifts`` and ``by_hand`` (tilt, 2) are those of the series, in its order."""
        n = images.binning
        in_pixels = self.in_pixels(n)
        tilts = series_table(images, shifts, in_pixels, by_hand, source)
        return {
            'largest_shift': float(np.abs(self.shifts).max()),
            'rms_shift': float(np.sqrt((self.shifts**2).mean())),
            'correlation_after': self.comparison.score,
            'standard_error': finite(in_pixels.standard_error),
            'depth': self.geometry.depth * n,
            'axis_shift': self.axis.shift,
            'axis_uncertainty': finite(self.axis.uncertainty),
            'axis_rotation': self.geometry.rotation,
            'compared_at': images.spread(self.left_in(n)).tolist(),
            'tilts': [row.to_dict() for row in tilts],
        }


def series_table(
    images: ComparedImages, shifts: np.ndarray, comparison: Comparison, by_hand: np.ndarray, source: ShiftSource
) -> list[TiltShift]:
    """`tilt_table` of all tilts of a series in its order, those that were not compared without score."""
    none = np.full(len(shifts), np.nan)
    scores, errors = none.copy(), np.stack([none, none], axis=1)
    scores[images.order], errors[images.order] = comparison.scores, comparison.errors
    return tilt_table(images.all_angles, shifts, Comparison(scores, np.zeros_like(errors), errors), by_hand, source)


def tilt_table(
    angles: np.ndarray, shifts: np.ndarray, comparison: Comparison, by_hand: np.ndarray, source: ShiftSource
) -> list[TiltShift]:
    """A row per tilt: shifts in pixels, scores and errors of the comparison, where by hand is not zero that as the source."""
    rows = zip(
        angles, shifts, comparison.scores, np.hypot(*comparison.errors.T), np.asarray(by_hand.any(axis=1)), strict=True
    )
    return [
        TiltShift(
            float(angle),
            float(dx),
            float(dy),
            finite(float(score)),
            finite(float(error)),
            'by hand' if corrected else source,
        )
        for angle, (dy, dx), score, error, corrected in rows
    ]


def finite(value: float) -> float | None:
    """The number, or None where it is none (JSON has no infinity)."""
    return float(value) if np.isfinite(value) else None
