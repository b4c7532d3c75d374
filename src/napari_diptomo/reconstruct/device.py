"""Which device computes, what it has free, and what it does well."""

from __future__ import annotations

import torch

from napari_diptomo.series import InputError
from napari_diptomo.series import memory as host

#: In the order in which auto takes them, before the CPU.
_NAMES = {'cuda': 'CUDA device', 'mps': 'Apple GPU (MPS)'}


def pick(choice: str) -> torch.device:
    """The device for ``'auto'``, ``'cpu'``, ``'cuda'`` or ``'mps'``; auto takes the first there is of CUDA, MPS, CPU.

    Raises
    ------
    InputError
        A device that this machine lacks, or a torch that `check_torch` refuses.
    """
    check_torch()
    lacking = missing()
    if choice == 'auto':
        return torch.device(next((name for name in _NAMES if name not in lacking), 'cpu'))
    if choice in lacking:
        raise InputError(lacking[choice])
    return torch.device(choice)


def missing() -> dict[str, str]:
    """The choices of a device that this machine lacks, each with a sentence that says so."""
    # Torch for Intel Macs ended at 2.2, which cannot report the memory of their GPUs.
    mps = torch.backends.mps.is_available() and hasattr(torch.mps, 'recommended_max_memory')
    there = {'cuda': torch.cuda.is_available(), 'mps': mps}
    return {
        name: f'This machine offers torch no {words}; choose auto or cpu.'
        for name, words in _NAMES.items()
        if not there[name]
    }


def check_torch() -> None:
    """Refuse torch 2.9, whose 3-D convolutions are faulty.

    In reduced precision it goes round cuDNN, which takes four times as long and
    more memory, or takes a cuDNN whose results are wrong (pytorch/pytorch#166122,
    #166643, #163539). A new installation never gets it; one made for something
    else may have it.

    Raises
    ------
    InputError
        Torch 2.9.
    """
    if torch.__version__.startswith('2.9.'):
        raise InputError(
            f'torch {torch.__version__} computes 3-D convolutions in reduced precision four times slower, in more memory '
            'and with some versions of cuDNN wrongly: install torch 2.8, or 2.10 or newer.'
        )


def describe(device: torch.device) -> str:
    """In words, for the dock and the notes of a result."""
    if device.type == 'cuda':
        return f'GPU {torch.cuda.get_device_name(device)} (torch {torch.__version__})'
    if device.type == 'mps':
        return f'Apple GPU (torch {torch.__version__})'
    threads = torch.get_num_threads()
    return f'CPU, {threads} thread{"s" * (threads > 1)} (torch {torch.__version__})'


def free_memory(device: torch.device) -> int:
    """Bytes free on the device."""
    if device.type == 'cuda':
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == 'mps':
        # Apple's GPU shares the machine's memory and is given a part of it at most.
        left = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return int(min(left, host.free_memory()))
    return host.free_memory()


def widest_float(device: torch.device) -> torch.dtype:
    """Double precision where there is any; Apple's GPUs refuse it."""
    return torch.float32 if device.type == 'mps' else torch.float64


def takes_bf16(precision: str, device: torch.device) -> bool:
    """Whether a network computes in bfloat16: as the user says, or where it is fast."""
    return precision == 'bf16' or (precision == 'auto' and fast_bf16(device))


def fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions have hardware behind them; elsewhere they are emulated and slow."""
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == 'mps':
        # Nobody has measured it for us there; float32 works on every Apple GPU.
        return False
    cpu = torch.cpu
    instructions = bool(
        getattr(cpu, '_is_avx512_bf16_supported', lambda: False)()
        or getattr(cpu, '_is_amx_tile_supported', lambda: False)()
    )
    return instructions and _onednn_takes_bf16()


def _onednn_takes_bf16() -> bool:
    """Whether oneDNN does: ONEDNN_MAX_CPU_ISA can keep it from instructions that the processor has."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return True
