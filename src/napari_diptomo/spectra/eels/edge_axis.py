r"""Whether the energy axis is right: tabulated edges against where the spectra have them.

*White lines* (`white_line_offset`): the highest maximum within 15 eV of the table, above a power law. L3 lies
within a few eV of the table whatever the valence.

*Onsets* (`onset_offset`): the steepest rise of the smoothed spectrum within 12 eV of the table, where it stands out
of the noise of the slope elsewhere. K edges, L3 up to copper and M5 of the lanthanides begin sharply; chemistry moves
them by up to some 5 eV, an axis that is off by more makes every window wrong. Edges that rise slowly say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d

from napari_diptomo.series import Finding, InputError, Remedy
from napari_diptomo.spectra.common.exspy_adapter import atomic_numbers, edge_onsets
from napari_diptomo.spectra.eels.calibration.known_features import find_feature
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows, table_name

#: L3 is looked for within this of the table; as far off it may be by chemistry, and before its windows miss it, eV.
_REACH, _LINE_LIMITS, _LINE_REFUSED = 15.0, (-2.5, 4.6), (-5.0, 7.0)
#: An onset is looked for within this, and may be off by this, eV (or by so many channels).
_ONSET_REACH, _ONSET_LIMIT, _CHANNELS = 12.0, 6.0, 1.5
_SMOOTH, _CERTAIN = 1.0, 6.0
#: Edges that are off by this much of one another speak of a wrong dispersion, eV.
_APART = 5.0
#: Atomic numbers whose L3 and M5 begin sharply; lighter K edges lie among plasmons.
_SHARP_L, _SHARP_M, _SHARP_K = range(20, 30), range(56, 72), range(5, 30)


def white_line_offset(energy: np.ndarray, spectrum: np.ndarray, edge: str) -> float:
    """How far the maximum of a white line lies above the table, eV.

    Parameters
    ----------
    energy, spectrum : ndarray (energy,)
        eV; summed counts.
    edge : str
        E.g. ``'Mn_L3'``.

    Raises
    ------
    InputError
        No maximum there, or one so far off that it is another one or the axis is wrong.
    """
    known = edge_onsets()[edge]
    try:
        offset = find_feature(energy, spectrum, edge, known, reach=_REACH).found - known
    except InputError as error:
        raise InputError(
            f'{edge} is not seen within {_REACH:g} eV of {known:.0f} eV; choose another element, or correct the energies '
            'by an energy offset.'
        ) from error
    if not _LINE_REFUSED[0] <= offset <= _LINE_REFUSED[1]:
        raise InputError(
            f'The strongest line near {edge} ({known:.0f} eV) lies at {known + offset:.1f} eV, {offset:+.1f} eV off: white '
            f'lines cannot be read on this axis; give an energy offset of {-offset:.1f} eV, or choose another element.'
        )
    return float(offset)


def line_is_doubtful(offset: float) -> bool:
    """Whether chemistry alone does not explain where a white line lies."""
    return not _LINE_LIMITS[0] <= offset <= _LINE_LIMITS[1]


def onset_offset(energy: np.ndarray, spectrum: np.ndarray, edge: str) -> float:
    """How far the steepest rise near a tabulated edge lies above it, eV; NaN where no rise stands out.

    Parameters
    ----------
    energy, spectrum : ndarray (energy,)
        eV; summed counts.
    edge : str
        As in the table, e.g. ``'O_K'``.
    """
    known, step = edge_onsets()[edge], float(energy[1] - energy[0])
    reach = max(_ONSET_REACH, 3 * step)
    near = np.flatnonzero(np.abs(energy - known) <= reach)
    around = np.flatnonzero((energy > known - 5 * reach) & (energy < known - reach))
    if near.size < 5 or around.size < 8:
        return float('nan')
    slope = np.gradient(gaussian_filter1d(np.asarray(spectrum, float), max(_SMOOTH / step, 0.6)))
    level = np.median(slope[around])
    noise = 1.4826 * np.median(np.abs(slope[around] - level)) + 1e-9 * np.abs(spectrum).max()
    top = int(near[slope[near].argmax()])
    if slope[top] - level < _CERTAIN * noise or top in (near[0], near[-1]):
        return float('nan')
    return float(energy[top] - known)


def axis_findings(
    energy: np.ndarray, spectrum: np.ndarray, windows: Sequence[EdgeWindows], step: str
) -> tuple[Finding, ...]:
    """A doubt where sharp edges lie elsewhere than the table has them.

    Parameters
    ----------
    energy, spectrum : ndarray (energy,)
        eV; summed counts.
    windows : sequence of EdgeWindows
        Those with names of the table are looked for.
    step : str
        Whose energy offset is the remedy.
    """
    offsets = {}
    for window in windows:
        name = table_name(window.name)
        if name is not None and _is_sharp(name):
            offsets[window.name] = onset_offset(energy, spectrum, name)
    seen = {name: offset for name, offset in offsets.items() if np.isfinite(offset)}
    limit = max(_ONSET_LIMIT, _CHANNELS * float(energy[1] - energy[0]))
    far = {name: offset for name, offset in seen.items() if abs(offset) > limit}
    if not far:
        return ()
    by = -round(float(np.median(list(seen.values()))), 1)
    named = ', '.join(f'{name} {offset:+.1f} eV' for name, offset in far.items())
    apart = float(np.ptp(list(seen.values())))
    stretched = f' They are {apart:.1f} eV apart: the dispersion is off too.' if apart > _APART else ''
    sentence = (
        f'The steepest rise near the edge lies off the tabulated onset by more than chemistry explains: {named}.{stretched} '
        'Correct the energies, or check that this is the edge.'
    )
    evidence = {f'{name} above the table, eV': offset for name, offset in seen.items()}
    remedy = Remedy(f'Move the energies by {by:+g} eV', step, {'energy_offset': by})
    return (Finding('doubt', 'energy axis', sentence, evidence, remedy),)


def _is_sharp(edge: str) -> bool:
    symbol, shell = edge.split('_')
    number = atomic_numbers()[symbol]
    sharp = {'K': _SHARP_K, 'L3': _SHARP_L, 'M5': _SHARP_M}.get(shell, range(0))
    return number in sharp
