"""Seeded specimens unlike the lamellae: porous, facetted, interdiffused, and a needle with precipitates.

A method that was tuned on one generator is judged on the others. All have
three channels, A, B and a rare C, and no matter leaves the images at tilts of
up to 40 degrees either way; the needle alone extends beyond them along the tilt
axis. The conventions are those of `phantoms`; densities are relative to A.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation
from scipy.special import erfc

from napari_diptomo.series import InputError
from napari_diptomo.simulate.phantoms import Canvas, Phantom, random_frame
from napari_diptomo.simulate.solid_shapes import Grid, Point

__all__ = ['facetted', 'interdiffusion', 'needle', 'porous']

CHANNELS = ('A', 'B', 'C')
#: Distance from the tilt axis that particles may reach, in fields: no tilt pushes what lies inside out of the images.
_REACH = 0.46
#: Radius of the porous ball, in fields.
_BALL = 0.42
#: Levels of the gyroid between pore and B, and between B and A; they fix the porosity at about a third.
_PORE_BELOW, _MATRIX_ABOVE = -0.5, 0.4
#: Largest share of A that B replaces in the middle of the needle's solute layer.
_SOLUTE = 0.3
#: Size from which on the needle holds all of its precipitates; they cannot be made smaller than a voxel.
_FULL_SIZE = 40


def porous(size: int = 48, seed: int = 0, *, voxel_size: float = 1.0, supersample: int = 2) -> Phantom:
    """A ball of two intergrown phases with open pores, crossed by thin rods of a third.

    The phases follow a gyroid: a network of A, a coating of B on it, and a
    network of pores (a third of the ball) that is open to the outside. The rods
    know nothing of the gyroid and cross its pores too. Period, orientation and
    offset of the gyroid, number and positions of the rods vary with the seed.

    Parameters
    ----------
    size : int
        Edge of the cube in voxels of the reconstruction grid.
    seed : int
        Picks the member of the set.
    voxel_size : float
        nm.
    supersample : int
        Fine voxels per voxel along each axis.

    Returns
    -------
    Phantom
        Channels A (1), B (0.8) and C (1.2), the rods.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(size, supersample, CHANNELS, voxel_size)
    grid = canvas.grid
    level, slope = _gyroid(grid, rng.uniform(0.38, 0.46) * size, rng)
    canvas.paint('B', (0, 0.8, 0), grid.occupancy((_PORE_BELOW - level) / slope))
    canvas.paint('A', (1, 0, 0), grid.occupancy((_MATRIX_ABOVE - level) / slope))
    for _ in range(rng.integers(4, 7)):
        through = rng.uniform(-0.22, 0.22, 3) * size
        _, y, x = grid.coordinates(through, Rotation.random(random_state=rng))
        canvas.paint('rod', (0, 0, 1.2), grid.occupancy(np.hypot(y, x) - rng.uniform(0.025, 0.03) * size))
    # Cut last: phases painted one by one into half-filled voxels would leave a film of the first on the ball.
    ball = grid.ellipsoid((0, 0, 0), np.full(3, _BALL * size))
    canvas.fine *= ball
    canvas.label[ball <= 0.5] = 0
    return canvas.finish()


def _gyroid(grid: Grid, period: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Level of a gyroid and the length of its gradient, per coarse voxel, both (z, y, x)."""
    rate = np.float32(2 * np.pi / period)
    turned = grid.coordinates(rng.uniform(-0.5, 0.5, 3) * period, Rotation.random(random_state=rng))
    sines, cosines = zip(*((np.sin(rate * a), np.cos(rate * a)) for a in turned), strict=True)
    level = sum(sines[i] * cosines[(i + 1) % 3] for i in range(3))
    parts = (cosines[i] * cosines[(i + 1) % 3] - sines[i - 1] * sines[i] for i in range(3))
    # Where the gradient vanishes the level is far from both thresholds; only the division must be kept finite.
    slope = rate * np.sqrt(np.maximum(sum(part**2 for part in parts), 0.01))
    return np.asarray(level), slope


def facetted(size: int = 48, seed: int = 0, *, voxel_size: float = 1.0, supersample: int = 2) -> Phantom:
    """Facetted core-shell particles of different sizes in random orientations, on empty ground.

    Cubes and truncated octahedra; the core has the faces of its shell. Small
    particles of C sit on the shells.

    Parameters
    ----------
    size : int
        Edge of the cube in voxels of the reconstruction grid.
    seed : int
        Picks the member of the set.
    voxel_size : float
        nm.
    supersample : int
        Fine voxels per voxel along each axis.

    Returns
    -------
    Phantom
        Channels A (cores, 1), B (shells, 0.8) and C (small particles, 1.2).
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(size, supersample, CHANNELS, voxel_size)
    particles = []
    for centre, reach in _packed(rng, size):
        turn, is_cube, share = Rotation.random(random_state=rng), rng.random() < 0.4, rng.uniform(0.5, 0.68)
        half = reach / _CUBE_REACH if is_cube else reach / _OCTAHEDRON_REACH
        particles.append((centre, half, turn, is_cube))
        canvas.paint('shell', (0, 0.8, 0), _polyhedron(canvas.grid, centre, half, turn, is_cube))
        canvas.paint('core', (1, 0, 0), _polyhedron(canvas.grid, centre, share * half, turn, is_cube))
    for centre, half, turn, _ in particles:
        for _ in range(rng.integers(1, 3)):
            face = np.eye(3)[rng.integers(3)] * rng.choice([-1, 1])
            small = rng.uniform(0.026, 0.04) * size
            aside = rng.uniform(-0.3, 0.3, 3) * half * (face == 0)
            seat = centre + turn.apply((half + 0.6 * small) * face + aside)
            canvas.paint('particle', (0, 0, 1.2), _polyhedron(canvas.grid, seat, small, turn, False))
    return canvas.finish()


#: Distance of the corners over that of the (100) faces, in a cube and in a truncated octahedron.
_CUBE_REACH, _OCTAHEDRON_REACH = np.sqrt(3), np.sqrt(5) / 2


def _polyhedron(grid: Grid, centre: Point, half: float, turn: Rotation, is_cube: bool) -> np.ndarray:
    """Occupancy of a cube or of a regular truncated octahedron whose (100) faces are ``half`` from its centre."""
    if is_cube:
        return grid.box(centre, (half,) * 3, turn)
    axes = [np.abs(a) for a in grid.coordinates(centre, turn)]
    faces = np.maximum.reduce(np.broadcast_arrays(*axes)) - half
    return grid.occupancy(np.maximum(faces, (axes[0] + axes[1] + axes[2] - 1.5 * half) / np.float32(np.sqrt(3))))


def _packed(rng: np.random.Generator, size: int) -> list[tuple[np.ndarray, float]]:
    """Centres (z, y, x) and outer radii of spheres, in voxels, that do not meet and stay in the images at all tilts."""
    found: list[tuple[np.ndarray, float]] = []
    radii = [rng.uniform(0.2, 0.22), *np.sort(rng.uniform(0.1, 0.17, rng.integers(5, 8)))[::-1]]
    for radius in radii:
        # What sits on the shells needs its own margin.
        outer = radius + 0.04
        for _ in range(400):
            centre = rng.uniform(-_REACH, _REACH, 3)
            if np.hypot(centre[0], centre[2]) + outer > _REACH or abs(centre[1]) + outer > _REACH:
                continue
            if all(np.linalg.norm(centre * size - other) > (radius + 0.04) * size + reach for other, reach in found):
                found.append((centre * size, radius * size))
                break
    return found


def interdiffusion(size: int = 48, seed: int = 0, *, voxel_size: float = 1.0, supersample: int = 2) -> Phantom:
    """A lamella or a rod in which A and B interdiffuse along an oblique direction.

    A follows an error function, B is its complement; there is no edge inside. C
    is a dilute segregation about the middle of the profile, modulated smoothly,
    in addition to the others. Even seeds are lamellae, odd ones rods along y.

    Parameters
    ----------
    size : int
        Edge of the cube in voxels of the reconstruction grid.
    seed : int
        Picks the member of the set.
    voxel_size : float
        nm.
    supersample : int
        Fine voxels per voxel along each axis.

    Returns
    -------
    Phantom
        Channels A (1), B (0.8) and C (0.12 at its peak before modulation). Phases: more
        than three quarters of A, of B, and between them.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(size, supersample, CHANNELS, voxel_size)
    grid = canvas.grid
    if seed % 2:
        turn = Rotation.from_euler('zyx', rng.uniform(-4, 4, 3), degrees=True)
        z, y, x = grid.coordinates((0, 0, 0), turn)
        body = grid.occupancy(np.maximum(np.hypot(z, x) - rng.uniform(0.28, 0.34) * size, np.abs(y) - 0.38 * size))
    else:
        half, turn = random_frame(size, rng)
        body = grid.box((0, 0, 0), half, turn)
    off_beam, around = rng.uniform(np.deg2rad(30), np.deg2rad(60)), rng.uniform(0, 2 * np.pi)
    nz, ny, nx = np.cos(off_beam), np.sin(off_beam) * np.sin(around), np.sin(off_beam) * np.cos(around)
    width = rng.uniform(0.06, 0.11) * size
    along = (nz * grid.z + ny * grid.y + nx * grid.x - rng.uniform(-0.06, 0.06) * size) / width
    share = (erfc(along) / 2).astype(np.float32)
    canvas.paint('B-rich', (0, 0.8, 0), body)
    canvas.paint('interdiffused', (0.5, 0.4, 0.12), body * (share >= 0.25))
    canvas.paint('A-rich', (1, 0, 0), body * (share > 0.75))
    canvas.fine[0] = body * share
    canvas.fine[1] = body * np.float32(0.8) * (1 - share)
    modulation = np.clip(1 + 0.35 * grid.smooth_noise(rng, 0.08 * size), 0.2, 2)
    canvas.fine[2] = body * np.float32(0.12) * np.exp(-(along**2) / 2).astype(np.float32) * modulation
    return canvas.finish()


def needle(
    size: int = 48,
    seed: int = 0,
    *,
    voxel_size: float = 1.0,
    supersample: int = 2,
    aligned: bool = True,
    single: int = 90,
    double: int = 40,
) -> Phantom:
    """A needle along the tilt axis with a solute layer, and precipitates of one voxel and of two.

    Slightly conical, about half as wide as the field, with a round tip that lies
    inside the field for half of the seeds; the base extends beyond it along y.
    The precipitates are cubes with edges of one and of two voxels of the
    reconstruction grid, a voxel or more apart; `Phantom.precipitates` keeps
    where they are.

    Parameters
    ----------
    size : int
        Edge of the cube in voxels of the reconstruction grid.
    seed : int
        Picks the member of the set.
    voxel_size : float
        nm.
    supersample : int
        Fine voxels per voxel along each axis.
    aligned : bool
        Precipitates fill whole voxels of the reconstruction grid; otherwise they
        start at any fine voxel.
    single, double : int
        Precipitates of one voxel and of two from a size of 40 on; in proportion to
        the volume of the field below.

    Returns
    -------
    Phantom
        Channels A (matrix, 1), B (solute, at most 0.3 of A) and C (precipitates, 2).

    Raises
    ------
    InputError
        More precipitates than the needle can hold.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(size, supersample, CHANNELS, voxel_size)
    grid = canvas.grid
    body = _conical(grid, rng)
    canvas.paint('matrix', (1, 0, 0), body)
    normal = Rotation.from_euler('zx', rng.uniform(-30, 30, 2), degrees=True).apply([0.0, 1.0, 0.0])
    along = normal[0] * grid.z + normal[1] * grid.y + normal[2] * grid.x - rng.uniform(-0.2, 0.1) * size
    solute = (_SOLUTE * np.exp(-((along / (0.07 * size)) ** 2) / 2)).astype(np.float32)
    canvas.paint('solute layer', (1 - _SOLUTE, _SOLUTE, 0), body * (solute > _SOLUTE / 2))
    canvas.fine[0], canvas.fine[1] = body * (1 - solute), body * solute
    fewer = min(1.0, (size / _FULL_SIZE) ** 3)
    edges = [2] * round(fewer * double) + [1] * round(fewer * single)
    corners = _scatter(grid, body, edges, supersample, aligned, rng)
    cubes = np.zeros(grid.shape, np.float32)
    for low, edge in zip(corners, edges, strict=True):
        cubes[_cube(low, edge * supersample)] = 1
    canvas.paint('precipitate', (0, 0, 2), cubes)
    lows = corners / supersample
    bounds = np.stack([lows, lows + np.array(edges, int)[:, None]], axis=1)
    return replace(canvas.finish(), precipitates=bounds)


def _conical(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Occupancy of a cone along y with a round tip, (z, y, x)."""
    size = grid.size
    radius, taper = rng.uniform(0.25, 0.27) * size, rng.uniform(0.04, 0.08)
    shift = rng.uniform(-0.03, 0.03, 2) * size
    # Beyond the field for half of the seeds: then only the cone is seen.
    neck = rng.uniform(0.2, 0.26) * size if rng.random() < 0.5 else size
    rho = np.hypot(grid.z - shift[0], grid.x - shift[1])
    cone = grid.occupancy(np.maximum(rho - (radius - taper * grid.y), grid.y - np.float32(neck)))
    blunt = radius - taper * neck
    tip = grid.ellipsoid((shift[0], neck, shift[1]), (blunt, min(0.18 * size, blunt), blunt))
    return np.maximum(cone, tip)


def _cube(low: np.ndarray, edge: int) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(a) + edge) for a in low)


def _scatter(
    grid: Grid, body: np.ndarray, edges: list[int], supersample: int, aligned: bool, rng: np.random.Generator
) -> np.ndarray:
    """Low corners of cubes inside a body, a coarse voxel or more apart, (cube, 3) in fine voxels; the largest come first."""
    depth = distance_transform_edt(body > 0.99) * grid.step
    # A centre is deep enough when the corners of the cube keep about a voxel of matrix around them.
    candidates = {edge: np.argwhere(depth > 0.9 * edge + 1) for edge in set(edges)}
    pitch = supersample if aligned else 1
    free = np.ones(grid.shape, bool)
    found = []
    for edge in edges:
        width = edge * supersample
        deep = candidates[edge]
        for which in rng.integers(max(len(deep), 1), size=2000 if len(deep) else 0):
            low = (deep[which] - width // 2) // pitch * pitch
            if low.min() < 0 or (low + width).max() > grid.shape[0] or not free[_cube(low, width)].all():
                continue
            free[tuple(slice(max(int(a) - supersample, 0), int(a) + width + supersample) for a in low)] = False
            found.append(low)
            break
        else:
            raise InputError(
                f'A needle of {grid.size} voxels has no position left for {len(edges)} precipitates; take fewer.'
            )
    return np.array(found).reshape(-1, 3)
