"""Reference spectra for multiple linear least squares: from files, or from pixels of the series itself.

*Files*: any single spectrum that is read here (.msa, .hspy, .dm3, ...; of an image the sum of its pixels), named as
its file; or a table .csv whose first line names the columns, energy first, then one reference each.

*Regions*: pixels of the series as text, so that a recipe holds them::

    Mn2+ = rows 10-20 columns 5-12
    Mn3+ = polygon 3 4 3 9 8 9 at 0

rows and columns are those of the images from 0, both ends included; a polygon is its corners, row and column each;
``at`` names a tilt in degrees, without it the pixels of all tilts count. A reference is the sum of the pixels without
the power law in front of the edge, and has one count within the window of the signal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.draw import polygon2mask

from napari_diptomo.series import InputError
from napari_diptomo.series.reading.hyperspy_adapter import open_signals, read
from napari_diptomo.spectra.common.column_tables import read_curves
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.eels.edge_counts import extrapolated, extrapolated_background
from napari_diptomo.spectra.eels.edge_spectra import EdgeSpectra
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows

_NUMBER = r'[-+]?\d+(?:\.\d*)?'
_REGION = re.compile(rf'\s*(?P<name>[^=]+?)\s*=\s*(?P<shape>.*?)(?:\s+at\s+(?P<angle>{_NUMBER}))?\s*')
_RECTANGLE = re.compile(r'rows\s+(\d+)\s*-\s*(\d+)\s+columns\s+(\d+)\s*-\s*(\d+)')
_POLYGON = re.compile(rf'polygon((?:\s+{_NUMBER}){{6,}})')
#: How far a tilt that is named may be from one of the series, degrees.
_SAME_ANGLE = 0.5
#: The edge of a region stands out of its noise by so many standard deviations.
_SEEN = 5.0
#: A spectrum is net, without background, where it is below this share of its maximum in front of the edge.
_NET = 0.05


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference on the energies of the spectra.

    Attributes
    ----------
    name : str
        Of the phase or state.
    shape : ndarray (energy,)
        One count within the window of the signal.
    variance : ndarray (energy,)
        Of ``shape``, by the counts that it was made of; zero where these are not known.
    source : str
        File or region.
    """

    name: str
    shape: np.ndarray
    variance: np.ndarray
    source: str


def references_of(
    files: Sequence[str], regions: Sequence[str], spectra: EdgeSpectra, window: EdgeWindows
) -> tuple[Reference, ...]:
    """References from files and regions.

    Parameters
    ----------
    files, regions : sequence of str
        See the module.
    spectra : EdgeSpectra
        What is to be fitted.
    window : EdgeWindows
        Where a background is subtracted, and where a reference has one count.

    Raises
    ------
    InputError
        None at all, the same name twice, or one that cannot be read, does not hold the edge, or names no pixels.
    """
    found = [reference for path in files for reference in _of_file(Path(path), spectra.energy, window)]
    found += [_of_region(text, spectra, window) for text in regions]
    names = [reference.name for reference in found]
    if not names:
        raise InputError(
            'There are no references; give files with spectra, or regions of pixels, e.g. MnO = rows 0-9 columns 3-8.'
        )
    if len(set(names)) < len(names):
        raise InputError(f'Two references have the same name ({", ".join(names)}); rename one.')
    return tuple(found)


def _of_file(path: Path, energy: np.ndarray, window: EdgeWindows) -> list[Reference]:
    read_in = _table(path) if path.suffix.lower() == '.csv' else [_spectrum(path)]
    return [_reference(name, own, counts, energy, window, path.name) for name, own, counts in read_in]


def _table(path: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    curves = read_curves(path)
    return [(name, curves.energy, counts) for name, counts in zip(curves.names, curves.counts, strict=True)]


def _spectrum(path: Path) -> tuple[str, np.ndarray, np.ndarray]:
    spectral = [signal for signal in open_signals(path) if signal.spectral or len(signal.shape) == 1]
    if not spectral:
        raise InputError(f'{path.name} holds no spectrum; give one, or a .csv with energies and counts.')
    signal = spectral[0]
    counts = np.asarray(read(signal), float)
    scale = 1000.0 if signal.axes[-1].units.strip().casefold() == 'kev' else 1.0
    return (
        path.stem,
        scale * np.asarray(signal.axes[-1].values, float),
        counts.reshape(-1, counts.shape[-1]).sum(axis=0),
    )


def _reference(
    name: str, own: np.ndarray, counts: np.ndarray, energy: np.ndarray, window: EdgeWindows, source: str
) -> Reference:
    if own[0] > window.signal[0] or own[-1] < window.signal[1]:
        raise InputError(
            f'The reference {name} ({source}) holds {own[0]:.0f}-{own[-1]:.0f} eV and not all of the edge, '
            f'{_shown(window)} eV; give another one, or fit less.'
        )
    front = between(own, window.before)
    height = float(np.abs(counts[between(own, window.signal)]).max())
    if front.sum() >= 4 and counts[front].mean() > _NET * height:
        net = counts - extrapolated_background(counts, own, window)
    else:
        net = np.asarray(counts, float)
    net = np.where(own < window.before[1], 0.0, net)
    per_channel = float(np.diff(energy).mean() / np.diff(own).mean())
    shape = per_channel * np.interp(energy, own, net, left=0.0)
    return _unit(name, shape, np.zeros(len(energy)), energy, window, source)


def _of_region(text: str, spectra: EdgeSpectra, window: EdgeWindows) -> Reference:
    name, mask, angle = parse_region(text, (spectra.shape[1], spectra.shape[2]))
    angles = spectra.series.angles[list(spectra.tilts)]
    tilts = list(range(len(angles)))
    if angle is not None:
        nearest = int(np.abs(angles - angle).argmin())
        if abs(angles[nearest] - angle) > _SAME_ANGLE:
            raise InputError(
                f'The region {name} is at {angle:g}°, and there are spectra at {", ".join(f"{a:g}°" for a in angles)}; name one.'
            )
        tilts = [nearest]
    total = np.sum([spectra.tilt(i)[mask.ravel()].sum(axis=0) for i in tilts], axis=0)
    (signal,), (variance,) = extrapolated(total[None], spectra.energy, window)
    if signal < _SEEN * np.sqrt(variance):
        raise InputError(
            f'The region {name} ({text}) shows no edge in {_shown(window)} eV above its background; take other pixels.'
        )
    net = total - extrapolated_background(total, spectra.energy, window)
    net = np.where(spectra.energy < window.before[1], 0.0, net)
    return _unit(name, net, np.maximum(total, 0), spectra.energy, window, text)


def _unit(
    name: str, net: np.ndarray, variance: np.ndarray, energy: np.ndarray, window: EdgeWindows, source: str
) -> Reference:
    inside = between(energy, window.signal)
    area = float(net[inside].sum())
    if not area > 0:
        raise InputError(
            f'The reference {name} ({source}) shows no edge in {_shown(window)} eV above its background; take another.'
        )
    return Reference(name, net / area, variance / area**2, source)


def _shown(window: EdgeWindows) -> str:
    return f'{window.signal[0]:.0f}-{window.signal[1]:.0f}'


def parse_region(text: str, shape: tuple[int, int]) -> tuple[str, np.ndarray, float | None]:
    """Name, pixels (y, x) and tilt in degrees of a region as it is written.

    Parameters
    ----------
    text : str
        See the module.
    shape : tuple of int
        Of the images, (y, x).

    Raises
    ------
    InputError
        Not so written, or no pixel of the image in it.
    """
    written = _REGION.fullmatch(text)
    shown = written['shape'] if written else ''
    rectangle, polygon = _RECTANGLE.fullmatch(shown), _POLYGON.fullmatch(shown)
    if written is None or not (rectangle or polygon):
        raise InputError(
            f'{text!r} is no region; write NAME = rows 10-20 columns 5-12, or NAME = polygon 3 4 3 9 8 9, with the tilt behind it: '
            'at 0.'
        )
    mask = np.zeros(shape, bool)
    if rectangle:
        first, last, left, right = map(int, rectangle.groups())
        mask[first : last + 1, left : right + 1] = True
    else:
        assert polygon is not None
        mask = (
            polygon2mask(shape, np.array(polygon[1].split(), float).reshape(-1, 2))
            if len(polygon[1].split()) % 2 == 0
            else mask
        )
    if not mask.any():
        raise InputError(
            f'The region {written["name"]} holds no pixel of the image ({shape[0]} rows, {shape[1]} columns).'
        )
    return written['name'], mask, None if written['angle'] is None else float(written['angle'])
