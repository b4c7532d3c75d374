r"""Whether an aligned specimen extends beyond the field of view, and how thick a slab that does is.

Matter that tilting brings in is at the edges of the field first (`napari_diptomo.reconstruct.field_edges`). How much comes in
the total counts show: with a gain that drifts over the tilts,

    log N_t = a + b sin t - c log cos t,

c is 1 for a slab that is as wide as the images everywhere and 0 for a body of which always the same is seen. At the tilt t
the share 1 - cos(t)^c of the counts comes from matter that the image at zero tilt does not show. Only of a slab the
thickness is estimated (`slab_thickness`).

Formulas: growth of the total counts with the tilt (`extended_specimen`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_diptomo.align.reference_images import binned
from napari_diptomo.align.slab_thickness import SlabThickness, slab_thickness
from napari_diptomo.reconstruct.data_split import noise_variance
from napari_diptomo.reconstruct.field_edges import Edges, edges_of
from napari_diptomo.series import Finding, MapSeries, Remedy
from napari_diptomo.series.outliers import without_outliers

#: Exponents c of what is taken for a slab, tilts and degrees that it takes to see one.
_SLAB, _LEAST_TILTS, _LEAST_DEGREES = (0.6, 1.5), 5, 20.0
#: Largest standard error of c, and of a thickness relative to it, with which it is used.
_UNSURE, _UNDETERMINED = 0.3, 0.5
#: Part of the width of the images from which on a slab is not thin.
_THIN = 0.35
#: Pixels along the image that are enough.
_PIXELS = 64
#: Standard errors that are added to a thickness that the volume has to hold.
_MARGIN = 1.5
#: Smallest extent of a volume that is proposed, pixels.
_LEAST_EXTENT = 4.0


@dataclass(frozen=True, eq=False)
class Extended:
    """A specimen that extends beyond the field of view.

    Attributes
    ----------
    edges : Edges
        Its signal at the edges.
    growth, growth_error : float
        Exponent c of the total counts and its standard error; nan where the tilts do not show it.
    steepest : float
        Tilt, degrees.
    slab : SlabThickness, optional
        In pixels of the maps, where it is one and shows its thickness.
    """

    edges: Edges
    growth: float
    growth_error: float
    steepest: float
    slab: SlabThickness | None

    @property
    def is_slab(self) -> bool:
        """Whether the total counts grow as those of a slab do."""
        return bool(_SLAB[0] < self.growth < _SLAB[1] and self.growth_error < _UNSURE)

    @property
    def outside(self) -> float:
        """Share of the counts at the steepest tilt from matter that zero tilt does not show."""
        return float(1 - np.cos(np.deg2rad(self.steepest)) ** max(self.growth, 0.0))


def extended_specimen(maps: MapSeries) -> Extended | None:
    """The specimen where it extends beyond the field of view.

    Parameters
    ----------
    maps : MapSeries
        Aligned; tilts that `Align` doubted are left out of the thickness.

    Returns
    -------
    Extended or None
        None where it ends within the field, as far as the edges show.
    """
    errors, kept = _as_aligned(maps)
    maps, _ = without_outliers(maps)
    edges = edges_of(maps)
    if not edges.reached.any():
        return None
    gain = np.ones(maps.data.shape[:2]) if maps.gain is None else np.maximum(maps.gain, 1e-12)
    brought = 1 / gain[edges.channels, :, None, None]
    background = 0.0 if maps.background is None else maps.background[edges.channels]
    images = ((maps.data[edges.channels] - background) * brought).sum(axis=0, dtype=np.float64)
    variance = (noise_variance(maps)[edges.channels] * brought**2).sum(axis=0, dtype=np.float64)
    growth, error = _growth(images.sum(axis=(1, 2)), maps.angles)
    found = Extended(edges, growth, error, float(np.abs(maps.angles).max()), None)
    if not (
        found.is_slab and edges.typical and kept.sum() >= _LEAST_TILTS and (images[kept].sum(axis=(1, 2)) > 0).all()
    ):
        return found
    slab = _slab(images[kept], variance[kept], maps, errors[kept], kept)
    # What is thin beside the field is worth to be known, however thin; as deep as the images are wide is the default.
    held = _held(slab)
    sure = held < _THIN * images.shape[2] or slab.error < _UNDETERMINED * slab.thickness
    sure = sure and held < images.shape[2]
    return Extended(edges, growth, error, found.steepest, slab if sure else None)


def _as_aligned(maps: MapSeries) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of the shifts along x, pixels, and which tilts are aligned beyond doubt, (tilt,)."""
    notes = maps.notes.get('align', {})
    rows = notes.get('tilts', ())
    doubtful = np.isin(np.asarray(maps.angles, float), notes.get('doubtful_angles', ()))
    if len(rows) != len(maps.angles):
        return np.zeros(len(maps.angles)), ~doubtful
    errors = [np.inf if row['error'] is None else row['error'] / np.sqrt(2) for row in rows]
    return np.array(errors, float), ~doubtful


def _growth(totals: np.ndarray, angles: np.ndarray) -> tuple[float, float]:
    t = np.deg2rad(np.asarray(angles, float))
    if len(t) < _LEAST_TILTS or np.abs(angles).max() < _LEAST_DEGREES or totals.min() <= 0:
        return float('nan'), float('inf')
    patterns = np.stack([np.ones_like(t), np.sin(t), -np.log(np.cos(t))], axis=1)
    logarithm = np.log(totals)
    fitted = np.linalg.lstsq(patterns, logarithm, rcond=None)[0]
    left = logarithm - patterns @ fitted
    variance = (left @ left) / (len(t) - 3) * np.linalg.inv(patterns.T @ patterns)[2, 2]
    return float(fitted[2]), float(np.sqrt(variance))


def _slab(
    images: np.ndarray, variance: np.ndarray, maps: MapSeries, errors: np.ndarray, kept: np.ndarray
) -> SlabThickness:
    angles = np.asarray(maps.angles, float)[kept]
    shifts = np.array(maps.shifts, float)[kept]
    shifts[:, 1] += maps.axis_shift * (1 - np.cos(np.deg2rad(angles)))
    if maps.axis_rotation:
        images, variance = (_upright(a, shifts, maps.axis_rotation) for a in (images, variance))
    n = -(-max(images.shape[1:]) // _PIXELS)
    known = np.where(np.isfinite(errors), errors, np.inf)
    found = slab_thickness(
        binned(images, n), binned(variance, n) / n**2, angles, shifts / n, np.minimum(known / n, _PIXELS)
    )
    return SlabThickness(found.thickness * n, found.error * n, found.height * n)


def _upright(images: np.ndarray, shifts: np.ndarray, rotation: float) -> np.ndarray:
    """Images (tilt, y, x) turned about the specimen until the tilt axis is upright."""
    cosine, sine = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    turn = np.array([[cosine, sine], [-sine, cosine]])
    found = np.empty_like(images)
    for t, (image, shift) in enumerate(zip(images, shifts, strict=True)):
        middle = (np.array(image.shape) - 1) / 2 + shift
        found[t] = ndimage.affine_transform(image, turn, middle - turn @ middle, order=1, mode='nearest')
    return found


def extended_findings(maps: MapSeries, found: Extended | None) -> tuple[Finding, ...]:
    """The proposal to reconstruct beyond the field of view, with the thickness where it is known.

    Parameters
    ----------
    maps : MapSeries
        Aligned.
    found : Extended, optional
    """
    if found is None:
        return ()
    pixel = maps.pixel_size
    sides = [word for side, word in enumerate(('low', 'high')) if found.edges.reached[:, side].any()]
    axis = 'y' if maps.transposed else 'x'
    where = 'both edges' if len(sides) == 2 else f'the edge at {sides[0]} {axis}'
    changes: dict[str, object] = {'beyond_field': True}
    evidence = {'signal at the edge': float(found.edges.share.max()), 'standard errors': found.edges.sigmas}
    sentence = f'The specimen extends beyond {where} of the field of view'
    if found.is_slab:
        evidence |= {
            'growth of the counts, exponent of 1 / cos': found.growth,
            'its standard error': found.growth_error,
            'counts from outside at the steepest tilt': found.outside,
        }
        sentence += (
            f', as a slab does: at {found.steepest:g}° about {100 * found.outside:.0f} % of the counts come from matter that '
            'the image at zero tilt does not show, and a volume that ends at the edge cannot hold it.'
        )
    else:
        sentence += ': its matter there comes into tilted images, and a volume that ends at the edge cannot hold it.'
    if found.slab is not None:
        slab = found.slab
        changes['thickness'] = _rounded(max(_held(slab), _LEAST_EXTENT) * pixel)
        evidence |= {'thickness, nm': slab.thickness * pixel, 'its standard error, nm': slab.error * pixel}
        evidence['height of its middle, nm'] = slab.height * pixel
        sentence += (
            f' Its parallax suggests a thickness of about {_two_digits(slab.thickness * pixel)} ± {_two_digits(slab.error * pixel)} nm, too '
            f'large where tilts do not fit together; with a margin, {changes["thickness"]:g} nm. Where you know it better, give '
            'your own value.'
        )
    elif found.is_slab:
        sentence += ' Its images do not show its thickness: give it where it is known.'
    remedy = Remedy('Reconstruct beyond the field of view', 'DIPmTV', changes)
    return (Finding('note', 'extended specimen', sentence, evidence, remedy),)


def _held(slab: SlabThickness) -> float:
    """Extent along the beam, pixels, that holds the slab with a margin."""
    return slab.thickness + _MARGIN * slab.error + 2 * abs(slab.height)


def _two_digits(value: float) -> str:
    return f'{float(f"{value:.2g}"):g}'


def _rounded(value: float) -> float:
    """To two digits, upwards."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f'{np.ceil(value / unit - 1e-9) * unit:.6g}')
