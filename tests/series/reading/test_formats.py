"""Files as other programs write them, read as their specifications say: h5py, mrcfile, tifffile and HyperSpy write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_diptomo.series import Finding, InputError, MapSeries, SpectralTiltSeries, load_tilt_series

ANGLES = np.array([-61.5, -40.0, -12.25, 3.0, 44.0])


def counts(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).poisson(4, shape)


def berkeley(path: Path, groups: dict[str, tuple[np.ndarray, list[tuple[str, str, np.ndarray]]]], **microscope) -> Path:
    """EMD 0.2: each group an array, and for each axis its name, unit and positions."""
    import h5py

    with h5py.File(path, 'w') as file:
        file.attrs.update(version_major=0, version_minor=2)
        for name, (data, axes) in groups.items():
            group = file.create_group(f'data/{name}')
            group.attrs['emd_group_type'] = 1
            group['data'] = data
            for number, (axis, unit, positions) in enumerate(axes, 1):
                group[f'dim{number}'] = positions
                group[f'dim{number}'].attrs.update(name=np.bytes_(axis), units=np.bytes_(unit))
        if microscope:
            file.create_group('microscope').attrs.update(microscope)
    return path


def along(size: int, step: float = 2.0) -> np.ndarray:
    return np.arange(size, dtype=np.float32) * step


def test_emd_of_tomviz_keeps_uneven_tilts_and_its_orientation(tmp_path):
    data = counts(5, 6, 9).astype(np.float32)
    axes = [('angles', '[deg]', ANGLES.astype('f4')), ('y', '[n_m]', along(6)), ('x', '[n_m]', along(9))]
    series = load_tilt_series(berkeley(tmp_path / 'Fe.emd', {'tomography': (data, axes)}))
    np.testing.assert_allclose(series.angles, ANGLES, atol=1e-5)
    np.testing.assert_array_equal(series.data[0], data)
    assert (series.channels, series.pixel_size, series.findings) == (('Fe',), 2.0, ())


def test_emd_with_the_tilt_last_is_turned_by_the_names_of_its_axes(tmp_path):
    data = counts(9, 6, 5).astype('>f4')
    radians = [('x', '[n_m]', along(9)), ('y', '[n_m]', along(6)), ('angles', 'rad', np.radians(ANGLES))]
    series = load_tilt_series(berkeley(tmp_path / 'Fe.emd', {'tomography': (data, radians)}))
    np.testing.assert_allclose(series.angles, ANGLES, atol=1e-9)
    np.testing.assert_array_equal(series.data[0], data.T)
    rows = [('y', '[n_m]', along(9)), ('x', '[n_m]', along(6)), ('angles', '[deg]', ANGLES)]
    series = load_tilt_series(berkeley(tmp_path / 'Ni.emd', {'tomography': (data, rows)}))
    np.testing.assert_array_equal(series.data[0], data.transpose(2, 0, 1))


def test_emd_in_the_order_of_acquisition_is_sorted(tmp_path):
    order = [2, 3, 1, 4, 0]
    data = counts(5, 6, 9).astype(np.float32)
    axes = [('angles', '[deg]', ANGLES[order]), ('y', '[n_m]', along(6)), ('x', '[n_m]', along(9))]
    series = load_tilt_series(berkeley(tmp_path / 'Fe.h5', {'a': (data[order], axes)}))
    np.testing.assert_allclose(series.angles, ANGLES)
    np.testing.assert_array_equal(series.data[0], data)


def test_emd_whose_axis_does_not_fit_is_refused(tmp_path):
    axes = [('angles', '[deg]', ANGLES[:4]), ('y', '[n_m]', along(6)), ('x', '[n_m]', along(9))]
    path = berkeley(tmp_path / 'Fe.emd', {'a': (counts(5, 6, 9), axes)})
    with pytest.raises(InputError, match=r'Fe\.emd has 4 positions for the 5 values along its axis angles;'):
        load_tilt_series(path)


def test_emd_of_edstomo_gives_the_spectra_and_the_images_beside_them(tmp_path):
    eds = counts(5, 6, 9, 32).astype(np.float32)
    space = [('angle', '[deg]', ANGLES), ('x', '[m]', along(6, 13e-9)), ('y', '[m]', along(9, 13e-9))]
    large = [space[0], ('x', '[m]', along(12, 6.5e-9)), ('y', '[m]', along(18, 6.5e-9))]
    groups = {
        'EDS_TiltStack': (eds, [*space, ('E', '[eV]', np.arange(32) * 100.0 - 200)]),
        'HAADF_TiltStack': (eds.sum(-1), space),
        'BF_TiltStack': (counts(5, 12, 18), large),
    }
    microscope = {'BeamVoltage[eV]': 3e5, 'MnKaResolution[eV]': 131.0, 'DetectorTiltAngle[deg]': 18.0}
    series = load_tilt_series(berkeley(tmp_path / 'series.emd', groups, **microscope))
    assert isinstance(series, SpectralTiltSeries)
    np.testing.assert_array_equal(series.counts.compute(), eds)
    np.testing.assert_array_equal(series.haadf, eds.sum(-1))
    np.testing.assert_allclose(series.angles, ANGLES)
    np.testing.assert_allclose(series.energy, np.arange(32) * 0.1 - 0.2, atol=1e-12)
    assert (series.energy_unit, series.pixel_size) == ('keV', pytest.approx(13.0))
    assert series.metadata['beam_energy'] == 300
    assert (series.metadata['energy_resolution_MnKa'], series.metadata['elevation']) == (131, 18)
    (note,) = series.findings
    assert note == Finding(
        'note',
        'what else the file holds',
        'series.emd also holds images BF_TiltStack (5 x 12 x 18), which was not opened.',
        {'signals not opened': 1},
    )


def test_images_whose_rows_are_called_x_are_doubted(tmp_path):
    data = counts(5, 6, 9)
    axes = [('angle', '[deg]', ANGLES), ('x', '[n_m]', along(6)), ('y', '[n_m]', along(9))]
    path = berkeley(tmp_path / 'Fe.emd', {'maps': (data, axes)})
    series = load_tilt_series(path)
    np.testing.assert_array_equal(series.data[0], data)
    (doubt,) = series.findings
    assert (doubt.level, doubt.about) == ('doubt', 'layout of Fe.emd')
    assert 'x, y in the order rows, columns' in doubt.sentence
    assert 'choose the tilt axis x' in doubt.sentence
    np.testing.assert_array_equal(load_tilt_series(path, tilt_axis='x').data[0], data.swapaxes(1, 2))


def test_all_maps_of_one_emd_are_opened_with_the_picture_beside_them(tmp_path):
    axes = [('angle', '[deg]', ANGLES), ('y', '[n_m]', along(6)), ('x', '[n_m]', along(9))]
    other = [axes[0], ('y', '[n_m]', along(12, 1)), ('x', '[n_m]', along(18, 1))]
    maps = {name: counts(5, 6, 9) + i for i, name in enumerate(('Fe_Ka', 'HAADF', 'O_Ka', 'BF'))}
    groups = {name: (data, axes) for name, data in maps.items()} | {'Large': (counts(5, 12, 18), other)}
    series = load_tilt_series(berkeley(tmp_path / 'signals.emd', groups))
    assert series.channels == ('Fe_Ka', 'O_Ka')
    np.testing.assert_array_equal(series.data, [maps['Fe_Ka'], maps['O_Ka']])
    np.testing.assert_array_equal(series.haadf, maps['HAADF'])
    assert [finding.sentence for finding in series.findings] == [
        'signals.emd also holds images BF (5 x 6 x 9), images Large (5 x 12 x 18), which was not opened.'
    ]


def test_an_energy_axis_without_a_unit_is_missed_by_name(tmp_path):
    axes = [('angle', '[deg]', ANGLES), ('y', '[n_m]', along(6)), ('x', '[n_m]', along(9)), ('E', '', along(8, 1))]
    path = berkeley(tmp_path / 's.emd', {'spectra': (counts(5, 6, 9, 8), axes)})
    with pytest.raises(InputError, match=r'The spectra of s\.emd have no energy calibration; set'):
        load_tilt_series(path)


@pytest.mark.parametrize('suffix', ['.emd', '.hspy', '.rpl'])
def test_spectra_written_by_hyperspy_come_back_the_same(tmp_path, suffix):
    import hyperspy.api as hs

    data = counts(3, 4, 5, 16).astype(np.uint16)
    space = [{'name': n, 'scale': 2.0, 'units': 'nm', 'size': s} for n, s in (('y', 4), ('x', 5))]
    energy = {'name': 'Energy', 'scale': 0.01, 'offset': -0.1, 'units': 'keV', 'size': 16}
    for image, tilt in zip(data, (-10, 5, 20), strict=True):
        hs.signals.Signal1D(image, axes=[*space, energy]).save(str(tmp_path / f't_{tilt:+d}{suffix}'), overwrite=True)
    series = load_tilt_series(sorted(tmp_path.glob(f'*{suffix}')))
    assert series.angles.tolist() == [-10, 5, 20]
    np.testing.assert_array_equal(series.counts.compute(), data)
    np.testing.assert_allclose(series.energy, 0.01 * np.arange(16) - 0.1, atol=1e-6)
    assert (series.pixel_size, series.energy_unit, series.findings) == (2.0, 'keV', ())


def test_a_stack_written_as_emd_by_hyperspy_comes_back_the_same(tmp_path):
    import hyperspy.api as hs

    data = counts(3, 4, 5, 16).astype(np.uint8)
    axes: list[dict[str, Any]] = [{'name': 'tilt', 'scale': 15.0, 'offset': -10.0, 'units': 'deg', 'size': 3}]
    axes += [{'name': n, 'scale': 2.0, 'units': 'nm', 'size': s} for n, s in (('y', 4), ('x', 5))]
    axes.append({'name': 'Energy', 'scale': 0.01, 'offset': -0.1, 'units': 'keV', 'size': 16})
    hs.signals.Signal1D(data, axes=axes).save(str(tmp_path / 's.emd'), overwrite=True)
    series = load_tilt_series(tmp_path / 's.emd')
    assert series.angles.tolist() == [-10, 5, 20]
    np.testing.assert_array_equal(series.counts.compute(), data)
    hs.signals.Signal2D(data[..., 0], axes=axes[:3]).save(str(tmp_path / 'Fe.emd'), overwrite=True)
    maps = load_tilt_series(tmp_path / 'Fe.emd')
    np.testing.assert_array_equal(maps.data[0], data[..., 0])
    assert (maps.angles.tolist(), maps.pixel_size) == ([-10, 5, 20], 2.0)


# MRC


def disc(dtype: type = np.uint8) -> np.ndarray:
    """Bright in the middle (225), dark at the border (25): five images of 16 x 18."""
    y, x = np.mgrid[:16, :18]
    return np.stack([25 + 200 * np.exp(-((y - 8) ** 2 + (x - 9) ** 2) / (9.0 + i)) for i in range(5)]).astype(dtype)


def mrc(path: Path, data: np.ndarray, imod: int | None = None, year: int | None = None) -> Path:
    import mrcfile

    with mrcfile.new(path) as file:
        file.set_data(data)
        file.voxel_size = 10.0
        if imod is not None:
            extra = bytearray(bytes(file.header.extra2))
            extra[40:48] = np.array([1146047817, imod], '<i4').tobytes()
            file.header.extra2 = np.void(bytes(extra))
        if year is not None:
            file.header.nversion = year
    return path


def opened(path: Path, **options: Any) -> MapSeries:
    series = load_tilt_series(path, angles=[-2, -1, 0, 1, 2], **options)
    assert isinstance(series, MapSeries)
    return series


def test_signed_bytes_of_mrc2014(tmp_path):
    signed = (disc(np.int16) - 128).astype(np.int8)
    series = opened(mrc(tmp_path / 'Fe.mrc', signed))
    np.testing.assert_array_equal(series.data[0], signed)
    assert (series.pixel_size, series.findings) == (1.0, ())


def test_signed_bytes_of_imod_are_those_from_0_to_255(tmp_path):
    series = opened(mrc(tmp_path / 'Fe.st', (disc(np.int16) - 128).astype(np.int8), imod=1, year=0))
    np.testing.assert_array_equal(series.data[0], disc())


def test_unsigned_bytes_of_imod(tmp_path):
    series = opened(mrc(tmp_path / 'Fe.mrc', disc().view(np.int8), imod=0, year=0))
    np.testing.assert_array_equal(series.data[0], disc())
    assert not series.findings


def test_bytes_of_an_old_header_go_by_its_extremes_else_are_doubted(tmp_path):
    import mrcfile

    path = mrc(tmp_path / 'Fe.mrc', disc().view(np.int8), year=0)
    with mrcfile.open(path, 'r+') as file:
        file.header.dmin, file.header.dmax = 25, 225
    assert not opened(path).findings
    with mrcfile.open(path, 'r+') as file:
        file.header.dmin = file.header.dmax = 0
    series = opened(path)
    np.testing.assert_array_equal(series.data[0], disc())
    assert [finding.level for finding in series.findings] == ['doubt']
    assert 'does not say whether the bytes are signed' in series.findings[0].sentence
    with mrcfile.open(path, 'r+') as file:
        file.header.dmin, file.header.dmax = -128, 127
    np.testing.assert_array_equal(opened(path).data[0], disc().view(np.int8))


def swapped(path: Path) -> Path:
    """The same file in the other byte order."""
    import mrcfile

    with mrcfile.open(path) as file:
        header, data, extended = file.header.byteswap(), file.data.byteswap(), file.extended_header.tobytes()
        stamp = b'\x11\x11\0\0' if bytes(file.header.machst)[0] == 0x44 else b'DD\0\0'
    raw = bytearray(header.tobytes())
    raw[208:216] = b'MAP ' + stamp
    path.write_bytes(bytes(raw) + extended + data.tobytes())
    return path


@pytest.mark.parametrize('kind', ['i2', 'u2', 'f4', 'f2'])
def test_either_byte_order(tmp_path, kind):
    data = counts(5, 6, 9).astype(kind)
    np.testing.assert_array_equal(opened(mrc(tmp_path / 'Fe.mrc', data)).data[0], data)
    series = opened(swapped(tmp_path / 'Fe.mrc'))
    np.testing.assert_array_equal(series.data[0], data)
    assert series.pixel_size == 1.0


def test_big_endian_signed_bytes_of_imod(tmp_path):
    path = swapped(mrc(tmp_path / 'Fe.mrc', (disc(np.int16) - 128).astype(np.int8)))
    raw = bytearray(path.read_bytes())
    raw[152:160] = np.array([1146047817, 1], '>i4').tobytes()
    path.write_bytes(bytes(raw))
    np.testing.assert_array_equal(opened(path).data[0], disc())


def test_mrc_of_other_numbers_is_refused_by_their_name(tmp_path):
    mrc(tmp_path / 'Fe.mrc', counts(5, 6, 9).astype(np.complex64))
    with pytest.raises(InputError, match=r'^Fe\.mrc holds complex numbers in place of plain numbers; '):
        opened(tmp_path / 'Fe.mrc')


def test_one_angstrom_is_what_a_program_writes_that_does_not_know(tmp_path):
    import mrcfile

    mrc(tmp_path / 'Fe.mrc', counts(5, 6, 9).astype(np.int16))
    with mrcfile.open(tmp_path / 'Fe.mrc', 'r+') as file:
        file.voxel_size = 1.0
    with pytest.raises(InputError, match=r'Fe\.mrc has no pixel size in a unit of length; give the pixel size in nm'):
        opened(tmp_path / 'Fe.mrc')
    assert opened(tmp_path / 'Fe.mrc', pixel_size=0.5).pixel_size == 0.5


def test_tilts_of_serialem_are_read_from_the_extended_header(tmp_path):
    import mrcfile

    data = counts(5, 6, 9).astype(np.int16)
    mrc(tmp_path / 'Fe.mrc', data)
    with mrcfile.open(tmp_path / 'Fe.mrc', 'r+') as file:
        each = np.zeros((5, 4), '<i2')
        each[:, 0] = np.round(ANGLES * 100)
        file.set_extended_header(np.frombuffer(each.tobytes(), 'V1'))
        file.header.exttyp = b'SERI'
        extra = bytearray(bytes(file.header.extra2))
        # 8 bytes for each image; the tilt, and the intensity.
        extra[16:20] = np.array([8, 1 | 32], '<i2').tobytes()
        file.header.extra2 = np.void(bytes(extra))
    series = load_tilt_series(tmp_path / 'Fe.mrc')
    np.testing.assert_allclose(series.angles, ANGLES)
    np.testing.assert_array_equal(series.data[0], data)


def test_a_volume_without_angles_is_called_one(tmp_path):
    mrc(tmp_path / 'Fe.mrc', counts(12, 12, 12).astype(np.float32))
    with pytest.raises(InputError, match=r'^Fe\.mrc has 12 x 12 x 12 values and no tilt angles, like a 3-D volume; '):
        load_tilt_series(tmp_path / 'Fe.mrc')
    (tmp_path / 'Fe.mrc').rename(tmp_path / 'Fe.st')
    mrc(tmp_path / 'Ni.st', counts(12, 8, 9).astype(np.float32))
    with pytest.raises(InputError, match=r'^No tilt angles were found for the 12 images of Ni\.st; give them'):
        load_tilt_series(tmp_path / 'Ni.st')


def test_a_volume_keeps_its_size_along_z_to_be_looked_at(tmp_path):
    import mrcfile

    from napari_diptomo.series.reading.pictures import pictures_in

    with mrcfile.new(tmp_path / 'v.mrc', counts(4, 6, 9).astype(np.float32)) as file:
        file.voxel_size = (10.0, 10.0, 30.0)
        file.header.origin.y = 50.0
    (picture,) = pictures_in(tmp_path / 'v.mrc')
    assert [axis[0] for axis in picture.axes] == pytest.approx([3.0, 1.0, 1.0])
    assert [axis[1] for axis in picture.axes] == [0.0, 5.0, 0.0]
    assert picture.data.shape == (4, 6, 9)


# TIFF of ImageJ


def imagej(path: Path, data: np.ndarray, pixel: tuple[float, float] = (2.0, 2.0), **metadata: Any) -> Path:
    import tifffile

    metadata = {'axes': 'ZYX', 'unit': 'nm', **metadata}
    tifffile.imwrite(path, data, imagej=True, resolution=(1 / pixel[0], 1 / pixel[1]), metadata=metadata)
    return path


def test_signed_16_bit_of_imagej(tmp_path):
    data = counts(5, 6, 9) - 3
    path = imagej(tmp_path / 'Fe.tif', (data + 32768).astype(np.uint16), cf=0, c0=-32768.0, c1=1.0, vunit='Gray Value')
    np.testing.assert_array_equal(opened(path).data[0], data)


def test_slope_of_imagej(tmp_path):
    data = counts(5, 6, 9).astype(np.uint8)
    path = imagej(tmp_path / 'Fe.tif', data, cf=0, c0=-1.5, c1=0.25)
    np.testing.assert_allclose(opened(path).data[0], 0.25 * data - 1.5)
    np.testing.assert_array_equal(opened(imagej(tmp_path / 'Fe.tif', data, cf=20, c0=3.0)).data[0], data)


def test_a_calibration_of_imagej_that_is_no_line_is_refused(tmp_path):
    path = imagej(tmp_path / 'Fe.tif', counts(5, 6, 9).astype(np.uint8), cf=4, c0=1.0, c1=0.5)
    with pytest.raises(InputError, match=r'Fe\.tif has an intensity calibration of ImageJ that is no straight line'):
        opened(path)


def oblong(tmp_path: Path, kind: str) -> Path:
    """Pixels of 2 nm along x and 4 nm along y."""
    import hyperspy.api as hs
    import mrcfile
    import tifffile

    data, path = counts(5, 6, 9).astype(np.uint16), tmp_path / f'Fe.{kind}'
    if kind == 'mrc':
        with mrcfile.new(path, data.astype(np.int16)) as file:
            file.voxel_size = (20.0, 40.0, 20.0)
    elif kind == 'emd':
        axes = [('angles', '[deg]', ANGLES), ('y', '[n_m]', along(6, 4)), ('x', '[n_m]', along(9, 2))]
        berkeley(path, {'Fe': (data, axes)})
    elif kind == 'hspy':
        axes = [{'size': 5}, {'size': 6, 'scale': 4.0, 'units': 'nm'}, {'size': 9, 'scale': 2.0, 'units': 'nm'}]
        hs.signals.Signal2D(data, axes=axes).save(str(path))
    elif kind == 'tiff':
        tifffile.imwrite(path, data, resolution=(1e7 / 2, 1e7 / 4), resolutionunit=3)
    else:
        imagej(path, data, (2.0, 4.0))
    return path


@pytest.mark.parametrize('kind', ['tif', 'tiff', 'mrc', 'emd', 'hspy'])
@pytest.mark.parametrize('given', [None, 2.0])
def test_pixels_that_are_not_square_are_refused_with_both_sizes(tmp_path, kind, given):
    with pytest.raises(InputError, match=rf'Fe\.{kind} are not square \(2 nm along x, 4 nm along y\); resample'):
        opened(oblong(tmp_path, kind), pixel_size=given)


# Spectra: X-rays or losses, and in which order


def spectra(path: Path, data: np.ndarray, energy: dict[str, Any], **metadata: Any) -> None:
    import hyperspy.api as hs

    space = [{'name': n, 'size': s, 'scale': 2.0, 'units': 'nm'} for n, s in zip('yx', data.shape[:2], strict=True)]
    signal = hs.signals.Signal1D(data, axes=[*space, {'name': 'Energy', 'size': data.shape[2], **energy}])
    for key, value in metadata.items():
        signal.metadata.set_item(key.replace('__', '.'), value)
    signal.save(str(path), overwrite=True)


EV = {'units': 'eV', 'scale': 10.0, 'offset': -200.0}


@pytest.mark.parametrize('kind', ['EDS_TEM', 'EDS_SEM', ''])
def test_x_rays_in_ev_are_x_rays(tmp_path, kind):
    """By the type of signal, or where it says nothing by energies that no loss has."""
    for tilt in (-10, 10):
        spectra(tmp_path / f'{tilt}.hspy', counts(3, 4, 1024).astype(np.uint8), EV, Signal__signal_type=kind)
    series = load_tilt_series(tmp_path)
    assert series.energy_unit == 'keV'
    np.testing.assert_allclose(series.energy[[0, -1]], [-0.2, 10.03])


def test_losses_stay_losses_whatever_their_range(tmp_path):
    for tilt in (-10, 10):
        spectra(tmp_path / f'{tilt}.hspy', counts(3, 4, 1024).astype(np.uint8), EV, Signal__signal_type='EELS')
    assert load_tilt_series(tmp_path).energy_unit == 'eV'
    low = {'units': 'eV', 'scale': 1.0, 'offset': 400.0}
    for tilt in (-10, 10):
        spectra(tmp_path / f'{tilt}.hspy', counts(3, 4, 1024).astype(np.uint8), low)
    assert load_tilt_series(tmp_path).energy_unit == 'eV'


def test_the_type_of_signal_decides_where_the_microscope_has_both_detectors(tmp_path):
    both = {'EDS': {'elevation_angle': 18.0}, 'EELS': {'collection_angle': 30.0}}
    for tilt in (-10, 10):
        spectra(
            tmp_path / f'{tilt}.hspy',
            counts(3, 4, 64).astype(np.uint8),
            EV,
            Signal__signal_type='EDS_TEM',
            Acquisition_instrument__TEM__Detector=both,
        )
    assert load_tilt_series(tmp_path).energy_unit == 'keV'


def ripple(path: Path, data: np.ndarray, **header: Any) -> None:
    """Lispix's pair of files, recorded by image: (energy, y, x)."""
    depth, height, width = data.shape
    order = {1: 'dont-care'}.get(data.itemsize, 'big-endian' if data.dtype.byteorder == '>' else 'little-endian')
    lines = {
        'width': width, 'height': height, 'depth': depth, 'offset': 0, 'data-length': data.itemsize,
        'data-type': 'unsigned', 'byte-order': order, 'record-by': 'image', 'signal': 'EDS_TEM', 'width-scale': 2.0, 'width-units': 'nm', 'height-scale': 2.0,
        'height-units': 'nm', **header,
    }  # fmt: skip
    path.write_text('key\tvalue\n' + ''.join(f'{key}\t{value}\n' for key, value in lines.items()))
    data.tofile(path.with_suffix('.raw'))


@pytest.mark.parametrize('kind', ['<u2', '>u2', 'u1'])
@pytest.mark.parametrize(
    'header',
    [{'ev-per-chan': 10}, {'depth-scale': 0.01, 'depth-units': 'keV'}, {'depth-scale': 10.0, 'depth-units': 'eV'}],
)
def test_ripple_recorded_by_image(tmp_path, kind, header):
    cubes = counts(2, 32, 5, 7).astype(kind)
    for tilt, cube in zip((-10, 10), cubes, strict=True):
        ripple(tmp_path / f'{tilt}.rpl', cube, **header)
    series = load_tilt_series(sorted(tmp_path.glob('*.rpl')))
    np.testing.assert_array_equal(series.counts.compute(), np.moveaxis(cubes, 1, -1))
    np.testing.assert_allclose(series.energy, 0.01 * np.arange(32), atol=1e-12)
    assert (series.angles.tolist(), series.pixel_size, series.energy_unit) == ([-10, 10], 2.0, 'keV')


# What a file is, and what else it holds


def test_sound_hdf5_of_another_layout_is_named_by_what_it_holds(tmp_path):
    import h5py

    with h5py.File(tmp_path / 'Fe.h5', 'w') as file:
        file['exchange/data'] = np.ones((5, 8, 8), 'f4')
        file['exchange/theta'] = np.arange(5.0)
    with pytest.raises(InputError) as error:
        load_tilt_series(tmp_path / 'Fe.h5')
    assert str(error.value).startswith(
        'Fe.h5 is HDF5 of a layout that is not read here; it holds exchange/data 5 x 8 x 8, exchange/theta 5; '
    )


def test_what_is_refused_is_named(tmp_path):
    import h5py

    for name in ('text.h5', 'text.hspy', 'text.emd'):
        (tmp_path / name).write_text('no HDF5 ' * 200)
    with h5py.File(tmp_path / 'empty.emd', 'w') as file:
        file.attrs.update(version_major=0, version_minor=2)
    (tmp_path / 'view.jpg').write_bytes(b'\xff\xd8\xff')
    for name in ('bare.emd', 'bare.hspy'):
        with h5py.File(tmp_path / name, 'w') as file:
            for number in range(5):
                file[f'a{number}'] = np.ones((3, number + 1))
    bare = 'is HDF5 of a layout that is not read here; it holds a0 3 x 1, a1 3 x 2, a2 3 x 3 and 2 more; '
    for name, sentence in {
        **{
            f'text{end}': f'text{end} is no HDF5 file, or damaged at its beginning; '
            for end in ('.h5', '.hspy', '.emd')
        },
        'empty.emd': 'empty.emd holds no spectrum image and no stack of maps; ',
        'view.jpg': 'view.jpg is of no format that is read here; ',
        'bare.emd': f'bare.emd {bare}',
        'bare.hspy': f'bare.hspy {bare}',
    }.items():
        with pytest.raises(InputError) as error:
            load_tilt_series(tmp_path / name)
        assert str(error.value).startswith(sentence)


def test_a_single_image_in_mrc_is_one_tilt(tmp_path):
    image = counts(8, 9).astype(np.float32)
    mrc(tmp_path / 'Fe.mrc', image)
    maps = load_tilt_series(tmp_path / 'Fe.mrc', pixel_size=2.0)
    np.testing.assert_array_equal(maps.data, image[None, None])
    assert maps.channels == ('Fe',)
    assert any('0°' in finding.sentence for finding in maps.findings)


def test_pixels_of_ome(tmp_path):
    import tifffile

    data = counts(5, 6, 9).astype(np.uint16)
    size = {f'PhysicalSize{axis}{part}': value for axis in 'XY' for part, value in (('', 1.5), ('Unit', 'nm'))}
    tifffile.imwrite(tmp_path / 'Fe.ome.tif', data, metadata={'axes': 'ZYX', **size})
    series = opened(tmp_path / 'Fe.ome.tif')
    np.testing.assert_array_equal(series.data[0], data)
    assert series.pixel_size == 1.5
    tifffile.imwrite(tmp_path / 'Fe.ome.tif', data, metadata={'axes': 'ZYX', **size, 'PhysicalSizeY': 3.0})
    with pytest.raises(InputError, match=r'not square \(1\.5 nm along x, 3 nm along y\)'):
        opened(tmp_path / 'Fe.ome.tif')


@pytest.mark.parametrize(
    ('stems', 'channels'),
    [
        (('HAADF_Fe', 'Fe', 'Ni'), ('Fe', 'Ni')),
        (('Fe_HAADF_stack', 'Fe_K_stack', 'Ni_K_stack'), ('Fe_K', 'Ni_K')),
        (('HAADF_FeNi', 'Fe_map', 'Ni_map'), ('Fe_map', 'Ni_map')),
        (('HAADF-EDX_Fe', 'HAADF-EDX_Ni', 'HAADF-EDX_O'), ('Fe', 'Ni', 'O')),
        (('A HAADF Fe', 'Fe Ka A HAADF', 'Ni'), None),
    ],
)
def test_a_picture_is_one_whatever_element_its_name_holds(tmp_path, stems, channels):
    for i, stem in enumerate(stems):
        imagej(tmp_path / f'{stem}.tif', counts(5, 6, 9).astype(np.uint16) + i)
    series = opened(tmp_path)
    assert series.channels == (channels or ('Ni',))
    assert (series.haadf is not None) == (stems != ('HAADF-EDX_Fe', 'HAADF-EDX_Ni', 'HAADF-EDX_O'))


def test_a_picture_with_the_element_of_the_specimen_in_its_metadata(tmp_path):
    import hyperspy.api as hs

    for stem, plus in (('Fe', 0), ('HAADF', 50)):
        signal = hs.signals.Signal2D(counts(5, 6, 9).astype(np.uint16) + plus)
        for axis in signal.axes_manager.signal_axes:
            axis.scale, axis.units = 2.0, 'nm'
        signal.metadata.set_item('Sample.elements', ['Fe'])
        signal.save(str(tmp_path / f'{stem}.hspy'))
    series = opened(tmp_path)
    assert series.channels == ('Fe',)
    assert series.haadf.min() >= 50


def test_what_a_file_of_maps_holds_beside_is_named(tmp_path):
    axes = [('angles', '[deg]', ANGLES), ('y', '[n_m]', along(6)), ('x', '[n_m]', along(9))]
    groups = {'Fe': (counts(5, 6, 9), axes), 'survey': (counts(20, 30), [('y', '', along(20)), ('x', '', along(30))])}
    series = load_tilt_series(berkeley(tmp_path / 'maps.emd', groups))
    assert [finding.sentence for finding in series.findings] == [
        'maps.emd also holds an image survey (20 x 30), which was not opened.'
    ]


@pytest.mark.parametrize('kind', ['ImageJ', 'OME, channel by channel', 'OME, tilt by tilt'])
def test_the_channels_of_a_tiff_are_maps_of_their_own(tmp_path, kind):
    import tifffile

    ge, te = counts(5, 8, 6).astype(np.uint16), 20 + counts(5, 8, 6).astype(np.uint16)
    by_channel = kind.endswith('channel by channel')
    data = np.stack([ge, te], axis=0 if by_channel else 1)
    axes = {'axes': 'CZYX' if by_channel else 'ZCYX'}
    if kind == 'ImageJ':
        labels = {'unit': 'nm', 'Labels': ['Ge', 'Te'] * 5}
        tifffile.imwrite(tmp_path / 'maps.tif', data, imagej=True, resolution=(0.5, 0.5), metadata=axes | labels)
    else:
        named = {'Channel': {'Name': ['Ge', 'Te']}, 'PhysicalSizeX': 0.002, 'PhysicalSizeY': 0.002}
        tifffile.imwrite(tmp_path / 'maps.ome.tif', data, metadata=axes | named)
    series = load_tilt_series(tmp_path, angles=[-20, -10, 0, 10, 20])
    assert series.channels == ('Ge', 'Te') and series.pixel_size == pytest.approx(2)
    assert np.array_equal(series.data, [ge, te])
    with pytest.raises(InputError, match='10 angles for 5 images'):
        load_tilt_series(tmp_path, angles=range(-45, 55, 10))


def test_images_that_imagej_calls_channels_are_doubted(tmp_path):
    import tifffile

    data = counts(3, 8, 6).astype(np.uint16)
    metadata = {'axes': 'CYX', 'unit': 'nm', 'mode': 'composite'}
    tifffile.imwrite(tmp_path / 'GST.tif', data, imagej=True, resolution=(0.5, 0.5), metadata=metadata)
    series = load_tilt_series(tmp_path, angles=[-20, 0, 20])
    assert any('calls its 3 images channels' in finding.sentence for finding in series.findings)


def test_axes_of_a_tiff_that_nobody_names_are_refused_with_its_shape(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / 'Ge.tif', counts(2, 5, 8, 6), metadata={'axes': 'QQYX'})
    with pytest.raises(InputError, match=r'\(2, 5, 8, 6\)'):
        load_tilt_series(tmp_path, angles=range(-45, 55, 10), pixel_size=2)


def test_a_preview_in_a_tiff_is_no_tilt(tmp_path):
    import tifffile

    data = counts(5, 8, 6).astype(np.uint16)
    for reduced in (True, False):
        with tifffile.TiffWriter(tmp_path / 'Ge.tif') as file:
            for image in data:
                file.write(image, contiguous=False)
            file.write(data[0, ::2, ::2], contiguous=False, subfiletype=int(reduced))
        if reduced:
            assert np.array_equal(load_tilt_series(tmp_path, angles=range(5, 55, 10), pixel_size=2).data[0], data)
    with pytest.raises(InputError, match='images of different sizes'):
        load_tilt_series(tmp_path, angles=range(5, 55, 10), pixel_size=2)
