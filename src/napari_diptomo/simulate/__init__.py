"""Phantoms and spectra with a known truth, for sample data, tests and benchmarks."""

from napari_diptomo.simulate.edx import SimulatedSpectra, demo_series, edx_tilt_series, line_shape
from napari_diptomo.simulate.edx_emission import counts_from_dose, true_k_factors
from napari_diptomo.simulate.eels import SimulatedEELS, demo_eels, eels_tilt_series
from napari_diptomo.simulate.nanocube import oxide_nanocube
from napari_diptomo.simulate.phantoms import GST_PHASES, Phantom, edx_phantom, eels_phantom, lamella, lamella_frame
from napari_diptomo.simulate.projections import Simulated, project, second_tilt_series, tilt_series
from napari_diptomo.simulate.specimens import facetted, interdiffusion, needle, porous

__all__ = [
    'GST_PHASES',
    'Phantom',
    'Simulated',
    'SimulatedEELS',
    'SimulatedSpectra',
    'counts_from_dose',
    'demo_eels',
    'demo_series',
    'edx_phantom',
    'edx_tilt_series',
    'eels_phantom',
    'eels_tilt_series',
    'facetted',
    'interdiffusion',
    'lamella',
    'lamella_frame',
    'line_shape',
    'needle',
    'oxide_nanocube',
    'porous',
    'project',
    'second_tilt_series',
    'tilt_series',
    'true_k_factors',
]
