"""One reconstruction in a fresh process: time, peak memory, scores.

`measure` is called by the benchmarks; it starts this file as a script, which
reads a JSON job and writes a JSON result. A fresh process has its own peak
memory, caches and threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from _cases import CASES, Sample


def measure(
    sample: Sample,
    step: dict[str, Any],
    *,
    case: str = '',
    every: int = 0,
    patience: int = 0,
    take_best: bool = False,
    volume_to: Path | None = None,
) -> dict[str, Any]:
    """Run a step on a sample in a child process.

    Parameters
    ----------
    sample : Sample
        Data and truth.
    step : dict
        As `Step.to_dict` gives it.
    case : str
        Name of the case, for the body that the elongation is measured of.
    every : int
        Iterations between two looks at the iterate, 0 for none.
    patience : int
        End the run when the best iterate is this many iterations old, 0 never.
    take_best : bool
        Score the best iterate instead of the returned volume.
    volume_to : Path, optional
        Where to leave the returned volume, ``.npy``.

    Returns
    -------
    dict
        Scores, ``seconds``, ``peak_mib``, the curve and the best iterate; or
        ``error``, the sentence that the method gave up with; either with ``processor``
        and ``version``, on what and with which code. Or ``crash``, what broke.
    """
    with tempfile.TemporaryDirectory() as folder:
        job, out = Path(folder, 'job.json'), Path(folder, 'out.json')
        sample.save(Path(folder, 'sample.npz'))
        options = {'step': step, 'case': case, 'every': every, 'patience': patience, 'take_best': take_best}
        options['volume_to'] = None if volume_to is None else str(volume_to)
        job.write_text(json.dumps(options), encoding='utf-8')
        environment = {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ}
        ended = subprocess.run(
            [sys.executable, __file__, folder], env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode or not out.exists():
            lines = ended.stderr.strip().splitlines() or [f'ended with code {ended.returncode}']
            return {'crash': lines[-1][:300]}
        return json.loads(out.read_text(encoding='utf-8'))


def _run(folder: Path) -> dict[str, Any]:
    _load_libraries()
    import torch

    from _scores import Curve, mean_psnr, mean_ssim, scores
    from napari_diptomo.series.steps import step_from_dict

    options = json.loads((folder / 'job.json').read_text(encoding='utf-8'))
    sample = Sample.load(folder / 'sample.npz')
    step = step_from_dict(options['step'])
    reset_peak()
    before = resident()
    curve = Curve(sample.truth, options['every'], options['patience'])
    volume = step.run(sample.maps, curve)
    seconds, peak = curve.seconds, peak_memory() - before
    if options['volume_to']:
        np.save(options['volume_to'], volume.data)
    case = CASES.get(options['case'])
    take_best = options['take_best'] and curve.best is not None
    judged = curve.best if take_best else volume.data
    found = scores(judged, sample, case.blob if case else None)
    returned = scores(volume.data, sample) if take_best else found
    notes = {
        key: volume.notes.get(key) for key in ('returned_iteration', 'iterations', 'held_out_deviance', 'stopping')
    }
    found |= {
        'seconds': round(curve.best_point[1] if take_best else seconds, 2),
        'seconds_in_all': round(seconds, 2),
        'peak_mib': round(peak / 2**20),
        'returned': {'psnr': returned['psnr'], 'ssim': returned['ssim']},
        'notes': {key: value for key, value in notes.items() if value is not None},
        'threads': torch.get_num_threads(),
        'device': volume.notes.get('device', ''),
    }
    if curve.best is not None:
        iteration, at, _ = curve.best_point
        best = {'psnr': mean_psnr(curve.best, sample.truth), 'ssim': mean_ssim(curve.best, sample.truth)}
        found |= {'best': {'iteration': iteration, 'seconds': at, **best}, 'curve': curve.points}
    return found


def _load_libraries() -> None:
    """Before the clock starts: loading is no part of a reconstruction."""
    import torch

    import napari_diptomo.reconstruct.dip.fit_loop  # noqa: F401

    # Its first step loads torch's compiler, which takes longer than torch itself.
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.sum().backward()
    torch.optim.Adam([weight]).step()


def reset_peak() -> None:
    """Forget the peak so far, where the system allows it."""
    try:
        Path('/proc/self/clear_refs').write_text('5', encoding='ascii')
    except OSError:
        return


def resident() -> int:
    """Bytes in memory now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_memory() -> int:
    """Largest number of bytes in memory; on Linux since `reset_peak`."""
    status = Path('/proc/self/status')
    if status.exists():
        # Not ru_maxrss: it survives exec, so a child of a large parent would show its parent's peak.
        line = next(line for line in status.read_text(encoding='ascii').splitlines() if line.startswith('VmHWM'))
        return int(line.split()[1]) * 1024
    import resource

    # macOS gives bytes.
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> int:
    folder = Path(sys.argv[1])
    from _processor import processor
    from _store import version
    from napari_diptomo.series.errors import ReconstructionError, TooLargeError

    step = json.loads((folder / 'job.json').read_text(encoding='utf-8'))['step']
    made_with = version(step)
    try:
        found = _run(folder)
    except (ReconstructionError, TooLargeError) as error:
        # A method that gives up with a sentence is a result, and one that counts against it.
        found = {'error': str(error)}
    if version(step) != made_with:
        # Modules are imported on the way: nobody knows which code this was.
        sys.exit('The code was changed while it ran.')
    found |= {'version': made_with, 'processor': processor()}
    (folder / 'out.json').write_text(json.dumps(found), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
