"""Iron of two phases in every pixel, as images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from napari_diptomo.spectra.eels.standards.leading_edge import DeepEdge

#: Pixels with at least this share of a phase are pure.
_PURE = 0.95


@dataclass(frozen=True, eq=False)
class PhaseAmounts:
    """Iron of two phases by their deep edge.

    Attributes
    ----------
    names : tuple of str
        The phases, reduced one first.
    amounts : ndarray (core tilt, y, x, phase)
        Iron atoms up to a factor; NaN where there is no iron.
    covariance : ndarray (core tilt, y, x, phase, phase)
        Of counting; NaN likewise.
    energy : ndarray (energy,)
        eV, true ones where the axis was wrong.
    shapes : ndarray (energy, phase)
        L2,3 of the phases per iron atom; FeO has one count in L3.
    deviation : ndarray (energy, phase)
        Standard deviation of ``shapes``.
    share : float
        FeO that was taken out of the purest Fe3O4, as a share of its iron.
    share_error : float
        Its standard deviation: what of FeO may still be, or be missing, in Fe3O4.
    pure : dict of str to ndarray (core tilt, y, x), bool
        Pixels of each phase alone.
    ends : dict of str to ndarray (core tilt, y, x), bool
        Pixels whose mean is the end of the segment.
    tilts : tuple of int
        Of the series.
    method : str
        What the phases were found by.
    notes : dict
        Numbers and sentences (JSON-ready).
    """

    names: tuple[str, ...]
    amounts: np.ndarray
    covariance: np.ndarray
    energy: np.ndarray
    shapes: np.ndarray
    deviation: np.ndarray
    share: float
    share_error: float
    pure: dict[str, np.ndarray]
    ends: dict[str, np.ndarray]
    tilts: tuple[int, ...]
    method: str
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def iron(self) -> np.ndarray:
        """Pixels with iron, (core tilt, y, x)."""
        return np.isfinite(self.amounts[..., 0])


def as_images(
    edge: DeepEdge,
    iron: np.ndarray,
    amounts: np.ndarray,
    covariance: np.ndarray,
    energy: np.ndarray,
    shapes: np.ndarray,
    deviation: np.ndarray,
    share: tuple[float, float],
    pixels: np.ndarray,
    method: str,
    notes: dict[str, Any],
) -> PhaseAmounts:
    """From the pixels with iron, (pixel, phase) and so on, back to images; names the pixels that are pure."""
    images = np.full((*iron.shape, 2), np.nan)
    images[iron] = amounts
    covariances = np.full((*iron.shape, 2, 2), np.nan)
    covariances[iron] = covariance
    smooth = ndimage.gaussian_filter(np.nan_to_num(images), (0, 1, 1, 0))
    fraction = smooth / np.maximum(smooth.sum(axis=-1, keepdims=True), 1e-12)
    pure = {name: iron & (fraction[..., i] > _PURE) for i, name in enumerate(edge.phases)}
    ends = {}
    for name, chosen in zip(edge.phases, pixels, strict=True):
        ends[name] = np.zeros(iron.shape, bool)
        ends[name][iron] = chosen
    for name, mask in pure.items():
        notes[f'pixels_of_pure_{name}'] = int(mask.sum())
    return PhaseAmounts(
        edge.phases, images, covariances, energy, shapes, deviation, *share, pure, ends, (), method, notes
    )  # fmt: skip
