"""EELS: from low and core losses to the oxidation state."""

from napari_diptomo.spectra.eels.calibration import CalibratedSeries, calibrate
from napari_diptomo.spectra.eels.conventional import EdgeWindows, edge_maps, mlls
from napari_diptomo.spectra.eels.deconvolution import deconvolved
from napari_diptomo.spectra.eels.explain import ExplainedEELS, ExplainedRange, explain_eels
from napari_diptomo.spectra.eels.oxidation import EELSOxidationMaps
from napari_diptomo.spectra.eels.standards import Standards, find_standards
from napari_diptomo.spectra.eels.white_line_ratio import WhiteLines, white_line_maps

__all__ = [
    'CalibratedSeries',
    'EELSOxidationMaps',
    'EdgeWindows',
    'ExplainedEELS',
    'ExplainedRange',
    'Standards',
    'WhiteLines',
    'calibrate',
    'deconvolved',
    'edge_maps',
    'explain_eels',
    'find_standards',
    'mlls',
    'white_line_maps',
]
