"""Where an iteration spends its time, and how near its convolutions come to the machine's best."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook
from torch.profiler import ProfilerActivity, profile

from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.dip.fit import PriorFit
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import MapSeries

Call = Callable[[], Any]
#: Repetitions of a timed call; the fastest counts, others share the machine.
_REPEATS = 5
#: Calls of microseconds are repeated up to so often, for so many seconds.
_MANY, _LONG = 60, 0.1


def fit_of(step: DIPmTV, maps: MapSeries) -> PriorFit:
    """The fit that a step runs, ready for its first iteration."""
    return PriorFit(step.fit_settings(), Problem(maps, holdout=step.holdout, seed=step.seed))


def seconds_of(calls: dict[str, Call], repeats: int = _REPEATS, warm: int = 1) -> dict[str, float]:
    """Seconds of the fastest of several rounds of each call, in turns: what disturbs one disturbs all."""
    for call in calls.values():
        for _ in range(warm):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def operations(iterate: Call, iterations: int = 3, top: int = 12) -> dict[str, Any]:
    """Self CPU time by operation, and the share of convolutions."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(iterations):
            iterate()
    events = sorted(found.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(e.self_cpu_time_total for e in events)
    rows = [
        {
            'operation': e.key,
            'share': round(e.self_cpu_time_total / total, 4),
            'calls': round(e.count / iterations),
            'ms': round(e.self_cpu_time_total / 1e3 / iterations, 2),
        }
        for e in events[:top]
    ]
    convolutions = sum(e.self_cpu_time_total for e in events if _is_convolution(e.key))
    return {'operations': rows, 'convolutions': round(convolutions / total, 4)}


def _is_convolution(name: str) -> bool:
    # Our own autograd function calls torch's operations, which are counted by their own names.
    return 'conv' in name.lower() and not name.startswith(('autograd::', 'Torch'))


def projector_seconds(fit: PriorFit) -> float:
    """The projector and its adjoint as the data term calls them."""
    problem = fit.problem
    x = (problem.zeros() + 1).requires_grad_()
    ones = torch.ones_like(problem.fit)

    def both() -> None:
        problem.forward(x).backward(ones)

    return seconds_of({'projector': both})['projector']


@contextmanager
def convolutions_seen() -> Iterator[list[tuple[nn.Conv3d, torch.Tensor, bool, int]]]:
    """Every convolution that runs meanwhile: layer, input, whether under autocast, how many layers have these shapes."""
    seen: dict[tuple[Any, ...], list[Any]] = {}

    def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv3d):
            x = inputs[0]
            key = (tuple(x.shape), tuple(module.weight.shape), module.stride, x.dtype, x.stride())
            same = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).normal_()
            seen.setdefault(key, [module, same, torch.is_autocast_enabled('cpu'), 0])
            seen[key][3] += 1

    handle = register_module_forward_hook(hook)
    found: list[tuple[nn.Conv3d, torch.Tensor, bool, int]] = []
    try:
        yield found
    finally:
        handle.remove()
        found += [tuple(entry) for entry in seen.values()]


def convolution_table(fit: PriorFit) -> list[dict[str, Any]]:
    """Each distinct convolution of the network, forward and backward: time as we run it over the best that was found.

    The candidates are torch's plain convolution with batches of one and two
    (time per sample), contiguous and channels-last, float32 and bfloat16, and
    for kernels of a single voxel the matrix product.
    """
    with convolutions_seen() as seen:
        fit.iterate()
    rows = []
    for layer, x, autocast, count in seen:
        ours = _passes(_layer_call(layer, autocast), x)
        best = {'forward': (np.inf, ''), 'backward': (np.inf, '')}
        for name, call, sample, batch in _candidates(layer, x):
            for which, seconds in _passes(call, sample).items():
                best[which] = min(best[which], (seconds / batch, name))
        for which, seconds in ours.items():
            flop = 2 * layer.weight.numel() * _voxels(x, layer) * (1 if which == 'forward' else 2)
            rows.append(
                {
                    'layer': f'{layer.in_channels} to {layer.out_channels}, kernel {layer.kernel_size[0]}, '
                    f'stride {layer.stride[0]}, {" x ".join(map(str, x.shape[2:]))}',
                    'pass': which,
                    'layers': count,
                    'ms': round(seconds * 1e3, 3),
                    'gflops': round(flop / seconds / 1e9, 1),
                    'best_gflops': round(flop / best[which][0] / 1e9, 1),
                    'best': best[which][1],
                    'reached': round(min(best[which][0] / seconds, 1.0), 3),
                }
            )
    return rows


def _voxels(x: torch.Tensor, layer: nn.Conv3d) -> int:
    return int(np.prod([-(-n // s) for n, s in zip(x.shape[2:], layer.stride, strict=True)]))


def _layer_call(layer: nn.Conv3d, autocast: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    def call(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
            return layer(x)

    return call


def _candidates(
    layer: nn.Conv3d, x: torch.Tensor
) -> Iterator[tuple[str, Callable[[torch.Tensor], torch.Tensor], torch.Tensor, int]]:
    from napari_diptomo.reconstruct.device import fast_bf16

    types = {'float32': torch.float32} | ({'bf16': torch.bfloat16} if fast_bf16(x.device) else {})
    for type_name, dtype in types.items():
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            for batch in (1, 2):
                sample = x.to(dtype).repeat(batch, 1, 1, 1, 1).to(memory_format=layout)
                weight = layer.weight.detach().to(dtype).to(memory_format=layout).requires_grad_()
                padding = tuple(k // 2 for k in layer.kernel_size)

                def call(
                    x: torch.Tensor, w: torch.Tensor = weight, p: tuple[int, ...] = padding, s: Any = layer.stride
                ) -> torch.Tensor:
                    return F.conv3d(x, w, stride=s, padding=p)

                name = f'{type_name}, {"channels last" if layout is torch.channels_last_3d else "contiguous"}'
                yield f'{name}, batch {batch}', call, sample, batch
        if layer.kernel_size == (1, 1, 1):
            yield f'{type_name}, matrix product', _product(layer, dtype), x.to(dtype).contiguous(), 1


def _product(layer: nn.Conv3d, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    weight = layer.weight.detach().flatten(1).to(dtype).requires_grad_()
    return lambda x: weight @ x.reshape(x.shape[1], -1)


def _passes(call: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> dict[str, float]:
    """Fastest seconds of the forward and of the backward pass."""
    x = x.detach().requires_grad_()
    times: dict[str, list[float]] = {'forward': [], 'backward': []}
    began = time.perf_counter()
    while len(times['forward']) <= _REPEATS or (len(times['forward']) < _MANY and time.perf_counter() < began + _LONG):
        start = time.perf_counter()
        y = call(x)
        middle = time.perf_counter()
        y.backward(torch.ones_like(y))
        end = time.perf_counter()
        times['forward'].append(middle - start)
        times['backward'].append(end - middle)
    return {name: min(values[1:]) for name, values in times.items()}


def product_peak(n: int = 1024) -> dict[str, float]:
    """GFLOP/s of a matrix product, the ceiling of everything else."""
    matrices = {'float32': torch.randn(n, n), 'bf16': torch.randn(n, n).bfloat16()}
    found = seconds_of({name: lambda m=m: m @ m for name, m in matrices.items()})
    return {name: round(2 * n**3 / seconds / 1e9, 1) for name, seconds in found.items()}
