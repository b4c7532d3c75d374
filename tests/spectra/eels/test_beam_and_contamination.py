"""A beam current that changes, and carbon that grows: found, and no alarm without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube
from napari_diptomo.spectra.eels.beam_and_contamination import beam_currents, drift_findings
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate


@pytest.fixture(scope='module')
def calibrated():
    made = eels_tilt_series(oxide_nanocube(24, ligand=1.0), np.linspace(-60, 60, 5), seed=0, read_noise=0.0)
    return calibrate(made.series)


def test_a_steady_beam_on_a_clean_specimen_raises_no_alarm(calibrated):
    currents = beam_currents(calibrated)
    np.testing.assert_allclose(currents, 1, atol=0.02)
    assert drift_findings(calibrated, currents, False) == ()


def test_a_beam_current_is_found_and_can_be_divided_by(calibrated):
    true = np.array([0.5, 1.0, 1.5, 1.0, 1.0])
    counts = np.asarray(calibrated.series.counts) * true[:, None, None, None]
    currents = beam_currents(replace(calibrated, series=replace(calibrated.series, counts=counts)))
    np.testing.assert_allclose(currents, true / true.mean(), rtol=0.02)
    doubt, said = (drift_findings(calibrated, currents, divided)[0] for divided in (False, True))
    assert doubt.level == 'doubt' and doubt.remedy.changes == {'equal_current': True}
    assert said.level == 'note'


def test_carbon_that_grows_is_found(calibrated):
    grown = calibrated.t_over_lambda + 0.05 * np.arange(5)[:, None, None]
    found = drift_findings(replace(calibrated, t_over_lambda=grown), np.ones(5), False)
    assert [finding.about for finding in found] == ['contamination']
    assert found[0].evidence['change of t/lambda'] == pytest.approx(0.2, abs=0.03)
