"""Properties that follow from the formula of an oxide: valence of its metal, and the 3d holes that its white lines count.

With oxygen at -2 an oxide M_a O_b has the mean valence 2 b / a. A transition
metal of group g keeps g - valence 3d electrons, so 10 - g + valence holes: 4
for FeO, 14/3 for Fe3O4. By the sum rule the area of the white lines (M2,3 and
L2,3 alike) is in proportion to them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from napari_diptomo.series.errors import InputError

#: Group in the periodic table of the metals whose 3p and 2p edges end in 3d.
_GROUPS = {'Sc': 3, 'Ti': 4, 'V': 5, 'Cr': 6, 'Mn': 7, 'Fe': 8, 'Co': 9, 'Ni': 10, 'Cu': 11}
_FORMULA = re.compile(r'([A-Z][a-z]?)(\d*)O(\d*)')


def metal(oxide: str) -> str:
    """Symbol of the metal of an oxide, ``'Fe'`` of ``'Fe3O4'``.

    Raises
    ------
    InputError
        Not the formula of an oxide.
    """
    return _parts(oxide)[0]


def valence(oxide: str) -> float:
    """Mean valence of the metal: 2 in FeO, 8/3 in Fe3O4.

    Raises
    ------
    InputError
        Not the formula of an oxide.
    """
    _, metals, oxygens = _parts(oxide)
    return 2 * oxygens / metals


def holes(oxide: str) -> float | None:
    """3d holes per atom of the metal: 4 in FeO, 14/3 in Fe3O4; None where the metal is none of Sc to Cu.

    Raises
    ------
    InputError
        Not the formula of an oxide.
    """
    group = _GROUPS.get(metal(oxide))
    return None if group is None else 10 - group + valence(oxide)


def _parts(oxide: str) -> tuple[str, int, int]:
    match = _FORMULA.fullmatch(oxide)
    if match is None:
        raise InputError(f'{oxide!r} is not the formula of an oxide; write it as FeO, Fe3O4 or Mn2O3.')
    symbol, metals, oxygens = match.groups()
    return symbol, int(metals or 1), int(oxygens or 1)


def mean_valence(atoms: np.ndarray, covariance: np.ndarray, valences: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean valence V = sum_s v_s n_s / N of atoms n_s, N their sum, and its error to first order.

    var V = sum_st (v_s - V) (v_t - V) C_st / N^2 with C the covariance of the n_s.

    Parameters
    ----------
    atoms : ndarray (state, ...)
        Atoms in each state; only their ratios count.
    covariance : ndarray (state, state, ...)
        Of the atoms.
    valences : sequence of float
        Of each state.

    Returns
    -------
    valence, std : ndarray (...)
        Zero where the atoms add up to nothing.
    """
    v = np.asarray(valences, float).reshape(-1, *(1,) * (atoms.ndim - 1))
    total = atoms.sum(axis=0)
    inverse = np.divide(1.0, total, out=np.zeros(total.shape), where=total > 0)
    mean = (v * atoms).sum(axis=0) * inverse
    slope = (v - mean) * inverse
    variance = np.einsum('s...,st...,t...->...', slope, covariance, slope)
    return mean, np.sqrt(np.maximum(variance, 0))
