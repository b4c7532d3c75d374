"""White lines: known ratios come back, a wrong axis is refused or said, vacuum is one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo import WhiteLineMaps
from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.simulate.core_loss import core_loss_tilt_series
from napari_diptomo.spectra.eels.white_line_ratio import white_line_maps

ENERGY = np.arange(560.0, 720.0, 0.5)


def line(place: float, counts: float, width: float = 1.2, energy: np.ndarray = ENERGY) -> np.ndarray:
    shape = np.exp(-0.5 * ((energy - place) / width) ** 2)
    return counts * shape / shape.sum()


def series(ratio: float = 3.0, offset: float = 0.0, tilts: int = 1, step: float = 0.5) -> SpectralTiltSeries:
    """Mn-L3 at 641 and L2 at 652 eV over a power law, 16 x 16 pixels, on an axis that is off."""
    energy = np.arange(560.0, 720.0, step)
    expected = (
        step * 200 * (energy / 600) ** -3.0 + line(641, 1000 * ratio, energy=energy) + line(652, 1000, energy=energy)
    )
    counts = np.random.default_rng(2).poisson(np.broadcast_to(expected, (tilts, 16, 16, len(energy))))
    return SpectralTiltSeries(counts, energy + offset, 10.0 * np.arange(tilts), 1.0, energy_unit='eV')


@pytest.mark.parametrize('ratio', [1.8, 4.0])
def test_the_ratio_and_both_lines_come_back(ratio: float) -> None:
    maps = WhiteLineMaps(element='Mn').run(series(ratio, tilts=2))
    assert maps.channels == ('Mn_L3', 'Mn_L2')
    assert maps.data[0].mean() == pytest.approx(1000 * ratio, rel=0.03)
    assert maps.data.std(axis=(1, 2, 3)) == pytest.approx(np.sqrt(maps.variance.mean(axis=(1, 2, 3))), rel=0.15)
    for found, error in maps.notes['white_lines']['ratio']:
        assert found == pytest.approx(ratio, abs=4 * error + 0.03 * ratio)
    (said,) = [finding for finding in maps.findings if finding.about == 'white lines']
    assert said.evidence['L3 / L2'] == pytest.approx(ratio, rel=0.05)


@pytest.mark.parametrize('offset', [-8.0, -6.5, 8.0, 11.0, 20.0])
def test_an_axis_that_is_far_off_is_refused_with_the_offset_that_corrects_it(offset: float) -> None:
    with pytest.raises(InputError, match='offset') as refused:
        WhiteLineMaps(element='Mn').run(series(offset=offset))
    if abs(offset) < 12:
        assert f'offset of {-offset - 1:.1f} eV' in str(refused.value)
    corrected = WhiteLineMaps(element='Mn', energy_offset=-offset).run(series(offset=offset))
    assert corrected.notes['white_lines']['ratio'][0][0] == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize('offset', [-4.0, 4.5, 5.5])
def test_an_axis_that_is_a_little_off_is_a_doubt_and_the_ratio_right(offset: float) -> None:
    maps = WhiteLineMaps(element='Mn').run(series(offset=offset))
    (doubt,) = [finding for finding in maps.findings if finding.about == 'energy axis']
    assert doubt.level == 'doubt' and doubt.remedy is not None
    assert doubt.remedy.changes['energy_offset'] == pytest.approx(-offset - 1, abs=0.2)
    assert maps.notes['white_lines']['ratio'][0][0] == pytest.approx(3, rel=0.05)


def test_the_function_refuses_a_wrong_axis_too() -> None:
    given = series(offset=8.0)
    with pytest.raises(InputError, match=r'\+9\.'):
        white_line_maps(np.asarray(given.counts[0]), given.energy, 'Mn')


@pytest.mark.parametrize('step', [0.1, 1.0])
def test_dispersions(step: float) -> None:
    maps = WhiteLineMaps(element='Mn').run(series(step=step))
    assert maps.notes['white_lines']['ratio'][0][0] == pytest.approx(3, rel=0.08)


def test_vacuum_and_other_elements_are_one_sentence() -> None:
    energy = np.arange(560.0, 720.0, 0.5)
    counts = np.random.default_rng(0).poisson(30 * (energy / 600) ** -3.0, (1, 8, 8, len(energy)))
    vacuum = SpectralTiltSeries(counts, energy, [0.0], 1.0, energy_unit='eV')
    with pytest.raises(InputError, match='not seen'):
        WhiteLineMaps(element='Mn').run(vacuum)
    for element, words in (('Xx', 'no edge'), ('Fe', 'end of the spectra'), ('O', 'no edge')):
        with pytest.raises(InputError, match=words):
            WhiteLineMaps(element=element).run(series())


def test_the_shell_of_a_particle_has_the_smaller_ratio() -> None:
    made = core_loss_tilt_series(24, (0.0,), edge_counts=20000)
    maps = WhiteLineMaps(element='Mn').run(made.series)
    share = made.clean[0, 0] / np.maximum(made.clean[:, 0].sum(axis=0), 1)
    inside = made.clean[:, 0].sum(axis=0) > 0.5 * made.clean[:, 0].sum(axis=0).max()
    ratio = maps.data[0, 0] / maps.data[1, 0]
    assert np.corrcoef(share[inside], ratio[inside])[0, 1] > 0.4
