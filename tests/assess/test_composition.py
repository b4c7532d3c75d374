"""Compositions with known answers: exact ratios, textbook percentages, Monte Carlo, absorption in a closed form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import SIRT, Composition, MapSeries, Recipe, Volume, run
from napari_diptomo.assess import region_composition
from napari_diptomo.assess.fractions import counting_error, fractions, pooled, pooled_voxels, typical
from napari_diptomo.jobs.commands import report
from napari_diptomo.series import Cancelled, InputError, Observer, Request, load
from napari_diptomo.spectra.edx.absorption import absorption_coefficients
from napari_diptomo.spectra.edx.k_factors import k_factors, zeta_factors

LINES = {'Ge': 'Ge_K', 'Sb': 'Sb_L', 'Te': 'Te_L'}
K = (1.3, 1.0, 1.2)
MASSES = np.array([72.63, 121.76, 127.60])
#: Ge2Sb2Te5, as textbooks have it.
ATOMIC = np.array([22.22, 22.22, 55.56])
WEIGHT = np.array([14.15, 23.72, 62.13])
EXACT = {'smooth': 0.0, 'least_counts': 0.0}


def volume_of(intensities: np.ndarray, shape: tuple[int, ...] = (6, 6, 6), **parts) -> Volume:
    """The same counts in every voxel."""
    data = np.broadcast_to(np.asarray(intensities, float)[:, None, None, None], (len(intensities), *shape))
    values = {'notes': {'lines': LINES, 'tilts': 17, 'max_tilt': [-40.0, 40.0]}, **parts}
    return Volume(data, ('Ge', 'Sb', 'Te'), 2.0, **values)


def gst(total: float = 30.0, k: tuple[float, ...] = K) -> np.ndarray:
    counts = WEIGHT / np.array(k)
    return total * counts / counts.sum()


@pytest.mark.parametrize(('unit', 'expected'), [('wt.%', WEIGHT), ('at.%', ATOMIC)])
def test_cliff_lorimer_gives_ge2sb2te5(unit: str, expected: np.ndarray) -> None:
    found = Composition(k_factors=K, unit=unit, **EXACT).run(volume_of(gst()))
    np.testing.assert_allclose(found.data[:, 3, 3, 3], expected, atol=0.01)
    np.testing.assert_allclose(found.data.sum(axis=0), 100, rtol=1e-5)
    assert found.notes['composition']['units'] == dict.fromkeys(LINES, unit)
    assert found.notes['composition']['factors'] == dict(zip(LINES, K, strict=True))


def test_only_ratios_of_k_factors_count() -> None:
    one = Composition(k_factors=K, **EXACT).run(volume_of(gst()))
    other = Composition(k_factors=tuple(7.3 * k for k in K), **EXACT).run(volume_of(gst()))
    np.testing.assert_allclose(one.data, other.data, rtol=1e-5)


def test_calculated_factors_are_those_of_the_lines_that_the_maps_name() -> None:
    k = k_factors(tuple(LINES.values()))
    found = Composition(**EXACT).run(volume_of(gst(k=k)))
    np.testing.assert_allclose(found.data[:, 0, 0, 0], ATOMIC, atol=0.01)
    notes = found.notes['composition']
    assert (
        notes['factors_from'] == 'calculated'
        and notes['factor_errors'] == {'Ge': 0.1, 'Sb': 0.15, 'Te': 0.15}
        and notes['lines'] == LINES
    )
    with_l = Composition(lines=('Ge_L', 'Sb_L', 'Te_L'), **EXACT).run(volume_of(gst(k=k)))
    assert with_l.data[0, 0, 0, 0] < found.data[0, 0, 0, 0] - 5


def test_lines_may_be_the_names_of_the_channels() -> None:
    k = k_factors(('Ge_K', 'Te_L'))
    volume = Volume(np.ones((2, 3, 3, 3)), ('Ge_K', 'Te_L'))
    found = Composition(unit='wt.%', **EXACT).run(volume)
    np.testing.assert_allclose(found.data[:, 0, 0, 0], [100 * k[0] / sum(k), 100 * k[1] / sum(k)], rtol=1e-5)


def test_factors_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / 'k.json'
    path.write_text(json.dumps(dict(zip(LINES.values(), K, strict=True))))
    found = Composition(factor_table=str(path), **EXACT).run(volume_of(gst()))
    np.testing.assert_allclose(found.data[:, 0, 0, 0], ATOMIC, atol=0.01)
    assert found.notes['composition']['factors_from'] == 'table'


def test_zeta_gives_composition_and_density_back() -> None:
    """Counts of a known density and dose by the definition of zeta, with numbers of their own for each unit."""
    zeta = (900.0, 700.0, 820.0)
    current, live_time, density, size = 0.5, 0.02, 5.9, 2.0
    electrons = current * 1e-9 * live_time / 1.602176634e-19
    mass_thickness = density * 1000 * size * 1e-9
    counts = WEIGHT / 100 * mass_thickness * electrons / np.array(zeta)
    step = Composition(
        method='zeta', zeta_factors=zeta, beam_current=current, live_time=live_time, with_density=True, **EXACT
    )
    volume = volume_of(counts)
    found = step.run(volume)
    assert found.channels == ('Ge', 'Sb', 'Te', 'density')
    np.testing.assert_allclose(found.data[:3, 0, 0, 0], ATOMIC, atol=0.01)
    np.testing.assert_allclose(found.data[3], density, rtol=1e-4)
    assert found.notes['composition']['density_g_cm3'] == pytest.approx(density, rel=1e-4)
    region = region_composition(volume, np.ones((6, 6, 6), bool), step)
    assert region.density == pytest.approx(density, rel=1e-4)
    by_dose = step.model_copy(update={'beam_current': None, 'live_time': None, 'electrons': electrons}).run(volume)
    np.testing.assert_allclose(by_dose.data, found.data, rtol=1e-6)


def test_calculated_zeta_factors_take_the_solid_angle() -> None:
    zeta = zeta_factors(tuple(LINES.values()), 0.7)
    counts = WEIGHT / 100 * 5.9e3 * 2e-9 * 1e6 / np.array(zeta)
    step = Composition(method='zeta', solid_angle=0.7, electrons=1e6, with_density=True, **EXACT)
    np.testing.assert_allclose(step.run(volume_of(counts)).data[:, 0, 0, 0], [*ATOMIC, 5.9], atol=0.01)


@pytest.mark.parametrize('unit', ['at.%', 'wt.%'])
def test_errors_propagate_as_monte_carlo_has_it(unit: str) -> None:
    std = np.array([0.6, 0.5, 1.1])
    means = gst()
    step = Composition(k_factors=K, unit=unit, **EXACT)
    stated = step.run(volume_of(means, std=volume_of(std).data)).std[:, 0, 0, 0]
    draws = np.random.default_rng(1).normal(means[:, None, None, None], std[:, None, None, None], (3, 30, 30, 30))
    scattered = step.run(Volume(draws, ('Ge', 'Sb', 'Te'), notes={'lines': LINES})).data
    np.testing.assert_allclose(stated, scattered.std(axis=(1, 2, 3)), rtol=0.03)


@pytest.mark.parametrize('smooth', [0.0, 0.8])
def test_counting_errors_are_those_of_poisson_counts_pooled(smooth: float) -> None:
    """Where the volume IS the mean of Poisson counts of the tilts the lower bound is reached."""
    tilts, means = 17, gst(8.0)
    rng = np.random.default_rng(2)
    counts = rng.poisson(tilts * means[:, None, None, None], (3, 28, 28, 28)) / tilts
    volume = Volume(counts, ('Ge', 'Sb', 'Te'), notes={'lines': LINES, 'tilts': tilts})
    found = Composition(k_factors=K, smooth=smooth, least_counts=0.0).run(volume)
    inner = (slice(None), *[slice(4, -4)] * 3)
    np.testing.assert_allclose(found.std[inner].mean(axis=(1, 2, 3)), found.data[inner].std(axis=(1, 2, 3)), rtol=0.08)
    assert 'lower bound' in found.notes['composition']['errors']


def test_pooled_voxels_of_a_wide_gaussian() -> None:
    assert pooled_voxels(0.0) == 1 and pooled_voxels(2.0) == pytest.approx((4 * np.sqrt(np.pi)) ** 3, rel=0.01)


def test_a_spread_is_not_made_smaller_by_pooling() -> None:
    std = volume_of([0.6, 0.5, 1.1]).data
    volume = volume_of(gst(), std=std)
    one, pooled = (Composition(k_factors=K, smooth=s).run(volume).std for s in (0.0, 1.5))
    np.testing.assert_allclose(one, pooled, rtol=1e-4)


def specimen(inside: float = 20.0, outside: float = 0.0) -> Volume:
    data = np.full((3, 12, 12, 12), outside / 3)
    data[:, 4:8] = gst(inside)[:, None, None, None]
    return Volume(data, ('Ge', 'Sb', 'Te'), notes={'lines': LINES, 'tilts': 17})


def test_voxels_without_specimen_are_masked() -> None:
    found = Composition(k_factors=K, smooth=0.0).run(specimen(outside=0.05))
    valid = (found.data != 0).any(axis=0)
    assert valid[4:8].all() and not valid[:4].any() and not valid[8:].any()
    assert (found.std[:, ~valid] == 0).all() and (found.std[:, valid] > 0).all()
    notes = found.notes['composition']
    assert notes['masked_share'] == pytest.approx(2 / 3) and notes['masked'].startswith('66.7 % of the voxels')
    np.testing.assert_allclose(list(notes['mean'].values()), ATOMIC, atol=0.01)


def test_the_mask_follows_the_error_that_may_be() -> None:
    """340 photons in all: 5.4 %."""
    volume = specimen(inside=20.0)
    assert (Composition(k_factors=K, smooth=0.0, largest_error=0.055).run(volume).data[0, 5] > 0).all()
    with pytest.raises(InputError, match=r'relative error of 0\.054'):
        Composition(k_factors=K, smooth=0.0, largest_error=0.054).run(volume)


def test_least_counts_alone_decide_when_given() -> None:
    volume = specimen(inside=20.0, outside=3.0)
    count = [(Composition(k_factors=K, smooth=0.0, least_counts=n).run(volume).data[0] > 0).mean() for n in (2.9, 3.1)]
    assert count == pytest.approx([1.0, 1 / 3])


def test_negative_counts_are_not_clipped() -> None:
    """A linear reconstruction scatters about zero where an element is not; so do percentages, to second order."""
    rng = np.random.default_rng(3)
    data = np.array([0.0, 10.0, 20.0])[:, None, None, None] + rng.normal(0, 1.0, (3, 20, 20, 20))
    found = Composition(k_factors=(1, 1, 1), **EXACT).run(Volume(data, ('Ge', 'Sb', 'Te'), notes={'lines': LINES}))
    assert (found.data[0] < 0).mean() == pytest.approx(0.5, abs=0.02)
    second_order = -100 * (1 / MASSES[0]) ** 2 / (10 / MASSES[1] + 20 / MASSES[2]) ** 2
    assert found.data[0].mean() == pytest.approx(second_order, abs=0.15)


def test_what_the_k_factors_leave_open_is_reported() -> None:
    """By Monte Carlo over the factors."""
    notes = Composition(k_factors=K, factor_error=0.1, **EXACT).run(volume_of(gst())).notes['composition']
    k = np.array(K) * (1 + 0.1 * np.random.default_rng(4).normal(size=(20000, 3)))
    atoms = k * gst() / MASSES
    expected = (100 * atoms / atoms.sum(axis=1, keepdims=True)).std(axis=0)
    np.testing.assert_allclose(list(notes['error_of_mean_from_factors'].values()), expected, rtol=0.06)


def test_absorption_of_a_film_is_undone() -> None:
    """Ge L of a 100 nm film, 5.9 g/cm^3, one detector straight above: the closed form of a slab and Beer-Lambert."""
    lines = ('Ge_L', 'Sb_L', 'Te_L')
    macs = absorption_coefficients(lines, ('Ge', 'Sb', 'Te')) @ (WEIGHT / 100)
    size, layers = 5.0, 20
    depth = macs[:, None] * 5.9 * size * 1e-7
    share = np.exp(-depth * np.arange(layers)) * -np.expm1(-depth) / depth
    counts = (gst()[:, None] * share)[:, :, None, None] * np.ones((1, 1, 5, 5))
    volume = Volume(counts, ('Ge', 'Sb', 'Te'), size, notes={'lines': dict(zip(LINES, lines, strict=True)), 'tilts': 1})
    fields = {'k_factors': K, 'elevation': 90.0, 'azimuths': (0.0,), 'density': 5.9, **EXACT}
    raw = Composition(**fields).run(volume)
    assert raw.data[0, -1].mean() < ATOMIC[0] - 3
    corrected = Composition(absorption=True, **fields).run(volume)
    np.testing.assert_allclose(corrected.data.mean(axis=(2, 3)), np.broadcast_to(ATOMIC[:, None], (3, 20)), atol=0.15)
    assert f'Ge {100 * (1 - share[0].mean()):.1f} %' in corrected.notes['composition']['absorption']
    assert raw.notes['composition']['absorption'] == 'not corrected'


def exspy_percent(intensities: np.ndarray, k: tuple[float, ...], elevation: float, thickness: float) -> np.ndarray:
    """at.% of Al and Ni by eXSpy's own Cliff-Lorimer with its correction for absorption."""
    import exspy

    signal = exspy.signals.EDSTEMSpectrum(np.ones(1024))
    signal.axes_manager[-1].scale, signal.axes_manager[-1].units = 0.01, 'keV'
    signal.set_microscope_parameters(beam_energy=200)
    signal.set_elements(['Al', 'Ni'])
    signal.set_lines(['Al_Ka', 'Ni_Ka'])
    parts = signal.get_lines_intensity()
    for part, value in zip(parts, intensities, strict=True):
        part.data = np.array([value])
    found = signal.quantification(
        parts, 'CL', list(k), absorption_correction=True, take_off_angle=elevation, thickness=thickness,
        convergence_criterion=0.01, show_progressbar=False,
    )  # fmt: skip
    return np.array([float(part.data.squeeze()) for part in found[0]])


@pytest.mark.parametrize('elevation', [18.0, 35.0, 40.0])
def test_absorption_in_200_nm_of_al_ni_is_corrected_as_exspy_does(elevation: float) -> None:
    """The elevation is that of the files; the density the mean by mass, which eXSpy takes. True are 50 at.% of Al."""
    k, size, layers = (1.0, 1.5), 10.0, 20
    weight = np.array([26.98, 58.69]) / 85.67
    density = float((weight * [2.7, 8.908]).sum())
    macs = absorption_coefficients(('Al_K', 'Ni_K'), ('Al', 'Ni')) @ weight
    depth = macs[:, None] * density * size * 1e-7 / np.sin(np.radians(elevation))
    share = np.exp(-depth * np.arange(layers)) * -np.expm1(-depth) / depth
    counts = (100 * weight / k)[:, None] * share
    notes = {'lines': {'Al': 'Al_K', 'Ni': 'Ni_K'}, 'tilts': 1, 'detector_position': {'elevation_deg': elevation}}
    volume = Volume(counts[:, :, None, None] * np.ones((1, 1, 4, 4)), ('Al', 'Ni'), size, notes=notes)
    step = Composition(k_factors=k, factors_of='family', absorption=True, density=density, **EXACT)
    found = step.run(volume)
    mean = found.data.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(mean, 50.0, atol=0.4)
    # eXSpy knows the thickness and one absorption coefficient per line.
    np.testing.assert_allclose(mean, exspy_percent(counts.sum(axis=1), k, elevation, 200.0), atol=0.6)
    assert f'elevation {elevation:g}° (file)' in found.notes['composition']['absorption']
    assert found.findings == ()
    if elevation == 35.0:
        wrong = step.model_copy(update={'elevation': 18.0}).run(volume)
        assert wrong.data[0].mean() > 54
        assert [finding.about for finding in wrong.findings] == ['detector elevation']


def test_a_density_that_nobody_gives_is_estimated_and_said() -> None:
    """Of Al50Ni50 as a mixture: 1 / (w_Al / 2.70 + w_Ni / 8.91) = 5.17 g/cm^3."""
    counts = np.array([26.98, 58.69]) / 10
    volume = Volume(np.broadcast_to(counts[:, None, None, None], (2, 6, 4, 4)), ('Al', 'Ni'), 5.0)
    fields = {'lines': ('Al_K', 'Ni_K'), 'k_factors': (1.0, 1.0), 'factors_of': 'family', 'elevation': 35.0, **EXACT}
    found = Composition(absorption=True, **fields).run(volume)
    (note,) = found.findings
    assert note.about == 'density' and note.evidence['density assumed, g/cm3'] == pytest.approx(5.17, rel=0.03)
    given = Composition(absorption=True, density=note.evidence['density assumed, g/cm3'], **fields).run(volume)
    np.testing.assert_allclose(given.data, found.data, atol=0.1)


def test_absorption_by_densities_that_zeta_factors_give() -> None:
    """The film again, its density not given: it and the composition come from counts that the definition of zeta makes."""
    lines, zeta, electrons = ('Ge_L', 'Sb_L', 'Te_L'), np.array([900.0, 700.0, 820.0]), 2e6
    macs = absorption_coefficients(lines, ('Ge', 'Sb', 'Te')) @ (WEIGHT / 100)
    size, layers, density = 5.0, 20, 5.9
    depth = macs[:, None] * density * size * 1e-7
    share = np.exp(-depth * np.arange(layers)) * -np.expm1(-depth) / depth
    emitted = WEIGHT / 100 * density * 1000 * size * 1e-9 * electrons / zeta
    counts = (emitted[:, None] * share)[:, :, None, None] * np.ones((1, 1, 5, 5))
    volume = Volume(counts, ('Ge', 'Sb', 'Te'), size, notes={'lines': dict(zip(LINES, lines, strict=True)), 'tilts': 1})
    fields = {'method': 'zeta', 'zeta_factors': tuple(zeta), 'electrons': electrons, 'with_density': True, **EXACT}
    raw = Composition(**fields).run(volume)
    assert raw.data[3, -1].mean() < 0.97 * density
    corrected = Composition(absorption=True, elevation=90.0, azimuths=(0.0,), **fields).run(volume)
    expected = np.broadcast_to(np.array([*ATOMIC, density])[:, None], (4, layers))
    np.testing.assert_allclose(corrected.data.mean(axis=(2, 3)), expected, atol=0.15)
    np.testing.assert_allclose(corrected.data[3], density, rtol=3e-3)


def test_a_recipe_carries_it_and_a_file_keeps_it(tmp_path: Path) -> None:
    recipe = Recipe(steps=(Composition(k_factors=K, **EXACT),))
    path = recipe.save(tmp_path / 'recipe.json') or tmp_path / 'recipe.json'
    found = run(path, data=volume_of(gst()))
    found.save(tmp_path / 'composition.hspy')
    back = load(tmp_path / 'composition.hspy')
    np.testing.assert_allclose(back.data, found.data)
    assert back.notes['composition']['units'] == dict.fromkeys(LINES, 'at.%')
    assert back.recipe.steps[-1] == recipe.steps[-1]


def test_the_lines_of_the_maps_come_through_the_reconstruction() -> None:
    notes = {'lines': {'Ge': 'Ge_L', 'Te': 'Te_L'}, 'beam_energy_keV': 80.0}
    maps = MapSeries(np.full((2, 3, 4, 8), 40.0), [-20.0, 0.0, 20.0], ('Ge', 'Te'), notes=notes)
    found = run(Recipe(steps=(SIRT(iterations=3, holdout=0.0), Composition())), data=maps).notes['composition']
    assert list(found['factors'].values()) == list(k_factors(('Ge_L', 'Te_L'), 80.0))
    assert 'of 3 tilts' in found['errors']


def test_cancel_is_obeyed_within_the_absorption() -> None:
    class Canceller(Observer):
        asked = 0

        def request(self) -> Request:
            self.asked += 1
            return Request.CANCEL if self.asked > 5 else Request.GO

    observer = Canceller()
    with pytest.raises(Cancelled):
        Composition(k_factors=K, absorption=True, density=5.9).run(volume_of(gst()), observer)
    assert observer.asked == 6


@pytest.mark.parametrize(
    ('fields', 'parts', 'sentence'),
    [
        ({'k_factors': (1.0, 2.0)}, {}, '2 k-factors for the 3 channels Ge, Sb, Te'),
        ({'method': 'zeta', 'zeta_factors': (1.0,), 'electrons': 1.0}, {}, '1 zeta-factors for the 3 channels'),
        ({}, {'notes': {}}, 'does not record which lines'),
        ({'lines': ('Ge_K',)}, {}, '1 line families for the 3 channels'),
        ({'lines': ('Ge_K', 'Sb_L', 'Qq_L'), 'k_factors': K}, {}, 'Te is no element'),
        ({'method': 'zeta', 'zeta_factors': K, 'with_density': True}, {}, 'needs the dose'),
        ({'method': 'zeta', 'electrons': 1e6}, {}, 'no zeta-factors'),
        ({'method': 'zeta', 'zeta_factors': K, 'absorption': True}, {}, 'needs the dose'),
        ({'k_factors': K, 'absorption': True, 'density': 5.0}, {'notes': {}}, 'needs the line families'),
        ({'k_factors': K, 'least_counts': 1e6}, {}, 'No voxel has the counts'),
    ],
)
def test_what_cannot_be_is_reported_in_a_sentence(fields: dict, parts: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Composition(**fields).run(volume_of(gst(), **parts))


@pytest.mark.parametrize(
    ('fields', 'sentence'),
    [
        ({'k_factors': (1.0, -1.0, 1.0)}, 'k-factors must be positive'),
        ({'k_factors': (1.0, float('nan'), 1.0)}, 'k-factors must be positive'),
        ({'with_density': True}, 'needs the method zeta'),
        ({'absorption': True, 'azimuths': ()}, 'at least one detector'),
    ],
)
def test_fields_that_cannot_be_are_reported_at_once(fields: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Composition(**fields)


@pytest.mark.parametrize(
    ('field', 'outside'),
    [
        ('solid_angle', 6.3),  # a hemisphere
        ('elevation', 90.5),  # straight above
        ('elevation', 0.0),
        ('density', 25.0),  # osmium: 22.6
        ('density', 0.0),
        ('electrons', 0.0),
        ('largest_error', 1.1),
        ('largest_error', 0.0),
        ('least_share', 1.0),
        ('factor_error', 1.0),
        ('least_counts', -1.0),
        ('smooth', 10.5),
        ('smooth', -0.1),
    ],
)
def test_what_no_specimen_or_detector_has_is_refused(field: str, outside: float) -> None:
    with pytest.raises(InputError, match=field):
        Composition(**{field: outside})


def test_one_element_and_no_counts_are_reported() -> None:
    with pytest.raises(InputError, match='at least two elements'):
        Composition().run(Volume(np.ones((1, 3, 3, 3)), ('Ge',)))
    with pytest.raises(InputError, match='No voxel has the counts'):
        Composition(k_factors=K).run(volume_of([0.0, 0.0, 0.0]))


def test_percentages_are_not_taken_for_counts() -> None:
    found = Composition(k_factors=K, **EXACT).run(volume_of(gst()))
    with pytest.raises(InputError, match='holds percentages already'):
        Composition(k_factors=K).run(found)


def test_the_terminal_shows_the_mean_composition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(Composition(k_factors=K, **EXACT).run(volume_of(gst())), tmp_path / 'composition.hspy')
    assert 'Ge 22.2, Sb 22.2, Te 55.6 at.%; masked: 0.0 % of the voxels' in ' '.join(capsys.readouterr().out.split())


def test_fractions_of_nothing_are_nothing() -> None:
    shares, errors = fractions(np.array([[0.0, 1.0], [0.0, -2.0]]), np.ones((2, 2)))
    assert (shares == 0).all() and (errors == 0).all()


def by_zeta(**fields) -> Composition:
    """Method zeta with 2e6 electrons per pixel, the density with it."""
    zeta = (900.0, 700.0, 820.0)
    return Composition(method='zeta', zeta_factors=zeta, electrons=2e6, with_density=True, **{**EXACT, **fields})


def test_the_error_of_the_density_is_that_of_three_independent_counts() -> None:
    """rho = sum_c zeta_c I_c / (D l): 2 nm voxels and 2e6 electrons; 1 kg/m^2 over 1 m are 1e-3 g/cm^3."""
    std = np.array([0.6, 0.5, 1.1])
    found = by_zeta().run(volume_of(gst(), std=volume_of(std).data))
    zeta = np.array([900.0, 700.0, 820.0])
    per_count = 1e-3 * zeta / (2e6 * 2e-9)
    np.testing.assert_allclose(found.data[3], per_count @ gst(), rtol=1e-5)
    np.testing.assert_allclose(found.std[3], np.sqrt((per_count**2) @ std**2), rtol=1e-5)


def test_the_density_of_masked_voxels_is_zero() -> None:
    found = by_zeta(least_counts=10.0).run(specimen(inside=20.0, outside=3.0))
    outside = np.r_[0:4, 8:12]
    for layers in (found.data, found.std):
        assert (layers[3, outside] == 0).all() and (layers[3, 4:8] > 0).all()
    assert found.notes['composition']['density_g_cm3'] == pytest.approx(float(found.data[3, 5, 5, 5]), rel=1e-5)


def test_counting_errors_without_a_number_of_tilts_are_those_of_one_image() -> None:
    """Two channels of 100 and 300 counts: f = 1/4, and sqrt(f (1 - f) / 400) of it by the binomial distribution."""
    volume = Volume(np.broadcast_to(np.array([100.0, 300.0])[:, None, None, None], (2, 3, 3, 3)), ('Ge_K', 'Te_L'))
    found = Composition(k_factors=(1.0, 1.0), unit='wt.%', **EXACT).run(volume)
    np.testing.assert_allclose(found.data[0], 25.0, rtol=1e-6)
    np.testing.assert_allclose(found.std[0], 100 * np.sqrt(0.25 * 0.75 / 400), rtol=1e-5)
    assert 'of 1 tilts' in found.notes['composition']['errors']


def test_fewer_than_one_photon_is_as_uncertain_as_one() -> None:
    np.testing.assert_allclose(counting_error(np.array([0.0, 1 / 34, 4 / 34]), 34.0), np.array([1, 1, 2]) / 34)


@pytest.mark.parametrize('scale', [1.0, 1e-6, 1e6])
def test_the_typical_value_is_weighted_by_itself_in_any_unit(scale: float) -> None:
    """(1 * 1 + 3 * 3) / (1 + 3); what is negative does not count."""
    assert typical(scale * np.array([1.0, 3.0, -2.0, 0.0])) == pytest.approx(2.5 * scale, rel=1e-12, abs=0)
    assert typical(np.array([0.0, -1.0])) == 0


@pytest.mark.parametrize('sigma', [0.8, 1.0, 1.7])
def test_pooling_is_a_gaussian_mean(sigma: float) -> None:
    point = np.zeros((21, 21, 21))
    point[10, 10, 10] = 1.0
    distance2 = sum((axis - 10.0) ** 2 for axis in np.indices(point.shape))
    gaussian = np.exp(-distance2 / (2 * sigma**2))
    np.testing.assert_allclose(pooled(point, sigma), gaussian / gaussian.sum(), atol=1e-5)
    np.testing.assert_array_equal(pooled(point, 0.0), point)
    # As many voxels as there are in one over the sum of the squared weights.
    assert pooled_voxels(sigma) == pytest.approx(gaussian.sum() ** 2 / (gaussian**2).sum(), rel=2e-3)


def test_counts_are_pooled_over_the_width_that_the_notes_give() -> None:
    """A sheet of one element between sheets of another: the fraction in the plane is the weight of a Gaussian there."""
    data = np.zeros((2, 21, 9, 9))
    data[1] = 50.0
    data[:, 10] = np.array([50.0, 0.0])[:, None, None]
    volume = Volume(data, ('Ge', 'Te'), 3.0, notes={'lines': {'Ge': 'Ge_K', 'Te': 'Te_L'}})
    found = Composition(k_factors=(1.0, 1.0), unit='wt.%', smooth=1.0, least_counts=0.0).run(volume)
    gaussian = np.exp(-(np.arange(-10.0, 11.0) ** 2) / 2)
    np.testing.assert_allclose(found.data[0, :, 4, 4], 100 * gaussian / gaussian.sum(), atol=0.02)
    assert found.notes['composition']['pooled_fwhm_nm'] == pytest.approx(np.sqrt(8 * np.log(2)) * 3.0, rel=1e-4)


def film(**parts) -> tuple[Volume, dict]:
    """100 nm of Ge2Sb2Te5 under one detector straight above, and how its absorption is corrected."""
    lines = ('Ge_L', 'Sb_L', 'Te_L')
    notes = {'lines': dict(zip(LINES, lines, strict=True))}
    volume = volume_of(gst(), (20, 4, 4), notes=notes, **parts)
    fields = {'k_factors': K, 'elevation': 90.0, 'azimuths': (0.0,), 'density': 5.9, 'absorption': True, **EXACT}
    return volume, fields


@pytest.mark.parametrize('scale', [1e-9, 1e3])
def test_the_absorption_depends_on_the_density_and_not_on_the_counts(scale: float) -> None:
    volume, fields = film()
    one = Composition(**fields).run(volume)
    other = Composition(**fields).run(Volume(volume.data * scale, volume.channels, 2.0, notes=volume.notes))
    np.testing.assert_allclose(other.data, one.data, rtol=1e-4)
    assert other.notes['composition']['absorption'] == one.notes['composition']['absorption']


def test_without_angles_the_absorption_is_that_of_one_image_at_zero_tilt() -> None:
    volume, fields = film()
    fields = {**fields, 'elevation': 18.0}
    one = Composition(**fields).run(volume)
    untilted, tilted = (
        Composition(**fields).run(
            Volume(volume.data, volume.channels, 2.0, notes={**volume.notes, 'max_tilt': [t, t], 'tilts': 1})
        )
        for t in (0.0, 5.0)
    )
    np.testing.assert_array_equal(one.data, untilted.data)
    assert np.abs(one.data - tilted.data).max() > 0.1


class Counter(Observer):
    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def report(self, progress) -> None:
        self.seen.append((progress.iteration, progress.total))


def test_progress_counts_up_to_what_was_announced() -> None:
    """The factors, three rounds of the absorption where it is corrected, the percentages."""
    volume, fields = film()
    with_absorption, without = Counter(), Counter()
    Composition(**fields).run(volume, with_absorption)
    Composition(**{**fields, 'absorption': False}).run(volume, without)
    assert [number for number, _ in with_absorption.seen][:4] == [1, 2, 3, 4]
    assert {total for _, total in with_absorption.seen} == {5}
    assert without.seen[0] == (1, 2) and {total for _, total in without.seen} == {2}


def test_errors_of_factors_are_the_user_s_word_where_there_is_one() -> None:
    given = Composition(k_factors=K, **EXACT).run(volume_of(gst())).notes['composition']
    assert given['factor_errors'] == dict.fromkeys(LINES, 0.0)
    assert list(given['error_of_mean_from_factors'].values()) == [0.0, 0.0, 0.0]
    stated = Composition(factor_error=0.05, **EXACT).run(volume_of(gst())).notes['composition']
    assert stated['factors_from'] == 'calculated' and stated['factor_errors'] == dict.fromkeys(LINES, 0.05)


@pytest.mark.parametrize('half', [{'beam_current': 0.5}, {'live_time': 0.02}])
def test_half_a_dose_is_none(half: dict[str, float]) -> None:
    with pytest.raises(InputError, match='beam current and live time'):
        Composition(method='zeta', zeta_factors=K, with_density=True, **half, **EXACT).run(volume_of(gst()))


def test_one_channel_without_a_line_is_one_too_many() -> None:
    with pytest.raises(InputError, match='does not record which lines'):
        Composition(**EXACT).run(volume_of(gst(), notes={'lines': {'Ge': 'Ge_K', 'Te': 'Te_L'}}))


def test_the_best_of_the_voxels_is_named_where_none_is_good_enough() -> None:
    """17 tilts of 4 and of 20 counts: 12.1 and 5.4 %."""
    data = np.concatenate([volume_of(gst(total)).data for total in (4.0, 20.0)], axis=1)
    volume = Volume(data, ('Ge', 'Sb', 'Te'), notes={'lines': LINES, 'tilts': 17})
    with pytest.raises(InputError, match=r'the best has a relative error of 0\.054'):
        Composition(k_factors=K, smooth=0.0, largest_error=0.05).run(volume)


def test_calculated_factors_of_m_lines_are_the_least_certain_at_200_kev_unless_the_maps_say_otherwise() -> None:
    lines = {'Pt': 'Pt_M', 'Sb': 'Sb_L', 'Te': 'Te_L'}
    volume = Volume(volume_of(gst()).data, tuple(lines), 2.0, notes={'lines': lines, 'tilts': 17})
    found = Composition(**EXACT).run(volume).notes['composition']
    assert found['factor_errors'] == {'Pt': 0.3, 'Sb': 0.15, 'Te': 0.15}
    assert list(found['factors'].values()) == list(k_factors(tuple(lines.values()), 200.0))


@pytest.mark.parametrize('known', [True, False])
def test_errors_grow_by_what_is_absorbed(known: bool) -> None:
    """A share T of the photons arrives: counts and errors are divided by T, whether a spread came along or not."""
    lines = ('Ge_L', 'Sb_L', 'Te_L')
    macs = absorption_coefficients(lines, ('Ge', 'Sb', 'Te')) @ (WEIGHT / 100)
    layers, density = 20, 5.9
    depth = macs[:, None] * density * 10e-7
    share = np.exp(-depth * np.arange(layers)) * -np.expm1(-depth) / depth
    arrived = gst()[:, None] * share
    std = np.broadcast_to([[0.6], [0.5], [1.1]], arrived.shape) if known else np.sqrt(arrived)
    notes = {'lines': dict(zip(LINES, lines, strict=True)), 'tilts': 1}

    def volume(values: np.ndarray, errors: np.ndarray | None) -> Volume:
        data, spread = (None if v is None else v[:, :, None, None] * np.ones((1, 1, 5, 5)) for v in (values, errors))
        return Volume(data, ('Ge', 'Sb', 'Te'), 10.0, std=spread, notes=notes)

    fields = {'k_factors': K, 'elevation': 90.0, 'azimuths': (0.0,), 'density': density, **EXACT}
    corrected = Composition(absorption=True, **fields).run(volume(arrived, std if known else None))
    expected = Composition(**fields).run(volume(arrived / share, std / share))
    np.testing.assert_allclose(corrected.std, expected.std, rtol=0.01)
    assert expected.std[0, -1, 0, 0] > 1.3 * expected.std[0, 0, 0, 0]


def test_the_error_from_factors_of_two_elements_is_a_closed_form() -> None:
    """f = 1/4 with 10 % on either factor: f (1 - f) 0.1 sqrt(2)."""
    volume = Volume(np.broadcast_to(np.array([100.0, 300.0])[:, None, None, None], (2, 3, 3, 3)), ('Ge_K', 'Te_L'))
    step = Composition(k_factors=(1.0, 1.0), unit='wt.%', factor_error=0.1, **EXACT)
    found = step.run(volume).notes['composition']['error_of_mean_from_factors']
    assert list(found.values()) == pytest.approx([100 * 0.25 * 0.75 * 0.1 * np.sqrt(2)] * 2, rel=1e-6)


def test_a_voxel_without_one_of_the_elements_has_a_composition() -> None:
    found = Composition(k_factors=K, **EXACT).run(volume_of(np.array([0.0, 10.0, 20.0])))
    assert (found.data[0] == 0).all() and (found.data[1:] > 30).all()
    assert found.notes['composition']['masked_share'] == 0


def test_few_counts_per_tilt_of_many_tilts_are_enough() -> None:
    """Half a count per tilt, 1600 tilts: 800 photons, 3.5 %."""
    volume = Volume(volume_of(gst(0.5)).data, tuple(LINES), 2.0, notes={'lines': LINES, 'tilts': 1600})
    found = Composition(k_factors=K, smooth=0.0, largest_error=0.036).run(volume)
    np.testing.assert_allclose(found.data[:, 3, 3, 3], ATOMIC, atol=0.01)
    with pytest.raises(InputError, match=r'the best has a relative error of 0\.035'):
        Composition(k_factors=K, smooth=0.0, largest_error=0.035).run(volume)


def test_a_script_that_names_no_numbers_means_these() -> None:
    """Other defaults would change the results of scripts that rely on them."""
    step = Composition()
    assert (step.smooth, step.largest_error, step.least_share, step.least_counts) == (1.0, 0.1, 0.1, None)
    # Of the files where they say it, else these.
    assert (step.elevation, step.azimuths) == (None, None)
    position = step.position({})
    assert (position.elevation, position.azimuths) == (18.0, (45.0, 135.0, 225.0, 315.0))
    assert (step.method, step.unit, step.window) == ('Cliff-Lorimer', 'at.%', 'windowless')
    assert not step.absorption and not step.with_density
