"""Standards of two oxides of a 3d metal at its M2,3 edge, of FeO and Fe3O4 as a rule, from the data themselves.

The core loss of one tilt or more shows how much of each oxide is in every pixel
(`phase_maps`); the low loss of the same pixels is regressed on that
(`regression`). No pixel need be pure. Standards are named by the energy of L3,
never by order. They can be stored and used on other series.

*Uncertainty*, per channel: counting in the low loss; the spread between the
background models that explain it about as well; and FeO that may be left in,
or missing from, Fe3O4, and Fe3O4 in FeO.

By the way of *stoichiometric* they assume the magnetite to be stoichiometric;
the notes say so where that was the way.

Formulas: standards of FeO and Fe3O4 from the data (`find_standards`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from napari_diptomo.series import InputError, Observer, SpectralTiltSeries, Watch
from napari_diptomo.series.oxides import metal
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries
from napari_diptomo.spectra.eels.counts_per_electron import counts_per_electron
from napari_diptomo.spectra.eels.metal_edges import (
    EDGE_ONSET,
    IRON,
    STANDARDS_RANGE,
    CoreLossEdge,
    in_low_loss_edge,
    low_loss_edge,
    low_loss_edge_name,
)
from napari_diptomo.spectra.eels.scattering import SingleLoss
from napari_diptomo.spectra.eels.standards.phase_maps import Method, PhaseMaps, map_phases
from napari_diptomo.spectra.eels.standards.regression import (
    BOOTSTRAP,
    Groups,
    Regression,
    all_models,
    pooled,
    statistical_deviation,
    usable_models,
)
from napari_diptomo.spectra.eels.standards.stored import Standards, read_references

#: What must be recorded in front of the edge and behind it, eV.
_BEFORE, _BEHIND = 8.0, 14.0
#: Plasmons alone are seen up to this far in front of the edge, eV.
_IN_FRONT = 4.0
#: Background models whose score is within this factor of the best are as good.
_AS_GOOD = 1.25


@dataclass(frozen=True)
class StandardsSettings:
    """Where standards come from.

    Attributes
    ----------
    states : tuple of str
        Oxides, lowest valence first.
    file : str
        Stored standards; empty: from the core loss of the series.
    method : str
        How the core loss distinguishes the oxides, see `phase_maps`.
    references : str
        File with core-loss spectra of the oxides; empty: none.
    """

    states: tuple[str, ...]
    file: str = ''
    method: Method = 'auto'
    references: str = ''


def standards_of(
    settings: StandardsSettings, calibrated: CalibratedSeries, observer: Observer | None = None
) -> Standards:
    """Stored standards, or those of the series itself, in the order of the oxides.

    Parameters
    ----------
    settings : StandardsSettings
        Which oxides, and a file or how the core loss is to be read.
    calibrated : CalibratedSeries
        The series, whose core loss serves where no file is named.
    observer : Observer, optional
        Receives the progress.

    Raises
    ------
    InputError
        A file without these oxides, no core loss, oxides that the core loss is not read for.
    """
    if settings.file:
        return _ordered(Standards.load(settings.file), settings.states)
    if calibrated.series.core_loss is None:
        raise InputError(
            'The series has no core loss to take standards from; open it with the core loss of one tilt or more, or give '
            'a file with standards that were stored before.'
        )
    edge = CoreLossEdge.of(settings.states)
    references = read_references(settings.references, settings.states) if settings.references else None
    if settings.method == 'references' and references is None:
        raise InputError(
            'The method references needs a file with reference spectra; name it, or choose another method.'
        )
    return _ordered(
        find_standards(calibrated, method=settings.method, references=references, edge=edge, observer=observer),
        settings.states,
    )


def _ordered(standards: Standards, states: tuple[str, ...]) -> Standards:
    """The same standards if they are of these oxides; the first has the lowest valence, by name.

    Raises
    ------
    InputError
        Other oxides.
    """
    if tuple(standards.names) != tuple(states):
        raise InputError(
            f'The standards are of {", ".join(standards.names)}, the maps shall be of {", ".join(states)}; name those, '
            'in this order, or give other standards.'
        )
    return standards


def find_standards(
    series: SpectralTiltSeries | Any,
    *,
    method: Method = 'auto',
    references: Mapping[str, np.ndarray] | None = None,
    pure: Mapping[str, np.ndarray] | None = None,
    edge: CoreLossEdge = IRON,
    seed: int = 0,
    observer: Observer | None = None,
) -> Standards:
    """Standards at M2,3 from a series with a core loss.

    Parameters
    ----------
    series : SpectralTiltSeries or CalibratedSeries
        Calibrated ones know thickness and plural scattering.
    method : {'auto', 'references', 'pure regions', 'simplex', 'stoichiometric'}
        How the core loss distinguishes the phases; `napari_diptomo.spectra.eels.standards.phase_maps` explains each.
    references : mapping of str to ndarray (2, n), optional
        Energies (eV) and L2,3 spectrum, without background, of each phase.
    pure : mapping of str to ndarray (core tilt, y, x), bool, optional
        Regions of one phase; a phase that is given none has the end of the segment.
    edge : CoreLossEdge
        The edge and its phases.
    seed : int
        Of the bootstrap.
    observer : Observer, optional
        Receives the progress.

    Returns
    -------
    Standards
        Of the phases of ``edge``, with the pixels that are pure.

    Raises
    ------
    InputError
        No core loss or no L2,3 in it, one phase only, M2,3 not in the low loss or at its end.
    """
    calibrated, series = series, getattr(series, 'series', series)
    energy = series.energy
    element = metal(edge.phases[0])
    used = _window(energy, element)
    onset = low_loss_edge(element) + EDGE_ONSET
    phases = map_phases(
        calibrated, method=method, references=references, pure=pure, edge=edge, seed=seed, observer=observer
    )
    tilts = phases.tilts
    counts = [np.asarray(series.counts[tilt]) for tilt in tilts]
    thickness = getattr(calibrated, 't_over_lambda', None)
    thickness = None if thickness is None else np.asarray(thickness)[list(tilts)]
    groups = pooled(counts, phases, thickness)
    single, reference = _plural(energy, counts, phases, groups, thickness, onset)
    groups = groups.within(energy, used, None if single is None else onset - _IN_FRONT)
    watch = Watch(observer, 'Standards: low loss', 1 + len(usable_models(groups)) + BOOTSTRAP)
    steps = count(1)

    def done(message: str) -> None:
        watch.step(next(steps), message=message)

    done('pixels pooled')
    gain, noise = counts_per_electron(counts[0], energy, (float(energy[used][0]), float(energy[used][-1])))
    noise = getattr(calibrated, 'read_noise', 0.0) if noise is None else noise
    how = {'read_noise': noise / gain**0.5, 'single': single, 'reference': reference}
    found = all_models(groups, energy[used], onset, done=partial(done, 'regression on every background'), **how)
    draw = {'seed': seed, 'done': partial(done, 'noise of the standards')}
    return _standards(found, groups, energy[used], phases, onset, how, gain, draw)


def _window(energy: np.ndarray, element: str) -> np.ndarray:
    edge = low_loss_edge(element)
    onset, name = edge + EDGE_ONSET, f'{element}-M2,3'
    if energy[0] > onset - _BEFORE or energy[-1] < onset:
        raise InputError(
            f'{name} needs a low loss from {onset - _BEFORE:.0f} to {onset + 2 * _BEHIND:.0f} eV and this one has '
            f'{energy[0]:.0f}-{energy[-1]:.0f} eV; record it so, or check the energies.'
        )
    if energy[-1] < onset + _BEHIND:
        raise InputError(
            f'{name} lies at the end of the low loss, which ends at {energy[-1]:.0f} eV; record it to '
            f'{onset + 2 * _BEHIND:.0f} eV or so, or give stored standards.'
        )
    low, high = (edge + limit for limit in STANDARDS_RANGE)
    used: np.ndarray = (energy >= low) & (energy <= high + 0.5)
    return used


def _plural(
    energy: np.ndarray,
    counts: Sequence[np.ndarray],
    phases: PhaseMaps,
    groups: Groups,
    thickness: np.ndarray | None,
    onset: float,
) -> tuple[SingleLoss | None, float]:
    """Single loss of the pixels of typical thickness, and this thickness; None where it is not known."""
    if thickness is None or groups.thickness is None:
        return None, float('nan')
    weight = groups.atoms.sum(axis=1) * groups.pixels
    reference = float((weight * groups.thickness).sum() / weight.sum())
    typical = phases.iron & (np.abs(thickness - reference) < 0.35 * reference)
    total = sum(image[mask].sum(axis=0, dtype=float) for image, mask in zip(counts, typical, strict=True))
    return SingleLoss.of(energy, np.asarray(total), onset - _IN_FRONT), reference


def _standards(
    found: list[Regression],
    groups: Groups,
    energy: np.ndarray,
    phases: PhaseMaps,
    onset: float,
    how: dict[str, Any],
    gain: float,
    draw: dict[str, Any],
) -> Standards:
    """The best regression, with what the others and the core loss leave open as uncertainty."""
    best = found[0]
    inside = in_low_loss_edge(metal(phases.names[0]), energy)
    norm = best.shapes[inside].sum(axis=0)
    if not (norm > 0).all():
        raise InputError(
            f'The low loss shows no {low_loss_edge_name(phases.names)} where the core loss finds {metal(phases.names[0])}; check that '
            'both are of the same pixels.'
        )
    shapes = best.shapes / norm
    counting = gain**0.5 * statistical_deviation(groups, best, energy, onset, **draw, **how) / norm
    as_good = [one for one in found if one.score < _AS_GOOD * best.score]
    others = np.stack([one.shapes / np.maximum(one.shapes[inside].sum(axis=0), 1e-300) for one in as_good])
    spread = np.sqrt(((others - shapes) ** 2).mean(axis=0))
    impurity = np.array(phases.notes.get('impurity', np.diag([0.0, phases.share_error**2])))
    impure = np.sqrt(np.diag(impurity)) * np.abs(shapes[:, 1] - shapes[:, 0])[:, None]
    notes = {
        **phases.notes,
        'share_error': float(phases.share_error),
        'method': phases.method,
        'background': best.background_model,
        'chi2': {one.background_model: round(one.chi2, 3) for one in found},
        'as_good': [one.background_model for one in as_good],
    }
    source = f'regression of the low loss on {phases.names[0]} and {phases.names[1]} of the core loss ({phases.method})'
    return Standards(
        phases.names, energy, shapes, np.sqrt(counting**2 + spread**2 + impure**2), norm / norm[0], how['reference'],
        source, phases.pure, phases.tilts, notes, phases,
    )  # fmt: skip
