"""Spectroscopic electron tomography in napari: from a tilt series to a chemical volume.

The public names are imported when they are first used, so that opening the
plugin costs neither torch nor HyperSpy.
"""

from __future__ import annotations

from napari_diptomo import _moved
from napari_diptomo._first_use import at_first_use

__version__ = '0.1.0'

#: Public name -> package that defines it. Recipes resolve their steps here too.
_HOMES = {
    'load_tilt_series': 'series',
    'load_haadf_series': 'series',
    'load': 'series',
    'HAADFSeries': 'series',
    'SpectralTiltSeries': 'series',
    'MapSeries': 'series',
    'Volume': 'series',
    'Recipe': 'series',
    'Source': 'series',
    'Observer': 'series',
    'Progress': 'series',
    'DiptomoError': 'series',
    'Finding': 'series',
    'Denoise': 'spectra',
    'EDXMaps': 'spectra',
    'EdgeMaps': 'spectra',
    'EELSOxidationMaps': 'spectra',
    'MLLSMaps': 'spectra',
    'WhiteLineMaps': 'spectra',
    'Align': 'align',
    'SecondAxis': 'align',
    'SIRT': 'reconstruct',
    'PoissonEM': 'reconstruct',
    'TotalVariation': 'reconstruct',
    'DIPmTV': 'reconstruct',
    'Composition': 'assess',
    'OxidationState': 'assess',
    'run': 'jobs',
}

__all__ = [*_HOMES, '__version__']


_moved.install()


__getattr__ = at_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
