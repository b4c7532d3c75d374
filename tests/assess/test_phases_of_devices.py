"""Phases of simulated devices after reconstruction: volume fractions and thicknesses against those that were painted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_diptomo.assess.phases import measure, phases_by_clustering
from napari_diptomo.reconstruct import SIRT, Reconstruction, TotalVariation
from napari_diptomo.series import Volume
from napari_diptomo.simulate import tilt_series
from napari_diptomo.simulate.phantoms import Canvas, Phantom

TILTS = np.arange(-70, 71, 2)
#: Radii of core and shell, voxels.
CORE, SHELL = 9.0, 14.0
#: Of each body's counts, (Ge, Te, W).
TE_RICH, GE_RICH, TUNGSTEN = (0.2, 0.8, 0.0), (0.8, 0.2, 0.0), (0.0, 0.0, 1.0)


def core_shell() -> Phantom:
    canvas = Canvas(48, 2, ('Ge', 'Te'), 1.0)
    canvas.paint('shell', TE_RICH[:2], canvas.grid.ellipsoid((0, 0, 0), (SHELL,) * 3))
    canvas.paint('core', GE_RICH[:2], canvas.grid.ellipsoid((0, 0, 0), (CORE,) * 3))
    return canvas.finish()


def memory_cell() -> Phantom:
    """A heater under a layer with a programmed dome, a little out of the axes."""
    canvas = Canvas(48, 2, ('Ge', 'Te', 'W'), 1.0)
    turn = Rotation.from_euler('zyx', (3, 15, 4), degrees=True)
    canvas.paint('layer', TE_RICH, canvas.grid.box((0, 0, 0), (9, 20, 14), turn))
    canvas.paint('heater', TUNGSTEN, canvas.grid.box((0, -14, 0), (9, 6, 14), turn))
    canvas.paint('dome', GE_RICH, canvas.grid.ellipsoid((0, 2, 0), (7, 7, 7)))
    return canvas.finish()


def painted(phantom: Phantom) -> np.ndarray:
    """Fine voxels of each body, by descending size; the soft edges go to the nearest."""
    fine = phantom.fine.reshape(len(phantom.channels), -1)
    distance = [((fine - one[:, None]) ** 2).sum(axis=0) for one in phantom.compositions]
    counts = np.bincount(np.argmin(distance, axis=0), minlength=len(phantom.compositions))[1:]
    return np.sort(counts)[::-1]


@pytest.mark.parametrize('phantom', [core_shell, memory_cell])
@pytest.mark.parametrize(('step', 'peak'), [(SIRT(iterations=60), 30), (SIRT(iterations=60), 100)])
def test_volume_fractions_within_three_percent(phantom, step: Reconstruction, peak: float) -> None:
    check_fractions(phantom(), step, peak)


@pytest.mark.slow
@pytest.mark.parametrize('phantom', [core_shell, memory_cell])
@pytest.mark.parametrize('peak', [30, 100])
def test_volume_fractions_of_total_variation_within_three_percent(phantom, peak: float) -> None:
    check_fractions(phantom(), TotalVariation(), peak)


def check_fractions(phantom: Phantom, step: Reconstruction, peak: float) -> None:
    volume = step.run(tilt_series(phantom, TILTS, peak_counts=peak, seed=1).maps)
    phases = phases_by_clustering(volume)
    truth = painted(phantom)
    assert phases.count == len(truth) and phases.findings == ()
    regions = measure(phases.labels, volume, phases)
    found = np.array([one.voxels for one in regions])
    np.testing.assert_allclose(found / found.sum(), truth / truth.sum(), atol=0.03)
    assert found.sum() == pytest.approx(truth.sum() / phantom.supersample**3, rel=0.03, abs=0)


def test_the_thickness_of_a_reconstructed_shell_within_half_a_voxel() -> None:
    volume = SIRT(iterations=60).run(tilt_series(core_shell(), TILTS, peak_counts=30, seed=1).maps)
    phases = phases_by_clustering(volume)
    shell, core = measure(phases.labels, volume, phases)
    assert shell.thickness == pytest.approx(SHELL - CORE, abs=0.5)
    assert core.diameter == pytest.approx(2 * CORE, abs=0.5)


def test_an_interface_is_cut_in_its_middle_whatever_the_scatter_beside_it() -> None:
    """One side scatters, the other does not: the likelihoods of a mixture would move the interface by voxels."""
    rng = np.random.default_rng(0)
    x = np.arange(60)
    share = 0.25 + 0.5 / (1 + np.exp(-(x - 29.5) / 2.5))
    share = np.broadcast_to(share, (20, 20, 60)) + np.where(x > 29, 0.08, 0.01) * rng.normal(size=(20, 20, 60))
    volume = Volume(np.stack([share, 1 - share]).clip(0), ('Ge', 'Te'))
    found = phases_by_clustering(volume, 2, inside=np.ones((20, 20, 60), bool))
    high = int(np.argmax(found.fractions[:, 0])) + 1
    assert (found.labels == high).mean() == pytest.approx(0.5, abs=0.02)


def test_a_number_of_phases_that_is_a_choice_is_said() -> None:
    """A gradual composition asks for one phase more for ever; six are tried."""
    rng = np.random.default_rng(1)
    steps = np.repeat(np.linspace(0.05, 0.95, 10), 6)
    share = np.broadcast_to(steps, (24, 24, 60)) + 0.002 * rng.normal(size=(24, 24, 60))
    volume = Volume(np.stack([share, 1 - share]).clip(0), ('Ge', 'Te'))
    found = phases_by_clustering(volume, inside=np.ones((24, 24, 60), bool))
    assert found.count == 6
    (finding,) = found.findings
    assert finding.level == 'doubt' and 'Their number is a choice' in finding.sentence
    assert phases_by_clustering(volume, 6, inside=np.ones((24, 24, 60), bool)).findings == ()
