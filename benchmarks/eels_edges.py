r"""Edges of measured core losses by EdgeMaps, WhiteLineMaps and MLLSMaps beside eXSpy's own numbers.

Measured: HyperSpy's and eXSpy's demonstration spectra, looked for in ../shared/data beside the checkout. eXSpy removes
a power law (least squares) from the same range of every pixel and sums the same range; or fits its model, hydrogenic
cross sections with fine structure and a power law, to the sum of the pixels (`smart_fit`). Energies are corrected by
the offset that our finding names, for both alike, where that says so. The composition by extrapolation and together
is in atomic percent of what is mapped. No sample has a known composition. Simulated: edges of hydrogenic shape of
known share, and core losses of three states of manganese. Writes `results/eels_edges.json` and `docs/eels-edges.md`.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from napari_diptomo import EdgeMaps, MLLSMaps, WhiteLineMaps
from napari_diptomo.series import CoreLoss, InputError, MapSeries, SpectralTiltSeries
from napari_diptomo.simulate.core_loss import MANGANESE, manganese, power_law
from napari_diptomo.spectra.common.exspy_adapter import edge_cross_section
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows, tabulated

HERE = Path(__file__).parent
DATA = HERE.parent.parent / 'shared' / 'data'
RESULTS, PAGE = HERE / 'results' / 'eels_edges.json', HERE.parent / 'docs' / 'eels-edges.md'
#: Beam of the spectrum whose file does not record it, for cross sections of both sides alike.
BEAM = {'beam_energy': 200.0, 'convergence_angle': 20.0, 'collection_angle': 30.0}
#: Name, core loss, low loss, edges, offset of the energies in eV.
MEASURED = (
    ('LSMO line', 'eels-demos/LSMO_linescan.hspy', 'eels-demos/LSMO_linescan_low_loss.hspy', ('O_K', 'Mn_L'), 6.0),
    (
        'LSMO on STO line',
        'eels-demos/LSMO_STO_linescan.hspy',
        'eels-demos/LSMO_STO_linescan_low_loss.hspy',
        ('Ti_L', 'O_K', 'Mn_L'),
        0.0,
    ),
    ('Mn oxide', 'spectra/coreloss_spectrum.msa', '', ('O_K', 'Mn_L'), -6.0),
    ('Cu-Zn image', 'eels-demos/CuZn_EELS_mapping_tutorial.hspy', '', ('Cu_L', 'Zn_L'), 0.0),
)
#: Shares in atomic percent of the simulated edges.
SHARES = {'Ti_L': 11.11, 'O_K': 66.67, 'Mn_L': 22.22}
WIDE = np.arange(380.0, 900.0, 1.0)


def load(name: str) -> Any:
    import hyperspy.api as hs

    signal = hs.load(DATA / name)
    return signal[0] if isinstance(signal, list) else signal


def energies(signal: Any) -> np.ndarray:
    return np.asarray(signal.axes_manager.signal_axes[0].axis)


def cube(signal: Any) -> np.ndarray:
    """Counts (1, y, x, energy)."""
    counts = np.asarray(signal.data, float)
    return counts.reshape((1,) * (4 - counts.ndim) + counts.shape)


def beam_of(signal: Any) -> dict[str, float]:
    found = {
        'beam_energy': signal.metadata.get_item('Acquisition_instrument.TEM.beam_energy'),
        'convergence_angle': signal.metadata.get_item('Acquisition_instrument.TEM.convergence_angle'),
        'collection_angle': signal.metadata.get_item('Acquisition_instrument.TEM.Detector.EELS.collection_angle'),
    }
    return {name: float(value) for name, value in found.items()} if all(found.values()) else BEAM


def series_of(core: str, low: str = '') -> SpectralTiltSeries:
    signal = load(core)
    if not low:
        return SpectralTiltSeries(
            cube(signal), energies(signal), np.zeros(1), 1.0, energy_unit='eV', metadata=beam_of(signal)
        )
    other = load(low)
    part = CoreLoss(cube(signal), energies(signal), (0,), beam_of(signal))
    return SpectralTiltSeries(
        cube(other), energies(other), np.zeros(1), 1.0, energy_unit='eV', metadata=beam_of(signal), core_loss=part
    )


def removed_and_summed(signal: Any, window: list[float]) -> np.ndarray:
    """eXSpy's power law removed from the range in front, and the sum of the range of the edge, (pixel,)."""
    first, last, low, high = window
    net = signal.remove_background(
        signal_range=(first, last), background_type='PowerLaw', fast=False, zero_fill=False, show_progressbar=False
    )
    axis = energies(signal)
    return np.asarray(net.data).reshape(-1, len(axis))[:, (axis >= low) & (axis < high)].sum(axis=1)


def modelled(signal: Any, edges: tuple[str, ...]) -> dict[str, float]:
    """Atomic percent by eXSpy's model of the sum."""
    total = signal.sum() if signal.axes_manager.navigation_dimension else signal.deepcopy()
    total.set_signal_type('EELS')
    beam = beam_of(signal)
    total.set_microscope_parameters(beam['beam_energy'], beam['convergence_angle'], beam['collection_angle'])
    total.add_elements([edge.split('_')[0] for edge in edges])
    model = total.create_model(GOS='hydrogenic')
    model.enable_fine_structure()
    model.smart_fit()
    found = {edge: float(model[tabulated(edge)].intensity.value) for edge in edges}
    return {edge: 100 * value / sum(found.values()) for edge, value in found.items()}


def shares(maps: MapSeries) -> dict[str, float]:
    return {edge: share['percent'] for edge, share in maps.notes['composition'].items()}


def doubts(maps: MapSeries) -> list[str]:
    return [f'{finding.level}: {finding.about}' for finding in maps.findings if finding.level != 'note']


def measured(name: str, core: str, low: str, edges: tuple[str, ...], offset: float) -> dict[str, Any]:
    signal = load(core)
    series = series_of(core)
    as_filed = EdgeMaps(edges=edges).run(series)
    maps = EdgeMaps(edges=edges, energy_offset=offset, unit='relative atoms').run(series)
    counts = EdgeMaps(edges=edges, energy_offset=offset).run(series)
    together = EdgeMaps(edges=edges, energy_offset=offset, unit='relative atoms', method='fitted together').run(series)
    moved = signal.deepcopy()
    moved.axes_manager.signal_axes[0].offset += offset
    found: dict[str, Any] = {'name': name, 'as filed': doubts(as_filed), 'offset': offset, 'edges': {}}
    theirs = modelled(moved, edges)
    for i, edge in enumerate(edges):
        other = removed_and_summed(moved, counts.notes['edges'][edge])
        own = counts.data[i].ravel().astype(float)
        found['edges'][edge] = {
            'ours': float(own.sum()),
            'exspy': float(other.sum()),
            'correlation': float(np.corrcoef(own, other)[0, 1]) if own.size > 1 else None,
            'rms': float(np.sqrt(np.mean((own - other) ** 2)) / own.mean()),
            'other law': counts.notes['background_tests'][edge]['other_law'],
            'extrapolated': shares(maps)[edge],
            'together': shares(together)[edge],
            'model': theirs[edge],
        }
    found['doubts'] = sorted({*doubts(maps), *doubts(together)})
    if 'Mn_L' in edges:
        found['white lines'] = white_lines(series, offset)
    if low:
        found |= with_low_loss(core, low, edges, offset)
    return found


def white_lines(series: SpectralTiltSeries, offset: float) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for label, by in (('as filed', 0.0), ('corrected', offset)):
        try:
            maps = WhiteLineMaps(element='Mn', energy_offset=by).run(series)
            result[label] = f'{maps.notes["white_lines"]["ratio"][0][0]:.2f}'
        except InputError:
            result[label] = 'refused'
    return result


def with_low_loss(core: str, low: str, edges: tuple[str, ...], offset: float) -> dict[str, Any]:
    """Thickness beside eXSpy's, and the composition without plural scattering."""
    series = series_of(core, low)
    options = {'edges': edges, 'energy_offset': offset, 'unit': 'relative atoms'}
    thick = EdgeMaps(**options, thickness=True).run(series)
    other = load(low)
    other.align_zero_loss_peak(show_progressbar=False)
    threshold = other.estimate_elastic_scattering_threshold(window=10.0)
    theirs = other.estimate_thickness(threshold=threshold)
    single = EdgeMaps(**options, deconvolve='Fourier-ratio').run(series)
    return {
        'thickness': [float(thick.data[-1].mean()), float(np.nanmean(theirs.data))],
        'single scattering': shares(single),
    }


def simulated() -> dict[str, Any]:
    """Known shares, and known states, come back; mean and spread over five noises."""
    spectrum = 5e3 * (WIDE / 500) ** -3.0
    for edge, share in SHARES.items():
        sigma = edge_cross_section(tabulated(edge), WIDE, beam_energy=200.0, convergence=20.0, collection=30.0)
        spectrum = spectrum + 13.5 * share * sigma
    found: dict[str, Any] = {'edges': {}, 'states': {}}
    for method in ('extrapolated background', 'fitted together'):
        runs = []
        for seed in range(5):
            counts = np.random.default_rng(seed).poisson(np.broadcast_to(spectrum, (1, 8, 8, len(WIDE))))
            series = SpectralTiltSeries(counts, WIDE, np.zeros(1), 1.0, energy_unit='eV', metadata=BEAM)
            maps = EdgeMaps(edges=tuple(SHARES), method=method, unit='relative atoms').run(series)
            runs.append([maps.notes['composition'][edge]['percent'] for edge in SHARES])
        found['edges'][method] = [np.mean(runs, axis=0).tolist(), np.std(runs, axis=0, ddof=1).tolist()]
    energy = np.arange(560.0, 740.0, 0.5)
    path = HERE / 'results' / '_manganese.csv'
    table = np.stack([energy, *(manganese(state, energy) for state in MANGANESE)], axis=1)
    np.savetxt(path, table, delimiter=',', header=f'energy,{",".join(MANGANESE)}', comments='')
    window = EdgeWindows.of('Mn_L 590-632 634-700')
    inside = (energy >= window.signal[0]) & (energy <= window.signal[1])
    for level in (300.0, 3000.0):
        rng = np.random.default_rng(1)
        true = rng.uniform(0, level, (32, 32, 3))
        expected = power_law(energy, 0.02 * level) + true @ table[:, 1:].T
        series = SpectralTiltSeries(rng.poisson(expected)[None], energy, np.zeros(1), 1.0, energy_unit='eV')
        maps = MLLSMaps(edge='Mn_L 590-632 634-700', references=(str(path),), non_negative=False).run(series)
        known = np.moveaxis(true * table[inside, 1:].sum(axis=0), -1, 0)
        pulls = (maps.data[:, 0] - known) / np.sqrt(maps.variance[:, 0])
        found['states'][f'{level:g}'] = [pulls.mean(axis=(1, 2)).tolist(), pulls.std(axis=(1, 2)).tolist()]
    path.unlink()
    return found


def page(results: dict[str, Any]) -> str:
    lines = [
        '# Edges of measured core losses',
        '',
        'Written by `make bench ONLY=eels_edges`; do not edit by hand.',
        '',
        *(__doc__ or '').strip().splitlines(),
        '',
        'There is no measured Fe-L2,3 among these spectra; Mn, Ti, Cu and Zn stand for it. Two more spectrum images at hand hold no edge',
        "at all: Gatan's `EELS_SI.dm4` (2 x 2 pixels, 300-2347 eV, a falling background) and Velox's example (its three ranges are the dark",
        'level).',
        '',
        '## Counts above the background',
        '',
        '| data | edge | EdgeMaps | eXSpy | ratio | rms of pixels | correlation | with the other law |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for one in results['measured']:
        for edge, v in one['edges'].items():
            correlation = '-' if v['correlation'] is None else f'{v["correlation"]:.4f}'
            lines.append(
                f'| {one["name"]} | {edge} | {v["ours"]:.4g} | {v["exspy"]:.4g} | {v["ours"] / v["exspy"]:.3f} | {v["rms"]:.1%} | '
                f'{correlation} | {v["other law"]:+.0%} |'
            )
    lines += [
        '',
        'Where the ratio is far from one, the two power laws differ: ours takes the exponent of the sum and a slope to first order',
        'at the pixel, with the weights of counts; eXSpy fits each pixel by itself, unweighted. The last column is the number that',
        'hangs on the law.',
        '',
        '## Composition, atomic percent',
        '',
        '| data | edge | extrapolated | fitted together | eXSpy, model of the sum | extrapolated, single scattering |',
        '|---|---|---|---|---|---|',
    ]
    for one in results['measured']:
        for edge, v in one['edges'].items():
            single = one.get('single scattering', {}).get(edge)
            lines.append(
                f'| {one["name"]} | {edge} | {v["extrapolated"]:.1f} | {v["together"]:.1f} | {v["model"]:.1f} | '
                f'{"-" if single is None else f"{single:.1f}"} |'
            )
    lines += [
        '',
        '## What was noticed',
        '',
        '| data | energies as filed | corrected by, eV | after that |',
        '|---|---|---|---|',
    ]
    for one in results['measured']:
        lines.append(
            f'| {one["name"]} | {"; ".join(one["as filed"]) or "nothing"} | {one["offset"]:+g} | {"; ".join(one["doubts"]) or "nothing"} |'
        )
    lines += [
        '',
        '## White lines of Mn and thickness',
        '',
        '| data | L3 / L2 as filed | corrected | t/lambda | eXSpy |',
        '|---|---|---|---|---|',
    ]
    for one in results['measured']:
        if 'white lines' in one:
            own, other = one.get('thickness', (None, None))
            thickness = ('-', '-') if own is None else (f'{own:.2f}', f'{other:.2f}')
            white = one['white lines']
            lines.append(
                f'| {one["name"]} | {white["as filed"]} | {white["corrected"]} | {thickness[0]} | {thickness[1]} |'
            )
    known = ', '.join(f'{edge} {share:.1f}' for edge, share in SHARES.items())
    lines += ['', f'## Known shares ({known})', '', f'| method | {" | ".join(SHARES)} |', '|---|---|---|---|']
    for method, (mean, spread) in results['simulated']['edges'].items():
        lines.append(f'| {method} | {" | ".join(f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, spread, strict=True))} |')
    lines += [
        '',
        '## Three states of Mn by references',
        '',
        'Mean and spread of (map - truth) / error over the pixels.',
        '',
    ]
    lines += [f'| counts of a state up to | {" | ".join(MANGANESE)} |', '|---|---|---|---|']
    for level, (mean, spread) in results['simulated']['states'].items():
        lines.append(f'| {level} | {" | ".join(f"{m:+.2f}, {s:.2f}" for m, s in zip(mean, spread, strict=True))} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {'measured': []}
    results = {
        'measured': [measured(*one) for one in MEASURED] if DATA.exists() else before['measured'],
        'simulated': simulated(),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + '\n', encoding='utf-8')
    PAGE.write_text(page(results), encoding='utf-8')
    print(PAGE.read_text(encoding='utf-8'))


if __name__ == '__main__':
    main()
