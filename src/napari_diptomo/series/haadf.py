"""A HAADF tilt series with tilts of its own, beside the spectra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_diptomo.series.array_checks import (
    as_float32,
    check_angles,
    check_length,
    check_positive,
    check_shape,
    check_shifts,
    set_values,
)
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.evidence import Evidence
from napari_diptomo.series.findings import Finding

#: Images below which a HAADF series adds nothing to a fit.
FEWEST = 3


def named(sentence: str) -> str:
    """A sentence of a check that serves other series too, as one about a HAADF series."""
    return sentence if 'HAADF series' in sentence else f'HAADF series: {sentence}'


@dataclass(frozen=True, eq=False)
class HAADFSeries:
    """Images of the specimen of a `MapSeries` at tilts of their own, as recorded.

    Attributes
    ----------
    images : ndarray (tilt, y, x), float32
        Intensities in units of the detector, whose dark level need not be zero.
    angles : ndarray (tilt,)
        Degrees.
    pixel_size : float
        nm.
    shifts : ndarray (tilt, 2)
        Where the specimen sits in each image relative to the common frame, pixels (y, x).
    axis_shift : float
        Tilt axis from the middle of the images along x, pixels.
    axis_rotation : float
        Of the tilt axis in the image plane, degrees; see `MapSeries`.
    missing : ndarray of bool like images, optional
        Pixels without information: they carry no weight. Their intensity becomes 0.
    angle_source : str
        Where the angles were taken from, in words.
    notes : mapping
        Results worth recording (JSON-ready).
    findings : tuple of Finding
        What loading and alignment noticed.
    evidence : tuple of Evidence
        What each source says of the angles.

    Raises
    ------
    InputError
        Shapes that do not fit each other, values that are not finite and not marked as missing.
    """

    images: np.ndarray
    angles: np.ndarray
    pixel_size: float = 1.0
    shifts: np.ndarray | None = None
    axis_shift: float = 0.0
    axis_rotation: float = 0.0
    missing: np.ndarray | None = None
    angle_source: str = ''
    notes: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        try:
            self._check()
        except InputError as error:
            raise InputError(named(str(error))) from None

    def _check(self) -> None:
        if np.ndim(self.images) != 3:
            raise InputError(
                f'HAADF images need the axes (tilt, y, x), not {np.ndim(self.images)} axes; stack them so.'
            )
        if self.missing is not None:
            missing = np.asarray(self.missing, bool)
            check_shape('The mask of missing pixels', missing.shape, np.shape(self.images))
            images = np.where(missing & ~np.isfinite(self.images), 0, self.images)
            set_values(self, images=images, missing=missing if missing.any() else None)
        angles = np.asarray(self.angles, float)
        shifts = np.zeros((len(angles), 2)) if self.shifts is None else np.asarray(self.shifts, float)
        set_values(self, images=as_float32(self.images, 'HAADF images'), angles=angles, shifts=shifts)
        check_length('angles', angles, 'HAADF images', len(self.images))
        check_angles(angles)
        check_shape('The shifts', shifts.shape, (len(angles), 2))
        check_shifts(shifts, angles)
        check_positive('pixel size', self.pixel_size)

    def at(self, kept: np.ndarray) -> HAADFSeries:
        """The series at some of its tilts.

        Parameters
        ----------
        kept : ndarray of bool (tilt,)

        Returns
        -------
        HAADFSeries
        """
        assert self.shifts is not None, 'it has them'
        return replace(
            self,
            images=self.images[kept],
            angles=self.angles[kept],
            shifts=self.shifts[kept],
            missing=None if self.missing is None else self.missing[kept],
            evidence=tuple(Evidence(one.source, one.values[kept], one.kind) for one in self.evidence),
        )
