"""Tables of factors that users bring: as vendors, spreadsheets and programs write them."""

from __future__ import annotations

import json

import pytest

from napari_diptomo import Composition, Volume
from napari_diptomo.series import InputError
from napari_diptomo.spectra.edx.factor_tables import chosen_factors, read_factors
from napari_diptomo.spectra.edx.lines import split_name

#: eXSpy's example of Fe-Pt particles, of the alpha lines; by its tables the families have these.
FE, PT = 1.450226, 5.075602
FAMILIES = {'Fe_K': FE / 1.1272, 'Pt_L': PT * 0.50236}


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('k.csv', 'Ge_K, 1.32\nSb_L, 1\n'),
        ('k.csv', '# mine\nline,k\nGe_K,1.32\nSb_L,1.0\n'),
        ('k.csv', 'line;k\nGe_K;1,32\nSb_L;1,0\n'),
        ('k.csv', 'line, k, error\nGe_K, 1.32, 0.02\nSb_L, 1, 0\n'),
        ('k.csv', 'element;line;k\nGe;K;1.32\nSb;L;1\n'),
        ('k.txt', 'Ge K\t1.32\nSb L\t1\n'),
        ('k.json', json.dumps({'Ge_K': 1.32, 'Sb_L': 1})),
    ],
)
def test_tables_of_users(tmp_path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    table = read_factors(path)
    assert table == {'Ge_K': 1.32, 'Sb_L': 1.0}
    assert chosen_factors(table, ('Sb_L', 'Ge_K')) == (1.0, 1.32)
    with pytest.raises(InputError, match='none for Te_L, only for Ge_K, Sb_L'):
        chosen_factors(table, ('Sb_L', 'Te_L'))


def test_a_factor_of_a_line_becomes_that_of_its_family(tmp_path) -> None:
    """Mass is k I: of iron's K photons 1 in 1.1272 is Ka, of platinum's L photons about half are La (eXSpy's tables)."""
    path = tmp_path / 'k.csv'
    path.write_text('Fe_Ka, 1.450226\nPt_La, 5.075602\n')
    table = read_factors(path)
    assert table['Fe_K'] == pytest.approx(1.450226 / 1.1272, rel=1e-4)
    assert table['Pt_L'] == pytest.approx(5.075602 * 0.5024, rel=1e-3)
    assert (table.rows['Pt_L'].name, table.rows['Pt_L'].value) == ('Pt_La', 5.075602)


@pytest.mark.parametrize('name', ['Fe_Ka1', 'Fe-KA', 'Fe K\N{GREEK SMALL LETTER ALPHA}', 'Fe_Ka1,2'])
def test_spellings_of_the_alpha_line(tmp_path, name: str) -> None:
    path = tmp_path / 'k.tsv'
    path.write_text(f'{name}\t1.0\n', encoding='utf-8')
    assert read_factors(path)['Fe_K'] == pytest.approx(1 / 1.1272, rel=1e-4)


def test_a_cross_section_of_a_family_is_larger_than_that_of_its_line(tmp_path) -> None:
    path = tmp_path / 'sigma.csv'
    path.write_text('line, partial cross section (barn)\nFe_Ka, 10\n')
    table = read_factors(path)
    assert table.quantity == 'cross sections'
    assert table['Fe_K'] == pytest.approx(11.272, rel=1e-4)


def test_what_a_table_says_of_itself(tmp_path) -> None:
    path = tmp_path / 'k.csv'
    path.write_text('# quantity: zeta-factors, kg/m^2\n# beam energy, keV: 200\n# made by me\nGe_K, 900, 18\n')
    table = read_factors(path)
    assert table.quantity == 'zeta-factors'
    assert table.origin == {'quantity': 'zeta-factors, kg/m^2', 'beam energy, kev': '200'}
    assert table.rows['Ge_K'].error == pytest.approx(0.02)


@pytest.mark.parametrize(
    ('name', 'text', 'sentence'),
    [
        ('k.csv', 'Ge_K, 1.32\nSb_L, -1\n', 'Sb_L, -1'),
        ('k.csv', 'Ge_K, 1.32\nSb_L, about one\n', 'about one'),
        ('k.csv', 'Ge_K, 1.32\nGe_Ka, 1.3\n', 'two factors for Ge_K'),
        ('k.csv', 'line, k\n', 'holds no factors'),
        (
            'k.csv',
            'Ge_K, 1.32\nSb_Lq, 1\n',
            'k.csv cannot be used as it is: There is no line Sb_Lq; the family Sb_L has',
        ),
        ('k.csv', 'Ge_K, 1.32\nQq_K, 1\n', 'names Qq_K, and there is no such element'),
        ('k.csv', 'Ge_K, 1.32, 1.5\n', 'The error of Ge_K in k.csv is 1.5'),
        ('k.json', '[1, 2]', 'not a JSON table'),
        ('k.json', '{"Ge_K": ', 'not a JSON table'),
        ('k.json', '{"Ge_K": "NaN"}', 'positive factor'),
    ],
)
def test_tables_that_are_none(tmp_path, name: str, text: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_factors(path)


def test_a_table_that_is_not_there(tmp_path) -> None:
    with pytest.raises(InputError, match='cannot be read'):
        read_factors(tmp_path / 'none.csv')


@pytest.mark.parametrize(
    ('text', 'encoding'),
    [
        ('Element,Line,Energy (keV),k-factor\nFe,Ka,6.404,1.450226\nPt,La,9.442,5.075602\n', 'utf-8'),
        ('Fe,Ka,6.404,1.450226\nPt,La,9.442,5.075602\n', 'utf-8'),
        ('Element;Linie;E/eV;k\nFe;Ka;6404;1,450226\nPt;La;9442;5,075602\n', 'utf-8'),
        ('Z,Element,Line,k,error (%)\n26,Fe,Ka,1.450226,3\n78,Pt,La,5.075602,5\n', 'utf-8'),
        ('Element,k,Line\nFe,1.450226,Ka\nPt,5.075602,La\n', 'utf-8'),
        (
            'Line\tk\r\nFe K\N{GREEK SMALL LETTER ALPHA}\t1,450226\r\nPt L\N{GREEK SMALL LETTER ALPHA}\t5,075602\r\n',
            'utf-16',
        ),
        ('Gr\u00f6\u00dfe;k\nFe_Ka;1,450226\nPt_La;5,075602\n', 'cp1252'),
        ('Fe K\N{GREEK SMALL LETTER ALPHA};1.450226\nPt L\N{GREEK SMALL LETTER ALPHA};5.075602\n', 'cp1253'),
        ('Line,k\nFe_Ka,"1,450226"\nPt_La,"5,075602"\n', 'utf-8'),
        ('Fe_Ka   1.450226\nPt_La   5.075602\n', 'utf-8'),
        ('Fe_Ka 1,450226\nPt_La 5,075602\n', 'utf-8'),
        ('FeKa1;1.450226;0.04\nPt(L alpha);5.075602;0.2\n', 'utf-8'),
    ],
)
def test_the_factor_is_found_among_other_columns_and_in_any_spelling(tmp_path, text: str, encoding: str) -> None:
    path = tmp_path / 'k.csv'
    path.write_bytes(text.encode(encoding))
    table = read_factors(path)
    assert dict(table) == pytest.approx(FAMILIES, rel=1e-3)
    assert (table.rows['Fe_K'].name, table.rows['Fe_K'].value) == ('Fe_Ka', FE)


@pytest.mark.parametrize(
    'text',
    [
        'line,k,error\nFe_Ka,1.450226,0.0435\nPt_La,5.075602,0.254\n',
        'line,k,error (%)\nFe_Ka,1.450226,3\nPt_La,5.075602,5\n',
        'Fe_Ka,1.450226,3 %\nPt_La,5.075602,5%\n',
        'Fe_Ka,1.450226,\N{PLUS-MINUS SIGN}0.0435\nPt_La,5.075602,\N{PLUS-MINUS SIGN} 0.254\n',
        'Fe_Ka;1.450226 \N{PLUS-MINUS SIGN} 0.0435\nPt_La;5.075602 +/- 0.254\n',
        'line;k;\N{GREEK SMALL LETTER SIGMA}\nFe_Ka;1,450226;0,0435\nPt_La;5,075602;0,254\n',
    ],
)
def test_errors_in_the_unit_of_the_factor_or_in_percent(tmp_path, text: str) -> None:
    path = tmp_path / 'k.csv'
    path.write_text(text, encoding='utf-8')
    errors = {name: row.error for name, row in read_factors(path).rows.items()}
    assert errors == pytest.approx({'Fe_K': 0.03, 'Pt_L': 0.05}, rel=2e-3)


def test_json_of_several_shapes(tmp_path) -> None:
    path = tmp_path / 'k.json'
    for values in ({'Fe': {'Ka': FE}, 'Pt': {'La': PT}}, {'Fe_Ka': [FE, 0.04], 'Pt_La': [PT, 0.2]}):
        path.write_text(json.dumps(values))
        assert dict(read_factors(path)) == pytest.approx(FAMILIES, rel=1e-3)


def test_factors_for_atomic_fractions_give_atoms(tmp_path) -> None:
    """C_A / C_B = k I_A / I_B in atoms: 2 x 300 and 1 x 400 counts are 60 and 40 at.%, whatever the weights."""
    path = tmp_path / 'k.csv'
    path.write_text('line,k-factor (at.%)\nFe_K,2\nPt_L,1\n')
    assert read_factors(path)['Fe_K'] == pytest.approx(2 * 55.845, rel=1e-4)
    data = [[[[300.0]]], [[[400.0]]]]
    volume = Volume(data, ('Fe', 'Pt'), notes={'lines': {'Fe': 'Fe_K', 'Pt': 'Pt_L'}, 'tilts': 1})
    found = Composition(factor_table=str(path), smooth=0, least_counts=0, least_share=0).run(volume)
    assert found.data[:, 0, 0, 0] == pytest.approx([60, 40], abs=0.1)
    assert any('atomic fractions' in finding.sentence for finding in found.findings)


@pytest.mark.parametrize(
    ('heading', 'quantity', 'value'),
    [
        ('line,zeta (g/cm^2)', 'zeta-factors', 900.0),
        ('line,\N{GREEK SMALL LETTER ZETA} (kg/m\N{SUPERSCRIPT TWO})', 'zeta-factors', 90.0),
        ('line,cross section (m^2)', 'cross sections', 90e28),
        ('line,\N{GREEK SMALL LETTER SIGMA} (barn)', 'cross sections', 90.0),
    ],
)
def test_units_in_the_heading(tmp_path, heading: str, quantity: str, value: float) -> None:
    path = tmp_path / 'factors.csv'
    path.write_text(f'{heading}\nFe_K,90\nPt_L,200\n', encoding='utf-8')
    table = read_factors(path)
    assert (table.quantity, table['Fe_K']) == (quantity, pytest.approx(value))
    assert bool(table.converted) == (value != 90)


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('Fe_Ka,7,2\nPt_La,5,1\n', r'commas may be decimal or stand between columns \(Fe_Ka,7,2\)'),
        ('line,sensitivity\nFe_Ka,10\nPt_La,20\n', 'the inverse of k-factors'),
    ],
)
def test_what_may_mean_two_things_is_refused(tmp_path, text: str, sentence: str) -> None:
    path = tmp_path / 'k.csv'
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_factors(path)


@pytest.mark.parametrize(
    ('name', 'found'),
    [
        ('FeKa', ('Fe_K', 'Ka')),
        ('SK', ('S_K', '')),
        ('Fe(K\N{GREEK SMALL LETTER ALPHA}1)', ('Fe_K', 'Ka')),
        ('Fe K-beta', ('Fe_K', 'Kb')),
        ('Pt L series', ('Pt_L', '')),
        ('Pt', None),
        ('K', None),
        ('Kb', None),
        ('Cl', None),
        ('TiN', None),
    ],
)
def test_names_without_a_separator(name: str, found: tuple[str, str] | None) -> None:
    assert split_name(name) == found
