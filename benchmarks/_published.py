"""The published method as plain torch code: what its settings cost without our kernels.

Written from the description of arXiv 2606.10547 and 2606.10893: a 3-D U-Net of
`torch.nn.Conv3d`, `BatchNorm3d` and torch's own trilinear interpolation in
float32, least squares or L1 on maps divided by their maximum, total variation
of the channels' sum, AdamW. Only the projector is ours. Used for timing; what
the settings reach is measured with `DIPmTV(preset='published-...')`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.torch_projector import TorchProjector
from napari_diptomo.series import MapSeries

_INPUTS, _INPUT_STD, _HEAD, _RATE, _TV = 32, 0.1, 16, 4e-4, 1e-10
#: Widths, skips, jitter of the input, loss.
SETTINGS: dict[str, tuple[tuple[int, ...], tuple[int, ...], float, Callable[..., torch.Tensor]]] = {
    'published-edx': ((16, 32, 64, 128, 256), (4, 8, 16, 32, 64), 0.04, F.mse_loss),
    'published-eels': ((16, 32, 64, 128), (4, 8, 16, 32), 0.01, F.l1_loss),
}


def _block(a: int, b: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv3d(a, b, kernel, stride, padding=kernel // 2, padding_mode='reflect')
    return [conv, nn.BatchNorm3d(b), nn.LeakyReLU(0.2)]


class PlainUNet(nn.Module):
    """(1, 32, z, y, x) to the positive (1, channel, z, y, x)."""

    def __init__(self, channels: int, widths: Sequence[int], skips: Sequence[int]) -> None:
        super().__init__()
        above = [_INPUTS, *widths[:-1]]
        below = [*widths[1:], widths[-1]]
        self.down = nn.ModuleList(
            nn.Sequential(*_block(a, w, 3, 2), *_block(w, w, 3)) for a, w in zip(above, widths, strict=True)
        )
        self.skip = nn.ModuleList(nn.Sequential(*_block(a, s, 1)) for a, s in zip(above, skips, strict=True))
        self.up = nn.ModuleList(
            nn.Sequential(nn.BatchNorm3d(b + s), *_block(b + s, w, 3), *_block(w, w, 1))
            for b, s, w in zip(below, skips, widths, strict=True)
        )
        last = nn.Conv3d(_HEAD, channels, 3, padding=1, padding_mode='reflect')
        self.head = nn.Sequential(*_block(widths[0], _HEAD, 3), last, nn.LeakyReLU(0.2))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        levels = [z]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for level, skip, up in reversed(list(zip(levels, self.skip, self.up, strict=True))):
            x = F.interpolate(x, level.shape[2:], mode='trilinear', align_corners=False)
            x = up(torch.cat([x, skip(level)], 1))
        return self.head(x).square()


def plain_iteration(maps: MapSeries, preset: str) -> Callable[[], float]:
    """One iteration of the published fit in plain float32 torch, as a function that returns the loss."""
    widths, skips, jitter, loss = SETTINGS[preset]
    channels, _, ny, nx = maps.data.shape
    projector = TorchProjector(ParallelBeam(maps.angles, (nx, ny, nx)))
    data = torch.as_tensor(maps.data)
    data = data / data.amax((1, 2, 3), keepdim=True)
    torch.manual_seed(0)
    network = PlainUNet(channels, widths, skips)
    z = _INPUT_STD * torch.rand(1, _INPUTS, nx, ny, nx)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.0)

    def iteration() -> float:
        x = network(z + jitter * torch.randn_like(z))[0]
        # Unit cubes: a path through the whole volume has length 1.
        objective = loss(projector.project(x) / nx, data) + _TV * _total_variation(x.sum(0))
        optimiser.zero_grad()
        objective.backward()
        optimiser.step()
        return float(objective.detach())

    return iteration


def _total_variation(x: torch.Tensor) -> torch.Tensor:
    steps = [F.pad(torch.diff(x, dim=axis), [0] * (5 - 2 * axis) + [1]) for axis in range(3)]
    return (sum(step.square() for step in steps) + 1e-9).sqrt().sum()
