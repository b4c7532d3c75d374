"""Spectra of parts of an EDX series, their fit, overlaps, totals and lines in range, as work for a thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.jobs.colours import colours
from napari_diptomo.series import DiptomoError, InputError, MapSeries, Observer, SpectralTiltSeries
from napari_diptomo.widgets.plots.spectrum_contents import Explanation, Mark

if TYPE_CHECKING:
    from napari_diptomo.spectra.edx.element_search import FoundElement
    from napari_diptomo.spectra.edx.lines import LineFamily
    from napari_diptomo.spectra.edx.overlaps import OverlapReport
    from napari_diptomo.spectra.edx.totals import Totals

#: So many elements are chosen before anybody chooses.
_FIRST_CHOICE = 4
#: Weaker lines of a family are marked from this share of its photons.
_LEAST_WEIGHT = 0.1
#: Peaks that nobody has chosen get a label from this share of the counts of the strongest.
_LARGE = 0.05
#: Legible on both themes, and no element's colour.
_GREY = '#8c8c8c'


@dataclass(frozen=True, eq=False)
class Selection:
    """Where the spectrum is taken.

    Attributes
    ----------
    tilt : int, optional
        Index of a tilt; None for all.
    region : ndarray (y, x) of bool, optional
        Pixels; None for all.
    """

    tilt: int | None = None
    region: np.ndarray | None = None

    def named(self, series: SpectralTiltSeries) -> str:
        """``'120 pixels, tilt 10°'``."""
        pixels = 'All pixels' if self.region is None else f'{int(self.region.sum())} pixels'
        tilts = 'all tilts' if self.tilt is None else f'tilt {series.angles[self.tilt]:g}°'
        return f'{pixels}, {tilts}'


def summing(series: SpectralTiltSeries, selection: Selection) -> Callable[[Observer], np.ndarray]:
    """The sum spectrum (energy,) of a selection, with all its channels."""

    def sum_spectra(observer: Observer) -> np.ndarray:
        from napari_diptomo.spectra.common.tilt_counts import counts_of

        counts = counts_of(series)
        if selection.region is None:
            sums = counts.read()
            return sums.sum(axis=0) if selection.tilt is None else sums[selection.tilt].copy()
        if not selection.region.any():
            raise InputError('The region holds no pixel of the image; draw it on the image or remove it.')
        tilts = range(len(series.angles)) if selection.tilt is None else (selection.tilt,)
        pixels = selection.region.ravel().astype(float)
        return np.sum([counts.tilt(tilt).T @ pixels for tilt in tilts], axis=0)

    return sum_spectra


def explaining(
    series: SpectralTiltSeries, elements: tuple[str, ...], selection: Selection
) -> Callable[[Observer], Explanation]:
    """The fit of the sum spectrum of a selection."""

    def explain_spectrum(observer: Observer) -> Any:
        from napari_diptomo.spectra.edx.explained_spectrum import explain

        return explain(series, elements, tilt=selection.tilt, region=selection.region, observer=observer)

    return explain_spectrum


def confusing(series: SpectralTiltSeries, elements: tuple[str, ...]) -> Callable[[Observer], OverlapReport]:
    """How well the chosen elements can be distinguished at the mean counts of a pixel."""

    def look_for_overlaps(observer: Observer) -> OverlapReport:
        from napari_diptomo.spectra import families_for, spectrum_model
        from napari_diptomo.spectra.common.tilt_counts import counts_of
        from napari_diptomo.spectra.edx.fit_range import FitRange
        from napari_diptomo.spectra.edx.overlaps import overlaps

        window = FitRange.of(series)
        spectrum = counts_of(series).read().sum(axis=0)[window.channels]
        window = window.without(counts_of(series).faulty)
        model = spectrum_model(spectrum, window, tuple(dict.fromkeys(families_for(elements, *_range(series)))))
        fit = model.fit(spectrum)
        pixels = float(np.prod(series.counts.shape[:3]))
        return overlaps(model, fit.counts / pixels, float(fit.background.sum()) / pixels)

    return look_for_overlaps


def marks_of(elements: tuple[str, ...], series: SpectralTiltSeries) -> tuple[tuple[Mark, ...], str]:
    """The lines of the family that each element is mapped by, and a sentence about the first that has none."""
    from napari_diptomo.spectra import families_for

    if series.energy_unit != 'keV':
        return (), ''
    hue = colours(elements)
    marks: list[Mark] = []
    problem = ''
    for name in elements:
        try:
            (family,) = families_for((name,), *_range(series))
        except DiptomoError as error:
            problem = problem or str(error)
            continue
        marks.append(_mark(family, hue[name]))
    return tuple(marks), problem


def large_unchosen(
    found: Sequence[FoundElement], chosen: Sequence[str], series: SpectralTiltSeries
) -> tuple[Mark, ...]:
    """Grey labels for large peaks that nobody has chosen: what is left out of a sulphide should be seen to be sulphur.

    Parameters
    ----------
    found : sequence of FoundElement
        What the spectra show, stray elements as well.
    chosen : sequence of str
        Elements or families that have labels of their own.
    series : SpectralTiltSeries
        Its axis says which lines are in range.

    Returns
    -------
    tuple of Mark
        Of families with a share of the strongest one's counts that cannot be overlooked.
    """
    from napari_diptomo.spectra import families_for

    taken = {name.split('_')[0] for name in chosen}
    most = max((element.counts for element in found), default=0.0)
    marks = []
    for element in found:
        if series.energy_unit == 'keV' and element.element not in taken and element.counts >= _LARGE * most:
            with contextlib.suppress(DiptomoError):
                (family,) = families_for((element.family,), *_range(series))
                marks.append(_mark(family, _GREY))
    return tuple(marks)


def _mark(family: LineFamily, hue: str) -> Mark:
    main = family.main_energy
    others = tuple(
        energy
        for energy, weight in zip(family.energies, family.weights, strict=True)
        if weight > _LEAST_WEIGHT and energy != main
    )
    return Mark(family.name, main, hue, others)


def totalling(series: SpectralTiltSeries, maps: MapSeries) -> Callable[[Observer], tuple[Totals, ...]]:
    """Totals of the mapped families, from the tilts' sum spectra.

    The fit of a sum gives errors that hold what overlaps and what the model
    lacks, and all families of the spectra say how a projection goes.
    """

    def sum_up_elements(observer: Observer) -> tuple[Totals, ...]:
        from napari_diptomo.spectra import check_totals, families_for, family_totals, spectrum_model
        from napari_diptomo.spectra.common.tilt_counts import counts_of
        from napari_diptomo.spectra.edx.fit_range import FitRange

        window = FitRange.of(series)
        spectrum = counts_of(series).read().sum(axis=0)[window.channels]
        window = window.without(counts_of(series).faulty)
        wanted = tuple(dict.fromkeys(families_for(maps.channels, *_range(series))))
        model = spectrum_model(spectrum, window, wanted)
        totals, errors = family_totals(series, model, observer)
        return check_totals(totals, series.angles, model.names, errors)[: len(wanted)]

    return sum_up_elements


def doubts_of(found: Sequence[FoundElement]) -> dict[str, str]:
    """Why elements that the spectra show may not be of the specimen, or not there, a sentence by element."""
    doubts = {}
    for element in found:
        if element.stray:
            doubts[element.element] = element.reason
        elif element.doubtful:
            doubts[element.element] = (
                f'Doubtful, {element.significance:.1f} standard deviations: look at its lines in the spectrum first.'
            )
    return doubts


def likely(found: Sequence[FoundElement]) -> tuple[str, ...]:
    """The first few that are neither stray nor doubtful."""
    doubts = doubts_of(found)
    plain = [element.element for element in found if element.element not in doubts]
    return tuple(plain or [element.element for element in found[:1]])[:_FIRST_CHOICE]


def lines_in_range(series: SpectralTiltSeries, symbols: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Of every element: its lines in range in words, or why it cannot be mapped.

    Returns
    -------
    lines : dict of str to str
        ``{'Ge': 'Ge: K 9.89 keV, L 1.19 keV'}``.
    missing : dict of str to str
        ``{'H': 'H has no X-ray line between ...'}``.
    """
    from napari_diptomo.spectra import families_for, families_of
    from napari_diptomo.spectra.edx.system_signal import POSSIBLE_STRAY

    lines: dict[str, str] = {}
    missing: dict[str, str] = {}
    for symbol in symbols:
        try:
            (best,) = families_for((symbol,), *_range(series))
        except DiptomoError as error:
            missing[symbol] = str(error)
            continue
        families = families_of(symbol, *_range(series))
        named = ', '.join(f'{family.shell} {family.main_energy:.2f} keV' for family in families)
        by = f', mapped by {best.shell}' if len(families) > 1 else ''
        origin = f'; often stray, from {POSSIBLE_STRAY[symbol]}' if symbol in POSSIBLE_STRAY else ''
        lines[symbol] = f'{symbol}: {named}{by}{origin}'
    return lines, missing


def _range(series: SpectralTiltSeries) -> tuple[float, float, float]:
    """Lowest and highest energy that is fitted, and the beam's, keV."""
    from napari_diptomo.spectra.edx.fit_range import FitRange

    window = FitRange.of(series)
    return float(window.energy[0]), float(window.energy[-1]), window.beam_energy
