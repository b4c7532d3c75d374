"""`diptomo assess`: what it prints and writes of a saved volume, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_diptomo import SIRT, Recipe, run
from napari_diptomo.jobs.assess_volume import assess_file, halving_step, maps_of, reconstruction_of
from napari_diptomo.reconstruct import DIPmTV
from napari_diptomo.series import InputError, MapSeries, Observer, Source, Volume, load_tilt_series, save
from napari_diptomo.simulate import lamella, tilt_series


@pytest.fixture(scope='module')
def saved(tmp_path_factory) -> tuple[Path, Path]:
    """A volume whose recipe names its maps, written by another program, and these maps as saved by this one."""

    folder = tmp_path_factory.mktemp('assess')
    maps = tilt_series(lamella(24), range(-60, 61, 12), peak_counts=60, seed=1).maps
    data = folder / 'data'
    data.mkdir()
    for name, images in zip(maps.channels, maps.data, strict=True):
        tifffile.imwrite(data / f'{name}.tif', images)
    (data / 'angles.csv').write_text('\n'.join(f'{angle:g}' for angle in maps.angles))
    recipe = Recipe(Source(paths=(str(data),), pixel_size=2.0), (SIRT(iterations=8),))
    volume = run(recipe)
    maps = save(load_tilt_series(data, pixel_size=2.0), folder / 'maps.hspy')
    return Path(volume.save(folder / 'volume.hspy')), Path(maps)


def test_a_volume_is_assessed_from_its_own_recipe(saved, tmp_path, capsys):
    found = assess_file(saved[0], phases=2, output=tmp_path / 'out')
    said = capsys.readouterr().out
    assert 'misfit / noise' in said and 'FSC 0.143' in said and 'SIRT of each half' in said
    assert found.consistency.misfit.mean() == pytest.approx(0.9, abs=0.3)
    assert found.phases.count == 2
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'misfit.csv',
        'fsc.csv',
        'left_out_tilts.csv',
        'phases.csv',
        'phases.tif',
    }
    with tifffile.TiffFile(tmp_path / 'out' / 'phases.tif') as labels:
        assert labels.imagej_metadata['spacing'] == 2.0 and labels.imagej_metadata['unit'] == 'nm'
        assert np.array_equal(np.squeeze(labels.asarray()), found.phases.labels)


def test_left_out_tilts_are_predicted_unless_unwanted(saved, capsys):
    import json

    found = assess_file(saved[0], halves='none', as_json=True)
    said = json.loads(capsys.readouterr().out)
    for c, name in enumerate(found.prediction.channels):
        row = said['left_out_tilts'][name]
        assert row['tilt_deg'] == found.consistency.angles.tolist()
        assert row['predicted'] == pytest.approx(found.prediction.misfit[c].tolist())
        # A volume of the others foresees an image less well than one that has seen it explains it.
        assert row['misfit_in_noise'] > said['consistency'][name]['misfit_in_noise']
    assert 'SIRT' in said['left_out_method']
    assert assess_file(saved[0], halves='none', predict=False).prediction is None
    said = capsys.readouterr().out
    assert 'left-out' not in said
    assess_file(saved[0], halves='none')
    said = ' '.join(capsys.readouterr().out.split())
    assert 'left-out tilts / noise' in said and 'predicted by a volume of the other tilts' in said


def test_saved_maps_give_the_same_residuals(saved):
    own, given = assess_file(saved[0], halves='none'), assess_file(saved[0], saved[1], halves='none')
    np.testing.assert_array_equal(own.consistency.misfit, given.consistency.misfit)
    assert own.resolution is None


def test_fast_halves_keep_the_grid_of_the_volume():
    step = DIPmTV(thickness=40.0, beyond_field=True)
    fast = halving_step(step, 'fast')
    assert (type(fast), fast.thickness, fast.beyond_field) == (SIRT, 40.0, True)
    assert step.haadf and not fast.haadf, 'images would be the same in both halves'
    assert halving_step(step, 'own') is step
    # Halves have the geometry of the volume; refined by themselves they would differ by it.
    assert halving_step(step.model_copy(update={'refine_shifts': True}), 'own') == step


def test_what_cannot_be_assessed(saved, tmp_path):
    with pytest.raises(InputError, match=r'maps\.hspy is no volume'):
        assess_file(saved[1])
    with pytest.raises(InputError, match='"fast", with the volume\'s "own" settings, or "none", not "quick"'):
        assess_file(saved[0], halves='quick')
    volume = Volume(np.ones((1, 4, 4, 4)), ('Fe',))
    with pytest.raises(InputError, match='saved without its recipe'):
        reconstruction_of(volume)
    gone = Volume(np.ones((1, 4, 4, 4)), ('Fe',), recipe=Recipe(Source(paths=('/nowhere/a.tif',)), (SIRT(),)))
    with pytest.raises(InputError, match=r'/nowhere/a\.tif is not there any more; give saved maps with --maps'):
        maps_of(gone, Observer())
    other = Path(save(MapSeries(np.ones((1, 2, 24, 24)), [0, 10], ('Fe',)), tmp_path / 'other.hspy'))
    with pytest.raises(InputError, match='take the maps that it was made from'):
        assess_file(saved[0], other)
