"""The movie of a turning volume: where a voxel goes, what hides what, what is written, what is refused."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_diptomo.jobs import movie
from napari_diptomo.jobs.colours import colours
from napari_diptomo.jobs.movie import MovieSettings, Turning, frames, movie_file, write_movie
from napari_diptomo.series import Cancelled, InputError, Observer, Request, Volume, save

SHORT = MovieSettings(seconds=0.5, size=64)


def with_voxel(*where: int, side: int = 21) -> Volume:
    data = np.zeros((1, side, side, side), np.float32)
    data[(0, *where)] = 1
    return Volume(data, ('Fe',), 2.0)


@pytest.mark.parametrize(('turn', 'expected'), [(0, 16), (90, 4), (180, 4), (270, 16)])
def test_a_voxel_goes_where_the_geometry_says(turn: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Six voxels off the axis in x, as many towards the back in z: x' is one of both at every quarter of a turn.
    monkeypatch.setattr(movie, '_BRIGHT', 100)
    turning = Turning(with_voxel(4, 7, 16))
    light = turning.frame(turn).sum(axis=2)
    light -= light.min()
    row, column = np.unravel_index(light.argmax(), light.shape)
    middle = (turning.across - 1) / 2
    assert row == 7
    assert abs(column - middle) == pytest.approx(6, abs=0.8)
    assert np.sign(column - middle) == np.sign(expected - 10)


def test_what_is_in_front_hides_what_is_behind() -> None:
    data = np.zeros((2, 40, 40, 40), np.float32)
    data[0, 8:16, 8:32, 8:32] = 1
    data[1, 24:32, 8:32, 8:32] = 1
    turning = Turning(Volume(data, ('Ge', 'Sb'), 1.0))
    middle = turning.across // 2
    front, back = (turning.frame(turn)[20, middle] for turn in (0, 180))
    for seen, hue in ((front, turning.hues[0]), (back, turning.hues[1])):
        part = seen / seen.max()
        np.testing.assert_allclose(part, hue / hue.max(), atol=0.2)
    assert np.abs(front - back).max() > 0.4


def test_the_opacity_of_a_slab_is_that_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without shading, and whatever part of it falls on each of two slabs.
    monkeypatch.setattr(movie, '_AMBIENT', 1.0)
    data = np.zeros((1, 40, 40, 40), np.float32)
    data[0, 18:21, 8:32, 8:32] = 1
    turning = Turning(Volume(data, ('O',), 1.0))
    turning.hues[:] = 1
    seen = float(turning.frame(0)[20, turning.across // 2, 0])
    alpha = -np.expm1(-3 * turning._kappa)
    assert seen == pytest.approx(alpha + (1 - alpha) * movie._PAPER[0], rel=1e-4)


def test_a_faint_channel_does_not_veil_the_others() -> None:
    data = np.zeros((2, 30, 30, 30), np.float32)
    data[0, 10:20, 10:20, 10:20] = 10
    data[1] = np.random.default_rng(0).random((30, 30, 30)) * 0.2
    turning = Turning(Volume(data, ('Fe', 'Ni'), 1.0))
    both = turning.frame(0)
    assert both[2, 2].max() < 0.25 * both[15, turning.across // 2].max()


def test_a_series_recorded_along_x_turns_about_x() -> None:
    volume = with_voxel(10, 7, 16)
    turning = Turning(volume)
    other = Turning(replace(volume, transposed=True))
    assert other.shape == turning.shape[::-1]
    np.testing.assert_array_equal(other.frame(30), turning.frame(30).swapaxes(0, 1))


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    volume = Volume(np.ones((1, 40, 40, 40)), ('O',), 2.5)
    turning = Turning(volume)
    height, width = 400, 2 * round(400 * turning.shape[1] / turning.shape[0] / 2)
    overlay = movie._overlay(turning, height, width)
    row = overlay[height - round(0.04 * height), :, 3]
    pixel = turning.voxel_size * turning.shape[1] / width
    length = (row > 0.5).sum() * pixel
    # The largest of 1, 2, 5 below a quarter of the 142 nm that the frame is wide.
    assert length == pytest.approx(20, abs=1.5)


def test_the_names_in_a_gif_have_the_colours_of_their_elements(tmp_path: Path) -> None:
    # A whole of one colour, and beside it eight names of other colours.
    names = ('O', 'Mg', 'Al', 'Si', 'S', 'Ca', 'Fe', 'Ni')
    data = np.random.default_rng(0).uniform(0.2, 1, (8, 16, 16, 16)).astype(np.float32)
    path = write_movie(Volume(data, names, 2.0), tmp_path / 'v.gif', MovieSettings(seconds=0.5, size=256))
    seen = iio.imread(path, index=3)[..., :3].reshape(-1, 3).astype(int)
    for hue in colours(names).values():
        wanted = [int(hue[place : place + 2], 16) for place in (1, 3, 5)]
        assert np.abs(seen - wanted).max(axis=1).min() <= 2, hue


def test_a_gif_has_every_frame(tmp_path: Path) -> None:
    path = write_movie(with_voxel(10, 10, 12), tmp_path / 'v.gif', SHORT)
    shown = iio.imread(path)
    assert shown.shape[:2] == (10, 64) and shown.shape[2] % 2 == 0
    assert [file.name for file in tmp_path.iterdir()] == ['v.gif']


@pytest.mark.skipif(find_spec('imageio_ffmpeg') is None, reason='imageio-ffmpeg is not installed')
def test_an_mp4_has_every_frame(tmp_path: Path) -> None:
    path = write_movie(with_voxel(10, 10, 12), tmp_path / 'v.mp4', SHORT)
    assert len(iio.imread(path, plugin='FFMPEG')) == 10


def test_large_volumes_are_averaged_and_keep_their_size() -> None:
    small = Turning(Volume(np.ones((1, 4, 330, 6)), ('O',), 1.0))
    assert small.voxel_size == 3.0 and small.shape[0] == 110


def test_a_movie_can_be_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    class Impatient(Observer):
        def request(self) -> Request:
            return Request.CANCEL

    with pytest.raises(Cancelled):
        write_movie(with_voxel(1, 1, 1), tmp_path / 'v.gif', SHORT, Impatient())
    assert list(tmp_path.iterdir()) == []
    assert len(list(frames(with_voxel(1, 1, 1), SHORT))) == 10


def test_what_cannot_be_filmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(save(with_voxel(1, 1, 1), tmp_path / 'v.hspy'))
    with pytest.raises(InputError, match=r'v\.avi is no name for a movie; choose one that ends in \.mp4 or \.gif'):
        movie_file(file, tmp_path / 'v.avi', SHORT)
    monkeypatch.setattr(movie, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match=r'v\.mp4 needs the package imageio-ffmpeg'):
        movie_file(file, tmp_path / 'v.mp4', SHORT)
    with pytest.raises(InputError, match='There is no folder'):
        movie_file(file, tmp_path / 'gone' / 'v.gif', SHORT)
    with pytest.raises(InputError, match='The volume is empty'):
        write_movie(Volume(np.zeros((1, 4, 4, 4)), ('O',)), tmp_path / 'v.gif')
    with pytest.raises(InputError, match=r'A turn of 0 s makes no movie; give 0\.5 to 120 s'):
        MovieSettings(seconds=0)
    with pytest.raises(InputError, match='give 64 to 2160'):
        MovieSettings(size=9)
    movie_file(file, tmp_path / 'v.gif', SHORT)
    with pytest.raises(InputError, match=r'v\.gif is there already'):
        movie_file(file, tmp_path / 'v.gif', SHORT)
