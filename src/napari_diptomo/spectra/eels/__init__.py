"""EELS: from low and core losses to the oxidation state."""

from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries, calibrate
from napari_diptomo.spectra.eels.deconvolution import deconvolved
from napari_diptomo.spectra.eels.edge_counts import edge_maps, mlls
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows
from napari_diptomo.spectra.eels.eels_edge_maps import EdgeMaps
from napari_diptomo.spectra.eels.eels_mlls_maps import MLLSMaps
from napari_diptomo.spectra.eels.eels_oxidation_maps import EELSOxidationMaps
from napari_diptomo.spectra.eels.eels_white_lines import WhiteLineMaps
from napari_diptomo.spectra.eels.explained_losses import ExplainedEELS, ExplainedRange, explain_eels
from napari_diptomo.spectra.eels.standards import Standards, find_standards
from napari_diptomo.spectra.eels.white_line_ratio import WhiteLines, white_line_maps

__all__ = [
    'CalibratedSeries',
    'EELSOxidationMaps',
    'EdgeMaps',
    'EdgeWindows',
    'ExplainedEELS',
    'ExplainedRange',
    'MLLSMaps',
    'Standards',
    'WhiteLineMaps',
    'WhiteLines',
    'calibrate',
    'deconvolved',
    'edge_maps',
    'explain_eels',
    'find_standards',
    'mlls',
    'white_line_maps',
]
