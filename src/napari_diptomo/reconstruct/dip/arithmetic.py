"""Whether this machine computes the layers of a network correctly in the number type that it is fast at.

Some kernels are wrong on some processors: oneDNN 3.12 leaves two of three planes of
the weight gradient of a bfloat16 convolution unwritten when the first axis has two
voxels, on processors with AVX512-BF16 and without AMX; some versions of cuDNN are
wrong in other shapes. Nobody has the list. So every distinct convolution of a network
is run once, forward and backward, on random data of the shape that it will have, and
compared with float32; a layer that disagrees is computed in float32. Float32 itself is
compared with torch's own kernels (on a GPU with the CPU), which need no library.

Released memory is filled with not-a-number before each pass, so that a result that was
read from memory which nobody wrote does not pass by luck.

Large layers are shortened along their longest axes: a block of voxels and the remainder
of a division by the block stay, which leaves blocks and tails of a kernel as they are.

Verdicts are kept in a file of the user's cache, by processor, number type, threads and
version of torch: they do not change between runs.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from napari_diptomo.reconstruct.dip.network import UNet
from napari_diptomo.series import Finding, ReconstructionError

#: Relative error (norm of the difference over norm) of a result that is only rounded: bfloat16 has 8 bits, float32 24.
TOLERANCE = {torch.bfloat16: 0.02, torch.float32: 1e-3}
#: Multiplications of one pass above which a layer is shortened: about ten milliseconds on one thread.
_LARGEST = 4e7
_BLOCKS = (16, 8, 4)
_PASSES = 2
#: Raise when the check itself changes: verdicts of another version are not used.
_VERSION = 1
_RIGHT = 'right'
_RESULTS = ('output', 'gradient of the input', 'gradient of the weights', 'gradient of the bias')


@dataclass(frozen=True)
class Layer:
    """The properties of a convolution that decide which kernel computes it.

    Attributes
    ----------
    inputs, outputs : int
        Channels.
    kernel, stride : int
        Voxels, alike along the three axes.
    padding : str
        ``'zeros'`` or ``'reflect'``.
    shape : tuple of int
        Of the input (z, y, x).
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: str
    shape: tuple[int, int, int]

    def __str__(self) -> str:
        return (
            f'{self.inputs} to {self.outputs} channels, kernel {self.kernel}, stride {self.stride}, '
            f'{self.padding} at the border, {" x ".join(map(str, self.shape))} voxels'
        )

    def shortened(self) -> Layer:
        """The layer on fewer voxels, where it is too large to be checked as it is."""
        shape = list(self.shape)
        for block in _BLOCKS:
            while self._work(shape) > _LARGEST and max(shape) >= 2 * block:
                longest = shape.index(max(shape))
                shape[longest] = block + shape[longest] % block
        return Layer(self.inputs, self.outputs, self.kernel, self.stride, self.padding, (shape[0], shape[1], shape[2]))

    def _work(self, shape: list[int]) -> float:
        voxels = math.prod(-(-n // self.stride) for n in shape)
        # Random numbers and copies cost as well: some hundred multiplications for each number of input and output.
        return float(voxels) * (self.inputs * self.outputs * self.kernel**3 + 200 * (self.inputs + self.outputs))


@dataclass(frozen=True)
class Arithmetic:
    """How a network is computed on a device.

    Attributes
    ----------
    number_type : torch.dtype
        Of all layers but those in `exceptions`.
    exceptions : tuple of str
        Names of the layers (as in ``named_modules``) that are computed in float32.
    library : bool
        Whether oneDNN or cuDNN may be used.
    findings : tuple of Finding
        For the user.
    """

    number_type: torch.dtype
    exceptions: tuple[str, ...] = ()
    library: bool = True
    findings: tuple[Finding, ...] = field(default=())

    def prepare(self, network: nn.Module) -> None:
        """Set the layers of a network accordingly."""
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv3d):
                module.computes_in = torch.float32 if name in self.exceptions else None  # type: ignore[assignment]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Around every pass through the network: equal seeds give equal bits in here."""
        with (
            torch.backends.cudnn.flags(enabled=self.library, deterministic=True, benchmark=False, allow_tf32=False),
            _onednn(self.library),
        ):
            yield


def settle(device: torch.device) -> None:
    """Have the vector functions called once by a single thread.

    Their library chooses its kernels at the first call. Where that came from two threads at once, one in
    ten processes got a square root unlike all later ones in the last bit, and equal seeds another volume.
    """
    if device.type == 'cpu':
        x = torch.linspace(0.1, 1.0, 64)
        for function in (torch.sqrt, torch.rsqrt, torch.log, torch.exp, torch.log1p, torch.tanh):
            function(x)


def arithmetic_for(network: UNet, shape: Sequence[int], number_type: torch.dtype) -> Arithmetic:
    """Check every distinct convolution of a network, and say how to compute it.

    Parameters
    ----------
    network : UNet
        On its device, parameters in float32.
    shape : tuple of int
        Of its input (1, channel, z, y, x).
    number_type : torch.dtype
        Wanted: bfloat16 or float32.

    Returns
    -------
    Arithmetic
        With `number_type` replaced by float32 where no layer is right in it.

    Raises
    ------
    ReconstructionError
        Not even float32 without the libraries' kernels is right.
    """
    device = next(network.parameters()).device
    settle(device)
    layers = layers_of(network, shape)
    modules = dict(network.named_modules())
    distinct = {layer.shortened(): modules[name] for name, layer in layers.items()}
    faults = Verdicts(device, number_type).of(distinct)
    if not faults:
        return Arithmetic(number_type)
    if number_type != torch.float32:
        finding = _in_float32(number_type, faults, len(distinct), device)
        # What the faulty layers go back to is checked as well.
        if len(faults) < len(distinct) and not Verdicts(device, torch.float32).of({f: distinct[f] for f in faults}):
            names = tuple(name for name, layer in layers.items() if layer.shortened() in faults)
            return Arithmetic(number_type, names, findings=(finding,))
        whole = arithmetic_for(network, shape, torch.float32)
        return replace(whole, findings=(finding, *whole.findings))
    still = {} if device.type == 'cpu' else Verdicts(device, number_type, library=False).of(distinct)
    if still:
        layer, fault = next(iter(still.items()))
        raise ReconstructionError(
            f'This {device.type.upper()} device computes float32 convolutions wrongly ({layer}: {fault}); '
            'set the device to cpu.'
        )
    library = 'oneDNN' if device.type == 'cpu' else 'cuDNN'
    what = f'{library} computes {len(faults)} of {len(distinct)} kinds of layers wrongly in float32'
    finding = _finding(what, faults, len(distinct), "torch's own slower kernels are used instead")
    return Arithmetic(torch.float32, library=False, findings=(finding,))


def layers_of(network: UNet, shape: Sequence[int]) -> dict[str, Layer]:
    """The convolutions of a network by name, for an input of this shape (1, channel, z, y, x)."""
    modules = dict(network.named_modules())
    found = {}
    for name, (z, y, x) in network.input_shapes(shape[2:]).items():
        module = modules[name]
        assert isinstance(module, nn.Conv3d)
        kernel, stride = module.kernel_size[0], module.stride[0]
        found[name] = Layer(module.in_channels, module.out_channels, kernel, stride, module.padding_mode, (z, y, x))
    return found


def fault_of(module: nn.Module, layer: Layer, number_type: torch.dtype, library: bool = True) -> str:
    """The fault of a layer in a number type, in words; empty where there is none.

    Parameters
    ----------
    module : Module
        The convolution; a copy of it is run.
    layer : Layer
        Gives the shape of the input.
    number_type : torch.dtype
        Compared with float32, or float32 with kernels that need no library.
    library : bool
        Whether oneDNN or cuDNN are used for what is judged.
    """
    module = copy.deepcopy(module)
    device = next(module.parameters()).device
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            values = torch.randn(parameter.shape, generator=random) / max(layer.inputs, 1) ** 0.5
            parameter.copy_(values.to(number_type).float())
    x = torch.randn((1, layer.inputs, *layer.shape), generator=random).to(device, number_type)
    judge = Arithmetic(number_type, library=library)
    with judge.running():
        size = module(x).shape
    # Small whole numbers: exact in every type.
    grad = torch.randint(-3, 4, tuple(size), generator=random).float().to(device, number_type)
    right = _reference(module, x, grad)
    for _ in range(_PASSES):
        with judge.running():
            found = _pass(module, x, grad)
        for name, got, expected in zip(_RESULTS, found, right, strict=False):
            error = float((got - expected).norm() / expected.norm().clamp_min(1e-30))
            if not math.isfinite(error):
                return f'{name} not finite'
            if error > TOLERANCE[number_type]:
                return f'{name} wrong by {error:.2g} of its norm'
    return ''


def _reference(module: nn.Module, x: torch.Tensor, grad: torch.Tensor) -> list[torch.Tensor]:
    if x.dtype != torch.float32:
        with Arithmetic(torch.float32).running():
            return _pass(module, x.float(), grad.float())
    with Arithmetic(torch.float32, library=False).running():
        return _pass(copy.deepcopy(module).cpu(), x.cpu(), grad.cpu())


def _pass(module: nn.Module, x: torch.Tensor, grad: torch.Tensor) -> list[torch.Tensor]:
    """Output and gradients, float32 on the CPU."""
    module.zero_grad(set_to_none=True)
    x = x.detach().clone().requires_grad_()
    sizes = [x.numel(), grad.numel(), *(p.numel() for p in module.parameters())]
    _poison(sizes, x)
    y = module(x)
    _poison(sizes, x)
    # The gradient of the sum is `grad` itself; handed to `backward` it makes torch import sympy, which takes a second.
    (y * grad).sum().backward()
    results = [y, x.grad, *(p.grad for p in module.parameters())]
    return [r.detach().float().cpu() for r in results if r is not None]


def _poison(sizes: list[int], like: torch.Tensor) -> None:
    """Leave released memory of these sizes, in all types that a pass uses, full of not-a-number."""
    filled = [
        torch.full((size,), float('nan'), dtype=kind, device=like.device)
        for kind in {torch.float32, like.dtype}
        for size in sizes
        for _ in range(2)
    ]
    del filled


@contextlib.contextmanager
def _onednn(enabled: bool) -> Iterator[None]:
    # `torch.backends.mkldnn.flags` warns of Intel GPUs at every call.
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(before and enabled)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


class Verdicts:
    """Results of the checks on this machine in one number type, kept on disk too.

    Parameters
    ----------
    device : torch.device
        Where they are computed.
    number_type : torch.dtype
        See `fault_of`.
    library : bool
        See `fault_of`.
    """

    def __init__(self, device: torch.device, number_type: torch.dtype, library: bool = True) -> None:
        self._type, self._library = number_type, library
        self._machine = ' | '.join([*_machine(device), str(number_type), '' if library else 'no library'])

    def of(self, layers: Mapping[Layer, nn.Module]) -> dict[Layer, str]:
        """The faulty ones among these layers and what is wrong with them."""
        known = _read().get(self._machine, {})
        fresh = {
            str(layer): fault_of(module, layer, self._type, self._library) or _RIGHT
            for layer, module in layers.items()
            if str(layer) not in known
        }
        if fresh:
            _add(self._machine, fresh)
        verdicts = {**known, **fresh}
        return {layer: verdicts[str(layer)] for layer in layers if verdicts[str(layer)] != _RIGHT}


def _machine(device: torch.device) -> list[str]:
    """All that decides which kernels run."""
    if device.type == 'cpu':
        chip = [_processor(), torch.backends.cpu.get_cpu_capability(), f'{torch.get_num_threads()} threads']
        chip += [os.environ.get(name, '') for name in ('ONEDNN_MAX_CPU_ISA', 'DNNL_MAX_CPU_ISA', 'ATEN_CPU_CAPABILITY')]
    elif device.type == 'cuda':
        chip = [torch.cuda.get_device_name(device), f'cuDNN {torch.backends.cudnn.version()}']
    else:
        chip = [device.type, platform.platform()]
    return [f'check {_VERSION}', f'torch {torch.__version__}', *chip]


@lru_cache(maxsize=1)
def _processor() -> str:
    """Model and instructions: virtual machines hide the model."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='ascii', errors='replace').splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.replace('\t', '').split(':', 1) for line in lines if ':' in line)
    flags = fields.get('flags', fields.get('Features', '')).split()
    wide = [flag for flag in flags if flag.startswith(('avx', 'amx', 'sve', 'bf16'))]
    return ' '.join([fields.get('model name', '').strip(), platform.machine(), *sorted(wide)])


def _file() -> Path:
    home = os.environ.get('XDG_CACHE_HOME') or (Path.home() / '.cache')
    return Path(home) / 'napari-diptomo' / 'arithmetic.json'


def _read() -> dict[str, dict[str, str]]:
    try:
        found = json.loads(_file().read_text(encoding='utf-8'))
        return {str(m): {str(k): str(v) for k, v in verdicts.items()} for m, verdicts in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _add(machine: str, verdicts: Mapping[str, str]) -> None:
    """Keep verdicts; a cache that cannot be written costs a second per run and nothing else."""
    kept = _read()
    kept[machine] = {**kept.get(machine, {}), **verdicts}
    path = _file()
    partial = path.with_name(f'{path.name}.{os.getpid()}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(kept, indent=1), encoding='utf-8')
        os.replace(partial, path)
    except OSError:
        return


def _in_float32(number_type: torch.dtype, faults: Mapping[Layer, str], checked: int, device: torch.device) -> Finding:
    kinds = f'{len(faults)} of {checked} kinds of layers' if len(faults) > 1 else f'one of {checked} kinds of layers'
    wrongly = f'{kinds} wrongly' if len(faults) < checked else 'no layer rightly'
    what = f'The {device.type.upper()} computes {wrongly} in {_name(number_type)}'
    return _finding(what, faults, checked, 'float32 is used instead')


def _finding(what: str, faults: Mapping[Layer, str], checked: int, consequence: str) -> Finding:
    layer, fault = next(iter(faults.items()))
    evidence = {'faulty': len(faults), 'checked': checked}
    return Finding('note', 'arithmetic', f'{what} ({layer}: {fault}); {consequence}.', evidence)


def _name(number_type: torch.dtype) -> str:
    return {torch.bfloat16: 'bfloat16'}.get(number_type, str(number_type).removeprefix('torch.'))
