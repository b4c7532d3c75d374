"""Summary of the demo, written beside its volume: figures, scores, a page to read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_diptomo.jobs.demo import figures
from napari_diptomo.series import Finding, MapSeries, SpectralTiltSeries, Volume, by_weight
from napari_diptomo.series.files import replacing_text

DIP = 'DIPm-TV'
#: Heading of the last section of summary.md, which a terminal shows in its own way.
FINDINGS = '## Findings'
#: What of a volume's notes goes into summary.json.
_NOTES = (
    'projection_correlation',
    'correlation_ceiling',
    'compared_pixels',
    'iterations',
    'returned_iteration',
    'weight',
    'preset',
    'stopping',
    'uncertainty',
    'seconds',
    'device',
)
#: SIRT fits nearly everything that is a projection of something: below this share of the ceiling the maps are not.
_LEAST_OF_CEILING = 0.85
_ZERO_PEAK = 0.15  # keV; the strobe peak of the detector lies below


@dataclass
class DemoResult:
    """Series, maps and volumes of the demo; the truth where they are simulated."""

    series: SpectralTiltSeries | MapSeries
    maps: MapSeries
    volumes: dict[str, Volume]
    truth: Volume | None = None
    alignment_error: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def write_summary(result: DemoResult, folder: Path) -> list[Path]:
    """Write PNGs, ``summary.json`` and ``summary.md``; returns their paths."""
    scores = _scores(result)
    written = _figures(result, folder, scores)
    replacing_text(folder / 'summary.json', json.dumps(scores, indent=2) + '\n')
    replacing_text(folder / 'summary.md', _page(result, scores))
    return [*written, folder / 'summary.json', folder / 'summary.md', folder / 'maps.hspy', folder / 'recipe.json']


def findings_of(result: DemoResult) -> list[Finding]:
    """Those of the maps and of all volumes, the gravest first, each once."""
    return by_weight([*result.maps.findings, *(f for volume in result.volumes.values() for f in volume.findings)])


def _scores(result: DemoResult) -> dict[str, Any]:
    maps = result.maps
    found: dict[str, Any] = {
        'channels': list(maps.channels),
        'angles': [float(angle) for angle in maps.angles],
        'pixel_size_nm': maps.pixel_size,
        'counts_per_pixel_and_tilt': {
            n: round(float(c.mean()), 3) for n, c in zip(maps.channels, maps.unmixed().data, strict=False)
        },
        'alignment_error_pixels': result.alignment_error,
        'findings': [finding.to_dict() for finding in findings_of(result)],
        'volumes': {title: _volume_scores(volume, result.truth, maps) for title, volume in result.volumes.items()},
    }
    return found


def _volume_scores(volume: Volume, truth: Volume | None, maps: MapSeries) -> dict[str, Any]:
    found = {name: volume.notes[name] for name in _NOTES if name in volume.notes}
    if truth is not None:
        from napari_diptomo.assess import compare, psnr, ssim

        found['psnr'] = [round(float(v), 3) for v in psnr(volume.data, truth.data)]
        found['ssim'] = [round(float(v), 4) for v in ssim(volume.data, truth.data)]
        overall = compare(volume.data, truth.data, (float(maps.angles.min()), float(maps.angles.max())))
        found['mean'] = {name: round(value, 4) for name, value in overall.items()}
    return found


def _figures(result: DemoResult, folder: Path, scores: dict[str, Any]) -> list[Path]:
    volumes = {**({'truth': result.truth} if result.truth is not None else {}), **result.volumes}
    judged = {title: s for title, s in scores['volumes'].items() if 'psnr' in s}
    written = [
        figures.slices(folder / 'slices.png', volumes, judged),
        figures.maps_at_zero(folder / 'maps.png', result.maps),
        figures.convergence(folder / 'convergence.png', result.volumes[DIP]),
    ]
    if isinstance(result.series, SpectralTiltSeries):
        written.append(_spectrum(result.series, result.maps.channels, folder / 'spectrum.png'))
    return [path for path in written if path is not None]


def _spectrum(series: SpectralTiltSeries, channels: tuple[str, ...], path: Path) -> Path:
    from napari_diptomo.spectra import families_for, sum_spectrum

    above = series.energy > _ZERO_PEAK
    energy, counts = series.energy[above], sum_spectrum(series)[above]
    beam = float(series.metadata.get('beam_energy') or 200.0)
    families = families_for(channels, _ZERO_PEAK, float(energy[-1]), beam)
    lines = {family.name: family.main_energy for family in families}
    limit = min(1.25 * max(lines.values()) + 1.0, float(energy[-1]))
    return figures.spectrum(path, energy, counts, lines, limit)


def _page(result: DemoResult, scores: dict[str, Any]) -> str:
    maps = result.maps
    tilts = f'{len(maps.angles)} tilts from {maps.angles.min():g}° to {maps.angles.max():g}°'
    counts = ', '.join(f'{name} {value:.2g}' for name, value in scores['counts_per_pixel_and_tilt'].items())
    lines = [
        '# Demo',
        '',
        f'{", ".join(maps.channels)}; {tilts}; pixels of {maps.pixel_size:.4g} nm.',
        f'Mean counts per pixel and tilt: {counts}.',
    ]
    if result.alignment_error is not None:
        lines += [
            f'Error of the alignment: {result.alignment_error:.2f} pixels (root mean square, per axis of the image).',
            'Its origin (x, y, z), which no data determine, is set to that of the known truth so that volumes can be compared',
            'with it voxel by voxel; everything else is found from the counts.',
        ]
    if result.truth is not None:
        lines += ['', '## Against the known truth', '', *_truth_table(scores)]
    lines += ['', '## Against the maps', '', *_agreement_table(scores)]
    lines += _stray_elements(scores)
    for title, values in scores['volumes'].items():
        ended = values.get('stopping', f'{values.get("iterations", "")} iterations')
        lines += ['', f'{title}: {ended} ({values.get("seconds", 0):.0f} s on {values.get("device", "")}).']
        if 'uncertainty' in values:
            lines.append(values['uncertainty'][:1].upper() + values['uncertainty'][1:] + '.')
    low, high = float(maps.angles.min()), float(maps.angles.max())
    lines += [
        '',
        f'Tilts end at {low:g}° and {high:g}°: detail along directions beyond them is determined by the prior, not by data.',
    ]
    found = [f'- **{f.level}**{str(f).removeprefix(f.level)}' for f in findings_of(result)]
    lines += ['', FINDINGS, '', *found] if found else []
    return '\n'.join(lines) + '\n'


def _truth_table(scores: dict[str, Any]) -> list[str]:
    names = scores['channels']
    lines = [
        '| volume | ' + ' | '.join(f'{n} PSNR / SSIM' for n in names) + ' | mean PSNR | mean SSIM | FSC in the wedge |',
        '|---' * (len(names) + 4) + '|',
    ]
    for title, values in scores['volumes'].items():
        each = ' | '.join(f'{p:.1f} dB / {s:.2f}' for p, s in zip(values['psnr'], values['ssim'], strict=True))
        mean = values['mean']
        lines.append(f'| {title} | {each} | {mean["psnr"]:.1f} dB | {mean["ssim"]:.2f} | {mean["fsc_missing"]:.2f} |')
    lines.append('')
    own = scores['volumes'][DIP]['mean']
    for title, values in scores['volumes'].items():
        if title != DIP:
            gain = f'{own["psnr"] - values["mean"]["psnr"]:+.1f} dB, SSIM {own["ssim"] - values["mean"]["ssim"]:+.2f}'
            lines.append(f'{DIP} against {title}: {gain}.')
    return lines


def _agreement_table(scores: dict[str, Any]) -> list[str]:
    names = scores['channels']
    lines = ['Correlation of the projections with the maps that were fitted:', '']
    lines += ['| volume | ' + ' | '.join(names) + ' |', '|---' * (len(names) + 1) + '|']
    ceiling: dict[str, float] = {}
    for title, values in scores['volumes'].items():
        found = values.get('projection_correlation', {})
        lines.append(f'| {title} | ' + ' | '.join(_number(found.get(name)) for name in names) + ' |')
        ceiling = values.get('correlation_ceiling', ceiling)
    if ceiling:
        lines.append('| ceiling of the counts | ' + ' | '.join(_number(ceiling.get(name)) for name in names) + ' |')
        lines += [
            '',
            'The noiseless truth itself would reach the ceiling, which is an estimate: a good volume lies at it, give or take',
            'its error and the little noise that any fit takes up. Only far above it, beyond three standard errors, was noise fitted.',
        ]
    return lines


def _stray_elements(scores: dict[str, Any]) -> list[str]:
    """A warning for elements whose maps no volume explains, as those of stray radiation."""
    first = next(iter(scores['volumes'].values()))
    found, ceiling = first.get('projection_correlation', {}), first.get('correlation_ceiling', {})
    stray = [name for name in ceiling if found.get(name, 1.0) < _LEAST_OF_CEILING * ceiling[name]]
    if not stray:
        return []
    rest = ' '.join(name for name in scores['channels'] if name not in stray)
    advice = f', and what happens without: ELEMENTS="{rest}"' if rest else ''
    return [
        '',
        f'The maps of {", ".join(stray)} are hardly those of any volume (see the first row against the ceiling):',
        f'stray radiation, shadows or a poor alignment. Look at them{advice}.',
    ]


def _number(value: float | None) -> str:
    return '' if value is None else f'{value:.3f}'
