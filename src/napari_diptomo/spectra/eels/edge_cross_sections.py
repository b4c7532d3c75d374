r"""Cross sections of edges, atoms by them, and the composition that follows.

With N_e counts of the edge e within a window and sigma_e its partial cross section there,

    n_e = N_e / (sigma_e I),    c_e = n_e / sum_d n_d

(Egerton, EELS in the Electron Microscope (2011), section 4.5): n_e atoms per area where the electrons I of the pixel
are known, and without them what is proportional to it. The ratio of two elements needs no I. Cross sections are
eXSpy's, hydrogenic for K and L edges, or from tabulated oscillator strengths; beam energy and angles are part of them.
They are known to some 5 to 10 % for K and 10 to 20 % for L edges (Egerton, there), more than counting leaves open.

Formulas: composition from cross sections (`composition_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_diptomo.series import Finding, InputError
from napari_diptomo.series.reading.inspection import inspect
from napari_diptomo.spectra.common.energy_axis import between
from napari_diptomo.spectra.common.exspy_adapter import edge_cross_section, edge_onsets
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows, tabulated

#: nm^2 per barn.
BARN = 1e-10
#: Tabulated strengths are those of a subshell: the ones within the window of an edge, and those that its whole shape has. The
#: hydrogenic model has all L subshells in the one that is named, L1 with its own onset.
_IN_WINDOW = {'L3': ('L3', 'L2'), 'M5': ('M5', 'M4'), 'M3': ('M3', 'M2')}
_IN_SHAPE = {'L3': ('L3', 'L2', 'L1'), 'M5': ('M5', 'M4'), 'M3': ('M3', 'M2')}
#: Relative errors of cross sections by shell.
_ERRORS = {'K': 0.1, 'L': 0.15, 'M': 0.3, 'N': 0.5, 'O': 0.5}
_BEAM = ('beam_energy', 'convergence_angle', 'collection_angle')


@dataclass(frozen=True)
class CrossSections:
    """Where cross sections come from.

    Attributes
    ----------
    beam_energy : float
        keV.
    convergence_angle, collection_angle : float
        Semi-angles, mrad.
    gos_file : str
        Tabulated oscillator strengths (.gosh); empty: hydrogenic.
    """

    beam_energy: float
    convergence_angle: float
    collection_angle: float
    gos_file: str = ''

    @classmethod
    def of(cls, metadata: Mapping[str, Any], gos_file: str = '', **given: float | None) -> CrossSections:
        """From what is given, else from the files.

        Parameters
        ----------
        metadata : mapping
            Of the series.
        gos_file : str
            A .gosh file.
        **given : float, optional
            ``beam_energy``, ``convergence_angle``, ``collection_angle``.

        Raises
        ------
        InputError
            Neither given nor recorded, or a file that is none.
        """
        values = {name: given.get(name) or metadata.get(name) for name in _BEAM}
        missing = [name.replace('_', ' ') for name, value in values.items() if not value]
        if missing:
            raise InputError(
                f'Atoms need the {missing[0]}, which the files do not record; give the {" and the ".join(missing)}, or map '
                'counts instead.'
            )
        if gos_file:
            try:
                inspect(gos_file)
            except InputError as error:
                raise InputError(f'The file of oscillator strengths (.gosh): {error}') from error
        energy, convergence, collection = (float(values[name] or 0) for name in _BEAM)
        return cls(energy, convergence, collection, gos_file)

    def in_window(self, window: EdgeWindows, energy: np.ndarray) -> float:
        """Partial cross section of an edge within its window of the signal, barn."""
        inside = between(energy, window.signal)
        return float(self._sum(window, energy[inside], _IN_WINDOW).sum())

    def shape(self, window: EdgeWindows, energy: np.ndarray) -> np.ndarray:
        """Cross section per channel of all subshells of an edge, barn, (energy,)."""
        return self._sum(window, energy, _IN_SHAPE)

    def _sum(self, window: EdgeWindows, energy: np.ndarray, together: Mapping[str, tuple[str, ...]]) -> np.ndarray:
        symbol, shell = tabulated(window.name).split('_')
        shells = together.get(shell, (shell,)) if self.gos_file else (shell,)
        names = [f'{symbol}_{s}' for s in shells]
        try:
            found = [
                edge_cross_section(
                    name,
                    energy,
                    beam_energy=self.beam_energy,
                    convergence=self.convergence_angle,
                    collection=self.collection_angle,
                    gos_file=self.gos_file,
                )
                for name in names
                if name in edge_onsets()
            ]
        except (OSError, KeyError, ValueError) as error:
            raise InputError(
                f'There is no cross section for {window.name}: without a file of oscillator strengths (.gosh) that '
                'holds it K and L edges only; give such a file, or map counts.'
            ) from error
        total: np.ndarray = np.sum(found, axis=0)
        if not total.sum() > 0:
            raise InputError(f'The cross section of {window.name} is zero within its window; choose another window.')
        return total


@dataclass(frozen=True)
class Share:
    """Share of an element of all atoms that were mapped, in percent, with its errors by counting and cross section."""

    percent: float
    counting: float
    cross_section: float


def composition_of(edges: Sequence[str], atoms: np.ndarray, variance: np.ndarray) -> dict[str, Share]:
    """Atomic percent from sums of atoms.

    Parameters
    ----------
    edges : sequence of str
        One for each element, e.g. ``'O_K'``.
    atoms, variance : ndarray (edge,)
        Sums over the pixels in one unit, and their variance by counting.

    Returns
    -------
    dict of str to Share
        By edge.

    Raises
    ------
    InputError
        No atoms at all.
    """
    total = float(atoms.sum())
    if not total > 0:
        raise InputError('There are no atoms in these edges together; check windows and background.')
    shares = atoms / total
    # d c_e / d n_d = (delta_ed - c_e) / n.
    slope = (np.eye(len(atoms)) - shares[:, None]) / total
    counting = np.sqrt(slope**2 @ variance)
    known_to = np.array([_ERRORS.get(tabulated(edge).split('_')[1][0], 0.5) for edge in edges])
    systematic = np.sqrt(slope**2 @ (known_to * atoms) ** 2)
    return {
        edge: Share(100 * float(c), 100 * float(s), 100 * float(k))
        for edge, c, s, k in zip(edges, shares, counting, systematic, strict=True)
    }


def composition_finding(shares: Mapping[str, Share]) -> Finding:
    """The composition in a sentence, its numbers as evidence."""
    named = ', '.join(f'{edge.split("_")[0]} {s.percent:.1f} ± {s.counting:.1f}' for edge, s in shares.items())
    worst = max(shares.values(), key=lambda share: share.cross_section).cross_section
    return Finding(
        'note',
        'composition',
        f'All pixels together: {named} at.% of what was mapped, by counting; cross sections leave up to ± {worst:.0f} at.% open, '
        'the same everywhere.',
        {f'{edge}, at.%': share.percent for edge, share in shares.items()},
    )
