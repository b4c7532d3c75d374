"""Memory that the network takes while it is fitted, estimated from the network itself.

The activations kept for the gradient are counted on a small cube, as torch
keeps them, and grow with the volume; whatever changes in the network is in the
count. What the backward pass needs beside them is a few gradients of the widest
layer at full size. docs/memory.md has what was measured.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from napari_diptomo.reconstruct.dip.network import UNet, structure_of
from napari_diptomo.reconstruct.dip.settings import NetworkSettings
from napari_diptomo.series import MapSeries

#: Inputs held: the noise, twice as much jitter, their sum.
_INPUTS = 4
#: Gradients and scratch of the widest layer at full size, float32 even where the network is in bfloat16.
_GRADIENTS = 4
#: What torch and oneDNN load and allocate with the first fit, whatever its size; measured.
LIBRARIES = 150 * 2**20
#: Copies of the weights: themselves, gradient, two momenta, and all but the gradient in each of two states to fall back on.
_WEIGHTS = 10


def network_bytes(settings: NetworkSettings, maps: MapSeries, voxels: float, half_precision: bool) -> float:
    """Bytes beside the volumes while the network is fitted to a volume of so many voxels.

    Parameters
    ----------
    settings : NetworkSettings
        Its structure.
    maps : MapSeries
        The data; their channels are its outputs.
    voxels : float
        Of the volume.
    half_precision : bool
        Whether it computes in bfloat16.
    """
    size = 2 if half_precision else 4
    kept, widest, weights = _activations(structure_of(settings, maps))
    per_voxel = size * (kept + _INPUTS * settings.input_channels) + 4.0 * _GRADIENTS * widest
    return voxels * per_voxel + 4.0 * _WEIGHTS * weights + LIBRARIES


@lru_cache(maxsize=16)
def _activations(structure: tuple[Any, ...]) -> tuple[float, int, int]:
    """Numbers per voxel kept for the gradient, channels of the widest layer at full size, and weights."""
    with torch.random.fork_rng(devices=[]):
        network = UNet(*structure)
    edge = 2 ** max(len(structure[2]), 4)
    # The difference of two lengths: weights and other constants drop out.
    short, long = (_kept(network, torch.zeros(1, structure[0], edge, edge, n * edge)) for n in (2, 3))
    widest = max(
        m.in_channels for up in (network.up[0], network.head) for m in up.modules() if isinstance(m, torch.nn.Conv3d)
    )
    weights = sum(p.numel() for p in network.parameters())
    return (long - short) / (4 * edge**3), max(widest, structure[0]), weights


def _kept(network: UNet, z: torch.Tensor) -> int:
    """Bytes that the forward pass leaves for the backward pass, each storage counted once."""
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(z)
    return sum(storage.nbytes() for storage in storages.values())
