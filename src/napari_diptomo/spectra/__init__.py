"""From spectra to maps: line families, the fit, and which elements a series shows.

eXSpy is behind `napari_diptomo.spectra.common.exspy_adapter` alone and imported when its
tables are first needed.
"""

from napari_diptomo.spectra.common.tilt_counts import sum_spectrum
from napari_diptomo.spectra.edx.denoise import Denoise
from napari_diptomo.spectra.edx.detector import Detector
from napari_diptomo.spectra.edx.edx_maps import EDXMaps
from napari_diptomo.spectra.edx.element_ranking import rank_elements
from napari_diptomo.spectra.edx.element_search import FoundElement, find_elements, suggest_elements
from napari_diptomo.spectra.edx.explained_spectrum import Explained, explain
from napari_diptomo.spectra.edx.lines import LineFamily, families_for, families_of
from napari_diptomo.spectra.edx.overlaps import OverlapReport, overlaps
from napari_diptomo.spectra.edx.spectrum_model import SpectrumModel, spectrum_model
from napari_diptomo.spectra.edx.totals import Totals, check_totals, family_totals, measure_gain, with_gain
from napari_diptomo.spectra.eels.eels_edge_maps import EdgeMaps
from napari_diptomo.spectra.eels.eels_mlls_maps import MLLSMaps
from napari_diptomo.spectra.eels.eels_oxidation_maps import EELSOxidationMaps
from napari_diptomo.spectra.eels.eels_white_lines import WhiteLineMaps

__all__ = [
    'Denoise',
    'Detector',
    'EDXMaps',
    'EELSOxidationMaps',
    'EdgeMaps',
    'Explained',
    'FoundElement',
    'LineFamily',
    'MLLSMaps',
    'OverlapReport',
    'SpectrumModel',
    'Totals',
    'WhiteLineMaps',
    'check_totals',
    'explain',
    'families_for',
    'families_of',
    'family_totals',
    'find_elements',
    'measure_gain',
    'overlaps',
    'rank_elements',
    'spectrum_model',
    'suggest_elements',
    'sum_spectrum',
    'with_gain',
]
