"""HAADF images made ready to be fitted beside maps: on their pixels, in their frame, checked against them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct.data_split import noise_variance
from napari_diptomo.reconstruct.haadf_observation import HAADFData
from napari_diptomo.reconstruct.haadf_weights import Intensity, intensity_per_count, powers_of_atomic_numbers
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.sirt_iteration import short_sirt
from napari_diptomo.series import Finding, InputError, MapSeries
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.haadf_of_series import on_pixels_of
from napari_diptomo.series.tilts import angles_in_words

#: Tilts of images and maps that count as the same, degrees.
_SAME = 0.75
_FEWEST = 3
#: Share of the pixels that may be saturated or static.
_FEW = 0.2
#: Correlation of images and weighted counts below which they show different things; displacement tried, pixels.
_ALIKE, _REACH = 0.3, 4
#: Correlation that images lose against the tilt they resemble most, mean, and how far that is away, degrees: right orders
#: lost up to 0.006 (5 counts) on five specimens, wrong orders and signs 0.011 to 0.19 on those that are no needle.
_MISSED, _AWAY = 0.009, 15.0
#: What may have been reversed, and by how much the correlation is then higher (mean, and in standard errors).
_REVERSED = (0.002, 1.5)
_REVERSALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'the sign of its tilts': lambda images: images[::-1],
    'its x axis': lambda images: images[:, :, ::-1],
    'its y axis': lambda images: images[:, ::-1],
    'its x axis and the sign of its tilts': lambda images: images[::-1, :, ::-1],
}
#: Share of the pixels of an image whose rays must stay within the volume.
_LEAST_WITHIN = 0.05
#: SIRT of images at other tilts than the maps.
_ITERATIONS = 30


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
    if len(series.angles) < _FEWEST:
        raise InputError(
            f'{len(series.angles)} HAADF images add nothing to a tilt series; give three tilts or more, or leave them out.'
        )
    unmixed = maps.unmixed()
    variance = noise_variance(unmixed)
    start = powers_of_atomic_numbers(maps.channels)
    used = np.ones(unmixed.data.shape[1:], bool) if maps.missing is None else ~maps.missing.any(axis=0)

    def regression(images: np.ndarray) -> Intensity:
        seen = used & np.isfinite(images)
        return intensity_per_count(unmixed.data, variance, np.nan_to_num(images), start, seen)

    at_maps = images_at(series, maps)
    contradiction = _contradiction(
        maps, at_maps, lambda images: np.tensordot(regression(images).weights, unmixed.data, 1)
    )
    if contradiction is not None:
        return None, (*findings, contradiction)
    bright = np.tensordot(regression(at_maps).weights, unmixed.data, 1)
    series = in_frame_of(series, maps, at_maps, bright)
    return HAADFData(series, regression(_displaced(series, maps, images_at(series, maps)))), findings


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
    if kept.sum() < _FEWEST:
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


def usable_pixels(series: HAADFSeries) -> tuple[HAADFSeries, tuple[Finding, ...]]:
    """Saturated pixels, and those that show the same in every image (burnt-in text), as missing ones."""
    images = series.images
    top = images.max()
    saturated = images == top if (images == top).mean() > 1e-4 and (images == top).sum() > 3 * len(images) else None
    static = np.ptp(images, axis=0) == 0 if len(images) >= _FEWEST else np.zeros(images.shape[1:], bool)
    missing = np.zeros(images.shape, bool) if series.missing is None else series.missing.copy()
    findings = []
    if saturated is not None and saturated.mean() < _FEW:
        missing |= ndimage.binary_dilation(saturated, np.ones((1, 3, 3)))
        findings.append(
            _note(
                'saturated',
                f'{100 * saturated.mean():.1f} % of the HAADF pixels are saturated; they carry no weight.',
                saturated.mean(),
            )
        )
    elif saturated is not None:
        sentence = f'{100 * saturated.mean():.0f} % of the HAADF pixels are saturated; record them with less gain.'
        findings.append(Finding('doubt', 'HAADF series', sentence, {'saturated': float(saturated.mean())}))
    if 0 < static.mean() < _FEW:
        missing |= ndimage.binary_dilation(static, np.ones((3, 3)))[None]
        words = f'{100 * static.mean():.1f} % of the HAADF pixels show the same at every tilt, as text does; they carry no weight.'
        findings.append(_note('static', words, static.mean()))
    return replace(series, missing=missing if missing.any() else None), tuple(findings)


def _note(what: str, sentence: str, share: float) -> Finding:
    return Finding('note', 'HAADF series', sentence, {what: float(share)})


def in_unit_range(series: HAADFSeries) -> HAADFSeries:
    """The images less their lowest level, over their range."""
    seen = series.images if series.missing is None else series.images[~series.missing]
    low, high = np.percentile(seen, (2, 99.5))
    if not high > low:
        raise InputError('The HAADF images are empty; give others, or leave them out.')
    return replace(series, images=(series.images - low) / (high - low))


def images_at(series: HAADFSeries, maps: MapSeries) -> np.ndarray:
    """Images (tilt, y, x) at the tilts of the maps: the recorded ones, or projections of a SIRT of all where there is none.

    Not a number where nothing is known.
    """
    nearest = np.abs(series.angles[None] - maps.angles[:, None]).argmin(1)
    same = np.abs(series.angles[nearest] - maps.angles) <= _SAME
    found = series.images[nearest].astype(np.float64)
    if series.missing is not None:
        found[series.missing[nearest]] = np.nan
    if not same.all():
        # Where the nearest image lies: what is made of them has one displacement per tilt of the maps.
        found[~same] = _projected(series, maps.angles[~same], np.asarray(series.shifts)[nearest[~same]])
    return found


def _projected(series: HAADFSeries, angles: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Projections of a SIRT of the images, less their level, displaced by ``shifts`` (tilt, 2)."""
    _, ny, nx = series.images.shape
    signal = np.maximum(series.images - np.percentile(series.images, 5, axis=(1, 2), keepdims=True), 0)[None]
    missing = None if series.missing is None else series.missing[None]
    maps = MapSeries(
        signal,
        series.angles,
        ('HAADF',),
        shifts=series.shifts,
        axis_shift=series.axis_shift,
        axis_rotation=series.axis_rotation,
        missing=missing,
    )
    volume = short_sirt(Problem(maps), _ITERATIONS).numpy()
    beam = ParallelBeam(angles, (nx, ny, nx), shifts, series.axis_shift, axis_rotation=series.axis_rotation)
    return beam.project(volume)[0]


def _contradiction(
    maps: MapSeries, images: np.ndarray, brightness: Callable[[np.ndarray], np.ndarray]
) -> Finding | None:
    """A doubt where the images do not show the specimen of the maps; ``brightness`` of these suits the images it is given."""
    bright = brightness(images)
    if not bright.any():
        # No channel is brighter where there is more of it.
        bright = maps.data.sum(axis=0) if maps.mixing is None else maps.unmixed().data.sum(axis=0)
    every = np.array([[_correlation(image, counts) for counts in bright] for image in images])
    own = np.diag(every)
    alike, missed = float(np.median(own)), float((every.max(1) - own).mean())
    far = float(np.median(np.abs(maps.angles[every.argmax(1)] - maps.angles)))
    reversed_in = _reversed(images, brightness, own)
    numbers = {'correlation': round(alike, 3), 'missed': round(missed, 4), 'away': far}
    if alike < -_ALIKE:
        sentence = (
            'The HAADF series is darker where the maps hold more (bright field, or inverted contrast): it is left out. '
            'Give dark-field images.'
        )
    elif alike < _ALIKE:
        sentence = (
            f'The HAADF series does not show what the maps show (correlation {alike:.2f}): it is left out. Check that it is of '
            'this specimen, this field and these tilts, and that what is bright in it (a metal strap, a heavy element) is mapped.'
        )
    elif reversed_in:
        sentence = (
            f'The HAADF series agrees with the maps better when {reversed_in} is reversed: it is left out. Check its angles and '
            'how its images lie.'
        )
    elif missed > _MISSED and far > _AWAY:
        sentence = (
            f'HAADF images resemble maps of other tilts more than those of their own, {far:.0f}° away: the series is left '
            'out. Check its angles, their sign and their order.'
        )
    else:
        return None
    return Finding('doubt', 'HAADF series', sentence, numbers)


def _reversed(images: np.ndarray, brightness: Callable[[np.ndarray], np.ndarray], own: np.ndarray) -> str:
    """Name of the axis that has to be reversed for the images to agree better with the maps; empty where none has."""
    found, best = '', _REVERSED[1]
    for name, turn in _REVERSALS.items():
        turned = turn(images)
        gain = np.array([_correlation(i, b) for i, b in zip(turned, brightness(turned), strict=True)]) - own
        significance = float(gain.mean() / (gain.std() / np.sqrt(len(gain)) + 1e-9))
        if gain.mean() > _REVERSED[0] and significance > best:
            found, best = name, significance
    return found


def _correlation(image: np.ndarray, counts: np.ndarray) -> float:
    """The strongest correlation of an image with weighted counts within a few pixels of displacement, with its sign."""
    seen = np.isfinite(image)
    a = _standardised(ndimage.gaussian_filter(np.where(seen, image, np.median(image[seen])), 1.0))
    b = _standardised(ndimage.gaussian_filter(counts, 1.0))
    every = np.fft.irfft2(np.fft.rfft2(a) * np.conj(np.fft.rfft2(b)), a.shape) / a.size
    reach = max(min(_REACH, min(a.shape) // 8), 1)
    near = np.roll(every, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    return float(near[np.unravel_index(np.abs(near).argmax(), near.shape)])


def _standardised(image: np.ndarray) -> np.ndarray:
    return np.asarray((image - image.mean()) / max(float(image.std()), 1e-12))


def in_frame_of(series: HAADFSeries, maps: MapSeries, at_maps: np.ndarray, bright: np.ndarray) -> HAADFSeries:
    """The images with the displacement of their frame against that of the maps: along y, and of the volume along x and z."""
    moved = np.array(
        [
            phase_cross_correlation(
                ndimage.gaussian_filter(np.nan_to_num(image, nan=float(np.nanmedian(image))), 1.0),
                ndimage.gaussian_filter(counts, 1.0),
                upsample_factor=10,
                normalization=None,
            )[0]
            for image, counts in zip(at_maps, bright, strict=True)
        ]
    )
    nearest = np.abs(series.angles[None] - maps.angles[:, None]).argmin(1)
    off = moved + np.asarray(maps.shifts) - np.asarray(series.shifts)[nearest]
    turn = np.deg2rad(maps.angles)
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


def _displaced(series: HAADFSeries, maps: MapSeries, images: np.ndarray) -> np.ndarray:
    """Images at the maps' tilts moved to where the maps are; what is compared only, never fitted."""
    nearest = np.abs(series.angles[None] - maps.angles[:, None]).argmin(1)
    moves = np.asarray(maps.shifts) - np.asarray(series.shifts)[nearest]
    return np.stack(
        [ndimage.shift(image, move, order=1, mode='nearest') for image, move in zip(images, moves, strict=True)]
    )
