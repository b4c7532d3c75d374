"""Window counts with mixing and background go through every method.

The counts that the volume projects to are compared with those of the unmixed
windows, element by element, so that most of the scatter of the counts is no
part of the difference. At one count per family and pixel a method that cannot
go below zero and follows the noise (SIRT) makes too much of it, total
variation flattens: only at more counts do all keep the elements' totals.
"""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, TotalVariation
from napari_diptomo.series import MapSeries
from napari_diptomo.simulate import lamella, project

ANGLES = np.arange(-40.0, 41.0, 10.0)
MIXING = np.array([[0.88, 0, 0], [0, 0.47, 0.02], [0, 0.13, 0.46], [0, 0.21, 0.05], [0, 0.14, 0.40]], np.float32)


def windows_of(mean):
    """So many counts per family and pixel of the specimen, a tenth as much background."""
    clean = project(lamella(24, 3), ANGLES).astype(float)
    inside = clean.sum(axis=0) > 0.05 * clean.sum(axis=0).max()
    clean *= mean / clean[:, inside].mean(axis=1)[:, None, None, None]
    signal = np.einsum('wc,ctyx->wtyx', MIXING, np.maximum(clean, 0))
    background = np.broadcast_to(0.1 * signal.mean(axis=0), signal.shape)
    counts = np.random.default_rng(0).poisson(signal + background)
    return MapSeries(counts, ANGLES, ('Ge', 'Sb', 'Te'), mixing=MIXING, background=background)


@pytest.fixture(scope='module')
def many():
    return windows_of(15.0)


@pytest.fixture(scope='module')
def few():
    return windows_of(1.0)


def totals(volume, maps):
    """Counts of the volume's projections relative to those of the unmixed windows, (channel,)."""
    beam = ParallelBeam(maps.angles, volume.data.shape[1:], columns=maps.data.shape[3])
    return beam.project(volume.data).sum(axis=(1, 2, 3)) / maps.unmixed().data.sum(axis=(1, 2, 3))


@pytest.mark.parametrize(
    ('step', 'tolerance'),
    [
        pytest.param(PoissonEM(iterations=30), 0.03, id='Poisson EM'),
        pytest.param(SIRT(iterations=30), 0.05, id='SIRT'),
        pytest.param(TotalVariation(weight=0.05, iterations=150), 0.03, id='TV'),
        pytest.param(DIPmTV(iterations=50, widths=(8, 16), skips=(4, 4)), 0.03, id='DIPm-TV'),
    ],
)
def test_every_method_keeps_the_totals_of_each_element(many, step, tolerance):
    volume = step.run(many)
    assert volume.channels == ('Ge', 'Sb', 'Te')
    assert (volume.data >= 0).all()
    np.testing.assert_allclose(totals(volume, many), 1, atol=tolerance)


def test_poisson_em_explains_every_photon_at_one_count(few):
    volume = PoissonEM(iterations=15).run(few)
    beam = ParallelBeam(ANGLES, volume.data.shape[1:], columns=few.data.shape[3])
    signal = np.einsum('wc,ctyx->wtyx', MIXING, beam.project(volume.data))
    assert (signal + few.background).sum() == pytest.approx(few.data.sum(), rel=0.02)


@pytest.mark.parametrize(
    'step',
    [
        pytest.param(TotalVariation(weight=0.3, iterations=150), id='TV'),
        pytest.param(
            DIPmTV(iterations=8, tv_weight=3.0, widths=(8, 16), skips=(4, 4), holdout=0.0, precision='float32'),
            id='DIPm-TV',
        ),
    ],
)
def test_a_window_cut_in_two_changes_nothing(step):
    """Its halves carry no more information than the whole: up to a constant the objective is the same."""
    truth = np.maximum(project(lamella(16, 3), ANGLES), 0)
    rng = np.random.default_rng(1)
    counts = rng.poisson(20 * truth / truth.max())
    half = rng.binomial(counts, 0.5)
    names = ('Ge', 'Sb', 'Te')
    whole = MapSeries(counts, ANGLES, names, mixing=np.eye(3))
    halves = np.concatenate([half, counts - half])
    cut = MapSeries(halves, ANGLES, names, mixing=0.5 * np.vstack([np.eye(3), np.eye(3)]))
    one, two = step.run(whole).data, step.run(cut).data
    np.testing.assert_allclose(two, one, atol=0.03 * one.max())


def test_published_settings_take_windows(many):
    volume = DIPmTV(preset='published-edx', iterations=2, widths=(8, 16), skips=(4, 4)).run(many)
    assert volume.data.shape[0] == 3
    assert np.isfinite(volume.data).all()


def test_the_reported_deviance_is_per_datum_like_the_held_out_one(many):
    volume = DIPmTV(iterations=30, widths=(8, 16), skips=(4, 4), averaging=0.0).run(many)
    data, held_out = volume.scores['data'][-1], volume.scores['validation'][-1]
    # The same model judged on the counts that were fitted and on those that were not: 5 windows for 3 channels is no factor.
    assert data == pytest.approx(held_out, rel=0.5)
