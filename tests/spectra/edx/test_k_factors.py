"""Calculated factors against published cross sections."""

from __future__ import annotations

import csv
from importlib.resources import files

import numpy as np
import pytest

from napari_diptomo.series import InputError
from napari_diptomo.spectra.edx.k_factors import (
    efficiency,
    emission_cross_section,
    ionisation_cross_section,
    k_factors,
    zeta_factors,
)

#: cm^2 at 200 keV, emtables (Bote and Salvat's cross sections, EADL yields).
PUBLISHED = {
    'O_K': 5.19e-23,
    'Si_K': 8.71e-23,
    'Fe_K': 1.08e-22,
    'Ge_K': 8.75e-23,
    'Ge_L': 1.63e-22,
    'Sn_L': 1.75e-22,
    'Te_L': 1.69e-22,
    'Pt_L': 1.81e-22,
}


def _subshell_rows(element: str, shell: str) -> list[tuple[float, float, float]]:
    """Edge, strength and photons per vacancy of the subshells in the table that the package ships."""
    package = emission_cross_section.__module__.rpartition('.')[0]
    with files(package).joinpath('shells.csv').open(encoding='utf-8') as table:
        rows = [row for row in csv.DictReader(table) if row['element'] == element and row['shell'][0] == shell]
    return [(float(row['edge_keV']), float(row['strength']), float(row['photons'])) for row in rows]


@pytest.mark.parametrize('family', PUBLISHED)
def test_emission_cross_sections_are_those_published(family: str) -> None:
    tolerance = 0.08 if family.endswith('K') else 0.17
    assert emission_cross_section(family, 200.0) == pytest.approx(PUBLISHED[family], rel=tolerance, abs=0)


def test_cross_section_is_betes_asymptote() -> None:
    """Hydrogen by 10 keV electrons: Bethe's own 0.285 electrons of strength; kinetic energy in the limit of low speed."""
    rydberg = 0.0136057
    gamma = 1 + 10 / 510.999
    beta2 = 1 - gamma**-2
    kinetic = 510.999 * beta2 / 2
    expected = 4 * np.pi * 5.29177e-9**2 * rydberg / kinetic * 0.285
    expected *= np.log(1.7 * 4 * kinetic * gamma**2 / rydberg) - beta2
    assert ionisation_cross_section(rydberg, 0.285, 10.0) == pytest.approx(expected, rel=1e-4, abs=0)


def test_cross_sections_lie_on_a_straight_fano_plot() -> None:
    """Q beta^2 against ln(beta^2 gamma^2) - beta^2 (Fano 1963), in the classical radius of the electron r.

    Slope 2 pi r^2 (m c^2 / E) s, and zero where the logarithm of the threshold, ln(E / (1.7 2 m c^2)), is met;
    beta and gamma here from the momentum, (p c)^2 = T (T + 2 m c^2).
    """
    radius, rest, edge, strength = 2.8179403e-13, 510.999, 7.112, 1.6
    energies = np.array([60.0, 80.0, 120.0, 200.0, 300.0, 1000.0])
    momentum2 = energies * (energies + 2 * rest) / rest**2
    beta2 = momentum2 / (1 + momentum2)
    cross_sections = np.array([ionisation_cross_section(edge, strength, energy) for energy in energies])
    abscissa = np.log(momentum2) - beta2
    slope, intercept = np.polyfit(abscissa, cross_sections * beta2, 1)
    assert slope == pytest.approx(2 * np.pi * radius**2 * rest / edge * strength, rel=1e-4, abs=0)
    assert intercept / slope == pytest.approx(np.log(1.7 * 2 * rest / edge), rel=1e-4)
    line = slope * (abscissa + np.log(3.4 * rest / edge)) / beta2
    np.testing.assert_allclose(cross_sections, line, rtol=2e-4)


def test_a_shell_that_the_beam_hardly_reaches_has_no_negative_cross_section() -> None:
    """Bethe's logarithm is negative far below threshold; a vacancy cannot be un-made."""
    assert ionisation_cross_section(100.0, 1.0, 5.0) == 0.0


def test_only_subshells_below_the_beam_energy_are_ionised() -> None:
    """Of Pt L at 13.5 keV: L3 (11.564 keV) and L2 (13.273), but not L1 (13.880)."""
    reached = [row for row in _subshell_rows('Pt', 'L') if row[0] < 13.5]
    assert [edge for edge, _, _ in reached] == pytest.approx([13.273, 11.564], abs=0.002)
    expected = sum(photons * ionisation_cross_section(edge, strength, 13.5) for edge, strength, photons in reached)
    assert emission_cross_section('Pt_L', 13.5) == pytest.approx(expected, rel=1e-12, abs=0)


def test_k_factors_by_mass_for_ge_sb_te() -> None:
    """Rates of published cross sections; Sb is taken between its neighbours Sn and Te, above which that table's Sb sticks out."""
    masses = {'Ge_K': 72.63, 'Ge_L': 72.63, 'Sb_L': 121.76, 'Te_L': 127.6}
    published = {**PUBLISHED, 'Sb_L': 1.72e-22}
    families = ('Te_L', 'Ge_K', 'Ge_L', 'Sb_L')
    expected = [masses[f] / published[f] * published['Te_L'] / masses['Te_L'] for f in families]
    assert k_factors(families) == pytest.approx(expected, rel=0.15)


def test_neighbours_in_the_periodic_table_have_neighbouring_factors() -> None:
    sn, sb, te, iodine = k_factors(('Sn_L', 'Sb_L', 'Te_L', 'I_L'))
    assert sn < sb < te < iodine * 1.02
    assert max(sb / sn, te / sb, iodine / te) < 1.08


def test_dead_layer_and_crystal_cut_both_ends_of_the_spectrum() -> None:
    soft, middle, hard = efficiency(np.array([0.28, 5.0, 25.0]))
    assert middle > 0.97
    # FFAST: 36,800 cm^2/g of silicon at 0.277 keV through 100 nm.
    assert soft == pytest.approx(np.exp(-36800 * 2.33e-5), rel=0.15)
    assert hard < 0.4
    assert efficiency(0.52, 'polymer')[0] < 0.7 * efficiency(0.52)[0]
    assert efficiency(0.52, 'beryllium')[0] < 0.01


#: Mass attenuation at 1 and 2 keV, cm^2/g (Hubbell and Seltzer, NISTIR 5632).
ATTENUATION = {'Be': (604.1, 74.69), 'C': (2211.0, 302.6), 'Al': (1185.0, 2263.0), 'Si': (1570.0, 2777.0)}


@pytest.mark.parametrize(
    ('window', 'layers'),
    [
        # 340 nm of a polymer of 1.4 g/cm^3 (all carbon here) and 40 nm of aluminium; 8 um of beryllium.
        ('polymer', {'C': 1.4 * 340e-7, 'Al': 2.70 * 40e-7}),
        ('beryllium', {'Be': 1.848 * 8e-4}),
    ],
)
@pytest.mark.parametrize('energy', [1.0, 2.0])
def test_windows_transmit_as_their_layers_by_beer_and_lambert(window, layers: dict[str, float], energy: float) -> None:
    depth = sum(ATTENUATION[element][int(energy) - 1] * mass for element, mass in layers.items())
    transmitted = efficiency(energy, window)[0] / efficiency(energy)[0]
    assert -np.log(transmitted) == pytest.approx(depth, rel=0.12)


@pytest.mark.parametrize(
    # Attenuation by silicon below 10 keV, energy absorption above, where photons that are scattered are not counted.
    ('energy', 'coefficient'),
    [(1.0, 1570.0), (2.0, 2777.0), (10.0, 33.16), (15.0, 9.794), (20.0, 4.076), (30.0, 1.164)],
)
def test_the_efficiency_without_a_window_is_dead_layer_times_crystal(energy: float, coefficient: float) -> None:
    """100 nm of dead silicon, which shows at 2 keV, and a crystal of 0.45 mm, which does from 10 keV on (NISTIR 5632)."""
    expected = np.exp(-coefficient * 2.33 * 100e-7) * (1 - np.exp(-coefficient * 2.33 * 0.045))
    assert efficiency(energy)[0] == pytest.approx(expected, rel=0.04)


def test_a_beryllium_window_raises_the_factor_of_a_soft_line() -> None:
    open_window, closed = (k_factors(('Fe_K', 'Mg_K'), window=w)[1] for w in ('windowless', 'beryllium'))
    assert closed > 1.3 * open_window


def test_the_beam_has_200_kev_where_nothing_else_is_said() -> None:
    """The energy of `PUBLISHED`; a factor changes by less than its error over 20 keV, so the comparison there is no proof."""
    families = ('Fe_K', 'Sb_L')
    assert emission_cross_section('Fe_K') == emission_cross_section('Fe_K', 200.0)
    assert emission_cross_section('Fe_K') != emission_cross_section('Fe_K', 201.0)
    assert k_factors(families) == k_factors(families, 200.0)
    assert zeta_factors(families, 0.7) == zeta_factors(families, 0.7, 200.0)


def test_a_slower_beam_ionises_iron_more_as_bethe_has_it() -> None:
    """Fe K at 80 keV over 300 keV: yields and strengths drop out; beta and gamma from the momentum."""

    def bethe(edge: float, energy: float) -> float:
        momentum2 = energy * (energy + 2 * 510.999) / 510.999**2
        beta2 = momentum2 / (1 + momentum2)
        return (np.log(3.4 * 510.999 * momentum2 / edge) - beta2) / beta2

    slow, fast = (emission_cross_section('Fe_K', energy) for energy in (80.0, 300.0))
    assert slow / fast == pytest.approx(bethe(7.112, 80.0) / bethe(7.112, 300.0), rel=1e-6)
    assert slow > 1.5 * fast


def test_zeta_factors_are_absolute() -> None:
    """One kg/m^2 of iron holds N_A / A atoms, each with its cross section, seen from 0.7 sr."""
    (zeta,) = zeta_factors(('Fe_K',), 0.7)
    atoms = 6.02214e23 / 55.845 * 1000 / 1e4
    seen = emission_cross_section('Fe_K') * efficiency(6.4)[0] * 0.7 / (4 * np.pi)
    assert zeta == pytest.approx(1 / (atoms * seen), rel=0.01)
    # Watanabe and Williams (2006): some hundred to a few thousand kg/m^2 per 0.1-0.3 sr.
    assert 100 < zeta < 2000


@pytest.mark.parametrize(
    ('family', 'sentence'),
    [
        ('Ge', 'not a line family'),
        ('Xx_K', 'no element'),
        ('He_K', 'no atomic data'),
        ('Pt_N', 'not a line family'),
        ('Si_L', 'not a line family'),
    ],
)
def test_a_family_that_cannot_be_calculated_is_reported(family: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        k_factors((family,))


def test_a_beam_too_weak_for_the_line_is_reported() -> None:
    with pytest.raises(InputError, match='20 keV excite'):
        k_factors(('Ag_K',), beam_energy=20.0)
