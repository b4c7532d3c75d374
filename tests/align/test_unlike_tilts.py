"""Tilts that differ from what the others predict in more than a displacement."""

import numpy as np
import pytest

from napari_diptomo import Align, MapSeries, simulate
from napari_diptomo.align.unlike_tilts import misfit_errors, unlike_findings
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series

ANGLES = np.arange(-40.0, 41.0, 5.0)


def waves(period: float) -> np.ndarray:
    return np.tile(np.cos(2 * np.pi * np.arange(96) / period), (len(ANGLES), 96, 1))


def test_a_misfit_may_hide_a_part_of_the_displacement_that_it_would_be():
    """Of a wave |i| / |i'| is its period over 2 pi; of a misfit of 0.02 beyond the trend the share is 0.04."""
    scores = np.full(len(ANGLES), 0.998)
    scores[5] = 0.978
    found = misfit_errors(waves(12.0), ANGLES, scores)
    assert not np.delete(found, 5, axis=0).any()
    assert found[5, 1] == pytest.approx(0.2 * np.sqrt(0.04) * 12 / (2 * np.pi), rel=0.1)


def test_misfits_that_grow_with_the_tilt_and_scatter_are_those_of_an_ordinary_series():
    rng = np.random.default_rng(4)
    scatter = np.exp(0.3 * rng.standard_normal(len(ANGLES)))
    assert not misfit_errors(waves(12.0), ANGLES, 1 - 0.003 * np.exp(2.5 * (ANGLES / 40) ** 2) * scatter).any()
    assert not misfit_errors(waves(12.0), ANGLES, np.ones(len(ANGLES))).any()
    assert not misfit_errors(waves(12.0)[:5], ANGLES[:5], np.array([0.9, 0.99, 0.99, 0.99, 0.9])).any()


def test_small_displacements_are_not_reported():
    extra = np.zeros((len(ANGLES), 2))
    extra[3], extra[9] = 0.05, 0.3
    (finding,) = unlike_findings(ANGLES, extra, np.hypot(extra, 0.02))
    assert 'The image at 5° differs' in finding.sentence and '0.4 pixels' in finding.sentence
    assert finding.level == 'doubt' and finding.evidence['tilts'] == 1
    assert unlike_findings(ANGLES, extra / 3, np.hypot(extra, 0.02)) == ()


def test_tilts_at_which_crystals_light_up_have_an_error_that_holds():
    """0.07 to 0.11 pixels were said of three tilts that were off by 0.25 to 0.44."""
    model = HAADFModel(damping=0.1, misregistration=2.0, diffracting=0.15)
    made = haadf_series(simulate.eels_phantom(48), ANGLES, model, seed=1)
    maps = MapSeries(made.images[None], ANGLES, ('HAADF',), haadf=made.images)
    aligned = Align(axis_rotation=0.0).run(maps)
    shifts = np.array(aligned.shifts)
    shifts[:, 1] += aligned.axis_shift * (1 - np.cos(np.deg2rad(ANGLES)))
    off = np.hypot(*without_rigid_motion(shifts - made.shifts, ANGLES).T)
    said = np.array([row['error'] for row in aligned.notes['align']['tilts']])
    lit = np.isin(ANGLES, (-40, -35, -10))
    assert off[lit].min() > 0.2 and (off[lit] < 2 * said[lit]).all()
    assert np.median(said[~lit]) < 0.04
    (finding,) = [one for one in aligned.findings if one.about == 'tilts unlike the others']
    assert '-40°, -35°, -10°' in finding.sentence
