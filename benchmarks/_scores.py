"""Scores of a reconstruction, and the observer that scores it on the way.

Nothing is stretched or fitted before it is compared with the truth
(`napari_diptomo.assess`). The observer looks at the iterates while a method
runs; the time that this takes is counted and left out of the method's seconds.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from _cases import Blob, Sample
from napari_diptomo.assess import composition_error, elongation, fsc_wedge, psnr, ssim
from napari_diptomo.series import InputError, Observer, Progress, Request


def scores(volume: np.ndarray, sample: Sample, blob: Blob | None = None) -> dict[str, Any]:
    """All scores of a volume (channel, z, y, x), means over the channels; JSON-ready."""
    volume = on_grid(volume, sample.truth.shape)
    tilts = float(sample.maps.angles.min()), float(sample.maps.angles.max())
    wedge = fsc_wedge(volume, sample.truth, tilts)
    composition = composition_error(volume, sample.truth, sample.phases)
    names = [sample.phase_names[label] for label in composition.labels]
    return {
        'psnr': mean_psnr(volume, sample.truth),
        'ssim': mean_ssim(volume, sample.truth),
        'fsc_measured': round(float(wedge.measured.mean()), 4),
        'fsc_missing': round(float(wedge.missing.mean()), 4),
        'elongation': None if blob is None else _elongation(volume, blob),
        'composition': round(composition.mean_absolute, 4),
        'composition_bias': {
            n: [round(float(b), 3) for b in row] for n, row in zip(names, composition.bias, strict=True)
        },
        'in_voids': round(composition.in_voids, 4),
    }


def mean_psnr(volume: np.ndarray, truth: np.ndarray) -> float:
    """dB, mean over the channels."""
    return round(float(psnr(volume, truth).mean()), 3)


def mean_ssim(volume: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the channels."""
    return round(float(ssim(volume, truth).mean()), 4)


def on_grid(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A volume of another thickness, in the middle of the truth's grid: empty where it has no voxels."""
    if volume.shape == shape:
        return volume
    found = np.zeros(shape, np.float32)
    thick, depth = shape[1], volume.shape[1]
    start = abs(thick - depth) // 2
    if depth <= thick:
        found[:, start : start + depth] = volume
    else:
        found[:] = volume[:, start : start + thick]
    return found


def _elongation(volume: np.ndarray, blob: Blob) -> float | None:
    """Length along the beam over width of the body, by second moments above half of its maximum."""
    channel, box = blob(volume.shape[-1])
    try:
        return round(float(elongation(volume[channel][box], threshold=0.5)[0]), 3)
    except InputError:
        return None


class Curve(Observer):
    """Scores the iterates against the truth on the way and remembers the best.

    Parameters
    ----------
    truth : ndarray (channel, z, y, x)
        What to score against.
    every : int
        Iterations between two looks; 0 never looks.
    patience : int
        Finish when the best is this many iterations old; 0 lets the method decide.
    """

    def __init__(self, truth: np.ndarray, every: int, patience: int = 0) -> None:
        self._truth, self._every, self._patience = truth, every, patience
        self._range = np.log10(np.ptp(truth, axis=(1, 2, 3)))
        self._begin = time.perf_counter()
        self._looking: float | None = None
        self._own = 0.0
        self._total = 0
        self.iteration = 0
        self.points: list[tuple[int, float, float]] = []
        self.best: np.ndarray | None = None
        self.best_point: tuple[int, float, float] = (0, 0.0, -np.inf)

    @property
    def seconds(self) -> float:
        """Working time of the method since this observer was made, its own time left out."""
        return time.perf_counter() - self._begin - self._own

    def wants_preview(self) -> bool:
        coming = self.iteration + 1
        due = bool(self._every) and (coming % self._every == 0 or coming == self._total)
        # Copying the volume for us is our cost too.
        self._looking = time.perf_counter() if due else None
        return due

    def report(self, progress: Progress) -> None:
        self.iteration, self._total = progress.iteration, progress.total
        if self._looking is None or progress.preview is None:
            return
        seconds = self._looking - self._begin - self._own
        frame = on_grid(progress.preview, self._truth.shape) if self._same_pixels(progress.preview) else None
        if frame is not None:
            self._note(frame, seconds)
        self._own += time.perf_counter() - self._looking

    def request(self) -> Request:
        stale = self._patience and self.iteration - self.best_point[0] > self._patience
        return Request.FINISH if stale else Request.GO

    def _same_pixels(self, frame: np.ndarray) -> bool:
        # A coarse-to-fine method shows smaller volumes first; they are no iterates on this grid.
        return frame.shape[2:] == self._truth.shape[2:]

    def _note(self, frame: np.ndarray, seconds: float) -> None:
        # In float32 and channel by channel: this must not show in the peak memory.
        errors = [float(np.square(f - t).mean(dtype=np.float64)) for f, t in zip(frame, self._truth, strict=True)]
        found = float(np.mean(20 * self._range - 10 * np.log10(np.maximum(errors, 1e-30))))
        self.points.append((self.iteration, round(seconds, 3), round(found, 3)))
        if found > self.best_point[2]:
            self.best_point, self.best = self.points[-1], frame
