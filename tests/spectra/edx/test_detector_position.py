"""Elevation and azimuth of the detectors: of the files, given, assumed; the convention of eXSpy."""

from __future__ import annotations

import numpy as np
import pytest
from exspy.utils.eds import take_off_angle

from napari_diptomo import EDXMaps, simulate
from napari_diptomo.spectra.edx.absorption import directions
from napari_diptomo.spectra.edx.detector_position import (
    AZIMUTHS,
    NOTE,
    detector_position,
    position_findings,
    recorded_position,
)


@pytest.mark.parametrize('azimuth', [0.0, 45.0, 90.0, 200.0])
@pytest.mark.parametrize('tilt', [-30.0, 0.0, 25.0])
def test_the_take_off_angle_is_that_of_exspy(azimuth: float, tilt: float) -> None:
    position = detector_position({'elevation_deg': 22.0, 'azimuth_deg': azimuth})
    towards = directions(np.array([tilt]), position.elevation, position.azimuths)[0, 0]
    assert np.degrees(np.arcsin(-towards[2])) == pytest.approx(take_off_angle(tilt, azimuth, 22.0), abs=1e-6)


def test_what_a_file_records_is_used_before_what_is_assumed() -> None:
    recorded = recorded_position({'elevation': 22.0, 'azimuth': 45.0, 'detector': 'SuperX', 'beam_energy': 200.0})
    assert recorded == {'elevation_deg': 22.0, 'azimuth_deg': 45.0, 'detector': 'SuperX'}
    position = detector_position(recorded)
    assert (position.elevation, sorted(position.azimuths)) == (22.0, sorted(AZIMUTHS))
    assert (position.elevation_from, position.azimuths_from) == ('file', 'file')
    assert detector_position(recorded, 30.0, (0.0,)).elevation == 30.0
    assert str(detector_position(recorded, 30.0)).startswith('elevation 30° (given), azimuths 135°,')
    assert position_findings(recorded, position, (-40.0, 35.0)) == ()


@pytest.mark.parametrize(
    'metadata', [{}, {'elevation': None}, {'elevation': 'high'}, {'elevation': -10.0}, {'elevation': 0}]
)
def test_what_no_file_records_is_assumed_and_said(metadata: dict) -> None:
    recorded = recorded_position(metadata)
    position = detector_position(recorded)
    assert recorded == {} and position.elevation == 18.0 and position.elevation_from == 'assumed'
    (note,) = position_findings(recorded, position)
    assert note.level == 'note' and '18° was assumed' in note.sentence


def test_an_elevation_at_odds_with_the_files_is_doubted() -> None:
    recorded = {'elevation_deg': 35.0}
    (doubt,) = position_findings(recorded, detector_position(recorded, 18.0))
    assert doubt.level == 'doubt' and doubt.remedy.changes == {'elevation': None}
    assert position_findings(recorded, detector_position(recorded, 35.2)) == ()


def test_the_defaults_of_exspy_are_named() -> None:
    recorded = {'elevation_deg': 35.0, 'azimuth_deg': 0.0}
    position = detector_position(recorded)
    assert (position.elevation, position.azimuths, position.azimuths_from) == (35.0, AZIMUTHS, 'assumed')
    (note,) = position_findings(recorded, position)
    assert 'what HyperSpy writes where a file says nothing' in note.sentence


def test_the_side_of_a_single_detector_is_said_where_it_matters() -> None:
    recorded = {'elevation_deg': 22.0, 'azimuth_deg': 0.0}
    position = detector_position(recorded)
    assert position.azimuths == (180.0,)
    assert position_findings(recorded, position, (-40.0, 40.0)) == ()
    (note,) = position_findings(recorded, position, (-60.0, 20.0))
    assert note.about == 'detector azimuth'


@pytest.mark.parametrize('deliver', ['fitted maps', 'window counts'])
def test_maps_carry_it_to_the_volume(deliver: str) -> None:
    from napari_diptomo import SIRT

    simulated = simulate.edx_tilt_series(simulate.lamella(16), [-30, 0, 30], take_off=22.0)
    maps = EDXMaps(elements=('Ge', 'Sb', 'Te'), deliver=deliver).run(simulated.series)
    assert maps.notes[NOTE] == {'elevation_deg': 22.0}
    if deliver == 'fitted maps':
        assert SIRT(iterations=2, holdout=0.0).run(maps).notes[NOTE] == {'elevation_deg': 22.0}
