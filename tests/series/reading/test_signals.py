"""HyperSpy signals in place of files, and series, maps and volumes as signals."""

from __future__ import annotations

import numpy as np
import pytest
from series_files import counts, write_spectra

from napari_diptomo.series import InputError, MapSeries, SpectralTiltSeries, Volume, load_tilt_series

ENERGY = {'name': 'Energy', 'scale': 0.01, 'offset': -0.1, 'units': 'keV'}


def image(data: np.ndarray, tilt: float | None = None, title: str = '', energy=ENERGY, kind='Signal1D', outer=()):
    import hyperspy.api as hs

    space = [{'name': n, 'size': s, 'scale': 2.0, 'units': 'nm'} for n, s in zip('yx', data.shape[-3:-1], strict=True)]
    axes = [*outer, *space, {**energy, 'size': data.shape[-1]}]
    signal = getattr(hs.signals, kind)(data, axes=axes)
    signal.metadata.General.title = title
    if tilt is not None:
        signal.metadata.set_item('Acquisition_instrument.TEM.Stage.tilt_alpha', tilt)
    return signal


@pytest.mark.parametrize('order', ['<u1', '>u2', '>f4'])
@pytest.mark.parametrize('lazy', [False, True])
def test_one_signal_with_the_tilt_among_its_axes(order, lazy):
    data = counts(1, (3, 8, 6, 16)).astype(order)
    tilt = {'name': 'tilt', 'units': 'deg', 'axis': np.array([-15.0, 2.0, 40.0])}
    signal = image(data, outer=[tilt])
    series = load_tilt_series(signal.as_lazy() if lazy else signal)
    assert isinstance(series, SpectralTiltSeries) and series.angles.tolist() == [-15, 2, 40]
    assert (series.pixel_size, series.energy_unit, series.energy[0]) == (2, 'keV', pytest.approx(-0.1))
    np.testing.assert_array_equal(series.counts.compute(), data)
    given = load_tilt_series(signal, [5, 3, 4], binning=2)
    np.testing.assert_array_equal(given.counts[0].compute(), data[1].reshape(4, 2, 3, 2, 16).sum((1, 3)))
    assert series.recipe.source.paths == ()


@pytest.mark.parametrize(('tilts', 'angles'), [((12.0, -7.0), None), ((None, None), [12, -7])])
def test_a_list_of_spectrum_images(tilts, angles):
    series = load_tilt_series([image(counts(k), tilt) for k, tilt in enumerate(tilts)], angles)
    assert series.angles.tolist() == [-7, 12]
    np.testing.assert_array_equal(series.counts.compute(), [counts(1), counts(0)])


def test_signals_that_were_loaded_are_as_their_files(tmp_path):
    import hyperspy.api as hs

    files = [write_spectra(tmp_path / f'GST_{tilt:+d}deg.hspy', counts(k)) for k, tilt in enumerate((20, -10))]
    series, from_files = load_tilt_series([hs.load(str(file)) for file in files]), load_tilt_series(files)
    assert series.angles.tolist() == from_files.angles.tolist() == [-10, 20]
    assert dict(series.metadata) == dict(from_files.metadata)
    np.testing.assert_array_equal(series.counts.compute(), from_files.counts.compute())


def test_low_and_core_loss_as_signals():
    low = {'name': 'Energy loss', 'scale': 0.5, 'offset': -2.0, 'units': 'eV'}
    core = {**low, 'offset': 40.0}
    series = load_tilt_series(
        [image(counts(k), energy=low, title=f'low {k}') for k in range(2)],
        [-5, 5],
        image(counts(9), energy=core, title='core'),
        core_loss_angles=[5],
    )
    assert series.energy_unit == 'eV' and series.core_loss.tilts == (1,)
    np.testing.assert_array_equal(series.core_loss.counts.compute(), counts(9)[None])
    with pytest.raises(InputError, match='give the core loss as signals too'):
        load_tilt_series([image(counts(), energy=low)], [0], 'core.dm4')


def test_stacks_of_maps_and_one_image():
    import hyperspy.api as hs

    def stack(data, title):
        signal = hs.signals.Signal2D(data)
        signal.metadata.General.title = title
        for axis, name in zip(signal.axes_manager._axes, 'tyx'[-data.ndim :], strict=True):
            axis.name, axis.units = name, 'nm' if name in 'yx' else ''
        return signal

    data = np.random.default_rng(0).poisson(4, (2, 3, 6, 8)).astype(np.float32)
    series = load_tilt_series([stack(data[0], 'Ge'), stack(data[1], 'Te')], [3, 1, 2], pixel_size=1.5)
    assert isinstance(series, MapSeries) and (series.channels, series.pixel_size) == (('Ge', 'Te'), 1.5)
    np.testing.assert_array_equal(series.data, data[:, [1, 2, 0]])
    one = load_tilt_series(stack(data[0, 0], 'Ge'), [7])
    assert one.data.shape == (1, 1, 6, 8) and one.angles.tolist() == [7]


def test_signals_that_are_none(tmp_path):
    import hyperspy.api as hs

    with pytest.raises(InputError, match='given together'):
        load_tilt_series([image(counts()), tmp_path])
    with pytest.raises(InputError, match=r'"signal 1" has the axes \(\? \| \?\)'):
        load_tilt_series(hs.signals.Signal1D(np.ones((3, 4))))
    bad = counts().astype(float)
    bad[0, 0, 0] = np.nan
    with pytest.raises(InputError, match='not numbers'):
        load_tilt_series(image(bad, title='bad'), [0]).counts.compute()


# Back again


@pytest.mark.parametrize('unit', ['keV', 'eV'])
@pytest.mark.parametrize('angles', [[-10.0, 0.0, 10.0], [-10.0, 3.0, 10.0], [4.0]])
def test_spectra_as_a_signal_and_back(unit, angles):
    import dask.array as da

    data = counts(0, (len(angles), 4, 5, 16))
    energy = -0.1 + 0.01 * np.arange(16)
    series = SpectralTiltSeries(da.from_array(data), energy, angles, 1.25, unit, metadata={'beam_energy': 300.0})
    signal = series.to_hyperspy()
    assert signal._lazy and signal.metadata.Signal.signal_type == ('EELS' if unit == 'eV' else 'EDS_TEM')
    names = [axis.name for axis in signal.axes_manager._axes]
    assert names[:3] == ['tilt', 'y', 'x'] and signal.axes_manager.signal_axes[0].units == unit
    assert [axis.scale for axis in signal.axes_manager._axes[1:3]] == [1.25, 1.25]
    np.testing.assert_allclose(signal.axes_manager._axes[0].axis, angles)
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 300
    again = load_tilt_series(signal)
    np.testing.assert_array_equal(again.counts.compute(), data)
    np.testing.assert_allclose(again.energy, energy, atol=1e-12)
    assert (again.angles.tolist(), again.pixel_size, again.energy_unit) == (angles, 1.25, unit)


def test_maps_as_a_signal_and_back():
    data = np.random.default_rng(0).poisson(4, (2, 3, 6, 8)).astype(np.float32)
    maps = MapSeries(data, [-40, 3, 11], ('Ge', 'Te_L'), 1.5)
    signal = maps.to_hyperspy()
    assert signal.data is maps.data and signal.axes_manager.signal_shape == (8, 6)
    again = load_tilt_series(signal)
    assert (again.channels, again.angles.tolist(), again.pixel_size) == (('Ge', 'Te_L'), [-40, 3, 11], 1.5)
    np.testing.assert_array_equal(again.data, data)


def test_a_volume_as_a_signal():
    volume = Volume(np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5), ('Ge', 'Te'), 0.7)
    signal = volume.to_hyperspy()
    np.testing.assert_array_equal(signal.data, volume.data)
    axes = signal.axes_manager._axes
    assert [(axis.name, axis.scale) for axis in axes[1:]] == [('z', 0.7), ('y', 0.7), ('x', 0.7)]
    assert {axis.units for axis in axes[1:]} == {'nm'} and signal.metadata.General.title == 'Ge, Te'
