"""Where an edge is measured: its name in the table, or ranges by hand.

An edge is named as in the table, ``O_K``, ``Fe_L3`` or ``Fe_L`` (the edge of lowest energy of the shell). Ranges of
one's own stand behind the name, the one of the signal last: ``Mn_L 636-662``, or with that of the background in front,
``Mn_L 590-632 636-662``. With ranges any name will do: ``pre-peak 527-533``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from napari_diptomo.series import InputError
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.common.exspy_adapter import edge_onsets

#: Widths before and behind an onset, relative to it and within limits in eV.
_BEFORE, _BEFORE_LIMITS = 0.12, (8.0, 60.0)
_BEHIND, _BEHIND_LIMITS = 0.08, (8.0, 50.0)
#: Kept free in front of an onset, relative to it and within limits, eV.
_GAP, _GAP_LIMITS = 0.02, (2.0, 6.0)
#: Of M2,3 of the 3d metals the table has the maximum, which is so far behind the onset, eV.
_MAXIMUM_BEHIND_ONSET = 9.0
_METALS = ('Ti', 'V', 'Cr', 'Mn', 'Fe', 'Co', 'Ni')
#: Channels without which nothing can be fitted or summed.
_LEAST_BEFORE, _LEAST_SIGNAL = 4, 2
#: Typical ranges may be shortened to this share.
_LEAST_SHARE = 0.5
_NUMBER = r'\d+(?:\.\d*)?'
_RANGE = rf'({_NUMBER})\s*(?:-|to)\s*({_NUMBER})'
_WRITTEN = re.compile(rf'\s*(?P<name>.*?)\s*:?\s*(?:{_RANGE}\s+)?{_RANGE}\s*(?:eV)?\s*')


@dataclass(frozen=True)
class EdgeWindows:
    """Where an edge is measured.

    Attributes
    ----------
    name : str
        E.g. ``'Fe_L3'``, or ``'Fe_L'`` for the edge of lowest energy of a shell.
    before, signal : tuple of float
        Where the background is fitted, and where the edge is summed, eV.
    typical : bool
        These are the typical ranges of the edge, which may be shortened where the spectra end.
    """

    name: str
    before: tuple[float, float]
    signal: tuple[float, float]
    typical: bool = False

    @classmethod
    def of(cls, edge: str, before: float | None = None, behind: float | None = None) -> EdgeWindows:
        """Windows of an edge by its name, or as they are written behind it.

        Parameters
        ----------
        edge : str
            Name, with ranges in eV or without, see the module.
        before, behind : float, optional
            Widths of the range of the background and, from the onset on, of the signal, eV; by default 12 % and 8 %
            of the onset, within limits. A range that is written goes first.

        Returns
        -------
        EdgeWindows
            In front of the onset, and from it on.

        Raises
        ------
        InputError
            An edge that is not in the table, ranges in the wrong order.
        """
        written = _WRITTEN.fullmatch(edge)
        if written is not None:
            return cls._written(edge, written, before)
        onset = edge_onsets()[tabulated(edge)]
        gap, typical = _gap(edge, onset), before is None and behind is None
        before = float(np.clip(_BEFORE * onset, *_BEFORE_LIMITS)) if before is None else before
        behind = float(np.clip(_BEHIND * onset, *_BEHIND_LIMITS)) if behind is None else behind
        return cls(edge, (onset - gap - before, onset - gap), (onset - gap, onset + behind), typical)

    @classmethod
    def _written(cls, edge: str, written: re.Match[str], before: float | None) -> EdgeWindows:
        first, last, low, high = (None if text is None else float(text) for text in written.groups()[1:])
        assert low is not None and high is not None
        if first is None or last is None:
            width = float(np.clip(_BEFORE * low, *_BEFORE_LIMITS)) if before is None else before
            first, last = low - width, low
        if not 0 < first < last <= low < high:
            raise InputError(
                f'The ranges of {edge!r} must rise: the background first, the signal behind it, e.g. Mn_L 590-632 636-662.'
            )
        return cls(written['name'] or f'{low:g}-{high:g} eV', (first, last), (low, high))

    def within(self, energy: np.ndarray) -> EdgeWindows:
        """Typical ranges shortened to what the spectra hold, where that is half of them or more; others as they are.

        Parameters
        ----------
        energy : ndarray (energy,)
            eV.

        Returns
        -------
        EdgeWindows
            Within the spectra, or unchanged.
        """
        if not self.typical:
            return self
        low, high = float(energy[0]), float(energy[-1])
        before, signal = (max(self.before[0], low), self.before[1]), (self.signal[0], min(self.signal[1], high))
        halves = [
            new[1] - new[0] < _LEAST_SHARE * (old[1] - old[0])
            for new, old in ((before, self.before), (signal, self.signal))
        ]
        return self if any(halves) else replace(self, before=before, signal=signal)

    @property
    def onset(self) -> float:
        """Of the table, or the beginning of the signal where the table does not have the name, eV."""
        name = table_name(self.name)
        return self.signal[0] if name is None else edge_onsets()[name]


def _gap(edge: str, onset: float) -> float:
    symbol, shell = edge.split('_')
    if symbol in _METALS and shell in ('M', 'M2', 'M3'):
        return _MAXIMUM_BEHIND_ONSET
    return float(np.clip(_GAP * onset, *_GAP_LIMITS))


def table_name(edge: str) -> str | None:
    """The name of an edge in the table: ``'Fe_L3'`` of ``'Fe_L'``, the edge of lowest energy of the shell; None: not there."""
    onsets = edge_onsets()
    if edge in onsets:
        return edge
    shell = [name for name in onsets if re.fullmatch(r'[A-Z][a-z]?_[K-O]', edge) and name.startswith(edge)]
    return min(shell, key=lambda name: onsets[name]) if shell else None


def tabulated(edge: str) -> str:
    """As `table_name`.

    Raises
    ------
    InputError
        There is none.
    """
    found = table_name(edge)
    if found is None:
        raise InputError(
            f'There is no edge {edge!r} in the table; write it as Fe_L, Fe_L3, O_K or Mn_M3, or give its range as well: '
            f'{edge} 640-660.'
        )
    return found


def check_window(energy: np.ndarray, window: EdgeWindows) -> None:
    """See that an edge and what lies in front of it are in the spectra.

    Raises
    ------
    InputError
        They are not.
    """
    if energy[-1] < window.signal[1]:
        raise InputError(
            f'{window.name} lies at the end of the spectra: they end at {energy[-1]:.0f} eV and the edge is summed up '
            f'to {window.signal[1]:.0f} eV; record it further up, sum less of it, or choose another edge.'
        )
    if energy[0] > window.before[0] or between(energy, window.before).sum() < _LEAST_BEFORE:
        raise InputError(
            f'There is no background in front of {window.name}: the spectra begin at {energy[0]:.0f} eV and should '
            f'begin below {window.before[0]:.0f} eV, with {_LEAST_BEFORE} channels or more up to {window.before[1]:.0f} eV.'
        )
    if between(energy, window.signal).sum() < _LEAST_SIGNAL:
        raise InputError(
            f'{window.name} has less than {_LEAST_SIGNAL} channels in {window.signal[0]:g}-{window.signal[1]:g} eV; sum a '
            'wider range.'
        )
