r"""All elements that a tilt series shows, ranked, the weak and the rare ones too.

The sum spectrum shows what is common. A particle in one corner drowns in it:
so the spectra are pooled in blocks of pixels, every block of every tilt is
fitted with the families of the common elements, and the counts n about the
main line of every other element are compared with the counts m of that fit by
the signed root of the deviance,

    z = sqrt(2 [n ln(n / m) - (n - m)]),

which is standard normal where the element is absent. The largest z of N
blocks and elements is significant as far as it exceeds the largest of N
normal numbers: sqrt(z^2 - 2 ln N).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from napari_diptomo.series import Observer, SpectralTiltSeries, Watch
from napari_diptomo.spectra.common.tilt_counts import counts_of
from napari_diptomo.spectra.edx.detector import Detector
from napari_diptomo.spectra.edx.element_search import DOUBTFUL, SIGNIFICANT, FoundElement, likely_elements, survey
from napari_diptomo.spectra.edx.fit_range import FitRange
from napari_diptomo.spectra.edx.lines import LineFamily, families_for, families_of
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel
from napari_diptomo.spectra.edx.sum_fit import background_shapes, line_shapes
from napari_diptomo.spectra.edx.totals import check_totals, family_totals

#: Side of a block, pixels.
_BLOCK = 8
#: Half width of the range about a line, and nearness of two lines, in peak widths.
_HALF_WIDTH, _NEAR = 0.6, 0.7
#: Error of the model of a block, as a share of its counts in a range.
_MODEL_ERROR = 0.06
#: Tilts from which on totals can show which elements are stray.
_ENOUGH_TILTS = 5


def rank_elements(series: SpectralTiltSeries, observer: Observer | None = None) -> tuple[FoundElement, ...]:
    """Elements of a series by significance, from the sum spectrum and from pooled blocks of pixels.

    Parameters
    ----------
    series : SpectralTiltSeries
        EDX spectra.
    observer : Observer, optional
        Receives the progress.

    Returns
    -------
    tuple of FoundElement
        The most significant first; doubtful ones are among them, and those that are stray say so.

    Raises
    ------
    InputError
        The energies are not calibrated in keV.
    """
    window = FitRange.of(series)
    watch = Watch(observer, 'Elements', len(series.angles))
    sums = counts_of(series).read(watch)[:, window.channels]
    window = window.without(counts_of(series).faulty)
    detector, found = survey(window.energy, sums.sum(axis=0), window.detector, window.beam_energy, least=DOUBTFUL)
    sure = [f for f in found if not f.doubtful]
    families = [x for f in sure for x in families_of(f.element, *window.ends, window.beam_energy)]
    model = _model(window, detector, families)
    if len(series.angles) >= _ENOUGH_TILTS and families:
        totals, errors = family_totals(series, model, observer)
        judged = check_totals(totals, series.angles, model.names, errors)
        stray = {t.name: t.sentence for t in judged if not t.behaves}
        found = tuple(replace(f, stray=f.family in stray, reason=stray.get(f.family, '')) for f in found)
    rare = _in_blocks(series, model, {f.element for f in sure})
    seen = {f.element: f for f in (*found, *rare)}
    for f in found:
        if f.significance >= seen[f.element].significance:
            seen[f.element] = f
    return tuple(sorted(seen.values(), key=lambda f: -f.significance))


def _model(window: FitRange, detector: Detector, families: Sequence[LineFamily]) -> SpectrumModel:
    shapes = line_shapes(window.energy, families, detector)
    smooth = background_shapes(window.energy, detector, window.beam_energy)
    return SpectrumModel(window, detector, tuple(families), len(families), shapes, smooth)


def _in_blocks(series: SpectralTiltSeries, model: SpectrumModel, sure: set[str]) -> tuple[FoundElement, ...]:
    """Elements beyond the sure ones that a block of pixels shows, none of them near a stronger one's line."""
    energy, detector = model.window.energy, model.detector
    others = _families_sought(model, sure)
    if not others:
        return ()
    main = np.array([family.main_energy for family in others])
    place = detector.true_energy(energy)
    ranges = (np.abs(place[:, None] - main) < _HALF_WIDTH * detector.fwhm(main)).astype(float)
    caught = (ranges * line_shapes(energy, others, detector)).sum(axis=0)
    best, counts, tried = np.zeros(len(others)), np.zeros(len(others)), 0
    pool = _pooling(*series.counts.shape[1:3])
    for t in range(len(series.angles)):
        spectra = np.asarray((pool @ counts_of(series).tilt(t)[:, model.window.channels]).todense(), float)
        z, excess = _excess(spectra, model, ranges)
        top = z.argmax(axis=0)
        value = z[top, np.arange(len(others))]
        counts = np.where(value > best, excess[top, np.arange(len(others))] / np.maximum(caught, 0.1), counts)
        best = np.maximum(best, value)
        tried += z.size
    significance = np.sqrt(np.maximum(best**2 - 2 * np.log(max(tried, 1)), 0.0))
    found: list[FoundElement] = []
    taken: list[float] = []
    for i in np.argsort(-significance):
        if significance[i] < DOUBTFUL:
            break
        if all(abs(main[i] - e) > _NEAR * detector.fwhm(main[i]) for e in taken):
            family = others[i]
            weak = bool(significance[i] < SIGNIFICANT)
            found.append(
                FoundElement(
                    family.element,
                    family.name,
                    float(counts[i]),
                    float(significance[i]),
                    'maximum',
                    doubtful=weak,
                )
            )
        # The minor lines of an element in a block are no further elements.
        taken += _lines_of(others[i].element, model)
    return tuple(found)


def _families_sought(model: SpectrumModel, sure: set[str]) -> tuple[LineFamily, ...]:
    """Main families of the other elements, but for those under a line of a sure one."""
    low, high = model.window.ends
    lines = np.array([e for element in sure for e in _lines_of(element, model)])
    sought = []
    for element in likely_elements():
        if element in sure or not families_of(element, low, high, model.window.beam_energy):
            continue
        (family,) = families_for((element,), low, high, model.window.beam_energy)
        near = _NEAR * model.detector.fwhm(family.main_energy)
        if not (np.abs(lines - family.main_energy) < near).any():
            sought.append(family)
    return tuple(sought)


def _lines_of(element: str, model: SpectrumModel) -> list[float]:
    families = families_of(element, *model.window.ends, model.window.beam_energy)
    return [e for family in families for e, w in zip(family.energies, family.weights, strict=True) if w > 0.01]


def _excess(spectra: np.ndarray, model: SpectrumModel, ranges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed root of the deviance, and counts above the fit of the common elements: (block, element)."""
    fit = model.fit(spectra.sum(axis=0))
    columns = np.column_stack([model.shapes, fit.background / max(fit.background.sum(), 1e-12)])
    weights = 1 / np.maximum(fit.model, 1e-3 * fit.model.mean())
    weighted = columns * np.sqrt(weights)[:, None]
    operator = np.linalg.pinv(weighted, rcond=1e-6) * np.sqrt(weights)
    coefficients = np.maximum(spectra @ operator.T, 0)
    expected = np.maximum(coefficients @ (columns.T @ ranges), 0.05)
    seen = spectra @ ranges
    deviance = 2 * (seen * np.log(np.maximum(seen, 1e-9) / expected) - (seen - expected))
    z = np.sign(seen - expected) * np.sqrt(np.maximum(deviance, 0)) / np.sqrt(1 + _MODEL_ERROR**2 * expected)
    return z, seen - expected


def _pooling(height: int, width: int) -> sparse.csr_matrix:
    """Sums of blocks of pixels, (block, pixel)."""
    y, x = np.mgrid[0:height, 0:width]
    across = -(-width // _BLOCK)
    block = (y // _BLOCK * across + x // _BLOCK).ravel()
    ones = np.ones(block.size)
    return sparse.csr_matrix((ones, (block, np.arange(block.size))), shape=(block.max() + 1, block.size))
