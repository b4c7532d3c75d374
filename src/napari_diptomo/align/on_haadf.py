r"""Placing the tilts of maps on an aligned HAADF series: one frame for both.

The images of the series, shifted as its own alignment says, make a volume (SIRT, see `held_out_tilts`), which is projected
to the tilts of the maps. Where the image of a tilt is displaced by d against its projection, d is its shift in the frame of
the HAADF series. The maps are aligned by themselves as well, with shifts s in a frame of their own; the motion m of the
specimen between both frames (`specimen_motion.rigid_motion`) is fitted to d - s. Both estimates of a shift are then
averaged with their standard errors,

    shift = ((s + m) / sigma_s^2 + d / sigma_d^2) / (1 / sigma_s^2 + 1 / sigma_d^2).

At a count per pixel d is the better one, at many counts s, which suffers from no difference of contrast. Maps are added up
with the weights one, and with the atomic number to the power 1.7: the sum that is more like the projections is compared.

Formulas: shifts in the frame of a HAADF series (`placed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from napari_diptomo.align.held_out_tilts import Comparison, Geometry, Prediction, compared, projected
from napari_diptomo.align.image_correlation import FINE
from napari_diptomo.align.reference_images import Reference, binned, reference_images, uses_haadf
from napari_diptomo.align.refinement import JUDGING
from napari_diptomo.reconstruct.haadf_weights import powers_of_atomic_numbers
from napari_diptomo.series import Finding, HAADFSeries, MapSeries
from napari_diptomo.series.haadf_of_series import on_pixels_of, own_images

#: Correlation with the projections, and standard error of a displacement in pixels, of images of the same specimen: right
#: ones had 0.76 to 0.99 and 0.09 to 0.7 at 1 to 30 counts, those of other specimens 0.49 to 0.79 and 1.1 to 37.
_ALIKE, _DETERMINED = 0.5, 1.0
#: Why maps are not placed on a HAADF series.
GIVEN = 'their shifts were given, the fit finds the displacement between both.'
#: Passes of moving and comparing.
_PASSES = 4
#: Standard errors of a displacement, pixels, taken into account: none is known better or worse.
_SURE, _UNSURE = 0.02, 3.0


@dataclass(frozen=True, eq=False)
class Placement:
    """The tilts of maps in the frame of a HAADF series.

    Attributes
    ----------
    shifts : ndarray (tilt, 2)
        With what the position of the tilt axis adds, pixels of the images compared (y, x).
    comparison : Comparison
        With the projections of the HAADF series.
    what : str
        The images compared, in words.
    """

    shifts: np.ndarray
    comparison: Comparison
    what: str

    @property
    def alike(self) -> bool:
        """Whether both show the same specimen."""
        return self.comparison.score > _ALIKE and self.comparison.standard_error < _DETERMINED

    def in_order(self, order: np.ndarray) -> Placement:
        """The same of the tilts in another order."""
        of = self.comparison
        return replace(
            self, shifts=self.shifts[order], comparison=Comparison(of.scores[order], of.moves[order], of.errors[order])
        )


def as_maps(haadf: HAADFSeries) -> MapSeries:
    """The images as a series to align."""
    images = haadf.images
    if haadf.missing is not None:
        images = np.stack([_filled(image, out) for image, out in zip(images, haadf.missing, strict=True)])
    return MapSeries(
        images[None],
        haadf.angles,
        ('HAADF',),
        haadf.pixel_size,
        shifts=haadf.shifts,
        axis_shift=haadf.axis_shift,
        axis_rotation=haadf.axis_rotation,
        haadf=images,
    )


def _filled(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """An image (y, x) with the median of what surrounds it in place of each part that is missing.

    Nothing that is missing may pass for the darkest or the brightest there is, and the saturated middle of a particle not for
    a hole in it.
    """
    if not missing.any() or missing.all():
        return image
    parts, number = ndimage.label(missing, np.ones((3, 3)))
    rims = np.where(missing, 0, ndimage.maximum_filter(parts, 3))
    levels = np.asarray(ndimage.median(image, rims, np.arange(number + 1)))
    # Of two parts that share a rim one may have none left.
    levels[~np.isin(np.arange(number + 1), rims)] = np.median(image[~missing])
    return np.where(missing, levels[parts], image).astype(image.dtype)


def with_alignment(haadf: HAADFSeries, aligned: MapSeries) -> HAADFSeries:
    """A HAADF series in the frame that was found for `as_maps` of it, what was noticed as findings of its own."""
    return replace(
        haadf,
        shifts=aligned.shifts,
        axis_shift=aligned.axis_shift,
        axis_rotation=aligned.axis_rotation,
        notes={**haadf.notes, 'align': aligned.notes['align']},
        findings=tuple(replace(one, about='HAADF series') for one in aligned.findings),
    )


def following(haadf: HAADFSeries, maps: MapSeries, which: np.ndarray) -> HAADFSeries:
    """Images of the same scan as the maps, in their frame; ``which`` of them was recorded with each tilt."""
    shifts = np.array(haadf.shifts, float)
    shifts[which] = maps.shifts
    return replace(haadf, shifts=shifts, axis_shift=maps.axis_shift, axis_rotation=maps.axis_rotation)


def placed(maps: MapSeries, haadf: HAADFSeries, reference: Reference, n: int, upsampling: int) -> Placement:
    """The tilts of maps in the frame of an aligned HAADF series.

    Parameters
    ----------
    maps : MapSeries
        Not yet aligned, or aligned.
    haadf : HAADFSeries
        Aligned by `Align`.
    reference : {'auto', 'haadf', 'maps'}
        Which images of the maps are compared.
    n : int
        Pixels that are joined before they are compared.
    upsampling : int
        Displacements are found to 1 / upsampling pixel.

    Raises
    ------
    InputError
        Images of another field.
    """
    axis = haadf.axis_shift * (1 - np.cos(np.deg2rad(haadf.angles)))
    assert haadf.shifts is not None, 'it has them'
    whole = replace(haadf, shifts=haadf.shifts + np.stack([np.zeros_like(axis), axis], axis=1), axis_shift=0.0)
    which = own_images(maps)
    if which is not None and whole.shifts is not None:
        scale = haadf.pixel_size / (maps.pixel_size * n)
        shifts = whole.shifts[which] * scale
        known = Comparison(np.ones(len(which)), np.zeros(shifts.shape), np.full(shifts.shape, _SURE))
        return Placement(shifts, known, 'images of the same scan')
    on_maps = as_maps(on_pixels_of(whole, maps))
    images = binned(reference_images(on_maps, 'haadf')[0], n)
    depth = max(int(haadf.notes['align']['depth'] * haadf.pixel_size / (maps.pixel_size * n)), 1)
    assert on_maps.shifts is not None, 'it has them'
    geometry = Geometry(haadf.angles, on_maps.shifts / n, depth, haadf.axis_rotation)
    volume = projected(images, geometry, maps.angles)
    tried = [
        _displaced(binned(compared_images, n), volume, maps.angles, upsampling, name)
        for name, compared_images in _images_of(maps, reference).items()
    ]
    return max(tried, key=lambda one: one.comparison.score)


def in_one_frame(own: np.ndarray, errors: np.ndarray, placement: Placement, angles: np.ndarray) -> np.ndarray:
    """Shifts in the frame of the HAADF series, of both estimates.

    Parameters
    ----------
    own : ndarray (tilt, 2)
        By the maps themselves, in any frame, pixels as those of the placement.
    errors : ndarray (tilt, 2)
        Their standard errors.
    placement : Placement
    angles : ndarray (tilt,)
        Degrees.

    Returns
    -------
    ndarray (tilt, 2)
    """
    turn = np.deg2rad(angles)
    patterns = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    off = placement.shifts - own
    sure = np.clip(placement.comparison.errors, _SURE, _UNSURE)
    weight = 1 / sure[:, 1]
    for _ in range(5):
        along_x = patterns @ np.linalg.lstsq(patterns * weight[:, None], off[:, 1] * weight, rcond=None)[0]
        # What one tilt alone says of the frame is its own displacement.
        weight = 1 / np.sqrt(sure[:, 1] * np.maximum(np.abs(off[:, 1] - along_x), sure[:, 1]))
    moved = own + np.stack([np.full(len(angles), np.median(off[:, 0])), along_x], axis=1)
    of_own, of_placement = 1 / np.clip(errors, _SURE, _UNSURE) ** 2, 1 / sure**2
    return np.asarray((moved * of_own + placement.shifts * of_placement) / (of_own + of_placement))


def haadf_notes(haadf: HAADFSeries, placement: Placement | str, n: int) -> dict[str, Any]:
    """Results of the alignment of both, JSON-ready; in place of a placement the reason why there is none."""
    align = haadf.notes['align']
    noted = {'standard_error': align['standard_error'], 'largest_shift': align['largest_shift'], 'placed': False}
    if isinstance(placement, str):
        noted |= {'reason': placement}
    else:
        noted |= {
            'placed': placement.alike,
            'compared': placement.what,
            'correlation': placement.comparison.score,
            'placement_error': placement.comparison.standard_error * n,
        }
    return noted


def haadf_findings(haadf: HAADFSeries, noted: Mapping[str, Any], tilts: int) -> tuple[Finding, ...]:
    """Findings of an alignment on a HAADF series and on the maps beside it."""
    error = noted['standard_error']
    aligned = (
        f'The {len(haadf.angles)} images of the HAADF series are aligned '
        f'(largest shift {noted["largest_shift"]:.2g} pixels{"" if error is None else f", standard error {error:.2g}"})'
    )
    numbers = {name: float(value) for name, value in noted.items() if isinstance(value, float)}
    if 'reason' in noted:
        sentence = f'{aligned}; the maps are not placed on it: {noted["reason"]}'
        level: Literal['note', 'doubt'] = 'note' if noted['reason'] == GIVEN else 'doubt'
        return (*haadf.findings, Finding(level, 'HAADF series', sentence, numbers))
    if not noted['placed']:
        sentence = (
            f'{aligned}, but the maps are not like them (correlation {noted["correlation"]:.2f}): they were aligned by '
            'themselves. Check that the series is of this specimen, this field and these tilts.'
        )
        return (*haadf.findings, Finding('doubt', 'HAADF series', sentence, numbers))
    sentence = (
        f'{aligned}, and the {tilts} tilts of the maps are placed on it (correlation {noted["correlation"]:.2f}, standard '
        f'error {noted["placement_error"]:.2g} pixels).'
    )
    return (*haadf.findings, Finding('note', 'HAADF series', sentence, numbers))


def _images_of(maps: MapSeries, reference: Reference) -> dict[str, np.ndarray]:
    """Images of the maps to compare, by name."""
    images, name = reference_images(maps, reference)
    if uses_haadf(maps, reference):
        return {name: images}
    weights = powers_of_atomic_numbers(maps.channels)
    unmixed = maps.unmixed()
    return {name: images, 'maps weighted by atomic number': np.tensordot(weights, unmixed.data, 1)}


def _displaced(images: np.ndarray, volume: Any, angles: np.ndarray, upsampling: int, name: str) -> Placement:
    shifts = np.zeros((len(angles), 2))
    for number in range(_PASSES):
        prediction: Prediction = volume(shifts)
        found = compared(images, prediction, upsampling, JUDGING if number < _PASSES - 1 else FINE)
        shifts = shifts + found.moves
    return Placement(shifts, found, name)
