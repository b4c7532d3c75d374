r"""Signal that the system makes: sum peaks, the strobe, and elements that are often stray.

*Sum peaks.* Two photons that arrive within the resolving time count as one of
their summed energy. Their spectrum is the spectrum convolved with itself,

    p(E) = integral of s(E') s(E - E') dE',

in proportion to the rate. It is one column of the fit: its coefficient is free, it
belongs to no element, and maps hold none of it. In each pixel it goes with
the background.

*Escape peaks* belong to each line: `detector.Detector.escape`.

*Strobe.* Electronics that read the baseline put a peak at zero energy; its
width is that of the noise alone. Where the fit begins low enough to see its
flank it is a column as well.

*Silicon.* The detector's own silicon, excited by the photons it absorbs, adds
a peak at Si-K that grows with everything else. It cannot be distinguished from a
specimen's silicon in one spectrum, so Si is listed among the possibly stray.

Formulas: sum peaks (`sum_peaks`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from napari_diptomo.spectra.edx.detector import Detector, channel_edges

#: Elements whose photons often come from elsewhere than the specimen, and where from.
POSSIBLE_STRAY = {
    'Cu': 'grid or holder',
    'Ti': 'grid or holder',
    'Mo': 'grid or holder',
    'Au': 'grid, coating or aperture',
    'Ga': 'ion beam of the lamella preparation',
    'Pt': 'protective strap or aperture',
    'W': 'protective strap or probe',
    'Si': 'detector',
    'Fe': 'pole piece',
    'Co': 'pole piece',
    'Zr': 'collimator',
    'Al': 'holder',
    'C': 'contamination or support film',
}
_STROBE_REACH = 5.0
_FANO = 2.5e3
_E_MN = 5.8987


@dataclass(frozen=True, eq=False)
class SystemSignal:
    """Columns that belong to no element.

    Attributes
    ----------
    names : tuple of str
        ``'sum peaks'``, ``'strobe'``.
    shapes : ndarray (energy, column)
        Each sums to one.
    """

    names: tuple[str, ...]
    shapes: np.ndarray


def system_signal(energy: np.ndarray, spectrum: np.ndarray, detector: Detector) -> SystemSignal:
    """Columns to fit along with the families.

    Parameters
    ----------
    energy, spectrum : ndarray (energy,)
        Channel centres, keV, equally spaced; counts, such as the sum spectrum.
    detector : Detector
        Widths and calibration.
    """
    made = {'sum peaks': sum_peaks(energy, spectrum, detector), 'strobe': strobe(energy, detector)}
    columns = {name: detector.counted(energy, shape) for name, shape in made.items() if shape is not None}
    shapes = np.stack(list(columns.values()), axis=1) if columns else np.zeros((len(energy), 0))
    return SystemSignal(tuple(columns), shapes)


def sum_peaks(energy: np.ndarray, spectrum: np.ndarray, detector: Detector | None = None) -> np.ndarray | None:
    """Shape of the sum peaks, (energy,); None where the axis ends before twice its start.

    Parameters
    ----------
    energy, spectrum, detector
        As for `system_signal`.
    """
    detector = detector or Detector()
    true = detector.true_energy(energy)
    step = float(np.mean(np.diff(true)))
    grid = np.arange(true[0], true[-1], step)
    counts = np.interp(grid, true, np.maximum(spectrum, 0.0))
    # Half a second to import, in every computing process.
    from scipy.signal import fftconvolve

    both = np.maximum(fftconvolve(counts, counts), 0.0)
    sums = 2 * grid[0] + step * np.arange(len(both))
    shape = np.interp(true, sums, both, left=0.0, right=0.0)
    return shape / shape.sum() if shape.sum() > 0 else None


def strobe(energy: np.ndarray, detector: Detector) -> np.ndarray | None:
    """Shape of the flank of the strobe peak, (energy,); None where the axis begins beyond its reach."""
    noise = np.sqrt(max(detector.resolution**2 - _FANO * _E_MN, 40.0**2)) * 1e-3 / np.sqrt(8 * np.log(2))
    # The strobe is no photon: it sits at zero of the axis, whatever the surface does to soft lines.
    edges = channel_edges(energy)
    if edges[0] > _STROBE_REACH * noise:
        return None
    shape = np.diff(erf(edges / (np.sqrt(2) * noise)))
    return shape / shape.sum()
