"""Splitting counts: binomial thinning, n' ~ Binomial(n, p).

Formulas: splitting of counts, binomial thinning (`thin`).
"""

from __future__ import annotations

import numpy as np


def thin(counts: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """A random part of counts, in which each quantum is kept with the same probability.

    The part and the remainder of a Poisson variable are independent Poisson
    variables with means ``fraction`` and 1 - ``fraction`` of its mean
    (Kingman, Poisson Processes, 1993, section 5.1).

    Parameters
    ----------
    counts : ndarray
        Whole numbers, not negative; floating point is allowed.
    fraction : float
        Probability of each quantum, 0 to 1.
    rng : numpy.random.Generator
        Source of the random numbers.

    Returns
    -------
    ndarray of int64
        Of the shape of ``counts``.

    Raises
    ------
    ValueError
        Negative counts, or a fraction that is no probability.
    """
    return rng.binomial(np.asarray(counts).astype(np.int64), fraction)
