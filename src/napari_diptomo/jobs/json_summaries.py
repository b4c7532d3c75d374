"""Series and results as values that JSON has, for ``--json`` and the table of a batch."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_diptomo.series import Finding, MapSeries, SpectralTiltSeries, Volume, by_weight

if TYPE_CHECKING:
    from napari_diptomo.series.reading.specimens import Specimen


def print_json(values: dict[str, Any]) -> None:
    """Print on standard output, indented; numbers that are not finite become null, as JSON has none."""
    print(json.dumps(_plain(values), indent=2))


def of_series(
    series: SpectralTiltSeries | MapSeries, elements: Sequence[str] = (), counts: float = math.nan
) -> dict[str, Any]:
    """Contents of a tilt series.

    Parameters
    ----------
    series : SpectralTiltSeries or MapSeries
    elements : sequence of str
        Seen in the sum of its spectra.
    counts : float
        Per pixel and tilt.

    Returns
    -------
    dict
        JSON-ready: ``kind``, ``tilts_deg``, ``shape``, ``pixel_size_nm``, ..., ``findings``.
    """
    found: dict[str, Any] = {
        'kind': 'spectra',
        'tilts_deg': [float(angle) for angle in series.angles],
        'pixel_size_nm': float(series.pixel_size),
        'haadf': series.haadf is not None,
        'transposed': series.transposed,
    }
    if isinstance(series, SpectralTiltSeries):
        found |= {
            'shape': dict(zip(('tilt', 'y', 'x', 'energy'), map(int, series.counts.shape), strict=True)),
            'energy_unit': series.energy_unit,
            'energy_range': [float(series.energy[0]), float(series.energy[-1])],
            'angle_source': series.angle_source,
            'core_loss_tilts_deg': [float(series.angles[tilt]) for tilt in series.core_loss.tilts]
            if series.core_loss is not None
            else [],
            'elements_seen': list(elements),
            'counts_per_pixel_and_tilt': counts,
        }
    else:
        found |= {
            'kind': 'images' if 'images' in series.notes else 'maps',
            'shape': dict(zip(('channel', 'tilt', 'y', 'x'), map(int, series.data.shape), strict=True)),
            'channels': list(series.channels),
            'angle_source': str(series.notes.get('angle_source', '')),
            'counts_per_pixel_and_tilt': float(series.data.sum(axis=0).mean()),
        }
    return {**found, 'findings': of_findings(series.findings)}


def of_specimens(specimens: Sequence[Specimen]) -> dict[str, Any]:
    """Several specimens in one folder.

    Parameters
    ----------
    specimens : sequence of Specimen

    Returns
    -------
    dict
        ``specimens``: name, contents and first file of each.
    """
    listed = [{'name': one.name, 'holds': one.holds, 'first_file': str(one.files[0])} for one in specimens]
    return {'specimens': listed}


def of_result(result: MapSeries | Volume, output: Path) -> dict[str, Any]:
    """A result that was written.

    Parameters
    ----------
    result : MapSeries or Volume
    output : Path
        Its file.

    Returns
    -------
    dict
        ``output``, ``kind``, ``shape``, scores as far as there are any, ``findings`` and ``recipe``.
    """
    volume = isinstance(result, Volume)
    axes = ('channel', 'z', 'y', 'x') if volume else ('channel', 'tilt', 'y', 'x')
    found: dict[str, Any] = {
        'output': str(output),
        'kind': 'volume' if volume else 'maps',
        'shape': dict(zip(axes, map(int, result.data.shape), strict=True)),
        'channels': list(result.channels),
    }
    if isinstance(result, Volume):
        found['voxel_size_nm'] = float(result.voxel_size)
        kept = ('method', 'seconds', 'device', 'stopping', 'projection_correlation', 'correlation_ceiling')
        found |= {name: result.notes[name] for name in kept if name in result.notes}
        scores = [value for value in result.scores.get('validation', ()) if value is not None and math.isfinite(value)]
        if scores:
            found['best_held_out_deviance'] = float(min(scores))
    else:
        found |= {'tilts_deg': [float(angle) for angle in result.angles], 'pixel_size_nm': float(result.pixel_size)}
    recipe = None if result.recipe is None else result.recipe.to_dict()
    return {**found, 'findings': of_findings(result.findings), 'recipe': recipe}


def of_findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings, the gravest first.

    Parameters
    ----------
    findings : sequence of Finding

    Returns
    -------
    list of dict
        As `Finding.to_dict` writes them.
    """
    return [finding.to_dict() for finding in by_weight(findings)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
