"""Results of an EELS series in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.jobs.numbers import grouped

if TYPE_CHECKING:
    from napari_diptomo.series import MapSeries
    from napari_diptomo.spectra.eels.calibration import CalibratedSeries
    from napari_diptomo.spectra.eels.explained_losses import ExplainedEELS, ExplainedRange
    from napari_diptomo.widgets.tasks.eels_spectra import MadeOxides

#: Backgrounds that count for less than this do not describe the spectra.
_UNFIT = 0.05
#: Channel of the thickness.
_THICKNESS = 't/λ'


def key_of(hues: Mapping[str, str], others: bool) -> str:
    """Key to the lines of the plot; the oxides in their colours."""
    names = [f'<span style="color: {hue}"><b>{name}</b></span>' for name, hue in hues.items()]
    parts = ['line: fit', 'dashed: background', *(['dotted: others tried'] if others else []), *names]
    return f'<small>{" &nbsp; ".join(parts)}</small>'


def describe_range(part: ExplainedRange) -> str:
    """Counts, the family of the background, chi-square and where the fit is worst, in a sentence."""
    residual = np.nan_to_num(part.residual)
    worst = int(np.abs(residual).argmax())
    family = f', background {part.background_model}' if part.background_model else ''
    return (
        f'{grouped(part.counts.sum())} counts{family}; χ² {part.chi2:.3g}, largest residual at {part.energy[worst]:.1f} eV '
        f'({residual[worst]:+.1f} standard deviations).'
    )


def describe_spread(found: ExplainedEELS) -> str:
    """The oxidation state of what is looked at, and how far the choice of the background moves it."""
    if found.valence is None:
        return ''
    weights = found.low.weights
    state = _state(*found.valence)
    return f'Here: {state}{_compared(weights)}' if len(weights) > 1 else f'Here: {state}.'


def describe_standards(found: ExplainedEELS) -> str:
    """Where the standards come from, what they assume, how many pixels are pure."""
    standards = found.standards
    if standards is None:
        return found.why_not
    parts = [f'{_upper(standards.source)}.'] if standards.source else []
    if standards.notes.get('assumes'):
        parts.append(f'That {standards.notes["assumes"]}.')
    if found.pure:
        pixels = [f'{int(np.sum(mask))} of {name}' for name, mask in found.pure.items()]
        parts.append(f'Pixels of one oxide alone: {", ".join(pixels)}.')
    return ' '.join(parts)


def describe_oxides(made: MadeOxides) -> str:
    """Mean oxidation state of the maps, its errors, the background, what is hidden."""
    notes = made.maps.notes['eels']
    means = np.array([tilt['mean_valence'] for tilt in notes['tilts'] if 'mean_valence' in tilt])
    parts = []
    if len(means):
        statistical = float(np.sqrt((means[:, 1] ** 2).sum())) / len(means)
        state = _state(float(means[:, 0].mean()), statistical, float(means[:, 2].mean()), 'background and standards')
        parts.append(f'All tilts: {state}.')
    chi2 = {family: float(np.mean(values)) for family, values in notes['background']['chi2'].items()}
    best = notes['background']['family']
    parts.append(f'Background: {best}, χ² of the sums {chi2[best]:.3g}{_others(chi2, best)}.')
    if made.why:
        parts.append(made.why)
    parts.append('Layers with the oxidation state and the errors of every pixel are in the list, hidden.')
    return ' '.join(parts)


def describe_edges(maps: MapSeries) -> str:
    """Sums of the maps of edges, white lines or references, and what follows from them."""
    unit = maps.notes.get('unit', 'counts')
    named = [(name, maps.data[i]) for i, name in enumerate(maps.channels)]
    sums = ', '.join(f'{name} {grouped(data.sum())}' for name, data in named if name != _THICKNESS)
    parts = [f'All pixels and tilts, {unit}: {sums}.']
    parts += [f'{name} {data.mean():.2f} on average.' for name, data in named if name == _THICKNESS]
    if 'composition' in maps.notes:
        shares = maps.notes['composition'].items()
        percent = ', '.join(f'{name.split("_")[0]} {s["percent"]:.1f} ± {s["counting"]:.1f}' for name, s in shares)
        worst = max(share['cross_section'] for _, share in shares)
        parts.append(f'{percent} at.%, ± {worst:.0f} by the cross sections.')
    if 'mlls' in maps.notes:
        parts.append(f'Shares: {", ".join(f"{n} {100 * s:.1f} %" for n, s in maps.notes["mlls"]["shares"].items())}.')
    if 'white_lines' in maps.notes:
        ratios = np.array(maps.notes['white_lines']['ratio'])
        parts.append(f'L3 / L2 {ratios[:, 0].min():.2f} to {ratios[:, 0].max():.2f} between tilts.')
    parts.append('Errors, and where there are any ratio and residual, are hidden layers in the list.')
    return ' '.join(parts)


def describe_calibration(calibrated: CalibratedSeries) -> str:
    """Thickness, zero loss, and what is wrong with the series."""
    thickness = calibrated.t_over_lambda
    known = thickness[np.isfinite(thickness)]
    parts = []
    if known.size:
        parts.append(f't/λ up to {np.percentile(known, 99):.2f}, on average {known.mean():.2f}.')
    zero = calibrated.notes['zero_loss']
    parts.append(f'Zero loss {zero["fwhm"]:.2g} eV wide, it drifts by {zero["wanders_by"]:.2g} eV.')
    return ' '.join([*parts, *calibrated.notes.get('warnings', ())])


def _state(valence: float, statistical: float, systematic: float, source: str = 'the choice of the background') -> str:
    """Value and both errors, the second by its source; as the share of Fe2+ where there is such a thing."""
    share = (
        f'share of 2+ ions {3 - valence:.3f} (mean valence {valence:.3f})' if 2 <= valence <= 3 else f'{valence:.3f}'
    )
    return f'{share} ± {statistical:.3f} by counting, ± {systematic:.3f} by {source}'


def _compared(weights: Mapping[Any, float]) -> str:
    fit = [name for name, weight in weights.items() if weight >= _UNFIT]
    unfit = [name for name in weights if name not in fit]
    text = f'. Of the backgrounds tried, {_and(fit)} describe it'
    return (
        f'{text}, {_and(unfit)} does not.'
        if len(unfit) == 1
        else f'{text}, {_and(unfit)} do not.'
        if unfit
        else f'{text}.'
    )


def _others(chi2: Mapping[str, float], best: str) -> str:
    others = [f'{family} {value:.3g}' for family, value in chi2.items() if family != best]
    return f' (others: {", ".join(others)})' if others else ''


def _and(names: list[Any]) -> str:
    return ' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
