"""A recipe, a volume and its maps in words, with the unit of every number."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_diptomo.series import MapSeries, Parameter, Recipe, Source, Step, UnknownStep, Volume
from napari_diptomo.series.haadf_of_series import described

#: Packages on which numbers hang.
_PACKAGES = (
    'napari-diptomo',
    'numpy',
    'scipy',
    'scikit-image',
    'scikit-learn',
    'torch',
    'hyperspy',
    'exspy',
    'rosettasciio',
    'matplotlib',
)
#: Files that are named one by one.
_FEW = 2


def facts(volume: Volume, maps: MapSeries | None) -> list[tuple[str, str]]:
    """Facts on a volume and its maps, one a line.

    Parameters
    ----------
    volume : Volume
    maps : MapSeries or None

    Returns
    -------
    list of (str, str)
        Name and value.
    """
    nz, ny, nx = volume.data.shape[1:]
    size = volume.voxel_size
    found = [
        ('Channels', ', '.join(volume.channels)),
        ('Volume', f'{nx} × {ny} × {nz} voxels (x, y, z) of {size:.4g} nm: {_lengths(nx, ny, nz, size)}'),
    ]
    if maps is not None:
        angles = maps.angles
        rows, columns = maps.data.shape[2:]
        found += [
            (
                'Tilts',
                f'{len(angles)} from {angles.min():g}° to {angles.max():g}°: {", ".join(f"{a:g}°" for a in angles)}',
            ),
            ('Maps', f'{columns} × {rows} pixels of {maps.pixel_size:.4g} nm'),
            ('Counts', _counts(maps)),
        ]
        if maps.haadf_series is not None:
            found.append(('HAADF series', described(maps.haadf_series, maps)))
        second = maps.second_axis
        if second is not None and second.reinsertion is not None:
            found.append(('Second axis', second.reinsertion.described(second.angles)))
    notes = volume.notes
    method = volume.recipe.steps[-1].title if volume.recipe is not None and volume.recipe.steps else ''
    if method:
        found.append(('Method', method))
    if 'stopping' in notes:
        found.append(('Ended', str(notes['stopping'])))
    if 'uncertainty' in notes:
        found.append(('Uncertainty', str(notes['uncertainty'])))
    if notes.get('seconds'):
        found.append(('Computed', f'in {float(notes["seconds"]):.3g} s on {notes.get("device", "an unknown device")}'))
    return found


def recipe_in_words(recipe: Recipe | None) -> list[tuple[str, str, str]]:
    """Every step as its title, what it does, and its parameters.

    Parameters
    ----------
    recipe : Recipe or None

    Returns
    -------
    list of (str, str, str)
        Empty where the volume does not say how it was made.
    """
    if recipe is None:
        return []
    opened = [('Open', 'The files of the series.', _source(recipe.source))] if recipe.source.paths else []
    return opened + [_step(step) for step in recipe.steps]


def software() -> str:
    """The software that wrote the report, by name and version.

    Returns
    -------
    str
    """
    found = []
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f'{name} {version(name)}')
    python = '.'.join(map(str, sys.version_info[:3]))
    return f'{", ".join(found)}; Python {python} on {platform.system()} {platform.machine()} (of this report)'


def _lengths(nx: int, ny: int, nz: int, size: float) -> str:
    return ' × '.join(f'{n * size:.4g}' for n in (nx, ny, nz)) + ' nm'


def _counts(maps: MapSeries) -> str:
    pairs = zip(maps.channels, maps.unmixed().data, strict=True)
    return ', '.join(f'{name} {channel.mean():.3g}' for name, channel in pairs) + ' per pixel and tilt on the mean'


def _source(source: Source) -> str:
    names = [Path(path).name for path in source.paths]
    files = ', '.join(names) if len(names) <= _FEW else f'{len(names)} files, {names[0]} to {names[-1]}'
    given = {name: getattr(source, name) for name in type(source).model_fields if name not in ('paths', 'core_loss')}
    defaults = Source()
    changed = [f'{_words(name)} {_value(value)}' for name, value in given.items() if value != getattr(defaults, name)]
    return '; '.join([files, *changed])


def _step(step: Step | UnknownStep) -> tuple[str, str, str]:
    if isinstance(step, UnknownStep):
        return str(step), 'A step of a package that is not installed here.', ''
    purpose = (type(step).__doc__ or '').strip().partition('\n')[0]
    parameters = step.parameters()
    changed = [p for p in parameters if getattr(step, p.name) != p.default]
    leading = [p for p in parameters if p.name in step.leading and p not in changed]
    parts = [_parameter(p, getattr(step, p.name)) for p in changed]
    if step.stopped_at is not None:
        parts.append(f'stopped by hand at iteration {step.stopped_at}')
    kept = [_parameter(p, getattr(step, p.name)) for p in leading]
    if kept:
        parts.append('by default: ' + ', '.join(kept))
    return step.title or type(step).__name__, purpose, '; '.join(parts) or 'all parameters at their defaults'


def _parameter(parameter: Parameter, value: Any) -> str:
    text = _value(value)
    # Words have no unit.
    unit = parameter.suffix if any(character.isdigit() for character in text) else ''
    label = parameter.label or _words(parameter.name)
    return f'{label[:1].lower() if label[1:2].islower() else label[:1]}{label[1:]} {text}{unit}'


def _value(value: Any) -> str:
    if value is None:
        return 'auto'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.6g}'
    if isinstance(value, tuple | list):
        return ', '.join(_value(one) for one in value) if value else 'none'
    return str(value) if str(value) else 'none'


def _words(name: str) -> str:
    return name.replace('_', ' ')
