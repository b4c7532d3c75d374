"""Images that are stored tilt by tilt: a file each, or a file of frames each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from series_files import write_maps

from napari_diptomo.series import Contradiction, InputError, load_tilt_series

TILTS = (-40, -15, 0, 30)


def image(number: int, shape: tuple[int, int] = (6, 8)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 9, (1, *shape)).astype(np.float32)


def write_image(path: Path, data: np.ndarray, tilt: float | None = None, nm: float = 2.0, title: str = '') -> Path:
    """As DigitalMicrograph or a script saves an image: with the tilt of the stage among its metadata."""
    import hyperspy.api as hs

    axes = [{'name': n, 'size': s, 'scale': nm, 'units': 'nm'} for n, s in zip('yx', data.shape, strict=True)]
    signal = hs.signals.Signal2D(data, axes=axes)
    signal.metadata.General.title = title
    if tilt is not None:
        signal.metadata.set_item('Acquisition_instrument.TEM.Stage.tilt_alpha', tilt)
    signal.save(str(path))
    return path


def test_a_file_per_tilt_is_a_series_in_the_order_of_the_angles(tmp_path):
    for number, tilt in enumerate(TILTS):
        write_maps(tmp_path / f'Fe_{tilt}.tif', image(number))
    series = load_tilt_series(tmp_path)
    assert (series.channels, series.angles.tolist()) == (('Fe',), list(TILTS))
    assert series.pixel_size == pytest.approx(1.07, rel=1e-5)
    np.testing.assert_array_equal(series.data[0], np.concatenate([image(number) for number in range(4)]))


def test_every_element_has_its_image_of_every_tilt(tmp_path):
    for number, tilt in enumerate(TILTS):
        for element, more in (('Ge', 0), ('Te', 10)):
            write_maps(tmp_path / f'GST_{tilt:+d}deg_{element}.tif', image(number + more))
    series = load_tilt_series(tmp_path)
    assert (series.channels, series.angles.tolist()) == (('Ge', 'Te'), list(TILTS))
    np.testing.assert_array_equal(series.data[1, 2], image(12)[0])
    (tmp_path / 'GST_+0deg_Te.tif').unlink()
    with pytest.raises(InputError, match='4 images of Ge and 3 of Te'):
        load_tilt_series(tmp_path)


def test_the_stage_says_the_angle_of_each_image_and_is_compared_with_the_names(tmp_path):
    for number, tilt in enumerate(TILTS[::-1]):
        write_image(tmp_path / f'HAADF_{number}.hspy', 100 * image(number)[0], tilt + 0.3, title='HAADF')
    series = load_tilt_series(tmp_path, dark_level=0)
    np.testing.assert_allclose(series.angles, np.array(TILTS) + 0.3)
    np.testing.assert_array_equal(series.data[0, -1], 100 * image(0)[0])
    assert series.positions == (3, 2, 1, 0)
    other = tmp_path / 'other'
    other.mkdir()
    for number, tilt in enumerate(TILTS):
        write_image(other / f'HAADF_{tilt:+d}deg.hspy', image(number)[0], -2.0 * tilt, title='HAADF')
    with pytest.raises(Contradiction, match='metadata of the image'):
        load_tilt_series(other, dark_level=0)


def test_frames_of_each_tilt_are_summed_where_their_own_tables_say_so(tmp_path):
    import mrcfile

    for number, tilt in enumerate((5.0, 0.0, -5.0)):
        path = tmp_path / f'tomo_{number:03d}.mrc'
        with mrcfile.new(path) as file:
            file.set_data(np.concatenate([image(10 * number + frame) for frame in range(3)]))
            file.voxel_size = 20.0
        rows = [f'[ZValue = {frame}]\nTiltAngle = {tilt + 0.001}\n' for frame in range(3)]
        path.with_suffix('.mrc.mdoc').write_text('PixelSpacing = 20\n\n' + '\n'.join(rows))
    series = load_tilt_series(tmp_path, dark_level=0)
    np.testing.assert_allclose(series.angles, [-4.999, 0.001, 5.001])
    np.testing.assert_array_equal(series.data[0, 0], sum(image(20 + frame)[0] for frame in range(3)))
    assert [finding.about for finding in series.findings] == ['frames']
    assert 'frames of one tilt, 3 in tomo_000.mrc; they are summed' in series.findings[0].sentence


def test_stacks_of_elements_whose_stage_was_not_read_out_are_no_frames(tmp_path):
    import hyperspy.api as hs

    for element in ('Ge', 'Te'):
        axes = [{'name': n, 'size': s, 'scale': 2.0, 'units': 'nm'} for n, s in (('y', 6), ('x', 8))]
        signal = hs.signals.Signal2D(np.ones((3, 6, 8)), axes=[{'name': 'tilt', 'size': 3}, *axes])
        signal.metadata.set_item('Acquisition_instrument.TEM.Stage.tilt_alpha', [0.0, 0.0, 0.0])
        signal.save(str(tmp_path / f'{element}.hspy'))
    assert load_tilt_series(tmp_path, [-10, 0, 10]).data.shape == (2, 3, 6, 8)


def test_images_of_another_size_or_magnification_are_named(tmp_path):
    write_image(tmp_path / 'Fe_-10.hspy', image(0)[0])
    write_image(tmp_path / 'Fe_+10.hspy', image(1)[0], nm=4.0)
    with pytest.raises(InputError, match=r'pixels of Fe_.*hspy are .* recorded at one magnification'):
        load_tilt_series(sorted(tmp_path.glob('Fe_*.hspy')))
    (tmp_path / 'Fe_+10.hspy').unlink()
    write_image(tmp_path / 'Fe_+10.hspy', image(1, (6, 9))[0])
    with pytest.raises(InputError, match='bring the'):
        load_tilt_series(sorted(tmp_path.glob('Fe_*.hspy')))


def test_bright_field_is_doubted(tmp_path):
    for number, tilt in enumerate(TILTS):
        write_maps(tmp_path / f'BF_{tilt:+d}.tif', 100 * image(number))
    series = load_tilt_series(tmp_path, dark_level=0)
    assert [(finding.level, finding.about) for finding in series.findings] == [('doubt', 'bright field')]


def test_etspy_saves_its_tilts_as_a_signal_among_the_metadata(tmp_path):
    etspy = pytest.importorskip('etspy.base')
    data = np.random.default_rng(0).poisson(5, (5, 8, 6)).astype(np.uint16)
    stack = etspy.TomoStack(data, tilts=np.array([-30, -14, 2, 18.5, 31]))
    for axis in stack.axes_manager.signal_axes:
        axis.scale, axis.units = 2.0, 'nm'
    stack.save(str(tmp_path / 'Fe.hspy'))
    for opened in (load_tilt_series(tmp_path / 'Fe.hspy'), load_tilt_series(stack)):
        assert opened.angles.tolist() == [-30, -14, 2, 18.5, 31]
        assert opened.pixel_size == pytest.approx(2)
        np.testing.assert_array_equal(opened.data[0], data)


def test_a_table_that_shares_its_name_with_another_stack_is_left_to_that(tmp_path):
    import hyperspy.api as hs

    axes = [{'name': 'tilt', 'size': 3, 'scale': 10.0, 'offset': -10.0, 'units': 'deg'}]
    axes += [{'name': n, 'size': s, 'scale': 2.0, 'units': 'nm'} for n, s in (('y', 6), ('x', 8))]
    hs.signals.Signal2D(np.ones((3, 6, 8)), axes=axes).save(str(tmp_path / 'Fe.hspy'))
    (tmp_path / 'Fe.rawtlt').write_text('-20\n-10\n0\n10\n20\n')
    with pytest.raises(InputError, match='5 angles for 3 images'):
        load_tilt_series(tmp_path / 'Fe.hspy')
    write_maps(tmp_path / 'Fe.tif', np.ones((5, 6, 8), np.float32))
    series = load_tilt_series(tmp_path / 'Fe.hspy')
    assert series.angles.tolist() == [-10, 0, 10]
    assert 'passed over' in series.findings[0].sentence
    assert load_tilt_series(tmp_path / 'Fe.tif').angles.tolist() == [-20, -10, 0, 10, 20]
