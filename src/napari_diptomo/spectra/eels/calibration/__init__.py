"""Energy losses on one axis: the zero loss, what the camera adds, features of known energy."""

from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries, calibrate

__all__ = ['CalibratedSeries', 'calibrate']
