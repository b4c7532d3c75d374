"""A nanocube of iron oxides as it lies on its grid: with a void and a shell of ligands."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from napari_diptomo.series import InputError
from napari_diptomo.simulate.eels_shapes import IRON_DENSITY, OXIDES, counts_per_iron
from napari_diptomo.simulate.phantoms import Canvas, Phantom

#: Degrees about x, y, z; the corners then come this far from the tilt axis, in half edges.
_TURN, _REACH = (3, 15, 4), 1.52
#: Voxels kept free at the rim of the field, for images that are displaced.
_ROOM = 2.0


def oxide_nanocube(
    size: int = 48,
    *,
    voxel_size: float = 1.0,
    supersample: int = 2,
    film: float = 2.0,
    void: float = 0.18,
    ligand: float = 1.5,
) -> Phantom:
    """FeO core, Fe3O4 shell, outer film of FeO, a void in the shell, carbon around it all.

    Like `eels_phantom`, a little smaller, so that film and ligands stay in the
    field of view at all tilts; the densities are real ones:
    an M2,3 edge is as strong as there is iron in a volume (FeO 48.2, Fe3O4
    40.4 per nm^3) and as there are 3d holes per iron atom.

    Parameters
    ----------
    size : int
        Edge in voxels; the shell takes up to 44 % of it.
    voxel_size : float
        nm.
    supersample : int
        Fine voxels per voxel.
    film : float
        Thickness of the outer FeO, voxels.
    void : float
        Radius of the void relative to the half edge of the shell; 0 for none.
    ligand : float
        Thickness of the carbon, voxels; 0 for none.

    Returns
    -------
    Phantom
        Channels FeO, Fe3O4, C; M2,3 edge counts per voxel relative to FeO, and
        1 per voxel of carbon.

    Raises
    ------
    InputError
        Film and ligands that leave no space for the particle.
    """
    strength = {oxide: IRON_DENSITY[oxide] * counts_per_iron(oxide) for oxide in OXIDES}
    magnetite = strength['Fe3O4'] / strength['FeO']
    canvas = Canvas(size, supersample, (*OXIDES, 'C'), voxel_size)
    turn = Rotation.from_euler('zyx', _TURN, degrees=True)
    shell = min(0.22 * size, (size / 2 - _ROOM) / _REACH - film - ligand)
    if shell < 3:
        raise InputError(
            f'A film of {film:g} and ligands of {ligand:g} leave no space in a field of {size}; take more.'
        )
    outer = shell + film
    bodies: dict[str, tuple[tuple[float, ...], float]] = {'ligand': ((0, 0, 1), outer + ligand)} if ligand else {}
    bodies |= {'FeO film': ((1, 0, 0), outer), 'Fe3O4': ((0, magnetite, 0), shell)}
    bodies |= {'FeO core': ((1, 0, 0), 0.55 * shell)}
    for name, (composition, half) in bodies.items():
        canvas.paint(name, composition, canvas.grid.box((0, 0, 0), (half,) * 3, turn))
    if void:
        centre = turn.apply((0, 0.15, 0.77)) * shell
        canvas.paint('vacuum', (0, 0, 0), canvas.grid.ellipsoid(centre, np.full(3, void * shell)))
    return canvas.finish()
