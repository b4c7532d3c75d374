"""Factor on the spread of the members, from the held-out counts."""

from __future__ import annotations

import pytest

from napari_diptomo.reconstruct.dip.spread_check import SpreadCheck


@pytest.mark.parametrize(
    ('measured', 'squared', 'source'),
    [
        ((3.0, 0.5), 3.0, 'measured'),
        # Too uncertain to be taken as it is: one standard error is added.
        ((1.2, 0.6), 1.8, 'upper bound'),
        # No less than the mean of independent members has, 1 / K.
        ((-0.5, 0.6), 0.2 + 0.6, 'upper bound'),
        # Nothing is known: (1 - h) / h + 1 / K with h = 0.1, K = 5.
        ((1.0, 20.0), 9.2, 'jackknife'),
        ((0.0, float('inf')), 9.2, 'jackknife'),
    ],
)
def test_factor_is_measured_bounded_or_that_of_the_jackknife(monkeypatch, measured, squared, source):
    check = SpreadCheck()
    check._share, check._spectra.count = 0.1, 5
    monkeypatch.setattr(check, '_measured', lambda: measured)
    found = check.calibration()
    assert found.factor**2 == pytest.approx(squared)
    assert source in found.source
