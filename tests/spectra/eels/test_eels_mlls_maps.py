"""MLLS maps: known intensities of three states come back with their errors, from files and from regions; what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import MLLSMaps, Recipe, load
from napari_diptomo.series import InputError, SpectralTiltSeries
from napari_diptomo.simulate.core_loss import MANGANESE, manganese, power_law
from napari_diptomo.spectra.eels.reference_spectra import parse_region

ENERGY = np.arange(560.0, 740.0, 0.5)
STATE = tuple(MANGANESE)
EDGE = 'Mn_L 590-632 634-700'


@pytest.fixture(scope='module')
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """References of the three states with an axis of their own."""
    path = tmp_path_factory.mktemp('references') / 'manganese.csv'
    energy = np.arange(600.0, 720.0, 0.4)
    shapes = [manganese(state, energy) for state in STATE]
    np.savetxt(
        path, np.stack([energy, *shapes], axis=1), delimiter=',', header=f'energy,{",".join(STATE)}', comments=''
    )
    return str(path)


def core_alone(counts: np.ndarray) -> SpectralTiltSeries:
    """A core loss alone at one tilt; counts are (y, x, energy)."""
    return SpectralTiltSeries(counts[None], ENERGY, [0.0], 1.0, energy_unit='eV')


def intensities(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Counts of each state at every pixel, (y, x, state)."""
    return np.random.default_rng(seed).uniform(500, 3000, (*shape, len(STATE)))


def spectra(counts: np.ndarray, background: float = 60.0, moved: float = 0.0, seed: int | None = 1) -> np.ndarray:
    shapes = np.stack([manganese(state, ENERGY - moved) for state in STATE], axis=1)
    expected = power_law(ENERGY, background) + counts @ shapes.T
    return expected if seed is None else np.random.default_rng(seed).poisson(expected)


def test_three_states_come_back_with_their_errors(table: str) -> None:
    true = intensities((24, 24))
    maps = MLLSMaps(edge=EDGE, references=(table,), non_negative=False).run(core_alone(spectra(true)))
    assert maps.channels == STATE
    inside = (ENERGY >= 634) & (ENERGY <= 700)
    for s, state in enumerate(STATE):
        expected = true[..., s] * manganese(state, ENERGY)[inside].sum()
        pulls = (maps.data[s, 0] - expected) / np.sqrt(maps.variance[s, 0])
        assert abs(pulls.mean()) < 0.25, state
        assert pulls.std() == pytest.approx(1, abs=0.12), state
    assert np.median(maps.residual) == pytest.approx(1, abs=0.1)
    assert not [finding for finding in maps.findings if finding.level == 'doubt']


def test_no_intensity_is_negative_unless_asked(table: str) -> None:
    true = intensities((12, 12)) * [1.0, 0.0, 0.0]
    counts = core_alone(spectra(true, 200.0))
    kept = MLLSMaps(edge=EDGE, references=(table,)).run(counts)
    free = MLLSMaps(edge=EDGE, references=(table,), non_negative=False).run(counts)
    assert kept.data.min() >= 0 > free.data.min()
    assert abs(free.data[1].mean()) < 4 * np.sqrt(free.variance[1].mean() / 144)


def test_regions_of_the_series_serve_as_references() -> None:
    true = np.zeros((20, 20, 3))
    true[:, :7, 0] = true[:, 7:13, 1] = true[:, 13:, 2] = 3000
    true[10:] = 1000
    regions = (
        'Mn2+ = rows 0-8 columns 0-5',
        'Mn3+ = polygon 0 8 0 12 8 12 8 8 at 0',
        'Mn4+ = rows 0-8 columns 14-19',
    )
    maps = MLLSMaps(edge=EDGE, regions=regions).run(core_alone(spectra(true)))
    share = maps.data[:, 0, 11:].sum(axis=(1, 2)) / maps.data[:, 0, 11:].sum()
    assert share == pytest.approx([1 / 3] * 3, abs=0.02)
    assert maps.data[0, 0, :9, :6].sum() / maps.data[:, 0, :9, :6].sum() > 0.95


@pytest.mark.parametrize('moved', [-0.5, 0.4])
def test_a_common_shift_is_found_where_asked(table: str, moved: float) -> None:
    true = intensities((10, 10))
    counts = core_alone(spectra(true, moved=moved))
    maps = MLLSMaps(edge=EDGE, references=(table,), fit_shift='common').run(counts)
    assert maps.notes['mlls']['shift'][0][0] == pytest.approx(moved, abs=0.05)
    shares = [maps.notes['mlls']['shares'][state] for state in STATE]
    assert shares == pytest.approx(true.sum(axis=(0, 1)) / true.sum(), abs=0.02)


def test_a_state_that_is_not_among_the_references_is_a_doubt(table: str, tmp_path: Path) -> None:
    lines = np.genfromtxt(table, delimiter=',', names=True)
    two = tmp_path / 'two.csv'
    columns = np.stack(
        [lines['energy'], manganese('Mn2+', lines['energy']), manganese('Mn4+', lines['energy'])], axis=1
    )
    np.savetxt(two, columns, delimiter=',', header='energy,Mn2+,Mn4+', comments='')
    maps = MLLSMaps(edge=EDGE, references=(str(two),)).run(core_alone(spectra(intensities((16, 16)))))
    (doubt,) = [finding for finding in maps.findings if finding.about == 'residual of the references']
    assert doubt.level == 'doubt' and 640 < doubt.evidence['at, eV'] < 646
    assert np.median(maps.residual) > 1.08


def test_references_that_are_alike_are_a_doubt(tmp_path: Path) -> None:
    path = tmp_path / 'alike.csv'
    energy = np.arange(600.0, 720.0, 0.5)
    shape = manganese('Mn3+', energy)
    other = shape + 0.01 * manganese('Mn4+', energy)
    np.savetxt(path, np.stack([energy, shape, other], axis=1), delimiter=',', header='energy,one,two', comments='')
    maps = MLLSMaps(edge=EDGE, references=(str(path),)).run(core_alone(spectra(intensities((6, 6)))))
    assert any(finding.about == 'references alike' and finding.level == 'doubt' for finding in maps.findings)


def test_a_spectrum_file_with_its_background_is_a_reference(tmp_path: Path, table: str) -> None:
    import hyperspy.api as hs

    axes = [{'name': 'E', 'size': len(ENERGY), 'offset': ENERGY[0], 'scale': 0.5, 'units': 'eV'}]
    for state in STATE:
        signal = hs.signals.Signal1D(power_law(ENERGY, 5000.0) + 1e6 * manganese(state, ENERGY), axes=axes)
        signal.set_signal_type('EELS')
        signal.save(tmp_path / f'{state}.hspy')
    files = tuple(str(tmp_path / f'{state}.hspy') for state in STATE)
    series = core_alone(spectra(intensities((8, 8))))
    by_file, by_table = (MLLSMaps(edge=EDGE, references=given).run(series).data for given in (files, (table,)))
    np.testing.assert_allclose(by_file.sum(axis=(1, 2, 3)), by_table.sum(axis=(1, 2, 3)), rtol=0.02)


def test_a_recipe_names_the_files_relative_to_itself(table: str, tmp_path: Path) -> None:
    step = MLLSMaps(edge=EDGE, references=(table,), regions=('x = rows 0-1 columns 0-1',))
    assert [str(path) for path in Recipe(steps=(step,)).files()] == [table]
    series = core_alone(spectra(intensities((4, 4))))
    saved = load(MLLSMaps(edge=EDGE, references=(table,)).run(series).save(tmp_path / 'maps.hspy'))
    assert saved.notes['mlls']['references'] == dict.fromkeys(STATE, 'manganese.csv')


def test_one_pixel(table: str) -> None:
    true = intensities((1, 1)) * 100
    maps = MLLSMaps(edge=EDGE, references=(table,)).run(core_alone(spectra(true)))
    assert maps.data[:, 0, 0, 0] / maps.data.sum() == pytest.approx(true[0, 0] / true.sum(), abs=0.05)


def test_regions_as_they_are_written() -> None:
    name, mask, angle = parse_region('Fe3O4 = rows 2-3 columns 1-4 at -40', (8, 8))
    assert (name, angle, int(mask.sum())) == ('Fe3O4', -40.0, 8) and mask[2:4, 1:5].all()
    name, mask, angle = parse_region('a b = polygon 1 1 1 5 5 5 5 1', (8, 8))
    assert (name, angle) == ('a b', None) and mask[2:5, 2:5].all() and not mask[6:].any()


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({}, 'No edge is named'),
        ({'edge': EDGE}, 'no references'),
        ({'edge': 'Xx_L', 'regions': ('a = rows 0-1 columns 0-1',)}, 'no edge'),
        ({'edge': EDGE, 'regions': ('a = rows 0-1',)}, 'is no region'),
        ({'edge': EDGE, 'regions': ('a = rows 50-60 columns 0-1',)}, 'holds no pixel'),
        ({'edge': EDGE, 'regions': ('a = rows 0-1 columns 0-1 at 30',)}, 'at 30°'),
        ({'edge': EDGE, 'regions': ('a = rows 0-1 columns 0-1',) * 2}, 'same name'),
        ({'edge': EDGE, 'references': ('nowhere.csv',)}, 'nowhere.csv'),
        ({'edge': 'Mn_L 800-820 830-860', 'regions': ('a = rows 0-1 columns 0-1',)}, 'do not hold'),
        ({'edge': EDGE, 'regions': ('a = rows 0-1 columns 0-1',), 'deconvolve': 'Fourier-ratio'}, 'needs the low loss'),
    ],
)
def test_what_cannot_be_fitted_is_one_sentence(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        MLLSMaps(**options).run(core_alone(spectra(intensities((4, 4)))))


def test_a_reference_of_vacuum_is_refused() -> None:
    true = intensities((8, 8))
    true[:4] = 0
    with pytest.raises(InputError, match='shows no edge'):
        MLLSMaps(edge=EDGE, regions=('void = rows 0-3 columns 0-7',)).run(core_alone(spectra(true)))
