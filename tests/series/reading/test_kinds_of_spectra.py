"""X-rays or energy losses, and in which unit: what the type, the title, the name and the energies say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_diptomo.series import InputError, load_tilt_series

X_RAYS_IN_EV: dict[str, Any] = {'units': 'eV', 'scale': 10.0, 'offset': -200.0}
LOSSES_IN_KEV: dict[str, Any] = {'units': 'keV', 'scale': 5e-4, 'offset': 0.4}


def opened(folder, energy: dict[str, Any], *, channels: int = 1024, name: str = 'si', title: str = ''):
    import hyperspy.api as hs

    space = [{'name': axis, 'size': 4, 'scale': 2.0, 'units': 'nm'} for axis in 'yx']
    for angle in (-10, 10):
        axes = [*space, {'name': 'Energy', **energy, 'size': channels}]
        signal = hs.signals.Signal1D(np.ones((4, 4, channels), np.uint8), axes=axes)
        signal.metadata.set_item('General.title', title)
        signal.save(str(folder / f'{name} {angle}.hspy'))
    return load_tilt_series(folder)


@pytest.mark.parametrize(
    ('energy', 'keywords', 'unit', 'ends'),
    [
        (LOSSES_IN_KEV, {}, 'eV', (400, 911.5)),
        ({'units': 'keV', 'scale': 2e-3, 'offset': 0.4, 'name': 'Energy loss'}, {}, 'eV', (400, 2446)),
        ({**LOSSES_IN_KEV, 'scale': 2e-3}, {'title': 'EELS spectrum image'}, 'eV', (400, 2446)),
        ({'units': 'keV', 'scale': 0.01, 'offset': -0.1}, {}, 'keV', (-0.1, 10.13)),
        ({'units': ' keV', 'scale': 0.01, 'offset': -0.1}, {}, 'keV', (-0.1, 10.13)),
        ({**X_RAYS_IN_EV, 'units': 'electronvolt'}, {}, 'keV', (-0.2, 10.03)),
        ({**X_RAYS_IN_EV, 'name': 'Energy loss'}, {}, 'keV', (-0.2, 10.03)),
        (X_RAYS_IN_EV, {'channels': 256, 'title': 'EDS Spectrum Image'}, 'keV', (-0.2, 2.35)),
        (X_RAYS_IN_EV, {'channels': 256, 'name': 'EDX'}, 'keV', (-0.2, 2.35)),
        (X_RAYS_IN_EV, {'channels': 256, 'title': 'EDX and EELS'}, 'eV', (-200, 2350)),
        # Named after a session or a holder: from 0 to 10 keV in steps of 10 eV nothing else is recorded.
        (X_RAYS_IN_EV, {'name': 'EELS day 2'}, 'keV', (-0.2, 10.03)),
        ({'units': 'keV', 'scale': 0.01, 'offset': -0.1}, {'title': 'EELS'}, 'keV', (-0.1, 10.13)),
    ],
)
def test_the_kind_and_its_unit(tmp_path, energy, keywords, unit, ends):
    series = opened(tmp_path, energy, **keywords)
    assert series.energy_unit == unit
    assert (series.energy[0], series.energy[-1]) == pytest.approx(ends)


@pytest.mark.parametrize(
    ('energy', 'unit'),
    [
        ({'units': 'keV', 'scale': 10.0, 'offset': -200.0}, 'eV'),
        ({'units': 'eV', 'scale': 0.01, 'offset': -0.1}, 'keV'),
    ],
)
def test_x_rays_of_an_impossible_energy_have_the_other_unit(tmp_path, energy, unit):
    with pytest.raises(InputError, match=f'as no spectrum of X-rays does; their unit is likely {unit}:'):
        opened(tmp_path, energy, title='EDS')
