"""Which elements a tilt series shows, read from its sum spectrum.

Greedy: fit what is found so far and a background, look for the element whose
families explain most of what is left, add it, fit again. An element must
show the family by which it would be mapped: zinc is not found by a peak at
Zn-L (which is Na-K) when Zn-K is missing. What is left counts against the
counting noise AND against the error of the model, taken as a share of the
peaks fitted so far: flanks of a strong peak are no element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_diptomo.series import Observer, SpectralTiltSeries
from napari_diptomo.spectra._counts import sum_spectrum
from napari_diptomo.spectra._exspy import atomic_numbers
from napari_diptomo.spectra.calibration import calibrate
from napari_diptomo.spectra.lines import Detector, LineFamily, families_for, families_of
from napari_diptomo.spectra.sum_fit import SumFit, background_shapes, line_shapes, solve
from napari_diptomo.spectra.window import Window

#: Noble gases, and what is not stable: nobody's specimen until it is asked for by name.
_UNLIKELY = {'He', 'Ne', 'Ar', 'Kr', 'Xe', 'Rn', 'Tc', 'Pm', 'Po', 'At', 'Fr', 'Ra', 'Ac', 'Pa'}
_FIRST, _LAST = 5, 92
#: Error of the model of a peak and of the background, as a share of them.
_PEAK_ERROR, _BACKGROUND_ERROR = 0.06, 0.03
_SIGNIFICANT = 6.0
#: From here on an element serves to calibrate by.
_PLAIN = 20.0
#: A family with less than this share of the strongest one's counts is not worth a channel.
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class FoundElement:
    """An element seen in a sum spectrum.

    Attributes
    ----------
    element : str
        Symbol.
    family : str
        The family by which it would be mapped, e.g. ``'Fe_K'``.
    counts : float
        In the whole family, over all pixels and tilts.
    significance : float
        Standard deviations, of noise and model error, above nothing.
    """

    element: str
    family: str
    counts: float
    significance: float


@dataclass(frozen=True, eq=False)
class _Candidate:
    element: str
    families: tuple[LineFamily, ...]
    primary: int
    shapes: np.ndarray


def find_elements(
    energy: np.ndarray, spectrum: np.ndarray, detector: Detector | None = None, beam_energy: float = 200.0
) -> tuple[FoundElement, ...]:
    """Elements in a spectrum, the one with the most counts first.

    Parameters
    ----------
    energy, spectrum : ndarray (energy,)
        Channel centres in keV, above the zero-strobe peak; counts.
    detector : Detector, optional
        Widths and calibration.
    beam_energy : float
        keV.
    """
    if not np.any(spectrum):
        return ()
    search = _Search(energy, np.asarray(spectrum, float), detector or Detector(), beam_energy)
    chosen: list[_Candidate] = []
    rest = search.candidates()
    while rest:
        best = search.strongest(chosen, rest)
        if best is None:
            break
        chosen.append(best)
        rest.remove(best)
    return search.report(search.prune(chosen))


def survey(
    energy: np.ndarray,
    spectrum: np.ndarray,
    detector: Detector | None = None,
    beam_energy: float = 200.0,
    wanted: Sequence[LineFamily] = (),
) -> tuple[Detector, tuple[FoundElement, ...]]:
    """Calibrate on the plainest elements of a spectrum, then find the rest.

    Parameters
    ----------
    energy, spectrum, detector, beam_energy
        As for `find_elements`.
    wanted : sequence of LineFamily
        Families that are fitted in any case.

    Returns
    -------
    Detector
        Calibrated.
    tuple of FoundElement
        As from `find_elements`.
    """
    detector = detector or Detector()
    plain = [f for f in find_elements(energy, spectrum, detector, beam_energy) if f.significance > _PLAIN]
    if plain:
        ends = float(energy[0]), float(energy[-1])
        families = [family for f in plain for family in families_of(f.element, *ends, beam_energy)]
        families += [family for family in wanted if family not in families]
        detector = calibrate(energy, spectrum, families, detector, beam_energy)
    return detector, find_elements(energy, spectrum, detector, beam_energy)


def suggest_elements(series: SpectralTiltSeries, observer: Observer | None = None) -> tuple[str, ...]:
    """Symbols of the elements that a series shows, the one with the most counts first.

    Parameters
    ----------
    series : SpectralTiltSeries
        EDX spectra.
    observer : Observer, optional
        Told of every tilt read, where the series has not been read yet.

    Raises
    ------
    InputError
        The energies are not calibrated in keV.
    """
    window = Window.of(series)
    spectrum = sum_spectrum(series, observer)[window.channels]
    _, found = survey(window.energy, spectrum, window.detector, window.beam_energy)
    return tuple(f.element for f in found)


class _Search:
    def __init__(self, energy: np.ndarray, spectrum: np.ndarray, detector: Detector, beam_energy: float) -> None:
        self.energy, self.spectrum, self.detector, self.beam_energy = energy, spectrum, detector, beam_energy
        self.smooth = background_shapes(energy, detector, beam_energy)
        # A model error moves all channels of a peak together: spread over as many
        # independent channels it must be that much larger to weigh the same.
        self.coherent = detector.fwhm(energy) / np.gradient(energy)

    def candidates(self) -> list[_Candidate]:
        found = []
        low, high = float(self.energy[0]), float(self.energy[-1])
        for element, number in atomic_numbers().items():
            families = families_of(element, low, high, self.beam_energy)
            if not families or element in _UNLIKELY or not _FIRST <= number <= _LAST:
                continue
            (primary,) = families_for((element,), low, high, self.beam_energy)
            shapes = line_shapes(self.energy, families, self.detector)
            found.append(_Candidate(element, families, families.index(primary), shapes))
        return found

    def fit(self, chosen: Sequence[_Candidate]) -> SumFit:
        shapes = [c.shapes for c in chosen] or [np.zeros((len(self.energy), 0))]
        return solve(self.spectrum, np.hstack(shapes), self.smooth)

    def scores(self, fit: SumFit, candidate: _Candidate) -> np.ndarray:
        """Standard deviations by which each family of a candidate sticks out of a fit."""
        error = (_PEAK_ERROR * fit.lines) ** 2 + (_BACKGROUND_ERROR * fit.background) ** 2
        variance = np.maximum(fit.model, 1e-3 * self.spectrum.mean()) + self.coherent * error
        excess = candidate.shapes.T @ ((self.spectrum - fit.model) / variance)
        return excess / np.sqrt((candidate.shapes**2).T @ (1 / variance))

    def strongest(self, chosen: Sequence[_Candidate], rest: Sequence[_Candidate]) -> _Candidate | None:
        fit = self.fit(chosen)
        best, most = None, 0.0
        for candidate in rest:
            scores = self.scores(fit, candidate)
            total = float(np.sqrt((np.maximum(scores, 0) ** 2).sum()))
            if scores[candidate.primary] > _SIGNIFICANT and total > most:
                best, most = candidate, total
        return best

    def significance(self, chosen: Sequence[_Candidate], candidate: _Candidate) -> float:
        others = [c for c in chosen if c is not candidate]
        return float(self.scores(self.fit(others), candidate)[candidate.primary])

    def counts(self, chosen: Sequence[_Candidate]) -> list[float]:
        counts = iter(np.split(self.fit(chosen).counts, np.cumsum([len(c.families) for c in chosen])[:-1]))
        return [float(next(counts)[c.primary]) for c in chosen]

    def prune(self, chosen: list[_Candidate]) -> list[_Candidate]:
        """Drop, one by one, what the others explain as well."""
        while chosen:
            counts = self.counts(chosen)
            least = _LEAST_SHARE * max(counts)
            scores = [self.significance(chosen, c) if n > least else 0.0 for c, n in zip(chosen, counts, strict=True)]
            weakest = int(np.argmin(scores))
            if scores[weakest] > _SIGNIFICANT:
                break
            chosen = [c for c in chosen if c is not chosen[weakest]]
        return chosen

    def report(self, chosen: Sequence[_Candidate]) -> tuple[FoundElement, ...]:
        if not chosen:
            return ()
        found = [
            FoundElement(c.element, c.families[c.primary].name, n, self.significance(chosen, c))
            for c, n in zip(chosen, self.counts(chosen), strict=True)
        ]
        return tuple(sorted(found, key=lambda f: -f.counts))
