"""A reading process whose library breaks on files of certain names, as real ones do on damaged files."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

from napari_diptomo.jobs.reading import reader
from napari_diptomo.series.reading import hyperspy_adapter

real_load = hyperspy_adapter._load


def load(path, *args, **options):
    reading = real_load(path, *args, **options) if path.stat().st_size else []
    if path.stem.startswith('segfault') or path.with_suffix('.break').exists():
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.stem.startswith('abort'):
        os.abort()
    if path.stem.startswith('sleep'):
        # Not even its own clock ends it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(3600)
    if path.stem.startswith('bomb'):
        return [np.ones(1 << 28, np.float64) for _ in range(64)]
    if path.stem.startswith('defect'):
        raise_from_the_library(path)
    return reading


def raise_from_the_library(path):
    raise BufferError(f'odd\nthings in {path.name}')


hyperspy_adapter._load = load

if __name__ == '__main__':
    code = reader.main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)
