"""Densities by zeta-factors with known answers."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from napari_diptomo.assess import mass_density
from napari_diptomo.assess.mass_density import Dose, densities
from napari_diptomo.series import InputError


def test_the_density_of_two_elements_is_the_sum_over_their_zeta_factors() -> None:
    counts = np.array([4.0, 10.0])[:, None, None, None]
    density, error = densities(np.array([500.0, 800.0]), Dose(electrons=1e9), 2.0, counts, np.sqrt(counts))
    # (500 * 4 + 800 * 10) kg/m^2 over 1e9 * 2e-9 m
    assert density.item() == pytest.approx(5.0)
    assert error.item() == pytest.approx(np.hypot(500 * 2, 800 * np.sqrt(10)) / 2 * 1e-3)


def test_current_and_live_time_are_a_dose() -> None:
    assert Dose(beam_current=1.602176634, live_time=0.1).per_pixel() == pytest.approx(1e9)
    with pytest.raises(InputError, match='needs the dose'):
        Dose(beam_current=1.0).per_pixel()


def test_the_example_holds() -> None:
    assert doctest.testmod(mass_density).failed == 0
