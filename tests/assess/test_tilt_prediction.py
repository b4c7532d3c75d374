"""Every tilt predicted by the others: near the noise where they determine it, far above where it is of something else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.assess import consistency, predicted_tilts
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct import SIRT
from napari_diptomo.series import InputError, MapSeries, Volume
from napari_diptomo.simulate import eels_phantom, lamella, porous, tilt_series

ANGLES = np.arange(-60, 61, 8)
STEP = SIRT(iterations=30)


@pytest.fixture(scope='module', params=[lamella, porous])
def simulated(request):
    return tilt_series(request.param(24), ANGLES, peak_counts=20, seed=3)


def test_a_prediction_lies_above_the_noise_and_the_fit_below(simulated):
    volume = STEP.run(simulated.maps)
    found = predicted_tilts(simulated.maps, STEP, consistency(volume, simulated.maps))
    assert found.misfit.shape == found.fitted.shape == (3, len(ANGLES))
    assert (found.misfit.mean(axis=1) > 1).all()
    assert (found.fitted < found.misfit).mean() > 0.9
    # Inner tilts lie between their neighbours, the outermost are extrapolated.
    pooled = found.misfit.mean(axis=0)
    assert np.median(pooled[1:-1]) < 3
    assert found.findings == ()
    assert 'SIRT' in found.note and found.note.count('. ') == 0


def test_a_tilt_of_something_else_is_not_foreseen_though_it_was_fitted(simulated):
    data = simulated.maps.data.copy()
    data[:, 5] = np.roll(data[:, 5], 3, axis=-1)
    maps = replace(simulated.maps, data=data)
    found = predicted_tilts(maps, STEP, consistency(STEP.run(maps), maps))
    (finding,) = found.findings
    assert (finding.level, finding.about) == ('note', 'left-out tilts')
    assert 'the tilt at -20° worse than the rest' in finding.sentence
    pooled = found.misfit.mean(axis=0)
    assert pooled.argmax() == 5
    assert pooled[5] > 1.5 * found.fitted.mean(axis=0)[5]


def test_flat_faces_seen_edge_on_are_no_doubt():
    """A cube of 300 counts, nothing wrong with any tilt: at 0 degrees its faces stand along the beam."""
    maps = tilt_series(eels_phantom(24), np.linspace(-70, 70, 9), peak_counts=300, seed=3).maps
    found = predicted_tilts(maps, STEP, consistency(STEP.run(maps), maps))
    (finding,) = found.findings
    assert finding.level == 'note' and 'flat faces edge-on' in finding.sentence


def test_the_order_of_the_tilts_does_not_matter(simulated):
    maps = simulated.maps
    order = np.random.default_rng(0).permutation(len(ANGLES))
    mixed = replace(maps, data=maps.data[:, order], angles=maps.angles[order], shifts=np.asarray(maps.shifts)[order])
    volume = STEP.run(maps)
    plain, other = (predicted_tilts(m, STEP, consistency(volume, m)) for m in (maps, mixed))
    np.testing.assert_allclose(other.misfit, plain.misfit[:, order], rtol=1e-3)


def test_many_counts_and_dense_tilts_predict_to_the_noise():
    """A smooth body of the method's own grid, few counts: only the noise of the image is left."""
    z, y, x = np.indices((16, 16, 16)) - 7.5
    body = Volume(np.exp(-(z**2 + y**2 + x**2) / 18)[None], ('Fe',))
    angles = np.arange(-80, 80, 4.0)
    clean = ParallelBeam(angles, (16, 16, 16)).project(body.data)
    counts = np.random.default_rng(1).poisson(clean * 3 / clean.max())
    maps = MapSeries(counts, angles, ('Fe',))
    found = predicted_tilts(maps, SIRT(iterations=10), consistency(SIRT(iterations=10).run(maps), maps))
    assert found.misfit.mean() == pytest.approx(1.0, abs=0.12)


def test_it_is_written_tilt_by_tilt(simulated, tmp_path):
    maps = simulated.maps
    found = predicted_tilts(maps, STEP, consistency(STEP.run(maps), maps))
    rows = np.genfromtxt(found.write_csv(tmp_path / 'prediction.csv'), delimiter=',', names=True)
    np.testing.assert_allclose(rows['tilt_deg'], ANGLES)
    name = maps.channels[1]
    np.testing.assert_allclose(rows[f'predicted_{name}'], found.misfit[1], rtol=1e-4)
    np.testing.assert_allclose(rows[f'fitted_{name}'], found.fitted[1], rtol=1e-4)


def test_three_tilts_are_too_few(simulated):
    maps = replace(
        simulated.maps,
        data=simulated.maps.data[:, :3],
        angles=ANGLES[:3],
        shifts=np.zeros((3, 2)),
    )
    with pytest.raises(InputError, match='from 4 tilts on, and there are 3'):
        predicted_tilts(maps, STEP, consistency(simulated.truth, maps))
