"""How pure the purest pixels are, references off the axis: Fe2+ by the core loss, with errors.

Nanocubes of FeO and Fe3O4 (32^3 voxels, one tilt) with outer films of 2 to 0 pixels; shapes of the edges from two
generators: multiplets with other Slater integrals, widths and shifts by seed, and sums of
Gaussians with arctangent steps. Judged is the share of Fe2+ in all iron, by L2,3, against the truth. Writes `docs/eels-purity.md`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from napari_diptomo.series import InputError
from napari_diptomo.simulate import eels_model, eels_shapes, eels_tilt_series, oxide_nanocube
from napari_diptomo.simulate.eels import SimulatedEELS
from napari_diptomo.simulate.phantoms import Canvas, Phantom
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.standards.phase_maps import PhaseMaps, map_phases

PAGE = Path(__file__).parent.parent / 'docs' / 'eels-purity.md'
#: None of these seeds was seen while the constants were chosen.
FILMS, SEEDS = (2.0, 1.5, 1.0, 0.5, 0.0), tuple(range(31, 36))
AXES = ((0.0, 0.8), (0.3, 0.8), (-0.3, 0.8), (0.5, 0.8), (-0.5, 0.8), (1.0, 0.8), (0.5, 1.3))
Shape = Callable[..., np.ndarray]
MULTIPLETS: Shape = eels_shapes.edge_shape


def _gaussian(energy: np.ndarray, centre: float, fwhm: float) -> np.ndarray:
    found: np.ndarray = np.exp(-4 * np.log(2) * ((energy - centre) / fwhm) ** 2) / (1.0645 * fwhm)
    return found


def gaussians(
    energy: np.ndarray, oxide: str, edge: eels_shapes.Edge = 'L', variation: eels_shapes.ShapeVariation | None = None
) -> np.ndarray:
    """Edges per iron atom as sums of Gaussians and arctangents, (energy,); Fe3O4 is a third FeO."""
    variation = variation or eels_shapes.ShapeVariation()
    energy, width = energy - variation.shift.get(oxide, 0.0), variation.lorentzian
    if edge == 'L':
        reduced = ((0.72, 707.9, 1.9), (0.28, 710.6, 2.6), (0.22, 720.9, 2.6), (0.08, 723.6, 3.0))
        ferric = ((0.16, 708.1, 1.5), (0.74, 709.7, 2.0), (0.14, 712.2, 3.0), (0.30, 723.2, 3.0))
        steps, height, decay = ((711.5, 2 / 3), (724.5, 1 / 3)), 0.045, 3.0
    else:
        stretch = variation.scale / 0.6
        reduced = ((0.42, 57.2 - 2.5 * stretch, 2.4), (0.50, 57.2, 3.0), (0.30, 60.5, 5.0))
        ferric = ((0.12, 57.4 - 4.3 * stretch, 1.6), (0.75, 57.4, 3.0), (0.28, 60.8, 5.0))
        steps, height, decay = ((58.0, 1.0),), 0.020, 2.0
    of_reduced, of_ferric = (
        sum(a * _gaussian(energy, c, w * width) for a, c, w in lines) / sum(a for a, _, _ in lines)
        for lines in (reduced, ferric)
    )
    lines = 1.6 * of_reduced if oxide == 'FeO' else (1.6 * of_reduced + 4.0 * of_ferric) / 3
    step = sum(share * (0.5 + np.arctan((energy - onset) / 0.8) / np.pi) for onset, share in steps)
    return lines + height * step * (np.maximum(energy, 1) / steps[0][0]) ** -decay * (energy > steps[0][0] - 15)


@contextlib.contextmanager
def shapes(shape: Shape) -> Iterator[None]:
    """The simulator with other edges."""
    eels_model.edge_shape = shape
    try:
        yield
    finally:
        eels_model.edge_shape = MULTIPLETS


def made(shape: Shape, film: float, seed: int, **options: float) -> SimulatedEELS:
    with shapes(shape):
        cube = oxide_nanocube(32, film=film, ligand=1.0)
        return eels_tilt_series(cube, [0.0], seed=seed, read_noise=0.0, **options)


def fe2(simulated: SimulatedEELS, phases: PhaseMaps) -> tuple[float, float, float]:
    """Share of Fe2+ that was found, its error from what standards hold of each other, and the true one."""
    inside = simulated.iron[0] & phases.iron[0]
    true = (simulated.core_clean[:, 0] / simulated.model.core.per_iron[:, None, None])[:, inside].sum(axis=1)
    found = phases.atoms[0][inside].sum(axis=0)
    slope = np.array([-found[0], found[1]]) / found.sum()
    error = 2 / 3 * float(np.sqrt(slope @ np.array(phases.notes['impurity']) @ slope))
    value, truth = (float((a[0] + a[1] / 3) / a.sum()) for a in (found, true))
    return value, error, truth


def films() -> list[str]:
    lines = [
        '| shapes | film / pixels | Fe2+ found | error | true | beyond two errors | refused |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, shape in (('multiplets', MULTIPLETS), ('Gaussians', gaussians)):
        for film in FILMS:
            rows, refused = [], 0
            for seed in SEEDS:
                simulated = made(shape, film, seed)
                try:
                    rows.append(fe2(simulated, map_phases(calibrate(simulated.series))))
                except InputError:
                    refused += 1
            value, error, true = np.mean(rows, axis=0)
            beyond = sum(abs(v - t) > 2 * e for v, e, t in rows)
            values = ', '.join(f'{v:.2f}' for v, _, _ in rows)
            lines.append(
                f'| {name} | {film:g} | {value:.3f} ({values}) | {error:.3f} | {true:.3f} | {beyond} of {len(rows)} | {refused} |'
            )
    return lines


def references() -> list[str]:
    lines = ['| shapes | film / pixels | references | Fe2+ found | error | true |', '|---|---|---|---|---|---|']
    energy = np.arange(685, 745, 0.1)
    for name, shape in (('multiplets', MULTIPLETS), ('Gaussians', gaussians)):
        for film in (2.0, 0.0):
            simulated = made(shape, film, 3)
            calibrated = calibrate(simulated.series)
            for (by, fwhm), swapped in [*((axis, False) for axis in AXES), ((1.7, 0.8), True)]:
                given = {
                    oxide: np.stack(
                        [
                            energy,
                            gaussian_filter1d(shape(energy - move, oxide, 'L', simulated.variation), fwhm / 0.23548),
                        ]
                    )
                    for oxide, move in (('FeO', by), ('Fe3O4', -by if swapped else by))
                }
                what = 'maxima swapped' if swapped else f'{by:+g} eV, FWHM {fwhm:g} eV'
                try:
                    value, error, true = fe2(simulated, map_phases(calibrated, method='references', references=given))
                    lines.append(f'| {name} | {film:g} | {what} | {value:.3f} | {error:.3f} | {true:.3f} |')
                except InputError:
                    lines.append(f'| {name} | {film:g} | {what} | refused | | |')
    return lines


def bodies() -> dict[str, Phantom]:
    """Voids, and cores without a shell: what a film over everything is not."""
    density = oxide_nanocube(32).compositions.max(axis=0)
    apart = Canvas(32, 2, ('FeO', 'Fe3O4', 'C'), 1.0)
    turn = Rotation.from_euler('zyx', (3, 15, 4), degrees=True)
    apart.paint('FeO', (1, 0, 0), apart.grid.box((0, -6.5, 0), (5, 5, 5), turn))
    apart.paint('Fe3O4', (0, density[1], 0), apart.grid.box((0, 6.5, 0), (5, 5, 5), turn))
    core = Canvas(32, 2, ('FeO', 'Fe3O4', 'C'), 1.0)
    core.paint('FeO', (1, 0, 0), core.grid.box((0, 0, 0), (9, 9, 9), turn))
    core.paint('Fe3O4', (0, density[1], 0), core.grid.box((0, 0, 0), (7, 7, 7), turn))
    return {
        'no void, film 1': oxide_nanocube(32, film=1.0, void=0.0, ligand=1.0),
        'void of 0.35, film 1': oxide_nanocube(32, film=1.0, void=0.35, ligand=1.0),
        'void of 0.35, film 0': oxide_nanocube(32, film=0.0, void=0.35, ligand=1.0),
        'a cube of FeO without shell beside one of Fe3O4': apart.finish(),
        'a cube of Fe3O4 under a film of 2, no core of FeO': core.finish(),
    }


def voids() -> list[str]:
    lines = [
        '| specimen | shapes | Fe2+ found | error | true | beyond two errors | refused |',
        '|---|---|---|---|---|---|---|',
    ]
    for what, body in bodies().items():
        for name, shape in (('multiplets', MULTIPLETS), ('Gaussians', gaussians)):
            rows, refused = [], 0
            for seed in SEEDS[:2]:
                with shapes(shape):
                    simulated = eels_tilt_series(body, [0.0], seed=seed, read_noise=0.0)
                try:
                    rows.append(fe2(simulated, map_phases(calibrate(simulated.series))))
                except InputError:
                    refused += 1
            values = ', '.join(f'{v:.2f}' for v, _, _ in rows)
            error, true = np.mean(rows, axis=0)[1:] if rows else (np.nan, np.nan)
            beyond = sum(abs(v - t) > 2 * e for v, e, t in rows)
            lines.append(
                f'| {what} | {name} | {values} | {error:.3f} | {true:.3f} | {beyond} of {len(rows)} | {refused} |'
            )
    return lines


def main() -> None:
    text = [
        '# Fe2+ by the core loss: purity, references', '',
        'Written by `make bench ONLY=eels_purity`; do not edit by hand.', '',
        'Nanocubes of FeO and Fe3O4 (32^3 voxels, one tilt, a core-loss dose of 20 times the low loss, some 900 counts of L3 in the',
        'mean pixel). Shapes of the edges: multiplets with shifts, widths and Slater integrals by seed, or sums of Gaussians',
        'with arctangent steps. Errors are of what each standard holds of the other oxide.', '',
        '## Films', '', *films(), '',
        'Below one pixel of film no pixel is pure FeO. The value then rests on the contrast that FeO and Fe3O4 are expected to',
        'have, and the error says so.', '',
        '## Voids, cores without shell', '', *voids(), '',
        '## References off the axis', '', *references(), '',
    ]  # fmt: skip
    PAGE.write_text('\n'.join(text), encoding='utf-8')
    print(PAGE.read_text(encoding='utf-8'))


if __name__ == '__main__':
    main()
