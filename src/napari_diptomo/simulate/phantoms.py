"""Specimens with a known truth: FIB lamellae, the two phantoms of the source papers.

A phantom is painted on a grid ``supersample`` times finer than the one it will
be reconstructed on, so that nobody inverts the very operator that made the
data. Geometry: z along the beam at zero tilt, y along the tilt axis. Every
builder keeps its specimen inside the field of view at all tilts.

The phantoms `edx_phantom` and `eels_phantom` follow the description of those
in arXiv 2606.10547 and 2606.10893; `lamella` is a seeded family of our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from napari_diptomo.series import InputError, Volume
from napari_diptomo.simulate.solid_shapes import Grid


@dataclass(frozen=True, eq=False)
class Phantom:
    """A specimen whose composition is known everywhere.

    Attributes
    ----------
    fine : ndarray (channel, z, y, x), float32
        Density, in counts per COARSE voxel of path, on the fine grid.
    channels : tuple of str
        Names of the channels.
    voxel_size : float
        Edge of a coarse voxel, nm.
    supersample : int
        Fine voxels per coarse voxel along each axis.
    phases : ndarray (z, y, x), uint8
        Phase that fills most of each coarse voxel; 0 is vacuum.
    phase_names : tuple of str
        Name per phase number.
    compositions : ndarray (phase, channel)
        Nominal density of each phase.
    precipitates : ndarray (precipitate, 2, 3), optional
        Low and high corner (z, y, x) of each, in coarse voxels from the corner of
        the field; None for specimens without.
    """

    fine: np.ndarray
    channels: tuple[str, ...]
    voxel_size: float
    supersample: int
    phases: np.ndarray
    phase_names: tuple[str, ...]
    compositions: np.ndarray
    precipitates: np.ndarray | None = None

    @property
    def truth(self) -> Volume:
        """The density on the coarse grid (block means), what a reconstruction is compared with."""
        return Volume(block_mean(self.fine, self.supersample), self.channels, self.voxel_size)


def block_mean(volume: np.ndarray, factor: int) -> np.ndarray:
    """Means over cubes of ``factor``^3 voxels of a (channel, z, y, x) volume."""
    c, z, y, x = volume.shape
    blocks = volume.reshape(c, z // factor, factor, y // factor, factor, x // factor, factor)
    return blocks.mean(axis=(2, 4, 6), dtype=np.float64).astype(np.float32)


class Canvas:
    """Paints phases over one another and keeps the book of labels."""

    def __init__(self, size: int, supersample: int, channels: tuple[str, ...], voxel_size: float) -> None:
        if size < 16:
            raise InputError(f'A phantom of {size} voxels is too small to hold its details; take 16 or more.')
        self.grid = Grid(size, supersample)
        self.channels, self.voxel_size, self.supersample = channels, voxel_size, supersample
        self.fine = np.zeros((len(channels), *self.grid.shape), np.float32)
        self.label = np.zeros(self.grid.shape, np.uint8)
        self.names, self.compositions = ['vacuum'], [np.zeros(len(channels))]

    def paint(self, name: str, composition: np.ndarray | tuple[float, ...], occupancy: np.ndarray) -> None:
        """Replace what is there by ``composition`` where ``occupancy`` is 1."""
        if name not in self.names:
            self.names.append(name)
            self.compositions.append(np.asarray(composition, float))
        for channel, value in zip(self.fine, composition, strict=True):
            channel += occupancy * (np.float32(value) - channel)
        self.label[occupancy > 0.5] = self.names.index(name)

    def finish(self) -> Phantom:
        """The phantom, with labels by majority on the coarse grid."""
        one_hot = (self.label == np.arange(len(self.names), dtype=np.uint8)[:, None, None, None]).astype(np.float32)
        shares = block_mean(one_hot, self.supersample)
        return Phantom(
            np.ascontiguousarray(np.maximum(self.fine, 0)),
            self.channels,
            self.voxel_size,
            self.supersample,
            shares.argmax(axis=0).astype(np.uint8),
            tuple(self.names),
            np.array(self.compositions),
        )


#: Counts per voxel in Ge, Sb, Te of the phases a memory device may hold: the
#: stoichiometry times the atomic density relative to that of Ge2Sb2Te5.
GST_PHASES: dict[str, tuple[float, float, float]] = {
    'Ge2Sb2Te5': (0.22, 0.22, 0.56),
    'Sb2Te3': (0.00, 0.38, 0.57),
    'GeTe': (0.52, 0.00, 0.52),
    'Ge': (1.30, 0.00, 0.00),
    'Sb': (0.00, 1.00, 0.00),
    'Te': (0.00, 0.00, 0.90),
    'Ge-poor Sb-Te': (0.06, 0.40, 0.50),
    'Ge-rich Ge-Sb-Te': (0.55, 0.16, 0.36),
}
_LAYERS = ('Ge2Sb2Te5', 'Ge-rich Ge-Sb-Te', 'GeTe', 'Sb2Te3', 'Ge-poor Sb-Te')
_PARTICLES = ('Ge', 'Sb', 'Te', 'GeTe', 'Sb2Te3')


def lamella(size: int = 48, seed: int = 0, *, voxel_size: float = 1.0, supersample: int = 2) -> Phantom:
    """A random FIB lamella of Ge-Sb-Te with layers, particles, voids and soft segregation.

    Thickness along the beam is 40-56 % of the field; its edges lie inside the
    field in x at every tilt, and in y. Sizes, positions, counts and phases vary with the seed.

    Parameters
    ----------
    size : int
        Edge of the cube in voxels of the reconstruction grid.
    seed : int
        Picks the member of the family.
    voxel_size : float
        nm.
    supersample : int
        Fine voxels per voxel.

    Returns
    -------
    Phantom
        Channels Ge, Sb, Te.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(size, supersample, ('Ge', 'Sb', 'Te'), voxel_size)
    half, turn = random_frame(size, rng)
    slab = canvas.grid.box((0, 0, 0), half, turn)
    _paint_layers(canvas, rng, slab)
    _segregate(canvas, rng)
    for _ in range(rng.integers(10, 19)):
        _paint_particle(canvas, rng, half, slab, str(rng.choice(_PARTICLES)), size * np.array([0.04, 0.11]))
    for _ in range(rng.integers(3, 7)):
        _paint_particle(canvas, rng, half, slab, 'void', size * np.array([0.03, 0.07]))
    return canvas.finish()


def lamella_frame(size: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The slab that a lamella was cut to, as a microscopist would know it from its sides.

    Parameters
    ----------
    size, seed : int
        As for `lamella`.

    Returns
    -------
    half : ndarray (3,)
        Half lengths across the slab, along y and along x, voxels.
    normal : ndarray (3,)
        Unit vector (z, y, x) across it.
    """
    half, turn = random_frame(size, np.random.default_rng(seed))
    return half, turn.apply([1.0, 0.0, 0.0])


def random_frame(size: int, rng: np.random.Generator) -> tuple[np.ndarray, Rotation]:
    # Half thickness and half width obey hypot(z, x) < 0.45, so that no tilt pushes a corner out of the field.
    half = size * np.array([rng.uniform(0.20, 0.28), rng.uniform(0.34, 0.40), rng.uniform(0.30, 0.34)])
    return half, Rotation.from_euler('zyx', rng.uniform(-4, 4, 3), degrees=True)


def _paint_layers(canvas: Canvas, rng: np.random.Generator, slab: np.ndarray) -> None:
    grid, size = canvas.grid, canvas.grid.size
    normal = Rotation.from_euler('zyx', rng.uniform(-25, 25, 3), degrees=True).apply([0.0, 0.0, 1.0])
    height = normal[0] * grid.z + normal[1] * grid.y + normal[2] * grid.x
    height = height + 0.02 * size * grid.smooth_noise(rng, 0.12 * size)
    bounds = np.sort(rng.uniform(-0.3, 0.3, rng.integers(3, 7))) * size
    names = rng.choice(_LAYERS, len(bounds) + 1)
    canvas.paint(str(names[0]), GST_PHASES[str(names[0])], slab)
    for name, bound in zip(names[1:], bounds, strict=False):
        canvas.paint(str(name), GST_PHASES[str(name)], slab * grid.occupancy(bound - height))


def _segregate(canvas: Canvas, rng: np.random.Generator) -> None:
    for channel in canvas.fine:
        field = canvas.grid.smooth_noise(rng, 0.06 * canvas.grid.size)
        channel *= np.clip(1 + 0.2 * field, 0.4, 1.6)


def _paint_particle(
    canvas: Canvas,
    rng: np.random.Generator,
    half: np.ndarray,
    slab: np.ndarray,
    name: str,
    radius: np.ndarray,
) -> None:
    centre = rng.uniform(-0.85, 0.85, 3) * half
    radii = rng.uniform(*radius) * (rng.uniform(0.7, 1.4, 3) if rng.random() < 0.6 else np.ones(3))
    body = slab * canvas.grid.ellipsoid(centre, radii, Rotation.random(random_state=rng))
    if name == 'void':
        canvas.paint('vacuum', (0.0,) * len(canvas.channels), body)
    else:
        canvas.paint(name, GST_PHASES[name], body)


def edx_phantom(size: int = 160, *, voxel_size: float = 1.0, supersample: int = 2) -> Phantom:
    """A pierced bar with a sphere and an ellipsoid of other elements set into it.

    After arXiv 2606.10547 (there 160^3): the bar runs along the tilt axis
    through the whole field, the ellipsoid is long along the beam.

    Parameters
    ----------
    size : int
        Edge in voxels; everything scales with it.
    voxel_size : float
        nm.
    supersample : int
        Fine voxels per voxel.

    Returns
    -------
    Phantom
        Channels Ge (bar, 25), Sb (ellipsoid, 20), Te (sphere, 15).
    """
    canvas = Canvas(size, supersample, ('Ge', 'Sb', 'Te'), voxel_size)
    grid, scale = canvas.grid, size / 160

    def at(z: float, y: float, x: float) -> np.ndarray:
        return (np.array([z, y, x]) - 80) * scale

    canvas.paint('bar', (25, 0, 0), grid.box(at(80, 80, 86), np.array([30, 160, 30]) * scale))
    for centre, radius, axis in (((80, 35, 86), 8, 0), ((80, 115, 76), 7, 0), ((80, 130, 86), 6, 2)):
        canvas.paint('vacuum', (0, 0, 0), grid.cylinder(at(*centre), radius * scale, axis))
    canvas.paint('ellipsoid', (0, 20, 0), grid.ellipsoid(at(80, 70, 72), np.array([19, 6, 6]) * scale))
    canvas.paint('sphere', (0, 0, 15), grid.ellipsoid(at(76, 70, 101), np.full(3, 9) * scale))
    return canvas.finish()


def eels_phantom(size: int = 160, *, voxel_size: float = 1.0, supersample: int = 2, pore: bool = False) -> Phantom:
    """A core-shell nanocube in two oxidation states, turned out of the axes.

    After arXiv 2606.10893 (there 160^3): FeO core of half edge 20, Fe3O4 shell
    to 40, a thin outer shell of FeO to 43; turned by 5, 7 and 13 degrees. An
    older version of it has a pore of radius 6 in the shell.

    Parameters
    ----------
    size : int
        Edge in voxels; everything scales with it.
    voxel_size : float
        nm.
    supersample : int
        Fine voxels per voxel.
    pore : bool
        With the pore, at (0, 5, 30) in the frame (z, y, x) of the cube.

    Returns
    -------
    Phantom
        Channels Fe3O4 (10) and FeO (20).
    """
    canvas = Canvas(size, supersample, ('Fe3O4', 'FeO'), voxel_size)
    turn = Rotation.from_euler('zyx', (5, 7, 13), degrees=True)
    for name, composition, half in (('FeO', (0, 20), 43), ('Fe3O4', (10, 0), 40), ('FeO', (0, 20), 20)):
        canvas.paint(name, composition, canvas.grid.box((0, 0, 0), (half * size / 160,) * 3, turn))
    if pore:
        centre = turn.apply((0, 5, 30)) * size / 160
        canvas.paint('vacuum', (0, 0), canvas.grid.ellipsoid(centre, np.full(3, 6) * size / 160))
    return canvas.finish()
