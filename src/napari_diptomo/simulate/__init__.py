"""Phantoms and spectra with a known truth, for sample data, tests and benchmarks."""

from napari_diptomo.simulate.phantoms import GST_PHASES, Phantom, edx_phantom, eels_phantom, lamella
from napari_diptomo.simulate.projections import Simulated, project, tilt_series

__all__ = [
    'GST_PHASES',
    'Phantom',
    'Simulated',
    'edx_phantom',
    'eels_phantom',
    'lamella',
    'project',
    'tilt_series',
]
