"""Factors measured on standards: the definition, absorption, errors, tables, and what is no standard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import Composition, EDXMaps, MapSeries, Recipe, Volume, simulate
from napari_diptomo.assess import Dose, StandardSettings, calibrate_factors
from napari_diptomo.assess.known_composition import KnownComposition
from napari_diptomo.series import InputError, Source, SpectralTiltSeries
from napari_diptomo.simulate.edx import LINES, bremsstrahlung, line_shape
from napari_diptomo.spectra.edx.absorption import absorption_coefficients
from napari_diptomo.spectra.edx.factor_tables import read_factors

FAMILIES = {'Ge': 'Ge_K', 'Sb': 'Sb_L', 'Te': 'Te_L'}
WEIGHT = np.array([0.14149, 0.23716, 0.62135])
K = np.array([1.3, 1.0, 1.2])


def maps_of(
    counts: np.ndarray, channels=tuple(FAMILIES), notes=None, size=24, angles=(0.0,), seed=0, **parts
) -> MapSeries:
    """Poisson maps of the same expected counts everywhere; (channel,) or (channel, tilt)."""
    mean = np.asarray(counts, float).reshape(len(channels), -1, 1, 1)
    data = np.random.default_rng(seed).poisson(mean, (len(channels), len(angles), size, size))
    notes = {'lines': FAMILIES, 'beam_energy_keV': 200.0} if notes is None else notes
    return MapSeries(data, angles, channels, notes=notes, **parts)


def test_k_factors_are_masses_over_counts() -> None:
    factors = calibrate_factors(maps_of(1000 * WEIGHT / K), 'Ge2Sb2Te5')
    assert (factors.families, factors.quantity) == (('Ge_K', 'Sb_L', 'Te_L'), 'k-factors')
    np.testing.assert_allclose(factors.values / factors.values[1] * K[1], K, rtol=0.01)
    # Te has the most counts, so the others are relative to it.
    assert factors.values[2] == 1 and factors.errors[2] == 0


@pytest.mark.parametrize('method', ['zeta', 'cross section'])
def test_zeta_factors_and_cross_sections_by_their_definition(method: str) -> None:
    zeta, electrons, density, thickness = np.array([900.0, 700.0, 820.0]), 2e8, 5.9, 40.0
    angles = (-40.0, 0.0, 40.0)
    areal = density * 1e3 * thickness * 1e-9 / np.cos(np.radians(angles))
    notes = {'lines': FAMILIES, 'detector_position': {'elevation_deg': 90.0}}
    lines = tuple(FAMILIES.values())
    macs = absorption_coefficients(lines, tuple(FAMILIES)) @ WEIGHT
    depth = macs[:, None] * density * thickness * 1e-7 / np.cos(np.radians(angles))
    counts = (WEIGHT / zeta)[:, None] * areal * electrons * -np.expm1(-depth) / depth
    settings = StandardSettings(method, thickness=thickness, density=density, dose=Dose(electrons), azimuths=(0.0,))
    factors = calibrate_factors(maps_of(counts, notes=notes, angles=angles), 'Ge2Sb2Te5', settings)
    found = factors.values
    if method == 'cross section':
        from exspy.utils.eds import cross_section_to_zeta

        found = np.array(cross_section_to_zeta(list(found), list(FAMILIES)))
    np.testing.assert_allclose(found, zeta, rtol=0.01)
    assert factors.origin['electrons per pixel'] == '2e+08'
    assert factors.findings == ()


def test_absorption_in_the_standard_is_corrected_or_said() -> None:
    """Ge-L of 100 nm at 18 degrees."""
    families = {**FAMILIES, 'Ge': 'Ge_L'}
    macs = absorption_coefficients(tuple(families.values()), tuple(FAMILIES)) @ WEIGHT
    depth = macs * 5.9 * 100e-7 / np.sin(np.radians(18.0))
    counts = 3000 * WEIGHT / K * -np.expm1(-depth) / depth
    maps = maps_of(counts, notes={'lines': families, 'detector_position': {'elevation_deg': 18.0}})
    raw = calibrate_factors(maps, 'Ge2Sb2Te5')
    film = calibrate_factors(maps, 'Ge2Sb2Te5', StandardSettings(thickness=100.0, density=5.9))
    np.testing.assert_allclose(film.values / film.values[1], K, rtol=0.01)
    assert raw.values[0] / raw.values[1] > 1.3 * K[0]
    (note,) = raw.findings
    assert 'that of Ge_L too large by' in note.sentence and raw.origin['absorption'] == 'not corrected'
    assert film.origin['absorption'] == 'corrected, film of 100 nm and 5.9 g/cm^3' and film.findings == ()


def test_errors_are_the_scatter_of_repeated_standards() -> None:
    found = [calibrate_factors(maps_of(8 * WEIGHT / K, seed=seed), 'Ge2Sb2Te5') for seed in range(60)]
    values = np.array([factors.values for factors in found])
    stated = np.array([factors.errors for factors in found]).mean(axis=0)
    np.testing.assert_allclose(stated[:2], values.std(axis=0)[:2], rtol=0.25)


def flat_standard(seed: int, size: int = 40) -> SpectralTiltSeries:
    """Spectra of an even film whose K, L and L families hold 8, 6 and 13 counts per pixel."""
    energy = (np.arange(1280) - 24) * 0.01
    mean = 30 * bremsstrahlung(energy)
    for name, level in (('Ge_K', 8.0), ('Sb_L', 6.0), ('Te_L', 13.0)):
        mean = mean + level * line_shape(energy, LINES[name])
    counts = np.random.default_rng(seed).poisson(mean, (1, size, size, 1280)).astype(np.uint8)
    metadata = {'beam_energy': 200.0, 'elevation': 18.0}
    return SpectralTiltSeries(
        counts, energy, np.zeros(1), 1.0, metadata=metadata, recipe=Recipe(Source(paths=('film.hspy',)))
    )


def test_one_half_of_a_simulated_standard_gives_the_composition_of_the_other(tmp_path: Path) -> None:
    one, other = (EDXMaps(elements=tuple(FAMILIES), holdout=0.0).run(flat_standard(seed)) for seed in (1, 2))
    first, second = (calibrate_factors(maps, 'Ge2Sb2Te5') for maps in (one, other))
    pulls = (first.values - second.values)[:2] / np.hypot(first.errors, second.errors)[:2]
    assert (np.abs(pulls) < 2.5).all() and (first.errors[:2] < 0.03 * first.values[:2]).all()

    table = first.save(tmp_path / 'factors')
    volume = Volume(other.data[:, :, None].sum(axis=(-1, -2), keepdims=True)[:, 0], other.channels, notes=other.notes)
    found = Composition(factor_table=str(table), smooth=0.0, least_counts=0.0).run(volume).notes['composition']
    for name, true in (('Ge', 22.22), ('Sb', 22.22), ('Te', 55.56)):
        error = np.hypot(found['error_of_mean_from_factors'][name], 100 * 0.01 * true / 100)
        assert abs(found['mean'][name] - true) < 2.5 * error
    assert found['factors_from'] == 'table' and found['factor_table']['standard'].startswith('Ge2Sb2Te5 (Ge 22.22')


def test_spectra_are_fitted_first_and_the_table_names_its_origin(tmp_path: Path) -> None:
    factors = calibrate_factors(
        flat_standard(3, 24), 'Ge 22.2, Sb 22.2, Te 55.6', StandardSettings(lines=('Ge_K', 'Sb_L', 'Te_L'))
    )
    path = factors.save(tmp_path / 'factors')
    assert path.name == 'factors.csv'
    table = read_factors(path)
    assert table.quantity == 'k-factors'
    np.testing.assert_allclose([table[family] for family in factors.families], factors.values, rtol=1e-5)
    np.testing.assert_allclose([row.error for row in table.rows.values()], factors.errors / factors.values, rtol=0.01)
    assert table.origin['files'] == 'film.hspy' and table.origin['beam energy, kev'] == '200'
    assert len(table.origin['date']) == 10 and table.origin['standard'].startswith('Ge 22.2, Sb 22.2')


def test_pixels_that_were_not_measured_and_the_gain_of_tilts_do_not_count() -> None:
    maps = maps_of(np.array([[90.0, 45.0], [60.0, 30.0]]), ('Ge', 'Te'), angles=(-10.0, 10.0))
    missing = np.zeros(maps.data.shape, bool)
    missing[0, :, :4] = True
    data = np.where(missing, 1e6, maps.data)
    changed = MapSeries(data, maps.angles, maps.channels, notes=maps.notes, missing=missing)
    whole, part = (calibrate_factors(each, 'GeTe').values for each in (maps, changed))
    np.testing.assert_allclose(part, whole, rtol=0.02)
    shaded = MapSeries(maps.data, maps.angles, maps.channels, notes=maps.notes, gain=np.array([[1.0, 0.5]] * 2))
    settings = StandardSettings('zeta', thickness=10.0, density=6.0, dose=Dose(1e8))
    zeta = calibrate_factors(shaded, 'GeTe', settings)
    assert zeta.values[0] == pytest.approx(
        zeta_of(90.0, 72.63 / 200.23, 6.0 * 10e-6 / np.cos(np.radians(10)), 1e8), rel=0.02
    )


def zeta_of(counts: float, fraction: float, areal: float, electrons: float) -> float:
    return fraction * areal * electrons / counts


def test_a_standard_that_is_not_even_is_doubted() -> None:
    maps = maps_of(1000 * WEIGHT / K)
    data = maps.data.copy()
    data[0, :, :, 12:] *= 0.7
    factors = calibrate_factors(MapSeries(data, maps.angles, maps.channels, notes=maps.notes), 'Ge2Sb2Te5')
    assert [(finding.level, finding.about) for finding in factors.findings][-1] == ('doubt', 'standard')
    assert factors.errors[0] > 0.02 * factors.values[0]


@pytest.mark.parametrize(
    ('composition', 'settings', 'sentence'),
    [
        ('Ge', StandardSettings(), 'k-factors are ratios of two elements, and this standard has Ge alone'),
        ('GeO2', StandardSettings(), 'The standard holds O, and its maps are of Ge_K, Sb_L, Te_L'),
        ('Ge2(Sb2)', StandardSettings(), 'is no composition'),
        ('Qq2Te', StandardSettings(), "There is no element 'Qq'"),
        ({'Ge': -1.0, 'Te': 2.0}, StandardSettings(), 'is no composition'),
        ('GeTe', StandardSettings('zeta', dose=Dose(1e8)), 'Zeta-factors need the mass of the standard'),
        ('GeTe', StandardSettings('zeta', thickness=10.0, density=6.0), 'needs the dose'),
        ('GeTe', StandardSettings(lines=('Ge_L', 'Te_L')), 'The standard holds Ge, and its maps are of'),
    ],
)
def test_what_is_no_standard_is_one_sentence(composition, settings: StandardSettings, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace('(', r'\(')):
        calibrate_factors(maps_of(1000 * WEIGHT / K), composition, settings)


def test_a_pure_film_gives_its_zeta_factor() -> None:
    maps = maps_of([400.0], ('Ge',), {'lines': {'Ge': 'Ge_K'}})
    settings = StandardSettings('zeta', thickness=10.0, density=5.32, dose=Dose(1e9), elevation=18.0)
    (value,) = calibrate_factors(maps, 'Ge', settings).values
    assert value == pytest.approx(5.32 * 10e-6 * 1e9 / 400.0, rel=0.01)


def test_an_element_without_counts_and_windows_are_refused() -> None:
    with pytest.raises(InputError, match='no counts of Sb_L'):
        calibrate_factors(maps_of([100.0, 0.0, 100.0]), 'Ge2Sb2Te5')
    series = simulate.edx_tilt_series(simulate.lamella(16), [-20, 0, 20]).series
    windows = EDXMaps(elements=tuple(FAMILIES), deliver='window counts').run(series)
    with pytest.raises(InputError, match='calibrated on fitted maps'):
        calibrate_factors(windows, 'Ge2Sb2Te5')


@pytest.mark.parametrize(
    ('text', 'atoms'),
    [
        ('FeO', {'Fe': 0.5, 'O': 0.5}),
        ('Al50Ni50', {'Al': 0.5, 'Ni': 0.5}),
        ('Fe 70, Pt 30', {'Fe': 0.7, 'Pt': 0.3}),
        ('Fe: 70 %; Pt: 30 %', {'Fe': 0.7, 'Pt': 0.3}),
        ('Ge.5Te1.5 at.%', {'Ge': 0.25, 'Te': 0.75}),
        ('Fe 40.046, Pt 59.954 wt.%', {'Fe': 0.7, 'Pt': 0.3}),
    ],
)
def test_compositions_as_people_write_them(text: str, atoms: dict[str, float]) -> None:
    weights = {'Fe': 55.845, 'O': 15.999, 'Al': 26.982, 'Ni': 58.693, 'Pt': 195.084, 'Ge': 72.63, 'Te': 127.6}
    found = {name: mass / weights[name] for name, mass in KnownComposition.of(text).masses.items()}
    assert {name: n / sum(found.values()) for name, n in found.items()} == pytest.approx(atoms, rel=1e-3)
