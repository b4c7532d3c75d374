"""Series, maps, volumes and recipes in two or three lines, and as rows of a table; no spectrum is read for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo.series.data import MapSeries, SpectralTiltSeries, Volume
from napari_diptomo.series.files import megabytes
from napari_diptomo.series.findings import counted
from napari_diptomo.series.recipe import Recipe
from napari_diptomo.series.steps import Step, UnknownStep

#: Names, and letters of a value, that one line takes.
_MOST_NAMES, _MOST_LETTERS = 8, 40


def summary(obj: Any) -> str:
    """Text of two or three lines, as Python shows an object.

    Parameters
    ----------
    obj : SpectralTiltSeries, MapSeries, Volume or Recipe
        Counts that are lazy stay so.

    Returns
    -------
    str
        Shape with the names of the axes, channels, tilts, pixel size, number of findings, recipe.
    """
    known = rows(obj)
    if isinstance(obj, Recipe):
        return f'Recipe of {known["source"]}\n  {known["steps"]}'
    lines = [f'{type(obj).__name__} ({known["shape"]})']
    second = [known[name] for name in ('channels', 'spectra', 'values') if name in known]
    lines[0] += f': {"; ".join(second)}'
    third = [known.get('tilts', ''), f'{known["size"]}', known.get('beside', ''), f'findings: {known["findings"]}']
    return '\n  '.join([*lines, '; '.join(filter(None, third))])


def rows(obj: Any) -> dict[str, str]:
    """The same as a table: names and values.

    Parameters
    ----------
    obj : SpectralTiltSeries, MapSeries, Volume or Recipe
        Counts that are lazy stay so.

    Returns
    -------
    dict of str to str
        In the order of interest.
    """
    if isinstance(obj, Recipe):
        return {'source': _source(obj), 'steps': ' > '.join(map(step_in_words, obj.steps)) or 'no steps'}
    found = {'shape': ', '.join(f'{name} {size}' for name, size in _axes(obj))}
    if isinstance(obj, SpectralTiltSeries):
        found |= _of_spectra(obj)
    elif isinstance(obj, MapSeries):
        found |= _of_maps(obj)
    else:
        found['channels'] = _names(obj.channels)
        found['values'] = 'counts per voxel of path' + (', with errors' if obj.std is not None else '')
        found['size'] = f'{obj.voxel_size:.4g} nm per voxel'
    found['findings'] = counted(obj.findings) or 'none'
    if obj.recipe is not None and obj.recipe.steps:
        found['recipe'] = ' > '.join(map(step_in_words, obj.recipe.steps))
    return found


def step_in_words(step: Step | UnknownStep) -> str:
    """``"DIPmTV(preset='fast')"``: a step with the parameters that are not the defaults.

    Parameters
    ----------
    step : Step or UnknownStep
        Of a recipe.

    Returns
    -------
    str
        One line.
    """
    if isinstance(step, UnknownStep):
        return f'{step.name}({_values(step.values)})' if step.values else step.name
    changed = step.model_dump(exclude_defaults=True)
    if step.stopped_at is not None:
        changed['stopped_at'] = step.stopped_at
    return f'{type(step).__name__}({_values(changed)})' if changed else type(step).__name__


def _axes(obj: SpectralTiltSeries | MapSeries | Volume) -> list[tuple[str, int]]:
    if isinstance(obj, SpectralTiltSeries):
        return list(zip(('tilt', 'y', 'x', 'energy'), obj.counts.shape, strict=True))
    if isinstance(obj, MapSeries):
        first = 'channel' if obj.mixing is None else 'window'
        return list(zip((first, 'tilt', 'y', 'x'), obj.data.shape, strict=True))
    return list(zip(('channel', 'z', 'y', 'x'), obj.data.shape, strict=True))


def _of_spectra(series: SpectralTiltSeries) -> dict[str, str]:
    kind = 'EDX' if series.energy_unit == 'keV' else 'EELS'
    size = megabytes(float(np.prod(series.counts.shape)) * series.counts.dtype.itemsize)
    lazy = '' if isinstance(series.counts, np.ndarray) else ', lazy'
    spectra = f'{kind}, {series.energy[0]:.4g} to {series.energy[-1]:.4g} {series.energy_unit}, {size}{lazy}'
    beside = ['HAADF'] if series.haadf is not None else []
    if series.core_loss is not None:
        number = len(series.core_loss.tilts)
        beside.append(f'core loss at {number} {"tilt" if number == 1 else "tilts"}')
    found = {'spectra': spectra, 'tilts': _tilts(series.angles), 'size': f'{series.pixel_size:.4g} nm per pixel'}
    return {**found, 'beside': f'with {" and ".join(beside)}'} if beside else found


def _of_maps(maps: MapSeries) -> dict[str, str]:
    values = 'intensities' if 'images' in maps.notes else 'counts' if maps.variance is None else 'counts with variance'
    found = {
        'channels': _names(maps.channels),
        'values': values + (f', {100 * maps.held_out_share:.0f} % held out' if maps.held_out is not None else ''),
        'tilts': _tilts(maps.angles),
        'size': f'{maps.pixel_size:.4g} nm per pixel',
    }
    beside = ['HAADF'] if maps.haadf is not None else []
    if maps.shifts is not None and maps.shifts.any():
        beside.append(f'shifts of up to {np.abs(maps.shifts).max():.3g} pixels')
    return {**found, 'beside': f'with {" and ".join(beside)}'} if beside else found


def _tilts(angles: np.ndarray) -> str:
    if len(angles) == 1:
        return f'1 tilt at {angles[0]:g}°'
    return f'{len(angles)} tilts, {angles.min():g}° to {angles.max():g}°'


def _names(names: tuple[str, ...]) -> str:
    more = f' and {len(names) - _MOST_NAMES} more' if len(names) > _MOST_NAMES else ''
    return ', '.join(names[:_MOST_NAMES]) + more


def _source(recipe: Recipe) -> str:
    paths = recipe.source.paths
    if not paths:
        return 'data that are handed over'
    more = f' and {len(paths) - 1} more' if len(paths) > 1 else ''
    changed = recipe.source.model_dump(exclude_defaults=True, exclude={'paths'})
    return f'{Path(paths[0]).name}{more}' + (f' ({_values(changed)})' if changed else '')


def _values(values: Any) -> str:
    return ', '.join(f'{name}={_short(value)}' for name, value in values.items())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_LETTERS else f'{text[: _MOST_LETTERS - 3]}...'
