r"""References sampled coarsely: what the lines between their points leave open.

Between two points of a reference lies a straight line, which is off by h^2 f'' / 8 in the middle of a step h. With every
second point it is off by four times as much: a third of the difference between both is the error of the finer one. As in
`matching`, that error is written as the share p of one phase that is taken for the other, for the points of either parity.

Formulas: error of references by their sampling (`sampling_impurity`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_diptomo.series import InputError

#: eV: a step within L3 of which the middle is unknown, and by how much it is longer than the others where it is a gap.
_GAP, _LONGER = 0.85, 3.0
#: eV from the maximum of L3 within which its shape is.
_AROUND = 2.5


def check_gaps(name: str, energy: np.ndarray, top: float) -> None:
    """See that a reference has no gap in L3.

    Parameters
    ----------
    name : str
        Of the phase.
    energy : ndarray (n,)
        Of the points, eV.
    top : float
        Energy of the maximum of L3, eV.

    Raises
    ------
    InputError
        Points are missing there.
    """
    steps = np.diff(energy)
    inside = (energy[1:] > top - _AROUND) & (energy[:-1] < top + _AROUND)
    if not inside.any():
        return
    worst = int(np.where(inside, steps, 0).argmax())
    if steps[worst] > max(_GAP, _LONGER * float(np.median(steps[inside]))):
        raise InputError(
            f'The reference of {name} has no values between {energy[worst]:.1f} and {energy[worst + 1]:.1f} eV, within its L3 '
            'line; give one without a gap there.'
        )


def between_points(curve: np.ndarray, top: float) -> tuple[float, float]:
    """Typical step of a reference within L3, eV, and how far every second point misses the others, of the maximum.

    Parameters
    ----------
    curve : ndarray (2, n)
        Energies, eV, and counts.
    top : float
        Energy of the maximum of L3, eV.
    """
    near = np.abs(curve[0] - top) < _AROUND
    misses = [np.abs(np.interp(curve[0], curve[0, first::2], curve[1, first::2]) - curve[1])[near] for first in (0, 1)]
    largest = float(np.max(misses)) / max(float(curve[1, near].max()), 1e-300)
    return float(np.median(np.diff(curve[0][near]))), largest


def sampling_impurity(
    curves: Sequence[np.ndarray], energy: np.ndarray, moved_by: float, beside: np.ndarray
) -> np.ndarray:
    """Covariance of the shares of one phase that are taken for the other, by the steps of the references.

    Parameters
    ----------
    curves : sequence of ndarray (2, n)
        Energies and counts of both references.
    energy : ndarray (energy,)
        Of the data, eV.
    moved_by : float
        Subtracted from the energies of the references, eV.
    beside : ndarray (energy, column)
        Of the background, which may take part.

    Returns
    -------
    ndarray (2, 2)
    """

    def sampled(part: slice) -> np.ndarray:
        shapes = [np.interp(energy, c[0, part] - moved_by, c[1, part], left=0.0, right=0.0) for c in curves]
        return np.stack([shape / max(float(shape.sum()), 1e-300) for shape in shapes], axis=1)

    fine = sampled(slice(None))
    root = 1 / np.sqrt(np.maximum(fine.sum(axis=1), 1e-3 * fine.sum(axis=1).max()))[:, None]
    columns = np.hstack([fine, beside]) * root
    found = np.zeros((2, 2))
    for first in (0, 1):
        off = (sampled(slice(first, None, 2)) - fine) / 3
        shares = np.linalg.lstsq(columns, off * root, rcond=None)[0][:2]
        part = np.array([shares[1, 0], shares[0, 1]])
        found += np.outer(part, part) / 2
    return found
