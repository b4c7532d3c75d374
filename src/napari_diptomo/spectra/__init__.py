"""From spectra to maps: line families, the fit, and which elements a series shows.

eXSpy is behind `napari_diptomo.spectra._exspy` alone and imported when its
tables are first needed.
"""

from napari_diptomo.spectra._counts import sum_spectrum
from napari_diptomo.spectra.denoise import Denoise
from napari_diptomo.spectra.edx import EDXMaps
from napari_diptomo.spectra.eels.oxidation import EELSOxidationMaps
from napari_diptomo.spectra.explain import Explained, explain
from napari_diptomo.spectra.lines import Detector, LineFamily, families_for, families_of
from napari_diptomo.spectra.overlaps import OverlapReport, overlaps
from napari_diptomo.spectra.ranking import rank_elements
from napari_diptomo.spectra.shadowing import measure_gain, with_gain
from napari_diptomo.spectra.spectrum_model import SpectrumModel, spectrum_model
from napari_diptomo.spectra.suggest import FoundElement, find_elements, suggest_elements
from napari_diptomo.spectra.totals import Totals, check_totals, family_totals

__all__ = [
    'Denoise',
    'Detector',
    'EDXMaps',
    'EELSOxidationMaps',
    'Explained',
    'FoundElement',
    'LineFamily',
    'OverlapReport',
    'SpectrumModel',
    'Totals',
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
