from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from job_steps import Count

from napari_diptomo import DIPmTV, HAADFSeries
from napari_diptomo.jobs import Checkpoint, run
from napari_diptomo.jobs.checkpoint import begin, is_empty
from napari_diptomo.series import Cancelled, InputError, Observer, Recipe, Request, Source, with_haadf

RECIPE = Recipe(steps=(Count(iterations=6),))


class CancelAt(Observer):
    def __init__(self, iteration):
        self.at, self.now, self.first, self.seconds = iteration, 0, None, []

    def report(self, progress):
        self.now = progress.iteration
        self.first = self.first or progress.iteration
        self.seconds.append(progress.seconds)

    def request(self):
        return Request.CANCEL if self.now == self.at else Request.GO


def interrupted(path, maps, recipe=RECIPE):
    with pytest.raises(Cancelled):
        run(recipe, data=maps, observer=CancelAt(4), checkpoint=Checkpoint(path, recipe, interval=0))


def test_an_interrupted_run_continues_and_gives_the_same(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    interrupted(path, maps)
    observer = CancelAt(0)
    resumed = run(RECIPE, data=maps, observer=observer, checkpoint=Checkpoint(path, RECIPE, resume=True))
    assert observer.first == 5
    assert resumed.notes['restored']
    np.testing.assert_array_equal(resumed.data, run(RECIPE, data=maps).data)


def test_the_clock_continues_so_that_the_eta_holds(maps, tmp_path):
    recipe = Recipe(steps=(Count(iterations=6, wait=0.05),))
    path = tmp_path / 'run.checkpoint'
    interrupted(path, maps, recipe)
    observer = CancelAt(0)
    run(recipe, data=maps, observer=observer, checkpoint=Checkpoint(path, recipe, resume=True))
    assert observer.seconds[0] >= 0.2


def test_without_resume_an_old_checkpoint_is_not_looked_at(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    path.write_bytes(b'broken')
    assert not run(RECIPE, data=maps, checkpoint=Checkpoint(path, RECIPE)).notes['restored']


def test_it_is_written_only_when_due(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    run(RECIPE, data=maps, checkpoint=Checkpoint(path, RECIPE, interval=1000))
    assert not path.exists()


def test_another_recipe_is_refused_and_the_difference_named(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    interrupted(path, maps)
    with pytest.raises(InputError, match=r'belongs to another recipe .its job_steps:Count has iterations = 6'):
        Checkpoint(path, Recipe(steps=(Count(iterations=7),)), resume=True)
    with pytest.raises(InputError, match='its source has binning = 1'):
        Checkpoint(path, Recipe(Source(binning=2), RECIPE.steps), resume=True)
    with pytest.raises(InputError, match='its steps are job_steps:Count'):
        Checkpoint(path, Recipe(steps=(Count(iterations=6), Count())), resume=True)


def test_other_data_are_refused(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    interrupted(path, maps)
    with pytest.raises(InputError, match='other data'):
        run(RECIPE, data=replace(maps, data=maps.data * 2), checkpoint=Checkpoint(path, RECIPE, resume=True))


def test_a_broken_file_is_one_sentence(tmp_path):
    path = tmp_path / 'run.checkpoint'
    path.write_bytes(b'PK\x03\x04 half written')
    with pytest.raises(InputError, match='cannot be read'):
        Checkpoint(path, RECIPE, resume=True)


def test_a_checkpoint_carries_no_code(tmp_path):
    import torch

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / 'written'), 'w'))

    path = tmp_path / 'run.checkpoint'
    torch.save({'format': 1, 'recipe': Evil()}, path)
    with pytest.raises(InputError, match='cannot be read'):
        Checkpoint(path, RECIPE, resume=True)
    assert not (tmp_path / 'written').exists()


def test_nested_states_of_torch_and_numpy_come_back(maps, tmp_path):
    import torch

    path = tmp_path / 'run.checkpoint'
    weights = torch.nn.Linear(2, 3)
    optimiser = torch.optim.Adam(weights.parameters())
    weights(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    state = {
        'weights': weights.state_dict(),
        'optimiser': optimiser.state_dict(),
        'random': torch.get_rng_state(),
        'best': np.arange(6, dtype=np.float32).reshape(2, 3),
        'score': np.float64(0.5),
        'curve': [1, 2.5, None, 'text', (1, 2)],
    }
    Checkpoint(path, RECIPE, interval=0).save(0, maps, lambda: state)
    again = Checkpoint(path, RECIPE, resume=True).load(0, maps)
    assert Checkpoint(path, RECIPE, resume=True).load(1, maps) is None
    torch.testing.assert_close(again['weights'], dict(state['weights']))
    torch.optim.Adam(weights.parameters()).load_state_dict(again['optimiser'])
    torch.testing.assert_close(again['optimiser']['state'], state['optimiser']['state'])
    np.testing.assert_array_equal(again['best'], state['best'])
    assert again['score'] == 0.5
    assert again['curve'] == [1, 2.5, None, 'text', (1, 2)]
    assert torch.equal(again['random'], state['random'])


class Warnings(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.fixture
def warnings():
    handler = Warnings()
    logging.getLogger('napari_diptomo').addHandler(handler)
    yield handler.texts
    logging.getLogger('napari_diptomo').removeHandler(handler)


@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), RuntimeError('file write failed')])
def test_one_that_cannot_be_written_warns_once_and_the_run_continues_and_the_earlier_stays(
    maps, tmp_path, monkeypatch, warnings, error
):
    import torch

    path = tmp_path / 'run.checkpoint'
    real, written = torch.save, []

    def full_from_the_third_on(content, file):
        written.append(content)
        if len(written) > 2:
            file.write(b'half')
            raise error
        real(content, file)

    monkeypatch.setattr(torch, 'save', full_from_the_third_on)
    volume = run(RECIPE, data=maps, checkpoint=Checkpoint(path, RECIPE, interval=0))
    np.testing.assert_array_equal(volume.data, run(RECIPE, data=maps).data)
    assert len(written) == 6, 'it is tried again when the next is due'
    (warning,) = warnings
    assert warning.startswith('The run continues without a new checkpoint: run.checkpoint cannot be written (')
    assert str(tmp_path) in warning and warning.endswith('.')
    assert [p.name for p in tmp_path.iterdir()] == ['run.checkpoint']
    observer = CancelAt(0)
    run(RECIPE, data=maps, observer=observer, checkpoint=Checkpoint(path, RECIPE, resume=True))
    assert observer.first == 3, 'the last that could be written is whole'


def test_an_empty_one_is_resumed_from_the_start_and_never_takes_the_place_of_a_state(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    begin(path, RECIPE)
    assert is_empty(path)
    resumed = run(RECIPE, data=maps, checkpoint=Checkpoint(path, RECIPE, resume=True))
    assert not resumed.notes['restored']
    with pytest.raises(InputError, match='another recipe'):
        Checkpoint(path, Recipe(steps=(Count(iterations=7),)), resume=True)
    interrupted(path, maps)
    begin(path, RECIPE)
    assert not is_empty(path)
    assert run(RECIPE, data=maps, checkpoint=Checkpoint(path, RECIPE, resume=True)).notes['restored']


def test_data_that_have_moved_are_the_same_data(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    here, there, others = (
        Recipe(Source(paths=(name,)), RECIPE.steps) for name in ('/a/maps.hspy', '/b/c/maps.hspy', '/a/others.hspy')
    )
    interrupted(path, maps, here)
    assert run(there, data=maps, checkpoint=Checkpoint(path, there, resume=True)).notes['restored']
    with pytest.raises(InputError, match='belongs to another recipe'):
        Checkpoint(path, others, resume=True)


@pytest.mark.parametrize(
    'damage', [{'stops': 'abc'}, {'data': '{"totals": "many"}'}, {'state': {'__numpy__': 5}}, {'step': 'first'}]
)
def test_parts_of_the_wrong_kind_are_one_sentence(maps, tmp_path, damage):
    import torch

    path = tmp_path / 'run.checkpoint'
    interrupted(path, maps)
    torch.save(torch.load(path, weights_only=True) | damage, path)
    with pytest.raises(InputError, match='cannot be read; delete it and run without resuming'):
        Checkpoint(path, RECIPE, resume=True)


def test_other_haadf_images_are_other_data(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    images = HAADFSeries(np.random.default_rng(0).random((3, 8, 8)), [-10, 0, 10])
    interrupted(path, with_haadf(maps, images))
    others = with_haadf(maps, replace(images, images=2 * images.images))
    for data in (others, maps):
        with pytest.raises(InputError, match='other data'):
            run(RECIPE, data=data, checkpoint=Checkpoint(path, RECIPE, resume=True))
    assert run(RECIPE, data=with_haadf(maps, images), checkpoint=Checkpoint(path, RECIPE, resume=True)).notes[
        'restored'
    ]


def test_a_checkpoint_from_before_the_haadf_series_continues(tmp_path):
    recipe = Recipe(steps=(DIPmTV(preset='fast'),))
    old = recipe.to_dict()
    del old['steps'][0]['haadf']
    for name in ('haadf', 'haadf_angles', 'haadf_pixel_size', 'haadf_orientation', 'own_haadf'):
        del old['source'][name]
    path = tmp_path / 'run.checkpoint'
    path.write_text(json.dumps({'format': 2, 'recipe': json.dumps(old)}))
    Checkpoint(path, recipe, resume=True)
    with pytest.raises(InputError, match='another recipe'):
        Checkpoint(path, Recipe(steps=(DIPmTV(preset='fast', haadf=False),)), resume=True)
