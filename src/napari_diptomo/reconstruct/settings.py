"""Settings that all methods share: how the maps become a problem, and where the specimen can be.

Frozen and without torch: the steps make them of their fields, the algorithms read nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SupportSettings:
    """Where the specimen can be; lengths in nm from the middle of the volume, angles in degrees.

    Attributes
    ----------
    kind : {'none', 'slab', 'box', 'mask'}
        Of the support.
    exact : bool
        The specimen fills it to its faces.
    slab_thickness, slab_tilt, slab_tip, slab_offset : float, optional
        See `support.Slab`; None: found from the counts.
    slab_margin : float
        Voxels added on both faces of a slab whose thickness was found from the counts.
    box : tuple of float
        Edges: from and to along z, y and x of the user's volume.
    file : str
        With the mask.
    """

    kind: Literal['none', 'slab', 'box', 'mask'] = 'none'
    exact: bool = False
    slab_thickness: float | None = None
    slab_tilt: float | None = None
    slab_tip: float | None = None
    slab_offset: float | None = None
    slab_margin: float = 0.5
    box: tuple[float, ...] = ()
    file: str = ''


@dataclass(frozen=True)
class ProblemSettings:
    """How the maps become a problem.

    Attributes
    ----------
    thickness : float, optional
        Extent of the volume along the beam, nm; None: as wide as the images.
    beyond_field : bool
        The specimen extends beyond the field of view along x.
    support : SupportSettings
        Where the specimen can be.
    fit_gain : bool
        Whether the gain of each tilt is fitted to its total counts.
    holdout : float
        Fraction of the counts to hold out, in [0, 1).
    seed : int
        Of the split.
    device : {'auto', 'cpu', 'cuda', 'mps'}
        Where to compute.
    step : str
        Name of the step whose fields a remedy changes.
    haadf : bool
        Whether the HAADF series of the maps is fitted with them.
    """

    thickness: float | None = None
    beyond_field: bool = False
    support: SupportSettings = field(default_factory=SupportSettings)
    fit_gain: bool = False
    holdout: float = 0.0
    seed: int = 0
    device: str = 'auto'
    step: str = ''
    haadf: bool = False
