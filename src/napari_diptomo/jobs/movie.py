r"""A movie of the turning volume, computed without a window: elements in their colours, a scale bar, names.

The volume turns once about the tilt axis. Its voxels emit and absorb light (Max, IEEE Trans. Vis. Comput. Graph. 1 (1995)
99): with the values e_c of the elements between 0 and 1, a slab of one voxel has the opacity

    alpha = 1 - exp(-kappa sum_c e_c),

the colour is the mean of those of the elements weighted by e_c, and slabs are composed from the front to the back,
C <- C + T alpha c, T <- T (1 - alpha). Surfaces are shaded by the slope of the sum towards the viewer.

Formulas: opacity of a slab (`Turning`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy import sparse

from napari_diptomo.jobs.colours import colours
from napari_diptomo.jobs.export_volume import check_output, load_volume
from napari_diptomo.jobs.terminal import Planned, TerminalBar
from napari_diptomo.series import InputError, Observer, Volume, Watch
from napari_diptomo.series.files import replacing
from napari_diptomo.series.showing.images import bright, in_nm, round_length

#: Formats, frames in a second, and length of the longest side that is rendered as it is, voxels.
SUFFIXES, RATE, _LARGEST = ('.mp4', '.gif'), 20, 160
#: Value below which a voxel counts as empty (the haze that noise and the wedge leave), percentile of full brightness.
_HAZE, _BRIGHT = 0.16, 99.8
#: Part of the values of the strongest channel at which another is as opaque.
_FULL = 0.3
#: Opacity of a body as deep as the volume whose voxels are full, as an exponent; part of the light that has no direction.
_DEPTH, _AMBIENT = 14.0, 0.55
_PAPER = np.array([0.04, 0.05, 0.06], np.float32)


@dataclass(frozen=True)
class MovieSettings:
    """Settings of a movie.

    Attributes
    ----------
    seconds : float
        Of one turn.
    size : int
        Pixels of the height.

    Raises
    ------
    InputError
        Out of range.
    """

    seconds: float = 6.0
    size: int = 512

    def __post_init__(self) -> None:
        if not 0.5 <= self.seconds <= 120:
            raise InputError(f'A turn of {self.seconds:g} s makes no movie; give 0.5 to 120 s.')
        if not 64 <= self.size <= 2160:
            raise InputError(f'A movie of {self.size} pixels height cannot be made; give 64 to 2160.')

    @property
    def frames(self) -> int:
        """Of one turn."""
        return max(round(self.seconds * RATE), 2)


class Turning:
    """A volume that is seen from all sides across its tilt axis.

    Parameters
    ----------
    volume : Volume
        Large ones are averaged over blocks of voxels.
    """

    def __init__(self, volume: Volume) -> None:
        data, self.voxel_size = _small(volume.data, volume.voxel_size)
        self.channels = volume.channels
        self.transposed = volume.transposed
        self.hues = np.array([_rgb(hue) for hue in colours(volume.channels).values()], np.float32)
        limits = np.array([bright(channel, _BRIGHT) for channel in data], np.float32)
        values = np.clip(data / limits[:, None, None, None], 0, 1)
        values = np.clip((values - _HAZE) / (1 - _HAZE), 0, 1)
        # What is hardly there is noise at full brightness, and would veil the others.
        values *= np.minimum(limits / limits.max() / _FULL, 1)[:, None, None, None]
        self._shape = values.shape
        _, nz, ny, nx = values.shape
        self.across = int(np.ceil(np.hypot(nx, nz)))
        # One column per voxel of a plane across the axis: turning all rows is one product.
        self._columns = np.ascontiguousarray(values.transpose(1, 3, 0, 2).reshape(nz * nx, -1))
        self._kappa = _DEPTH / max(nz, ny, nx)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        ny = self._shape[2]
        return (self.across, ny) if self.transposed else (ny, self.across)

    def frame(self, turn: float) -> np.ndarray:
        """The view after a turn.

        Parameters
        ----------
        turn : float
            Degrees about the tilt axis.

        Returns
        -------
        ndarray (row, column, 3), float32
            0 to 1.
        """
        channels, _, ny, _ = self._shape
        turned = (self._turn(turn) @ self._columns).reshape(self.across, self.across, channels, ny)
        total = turned.sum(axis=2)
        shade = _shade(total)
        light = np.zeros((self.across, ny, 3), np.float32)
        left = np.ones((self.across, ny, 1), np.float32)
        for values, whole, lit in zip(turned, total, shade, strict=True):
            if not whole.any():
                continue
            alpha = -np.expm1(-self._kappa * whole)[..., None]
            colour = np.einsum('ucy,cr->uyr', values, self.hues) / np.maximum(whole, 1e-6)[..., None]
            light += left * alpha * colour * lit[..., None]
            left *= 1 - alpha
        image = np.clip(light + left * _PAPER, 0, 1)
        # Rows of the image run along the tilt axis, or across it where the series was recorded so.
        return image if self.transposed else image.swapaxes(0, 1)

    def _turn(self, turn: float) -> sparse.csr_matrix:
        """Bilinear interpolation of a plane (z, x) on one that is turned, (depth * across, z * x)."""
        _, nz, _, nx = self._shape
        middle = (self.across - 1) / 2
        depth, across = np.meshgrid(*(np.arange(self.across) - middle,) * 2, indexing='ij')
        cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        x = across * cos - depth * sin + (nx - 1) / 2
        z = across * sin + depth * cos + (nz - 1) / 2
        rows, columns, weights = [], [], []
        low_z, low_x = np.floor(z).astype(int), np.floor(x).astype(int)
        for dz in (0, 1):
            for dx in (0, 1):
                at_z, at_x = low_z + dz, low_x + dx
                inside = (at_z >= 0) & (at_z < nz) & (at_x >= 0) & (at_x < nx)
                weight = (1 - np.abs(z - at_z)) * (1 - np.abs(x - at_x))
                rows.append(np.flatnonzero(inside))
                columns.append((at_z * nx + at_x)[inside])
                weights.append(weight[inside])
        entries = np.concatenate(weights).astype(np.float32)
        places = (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_matrix((entries, places), shape=(self.across**2, nz * nx))


def movie_file(path: Path, output: Path, settings: MovieSettings, *, overwrite: bool = False) -> Path:
    """Write the movie of a saved volume.

    Parameters
    ----------
    path : Path
        The volume.
    output : Path
        ``.mp4`` or ``.gif``.
    settings : MovieSettings
    overwrite : bool
        Whether an earlier movie may be replaced.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        It is no volume, the suffix is none of these, the name is taken, or it cannot be written.
    """
    check_movie(output)
    check_output(output, overwrite)
    volume = load_volume(path)
    with TerminalBar([Planned('Movie')]) as bar:
        bar.begin()
        write_movie(volume, output, settings, bar)
    Console(highlight=False).print(f'Written: {output}', markup=False, soft_wrap=True)
    return output


def check_movie(output: Path) -> None:
    """Refuse names of other formats, and MP4 where nothing can write it.

    Parameters
    ----------
    output : Path

    Raises
    ------
    InputError
    """
    if output.suffix.lower() not in SUFFIXES:
        raise InputError(f'{output.name} is no name for a movie; choose one that ends in .mp4 or .gif.')
    if output.suffix.lower() == '.mp4' and find_spec('imageio_ffmpeg') is None:
        raise InputError(
            f'{output.name} needs the package imageio-ffmpeg (pip install imageio-ffmpeg); or choose a name that ends in .gif.'
        )


def write_movie(
    volume: Volume, output: Path, settings: MovieSettings | None = None, observer: Observer | None = None
) -> Path:
    """Write the movie of a volume that turns once about its tilt axis.

    Parameters
    ----------
    volume : Volume
    output : Path
        ``.mp4`` or ``.gif``; an earlier file is replaced when the new one is complete.
    settings : MovieSettings, optional
    observer : Observer, optional
        Of the frames.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        Another suffix, a volume of nothing, or it cannot be written.
    Cancelled
        When the observer cancels.
    """
    settings = settings or MovieSettings()
    check_movie(output)
    if not (volume.data > 0).any():
        raise InputError('The volume is empty, so there is nothing to turn; choose another one.')

    def write(partial: Path) -> None:
        import imageio.v2 as imageio

        if output.suffix.lower() == '.gif':
            _write_gif(partial, frames(volume, settings, observer), colours(volume.channels).values())
            return
        options: dict[str, Any] = {'fps': RATE, 'codec': 'libx264', 'quality': 8, 'macro_block_size': 2}
        writer: Any
        with imageio.get_writer(partial, **options) as writer:
            for frame in frames(volume, settings, observer):
                writer.append_data(frame)

    return replacing(output, write)


def _write_gif(path: Path, shown: Iterator[np.ndarray], hues: Iterable[str]) -> None:
    """Write frames, each with a palette of its own, in which the colours of the elements stand as they are.

    The few pixels of the names count for nothing in a palette that is made of a whole frame: their colours would be those of
    other elements.
    """
    from PIL import Image

    fixed = [round(255 * part) for hue in ('#ffffff', *hues) for part in _rgb(hue)]

    def with_palette(frame: np.ndarray) -> Image.Image:
        # A ninth of the pixels have the colours of all.
        some = Image.fromarray(np.ascontiguousarray(frame[::3, ::3]))
        common = some.quantize(256 - len(fixed) // 3, Image.Quantize.MEDIANCUT).getpalette() or []
        palette = Image.new('P', (1, 1))
        palette.putpalette(fixed + common)
        return Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)

    images = map(with_palette, shown)
    next(images).save(
        path, format='GIF', save_all=True, append_images=images, duration=1000 / RATE, loop=0, optimize=False
    )


def frames(volume: Volume, settings: MovieSettings, observer: Observer | None = None) -> Iterator[np.ndarray]:
    """The frames of one turn.

    Parameters
    ----------
    volume : Volume
    settings : MovieSettings
    observer : Observer, optional

    Yields
    ------
    ndarray (row, column, 3), uint8
        Rows and columns are even numbers, as codecs want them.
    """
    from skimage.transform import resize

    watch = Watch(observer, 'Movie', settings.frames)
    turning = Turning(volume)
    rows, columns = turning.shape
    height = settings.size - settings.size % 2
    width = max(2 * round(height * columns / rows / 2), 2)
    overlay = _overlay(turning, height, width)
    opacity = overlay[..., 3:]
    for number in range(settings.frames):
        image = resize(turning.frame(360 * number / settings.frames), (height, width), order=1, anti_aliasing=False)
        image = image * (1 - opacity) + overlay[..., :3] * opacity
        yield (255 * np.clip(image, 0, 1)).round().astype(np.uint8)
        if watch.step(number + 1):
            return


def _overlay(turning: Turning, height: int, width: int) -> np.ndarray:
    """Scale bar and names of the elements, RGBA between 0 and 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dots = 100
    figure = Figure(figsize=(width / dots, height / dots), dpi=dots, facecolor='none')
    canvas = FigureCanvasAgg(figure)
    pixel = turning.voxel_size * turning.shape[1] / width
    length = round_length(width * pixel / 4)
    letters = 0.032 * height * 72 / dots
    margin = 0.04 * height
    axis = figure.add_axes((0, 0, 1, 1), facecolor='none')
    axis.set_axis_off()
    axis.set_xlim(0, width)
    axis.set_ylim(0, height)
    axis.plot([margin, margin + length / pixel], [margin] * 2, color='white', lw=0.008 * height * 72 / dots)
    axis.text(margin, 1.5 * margin, in_nm(length), color='white', fontsize=letters, va='bottom')
    for number, (name, hue) in enumerate(zip(turning.channels, turning.hues, strict=True)):
        axis.text(margin, height - margin - 1.35 * number * 0.032 * height, name, color=hue, fontsize=letters, va='top')
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), np.float32) / 255


def _shade(total: np.ndarray) -> np.ndarray:
    """Light on every voxel (depth, across, along): that from the viewer's side on the slope of the values."""
    slope = np.gradient(total)
    length = np.sqrt(sum(part**2 for part in slope)) + 1e-3
    # Values that rise away from the viewer are a face turned towards it.
    return (_AMBIENT + (1 - _AMBIENT) * np.clip(slope[0] / length, 0, 1)).astype(np.float32)


def _small(data: np.ndarray, size: float) -> tuple[np.ndarray, float]:
    from skimage.transform import downscale_local_mean

    factor = -(-max(data.shape[1:]) // _LARGEST)
    if factor == 1:
        return data, size
    factors = (1, *(min(factor, n) for n in data.shape[1:]))
    return downscale_local_mean(data, factors).astype(np.float32), size * factor


def _rgb(hue: str) -> tuple[float, ...]:
    return tuple(int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5))
