"""Small files as instruments and programs write them, made with HyperSpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

REAL = Path(__file__).parents[2].parent / 'shared' / 'data'


def counts(seed: int = 0, shape: tuple[int, ...] = (8, 6, 16)) -> np.ndarray:
    return np.random.default_rng(seed).poisson(3, shape).astype(np.uint8)


def write_spectra(
    path: Path,
    data: np.ndarray,
    *,
    pixel: tuple[float, str] = (2.0, 'nm'),
    energy: dict[str, Any] | None = None,
    tilt: float | None = None,
    tilt_axis: dict[str, Any] | None = None,
) -> Path:
    import hyperspy.api as hs

    space = [
        {'name': n, 'size': s, 'scale': pixel[0], 'units': pixel[1]}
        for n, s in zip('yx', data.shape[-3:-1], strict=False)
    ]
    energy = {'name': 'Energy', 'scale': 0.01, 'offset': -0.1, 'units': 'keV'} if energy is None else energy
    axes = [*([tilt_axis] if tilt_axis else []), *space, {**energy, 'size': data.shape[-1]}]
    signal = hs.signals.Signal1D(data, axes=axes)
    signal.metadata.set_item('Acquisition_instrument.TEM.beam_energy', 200.0)
    signal.metadata.set_item('Acquisition_instrument.TEM.Detector.EDS.elevation_angle', 18.0)
    signal.metadata.set_item('Sample.elements', ['Ge', 'Te'])
    if tilt is not None:
        signal.metadata.set_item('Acquisition_instrument.TEM.Stage.tilt_alpha', tilt)
    signal.save(str(path), overwrite=True)
    return path


def write_maps(path: Path, data: np.ndarray, pixel_nm: float = 1.07) -> Path:
    import tifffile

    tifffile.imwrite(
        path, data, imagej=True, resolution=(1 / pixel_nm, 1 / pixel_nm), metadata={'axes': 'ZYX', 'unit': 'nm'}
    )
    return path
