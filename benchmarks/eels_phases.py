"""Phases nobody asked for: how often each is found, how often there is a false alarm, and what theory allows.

Nanocubes of FeO and what stands in place of Fe3O4 (32^3 voxels, one tilt). Thresholds were chosen on seeds 41-48; none of the seeds
here took part. Writes `docs/eels-phases.md`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.stats import norm

from eels_purity import MULTIPLETS, Shape, gaussians, made, shapes
from napari_diptomo.series import Finding, InputError
from napari_diptomo.simulate import eels_shapes, eels_tilt_series, oxide_nanocube
from napari_diptomo.simulate.eels import SimulatedEELS
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.metal_edges import IRON, l3_maximum
from napari_diptomo.spectra.eels.standards.leading_edge import leading_edge
from napari_diptomo.spectra.eels.standards.phases_nobody_asked_for import unexpected_phases
from napari_diptomo.spectra.eels.standards.search import find_standards

PAGE = Path(__file__).parent.parent / 'docs' / 'eels-phases.md'
FILMS, SEEDS = (2.0, 1.5, 1.0, 0.5, 0.0), tuple(range(31, 36))
HAEMATITE, MAGHEMITE = {'Fe3+ Oh': 1.0}, {'Fe3+ Oh': 5 / 8, 'Fe3+ Td': 3 / 8}
#: M2,3 and L2,3 of the other metals relative to those of iron, eV; 3d holes relative to Fe2+.
METALS = {'Mn': (-6.0, -68.0, 5 / 4), 'Co': (6.0, 71.0, 3 / 4)}
#: A core loss that holds L2,3 of both.
WIDE = (590.0, 830.0)
#: Of the test, as in the code: threshold, and what the shapes of L3 leave open.
THRESHOLD, RULE = 1.5, 0.03


def other_metal(share: float, element: str) -> Shape:
    """Fe3O4 with a share of another metal."""
    by_m, by_l, holes = METALS[element]

    def shape(
        energy: np.ndarray,
        oxide: str,
        edge: eels_shapes.Edge = 'M',
        variation: eels_shapes.ShapeVariation | None = None,
    ) -> np.ndarray:
        iron = MULTIPLETS(energy, oxide, edge, variation)
        if oxide == 'FeO':
            return iron
        foreign = MULTIPLETS(energy - (by_m if edge == 'M' else by_l), 'FeO', edge, variation)
        return (1 - share) * iron + share * (1.0 if edge == 'M' else holes) * foreign

    return shape


@contextlib.contextmanager
def ferric(species: dict[str, float] | None) -> Iterator[None]:
    """The simulator with other iron in place of that of Fe3O4."""
    before = eels_shapes._SPECIES['Fe3O4']
    eels_shapes._SPECIES['Fe3O4'] = species or before
    try:
        yield
    finally:
        eels_shapes._SPECIES['Fe3O4'] = before


def doubts(simulated: SimulatedEELS) -> list[Finding] | None:
    """Doubts about phases; None where the series is refused."""
    try:
        found = unexpected_phases(find_standards(calibrate(simulated.series)))
    except InputError:
        return None
    return [finding for finding in found if finding.level == 'doubt']


def counted(series: list[SimulatedEELS]) -> str:
    found = [doubts(one) for one in series]
    refused = sum(one is None for one in found)
    return f'{sum(bool(one) for one in found)} of {len(found)}' + (f', {refused} refused' if refused else '')


def false_alarms() -> list[str]:
    lines = ['| shapes | film / pixels | series with a doubt |', '|---|---|---|']
    for name, shape in (('multiplets', MULTIPLETS), ('Gaussians', gaussians)):
        for film in FILMS:
            lines.append(f'| {name} | {film:g} | {counted([made(shape, film, seed) for seed in SEEDS])} |')
    return lines


def oxidised() -> list[str]:
    lines = [
        '| in place of Fe3O4 | film / pixels | found | film / pixels, twenty times the dose | found |',
        '|---|---|---|---|---|',
    ]
    for name, species in (('haematite', HAEMATITE), ('maghemite', MAGHEMITE)):
        for film in FILMS:
            with ferric(species):
                series = [made(MULTIPLETS, film, seed) for seed in SEEDS]
                long = [made(MULTIPLETS, film, seed, core_dose=400.0) for seed in SEEDS[:2]]
            lines.append(f'| {name} | {film:g} | {counted(series)} | {film:g} | {counted(long)} |')
    return lines


def bound(simulated: SimulatedEELS) -> tuple[float, float, float]:
    """Share of FeO in the purest pixels, the share that their leading edge shows without noise, and its least standard deviation.

    The information of all pixels on both spectra, their mixtures known, at the leading edge; the tail of the Fe3+ lines free, the shift
    of the Fe2+ lines profiled with its spread of 0.2 eV (Cramer and Rao).
    """
    energy = simulated.series.core_loss.energy
    background, edges = simulated.core_expected(0)
    edge_counts = simulated.core_clean[:, 0]
    where = edge_counts.sum(axis=0) > 0.08 * edge_counts.sum(axis=0).max()
    counts = edge_counts[:, where].T
    expected = (background + edges)[where]
    information = np.einsum('ps,pt,pe->est', counts, counts, 1 / expected, optimize=True)
    covariance = np.linalg.inv(information)
    atoms = counts / simulated.model.core.per_iron
    share = atoms[:, 0] / atoms.sum(axis=1)
    strong = counts.sum(axis=1) > 0.3 * counts.sum(axis=1).max()
    x = float(np.sort(share[strong])[:10].mean())
    per_atom = simulated.model.core.per_iron[1] / simulated.model.core.per_iron[0]
    y = x / (x + (1 - x) * per_atom)
    feo, fe3o4 = (simulated.core_standards[oxide] for oxide in ('FeO', 'Fe3O4'))
    mixture = y * feo + (1 - y) * fe3o4
    end = l3_maximum(feo, energy) - 1.2
    lead = (energy > end - 6) & (energy < end)
    # Of the end, and of FeO times what is subtracted of it.
    vectors = np.array([[y, 1 - y], [x + (1 - x) / 3, 0.0]])
    variance = np.einsum('is,est,it->e', vectors, covariance, vectors)[lead] * IRON.per_atom**2
    shift = np.gradient(feo, energy)[lead] / 3
    columns = np.stack(
        [
            feo[lead] * 2 / 3 + (IRON.per_atom - 1) * mixture[lead],
            (l3_maximum(mixture, energy) - energy[lead]) ** -2.0,
            shift,
        ]
    )
    fisher = (columns / variance) @ columns.T
    fisher[2, 2] += 1 / 0.2**2
    first, second = (one / one[IRON.inside(energy)].sum() for one in (feo, mixture))
    shown = leading_edge(first, second, np.ones(len(energy)), energy).share
    return x, shown, float(np.sqrt(np.linalg.inv(fisher)[0, 0]))


def theory() -> list[str]:
    lines = [
        '| in place of Fe3O4 | film / pixels | dose | FeO in the purest pixels | as if of Fe3O4 | shown by the leading edge | error by counting | found |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for name, species in (('haematite', HAEMATITE), ('maghemite', MAGHEMITE)):
        for film in FILMS[:3]:
            for dose in (20.0, 400.0):
                with ferric(species):
                    bounds = np.array([bound(made(MULTIPLETS, film, seed, core_dose=dose)) for seed in SEEDS])
                x, shown, counting = bounds.T
                power = norm.cdf(-shown / np.hypot(counting, RULE) - THRESHOLD).mean()
                lines.append(
                    f'| {name} | {film:g} | {dose / 20:g} | {x.mean():.2f} | {1.5 * x.mean() - 0.5:+.2f} | {shown.mean():+.2f} +- {shown.std():.2f} | '
                    f'{counting.mean():.3f} | {power:.0%} |'
                )
    return lines


def metals() -> list[str]:
    lines = [
        '| in Fe3O4 | film / pixels | core loss 590-830 eV: named | standard deviations | share found | 660-780 eV, by M2,3: doubts |',
        '|---|---|---|---|---|---|',
    ]
    for element in METALS:
        for share in (0.02, 0.1, 0.3):
            for film in (2.0, 1.0):
                sums, found = [], 0
                for seed in SEEDS[:3]:
                    with shapes(other_metal(share, element)):
                        cube = oxide_nanocube(32, film=film, ligand=1.0)
                        simulated = eels_tilt_series(cube, [0.0], seed=seed, read_noise=0.0, core_range=WIDE)
                    standards = find_standards(calibrate(simulated.series))
                    (one,) = [other for other in standards.notes['other_metals'] if other['element'] == element]
                    found += any(f'{element}-L2,3' in finding.sentence for finding in doubts(simulated) or [])
                    sums.append((one['significance'], one['shares'][1]))
                significance, each = np.mean(sums, axis=0)
                by_low_loss = [made(other_metal(share, element), film, seed) for seed in SEEDS]
                lines.append(
                    f'| {element} {share:.0%} | {film:g} | {found} of 3 | {significance:.0f} | {each:.1%} | {counted(by_low_loss)} |'
                )
    return lines


def metallic(simulated: SimulatedEELS, share: float) -> SimulatedEELS:
    """A quarter of the image with a share of its iron as metal: L3 0.9 eV below that of FeO, broader by 1.2 eV (deviation)."""
    core = simulated.series.core_loss
    step = core.energy[1] - core.energy[0]
    moved = np.interp(core.energy + 0.9, core.energy, simulated.core_standards['FeO'])
    metal = ndimage.gaussian_filter1d(moved, 1.2 / step)
    there = np.zeros((*simulated.core_clean.shape[2:], 1))
    there[:16, :16] = share
    background, edges = simulated.core_expected(0)
    counts = simulated.core_clean[:, 0].sum(axis=0)[..., None]
    recorded = np.random.default_rng(0).poisson(background + edges * (1 - there) + there * counts * metal)
    core = replace(core, counts=recorded[None].astype(np.float32))
    return replace(simulated, series=replace(simulated.series, core_loss=core))


def third() -> list[str]:
    lines = ['| metallic iron in a quarter of the image | film / pixels | found |', '|---|---|---|']
    for share in (0.2, 0.4):
        for film in (2.0, 1.0):
            found = [doubts(metallic(made(MULTIPLETS, film, seed), share)) or [] for seed in SEEDS]
            number = sum(any(finding.about == 'a third phase' for finding in one) for one in found)
            lines.append(f'| {share:.0%} | {film:g} | {number} of {len(SEEDS)} |')
    return lines


def main() -> None:
    text = [
        '# Phases nobody asked for', '', 'Written by `make bench ONLY=eels_phases`; do not edit by hand.', '',
        'Nanocubes of FeO and Fe3O4, or what stands in its place (32^3 voxels, one tilt, a core-loss dose of 20 times the low loss, some 900 counts of L3 in',
        'the mean pixel). Thresholds were chosen on other seeds.', '',
        '## False alarms: FeO and Fe3O4 alone', '', *false_alarms(), '',
        '## Fe2O3 in place of Fe3O4', '', *oxidised(), '',
        'What theory allows: Fe2O3 under a share x of FeO has the leading edge of Fe3O4 under the share (3 x - 1) / 2. Only where that is',
        'negative no Fe3O4 explains it. Without noise the leading edge shows somewhat more, most of all in haematite, which has a weak line of',
        'Fe3+ 1.9 eV below its maximum that passes for Fe2+ (mean and spread over the shapes of five seeds). The error by counting is the bound of',
        f'Cramer and Rao with the tail of Fe3+ and the shift of Fe2+ free; what the shapes of L3 leave open, {RULE:g}, is added, and found is what lies',
        f'{THRESHOLD:g} of both below zero. Where this bound finds little, "not found" is right, more dose changes little, and the note says so.', '',
        *theory(), '',
        '## Another metal in Fe3O4', '', *metals(), '',
        'In the core loss the lines of the other metal are seen in the sum of all pixels; the share is too low by a third, as part of the step behind the',
        'lines passes for background. Where the range holds no L2,3 of theirs, M2,3 remain, which multiplets of iron blur.', '',
        '## A third phase', '', *third(), '',
    ]  # fmt: skip
    PAGE.write_text('\n'.join(text), encoding='utf-8')
    print(PAGE.read_text(encoding='utf-8'))


if __name__ == '__main__':
    main()
