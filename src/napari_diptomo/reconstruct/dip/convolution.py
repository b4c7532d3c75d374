"""A 3-D convolution that reaches the fast kernels in float32 as well.

Torch hands a float32 convolution of batch size 1 to its own slow kernels unless
channels x depth x height exceeds 20480 (``use_mkldnn`` in ATen's Convolution.cpp):
small volumes and all coarse levels of a U-Net then run at a fraction of what
oneDNN does with them. bfloat16 is not subject to it, but many processors lack it.

The way round that is used here: the forward pass calls oneDNN directly; in the
backward pass an input in oneDNN's own layout (one copy) makes torch choose it.
The pass over one layer, forward and backward, then takes this part of the time of
torch's own choice (float32, one thread of an AVX-512 server, processor time, best
of five):

================  ================================================
channels, size    part of the time
================  ================================================
8 to 8, 48^3      0.12
32 to 32, 24^3    0.13
64 to 64, 12^3    0.19
64 to 64, 6^3     0.46
8 to 16, 48^3 /2  0.52
36 to 16, 48^3    1: above the threshold torch's choice is kept
================  ================================================

Kernels of a single voxel gain nothing (0.9 to 1.5 as a matrix product) and stay
torch's as well.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

#: Channels x depth x height up to which torch takes its own kernels.
_THRESHOLD = 20480


class Conv3d(nn.Conv3d):
    """`torch.nn.Conv3d`, with the same results, on oneDNN also where torch would not take it.

    Reflection at an axis of a single voxel repeats that voxel, where torch
    refuses: volumes of one slice have such an axis.

    Attributes
    ----------
    computes_in : torch.dtype, optional
        Number type that the layer is computed in whatever its input has; see `reconstruct.arithmetic`.
    """

    computes_in: torch.dtype | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """In the type of its input, or in `computes_in` and back."""
        if self.computes_in is None:
            return self._in_type_of(input)
        return self._in_type_of(input.to(self.computes_in)).to(input.dtype)

    def _in_type_of(self, x: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return self._conv_forward(x, self.weight.to(x.dtype), bias)

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        padding: Any = self.padding
        if self.padding_mode == 'reflect':
            input = reflect(input, padding)
            padding = (0, 0, 0)
        elif self.padding_mode != 'zeros':
            return super()._conv_forward(input, weight, bias)
        if not isinstance(padding, str) and self.groups == 1 and _evaded(input, weight):
            found: torch.Tensor = _OneDNN.apply(input, weight, bias, self.stride, padding, self.dilation)
            return found
        return F.conv3d(input, weight, bias, self.stride, padding, self.dilation, self.groups)


def reflect(x: torch.Tensor, padding: tuple[int, int, int]) -> torch.Tensor:
    """Mirror (..., z, y, x) at its borders without repeating them; an axis of one voxel repeats it (as numpy does)."""
    pads = [0] * 6
    for axis, pad in enumerate(padding):
        if x.shape[axis - 3] == 1:
            x = torch.cat([x] * (2 * pad + 1), axis - 3)
        else:
            pads[2 * (2 - axis)] = pads[2 * (2 - axis) + 1] = pad
    return F.pad(x, pads, mode='reflect') if any(pads) else x


def _evaded(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether torch would pass oneDNN by for no good reason."""
    return bool(
        x.device.type == 'cpu'
        and x.dtype == weight.dtype == torch.float32
        and x.dim() == 5
        and x.shape[0] == 1
        and x.shape[1] * x.shape[2] * x.shape[3] <= _THRESHOLD
        and weight[0, 0].numel() > 1
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        # Autocast converts what it knows by name, and it knows torch's convolution.
        and not _autocasting()
    )


def _autocasting() -> bool:
    try:
        return torch.is_autocast_enabled('cpu')
    except TypeError:
        # Asked by another name before torch 2.4; Intel Macs end at 2.2.
        return bool(torch.is_autocast_cpu_enabled())


class _OneDNN(torch.autograd.Function):
    """Convolution of batch size 1 by oneDNN, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        found: torch.Tensor = torch.mkldnn_convolution(x.contiguous(), weight, bias, padding, stride, dilation, 1)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        grads = torch.ops.aten.convolution_backward(
            grad.contiguous(),
            x.to_mkldnn(),
            weight,
            [weight.shape[0]],
            stride,
            padding,
            dilation,
            False,
            [0, 0, 0],
            1,
            list(ctx.needs_input_grad[:3]),
        )
        return (*(_dense(g) for g in grads), None, None, None)


def _dense(x: torch.Tensor | None) -> torch.Tensor | None:
    return x.to_dense() if x is not None and x.is_mkldnn else x
