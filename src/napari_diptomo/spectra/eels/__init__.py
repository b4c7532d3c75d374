"""EELS: from low and core losses to the oxidation state."""

from napari_diptomo.spectra.eels.calibration import CalibratedSeries, calibrate
from napari_diptomo.spectra.eels.deconvolution import deconvolved

__all__ = ['CalibratedSeries', 'calibrate', 'deconvolved']
