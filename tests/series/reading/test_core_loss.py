"""Low loss of all tilts with the core loss of some: how they are found, matched and refused."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from series_files import REAL, counts, write_spectra

from napari_diptomo.series import (
    CoreLoss,
    InputError,
    Recipe,
    SpectralTiltSeries,
    load_tilt_series,
    open_source,
)

LOW = {'name': 'Energy loss', 'scale': 0.5, 'offset': -5.0, 'units': 'eV'}
CORE = {'name': 'Energy loss', 'scale': 2.0, 'offset': 690.0, 'units': 'eV'}
PIXELS = (8, 6)


def write(
    path: Path, seed: int, axis=None, *, shape=PIXELS, tilt=None, pixel=(2.0, 'nm'), channels=32, tilt_axis=None
) -> Path:
    """A spectrum image as an energy filter writes it; a stack with ``tilt_axis``."""
    import hyperspy.api as hs

    path.parent.mkdir(exist_ok=True)
    stack = () if tilt_axis is None else (tilt_axis['size'] if 'size' in tilt_axis else len(tilt_axis['axis']),)
    data = counts(seed, (*stack, *shape, channels)).astype(np.uint16)
    space = [{'name': n, 'size': s, 'scale': pixel[0], 'units': pixel[1]} for n, s in zip('yx', shape, strict=True)]
    axes = [*([tilt_axis] if tilt_axis else []), *space, {**(axis or LOW), 'size': channels}]
    signal = hs.signals.Signal1D(data, axes=axes)
    signal.metadata.set_item('Acquisition_instrument.TEM.Detector.EELS.collection_angle', 27.8)
    if tilt is not None:
        signal.metadata.set_item('Acquisition_instrument.TEM.Stage.tilt_alpha', tilt)
    signal.save(str(path), overwrite=True)
    return path


def write_both(path: Path, low_seed: int, core_seed: int, **options) -> Path:
    """Dual EELS: low and core loss in one file."""
    import h5py

    core = write(path.with_name('core.part.hspy'), core_seed, CORE, **options)
    write(path, low_seed, **options)
    with h5py.File(path, 'r+') as whole, h5py.File(core) as part:
        name = next(iter(part['Experiments']))
        part.copy(part['Experiments'][name], whole['Experiments'], name='core loss')
    core.unlink()
    return path


def expected(seed: int, shape=PIXELS, channels=32) -> np.ndarray:
    return counts(seed, (*shape, channels))


@pytest.fixture
def low(tmp_path: Path) -> Path:
    """Three tilts of low loss, out of order."""
    for seed, tilt in enumerate((10, -20, 0)):
        write(tmp_path / 'low' / f'cube_low_{tilt:+d}deg.hspy', seed)
    return tmp_path / 'low'


def test_the_core_loss_of_one_tilt_is_matched_by_its_name(low):
    core = write(low.parent / 'core' / 'cube_core_+0deg.hspy', 9, CORE)
    series = load_tilt_series(low, core_loss=core)
    assert series.energy_unit == 'eV' and series.angles.tolist() == [-20, 0, 10]
    assert series.core_loss.tilts == (1,)
    assert isinstance(series.core_loss.counts, da.Array) and series.core_loss.counts.dtype == np.uint16
    np.testing.assert_array_equal(series.core_loss.counts.compute(), expected(9)[None])
    np.testing.assert_allclose(series.core_loss.energy, 690 + 2.0 * np.arange(32))
    np.testing.assert_allclose(series.energy, -5 + 0.5 * np.arange(32))
    assert series.core_loss.metadata['angle_source'] == 'from the file names'
    assert series.core_loss.metadata['collection_angle'] == 27.8


def test_some_and_all_tilts_in_any_order(low):
    for seed, tilt in enumerate((0, 10, -20), start=20):
        write(low.parent / 'core' / f'cube_core_{tilt:+d}deg.hspy', seed, CORE)
    everything = load_tilt_series(low, core_loss=low.parent / 'core')
    assert everything.core_loss.tilts == (0, 1, 2)
    np.testing.assert_array_equal(everything.core_loss.counts.compute(), np.stack([expected(s) for s in (22, 20, 21)]))
    files = [low.parent / 'core' / f'cube_core_{tilt}deg.hspy' for tilt in ('+10', '-20')]
    some = load_tilt_series(low, core_loss=files)
    assert some.core_loss.tilts == (0, 2)
    np.testing.assert_array_equal(some.core_loss.counts[0].compute(), expected(22))


def test_binning_transposition_and_pixel_size_treat_both_alike(low):
    core = write(low.parent / 'core_+10deg.hspy', 9, CORE)
    series = load_tilt_series(low, core_loss=core, binning=2, tilt_axis='x')
    assert series.core_loss.counts.shape == (1, 3, 4, 32) == (1, *series.counts.shape[1:3], 32)
    blocks = expected(9).swapaxes(0, 1).reshape(3, 2, 4, 2, 32).sum(axis=(1, 3))
    np.testing.assert_array_equal(series.core_loss.counts[0].compute(), blocks)
    assert series.core_loss.tilts == (2,) and series.transposed and series.pixel_size == 4.0


def test_the_metadata_are_accepted_where_those_of_the_low_loss_are_right(tmp_path):
    for name, tilt in (('a', 12.0), ('b', -7.5), ('c', 30.0)):
        write(tmp_path / 'low' / f'{name}.hspy', 1, tilt=tilt)
    core = write(tmp_path / 'spectrum 12.hspy', 9, CORE, tilt=-7.3)
    series = load_tilt_series(tmp_path / 'low', core_loss=core)
    assert series.core_loss.tilts == (0,)
    assert series.core_loss.metadata['angle_source'] == 'from the metadata'
    # A stage that is not read out says 0 whatever it did: the name holds the tilt.
    for tilt in (0, 10, 25):
        write(tmp_path / 'still' / f'low_{tilt:+d}deg.hspy', 1, tilt=0.0)
    core = write(tmp_path / 'core_+25deg.hspy', 9, CORE, tilt=0.0)
    assert load_tilt_series(tmp_path / 'still', core_loss=core).core_loss.tilts == (2,)


def test_angles_can_be_given(low):
    core = write(low.parent / 'whatever.hspy', 9, CORE)
    assert load_tilt_series(low, core_loss=core, core_loss_angles=-20.2).core_loss.tilts == (0,)
    assert load_tilt_series(low, [5, 50, 25], core_loss=core, core_loss_angles=[50]).core_loss.tilts == (2,)


def test_files_in_folders_of_the_tilts_and_names_shared_with_the_low_loss(tmp_path):
    for tilt in (-15, 0, 15):
        (tmp_path / f'tilt_{tilt}').mkdir()
        write(tmp_path / f'tilt_{tilt}' / 'low.hspy', 1)
    core = write(tmp_path / 'tilt_15' / 'core.hspy', 9, CORE)
    lows = sorted(tmp_path.glob('*/low.hspy'))
    assert load_tilt_series(lows, core_loss=core).core_loss.tilts == (2,)
    for name in ('first', 'second'):
        write(tmp_path / 'l' / f'{name}.hspy', 1)
    core = write(tmp_path / 'k' / 'second.hspy', 9, CORE)
    assert load_tilt_series(tmp_path / 'l', [4, -4], core_loss=core).core_loss.tilts == (0,)


def test_dual_eels_in_one_file(tmp_path):
    write_both(tmp_path / 'dual_+30deg.hspy', 1, 11)
    write_both(tmp_path / 'dual_-30deg.hspy', 2, 12)
    write(tmp_path / 'dual_+0deg.hspy', 3)
    series = load_tilt_series(tmp_path, binning=2)
    np.testing.assert_array_equal(series.counts[2].compute(), expected(1).reshape(4, 2, 3, 2, 32).sum((1, 3)))
    assert series.core_loss.tilts == (0, 2)
    np.testing.assert_array_equal(
        series.core_loss.counts[0].compute(), expected(12).reshape(4, 2, 3, 2, 32).sum((1, 3))
    )
    same_file = load_tilt_series(tmp_path, core_loss=tmp_path / 'dual_-30deg.hspy')
    assert same_file.core_loss.tilts == (0,)
    assert same_file.core_loss.metadata['angle_source'] == 'from the files of the low loss'


def test_stacks(tmp_path):
    axis = {'name': 'tilt', 'units': 'deg', 'axis': np.array([-15.0, 2.0, 40.0])}
    lows = write(tmp_path / 'low.hspy', 1, tilt_axis=axis)
    core = write(tmp_path / 'core.hspy', 2, CORE, tilt_axis={**axis, 'axis': np.array([2.1, 39.9])})
    series = load_tilt_series(lows, core_loss=core)
    assert series.core_loss.tilts == (1, 2)
    np.testing.assert_array_equal(series.core_loss.counts.compute(), counts(2, (2, *PIXELS, 32)))
    plain = {'name': 'tilt', 'units': '', 'size': 3}
    write(tmp_path / 'low.hspy', 1, tilt_axis=plain)
    write(tmp_path / 'core.hspy', 2, CORE, tilt_axis=plain)
    unordered = load_tilt_series(lows, [5, 3, 4], core_loss=core)
    np.testing.assert_array_equal(unordered.core_loss.counts.compute(), counts(2, (3, *PIXELS, 32))[[1, 2, 0]])
    one = write(tmp_path / 'core at 4.hspy', 7, CORE)
    assert load_tilt_series(lows, [5, 3, 4], core_loss=one).core_loss.tilts == (1,)
    both = write_both(tmp_path / 'both.hspy', 1, 2, tilt_axis=plain)
    dual = load_tilt_series(both, [5, 3, 4])
    np.testing.assert_array_equal(dual.core_loss.counts.compute(), counts(2, (3, *PIXELS, 32))[[1, 2, 0]])
    np.testing.assert_array_equal(dual.counts.compute(), counts(1, (3, *PIXELS, 32))[[1, 2, 0]])


def test_the_recipe_opens_the_same(low):
    core = write(low.parent / 'whatever.hspy', 9, CORE)
    first = load_tilt_series(low, core_loss=core, core_loss_angles=[10])
    assert first.recipe.source.core_loss == (str(core),)
    again = open_source(Recipe.from_json(first.recipe.to_json()).source)
    assert again.core_loss.tilts == (2,)
    text = first.recipe.to_json().replace(str(low.parent) + '/', '')
    (low.parent / 'recipe.json').write_text(text)
    moved = open_source(Recipe.load(low.parent / 'recipe.json').source)
    np.testing.assert_array_equal(moved.core_loss.counts.compute(), expected(9)[None])


def test_old_recipes_have_no_core_loss(low):
    source = load_tilt_series(low).recipe.to_dict()
    del source['source']['core_loss'], source['source']['core_loss_angles']
    assert open_source(Recipe.from_dict(source).source).core_loss is None


@pytest.mark.skipif(not (REAL / 'readers').is_dir(), reason='the reader fixtures are not beside the repository')
def test_a_gatan_file_as_the_core_loss(tmp_path):
    for tilt in (-30.0, 0.0, 30.0):
        write(tmp_path / f'low_{tilt:+.0f}.hspy', 1, shape=(2, 2), tilt=tilt, pixel=(1.992, 'nm'))
    series = load_tilt_series(tmp_path, core_loss=REAL / 'readers' / 'EELS_SI.dm4')
    assert series.core_loss.tilts == (1,), 'its stage was at 0.002 deg'
    assert series.core_loss.energy[[0, -1]].tolist() == [300.0, 2347.0]
    assert series.core_loss.counts.shape == (1, 2, 2, 2048)
    assert series.core_loss.metadata['detector'] == 'GIF Quantum ER'


def test_the_terminal_reports_the_core_loss(low):
    from typer.testing import CliRunner

    from napari_diptomo.cli import app

    core = write(low.parent / 'core_+10deg.hspy', 9, CORE)
    result = CliRunner().invoke(app, ['info', str(low), '--core-loss', str(core)], env={'COLUMNS': '200'})
    assert result.exit_code == 0, result.output
    assert '32 channels, 690 to 752 eV, at 10° (from the file names)' in result.stdout
    behind_zero = np.mean([expected(seed)[..., 11:].sum(-1).mean() for seed in range(3)])
    assert f'{behind_zero:.3g} per pixel and tilt' in result.stdout


# What can be wrong


def refused(match: str, *args, **kwargs) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_tilt_series(*args, **kwargs)
    text = str(caught.value)
    assert text.count('\n') == 0 and text.endswith('.')


def test_core_losses_that_do_not_belong(low):
    there = low.parent
    refused(
        r'small_\+0deg\.hspy has 5 x 8 pixels', low, core_loss=write(there / 'small_+0deg.hspy', 1, CORE, shape=(8, 5))
    )
    refused('pixels of 3 nm', low, core_loss=write(there / 'wide_+0deg.hspy', 1, CORE, pixel=(3.0, 'nm')))
    refused(r'is of 33°, .* nearest is 10°', low, core_loss=write(there / 'cube_core_+33deg.hspy', 1, CORE))
    first, second = (write(there / 'k' / f'core{n}_+10deg.hspy', 1, CORE) for n in 'ab')
    refused('both of the tilt at 10°', low, core_loss=[first, second], core_loss_angles=[10, 10])
    refused('1 core-loss angles for 2 core-loss files', low, core_loss=[first, second], core_loss_angles=[10])
    refused('another energy calibration', low, core_loss=[
        write(there / 'm' / 'core_+10deg.hspy', 1, CORE), write(there / 'm' / 'core_+0deg.hspy', 1, {**CORE, 'offset': 700.0})
    ])  # fmt: skip
    refused('not known at which tilt', low, core_loss=write(there / 'map.hspy', 1, CORE))
    refused('holds a low loss', low, core_loss=low / 'cube_low_+0deg.hspy')
    refused('There is no file or folder', low, core_loss=there / 'gone')


def test_a_low_loss_without_zero_loss(tmp_path):
    for tilt in (-10, 10):
        write(tmp_path / f'{tilt:+d}deg.hspy', 1, {**LOW, 'offset': 20.0})
    core = write(tmp_path / 'core' / 'core_+10deg.hspy', 9, CORE)
    refused('no zero loss in its range', sorted(tmp_path.glob('*.hspy')), core_loss=core)


def test_x_rays_have_no_core_loss(tmp_path):
    for tilt in (-10, 10):
        write_spectra(tmp_path / f'edx_{tilt:+d}.hspy', counts())
    core = write(tmp_path / 'core_+10deg.hspy', 9, CORE)
    refused('belongs to EELS', sorted(tmp_path.glob('edx*')), core_loss=core)


def series_with(core: CoreLoss | None, **values) -> SpectralTiltSeries:
    made = {'counts': np.ones((3, 4, 5, 6)), 'energy': np.arange(6), 'angles': [-1, 0, 1], 'pixel_size': 1.0}
    return SpectralTiltSeries(**{'energy_unit': 'eV', 'core_loss': core, **made, **values})


def test_a_series_checks_its_core_loss():
    good = CoreLoss(np.ones((2, 4, 5, 7)), np.arange(7) + 700, (0, 2))
    assert series_with(good).core_loss.tilts == (0, 2)
    for change, match in (
        ({'tilts': (2, 0)}, 'ascending'),
        ({'tilts': (1, 1)}, 'once each'),
        ({'tilts': (1,)}, '1 tilts named for 2'),
        ({'energy': np.arange(6)}, '6 energies for 7'),
        ({'counts': np.ones((4, 5, 7))}, 'not 3 axes'),
    ):
        values = {'counts': good.counts, 'energy': good.energy, 'tilts': good.tilts}
        with pytest.raises(InputError, match=match):
            CoreLoss(**{**values, **change})
    with pytest.raises(InputError, match='the series has 3'):
        series_with(CoreLoss(good.counts, good.energy, (0, 3)))
    with pytest.raises(InputError, match='7 x 4 pixels'):
        series_with(CoreLoss(np.ones((1, 4, 7, 2)), [1, 2], (0,)))
    with pytest.raises(InputError, match='X-rays'):
        series_with(good, energy_unit='keV')
