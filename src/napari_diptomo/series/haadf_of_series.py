"""The HAADF series of a tilt series of spectra or maps: images of its own scan, or of another one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from napari_diptomo.series.array_checks import check_degrees
from napari_diptomo.series.data import MapSeries, SpectralTiltSeries
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.haadf import FEWEST, HAADFSeries, named

Series = TypeVar('Series', bound=SpectralTiltSeries | MapSeries)

#: Share of the field of the spectra that the images should cover at least.
_FIELD = 0.7
#: Degrees by which an image lies beyond the tilts of the spectra.
_BEYOND = 1.0
#: Share of a pixel that the images must cover, and of the field of the maps that must be left.
_COVERED, _LEFT = 0.999, 0.3
#: Share of a binned pixel that must be known, or it is missing.
KNOWN = 0.5


def with_haadf(series: Series, haadf: HAADFSeries) -> Series:
    """A tilt series with a HAADF series beside it.

    Parameters
    ----------
    series : SpectralTiltSeries or MapSeries
        Of the same specimen.
    haadf : HAADFSeries
        Pixels and tilts of its own, the tilt axis along y as in the series.

    Returns
    -------
    SpectralTiltSeries or MapSeries
        What was noticed of the images is among its findings.

    Raises
    ------
    InputError
        Fewer than three images, or angles that are all the same or seem to be radians.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_diptomo import HAADFSeries, simulate
    >>> from napari_diptomo.series import with_haadf
    >>> maps = simulate.tilt_series(simulate.lamella(16), [-40, 0, 40]).maps
    >>> images = HAADFSeries(np.ones((5, 32, 32)), angles=[-70, -35, 0, 35, 70], pixel_size=maps.pixel_size / 2)
    >>> len(with_haadf(maps, images).haadf_series.angles)
    5
    """
    if len(haadf.angles) < FEWEST:
        raise InputError(
            f'The HAADF series has {len(haadf.angles)} image{"s" if len(haadf.angles) > 1 else ""}; three tilts or more add '
            'something to the spectra: give more, or leave it out.'
        )
    if np.ptp(haadf.angles) == 0:
        raise InputError(
            f'All {len(haadf.angles)} images of the HAADF series have the tilt angle {haadf.angles[0]:g}°; give the angles at '
            'which they were recorded, or leave it out.'
        )
    try:
        check_degrees(haadf.angles)
    except InputError as error:
        raise InputError(named(str(error))) from None
    doubts = (*haadf.findings, *_of_field(series, haadf))
    return replace(series, haadf_series=haadf, findings=(*series.findings, *doubts))


def with_own_haadf(series: Series) -> Series:
    """A tilt series whose HAADF series are the images recorded with it, at its tilts, in its frame.

    Parameters
    ----------
    series : SpectralTiltSeries or MapSeries
        With `haadf` images.

    Returns
    -------
    SpectralTiltSeries or MapSeries

    Raises
    ------
    InputError
        No images were recorded with it, or fewer than three.
    """
    if series.haadf is None:
        raise InputError(
            'No images were recorded with the spectra that could be their HAADF series; give the files of one, or leave it out.'
        )
    frame: dict[str, Any] = {}
    if isinstance(series, MapSeries):
        frame = {'shifts': series.shifts, 'axis_shift': series.axis_shift, 'axis_rotation': series.axis_rotation}
    source = 'those of the spectra they were recorded with'
    return with_haadf(series, HAADFSeries(series.haadf, series.angles, series.pixel_size, angle_source=source, **frame))


def own_images(series: SpectralTiltSeries | MapSeries) -> np.ndarray | None:
    """For each tilt which image of the HAADF series was recorded with it, None unless all were.

    Parameters
    ----------
    series : SpectralTiltSeries or MapSeries

    Returns
    -------
    ndarray of int (tilt,), optional
        Recorded with a tilt is an image at its angle that is the same as its own.
    """
    images, haadf = series.haadf, series.haadf_series
    if images is None or haadf is None or haadf.images.shape[1:] != images.shape[1:]:
        return None
    nearest = np.abs(haadf.angles[None] - series.angles[:, None]).argmin(axis=1)
    same = len(set(nearest)) == len(nearest) and np.array_equal(haadf.images[nearest], images)
    return nearest if same else None


def on_pixels_of(series: HAADFSeries, maps: MapSeries) -> HAADFSeries:
    """The images on the pixels of the maps: means over their area, what lies outside missing.

    Parameters
    ----------
    series : HAADFSeries
    maps : MapSeries

    Returns
    -------
    HAADFSeries
        Shifts and axis in the new pixels.

    Raises
    ------
    InputError
        Less than a third of the maps' field is left.
    """
    factor = maps.pixel_size / series.pixel_size
    wanted = maps.data.shape[2:]
    if abs(factor - 1) < 1e-3 and series.images.shape[1:] == wanted:
        return series
    rows, columns = (_overlap(n, m, factor) for n, m in zip(wanted, series.images.shape[1:], strict=True))
    there = np.ones(series.images.shape) if series.missing is None else 1.0 - series.missing
    share = np.einsum('ay,tyx,bx->tab', rows, there, columns, optimize=True)
    images = np.einsum('ay,tyx,bx->tab', rows, there * series.images, columns, optimize=True) / np.maximum(share, 1e-9)
    covered = rows.sum(axis=1)[:, None] * columns.sum(axis=1)
    # Some pixels of many are missing for a fault of their own: the others show the same place.
    missing = (covered < _COVERED) | (share <= KNOWN)
    if missing.mean() > 1 - _LEFT:
        raise InputError(
            f'The HAADF images cover {100 * (1 - missing.mean()):.0f} % of the field of the maps; check their pixel size '
            f'({series.pixel_size:.4g} nm, the maps have {maps.pixel_size:.4g} nm), or leave them out.'
        )
    return replace(
        series,
        images=images,
        missing=missing,
        pixel_size=maps.pixel_size,
        shifts=np.asarray(series.shifts) / factor,
        axis_shift=series.axis_shift / factor,
    )


def _overlap(wanted: int, given: int, factor: float) -> np.ndarray:
    """Share (wanted, given) of each new pixel that each old one fills, both about the same middle."""
    begin = (np.arange(wanted) - wanted / 2) * factor + given / 2
    old = np.arange(given)
    both = np.minimum(begin[:, None] + factor, old + 1) - np.maximum(begin[:, None], old)
    return np.maximum(both, 0) / factor


def described(haadf: HAADFSeries, series: SpectralTiltSeries | MapSeries) -> str:
    """The HAADF series of a tilt series in words.

    Parameters
    ----------
    haadf : HAADFSeries
    series : SpectralTiltSeries or MapSeries
        That it is beside.

    Returns
    -------
    str
        ``'29 images from -70° to 70°, 14 of them at tilts beyond the spectra; 64 x 64 pixels of 0.5 nm'``.
    """
    low, high = haadf.angles.min(), haadf.angles.max()
    beyond = ((haadf.angles < series.angles.min() - _BEYOND) | (haadf.angles > series.angles.max() + _BEYOND)).sum()
    where = f', {beyond} of them at tilts beyond the spectra' if beyond else ', none at tilts beyond the spectra'
    _, rows, columns = haadf.images.shape
    return (
        f'{len(haadf.angles)} images from {low:g}° to {high:g}°{where}; {columns} x {rows} pixels of '
        f'{haadf.pixel_size:.4g} nm'
    )


def _of_field(series: SpectralTiltSeries | MapSeries, haadf: HAADFSeries) -> tuple[Finding, ...]:
    """A doubt where the images are much smaller than the field of the spectra, about the same middle."""
    pixels = series.data.shape[2:] if isinstance(series, MapSeries) else series.counts.shape[1:3]
    wanted = np.array(pixels) * series.pixel_size
    given = np.array(haadf.images.shape[1:]) * haadf.pixel_size
    covered = float(np.prod(np.minimum(given / wanted, 1)))
    if covered >= _FIELD:
        return ()
    fields = ' and '.join(f'{x:.4g} x {y:.4g} nm' for y, x in (given, wanted))
    return (
        Finding(
            'doubt',
            'HAADF series',
            f'The HAADF series covers {100 * covered:.0f} % of the field of the spectra ({fields}): check its pixel size, and '
            'that it is of this field.',
            {'covered, %': 100 * covered},
        ),
    )
