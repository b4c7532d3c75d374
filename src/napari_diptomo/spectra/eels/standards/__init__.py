"""Spectra of pure oxides at the low-loss edge, from the core loss of the series itself or from a file."""

from napari_diptomo.spectra.eels.standards.search import find_standards
from napari_diptomo.spectra.eels.standards.stored import Standards

__all__ = ['Standards', 'find_standards']
