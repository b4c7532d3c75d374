"""SIRT and Poisson EM with a HAADF series: what it is worth, and the held-out counts that decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.assess import psnr
from napari_diptomo.reconstruct import SIRT, PoissonEM, Reconstruction, haadf_fixed_point
from napari_diptomo.reconstruct.haadf_verdict import Verdict
from napari_diptomo.series import Cancelled, MapSeries, Observer, Progress, Request, Volume
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.steps import step_from_dict
from napari_diptomo.simulate import facetted, interdiffusion, lamella, porous, tilt_series
from napari_diptomo.simulate.haadf import HAADFModel, haadf_series

TILTS, WIDE = np.arange(-40, 41, 10.0), np.arange(-70, 71, 10.0)
MODEL = HAADFModel(damping=0.1, misregistration=0.5, unmapped=0.05)
STEPS = (SIRT, PoissonEM)


def simulated(specimen, peak: float = 30) -> tuple[MapSeries, np.ndarray]:
    """Maps with an imperfect HAADF series, and the true volume."""
    made = tilt_series(specimen, TILTS, peak, 1)
    images = haadf_series(specimen, WIDE, MODEL, seed=2).images
    return replace(made.maps, haadf_series=HAADFSeries(images, WIDE, made.maps.pixel_size)), made.truth.data


@pytest.fixture(scope='module')
def maps() -> MapSeries:
    return simulated(facetted(20, seed=21))[0]


def said(volume: Volume) -> list[str]:
    return [finding.sentence for finding in volume.findings if finding.about == 'HAADF series']


class Watches(Observer):
    """Asks for something once an iteration of the whole is reached."""

    def __init__(self, at: int, wish: Request) -> None:
        self.at, self.wish, self.reports = at, wish, []

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def request(self) -> Request:
        return self.wish if self.reports[-1].iteration >= self.at else Request.GO


@pytest.mark.parametrize('holdout', [0.0, 0.1])
@pytest.mark.parametrize('kind', STEPS)
@pytest.mark.parametrize(
    'specimen',
    [lamella(20, seed=11), porous(20, seed=20), interdiffusion(20, seed=22)],
    ids=['lamella', 'porous', 'interdiffusion'],
)
def test_images_fill_the_wedge(specimen, kind: type[Reconstruction], holdout: float):
    maps, truth = simulated(specimen)
    given, alone = (kind(holdout=holdout, haadf=on).run(maps) for on in (True, False))
    assert psnr(given.data, truth).mean() > psnr(alone.data, truth).mean() + 0.4
    numbers = given.notes['haadf']
    assert numbers['used'] and numbers['gain'] > 3 * numbers['error'] > 0
    # 5 % in the simulation; half a pixel of displacement along x and y.
    assert 0.02 < numbers['unmapped'] < 0.12
    assert 0.3 < np.sqrt(np.mean(np.square(numbers['shifts']))) < 0.7
    assert said(given)[0].startswith(
        '15 HAADF images from -70° to 70° were fitted with the maps: the held-out counts are pre'
    )


@pytest.mark.parametrize('kind', STEPS)
def test_all_counts_are_fitted_in_the_end_and_the_curves_are_joined(maps, kind: type[Reconstruction]):
    watches = Watches(10**9, Request.GO)
    volume = kind(iterations=10).run(maps, watches)
    assert volume.notes['held_out_share'] == 0
    assert volume.notes['iterations'] == volume.notes['returned_iteration'] == volume.scores['iteration'][-1] == 30
    assert volume.scores['fit'] == [0.0] * 10 + [1.0] * 10 + [2.0] * 10
    iterations = [report.iteration for report in watches.reports]
    assert iterations == sorted(iterations) and iterations[-1] == watches.reports[-1].total
    np.testing.assert_array_equal(kind(iterations=10).run(maps).data, volume.data)


@pytest.mark.parametrize('holdout', [0.0, 0.1])
@pytest.mark.parametrize('kind', STEPS)
def test_images_that_harm_leave_the_volume_of_the_maps(maps, kind: type[Reconstruction], holdout: float, monkeypatch):
    step = kind(iterations=10, holdout=holdout)
    alone = step.run(replace(maps, haadf_series=None))
    monkeypatch.setattr(haadf_fixed_point, 'haadf_helps', lambda *_: Verdict(-5.0, 1.0))
    volume = step.run(maps)
    np.testing.assert_array_equal(volume.data, alone.data)
    assert volume.notes['haadf']['used'] is False
    assert 'are left out: with them the held-out counts are predicted worse' in said(volume)[0]


def test_images_that_harm_at_full_weight_are_tried_with_less(maps, monkeypatch):
    verdicts = [Verdict(-5.0, 1.0), Verdict(2.0, 1.0), *(Verdict(gain, 1.0) for gain in (-5.0, 0.9, 0.9))]
    monkeypatch.setattr(haadf_fixed_point, 'haadf_helps', lambda *_: verdicts.pop(0))
    step = SIRT(iterations=10, holdout=0.1)
    volume = step.run(maps)
    assert (volume.notes['haadf']['used'], volume.notes['haadf']['trust']) == (True, pytest.approx(0.1))
    assert 'weighing 3 times less than by default' in said(volume)[0]
    # Then to do no harm is not enough.
    without = step.run(maps)
    assert without.notes['haadf']['used'] is False
    np.testing.assert_array_equal(without.data, step.model_copy(update={'haadf': False}).run(maps).data)
    monkeypatch.setattr(haadf_fixed_point, 'haadf_helps', lambda *_: Verdict(5.0, 1.0))
    full, alone = step.run(maps).data, without.data
    assert 0.1 < np.linalg.norm(volume.data - alone) / np.linalg.norm(full - alone) < 0.9


@pytest.mark.parametrize('wrong', [lambda images: images.max() - images, lambda images: images[::-1]])
@pytest.mark.parametrize('kind', STEPS)
def test_a_contradiction_is_left_out_before(maps, kind: type[Reconstruction], wrong):
    step = kind(iterations=5)
    other = replace(maps, haadf_series=replace(maps.haadf_series, images=wrong(maps.haadf_series.images)))
    volume = step.run(other)
    np.testing.assert_array_equal(volume.data, step.run(replace(maps, haadf_series=None)).data)
    assert 'it is left out' in said(volume)[0] and 'haadf' not in volume.notes


@pytest.mark.parametrize('kind', STEPS)
def test_without_series_or_tick_nothing_changes(maps, kind: type[Reconstruction]):
    off, without = kind(iterations=5, haadf=False).run(maps), kind(iterations=5).run(replace(maps, haadf_series=None))
    np.testing.assert_array_equal(off.data, without.data)
    assert 'haadf' not in off.notes and 'fit' not in off.scores and not said(off)


@pytest.mark.parametrize('at', [3, 9, 15])
@pytest.mark.parametrize('kind', STEPS)
def test_a_run_that_is_ended_keeps_what_is_complete(maps, kind: type[Reconstruction], at: int):
    volume = kind(iterations=6).run(maps, Watches(at, Request.FINISH))
    assert np.isfinite(volume.data).all() and volume.data.max() > 0
    assert ('haadf' in volume.notes) == (at > 12)
    assert ('ended before the HAADF images were in the volume' in said(volume)[0]) == (at < 12)
    np.testing.assert_array_equal(volume.recipe.steps[-1].run(maps).data, volume.data)


def test_a_run_is_cancelled_in_any_of_its_parts(maps):
    for at in (3, 9, 15):
        with pytest.raises(Cancelled):
            SIRT(iterations=6).run(maps, Watches(at, Request.CANCEL))


def test_an_exact_support_and_a_wider_specimen(maps):
    box = PoissonEM(iterations=10, support='box', support_box=(-7.0, 7.0, -9.0, 9.0, -8.0, 8.0)).run(maps)
    assert box.notes['haadf']['used'] in (True, False)
    assert not box.data[:, :2].any() and not box.data[..., :1].any()
    beyond = SIRT(iterations=10, beyond_field=True, thickness=12.0).run(maps)
    assert beyond.data.shape[3] == maps.data.shape[3] and np.isfinite(beyond.data).all()


def test_energy_windows_have_images_beside_them(maps):
    """Windows that are the maps themselves give what the maps give."""
    mixing = np.eye(3, dtype=np.float32)
    windows = replace(maps, mixing=mixing, background=np.zeros_like(maps.data))
    step = PoissonEM(iterations=10)
    np.testing.assert_allclose(step.run(windows).data, step.run(maps).data, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('kind', STEPS)
def test_the_estimate_of_memory_has_the_images_and_what_is_compared(maps, kind: type[Reconstruction]):
    alone = kind().memory_bytes(replace(maps, haadf_series=None))
    assert kind().memory_bytes(maps) > alone + 4 * 20**3 * 10
    assert kind(haadf=False).memory_bytes(maps) == alone


@pytest.mark.parametrize('kind', STEPS)
def test_a_recipe_from_before_loads(kind: type[Reconstruction]):
    step = step_from_dict({'step': kind.__name__, 'iterations': 7})
    assert step == kind(iterations=7) and step.haadf
