r"""In-plane rotation of the tilt axis, from how the tilts predict each other.

About an axis that is turned by r a point at height z moves along the assumed axis by z sin t sin r as the specimen
tilts. Every image i_t is compared with what the other tilts predict (`held_out_tilts`), p_t, from an axis turned a
little to either side. To first order

    i_t - p_t(0) = r q_t,    q_t = (p_t(d) - p_t(-d)) / 2 d,

after brightness, small displacements and p_t(d) + p_t(-d) - 2 p_t(0) have been fitted to both sides: the last is what
interpolation blurs, which is alike to both sides and must not draw the angle. Least squares over all tilts,

    r = sum_t <q_t, i_t> / sum_t <q_t, q_t>,    sigma_r^2 = sum_t (<q_t, i_t> - r <q_t, q_t>)^2 / (sum_t <q_t, q_t>)^2,

has the standard error of the scatter of the tilts (sandwich form). The volume adapts to a wrong axis to some degree, so
the angle comes out too small rather than too large where tilts are few and the range narrow.

Formulas: rotation of the tilt axis and its error (`rotation_in`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_diptomo.align.held_out_tilts import Geometry, filled, predicted
from napari_diptomo.align.image_correlation import prepared

_STEP = 1.5  # degrees to either side
#: More than the alignment needs: a volume far from converged agrees with any axis.
_SIRT_ITERATIONS = 24
_CLEAR = 3.5  # standard errors
#: Degrees: up to 1.3 are found where there is none, and harm more than the same angle left out.
_LEAST = 1.5
_LARGEST, _LEAST_TILTS = 15.0, 5
#: Of smaller images a degree moves nothing by a part of a pixel that is seen.
_LEAST_PIXELS = 32


@dataclass(frozen=True)
class Rotation:
    """In-plane rotation of the tilt axis and its standard error, degrees; the error is infinite where nothing shows it."""

    angle: float
    uncertainty: float

    @property
    def is_clear(self) -> bool:
        """Whether it differs from none by more than 3.5 standard errors, and by more than is found of straight axes."""
        return max(_CLEAR * self.uncertainty, _LEAST) < abs(self.angle) <= _LARGEST


def rotation_in(images: np.ndarray, geometry: Geometry) -> Rotation:
    """The rotation that the images ask for.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
        Not negative, ascending tilts.
    geometry : Geometry
        Aligned; the angle is counted from its own.
    """
    if len(images) < _LEAST_TILTS or min(images.shape[1:]) < _LEAST_PIXELS:
        return Rotation(0.0, float('inf'))
    turned = [
        predicted(images, replace(geometry, rotation=geometry.rotation + d), _SIRT_ITERATIONS)
        for d in (-_STEP, 0, _STEP)
    ]
    asked, size = np.zeros(len(images)), np.zeros(len(images))
    for t, image in enumerate(images):
        rows = np.all([prediction.rows[t] for prediction in turned], axis=0)
        parts = (image, *(prediction.images[t] for prediction in turned))
        asked[t], size[t] = _asked(*(prepared(filled(part, rows)) for part in parts))
    if not size.sum() > 0:
        return Rotation(0.0, float('inf'))
    angle = asked.sum() / size.sum()
    error = np.sqrt(((asked - angle * size) ** 2).sum()) / size.sum()
    return Rotation(geometry.rotation + float(angle), float(error))


def _asked(image: np.ndarray, before: np.ndarray, here: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """<q, i> and <q, q> of one image without what the nuisances explain."""
    nuisances = np.stack([a.ravel() for a in (here, *np.gradient(here), after + before - 2 * here)], axis=1)
    basis, _ = np.linalg.qr(nuisances)
    own = float((here**2).sum())
    brightness = float((image * here).sum()) / own if own > 0 else 0.0
    slope = brightness * ((after - before) / (2 * _STEP)).ravel()
    slope = slope - basis @ (basis.T @ slope)
    return float(slope @ image.ravel()), float(slope @ slope)
