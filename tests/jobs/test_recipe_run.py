from __future__ import annotations

import numpy as np
import pytest
from job_steps import Break, Chatter, Count, NeedsVolume

import napari_diptomo
from napari_diptomo.jobs import run
from napari_diptomo.jobs.transfer import read, write
from napari_diptomo.series import (
    Cancelled,
    InputError,
    Observer,
    Recipe,
    Request,
    SpectralTiltSeries,
    TooLargeError,
    step_from_dict,
)


def test_run_is_public():
    assert napari_diptomo.run is run


def test_steps_run_in_order_each_on_the_result_before(maps, capfd):
    results, begun = [], []
    volume = run(
        Recipe(steps=(Chatter(), Count(iterations=3))),
        data=maps,
        on_step=lambda index, count, step: begun.append((index, count, step.title)),
        on_result=lambda index, result: results.append((index, type(result).__name__)),
    )
    assert begun == [(0, 2, 'Chatter'), (1, 2, 'Count')]
    assert results == [(0, 'MapSeries'), (1, 'Volume')]
    assert volume.notes['iterations'] == 3
    assert [type(s).__name__ for s in volume.recipe.steps] == ['Chatter', 'Count']


def test_a_recipe_may_be_a_file_or_a_mapping(maps, tmp_path):
    recipe = Recipe(steps=(Count(iterations=2),))
    path = recipe.save(tmp_path / 'recipe.json')
    np.testing.assert_array_equal(run(path, data=maps).data, run(recipe.to_dict(), data=maps).data)


def test_steps_from_elsewhere_are_named_by_module_and_class():
    values = Count(iterations=2).to_dict()
    assert values['step'] == 'job_steps:Count'
    assert step_from_dict(values) == Count(iterations=2)


@pytest.mark.parametrize(
    'name', ['os:system', 'no.such.module:Thing', 'job_steps:nothing', ':', 'Nonsense', '..x:y', None]
)
def test_names_that_are_no_steps_are_refused(name):
    with pytest.raises(InputError, match='does not know'):
        step_from_dict({'step': name})


def test_a_recipe_without_steps_or_source_says_so(maps):
    with pytest.raises(InputError, match='no steps'):
        run(Recipe(), data=maps)
    with pytest.raises(InputError, match='no source files'):
        run(Recipe(steps=(Count(),)))


def test_a_missing_stage_is_named(maps):
    with pytest.raises(InputError, match='NeedsVolume needs a volume but is handed maps'):
        run(Recipe(steps=(NeedsVolume(),)), data=maps)
    spectra = SpectralTiltSeries(np.zeros((1, 2, 2, 3)), np.arange(3), [0.0], 1.0)
    with pytest.raises(InputError, match=r'Count needs maps .* put EDXMaps before it'):
        run(Recipe(steps=(Count(),)), data=spectra)


def test_what_does_not_fit_is_refused_before_it_runs(maps, monkeypatch):
    from napari_diptomo.reconstruct import SIRT

    monkeypatch.setattr('napari_diptomo.reconstruct.device.free_memory', lambda device: 1000)
    with pytest.raises(TooLargeError, match=r'^SIRT on these maps needs .* are free; close other programs'):
        run(Recipe(steps=(SIRT(device='cpu'),)), data=maps)


def test_finish_keeps_and_cancel_does_not(maps):
    class Stopper(Observer):
        def __init__(self, answer):
            self.answer, self.seen = answer, 0

        def report(self, progress):
            self.seen = progress.iteration

        def request(self):
            return self.answer if self.seen >= 2 else Request.GO

    assert run(Recipe(steps=(Count(),)), data=maps, observer=Stopper(Request.FINISH)).notes['iterations'] == 2
    with pytest.raises(Cancelled):
        run(Recipe(steps=(Count(),)), data=maps, observer=Stopper(Request.CANCEL))


def test_errors_of_steps_pass_through(maps):
    with pytest.raises(InputError, match='all zero'):
        run(Recipe(steps=(Break(how='input'),)), data=maps)


def test_what_is_handed_over_arrives_whole(maps, tmp_path):
    volume = run(Recipe(steps=(Count(iterations=2),)), data=maps)
    for thing in (maps, volume):
        again = read(write(thing, tmp_path / 'thing.npz'))
        assert type(again) is type(thing)
        np.testing.assert_array_equal(again.data, thing.data)
        assert again.channels == thing.channels
        assert again.notes == thing.notes
        assert again.recipe == thing.recipe
    spectra = SpectralTiltSeries(np.ones((1, 2, 2, 3)), np.arange(3), [5.0], 1.0, metadata={'beam_energy': 200.0})
    again = read(write(spectra, tmp_path / 'spectra.npz'))
    assert again.metadata == {'beam_energy': 200.0}
    assert again.haadf is None
    np.testing.assert_array_equal(again.counts, 1)


def test_a_broken_hand_over_is_one_sentence(tmp_path):
    path = tmp_path / 'half.npz'
    path.write_bytes(b'PK\x03\x04 half')
    with pytest.raises(InputError, match='cannot be read'):
        read(path)
