"""Large peaks that nobody has chosen are named in grey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.series import SpectralTiltSeries
from napari_diptomo.spectra.edx.element_search import FoundElement
from napari_diptomo.widgets.tasks.edx_spectra import large_unchosen

SULPHIDE = (
    FoundElement('Pb', 'Pb_L', 1000.0, 50.0),
    FoundElement('S', 'S_K', 900.0, 40.0),
    FoundElement('Cu', 'Cu_K', 300.0, 30.0, stray=True, reason='from the grid'),
    FoundElement('Cl', 'Cl_K', 20.0, 6.0),
)


@pytest.fixture
def series() -> SpectralTiltSeries:
    energy = 0.2 + 0.01 * np.arange(1980)
    counts = np.ones((3, 4, 4, energy.size), np.uint16)
    return SpectralTiltSeries(
        counts,
        angles=np.array([-10.0, 0.0, 10.0]),
        energy=energy,
        energy_unit='keV',
        pixel_size=1.0,
        metadata={'beam_energy': 200.0},
    )


def test_sulphur_that_is_left_out_of_a_sulphide_is_named(series: SpectralTiltSeries) -> None:
    marks = large_unchosen(SULPHIDE, ('Pb',), series)
    assert [mark.label for mark in marks] == ['S-K', 'Cu-K'], 'chlorine is too small'
    assert marks[0].energy == pytest.approx(2.307, abs=0.01)
    assert len({mark.colour for mark in marks}) == 1


def test_what_is_chosen_by_its_family_is_not_named_again(series: SpectralTiltSeries) -> None:
    assert [mark.family for mark in large_unchosen(SULPHIDE, ('Pb_M', 'S_K'), series)] == ['Cu_K']


def test_losses_have_no_x_ray_lines(series: SpectralTiltSeries) -> None:
    assert large_unchosen(SULPHIDE, ('Pb',), replace(series, energy_unit='eV')) == ()
    assert large_unchosen((), (), series) == ()
