"""Which device computes, what it has free, and what it does well."""

from __future__ import annotations

import torch

from napari_diptomo.series import InputError
from napari_diptomo.series import memory as host


def pick(choice: str) -> torch.device:
    """The device for ``'auto'``, ``'cpu'`` or ``'cuda'``.

    Apple's GPUs are left out: torch has no sparse matrices there, which the projector needs.

    Raises
    ------
    InputError
        A device that this machine lacks.
    """
    cuda = torch.cuda.is_available()
    if choice == 'auto':
        return torch.device('cuda' if cuda else 'cpu')
    if choice == 'cuda' and not cuda:
        raise InputError('This machine offers torch no CUDA device; choose auto or cpu.')
    return torch.device(choice)


def describe(device: torch.device) -> str:
    """In words, for the dock and the notes of a result."""
    if device.type == 'cuda':
        return f'GPU {torch.cuda.get_device_name(device)} (torch {torch.__version__})'
    threads = torch.get_num_threads()
    return f'CPU, {threads} thread{"s" * (threads > 1)} (torch {torch.__version__})'


def free_memory(device: torch.device) -> int:
    """Bytes free on the device."""
    if device.type == 'cuda':
        return int(torch.cuda.mem_get_info(device)[0])
    return host.free_memory()


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions have hardware behind them; elsewhere they are emulated and slow."""
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu = torch.cpu
    return bool(
        getattr(cpu, '_is_avx512_bf16_supported', lambda: False)()
        or getattr(cpu, '_is_amx_tile_supported', lambda: False)()
    )
