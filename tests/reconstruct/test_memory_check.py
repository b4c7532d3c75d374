"""Refusals for want of memory: before the start and in the middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_diptomo.reconstruct import SIRT, DIPmTV, TotalVariation
from napari_diptomo.reconstruct.memory_check import binned_outline
from napari_diptomo.series import MapSeries, TooLargeError

GIB = 2**30


@pytest.fixture(scope='module')
def large():
    """Three channels of 120 x 100 pixels at 9 tilts, a nanometre each."""
    data = np.random.default_rng(0).poisson(5, (3, 9, 100, 120)).astype(np.float32)
    return MapSeries(data, angles=np.arange(-40, 41, 10.0), channels=('A', 'B', 'C'))


def summed(maps, n):
    """The maps as loaded with n times the binning."""
    c, t, ny, nx = maps.data.shape
    data = maps.data[:, :, : ny // n * n, : nx // n * n].reshape(c, t, ny // n, n, nx // n, n).sum((3, 5))
    return replace(maps, data=data, pixel_size=maps.pixel_size * n)


@pytest.mark.parametrize(
    'step', [SIRT(), TotalVariation(), DIPmTV(), DIPmTV(thickness=60.0), DIPmTV(beyond_field=True)]
)
@pytest.mark.parametrize('binning', [2, 3, 5])
def test_the_binning_named_is_the_smallest_that_fits(large, step, binning, monkeypatch):
    """With just enough memory for this binning it is named, and the maps binned so do fit."""
    room = step.memory_bytes(summed(large, binning))
    assert room < step.memory_bytes(summed(large, binning - 1))
    monkeypatch.setattr('napari_diptomo.reconstruct.device.free_memory', lambda device: room)
    with pytest.raises(TooLargeError, match=rf'are free; load the series with {binning} times the binning'):
        step.run(large)


def test_binned_outline_has_the_shapes_of_binned_maps(large):
    fitted = replace(large, variance=large.data + 1, background=large.data, held_out=large.data, held_out_share=0.1)
    outline = binned_outline(fitted, 3)
    assert outline.data.shape == outline.variance.shape == outline.held_out.shape == summed(large, 3).data.shape
    assert outline.pixel_size == 3.0


def test_a_wide_network_that_does_not_fit_names_the_preset_that_does(large, monkeypatch):
    wide, ours = DIPmTV(preset='published-edx'), DIPmTV()
    assert ours.memory_bytes(large) < wide.memory_bytes(large)
    monkeypatch.setattr('napari_diptomo.reconstruct.device.free_memory', lambda device: ours.memory_bytes(large))
    with pytest.raises(TooLargeError, match=r'are free; use the preset balanced\.$'):
        wide.run(large)


def test_nothing_fits_is_said_so(large, monkeypatch):
    monkeypatch.setattr('napari_diptomo.reconstruct.device.free_memory', lambda device: 1000)
    with pytest.raises(TooLargeError, match=r'no binning makes it fit\.$'):
        SIRT().run(large)


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 MiB.'),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError('MPS backend out of memory (MPS allocated: 1 GB)'),
        MemoryError(),
    ],
    ids=['cuda', 'cpu', 'mps', 'python'],
)
@pytest.mark.parametrize('step', [SIRT(iterations=3), DIPmTV(iterations=3, precision='float32')])
def test_memory_that_runs_out_in_the_middle_says_what_to_do(maps, step, error, monkeypatch):
    from napari_diptomo.reconstruct.problem import Problem

    calls = []

    def failing(self, volume):
        calls.append(1)
        if len(calls) > 2:
            raise error
        return forward(self, volume)

    forward = Problem.forward
    monkeypatch.setattr(Problem, 'forward', failing)
    with pytest.raises(
        TooLargeError, match=rf'^{step.title} on these maps ran out of memory in the middle; '
    ) as raised:
        step.run(maps)
    assert '\n' not in str(raised.value)
    assert raised.value.__cause__ is error


def test_other_errors_of_torch_stay_what_they_are(maps, monkeypatch):
    from napari_diptomo.reconstruct.problem import Problem

    def failing(self, volume):
        raise RuntimeError('mat1 and mat2 shapes cannot be multiplied')

    monkeypatch.setattr(Problem, 'forward', failing)
    with pytest.raises(RuntimeError, match='cannot be multiplied'):
        SIRT(iterations=1).run(maps)
