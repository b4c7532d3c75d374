"""Layers are compared with float32 before a network is fitted; faulty ones are computed in float32."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.reconstruct.dip import arithmetic
from napari_diptomo.reconstruct.dip.arithmetic import Layer, arithmetic_for, fault_of, layers_of
from napari_diptomo.reconstruct.dip.convolution import Conv3d
from napari_diptomo.reconstruct.dip.network import UNet, levels_for
from napari_diptomo.series import MapSeries, ReconstructionError

SMALL = {'widths': (8, 16), 'skips': (4, 4)}
SHAPE = (1, 4, 6, 9, 8)


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'napari-diptomo' / 'arithmetic.json'


class _Unwritten(torch.autograd.Function):
    """A convolution whose weight gradient keeps one plane of the kernel in memory that nobody wrote."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.conv3d(x, weight, bias, padding=1)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        # In float32, so that a processor that is wrong itself adds nothing to the fault.
        inputs = (tensor.float() for tensor in (grad, x, weight))
        gradients = torch.ops.aten.convolution_backward(
            *inputs, [weight.shape[0]], [1] * 3, [1] * 3, [1] * 3, False, [0] * 3, 1, [True] * 3
        )
        given, right, bias = (gradient.to(grad.dtype) for gradient in gradients)
        found = torch.empty_like(right)
        found[:, :, 1:] = right[:, :, 1:]
        return given, found, bias


class Unwritten(Conv3d):
    def _conv_forward(self, input, weight, bias):
        if input.dtype == torch.float32:
            return super()._conv_forward(input, weight, bias)
        return _Unwritten.apply(input, weight, bias)


def test_a_gradient_read_from_released_memory_is_found():
    layer = Layer(16, 16, 3, 1, 'zeros', (2, 8, 8))
    fault = fault_of(Unwritten(16, 16, 3, padding=1), layer, torch.bfloat16)
    assert fault.startswith('gradient of the weights')


def test_a_gradient_that_is_wrong_and_finite_is_found(monkeypatch):
    # Fresh memory is full of zeros: then a third of the gradient is missing.
    monkeypatch.setattr(torch, 'empty_like', torch.zeros_like)
    layer = Layer(16, 16, 3, 1, 'zeros', (2, 8, 8))
    fault = fault_of(Unwritten(16, 16, 3, padding=1), layer, torch.bfloat16)
    assert 'wrong by 0.5' in fault or 'wrong by 0.6' in fault


@pytest.mark.parametrize('number_type', [torch.bfloat16, torch.float32])
@pytest.mark.parametrize('shape', [(2, 5, 7), (3, 3, 3), (1, 1, 4)])
def test_a_right_layer_passes(number_type, shape):
    layer = Layer(4, 8, 3, 1, 'zeros', shape)
    # Without oneDNN: this processor's own kernels may be at fault.
    assert fault_of(Conv3d(4, 8, 3, padding=1), layer, number_type, library=False) == ''


def test_every_convolution_is_listed_with_the_shape_that_it_has():
    for grows, layout, padding in ((False, 'slim', 'zeros'), (True, 'slim', 'zeros'), (False, 'published', 'reflect')):
        network = UNet(4, 2, (8, 16, 16), (4, 4, 4), layout=layout, head=8, grows=grows, padding=padding)
        seen = {}
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.Conv3d):
                module.register_forward_hook(
                    lambda m, given, _, name=name, seen=seen: seen.__setitem__(name, tuple(given[0].shape[2:]))
                )
        with torch.no_grad():
            network(torch.zeros(SHAPE))
        assert {name: layer.shape for name, layer in layers_of(network, SHAPE).items()} == seen


def test_large_layers_are_shortened_to_a_block_and_the_remainder():
    layer = Layer(16, 16, 3, 1, 'zeros', (2, 100, 251)).shortened()
    # 251 = 14 x 16 + 11 and 100 = 5 x 16 + 4; two voxels stay two.
    assert layer.shape == (2, 20, 27)
    assert Layer(64, 64, 3, 2, 'zeros', (2, 2, 2)).shortened().shape == (2, 2, 2)


def spoiled(monkeypatch, wrong) -> None:
    """Layers for which ``wrong(layer, number_type, library)`` holds pass for faulty."""
    monkeypatch.setattr(
        arithmetic, 'fault_of', lambda module, layer, kind, library=True: 'not finite' * wrong(layer, kind, library)
    )


def test_only_the_faulty_layers_are_computed_in_float32(monkeypatch):
    spoiled(monkeypatch, lambda layer, kind, library: kind == torch.bfloat16 and layer.shape == (3, 5, 4))
    network = UNet(4, 2, **SMALL)
    found = arithmetic_for(network, SHAPE, torch.bfloat16)
    found.prepare(network)
    kinds = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv3d):
            module._conv_forward = lambda x, w, b, name=name, real=module._conv_forward: (
                kinds.__setitem__(name, x.dtype) or real(x, w, b)
            )
    network(torch.zeros(SHAPE, dtype=torch.bfloat16))
    inside = {name for name, layer in layers_of(network, SHAPE).items() if layer.shape == (3, 5, 4)}
    assert inside
    assert {name for name, kind in kinds.items() if kind == torch.float32} == inside
    (note,) = found.findings
    assert note.level == 'note'
    assert '3 x 5 x 4 voxels: not finite' in note.sentence


def test_a_type_that_fails_everywhere_is_left_for_float32(monkeypatch):
    spoiled(monkeypatch, lambda layer, kind, library: kind == torch.bfloat16)
    found = arithmetic_for(UNet(4, 2, **SMALL), SHAPE, torch.bfloat16)
    assert found.number_type == torch.float32
    assert 'no layer rightly in bfloat16' in found.findings[0].sentence


def test_a_faulty_layer_goes_back_to_float32_only_where_that_is_right(monkeypatch):
    spoiled(monkeypatch, lambda layer, kind, library: layer.shape == (3, 5, 4) and library)
    found = arithmetic_for(UNet(4, 2, **SMALL), SHAPE, torch.bfloat16)
    assert found.number_type == torch.float32
    assert not found.library
    assert [finding.about for finding in found.findings] == ['arithmetic'] * 2


def test_float32_that_fails_is_computed_without_the_library(monkeypatch):
    spoiled(monkeypatch, lambda layer, kind, library: library)
    found = arithmetic_for(UNet(4, 2, **SMALL), SHAPE, torch.float32)
    assert not found.library
    with found.running():
        assert not torch.backends.mkldnn.enabled
    assert torch.backends.mkldnn.enabled


def test_a_device_that_is_wrong_in_every_way_is_refused_in_a_sentence(monkeypatch):
    spoiled(monkeypatch, lambda layer, kind, library: True)
    network = UNet(4, 2, **SMALL).to('meta')
    with pytest.raises(ReconstructionError, match=r'META device computes float32 convolutions wrongly .* to cpu'):
        arithmetic_for(network, SHAPE, torch.float32)


def test_verdicts_are_kept_and_used(fresh_cache, monkeypatch):
    network = UNet(4, 2, **SMALL)
    arithmetic_for(network, SHAPE, torch.float32)
    (kept,) = json.loads(fresh_cache.read_text()).values()
    assert set(kept.values()) == {'right'}
    spoiled(monkeypatch, lambda layer, kind, library: True)
    assert arithmetic_for(network, SHAPE, torch.float32).library
    fresh_cache.write_text('damaged')
    assert not arithmetic_for(network, SHAPE, torch.float32).library


def test_the_check_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    arithmetic_for(UNet(4, 2, **SMALL), SHAPE, torch.float32)
    after = torch.rand(3)
    torch.manual_seed(3)
    UNet(4, 2, **SMALL)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize(
    ('shape', 'levels'), [((8, 8, 8), 3), ((9, 9, 9), 4), ((2, 2, 2), 1), ((1, 1, 1), 1), ((2, 48, 3), 4)]
)
def test_small_volumes_get_shallow_networks(shape, levels):
    assert levels_for(shape, 4) == levels


@pytest.mark.parametrize('shape', [(1, 1, 1), (1, 8, 1), (2, 2, 2), (8, 8, 8), (1, 1, 8), (5, 3, 7), (3, 1, 2)])
def test_tiny_volumes_are_fitted(shape):
    z, y, x = shape
    data = np.random.default_rng(0).poisson(20.0, (2, 5, y, x))
    maps = MapSeries(data, np.arange(-40.0, 41, 20), ('A', 'B'))
    volume = DIPmTV(iterations=8, thickness=float(z)).run(maps)
    assert volume.data.shape == (2, *shape)
    assert np.isfinite(volume.data).all()


TWICE = """
import hashlib, numpy as np, torch
from napari_diptomo import DIPmTV, MapSeries

def poison():
    kept = [torch.full((2**k // 4,), float('nan')) for k in range(10, 23) for _ in range(4)]
    del kept

data = np.random.default_rng(0).poisson(8.0, (2, 5, 16, 16))
maps = MapSeries(data, np.arange(-40.0, 41, 20), ('A', 'B'))
for preset in ('fast', 'balanced'):
    for _ in range(2):
        poison()
        volume = DIPmTV(preset=preset, iterations=3, precision='bf16').run(maps)
        assert np.isfinite(volume.data).all()
        assert 'restarts' not in volume.notes
        print(preset, hashlib.sha256(volume.data.tobytes()).hexdigest())
"""


@pytest.mark.parametrize('instructions', ['', 'AVX512_CORE_BF16', 'AVX2'])
def test_equal_seeds_give_equal_bits_in_poisoned_memory_on_any_processor(instructions, tmp_path):
    environment = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path)}
    if instructions:
        if 'AVX512' not in torch.backends.cpu.get_cpu_capability():
            pytest.skip('this processor has AVX2 at most: a limit changes nothing')
        environment['ONEDNN_MAX_CPU_ISA'] = instructions
    ended = subprocess.run([sys.executable, '-c', TWICE], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.split('\n')[:-1]
    assert len(set(lines)) == 2
    assert len(lines) == 4
