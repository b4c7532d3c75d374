"""Edges that a spectrum seems to hold: rises that no smooth background makes, named by the table.

The logarithm of the counts is smoothed and its change over some eV compared with the change in front of it. Where the
spectrum rises against that trend by far more than its noise, and most of all places around, there is an edge; the
major edges of the table within some eV of it are its candidates. A candidate whose partner of higher energy (L2 of
L3, M4 of M5) lies in the range must show that one too. Names are suggestions: chemistry and the energy axis move edges
by several eV.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

from napari_diptomo.spectra.common.exspy_adapter import edge_onsets, major_edges

#: Counts are compared over this distance in front of and behind a place, eV (or so many channels).
_SPAN, _CHANNELS = 6.0, 3
#: A rise is one above so many standard deviations and this share of the counts.
_CERTAIN, _LEAST_RISE = 8.0, 0.02
#: Exponent beyond which no background falls.
_STEEPEST = 7.0
#: Edges closer than this are one, eV; the table may be off by this, eV.
_APART, _TOLERANCE = 14.0, 9.0
#: The partner of a white line, and how much weaker its rise may be.
_PARTNER = {'L3': 'L2', 'M5': 'M4'}
_WEAKER = 0.15
#: Below this energy rises are those of plasmons, eV.
_LOWEST = 100.0
#: Common in specimens: others are not suggested.
_COMMON = (
    'C', 'N', 'O', 'F', 'Na', 'Mg', 'Al', 'Si', 'P', 'S', 'Cl', 'K', 'Ca', 'Ti', 'V', 'Cr', 'Mn', 'Fe', 'Co', 'Ni', 'Cu', 'Zn',
    'La', 'Ce', 'Ba', 'Sr', 'B', 'Ga', 'Gd', 'Ag', 'Sn', 'Nb', 'Zr', 'Y', 'Pr', 'Nd',
)  # fmt: skip


@dataclass(frozen=True)
class FoundEdge:
    """An edge that a spectrum seems to hold.

    Attributes
    ----------
    edge : str
        Name as `EdgeMaps` takes it: ``'O_K'``, ``'Mn_L'``.
    energy : float
        Where the spectrum rises, eV.
    rise : float
        By what share of the counts.
    others : tuple of str
        Edges of the table that may be meant as well, the nearest first.
    """

    edge: str
    energy: float
    rise: float
    others: tuple[str, ...] = ()


def find_edges(energy: np.ndarray, spectrum: np.ndarray) -> tuple[FoundEdge, ...]:
    """Edges of a spectrum, the most prominent first.

    Parameters
    ----------
    energy, spectrum : ndarray (energy,)
        eV, evenly spaced; summed counts.
    """
    step = float(energy[1] - energy[0])
    span = max(round(_SPAN / step), _CHANNELS)
    counts = np.maximum(np.asarray(spectrum, float), 0)
    if len(energy) < 8 * span or not counts.any():
        return ()
    smooth = np.log(np.maximum(gaussian_filter1d(counts, max(1.0 / step, 0.6)), 1e-3 * counts.mean()))
    rise = np.full(len(energy), -np.inf)
    middle = np.arange(3 * span, len(energy) - span)
    front, far, behind = middle - span // 2, middle - 3 * span + span // 2, middle + span // 2
    place = np.log(np.maximum(energy, 1.0))
    # Behind a white line the spectrum falls as no background does, and whatever comes next would be a rise.
    trend = np.clip((smooth[front] - smooth[far]) / (place[front] - place[far]), -_STEEPEST, 0.0)
    rise[middle] = uniform_filter1d(smooth, span)[behind] - smooth[front] - trend * (place[behind] - place[front])
    noise = _noise(smooth, counts, span)
    peaks = np.flatnonzero(
        (rise == maximum_filter1d(rise, 2 * round(_APART / step) + 1))
        & (rise > np.maximum(_CERTAIN * noise, _LEAST_RISE))
    )
    found: dict[str, FoundEdge] = {}
    for top in sorted(peaks, key=lambda i: -rise[i]):
        place = _onset(energy, smooth, int(top), span)
        if place < _LOWEST:
            continue
        if any(abs(place - partner) < _SPAN for edge in found.values() for partner in _partners(edge)):
            continue
        names = _candidates(place, energy, rise, float(rise[top]), span)
        if names and names[0] not in found:
            found[names[0]] = FoundEdge(names[0], place, float(np.expm1(rise[top])), tuple(names[1:]))
    return tuple(found.values())


def _noise(smooth: np.ndarray, counts: np.ndarray, span: int) -> np.ndarray:
    """Standard deviation of a rise by counting and by how rough the spectrum is, (energy,)."""
    second = smooth[span:-span] - 0.5 * (smooth[: -2 * span] + smooth[2 * span :])
    rough = 1.4826 * float(np.median(np.abs(second - np.median(second))))
    return np.hypot(1.5 / np.sqrt(np.maximum(counts, 1)), 0.5 * rough)


def _onset(energy: np.ndarray, smooth: np.ndarray, top: int, span: int) -> float:
    around = np.arange(max(top - span, 1), min(top + span + 1, len(energy) - 1))
    slope = np.gradient(smooth)[around]
    return float(energy[around[int(slope.argmax())]])


def _partners(found: FoundEdge) -> list[float]:
    """Where the second white line of an edge lies on this axis, eV."""
    onsets = edge_onsets()
    first, second = (f'{found.edge}{number}' for number in ('32' if found.edge.endswith('L') else '54'))
    return [found.energy + onsets[second] - onsets[first]] if first in onsets and second in onsets else []


def _candidates(place: float, energy: np.ndarray, rise: np.ndarray, height: float, span: int) -> list[str]:
    onsets = edge_onsets()
    near = []
    for name in major_edges():
        symbol, shell = name.split('_')
        if shell in ('L2', 'M4', 'M2', 'L1') or abs(onsets[name] - place) > _TOLERANCE:
            continue
        partner = onsets.get(f'{symbol}_{_PARTNER.get(shell, "")}')
        if partner is not None and not _shows(partner + place - onsets[name], energy, rise, height, span):
            continue
        if symbol in _COMMON:
            near.append((abs(onsets[name] - place), f'{symbol}_{shell[0]}'))
    return list(dict.fromkeys(name for _, name in sorted(near)))


def _shows(place: float, energy: np.ndarray, rise: np.ndarray, height: float, span: int) -> bool:
    """Whether there is a rise at an energy, or no telling: too near the first line, or outside the range."""
    if place > energy[-1] - _SPAN:
        return True
    near = np.abs(energy - place) <= span * float(energy[1] - energy[0]) / 2
    return bool(near.any() and rise[near].max() > _WEAKER * height)
