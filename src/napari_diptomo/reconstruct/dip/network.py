"""The untrained network: a 3-D U-Net that predicts all channels from one head.

The layout is that of the source papers (CNN3D of arXiv 2606.10547): every
level halves the size by a strided convolution followed by another one; on the
way up, trilinear interpolation, a thin skip connection, a 3x3x3 and a 1x1x1
convolution. Widths, normalisation, head and output are parameters: the
published settings use batch normalisation, a 16-wide head and a squared
output, ours group normalisation, one convolution and a softplus.

The ``slim`` layout mixes the coarse features down to the width of the level
BEFORE they are interpolated, where there is an eighth of the voxels, and leaves
out the normalisation of what is joined: the widest convolution of the published
layout, at full size, took a third of an iteration and predicted nothing better
(docs/choices.md).

With ``grows`` the volume is the sum of two predictions before the softplus: one at half
the size, interpolated, and one at full size. Until the second is opened an iteration
costs a third, and most of what counts determine at low frequencies is learnt by then.

The output ``shares`` predicts the total of the channels and the share of each: with C
channels, u_c = C softplus(t) exp(a_c) / sum_k exp(a_k). Where channels exclude each
other, as the oxides of one metal do, one head determines where the specimen ends and the
others need not agree on it (docs/eels-chain.md).

Parameters stay in float32; every layer computes in the type of its input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from napari_diptomo.reconstruct.dip.convolution import Conv3d
from napari_diptomo.reconstruct.dip.settings import NetworkSettings, Output
from napari_diptomo.series import MapSeries

_SLOPE = 0.2
Padding = Literal['zeros', 'reflect']


class UNet(nn.Module):
    """Network from a fixed input to the (unscaled) volume.

    Parameters
    ----------
    inputs, outputs : int
        Channels of the input noise and of the volume.
    widths, skips : sequence of int
        Channels per level and of the skip connection into that level.
    normalisation : {'group', 'batch'}
        Group normalisation (4 groups) or batch normalisation.
    head : int
        Width of an extra convolution before the last one, 0 for none.
    output : {'softplus', 'shares', 'square'}
        How the output is made non-negative, see the module.
    padding : {'zeros', 'reflect'}
        Of the 3x3x3 convolutions.
    layout : {'slim', 'published'}
        Where the coarse features are mixed, see the module.
    grows : bool
        Whether there is a prediction at half the size, which `coarse` restricts the network to.

    Attributes
    ----------
    coarse : bool
        Predict at half the size only.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int] = (16, 32, 64, 64),
        skips: Sequence[int] = (4, 4, 4, 4),
        normalisation: str = 'group',
        head: int = 0,
        output: str = 'softplus',
        padding: Padding = 'zeros',
        layout: str = 'slim',
        grows: bool = False,
    ) -> None:
        super().__init__()
        slim = layout == 'slim'
        norm: Callable[[int], nn.Module] = nn.BatchNorm3d if normalisation == 'batch' else _group_norm
        above = [inputs, *widths[:-1]]
        self.output = output
        self.down = nn.ModuleList(
            nn.Sequential(
                *_block(a, w, 3, norm, padding, stride=2),
                *_block(w, w, 3, norm, padding),
            )
            for a, w in zip(above, widths, strict=True)
        )
        self.skip = nn.ModuleList(
            nn.Sequential(*_block(a, s, 1, norm, padding)) for a, s in zip(above, skips, strict=True)
        )
        below = [*widths[1:], widths[-1]]
        kept = [max(w - s, 1) if slim else b for b, s, w in zip(below, skips, widths, strict=True)]
        self.mix = nn.ModuleList(Pointwise(b, k) if slim else nn.Identity() for b, k in zip(below, kept, strict=True))
        self.up = nn.ModuleList(
            nn.Sequential(
                *([] if slim else [norm(k + s)]),
                *_block(k + s, w, 3, norm, padding),
                *_block(w, w, 1, norm, padding),
            )
            for k, s, w in zip(kept, skips, widths, strict=True)
        )
        outputs += output == 'shares'
        last = [*_block(widths[0], head, 3, norm, padding)] if head else []
        self.head = nn.Sequential(*last, Conv3d(head or widths[0], outputs, 3, padding=1, padding_mode=padding))
        self.coarse = False
        self.head_coarse = None
        if grows and len(widths) > 1:
            self.head_coarse = Conv3d(widths[1], outputs, 3, padding=1, padding_mode=padding)
            # The full size starts as a correction of nothing.
            for parameter in self.head[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """(1, inputs, z, y, x) to the non-negative (outputs, z, y, x)."""
        levels = [z]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        stages = list(zip(levels, self.skip, self.mix, self.up, strict=True))
        found: torch.Tensor | None = None
        for depth, (level, skip, mix, up) in reversed(list(enumerate(stages))):
            x = up(torch.cat([upsample(mix(x), level.shape[2:]), skip(level)], 1))
            if depth == 1 and self.head_coarse is not None:
                found = upsample(self.head_coarse(x), z.shape[2:])
                if self.coarse:
                    break
        if found is None:
            found = self.head(x)
        elif not self.coarse:
            found = found + self.head(x)
        return _NON_NEGATIVE[self.output](found[0].float())

    def input_shapes(self, shape: Sequence[int]) -> dict[str, tuple[int, int, int]]:
        """Shape (z, y, x) of the input of each convolution, by its name, for an input of this shape (z, y, x)."""
        sizes = [tuple(-(-n // 2**level) for n in shape) for level in range(len(self.down) + 1)]
        found = {}
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv3d):
                part, *position = name.split('.')
                level = int(position[0]) if part in ('down', 'skip', 'mix', 'up') else int(part == 'head_coarse')
                below = part == 'mix' or (part == 'down' and position[1] != '0')
                z, y, x = sizes[level + below]
                found[name] = (z, y, x)
        return found


def _shares(x: torch.Tensor) -> torch.Tensor:
    return (len(x) - 1) * F.softplus(x[:1]) * torch.softmax(x[1:], 0)


def _square(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, _SLOPE).square()


_NON_NEGATIVE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    'softplus': F.softplus,
    'shares': _shares,
    'square': _square,
}


def output_of(settings: NetworkSettings, maps: MapSeries) -> Output:
    """How the output is made non-negative: of oxides of one metal the total and the shares are predicted."""
    if settings.output == 'auto':
        return 'shares' if 'oxidation' in maps.notes and len(maps.channels) > 1 else 'softplus'
    return settings.output


def levels_for(shape: Sequence[int], levels: int) -> int:
    """Levels of a network for a volume (z, y, x): no more than halve it to two voxels along its longest axis."""
    return max(1, min(levels, (max(shape) - 1).bit_length()))


def structure_of(
    settings: NetworkSettings, maps: MapSeries, shape: Sequence[int] | None = None, further: int = 0
) -> tuple[Any, ...]:
    """The arguments of `UNet` for these settings, the maps, and the volume (z, y, x) where that may be small; hashable."""
    levels = len(settings.widths)
    # Batch normalisation is that of the published settings, which are kept as they are.
    if shape is not None and settings.normalisation == 'group':
        levels = levels_for(shape, levels)
    return (
        settings.input_channels,
        len(maps.channels) + further,
        settings.widths[:levels],
        settings.skips[:levels],
        settings.normalisation,
        settings.head,
        output_of(settings, maps),
        settings.padding,
        settings.layout,
        settings.grows,
    )


def upsample(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Trilinear interpolation of (1, channel, z, y, x) to ``size``, corners not aligned.

    One small matrix product per axis: the processors' fastest operation, where
    torch's own interpolation took 40 % of a whole iteration.
    """
    _, c, nz, ny, nx = x.shape
    mz, my, mx = (_interpolation(n, int(to), x.device, x.dtype) for n, to in zip((nz, ny, nx), size, strict=True))
    x = torch.matmul(mz, x.reshape(c, nz, ny * nx)).reshape(c * mz.shape[0], ny, nx)
    x = torch.matmul(my, x)
    return torch.matmul(x, mx.T).reshape(1, c, *size)


@lru_cache(maxsize=64)
def _interpolation(n: int, to: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Matrix (to, n) of linear interpolation."""
    eye = torch.eye(n)[None]
    return F.interpolate(eye, size=to, mode='linear', align_corners=False)[0].T.to(device, dtype).contiguous()


class Pointwise(Conv3d):
    """A convolution of a single voxel; in bfloat16 the matrix product takes a quarter of torch's convolution."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b, 1)

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if input.dtype != torch.bfloat16 or bias is None:
            return super()._conv_forward(input, weight, bias)
        found = torch.addmm(bias[:, None], weight.flatten(1), input.reshape(input.shape[1], -1))
        return found.reshape(1, -1, *input.shape[2:])


class GroupNorm(nn.GroupNorm):
    """Group normalisation in the type of its input; a single number is left as it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() == self.num_groups:
            return x
        # Torch takes parameters in float32 beside an input in bfloat16 on the CPU; its CUDA kernel refuses them.
        if x.device.type == 'cpu':
            return super().forward(x)
        return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def _group_norm(channels: int) -> nn.GroupNorm:
    return GroupNorm(4 if channels % 4 == 0 else 1, channels)


def _block(
    a: int, b: int, kernel: int, norm: Callable[[int], nn.Module], padding: Padding, stride: int = 1
) -> list[nn.Module]:
    conv = Pointwise(a, b) if kernel == 1 else Conv3d(a, b, 3, stride=stride, padding=1, padding_mode=padding)
    return [conv, norm(b), nn.LeakyReLU(_SLOPE, inplace=True)]
