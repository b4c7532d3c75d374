from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from job_steps import Count

from napari_diptomo.jobs import Checkpoint, run
from napari_diptomo.series import Cancelled, InputError, Observer, Recipe, Request, Source

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


def test_an_interrupted_run_goes_on_and_gives_the_same(maps, tmp_path):
    path = tmp_path / 'run.checkpoint'
    interrupted(path, maps)
    observer = CancelAt(0)
    resumed = run(RECIPE, data=maps, observer=observer, checkpoint=Checkpoint(path, RECIPE, resume=True))
    assert observer.first == 5
    assert resumed.notes['restored']
    np.testing.assert_array_equal(resumed.data, run(RECIPE, data=maps).data)


def test_the_clock_goes_on_so_that_the_eta_holds(maps, tmp_path):
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
