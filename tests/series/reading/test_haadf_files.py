"""A HAADF series beside spectra and maps: its files, angles and pixels, and what carries it along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from series_files import counts, write_maps

from napari_diptomo import (
    SIRT,
    EdgeMaps,
    EDXMaps,
    HAADFSeries,
    MapSeries,
    Recipe,
    load,
    load_haadf_series,
    load_tilt_series,
    simulate,
)
from napari_diptomo.jobs import run, transfer
from napari_diptomo.jobs.reading import open_isolated
from napari_diptomo.series import InputError, Source, with_haadf, with_own_haadf
from napari_diptomo.series.haadf_of_series import described, own_images
from napari_diptomo.series.haadf_orientation import Orientation
from napari_diptomo.series.haadf_pixels import usable_pixels
from napari_diptomo.series.tilts import in_use
from napari_diptomo.simulate.core_loss import core_loss_tilt_series

ANGLES = np.arange(-20.0, 21.0, 10.0)
TILTS = np.arange(-60.0, 61.0, 20.0)


@pytest.fixture
def images() -> np.ndarray:
    """(tilt, y, x) of 2 nm pixels, more of them than the maps have, at descending tilts when they are stored so."""
    return np.random.default_rng(3).normal(500, 40, (len(TILTS), 12, 10)).astype(np.float32)


@pytest.fixture
def maps_file(tmp_path: Path) -> Path:
    return write_maps(tmp_path / 'Ge.tif', np.stack([counts(i)[..., 0] for i in range(5)]).astype(np.float32), 2.0)


def haadf_file(folder: Path, data: np.ndarray, name: str = 'HAADF.tif', pixel: float = 2.0) -> Path:
    (folder / 'haadf').mkdir(exist_ok=True)
    return write_maps(folder / 'haadf' / name, data.astype(np.float32), pixel)


def test_images_as_recorded_sorted_by_angle(tmp_path: Path, images: np.ndarray) -> None:
    file = haadf_file(tmp_path, images[::-1])
    found = load_haadf_series(file, angles=TILTS[::-1])
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.angles, TILTS)
    assert found.pixel_size == pytest.approx(2.0)


def test_angles_of_names_and_of_a_table_beside_the_images(tmp_path: Path, images: np.ndarray) -> None:
    for angle, image in zip(TILTS, images, strict=True):
        haadf_file(tmp_path, image[None], f'HAADF_{angle:+.0f}deg.tif')
    named = load_haadf_series(tmp_path / 'haadf')
    np.testing.assert_array_equal(named.angles, TILTS)
    np.testing.assert_array_equal(named.images, images)
    (tmp_path / 'stack').mkdir()
    write_maps(tmp_path / 'stack' / 'HAADF.tif', images, 2.0)
    (tmp_path / 'stack' / 'HAADF.rawtlt').write_text('\n'.join(str(angle) for angle in TILTS))
    np.testing.assert_array_equal(load_haadf_series(tmp_path / 'stack').angles, TILTS)


def test_of_several_detectors_the_haadf(tmp_path: Path, images: np.ndarray) -> None:
    haadf_file(tmp_path, images)
    haadf_file(tmp_path, images + 1, 'BF.tif')
    np.testing.assert_array_equal(load_haadf_series(tmp_path / 'haadf', angles=TILTS).images, images)


def test_pixels_that_are_no_numbers_are_missing(tmp_path: Path, images: np.ndarray) -> None:
    images[2, 3, 4] = np.nan
    found = load_haadf_series(haadf_file(tmp_path, images), angles=TILTS)
    assert found.missing is not None
    assert np.argwhere(found.missing).tolist() == [[2, 3, 4]]


def test_a_signal_of_hyperspy(images: np.ndarray) -> None:
    import hyperspy.api as hs

    axes = [
        {'name': 'tilt', 'axis': TILTS, 'units': 'deg', 'navigate': True},
        *({'name': n, 'size': s, 'scale': 0.5, 'units': 'nm', 'navigate': False} for n, s in (('y', 12), ('x', 10))),
    ]
    found = load_haadf_series(hs.signals.Signal2D(images, axes=axes))
    np.testing.assert_array_equal(found.angles, TILTS)
    assert (found.images.shape, found.pixel_size) == ((7, 12, 10), 0.5)


@pytest.mark.parametrize(
    ('number', 'angles', 'name', 'sentence'),
    [
        (1, [0.0], 'HAADF.tif', 'The HAADF series has 1 image; three tilts or more'),
        (2, [-20.0, 20.0], 'HAADF.tif', 'The HAADF series has 2 images; three tilts or more'),
        (7, None, 'HAADF.tif', 'HAADF series: No tilt angles were found for the 7 images of HAADF.tif'),
        (7, [1.0, 2.0], 'HAADF.tif', 'HAADF series: There are 2 angles for 7 images'),
        (7, np.deg2rad(TILTS), 'HAADF.tif', 'HAADF series: The tilt angles lie between -1.047° and 1.047°'),
        (7, ['tilts'] * 7, 'HAADF.tif', 'angles of the HAADF series hold something that is no number'),
    ],
)
def test_bad_input_in_one_sentence(
    tmp_path: Path, maps_file: Path, images: np.ndarray, number: int, angles: list[float], name: str, sentence: str
) -> None:
    file = haadf_file(tmp_path, images[:number], name)
    with pytest.raises(InputError, match=sentence):
        load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=angles)


def test_images_named_after_an_element_are_taken_and_maps_of_several_are_not(
    tmp_path: Path, images: np.ndarray
) -> None:
    for angle, image in zip(TILTS, images, strict=True):
        haadf_file(tmp_path, image[None], f'Au_{angle:+.0f}deg.tif')
    found = load_haadf_series(tmp_path / 'haadf')
    np.testing.assert_array_equal(found.images, images)
    assert ['named as a map of Au would be' in f.sentence for f in found.findings] == [True]
    (tmp_path / 'one').mkdir()
    alone = write_maps(tmp_path / 'one' / 'Au.tif', images, 2.0)
    np.testing.assert_array_equal(load_haadf_series(alone, angles=TILTS).images, images)
    write_maps(tmp_path / 'one' / 'Pt.tif', images, 2.0)
    with pytest.raises(InputError, match=r'HAADF series: Au.tif holds maps of elements'):
        load_haadf_series(tmp_path / 'one', angles=TILTS)


def test_series_in_memory_whose_angles_cannot_be_right(maps_file: Path, images: np.ndarray) -> None:
    with pytest.raises(InputError, match='HAADF series: The tilt angle 300° is not'):
        HAADFSeries(images, TILTS + 240, 2.0)
    maps = load_tilt_series(maps_file, angles=ANGLES)
    with pytest.raises(InputError, match=r'HAADF series: The tilt angles lie between -1\.047° and 1\.047°'):
        with_haadf(maps, HAADFSeries(images, np.deg2rad(TILTS), 2.0))
    with pytest.raises(InputError, match='All 7 images of the HAADF series have the tilt angle 5°'):
        with_haadf(maps, HAADFSeries(images, np.full(7, 5.0), 2.0))


def test_the_offset_of_the_holder_is_that_of_its_images_too(
    tmp_path: Path, maps_file: Path, images: np.ndarray
) -> None:
    import hyperspy.api as hs

    file = haadf_file(tmp_path, images)
    series = load_tilt_series(maps_file, angles=ANGLES + 90, haadf=file, haadf_angles=TILTS + 90, angle_offset=-90)
    np.testing.assert_array_equal(series.angles, ANGLES)
    np.testing.assert_array_equal(series.haadf_series.angles, TILTS)
    assert not [f for f in series.findings if f.about == 'tilt angles']
    signal = hs.signals.Signal2D(images)
    given = {'haadf_angles': TILTS + 90, 'haadf_pixel_size': 2.0, 'angle_offset': -90}
    series = load_tilt_series(maps_file, angles=ANGLES + 90, haadf=signal, **given)
    np.testing.assert_array_equal(series.haadf_series.angles, TILTS)
    np.testing.assert_array_equal(load_haadf_series(file, TILTS + 90, angle_offset=-90).angles, TILTS)


def test_the_offset_that_is_advised(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    file = haadf_file(tmp_path, images)

    def advice(about: str, **given: object) -> str:
        series = load_tilt_series(maps_file, haadf=file, **given)
        (found,) = [
            f
            for f in series.findings
            if f.about == 'tilt angles' and f.sentence.startswith('HAADF') == (about == 'HAADF')
        ]
        return found.sentence

    # An offset moves the spectra too, whose angles are right here.
    alone = advice('HAADF', angles=ANGLES, haadf_angles=TILTS + 90)
    assert 'open both with an angle offset of -90°; else give the angles of these images from -60° to 60°.' in alone
    counted_right = advice('HAADF', angles=ANGLES + 90, haadf_angles=TILTS, angle_offset=-90)
    assert 'the angle offset of -90° was added to them' in counted_right
    assert 'give angles that are 90° higher' in counted_right
    # What was added already is part of the offset that is needed.
    assert 'with an angle offset of -90°' in advice(
        'spectra', angles=ANGLES + 90, haadf_angles=TILTS + 20, angle_offset=-20
    )


def test_two_stacks_of_images_are_not_guessed(tmp_path: Path, images: np.ndarray) -> None:
    haadf_file(tmp_path, images, 'first.tif')
    haadf_file(tmp_path, images, 'second.tif')
    with pytest.raises(InputError, match='there are 2 stacks of images'):
        load_haadf_series(tmp_path / 'haadf', angles=TILTS)


def test_sources_of_the_angles_that_disagree(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    file = haadf_file(tmp_path, images)
    file.with_suffix('.rawtlt').write_text('\n'.join(str(angle) for angle in TILTS))
    file.with_name('angles.csv').write_text(''.join(f'{angle + 7}\n' for angle in TILTS))
    with pytest.raises(InputError, match='HAADF series: ') as caught:
        load_tilt_series(maps_file, angles=ANGLES, haadf=file)
    # The dock would show columns of evidence in the table of the spectra.
    assert not hasattr(caught.value, 'evidence')


def test_pixel_size(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    import tifffile

    file = tmp_path / 'HAADF.tif'
    tifffile.imwrite(file, images)
    with pytest.raises(InputError, match='has no pixel size'):
        load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=TILTS)
    given = load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=TILTS, haadf_pixel_size=1.5)
    assert given.haadf_series is not None
    assert given.haadf_series.pixel_size == 1.5
    # As many pixels as the maps: theirs, and it is said.
    tifffile.imwrite(file, images[:, :8, :6])
    taken = load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=TILTS, binning=2)
    assert taken.haadf_series is not None
    assert taken.haadf_series.pixel_size == pytest.approx(2.0)
    assert any('does not say its pixel size' in finding.sentence for finding in taken.findings)


def test_much_finer_images_are_binned_about_their_middle(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    file = haadf_file(tmp_path, np.repeat(np.repeat(images, 4, axis=1), 4, axis=2), pixel=0.25)
    series = load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=TILTS)
    assert series.haadf_series is not None
    assert series.haadf_series.pixel_size == pytest.approx(1.0)
    np.testing.assert_allclose(series.haadf_series.images, images, rtol=1e-5)


def test_faults_of_much_finer_images_are_found_before_they_are_binned(
    tmp_path: Path, maps_file: Path, images: np.ndarray
) -> None:
    noise = np.random.default_rng(4).normal(0, 1, (7, 96, 80))
    fine = np.repeat(np.repeat(images, 8, axis=1), 8, axis=2) + noise
    spoilt = fine.copy()
    spoilt[:, 5, 5] *= 1e7  # in every image at another intensity
    spoilt[3, 50, 42] = 1e9
    spoilt[:, 90:93, 8:32] = 4000.0
    spoilt[5] = 17.0
    given = {'angles': ANGLES, 'haadf_angles': TILTS}
    series = load_tilt_series(maps_file, haadf=haadf_file(tmp_path, spoilt, pixel=0.125), **given)
    found = series.haadf_series
    assert (found.pixel_size, len(found.angles)) == (pytest.approx(1.0), 6)
    known = np.ones(found.images.shape, bool) if found.missing is None else ~found.missing
    # A spike in 64 pixels costs none, and five rows of eight (the bar and its rim) cost the block.
    expected = np.ones((12, 10), bool)
    expected[11, 1:4] = False
    np.testing.assert_array_equal(known, np.broadcast_to(expected, known.shape))
    np.testing.assert_allclose(found.images[known], np.delete(images, 5, axis=0)[known], atol=1.0)
    sentences = [f.sentence for f in series.findings if f.about == 'HAADF series']
    assert [word for one in sentences for word in ('holds nothing', 'text', 'stand out singly') if word in one] == [
        'holds nothing',
        'text',
        'stand out singly',
    ]
    assert 'at 40° holds nothing' in sentences[0]
    # Once is enough.
    assert usable_pixels(found) == (found, ())


def test_a_smaller_field_and_bright_field_are_doubts(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    small = haadf_file(tmp_path, images, pixel=0.5)
    series = load_tilt_series(maps_file, angles=ANGLES, haadf=small, haadf_angles=TILTS)
    # 6 x 5 nm of the 16 x 12 nm of the maps.
    assert [f.evidence['covered, %'] for f in series.findings if f.level == 'doubt'] == [pytest.approx(15.6, abs=0.1)]
    bright = haadf_file(tmp_path, images, 'BF.tif')
    series = load_tilt_series(maps_file, angles=ANGLES, haadf=bright, haadf_angles=TILTS)
    assert any('bright field' in f.sentence for f in series.findings if f.level == 'doubt')


def test_axes_are_swapped_with_those_of_the_maps(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    file = haadf_file(tmp_path, images)
    series = load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=TILTS, tilt_axis='x')
    assert series.haadf_series is not None
    np.testing.assert_array_equal(series.haadf_series.images, images.swapaxes(1, 2))
    # Saved maps are swapped already; their files say nothing of the axis.
    saved = series.save(tmp_path / 'maps.hspy')
    again = load_tilt_series(saved, haadf=file, haadf_angles=TILTS)
    assert again.haadf_series is not None
    np.testing.assert_array_equal(again.haadf_series.images, images.swapaxes(1, 2))


@pytest.mark.parametrize(
    ('orientation', 'expected'),
    [
        ('as recorded', [[0, 1, 2], [3, 4, 5]]),
        ('reverse x', [[2, 1, 0], [5, 4, 3]]),
        ('reverse y', [[3, 4, 5], [0, 1, 2]]),
        ('turn by 180', [[5, 4, 3], [2, 1, 0]]),
        ('turn left', [[2, 5], [1, 4], [0, 3]]),
        ('turn right', [[3, 0], [4, 1], [5, 2]]),
        ('swap x and y', [[0, 3], [1, 4], [2, 5]]),
        ('swap and turn by 180', [[5, 2], [4, 1], [3, 0]]),
    ],
)
def test_what_an_orientation_does_to_images_as_displayed(
    tmp_path: Path, orientation: Orientation, expected: list[list[int]]
) -> None:
    picture = np.arange(6.0).reshape(2, 3)
    enlarged = np.stack([np.kron(picture + k, np.ones((4, 4))) for k in range(3)])
    file = haadf_file(tmp_path, enlarged)
    read = load_haadf_series(file, angles=[-10, 0, 10], orientation=orientation)
    np.testing.assert_array_equal(read.images[0, ::4, ::4], expected)
    # After the transposition of images whose tilt axis is along x.
    read = load_haadf_series(file, angles=[-10, 0, 10], tilt_axis='x', orientation='turn right')
    np.testing.assert_array_equal(read.images[0, ::4, ::4], [[2, 1, 0], [5, 4, 3]])


def test_images_without_a_pixel_size_are_compared_with_the_spectra_as_they_are_oriented(tmp_path: Path) -> None:
    import tifffile

    maps = write_maps(tmp_path / 'Ge.tif', np.random.default_rng(0).random((5, 12, 8)).astype(np.float32), 2.0)
    (tmp_path / 'haadf').mkdir()
    images = np.random.default_rng(1).random((5, 8, 12)).astype(np.float32)
    tifffile.imwrite(tmp_path / 'haadf' / 'HAADF.tif', images)
    given = {'angles': ANGLES, 'haadf': tmp_path / 'haadf' / 'HAADF.tif', 'haadf_angles': ANGLES}
    series = load_tilt_series(maps, **given, haadf_orientation='turn left')
    assert series.haadf_series is not None
    assert series.haadf_series.pixel_size == pytest.approx(2.0)
    with pytest.raises(InputError, match='no pixel size'):
        load_tilt_series(maps, **given)


def with_all(tmp_path: Path, maps_file: Path, images: np.ndarray) -> MapSeries:
    images[0, 0, 0] = np.nan
    file = haadf_file(tmp_path, images)
    series = load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=TILTS)
    assert isinstance(series, MapSeries)
    assert series.haadf_series is not None
    moved = replace(
        series.haadf_series,
        shifts=np.arange(14.0).reshape(7, 2) / 10,
        axis_shift=0.5,
        axis_rotation=1.5,
        notes={'align': {'rounds': 2}},
    )
    return replace(series, haadf_series=moved)


def same(one: HAADFSeries | None, other: HAADFSeries | None) -> bool:
    assert one is not None
    assert other is not None
    arrays = all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ('images', 'angles', 'shifts', 'missing'))
    values = ('pixel_size', 'axis_shift', 'axis_rotation', 'angle_source', 'findings')
    return arrays and all(getattr(one, n) == getattr(other, n) for n in values) and dict(one.notes) == dict(other.notes)


def test_saved_and_read_back(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    series = with_all(tmp_path, maps_file, images)
    assert same(load(series.save(tmp_path / 'saved.hspy')).haadf_series, series.haadf_series)


def test_handed_to_other_processes(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    series = with_all(tmp_path, maps_file, images)
    handed = transfer.read(transfer.write(series, tmp_path / 'handed.npz')).haadf_series
    assert same(handed, series.haadf_series)
    assert handed.evidence == series.haadf_series.evidence
    assert series.recipe is not None
    opened = open_isolated(series.recipe.source).haadf_series
    assert opened is not None
    np.testing.assert_array_equal(opened.images, series.haadf_series.images)


def test_a_recipe_opens_it_again(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    file = haadf_file(tmp_path, images)
    table = tmp_path / 'tilts.csv'
    table.write_text(''.join(f'{angle}\n' for angle in TILTS))
    series = load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=table, haadf_orientation='turn left')
    assert series.recipe is not None
    saved = series.recipe.save(tmp_path / 'recipe.json')
    # Files in its folder are named relative to it.
    assert '"haadf/HAADF.tif"' in saved.read_text()
    assert '"tilts.csv"' in saved.read_text()
    again = Recipe.load(saved)
    seen: list[MapSeries] = []
    run(Recipe(again.source, (SIRT(iterations=1),)), on_open=seen.append)
    assert same(seen[0].haadf_series, series.haadf_series)
    assert file in again.files()


def test_old_recipes_have_none() -> None:
    assert Recipe.from_dict({'source': {'paths': ['Ge.tif']}, 'steps': []}).source == Source(paths=('Ge.tif',))


def test_tilts_out_of_use_leave_images_of_another_scan(tmp_path: Path, maps_file: Path, images: np.ndarray) -> None:
    file = haadf_file(tmp_path, images)
    series = load_tilt_series(maps_file, angles=ANGLES, haadf=file, haadf_angles=TILTS, unused=(0, 3))
    assert (len(series.angles), len(series.haadf_series.angles)) == (3, 7)
    assert len(in_use(series, (0, 3, 4)).haadf_series.angles) == 7


@pytest.mark.parametrize(
    'step', [EDXMaps(elements=('Ge', 'Te')), EDXMaps(elements=('Ge', 'Te'), deliver='window counts')]
)
def test_maps_of_x_rays_take_it_over(images: np.ndarray, step: EDXMaps) -> None:
    haadf = HAADFSeries(images, TILTS, 2.0)
    made = step.run(with_haadf(simulate.demo_series(size=16).series, haadf))
    assert made.haadf_series is haadf
    assert made.unmixed().select(('Te',)).haadf_series is haadf


def test_maps_of_edges_take_it_over(images: np.ndarray) -> None:
    haadf = HAADFSeries(images, TILTS, 2.0)
    sim = core_loss_tilt_series(24, ANGLES)
    assert EdgeMaps(edges=('Mn_L',), calibrate=False).run(with_haadf(sim.series, haadf)).haadf_series is haadf


def test_images_of_the_same_scan() -> None:
    series = simulate.demo_series(size=16).series
    series = replace(series, haadf=np.asarray(series.counts.sum(-1), np.float32))
    own = with_own_haadf(series)
    assert own.haadf_series is not None
    np.testing.assert_array_equal(own.haadf_series.images, series.haadf)
    np.testing.assert_array_equal(own_images(own), np.arange(len(series.angles)))
    # They go with their tilts.
    fewer = in_use(own, (1, 4))
    np.testing.assert_array_equal(fewer.haadf_series.angles, fewer.angles)
    assert own_images(fewer) is not None
    with pytest.raises(InputError, match='No images were recorded with the spectra'):
        with_own_haadf(replace(series, haadf=None))


def test_own_images_of_aligned_maps_are_in_their_frame() -> None:
    maps = simulate.tilt_series(simulate.lamella(16), ANGLES, shifts=np.arange(10.0).reshape(5, 2) / 10).maps
    maps = replace(maps, haadf=maps.data.sum(0), shifts=np.arange(10.0).reshape(5, 2) / 10, axis_shift=0.3)
    own = with_own_haadf(maps).haadf_series
    np.testing.assert_array_equal(own.shifts, maps.shifts)
    assert own.axis_shift == 0.3


def test_own_images_by_the_source(tmp_path: Path, maps_file: Path) -> None:
    pictures = np.random.default_rng(5).random((5, 8, 6), np.float32)
    write_maps(tmp_path / 'HAADF.tif', pictures, 2.0)
    series = load_tilt_series(tmp_path, angles=ANGLES, own_haadf=True, unused=(4,))
    np.testing.assert_allclose(series.haadf_series.images, pictures[:4])
    with pytest.raises(InputError, match='together with the images recorded with the spectra'):
        load_tilt_series(tmp_path, angles=ANGLES, own_haadf=True, haadf=tmp_path / 'HAADF.tif')


def test_in_words(images: np.ndarray) -> None:
    maps = MapSeries(np.ones((1, 5, 8, 6)), ANGLES, ('Ge',), 2.0)
    words = described(HAADFSeries(images, TILTS, 1.25), maps)
    assert words == '7 images from -60° to 60°, 4 of them at tilts beyond the spectra; 10 x 12 pixels of 1.25 nm'
