"""Factors of lines and of families, from tables, typed, calculated: one specimen, one composition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import Composition, Recipe, Volume
from napari_diptomo.assess.channel_factors import FactorSettings, channel_factors
from napari_diptomo.series import InputError, load
from napari_diptomo.spectra.edx.k_factors import k_factors, zeta_factors

#: Of eXSpy's example of Fe-Pt particles, for Fe Ka and Pt La.
FE, PT = 1.450226, 5.075602
#: Shares of the alpha lines by eXSpy's tables, and counts of the families.
SHARES = np.array([1 / 1.1272, 0.50236])
COUNTS = np.array([400.0, 300.0])
EXACT = {'smooth': 0.0, 'least_counts': 0.0, 'least_share': 0.0}
FAMILIES = {'Fe': 'Fe_K', 'Pt': 'Pt_L'}


def volume(channels=('Fe', 'Pt'), notes=None, counts=COUNTS) -> Volume:
    data = np.broadcast_to(np.asarray(counts)[:, None, None, None], (2, 3, 3, 3))
    return Volume(data, channels, notes={'lines': FAMILIES, 'tilts': 17} if notes is None else notes, recipe=Recipe())


def iron(counts: np.ndarray) -> float:
    """at.% by Cliff and Lorimer from counts of the alpha lines."""
    atoms = counts * [FE, PT] / np.array([55.845, 195.084])
    return 100 * atoms[0] / atoms.sum()


def table(folder: Path, text: str, name: str = 'k.csv') -> str:
    (folder / name).write_text(text)
    return str(folder / name)


OF_LINES = iron(COUNTS * SHARES)
OF_FAMILIES = iron(COUNTS)


@pytest.mark.parametrize(
    'fields',
    [
        {'k_factors': (FE, PT), 'factors_of': 'alpha line'},
        {'k_factors': (FE, PT), 'lines': ('Fe_Ka', 'Pt_La')},
        {'table': 'Fe_Ka, 1.450226\nPt_La, 5.075602\n'},
        {'table': 'line;k\nFe-KA1;1,450226\nPt-LA1;5,075602\n'},
        {'table': 'Fe_K, 1.450226\nPt_L, 5.075602\n', 'factors_of': 'alpha line'},
        {'json': {'Fe_Ka': FE, 'Pt_La': PT}},
        {'k_factors': tuple(SHARES * [FE, PT]), 'factors_of': 'family'},
        {'k_factors': tuple(SHARES * [FE, PT])},
    ],
    ids=lambda fields: '-'.join(fields),
)
def test_every_way_of_giving_factors_of_lines_gives_one_composition(fields: dict, tmp_path: Path) -> None:
    fields = dict(fields)
    if 'table' in fields:
        fields['factor_table'] = table(tmp_path, fields.pop('table'))
    if 'json' in fields:
        fields['factor_table'] = table(tmp_path, json.dumps(fields.pop('json')), 'k.json')
    found = Composition(**fields, **EXACT).run(volume())
    np.testing.assert_allclose(found.data[0], OF_LINES, rtol=2e-4)
    assert OF_LINES - OF_FAMILIES > 10


def test_factors_of_families_stay_what_they_were(tmp_path: Path) -> None:
    """Recipes of earlier versions say nothing of lines: typed factors and tables of families keep their meaning."""
    typed = Composition(k_factors=(FE, PT), **EXACT).run(volume())
    listed = Composition(factor_table=table(tmp_path, 'Fe_K, 1.450226\nPt_L, 5.075602\n'), **EXACT).run(volume())
    for found in (typed, listed):
        np.testing.assert_allclose(found.data[0], OF_FAMILIES, rtol=1e-5)
        (note,) = [finding for finding in found.findings if finding.about == 'factors of families']
        assert note.level == 'note' and note.remedy.changes == {'factors_of': 'alpha line'}
        assert note.evidence['share Pt-La'] == pytest.approx(0.5024, abs=1e-3)
    sure = Composition(k_factors=(FE, PT), factors_of='family', **EXACT).run(volume())
    np.testing.assert_array_equal(sure.data, typed.data)
    assert sure.findings == ()


def test_what_was_converted_is_said_and_saved(tmp_path: Path) -> None:
    step = Composition(factor_table=table(tmp_path, 'Fe_Ka, 1.450226\nPt_La, 5.075602\n'), **EXACT)
    step.run(volume()).save(tmp_path / 'made.hspy')
    found = load(tmp_path / 'made.hspy')
    (note,) = found.findings
    assert note.about == 'factors of lines' and 'Fe-Ka 0.89, Pt-La 0.50' in note.sentence
    assert found.notes['composition']['factors_as_given'] == {'Fe_Ka': FE, 'Pt_La': PT}
    np.testing.assert_allclose(list(found.notes['composition']['factors'].values()), SHARES * [FE, PT], rtol=1e-4)
    assert found.recipe.steps[-1].factors_of == 'as named'


def test_counts_of_a_line_take_the_factor_of_the_line() -> None:
    """Intensities of eXSpy: maps that are named after lines and come without a record of a fit."""
    of_lines = volume(('Fe_Ka', 'Pt_La'), {'tilts': 1}, COUNTS * SHARES)
    found = Composition(k_factors=(FE, PT), factors_of='alpha line', **EXACT).run(of_lines)
    np.testing.assert_allclose(found.data[0], OF_LINES, rtol=2e-4)
    calculated = Composition(**EXACT).run(of_lines).data
    np.testing.assert_allclose(calculated, Composition(**EXACT).run(volume()).data, rtol=2e-4)


def test_a_channel_named_after_a_line_counts_the_family_that_was_fitted() -> None:
    notes = {'lines': {'Fe_Ka': 'Fe_K', 'Pt_La': 'Pt_L'}}
    found = Composition(k_factors=(FE, PT), factors_of='alpha line', **EXACT).run(volume(('Fe_Ka', 'Pt_La'), notes))
    np.testing.assert_allclose(found.data[0], OF_LINES, rtol=2e-4)


def test_calculated_factors_shown_for_lines_mean_the_same() -> None:
    families = channel_factors(('Fe', 'Pt'), {'lines': FAMILIES}, FactorSettings())
    lines = channel_factors(('Fe', 'Pt'), {'lines': FAMILIES}, FactorSettings(of='alpha line'))
    np.testing.assert_allclose(lines.values, families.values)
    assert lines.names == ('Fe_Ka', 'Pt_La')
    np.testing.assert_allclose(lines.named * SHARES, families.named, rtol=2e-4)


def test_cross_sections_are_zeta_factors_in_barn_as_exspy_has_it() -> None:
    from exspy.utils.eds import zeta_to_cross_section

    zeta = (900.0, 1500.0)
    barn = tuple(zeta_to_cross_section(list(zeta), ['Fe', 'Pt']))
    fields = {'electrons': 1e8, 'with_density': True, 'factors_of': 'alpha line', **EXACT}
    by_zeta = Composition(method='zeta', zeta_factors=zeta, **fields).run(volume())
    by_section = Composition(method='cross section', cross_sections=barn, **fields).run(volume())
    np.testing.assert_allclose(by_section.data, by_zeta.data, rtol=1e-5)
    mass = (COUNTS * SHARES) @ zeta
    np.testing.assert_allclose(by_section.data[2], 1e-3 * mass / (1e8 * 1e-9), rtol=2e-4)


def test_calculated_cross_sections_give_what_calculated_zeta_factors_give() -> None:
    fields = {'electrons': 1e8, 'solid_angle': 0.7, 'with_density': True, **EXACT}
    found = [Composition(method=method, **fields).run(volume()).data for method in ('zeta', 'cross section')]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_table_serves_every_method_that_it_can(tmp_path: Path) -> None:
    zeta = zeta_factors(('Fe_K', 'Pt_L'), 0.7)
    path = table(tmp_path, f'line, zeta (kg/m^2)\nFe_K, {zeta[0]}\nPt_L, {zeta[1]}\n')
    ratio = Composition(factor_table=path, factors_of='family', **EXACT).run(volume())
    np.testing.assert_allclose(ratio.data, Composition(**EXACT).run(volume()).data, rtol=1e-4)
    section = Composition(method='cross section', factor_table=path, electrons=1e8, with_density=True, **EXACT)
    direct = Composition(method='zeta', factor_table=path, electrons=1e8, with_density=True, **EXACT)
    np.testing.assert_allclose(section.run(volume()).data, direct.run(volume()).data, rtol=1e-5)
    k = table(tmp_path, 'line, k-factor\nFe_K, 1\nPt_L, 2\n', 'k.csv')
    with pytest.raises(InputError, match=r'k\.csv holds k-factors, and the method zeta needs zeta-factors'):
        Composition(method='zeta', factor_table=k, electrons=1.0).run(volume())


def test_errors_and_beam_of_a_table(tmp_path: Path) -> None:
    text = '# quantity: k-factors\n# beam energy, keV: 300\nFe_K, 1.3, 0.026\nPt_L, 2.5, 0.0\n'
    notes = {'lines': FAMILIES, 'beam_energy_keV': 200.0}
    found = Composition(factor_table=table(tmp_path, text), **EXACT).run(volume(notes=notes))
    fraction = found.data[0, 0, 0, 0] / 100
    error = found.notes['composition']['error_of_mean_from_factors']['Fe']
    assert error == pytest.approx(100 * 0.02 * fraction * (1 - fraction), rel=1e-3)
    (doubt,) = found.findings
    assert doubt.level == 'doubt' and 'measured at 300 keV, and these maps at 200 keV' in doubt.sentence


def test_factors_of_channels_without_x_ray_lines_are_used_as_they_are() -> None:
    edges = Volume(np.ones((2, 3, 3, 3)), ('O_K1', 'Fe_L23'))
    found = Composition(k_factors=(1.0, 2.0), unit='wt.%', **EXACT).run(edges)
    np.testing.assert_allclose(found.data[1], 200 / 3, rtol=1e-5)


def test_a_line_that_there_is_not_is_one_sentence() -> None:
    with pytest.raises(InputError, match='There is no line Fe_Kx; the family Fe_K has Fe_Kb, Fe_Ka'):
        Composition(k_factors=(1, 2), lines=('Fe_Kx', 'Pt_La')).run(volume())


def test_k_factors_of_the_families_are_the_default() -> None:
    found = channel_factors(('Fe', 'Pt'), {'lines': FAMILIES}, FactorSettings())
    np.testing.assert_allclose(found.values, k_factors(('Fe_K', 'Pt_L')))
    assert found.names == ('Fe_K', 'Pt_L')
