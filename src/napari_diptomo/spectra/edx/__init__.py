"""X-ray spectra: counts of line families at every pixel, k-factors and absorption."""

from napari_diptomo.spectra.edx.denoise import Denoise
from napari_diptomo.spectra.edx.edx_maps import EDXMaps

__all__ = ['Denoise', 'EDXMaps']
