"""A stack of images as a file has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_diptomo.series.findings import Finding


@dataclass(frozen=True)
class ImageStack:
    """Images of all tilts, or of one.

    Attributes
    ----------
    path : Path
        The file.
    data : ndarray (tilt, y, x)
        float32.
    pixel_size : float, optional
        nm.
    angles : dict
        What the file says of the angle of each image, degrees, by where it stands.
    label : str
        The element as the metadata have it, empty where they do not.
    findings : tuple of Finding
        What was noticed.
    """

    path: Path
    data: np.ndarray
    pixel_size: float | None
    angles: dict[str, list[float | None]]
    label: str = ''
    findings: tuple[Finding, ...] = ()
