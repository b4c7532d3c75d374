"""HAADF images made ready to be fitted beside maps: on their pixels, in their frame, checked against them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from napari_diptomo.reconstruct.haadf_agreement import Counts, contradiction
from napari_diptomo.reconstruct.haadf_images import TiltImages
from napari_diptomo.reconstruct.haadf_observation import HAADFData
from napari_diptomo.series import Finding, InputError, MapSeries
from napari_diptomo.series.haadf import FEWEST, HAADFSeries
from napari_diptomo.series.haadf_of_series import on_pixels_of
from napari_diptomo.series.haadf_pixels import usable_pixels
from napari_diptomo.series.tilts import angles_in_words

#: Share of the pixels of an image whose rays must stay within the volume.
_LEAST_WITHIN = 0.05


def prepare_haadf(maps: MapSeries) -> tuple[HAADFData | None, tuple[Finding, ...]]:
    """The images of a series ready to be fitted, and what was noticed; None where they cannot be used.

    Parameters
    ----------
    maps : MapSeries
        In counts, with a `haadf_series`.

    Returns
    -------
    tuple of (HAADFData or None, tuple of Finding)

    Raises
    ------
    InputError
        Images whose pixels or field cannot be brought onto those of the maps.
    """
    assert maps.haadf_series is not None
    given, findings = usable_pixels(maps.haadf_series)
    series = in_unit_range(on_pixels_of(given, maps))
    if len(series.angles) < FEWEST:
        raise InputError(
            f'{len(series.angles)} HAADF images add nothing to a tilt series; give three tilts or more, or leave them out.'
        )
    counts, images = Counts.of(maps), TiltImages(series)
    doubt = contradiction(maps, images, counts)
    if doubt is not None:
        return None, (*findings, doubt)
    shifts = np.asarray(maps.shifts)
    at_maps = images.at(maps.angles, shifts)
    series = in_frame_of(series, maps, at_maps, counts.brightness(at_maps))
    return HAADFData(series, counts.intensity(TiltImages(series).at(maps.angles, shifts))), findings


def seen_within(data: HAADFData, shape: tuple[int, int, int]) -> tuple[HAADFData | None, tuple[Finding, ...]]:
    """Images of a specimen wider than the volume, without what leaves it, and what was noticed; None where too few are left.

    Parameters
    ----------
    data : HAADFData
    shape : tuple of int
        Of the volume that is solved for (z, y, x).

    Returns
    -------
    tuple of (HAADFData or None, tuple of Finding)
    """
    before, series = data.series, within_volume(data.series, shape)
    if series.missing is None:
        return data, ()
    given = np.full(len(before.angles), before.images[0].size)
    if before.missing is not None:
        given = (~before.missing).sum(axis=(1, 2))
    kept = (~series.missing).sum(axis=(1, 2)) > _LEAST_WITHIN * given
    if kept.all():
        return replace(data, series=series), ()
    lost = angles_in_words(series.angles[~kept])
    several = 'Images' if (~kept).sum() > 1 else 'The image'
    sentence = (
        f'{several} of the HAADF series at {lost} look past the volume through its sides and carry no weight; give the '
        'thickness of the specimen, so that the volume need not be as deep as the field is wide.'
    )
    evidence = {'left out': float((~kept).sum())}
    if kept.sum() < FEWEST:
        sentence += f' The {kept.sum()} that are left add nothing: the series is left out.'
        return None, (Finding('doubt', 'HAADF series', sentence, evidence),)
    return replace(data, series=series.at(kept)), (Finding('note', 'HAADF series', sentence, evidence),)


def within_volume(series: HAADFSeries, shape: tuple[int, int, int]) -> HAADFSeries:
    """Images of a specimen that extends beyond the volume: pixels whose ray enters or leaves it through a side are missing.

    The volume is as wide as the tilts of the maps need; images at higher tilts see further.

    Parameters
    ----------
    series : HAADFSeries
        On the pixels and in the frame of the maps.
    shape : tuple of int
        Of the volume that is solved for (z, y, x).

    Returns
    -------
    HAADFSeries
    """
    depth, _, width = shape
    t, turn = np.deg2rad(series.angles)[:, None, None], np.deg2rad(series.axis_rotation)
    y, x = (
        np.arange(n) - (n - 1) / 2 - np.asarray(series.shifts)[:, [axis]]
        for axis, n in enumerate(series.images.shape[1:])
    )
    across = y[:, :, None] * np.sin(turn) + x[:, None, :] * np.cos(turn) - series.axis_shift * (1 - np.cos(t))
    outside = np.abs(across) + 0.5 + depth / 2 * np.abs(np.sin(t)) > width / 2 * np.cos(t)
    return replace(series, missing=outside if series.missing is None else series.missing | outside)


def in_unit_range(series: HAADFSeries) -> HAADFSeries:
    """The images less their lowest level, over their range."""
    seen = series.images if series.missing is None else series.images[~series.missing]
    low, high = np.percentile(seen, (2, 99.5))
    if not high > low and seen.max() > low:
        # A particle that fills less than a hundredth of the field, on the black that a detector ends at.
        high = np.percentile(seen[seen > low], 99.5)
    if not high > low:
        raise InputError('The HAADF images are empty; give others, or leave them out.')
    return replace(series, images=(series.images - low) / (high - low))


def in_frame_of(series: HAADFSeries, maps: MapSeries, at_maps: np.ndarray, bright: np.ndarray) -> HAADFSeries:
    """The images with the displacement of their frame against that of the maps: along y, and of the volume along x and z.

    Parameters
    ----------
    series : HAADFSeries
        On the pixels of the maps.
    maps : MapSeries
    at_maps : ndarray (tilt, y, x)
        Images at the tilts of the maps, displaced as these are, not a number where nothing is known.
    bright : ndarray (tilt, y, x)
        Counts of the maps that resemble them.
    """
    known = np.isfinite(at_maps).any(axis=(1, 2))
    off = np.array([_displacement(*pair) for pair in zip(at_maps[known], bright[known], strict=True)])
    turn = np.deg2rad(maps.angles[known])
    # A needle looks alike along its axis: what the tilts do not agree on is no displacement of the frame.
    scatter = 1.4826 * np.median(np.abs(off - np.median(off, 0)), 0) / np.sqrt(len(off))
    along = np.median(off[:, 0])
    along = along if abs(along) > 3 * scatter[0] else 0.0
    design = np.stack([np.cos(turn), np.sin(turn)], 1)
    weight = np.ones(len(off))
    for _ in range(5):
        across = np.linalg.lstsq(design * weight[:, None], off[:, 1] * weight, rcond=None)[0]
        residual = np.abs(off[:, 1] - design @ across)
        weight = 1 / np.sqrt(np.maximum(residual, 0.3))
    own = np.deg2rad(series.angles)
    frame = np.stack([np.full(len(own), along), np.cos(own) * across[0] + np.sin(own) * across[1]], 1)
    return replace(series, shifts=series.shifts + frame)


def _displacement(image: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of an image against counts, pixels (y, x); what is not known of the one is taken from neither."""
    seen = np.isfinite(image)
    image, counts = (ndimage.gaussian_filter(np.where(seen, a, np.median(a[seen])), 1.0) for a in (image, counts))
    return np.asarray(phase_cross_correlation(image, counts, upsample_factor=10, normalization=None)[0])
