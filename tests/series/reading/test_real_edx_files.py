"""Files of real instruments against HyperSpy's own reading of them: counts, energies, tilts. Skipped where absent."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from series_files import REAL, counts, write_spectra

from napari_diptomo.series import InputError, load_tilt_series
from napari_diptomo.series.reading import hyperspy_adapter
from napari_diptomo.series.reading.angles.metadata import metadata_angle

READERS = REAL / 'readers'
needs_readers = pytest.mark.skipif(not READERS.is_dir(), reason='the reader fixtures are not beside the repository')


def spectrum_image(path: Path):
    """The EDX spectrum image of a file as HyperSpy reads it."""
    import hyperspy.api as hs

    loaded = hs.load(str(path))
    found = [s for s in (loaded if isinstance(loaded, list) else [loaded]) if s._signal_type.startswith('EDS')]
    return max(found, key=lambda s: s.data.ndim)


def two_tilts(path: Path, folder: Path) -> list[Path]:
    """The same file twice, named by two angles."""
    paths = [folder / f'{angle}{path.suffix}' for angle in (-10, 10)]
    for copy in paths:
        shutil.copy(path, copy)
    return paths


def check_against_hyperspy(series, path: Path) -> int:
    """Counts of the second tilt to the last photon, energies, beam; gives the sum of the counts."""
    reference = spectrum_image(path)
    axis = reference.axes_manager.signal_axes[0]
    assert series.energy_unit == 'keV'
    assert series.counts.shape[1:] == reference.data.shape
    np.testing.assert_allclose(series.energy, axis.offset + axis.scale * np.arange(axis.size), atol=1e-9)
    read = np.asarray(series.counts[1])
    np.testing.assert_array_equal(read, reference.data)
    assert series.metadata['beam_energy'] == reference.metadata.Acquisition_instrument.TEM.beam_energy
    return int(read.sum())


@needs_readers
def test_bruker(tmp_path):
    path = READERS / 'test_TEM.bcf'
    series = load_tilt_series(two_tilts(path, tmp_path))
    assert check_against_hyperspy(series, path) == 26005
    assert series.energy[0] == pytest.approx(-0.47545, abs=1e-5)
    assert np.diff(series.energy)[0] == pytest.approx(0.010001)
    assert series.angles.tolist() == [-10, 10]
    assert series.pixel_size == pytest.approx(0.771, abs=1e-3)
    assert series.haadf.sum(axis=(1, 2), dtype=float) == pytest.approx([141288352] * 2)
    assert (series.metadata['detector'], series.metadata['elevation']) == ('SuperX', 18.0)


@needs_readers
def test_velox_with_edx_and_eels_in_one_file(tmp_path):
    """The file lists three EELS images before the EDX one; X-rays are what is taken."""
    with zipfile.ZipFile(READERS / 'velox_EELS_EDS.zip') as archive:
        (name,) = (n for n in archive.namelist() if n.endswith('.emd'))
        path = Path(archive.extract(name, tmp_path))
    (tmp_path / 'tilts').mkdir()
    series = load_tilt_series(two_tilts(path, tmp_path / 'tilts'))
    assert check_against_hyperspy(series, path) == 11093
    assert series.counts.shape == (2, 128, 128, 4096)
    assert (series.energy[0], series.energy[1]) == pytest.approx((-0.2, -0.19))
    assert series.metadata['beam_energy'] == 300.0


@needs_readers
def test_velox_tilt_and_energies_of_a_pruned_file():
    """Its spectrum image was left out when it was saved; what it holds is read as HyperSpy reads it."""
    signals = hyperspy_adapter.open_signals(READERS / 'EDS-STO.emd')
    for signal in signals:
        assert float(metadata_angle(signal.metadata)[0]) == pytest.approx(-1.03, abs=0.002)
        assert (signal.axes[0].offset, signal.axes[0].scale, signal.axes[0].units) == (-0.25, 0.005, 'keV')
    assert [int(hyperspy_adapter.read(signal).sum()) for signal in signals] == [190830, 8501, 77188, 70797, 34344]


@pytest.mark.skipif(not (REAL / 'spectra').is_dir(), reason='the reference spectra are not beside the repository')
def test_hyperspy(tmp_path):
    path = REAL / 'spectra' / 'nist_core_shell.hspy'
    series = load_tilt_series(two_tilts(path, tmp_path))
    assert check_against_hyperspy(series, path) == 884071
    assert series.counts.shape == (2, 64, 64, 992)
    assert (series.energy[0], series.energy[-1]) == pytest.approx((0.16, 19.98))
    assert series.pixel_size == pytest.approx(0.5)
    assert series.metadata['elevation'] == 35.0
    assert series.metadata['energy_resolution_MnKa'] == 130.0


@pytest.mark.skipif(not (REAL / 'openncem-edx').is_dir(), reason='the openNCEM series is not beside the repository')
def test_the_openncem_files_whose_tilt_is_in_their_name():
    folder = REAL / 'openncem-edx'
    series = load_tilt_series([folder / '35.bcf', folder / '-40.bcf'])
    assert series.angles.tolist() == [-40, 35]
    for tilt, name in enumerate(('-40.bcf', '35.bcf')):
        reference = spectrum_image(folder / name)
        read = np.asarray(series.counts[tilt])
        assert int(read.sum()) == int(reference.data.sum())
        np.testing.assert_array_equal(read[100], reference.data[100])
    axis = reference.axes_manager.signal_axes[0]
    assert (series.energy[0], axis.scale) == pytest.approx((axis.offset, 0.01), rel=2e-3)
    assert len(series.energy) == 2048


def test_the_beam_energy_can_be_given(tmp_path):
    for angle in (0, 10):
        write_spectra(tmp_path / f'{angle}.hspy', counts(angle))
    assert load_tilt_series(tmp_path).metadata['beam_energy'] == 200.0
    series = load_tilt_series(tmp_path, beam_energy=120.0)
    assert series.metadata['beam_energy'] == 120.0
    assert series.recipe.source.beam_energy == 120.0
    with pytest.raises(InputError, match='beam_energy'):
        load_tilt_series(tmp_path, beam_energy=200_000.0)


def test_energies_that_reach_differently_far_are_reported(tmp_path):
    write_spectra(tmp_path / '0.hspy', counts(0))
    write_spectra(tmp_path / '10.hspy', counts(1, (8, 6, 24)))
    with pytest.raises(InputError, match=r'10\.hspy has 24 energies up to 0\.13 keV where 0\.hspy has 16 up to 0\.05'):
        load_tilt_series(tmp_path)
