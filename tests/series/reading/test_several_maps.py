"""Several maps of one series: in one file, of other tilts, of another magnification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.series import Contradiction, InputError, SpectralTiltSeries, load_tilt_series

ANGLES = np.array([-61.5, -40.0, -12.25, 3.0, 44.0])
Y, X = ('y', '[n_m]', np.arange(6) * 2.0), ('x', '[n_m]', np.arange(9) * 2.0)


def counts(seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).poisson(4, (5, 6, 9)).astype(np.float32)


def fill(group, data: np.ndarray, axes) -> None:
    group.attrs['emd_group_type'] = 1
    group['data'] = data
    for number, (name, unit, positions) in enumerate(axes, 1):
        group[f'dim{number}'] = positions
        group[f'dim{number}'].attrs.update(name=np.bytes_(name), units=np.bytes_(unit))


def emd(path: Path, groups) -> Path:
    import h5py

    with h5py.File(path, 'w') as file:
        for name, (data, axes) in groups.items():
            fill(file.create_group(f'data/{name}'), data, axes)
    return path


def test_all_arrays_of_tomviz_are_maps(tmp_path):
    """The active one is linked among the others, or stored there a second time."""
    import h5py

    iron, oxygen = counts(), counts(6)
    axes = [('angles', '[deg]', ANGLES), Y, X]
    for link in (h5py.SoftLink('/data/tomography/data'), None):
        with h5py.File(tmp_path / 'particle.emd', 'w') as file:
            group = file.create_group('data/tomography')
            fill(group, iron, axes)
            group['data'].attrs['name'] = np.array([b'Fe'])
            others = group.create_group('tomviz_scalars')
            others['O'] = oxygen
            others['Fe'] = group['data'] if link is None else link
        series = load_tilt_series(tmp_path / 'particle.emd')
        assert (series.channels, series.findings) == (('Fe', 'O'), ())
        np.testing.assert_array_equal(series.data, [iron, oxygen])
        np.testing.assert_allclose(series.angles, ANGLES)


def test_maps_of_one_file_at_other_tilts_are_a_contradiction(tmp_path):
    first = [('angles', '[deg]', ANGLES), Y, X]
    second = [('angles', '[deg]', ANGLES[::-1]), Y, X]
    path = emd(tmp_path / 'maps.emd', {'Fe': (counts(), first), 'O': (counts()[::-1], second)})
    with pytest.raises(Contradiction, match=r'of Fe in maps\.emd \(-61.5, .* of O in maps\.emd \(44, 3,'):
        load_tilt_series(path)


def test_images_beside_spectra_at_other_tilts_are_not_theirs(tmp_path):
    spectra = np.random.default_rng(1).poisson(2, (5, 6, 9, 32)).astype(np.float32)
    energy = ('E', '[eV]', np.arange(32) * 100.0 - 200)
    axes = [('angle', '[deg]', ANGLES), Y, X]
    for tilts, there in ((ANGLES, True), (ANGLES[::-1], False)):
        beside = [('angle', '[deg]', tilts), Y, X]
        path = emd(tmp_path / 's.emd', {'EDS': (spectra, [*axes, energy]), 'HAADF': (counts(), beside)})
        series = load_tilt_series(path)
        assert isinstance(series, SpectralTiltSeries)
        assert (series.haadf is not None, bool(series.findings)) == (there, not there)


@pytest.mark.parametrize(
    ('axes', 'order'),
    [
        ([('z', '[n_m]', np.arange(5) * 2.0), Y, X], (0, 1, 2)),
        ([X, Y, ('z', '[n_m]', np.arange(5) * 2.0)], (2, 1, 0)),
        ([('dim1', '', np.arange(5)), ('dim2', *Y[1:]), ('dim3', *X[1:])], (0, 1, 2)),
    ],
)
def test_a_stack_whose_axes_name_no_tilt_has_its_images_along_z_or_along_what_is_no_length(tmp_path, axes, order):
    data = counts()
    path = emd(tmp_path / 'Fe.emd', {'tomography': (data.transpose(order), axes)})
    series = load_tilt_series(path, angles=ANGLES)
    np.testing.assert_array_equal(series.data[0], data)


def test_maps_of_two_magnifications_are_refused_and_one_calibration_serves_all(tmp_path):
    import tifffile

    def write(name: str, nm: float | None) -> None:
        calibrated = {} if nm is None else {'imagej': True, 'resolution': (1 / nm, 1 / nm), 'metadata': {'unit': 'nm'}}
        tifffile.imwrite(tmp_path / name, counts(), **calibrated)

    write('Fe.tif', 2.0)
    write('O.tif', 3.0)
    with pytest.raises(InputError, match=r'The pixels of O\.tif are 3 nm, those of Fe\.tif 2 nm'):
        load_tilt_series(tmp_path, angles=ANGLES)
    assert load_tilt_series(tmp_path, angles=ANGLES, pixel_size=2.0).pixel_size == 2
    write('Fe.tif', None)
    assert load_tilt_series(tmp_path, angles=ANGLES).pixel_size == pytest.approx(3)


def test_an_mrc_whose_columns_are_not_along_x_is_doubted(tmp_path):
    import mrcfile

    for order, doubted in (((1, 2, 3), False), ((0, 0, 0), False), ((2, 1, 3), True)):
        with mrcfile.new(tmp_path / 'Fe.mrc', overwrite=True) as file:
            file.set_data(counts())
            file.voxel_size = 20.0
            file.header.mapc, file.header.mapr, file.header.maps = order
        series = load_tilt_series(tmp_path / 'Fe.mrc', angles=ANGLES)
        assert [finding.level for finding in series.findings] == ['doubt'] * doubted
        np.testing.assert_array_equal(series.data[0], counts())
    assert 'columns along y, rows along x, images along z' in series.findings[0].sentence
