"""Which elements a spectrum shows.

Greedy: fit what is found so far and a background, look for the element whose
families explain most of what is left, add it, fit again. An element must
show the family by which it would be mapped: zinc is not found by a peak at
Zn-L (which is Na-K) when Zn-K is missing. What is left counts against the
counting noise AND against the error of the model, taken as a share of the
peaks fitted so far: flanks of a strong peak are no element. Once detector and
line weights are refined on the plain elements, that share is much smaller, and
a second search finds what hid beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_diptomo.series import Observer, SpectralTiltSeries
from napari_diptomo.spectra.common.exspy_adapter import atomic_numbers
from napari_diptomo.spectra.common.tilt_counts import counts_of, sum_spectrum
from napari_diptomo.spectra.edx.detector import Detector
from napari_diptomo.spectra.edx.detector_calibration import calibrate_with_weights
from napari_diptomo.spectra.edx.fit_range import FitRange
from napari_diptomo.spectra.edx.lines import LineFamily, families_for, families_of
from napari_diptomo.spectra.edx.sum_fit import SumFit, background_shapes, line_shapes, solve

#: Noble gases, and what is not stable: nobody's specimen until it is asked for by name.
_UNLIKELY = {'He', 'Ne', 'Ar', 'Kr', 'Xe', 'Rn', 'Tc', 'Pm', 'Po', 'At', 'Fr', 'Ra', 'Ac', 'Pa'}
_FIRST, _LAST = 5, 92
#: Errors of the model of a peak and of the background, as a share of them: as the tables are, and refined.
_TABLE_ERROR, _REFINED_ERROR = (0.06, 0.03), (0.02, 0.01)
#: Found from here on; doubtful, though reported, from the second.
SIGNIFICANT, DOUBTFUL = 6.0, 3.0
#: From here on an element serves to calibrate by.
_PLAIN = 20.0
#: A family with less than this share of the strongest one's counts is not worth a channel.
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class FoundElement:
    """An element seen in a spectrum.

    Attributes
    ----------
    element : str
        Symbol.
    family : str
        The family by which it would be mapped, e.g. ``'Fe_K'``.
    counts : float
        In the whole family, over all pixels and tilts; of an element seen in
        the maximum spectrum those of the group of pixels that shows it best.
    significance : float
        Standard deviations, of noise and model error, above nothing.
    where : {'sum', 'maximum'}
        Seen in the sum spectrum, or in a group of pixels only.
    stray : bool
        Its totals per tilt are none of a projection of the specimen.
    doubtful : bool
        The evidence is weak: look at the spectrum before mapping it.
    reason : str
        Why it is stray, one sentence.
    """

    element: str
    family: str
    counts: float
    significance: float
    where: Literal['sum', 'maximum'] = 'sum'
    stray: bool = False
    doubtful: bool = False
    reason: str = ''


@dataclass(frozen=True, eq=False)
class _Candidate:
    element: str
    families: tuple[LineFamily, ...]
    primary: int
    shapes: np.ndarray


def find_elements(
    energy: np.ndarray,
    spectrum: np.ndarray,
    detector: Detector | None = None,
    beam_energy: float = 200.0,
    known: Mapping[str, LineFamily] | None = None,
    least: float = SIGNIFICANT,
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
    known : mapping of str to LineFamily, optional
        Families with refined weights, by name; the errors of the model are then those of a refined one.
    least : float
        Significance from which on an element is reported.

    Returns
    -------
    tuple of FoundElement
        Empty for a spectrum without counts.
    """
    if not np.any(spectrum):
        return ()
    return _Search(energy, np.asarray(spectrum, float), detector or Detector(), beam_energy, known, least).run()


def survey(
    energy: np.ndarray,
    spectrum: np.ndarray,
    detector: Detector | None = None,
    beam_energy: float = 200.0,
    wanted: Sequence[LineFamily] = (),
    least: float = SIGNIFICANT,
) -> tuple[Detector, tuple[FoundElement, ...]]:
    """Calibrate on the plainest elements of a spectrum, then find the rest.

    Parameters
    ----------
    energy, spectrum, detector, beam_energy, least
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
    ends = float(energy[0]), float(energy[-1])
    found = find_elements(energy, spectrum, detector, beam_energy)
    # Those without hope of it are not there, the weak ones are no ruler.
    sure = [f for f in found if f.significance > _PLAIN]
    known: dict[str, LineFamily] = {}
    for again in (True, False):
        if not sure:
            break
        families = {family.name: family for f in sure for family in families_of(f.element, *ends, beam_energy)}
        families |= {family.name: family for family in wanted}
        start = [known.get(name, family) for name, family in families.items()]
        detector, refined = calibrate_with_weights(energy, spectrum, start, detector, beam_energy)
        known = {family.name: family for family in refined}
        found = find_elements(
            energy, spectrum, detector, beam_energy, known, SIGNIFICANT if again else min(least, SIGNIFICANT)
        )
        sure = [f for f in found if not f.doubtful]
    return detector, found


def suggest_elements(series: SpectralTiltSeries, observer: Observer | None = None) -> tuple[str, ...]:
    """Symbols of the elements that a series shows, the one with the most counts first.

    Parameters
    ----------
    series : SpectralTiltSeries
        EDX spectra.
    observer : Observer, optional
        Receives the progress.

    Returns
    -------
    tuple of str
        As `find_elements` finds them in the sum spectrum, stray ones included.

    Raises
    ------
    InputError
        The energies are not calibrated in keV.
    """
    window = FitRange.of(series)
    spectrum = sum_spectrum(series, observer)[window.channels]
    window = window.without(counts_of(series).faulty)
    _, found = survey(window.energy, spectrum, window.detector, window.beam_energy)
    return tuple(f.element for f in found)


def likely_elements() -> tuple[str, ...]:
    """Symbols of the elements that are looked for."""
    return tuple(s for s, number in atomic_numbers().items() if s not in _UNLIKELY and _FIRST <= number <= _LAST)


class _Search:
    def __init__(
        self,
        energy: np.ndarray,
        spectrum: np.ndarray,
        detector: Detector,
        beam_energy: float,
        known: Mapping[str, LineFamily] | None,
        least: float,
    ) -> None:
        self.energy, self.spectrum, self.detector, self.beam_energy = energy, spectrum, detector, beam_energy
        self.known, self.least = known or {}, least
        self.peak_error, self.background_error = _REFINED_ERROR if known else _TABLE_ERROR
        self.smooth = background_shapes(energy, detector, beam_energy)
        # A model error moves all channels of a peak together: spread over as many
        # independent channels it must be that much larger to weigh the same.
        self.coherent = detector.fwhm(energy) / np.gradient(energy)
        self.expected: np.ndarray | None = None

    def run(self) -> tuple[FoundElement, ...]:
        rest = self.candidates()
        sure = self.prune(self.grow([], rest, SIGNIFICANT), SIGNIFICANT, keep=0)
        found = self.report(sure, sure)
        if self.least < SIGNIFICANT:
            # The sure ones stand; a doubtful one must not take from them.
            rest = [c for c in rest if all(c is not s for s in sure)]
            both = self.prune(self.grow(sure, rest, self.least), self.least, keep=len(sure))
            found += tuple(replace(f, doubtful=True) for f in self.report(both, both[len(sure) :]))
        return tuple(sorted(found, key=lambda f: -f.counts))

    def grow(self, chosen: Sequence[_Candidate], rest: Sequence[_Candidate], least: float) -> list[_Candidate]:
        chosen, rest = list(chosen), list(rest)
        while rest:
            best = self.strongest(chosen, rest, least)
            if best is None:
                break
            chosen.append(best)
            rest.remove(best)
        return chosen

    def candidates(self) -> list[_Candidate]:
        found = []
        low, high = float(self.energy[0]), float(self.energy[-1])
        for element in likely_elements():
            families = families_of(element, low, high, self.beam_energy)
            if not families:
                continue
            (primary,) = families_for((element,), low, high, self.beam_energy)
            shapes = line_shapes(self.energy, [self.known.get(f.name, f) for f in families], self.detector)
            found.append(_Candidate(element, families, families.index(primary), shapes))
        return found

    def fit(self, chosen: Sequence[_Candidate]) -> SumFit:
        """The last fit determines the weights of the next: they hardly differ."""
        shapes = np.hstack([c.shapes for c in chosen] or [np.zeros((len(self.energy), 0))])
        fit = solve(self.spectrum, shapes, self.smooth, 3 if self.expected is None else 1, self.expected)
        self.expected = np.maximum(fit.model, 0.5 * self.spectrum)
        return fit

    def scores(self, fit: SumFit, candidate: _Candidate) -> np.ndarray:
        """Standard deviations by which each family of a candidate sticks out of a fit."""
        error = (self.peak_error * fit.lines) ** 2 + (self.background_error * fit.background) ** 2
        variance = np.maximum(fit.model, 1e-3 * self.spectrum.mean()) + self.coherent * error
        excess = candidate.shapes.T @ ((self.spectrum - fit.model) / variance)
        return excess / np.sqrt((candidate.shapes**2).T @ (1 / variance))

    def strongest(self, chosen: Sequence[_Candidate], rest: Sequence[_Candidate], least: float) -> _Candidate | None:
        fit = self.fit(chosen)
        best, most = None, 0.0
        for candidate in rest:
            scores = self.scores(fit, candidate)
            total = float(np.sqrt((np.maximum(scores, 0) ** 2).sum()))
            if scores[candidate.primary] > least and total > most:
                best, most = candidate, total
        return best

    def significance(self, chosen: Sequence[_Candidate], candidate: _Candidate) -> float:
        others = [c for c in chosen if c is not candidate]
        return float(self.scores(self.fit(others), candidate)[candidate.primary])

    def counts(self, chosen: Sequence[_Candidate]) -> list[float]:
        counts = iter(np.split(self.fit(chosen).counts, np.cumsum([len(c.families) for c in chosen])[:-1]))
        return [float(next(counts)[c.primary]) for c in chosen]

    def prune(self, chosen: list[_Candidate], least: float, keep: int) -> list[_Candidate]:
        """Drop, one by one, what the others explain as well; the first ``keep`` stay."""
        while len(chosen) > keep:
            counts = self.counts(chosen)
            fewest = _LEAST_SHARE * max(counts) if least >= SIGNIFICANT else 0.0
            scores = [
                self.significance(chosen, c) if n > fewest else 0.0
                for c, n in list(zip(chosen, counts, strict=True))[keep:]
            ]
            weakest = int(np.argmin(scores))
            if scores[weakest] > least:
                break
            chosen = [c for c in chosen if c is not chosen[keep + weakest]]
        return chosen

    def report(self, chosen: Sequence[_Candidate], reported: Sequence[_Candidate]) -> tuple[FoundElement, ...]:
        if not reported:
            return ()
        counts = dict(zip((c.element for c in chosen), self.counts(chosen), strict=True))
        return tuple(
            FoundElement(c.element, c.families[c.primary].name, counts[c.element], self.significance(chosen, c))
            for c in reported
        )
