"""X-rays: from the spectra of a tilt series to counts of line families, and from those to k-factors and absorption."""

from napari_diptomo.spectra.edx.denoise import Denoise
from napari_diptomo.spectra.edx.edx_maps import EDXMaps

__all__ = ['Denoise', 'EDXMaps']
