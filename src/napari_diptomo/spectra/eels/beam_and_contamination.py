r"""Changes from tilt to tilt beside the angle: of the beam current, and by carbon that grows on the specimen.

*Beam current.* All electrons of a pixel, scattered or not, are in its low loss as long as they pass the aperture. Where there
is next to no specimen (the thinnest tenth of the pixels by t/lambda) they number the beam current times the dwell time.
Maps that are divided by it are of equal dose; by default they are not, as a range that ends
early, or a zero loss that is saturated, makes totals that are no current.

*Contamination.* The beam cracks hydrocarbons wherever it goes, so t/lambda of the thinnest tenth of the
pixels grows in the order of acquisition. With it grows what scatters the edges to higher losses; each pixel is fitted with its own
thickness, and what is left of the total of the metal was up to a tenth where carbon grew by a plasmon.
"""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import Finding, Remedy
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries

#: Share of the pixels that are next to vacuum.
_THINNEST = 0.1
#: Currents that differ by more than this, relative, are said aloud; t/lambda that grows by more, and its rank correlation with the order.
_UNEQUAL, _GROWN, _RISING = 0.05, 0.05, 0.8
#: Tilts that a trend needs.
_LEAST_TILTS = 4


def beam_currents(calibrated: CalibratedSeries) -> np.ndarray:
    """Beam current of each tilt relative to their mean, (tilt,); 1 where a tilt has no pixel of known thickness.

    Parameters
    ----------
    calibrated : CalibratedSeries
        The spectra.
    """
    found = np.full(len(calibrated.series.angles), np.nan)
    for tilt, thickness in enumerate(calibrated.t_over_lambda):
        thin = _thinnest(thickness)
        if thin.any():
            found[tilt] = float(np.asarray(calibrated.series.counts[tilt])[thin].sum(axis=-1, dtype=float).mean())
    mean = np.nanmean(found) if np.isfinite(found).any() else np.nan
    usable = np.isfinite(found) & (found > 0) & bool(mean > 0)
    relative: np.ndarray = np.where(usable, found, 1.0) / np.where(usable, mean, 1.0)
    return relative


def drift_findings(calibrated: CalibratedSeries, currents: np.ndarray, divided: bool) -> tuple[Finding, ...]:
    """Findings on the beam current and on contamination.

    Parameters
    ----------
    calibrated : CalibratedSeries
        The spectra.
    currents : ndarray (tilt,)
        From `beam_currents`.
    divided : bool
        Whether the maps are divided by it.
    """
    return (*_of_currents(currents, divided), *_of_contamination(calibrated.t_over_lambda))


def _of_currents(currents: np.ndarray, divided: bool) -> tuple[Finding, ...]:
    spread = float(np.ptp(currents))
    if spread <= _UNEQUAL:
        return ()
    evidence = {'least': float(currents.min()), 'most': float(currents.max())}
    if divided:
        sentence = f'Maps are divided by the beam current, {currents.min():.2f} to {currents.max():.2f} of its mean, from the totals of the thinnest pixels.'
        return (Finding('note', 'beam current', sentence, evidence),)
    return (
        Finding(
            'doubt',
            'beam current',
            f'The thinnest pixels hold {currents.min():.2f} to {currents.max():.2f} of their mean total from tilt to tilt, as if the beam current '
            'had changed. A reconstruction takes it for specimen; divide by it, if the whole of the losses was recorded.',
            evidence,
            Remedy('Divide by the beam current', 'EELSOxidationMaps', {'equal_current': True}),
        ),
    )


def _of_contamination(t_over_lambda: np.ndarray) -> tuple[Finding, ...]:
    thin = [float(np.median(one[_thinnest(one)])) for one in t_over_lambda if _thinnest(one).any()]
    if len(thin) < max(_LEAST_TILTS, len(t_over_lambda)):
        return ()
    # Half a second to import, in every computing process.
    from scipy.stats import spearmanr

    order = np.arange(len(thin))
    # Of the tilts in their order, which is that of acquisition or its reverse in a series from one side to the other.
    trend = float(spearmanr(order, thin).statistic) if np.ptp(thin) > 0 else 0.0
    grown = abs(float(np.polyfit(order, thin, 1)[0])) * (len(thin) - 1)
    if grown < _GROWN or abs(trend) < _RISING:
        return ()
    return (
        Finding(
            'doubt',
            'contamination',
            f'Where the specimen is thinnest t/lambda changes by {grown:.2f} from the first tilt to the last, steadily (rank correlation '
            f'{trend:+.2f}), as if carbon grew under the beam. Each pixel is fitted with its own thickness; totals of the '
            'metal may drift by some hundredths all the same. Compare the first and the last image, and clean the next specimen.',
            {'change of t/lambda': grown, 'rank correlation': trend},
        ),
    )


def _thinnest(thickness: np.ndarray) -> np.ndarray:
    """The thinnest pixels of a tilt, (y, x), bool."""
    known = np.isfinite(thickness)
    if not known.any():
        return known
    thin: np.ndarray = known & (thickness <= np.quantile(thickness[known], _THINNEST))
    return thin
