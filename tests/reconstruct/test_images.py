"""Image tilt series: dark level, noise, loading, and reconstruction of intensities that are no counts."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo import load_tilt_series
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.jobs.commands import facts
from napari_diptomo.reconstruct import SIRT, DIPmTV, TotalVariation
from napari_diptomo.series import InputError, MapSeries, as_images, load, save
from napari_diptomo.series.detector_images import find_dark_level, noise_model, without_dark_level

ANGLES = np.arange(-60, 61, 15.0)


def needle(size: int = 48) -> np.ndarray:
    """A round needle along y with layers of unlike brightness, (1, z, y, x)."""
    z, y, x = np.ogrid[:size, :size, :size]
    middle = (size - 1) / 2
    round_part = (z - middle) ** 2 + (x - middle) ** 2 < (size / 4) ** 2
    return (round_part * (60 + 40 * np.sin(y / 4)))[None].astype(np.float32)


def images(constant: float, slope: float, dark: float = 500.0, seed: int = 0) -> np.ndarray:
    """A tilt series (tilt, y, x) with variance = constant + slope * signal."""
    signal = ParallelBeam(ANGLES, (48, 48, 48)).project(needle())[0]
    noise = np.random.default_rng(seed).standard_normal(signal.shape)
    return signal + dark + noise * np.sqrt(constant + slope * signal)


@pytest.mark.parametrize('dark', [500.0, -31890.0, 0.0])
@pytest.mark.parametrize('whole', [False, True])
def test_the_dark_level_is_found_beside_the_specimen(dark, whole):
    recorded = images(30.0, 1.0, dark)
    found = find_dark_level(np.round(recorded) if whole else recorded)
    np.testing.assert_allclose(found.levels, dark, atol=1.0)
    outside = ParallelBeam(ANGLES, (48, 48, 48)).project(needle())[0] == 0
    # The rest is the faint rim of the needle.
    assert (found.dark & outside).sum() / found.dark.sum() > 0.95


def test_a_drifting_dark_level_is_followed():
    drift = np.linspace(0, 40, len(ANGLES))
    found = find_dark_level(images(30.0, 1.0) + drift[:, None, None])
    np.testing.assert_allclose(found.levels, 500 + drift, atol=1.5)


def test_corners_left_empty_by_an_alignment_are_not_dark():
    recorded = images(30.0, 1.0)
    recorded[:, :6] = 3.66
    found = find_dark_level(recorded)
    np.testing.assert_allclose(found.levels, 500, atol=1.5)
    assert not found.dark[:, :6].any()
    signal, _ = without_dark_level(recorded)
    assert (signal[:, :6] == 0).all()


def test_a_noiseless_detector_has_a_dark_level_too():
    found = find_dark_level(images(0.0, 0.0, 7.0))
    np.testing.assert_array_equal(found.levels, 7.0)


def test_a_specimen_that_fills_the_images_is_refused():
    """A lamella gets thicker with the tilt, a detector does not."""
    noise = np.random.default_rng(0).normal(1, 0.02, (len(ANGLES), 32, 32))
    lamella = 1000 * noise / np.cos(np.deg2rad(ANGLES))[:, None, None]
    with pytest.raises(InputError, match='give the dark level'):
        find_dark_level(lamella)


@pytest.mark.parametrize(('constant', 'slope'), [(100.0, 4.0), (400.0, 0.5), (2500.0, 0.0), (1.0, 20.0)])
def test_the_noise_is_a_constant_and_a_share_of_the_signal(constant, slope):
    recorded = images(constant, slope)
    found = find_dark_level(recorded)
    a, b = noise_model(recorded - found.levels[:, None, None], found.dark)
    assert a == pytest.approx(constant, rel=0.1)
    assert b == pytest.approx(slope, rel=0.15, abs=0.15)


def test_noise_smoothed_by_an_alignment_is_not_underrated():
    """White noise of variance v averaged over two rows has v / 2, and neighbours then differ by less."""
    recorded = images(200.0, 0.0)
    smooth = (recorded + np.roll(recorded, 1, axis=1))[:, 1:] / 2
    found = find_dark_level(smooth)
    a, _ = noise_model(smooth - found.levels[:, None, None], found.dark)
    assert a == pytest.approx(100.0, rel=0.15)


def test_subtracting_the_level_leaves_the_signal_and_is_recorded():
    recorded = images(100.0, 4.0)
    raw = MapSeries(np.round(recorded)[None], ANGLES, ('HAADF',), 2.0)
    assert raw.are_counts
    ready = as_images(raw)
    assert not ready.are_counts
    truth = ParallelBeam(ANGLES, (48, 48, 48)).project(needle())[0]
    assert abs(np.mean(ready.data[0] - truth)) < 1.0
    bright = truth > 0.5 * truth.max()
    assert np.median(ready.variance[0][bright] / (100 + 4 * truth[bright])) == pytest.approx(1, abs=0.15)
    assert 'dark level 500' in ready.notes['images'] and 'beside the specimen' in ready.notes['images']
    given = as_images(raw, 480.0)
    np.testing.assert_allclose(given.data, raw.data - 480)
    assert 'dark level 480 as given' in given.notes['images']
    with pytest.raises(InputError, match='No pixel is brighter'):
        as_images(raw, 1e6)


@pytest.mark.parametrize('suffix', ['.mrc', '.tif', '.hspy'])
def test_an_image_stack_opens_as_one_channel(tmp_path, suffix):
    recorded = np.round(images(100.0, 4.0)).astype(np.int16)
    path = write(tmp_path / f'HAADF{suffix}', recorded)
    series = load_tilt_series(path, list(ANGLES), pixel_size=2.0, binning=2, tilt_axis='x')
    assert isinstance(series, MapSeries) and series.channels == ('HAADF',) and series.transposed
    assert series.data.shape == (1, len(ANGLES), 24, 24) and not series.are_counts
    blocks = (recorded - 500.0).swapaxes(1, 2).reshape(len(ANGLES), 24, 2, 24, 2).sum((2, 4))
    np.testing.assert_allclose(series.data[0], blocks, atol=8)
    assert series.notes['images'].startswith('HAADF: dark level 500')
    again = load(save(series, tmp_path / 'saved.hspy'))
    np.testing.assert_array_equal(again.variance, series.variance)
    assert again.notes['images'] == series.notes['images']


def test_a_dark_level_given_is_that_of_a_pixel_of_the_files(tmp_path):
    path = write(tmp_path / 'tip.mrc', np.round(images(100.0, 4.0)).astype(np.int16))
    series = load_tilt_series(path, list(ANGLES), pixel_size=2.0, binning=2, dark_level=500.0)
    assert series.channels == ('tip',) and 'dark level 500 as given' in series.notes['images']
    assert series.recipe.source.dark_level == 500.0
    assert abs(np.median(series.data[..., :6])) < 10


def test_signed_images_of_any_name_are_no_counts(tmp_path):
    path = write(tmp_path / 'tip.mrc', np.round(images(100.0, 4.0, -20000.0)).astype(np.int16))
    series = load_tilt_series(path, list(ANGLES), pixel_size=2.0)
    assert 'images' in series.notes and abs(np.median(series.data[..., :8])) < 3


def test_info_and_notes_say_that_these_are_images():
    maps = as_images(MapSeries(images(100.0, 4.0)[None, :, 16:24], ANGLES, ('HAADF',)))
    described = facts(maps)
    assert described['kind'] == 'images of HAADF' and 'beside the specimen' in described['intensities']
    assert SIRT(iterations=1).run(maps).notes['statistics'] == 'Gaussian, with the variance measured on the images'


def test_maps_of_elements_have_no_dark_level(tmp_path):
    path = write(tmp_path / 'Fe.mrc', np.ones((3, 8, 8), np.int16))
    with pytest.raises(InputError, match='Maps of Fe have no dark level; leave it empty'):
        load_tilt_series(path, [-1, 0, 1], pixel_size=1.0, dark_level=3.0)


def test_an_offset_left_in_costs_more_than_the_noise():
    """The reason for all this: known truth, reconstructed with and without the dark level."""
    recorded = images(100.0, 4.0)
    raw = MapSeries(recorded[None], ANGLES, ('HAADF',))
    error = [np.sqrt(((SIRT(iterations=30).run(maps).data - needle()) ** 2).mean()) for maps in (raw, as_images(raw))]
    assert error[1] < 0.7 * error[0]


@pytest.mark.parametrize('count', [7, 2])
def test_few_images_are_reconstructed_by_every_method(count):
    keep = np.linspace(0, len(ANGLES) - 1, count).round().astype(int)
    recorded = images(100.0, 4.0)[keep][:, 16:28]
    maps = as_images(MapSeries(recorded[None], ANGLES[keep], ('HAADF',)))
    for step in (SIRT(iterations=5), TotalVariation(iterations=5), DIPmTV(iterations=3, widths=(4, 4))):
        volume = step.run(maps)
        assert volume.data.shape == (1, 48, 12, 48) and np.isfinite(volume.data).all()


def write(path, data: np.ndarray):
    if path.suffix == '.mrc':
        import mrcfile

        with mrcfile.new(path) as file:
            file.set_data(data)
    elif path.suffix == '.tif':
        import tifffile

        tifffile.imwrite(path, data)
    else:
        import hyperspy.api as hs

        hs.signals.Signal2D(data).save(str(path))
    return path
