"""On what a result was measured: times and, with bf16, even the figures depend on it."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from pathlib import Path

_CPUINFO = Path('/proc/cpuinfo')
#: Instructions that decide how, and how well, networks compute in bf16.
_FLAGS = ('avx512_bf16', 'amx_bf16')


@lru_cache(maxsize=1)
def processor() -> str:
    """Model, bf16 instructions and version of torch, e.g. ``'AMD EPYC 9R14, avx512_bf16, no amx_bf16, torch 2.13.0'``."""
    from importlib.metadata import version

    text = _CPUINFO.read_text(encoding='utf-8', errors='replace') if _CPUINFO.exists() else ''
    return f'{described(text) or _elsewhere()}, torch {version("torch")}'


def described(cpuinfo: str) -> str:
    """Model and bf16 instructions by the text of /proc/cpuinfo; empty where it names no model, as on ARM."""
    fields = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(':')
        # The first processor speaks for all.
        fields.setdefault(name.strip(), value.strip())
    if not fields.get('model name'):
        return ''
    present = fields.get('flags', '').split()
    return ', '.join([fields['model name'], *(flag if flag in present else f'no {flag}' for flag in _FLAGS)])


def _elsewhere() -> str:
    if platform.system() == 'Darwin':
        asked = subprocess.run(
            ['sysctl', '-n', 'machdep.cpu.brand_string'], capture_output=True, text=True, check=False
        )
        if asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine()
