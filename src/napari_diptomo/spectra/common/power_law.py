r"""Power laws A E^-r: the background in front of an edge, and what is left of a peak far behind it.

Two ways to the exponent. On logarithms, log n = log A - r log E, a straight line
(`log_log_line`): closed form, for summed spectra whose counts are many; below
some tens of counts per channel it is biased, as log n is not defined at zero. On
counts, by least squares with the weights of counts (`exponent_of_counts`), beside
other non-negative columns: for spectra that hold more than the law.

Egerton, EELS in the Electron Microscope (2011), section 4.4.

Formulas: power law in front of an edge (`exponent_of_counts`); tail of a peak (`falling_tail`).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar, nnls


def log_log_line(energy: np.ndarray, counts: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Straight line through log counts over log energy.

    Parameters
    ----------
    energy, counts : ndarray (energy,)
        Positive.
    weights : ndarray (energy,), optional
        One over the standard deviation of log counts: the root of counts.

    Returns
    -------
    slope, height : float
        -r, and log A.

    Raises
    ------
    TypeError
        No channel.
    """
    slope, height = np.polyfit(np.log(energy), np.log(counts), 1, w=weights)
    return slope, height


def exponent_of_counts(
    energy: np.ndarray,
    counts: np.ndarray,
    deviation: np.ndarray,
    bounds: tuple[float, float],
    beside: np.ndarray | None = None,
) -> float:
    """Exponent r of the law that fits counts best, its height and other columns not negative.

    Parameters
    ----------
    energy : ndarray (energy,)
        Relative to an energy of the range, so that the columns are of one size.
    counts, deviation : ndarray (energy,)
        Counts and their standard deviation.
    bounds : tuple of float
        Where r is looked for.
    beside : ndarray (energy,), optional
        A column that is fitted along.

    Returns
    -------
    float
        r.
    """
    target = counts / deviation

    def misfit(exponent: float) -> float:
        law = energy**-exponent
        columns = law[:, None] if beside is None else np.stack([law, beside], axis=1)
        return float(nnls(columns / deviation[:, None], target)[1])

    return float(minimize_scalar(misfit, bounds=bounds, method='bounded').x)


def falling_tail(energy: np.ndarray, start: float, power: float = 3.0) -> np.ndarray:
    """(start / E)^power: one at ``start``, the far wing of a plasmon or of a zero loss with its power of 3.

    Parameters
    ----------
    energy : ndarray (energy,)
        eV, above zero.
    start : float
        eV.
    power : float
        Exponent.

    Returns
    -------
    ndarray (energy,)
    """
    tail: np.ndarray = (start / energy) ** power
    return tail
