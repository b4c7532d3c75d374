from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_diptomo.cli import app
from napari_diptomo.series import Finding, MapSeries, Recipe, Source

STEPS = str(Path(__file__).parent / 'jobs')
FOUND = Finding(
    'doubt', 'angles', 'Two sources of the angles disagree.', {'largest difference in deg': 2.0}, step='Align'
)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, [STEPS, os.environ.get('PYTHONPATH', '')])))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.syspath_prepend(STEPS)
    monkeypatch.chdir(tmp_path)


def write_maps(folder):
    rng = np.random.default_rng(0)
    angles = np.arange(-40.0, 41.0, 20.0)
    maps = MapSeries(rng.poisson(4.0, (2, len(angles), 8, 8)), angles, ('Ge', 'Te'), pixel_size=2.0)
    maps.save(folder / 'maps.hspy')
    return folder / 'maps.hspy'


def write_haadf(folder):
    import tifffile

    (folder / 'images').mkdir()
    tifffile.imwrite(folder / 'images' / 'HAADF.tif', np.random.default_rng(1).random((7, 16, 16), np.float32))
    (folder / 'tilts.csv').write_text('\n'.join(map(str, range(-60, 61, 20))))
    return folder / 'images' / 'HAADF.tif'


@pytest.fixture
def maps_file(tmp_path):
    return write_maps(tmp_path)


@pytest.fixture
def haadf_file(tmp_path):
    return write_haadf(tmp_path)


def write_recipe(path, *steps, source='maps.hspy'):
    recipe = {'napari-diptomo': 1, 'source': Source(paths=(source,)).model_dump(mode='json'), 'steps': list(steps)}
    path.write_text(json.dumps(recipe))
    return str(path)


def cli(*arguments):
    return CliRunner().invoke(app, list(arguments))


def assert_one_line(result, text):
    assert result.exit_code == 1, result.output
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith(('[', '    '))]
    assert len(lines) == 1, result.stderr
    assert text in lines[0]
    assert 'Traceback' not in result.output


@pytest.fixture(scope='module')
def first_run(tmp_path_factory):
    """The folder of a run, and what was said: it starts a process that imports torch."""
    folder = tmp_path_factory.mktemp('first')
    write_maps(folder)
    haadf = write_haadf(folder)
    recipe = write_recipe(folder / 'first.json', {'step': 'SIRT', 'iterations': 5, 'device': 'cpu'})
    angles = '-60 -40 -20 0 20 40 60'
    result = cli('run', recipe, '--haadf', str(haadf), '--haadf-angles', angles, '--haadf-pixel-size', '1')
    assert result.exit_code == 0, result.output
    return folder, result


@pytest.fixture(scope='module')
def json_run(tmp_path_factory):
    """As `first_run`, of the maps alone and said as JSON."""
    folder = tmp_path_factory.mktemp('json')
    write_maps(folder)
    recipe = write_recipe(folder / 'j.json', {'step': 'SIRT', 'iterations': 5, 'device': 'cpu'})
    result = cli('run', recipe, '--json')
    assert result.exit_code == 0, result.output
    return folder, result


def test_run_writes_the_volume_next_to_the_recipe_and_says_how_it_agrees(first_run):
    tmp_path, result = first_run
    assert 'first.hspy' in result.stdout.replace('\n', '')
    assert 'correlation of projections with maps' in ' '.join(result.stdout.split())
    assert 'ceiling of the counts' in result.stdout
    from napari_diptomo.series import load

    volume = load(tmp_path / 'first.hspy')
    assert volume.channels == ('Ge', 'Te')
    assert volume.voxel_size == 2.0
    assert set(volume.notes['projection_correlation']) == {'Ge', 'Te'}
    assert [type(step).__name__ for step in volume.recipe.steps] == ['SIRT']
    assert not (tmp_path / 'first.hspy.checkpoint').exists()


def test_resume_continues_after_a_kill(maps_file, tmp_path, monkeypatch):
    from napari_diptomo.jobs import commands

    real = commands.ChildJob
    monkeypatch.setattr(commands, 'ChildJob', lambda *a, **k: real(*a, **k, checkpoint_interval=0))
    recipe = write_recipe(tmp_path / 'r.json', {'step': 'job_steps:Count', 'iterations': 6, 'die_at': 4})
    assert_one_line(cli('run', recipe), 'signal 9')
    result = cli('run', recipe, '--resume', '-o', str(tmp_path / 'r.hspy'))
    assert result.exit_code == 0, result.output
    from napari_diptomo.series import load

    assert load(tmp_path / 'r.hspy').notes['restored']


@pytest.mark.parametrize(
    ('recipe', 'text'),
    [
        ('{"napari-diptomo": 1, "source": {"paths": ["maps.hspy"]}, "steps": [{"step": "Magic"}]}', "'Magic'"),
        ('{"napari-diptomo": 1, "source": {"paths": ["maps.hspy"]}, "steps": []}', 'no steps'),
        ('{"napari-diptomo": 1, "source": {"paths": ["gone"]}, "steps": [{"step": "SIRT"}]}', 'gone'),
        ('{"half": ', 'not valid JSON'),
    ],
)
def test_bad_recipes_are_one_line(maps_file, tmp_path, recipe, text):
    (tmp_path / 'bad.json').write_text(recipe)
    assert_one_line(cli('run', 'bad.json'), text)


@pytest.mark.parametrize('name', ['antigravity:x', 'unittest.__main__:X', 'lying_around:Step'])
def test_run_imports_nothing_that_a_recipe_names(maps_file, tmp_path, name):
    (tmp_path / 'lying_around.py').write_text('import pathlib; pathlib.Path("executed").touch()')
    write_recipe(tmp_path / 'bad.json', {'step': name})
    code = 'from napari_diptomo.cli import main; main()'
    done = subprocess.run([sys.executable, '-c', code, 'run', 'bad.json'], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count('\n') == 1 and f"step '{name}' that this version does not know" in done.stderr
    assert not (tmp_path / 'executed').exists()


def test_run_says_first_what_it_reads_from_outside_the_folder_of_the_recipe(maps_file, tmp_path):
    folder = tmp_path / 'recipes'
    folder.mkdir()
    recipe = write_recipe(folder / 'r.json', {'step': 'job_steps:Chatter'}, source='../maps.hspy')
    result = cli('run', recipe)
    assert result.exit_code == 0, result.output
    first = result.stdout.splitlines()[0]
    assert first.startswith('Read from outside the folder of the recipe: ') and first.endswith('maps.hspy')


def test_a_file_of_a_step_that_is_not_there_is_said_before_anything_starts(maps_file, tmp_path, monkeypatch):
    from napari_diptomo.jobs import commands

    monkeypatch.setattr(commands, 'ChildJob', lambda *a, **k: pytest.fail('started'))
    recipe = write_recipe(tmp_path / 'r.json', {'step': 'SIRT', 'support_file': 'gone.npy'})
    assert_one_line(cli('run', recipe), 'gone.npy, which does not exist; correct its path in r.json')


def test_other_mistakes_are_one_line(maps_file, tmp_path):
    assert_one_line(cli('run', 'nothing.json'), 'Cannot read the recipe')
    good = write_recipe(tmp_path / 'good.json', {'step': 'SIRT'})
    assert_one_line(cli('run', good, '--output', 'no/such/folder.hspy'), 'There is no folder')
    assert_one_line(cli('run', good, '--resume'), 'no checkpoint')
    assert_one_line(cli('info', 'nothing.bcf'), 'nothing.bcf')


def test_what_nobody_expected_is_one_line_too_and_debug_shows_where(maps_file, tmp_path):
    recipe = write_recipe(tmp_path / 'r.json', {'step': 'job_steps:Break', 'how': 'runtime'})
    assert_one_line(cli('run', recipe), 'Unexpected error: RuntimeError: matrix is singular')
    result = cli('run', recipe, '--debug')
    assert result.exit_code == 1
    assert 'Traceback' in result.stderr
    assert 'job_steps.py' in result.stderr


def test_a_series_with_one_angle_is_refused_in_one_line_by_the_real_command(maps_file, tmp_path):
    np.savetxt(tmp_path / 'two.csv', [[1.0], [2.0]])
    command = [sys.executable, '-c', 'from napari_diptomo.cli import main; main()', 'run', 'absent.json']
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.count('\n') == 1
    assert 'absent.json' in done.stderr


def test_info_shows_what_is_there(maps_file):
    result = cli('info', str(maps_file))
    assert result.exit_code == 0, result.output
    for text in ('maps of Ge, Te', '5: -40°, -20°, 0°, 20°, 40°', '8 x 8 pixels', '2 nm', '16 x 16 nm'):
        assert text in result.stdout


def test_run_prints_findings_one_line_each_the_gravest_first(maps_file, tmp_path):
    recipe = write_recipe(tmp_path / 'r.json', {'step': 'job_steps:Doubting'})
    result = cli('run', recipe)
    assert result.exit_code == 0, result.output
    stop, doubt, note = result.stdout.splitlines()[-3:]
    assert stop.startswith('stop (axis, job_steps:Doubting): No axis explains') and stop.endswith('at all.')
    assert doubt == (
        'doubt (width, job_steps:Doubting): It seems too narrow. Remedy: set wide to true in job_steps:Doubting.'
    )
    assert note == 'note (angles, job_steps:Doubting): Nobody checked them [yet].'
    write_recipe(tmp_path / 'r.json', {'step': 'job_steps:Doubting', 'wide': True})
    assert 'doubt' not in cli('run', recipe).stdout, 'the remedy as it stands in the line does away with the doubt'


def test_run_prints_findings_of_maps_too(tmp_path):
    MapSeries(np.ones((1, 2, 4, 4)), [-9.0, 9.0], ('Fe',), findings=(FOUND,)).save(tmp_path / 'maps.hspy')
    recipe = write_recipe(tmp_path / 'r.json', {'step': 'job_steps:Chatter'})
    said = cli('run', recipe).stdout
    assert said.splitlines()[-1] == str(FOUND)
    assert 'outside' not in said, 'the maps lie in the folder of the recipe'


def test_info_lists_specimens_and_opens_the_one_chosen_with_a_pixel_size(tmp_path):
    import tifffile

    folder = tmp_path / 'two of them'
    folder.mkdir()
    for level, name in enumerate(('SET_Ge', 'SET_Te', 'Virgin_Ge', 'Virgin_Te'), start=1):
        tifffile.imwrite(folder / f'{name}.tif', np.full((3, 6, 8), level, np.float32))
    (folder / 'angles.txt').write_text('-40\n0\n40\n')
    result = cli('info', str(folder))
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ['SET', 'Ge,', 'Te', 'SET_Ge.tif'] in lines and ['Virgin', 'Ge,', 'Te', 'Virgin_Ge.tif'] in lines
    assert "--specimen 'SET'" in result.output
    assert_one_line(cli('info', str(folder), '--specimen', 'Virgin'), 'give the pixel size')
    result = cli('info', str(folder), '--specimen', 'Virgin', '--pixel-size', '2.5')
    assert result.exit_code == 0, result.output
    assert 'maps of Ge, Te' in result.output and '2.5 nm' in result.output and '7 per pixel' in result.output


def test_info_prints_findings(tmp_path):
    MapSeries(np.ones((1, 2, 4, 4)), [-9.0, 9.0], ('Fe',), findings=(FOUND,)).save(tmp_path / 'maps.hspy')
    result = cli('info', 'maps.hspy')
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(FOUND)


def test_info_describes_spectra_whose_range_is_too_short_for_elements(tmp_path):
    import hyperspy.api as hs

    for angle in (-10, 0, 10):
        signal = hs.signals.Signal1D(np.ones((4, 4, 16), np.uint8))
        for axis, (scale, units) in zip(signal.axes_manager._axes, ((2, 'nm'), (2, 'nm'), (0.01, 'keV')), strict=True):
            axis.scale, axis.units = scale, units
        signal.save(tmp_path / f'{angle}deg.hspy')
    result = CliRunner().invoke(app, ['info', str(tmp_path)])
    assert result.exit_code == 0
    assert '3: -10°, 0°, 10°' in result.output and 'not determined' in result.output


def test_info_on_spectra_names_the_source_of_the_angles_and_the_elements():
    from napari_diptomo.jobs.commands import facts
    from napari_diptomo.simulate import demo_series

    series = demo_series(size=16).series
    found = facts(series, 'Te, Sb, Ge', 12.3)
    assert found['angles'] == 'simulation'
    assert found['counts'] == '12.3 per pixel and tilt'
    assert found['elements seen'] == 'Te, Sb, Ge'
    assert found['HAADF'] == 'yes'
    assert '17: -40' in found['tilts']


def test_help_loads_nothing_heavy():
    script = (
        'import sys\nfrom napari_diptomo.cli import app\nfrom typer.testing import CliRunner\n'
        'assert CliRunner().invoke(app, ["--help"]).exit_code == 0\n'
        'print(sorted({"torch", "hyperspy", "napari", "matplotlib"} & set(sys.modules)))'
    )
    out = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == '[]'


def test_recipes_round_trip_through_the_file(tmp_path):
    path = write_recipe(tmp_path / 'r.json', {'step': 'SIRT', 'iterations': 7})
    assert Recipe.load(path).steps[0].iterations == 7


def test_calibrate_measures_factors_on_a_standard(tmp_path):
    rng = np.random.default_rng(1)
    data = rng.poisson(np.array([90.0, 60.0])[:, None, None, None], (2, 1, 24, 24))
    notes = {'lines': {'Ge': 'Ge_K', 'Te': 'Te_L'}, 'beam_energy_keV': 200.0}
    MapSeries(data, [0.0], ('Ge', 'Te'), notes=notes).save(tmp_path / 'standard.hspy')
    result = cli('calibrate', 'standard.hspy', '--composition', 'Ge 40, Te 60 wt.%', '-o', 'k.csv')
    assert result.exit_code == 0, result.output
    assert 'note (absorption in the standard)' in result.stdout
    from napari_diptomo.spectra.edx.factor_tables import read_factors

    table = read_factors(tmp_path / 'k.csv')
    assert table['Te_L'] / table['Ge_K'] == pytest.approx(0.6 / 60 / (0.4 / 90), rel=0.03)
    assert table.origin['files'] == 'standard.hspy'
    assert_one_line(cli('calibrate', 'standard.hspy', '-c', 'GeTe', '-o', 'k.csv'), 'k.csv is there already')
    assert_one_line(cli('calibrate', 'standard.hspy', '-c', 'Ge', '-o', 'other.csv'), 'ratios of two elements')
    assert_one_line(cli('calibrate', 'standard.hspy', '-c', 'GeTe', '--method', 'magic'), 'magic is no method')


def test_a_volume_is_exported_filmed_and_reported(maps_file, json_run, tmp_path):
    shutil.copy(json_run[0] / 'j.hspy', tmp_path / 'first.hspy')
    for arguments, file in (
        (('export', 'first.hspy', 'first.ome.zarr'), 'first.ome.zarr/zarr.json'),
        (('export', 'first.ome.zarr', 'first.vti'), 'first.vti'),
        (('movie', 'first.hspy', '-o', 'first.gif', '--seconds', '0.5', '--size', '64'), 'first.gif'),
        (('report', 'first.hspy', '-o', 'first.html', '--halves', 'none'), 'first.pdf'),
    ):
        done = cli(*arguments)
        assert done.exit_code == 0, done.output
        assert (tmp_path / file).stat().st_size > 100
        assert_one_line(cli(*arguments), 'is there already; choose another name, or replace it with --overwrite')
    assert_one_line(cli('export', 'first.hspy', 'first.stl'), 'choose a name that ends in .hspy, .ome.zarr')
    assert_one_line(cli('report', 'maps.hspy', '-o', 'other.html'), 'maps.hspy is no volume')


def test_align_writes_maps_with_shifts_and_a_table(tmp_path):
    from napari_diptomo import simulate
    from napari_diptomo.series import load

    angles = np.arange(-40.0, 41.0, 10.0)
    drift = np.outer(np.arange(len(angles)), [0.7, 0.0])
    simulate.tilt_series(simulate.lamella(24), angles, shifts=drift).maps.save(tmp_path / 'moved.hspy')
    result = cli('align', 'moved.hspy', '-o', 'aligned.hspy')
    assert result.exit_code == 0, result.output
    aligned = load(tmp_path / 'aligned.hspy')
    along = np.asarray(aligned.shifts)[:, 0]
    assert np.abs(along - along.mean() - drift[:, 0] + drift[:, 0].mean()).max() < 0.5
    lines = (tmp_path / 'aligned.csv').read_text().splitlines()
    assert lines[0].startswith('angle,dx,dy')
    assert len(lines) == 1 + len(angles)
    assert '-40' in result.stdout
    assert 'Written: aligned.csv' in result.stdout
    again = cli(
        'align', 'moved.hspy', '-o', 'imported.hspy', '--shifts', 'aligned.csv', '--axis', '2', '--table', 'a.xf'
    )
    assert again.exit_code == 0, again.output
    imported = load(tmp_path / 'imported.hspy')
    np.testing.assert_allclose(imported.shifts, aligned.shifts, atol=1e-3)
    assert imported.axis_rotation == 2.0
    assert imported.recipe.steps[-1].shifts_file == str(tmp_path / 'aligned.csv')
    assert (tmp_path / 'a.tlt').is_file()


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (('maps.hspy', '-o', 'maps.hspy'), 'would be replaced'),
        (('none.hspy', '-o', 'a.hspy'), 'none.hspy'),
        (('maps.hspy', '-o', 'a.hspy', '--shifts', 'none.csv'), 'none.csv'),
        (('maps.hspy', '-o', 'a.hspy', '--axis', '90'), 'axis_rotation'),
        (('maps.hspy', '-o', 'a.hspy', '--reference', 'haadf'), 'no HAADF images'),
        (('maps.hspy', '-o', 'a.hspy', '--reference', 'other'), 'reference'),
        (('maps.hspy', '-o', 'a.mrc'), '.mrc'),
        (('maps.hspy', '-o', 'a.hspy', '--table', 'a.txt'), 'a.txt has no known ending'),
        (('maps.hspy', '-o', 'a.hspy', '--table', 'a.hspy'), 'give the table another name'),
        (('maps.hspy', '-o', 'a.hspy', '--table', 'maps.hspy'), 'give the table another name'),
        (('maps.hspy', '-o', 'a.hspy', '--shifts', 'short.xf'), 'short.xf has 1 lines'),
    ],
)
def test_align_refuses_in_one_line_and_writes_nothing(maps_file, options, text):
    maps_file.with_name('short.xf').write_text('1 0 0 1 0 0\n')
    assert_one_line(cli('align', *options), text)
    assert not maps_file.with_name('a.hspy').exists()


def test_info_names_the_haadf_series(maps_file, haadf_file):
    options = ('--haadf', str(haadf_file), '--haadf-angles', 'tilts.csv', '--haadf-pixel-size', '1')
    result = cli('info', str(maps_file), *options)
    assert result.exit_code == 0, result.output
    words = ' '.join(result.stdout.split())
    assert '7 images from -60° to 60°, 2 of them at tilts beyond the spectra; 16 x 16 pixels of 1 nm' in words
    assert_one_line(cli('info', str(maps_file), '--haadf', str(haadf_file)), 'HAADF series: No tilt angles were found')
    assert_one_line(cli('info', str(maps_file), '--own-haadf'), 'No images were recorded with the spectra')


def test_run_takes_a_haadf_series_that_its_result_names(first_run):
    from napari_diptomo.series import load

    folder, result = first_run
    # Images of noise: SIRT has compared them with the maps.
    assert 'doubt (HAADF series, SIRT): The HAADF series agrees with the maps better' in ' '.join(result.stdout.split())
    source = load(folder / 'first.hspy').recipe.source
    assert source.haadf == (str(folder / 'images' / 'HAADF.tif'),)
    assert source.haadf_angles == tuple(range(-60, 61, 20))
    assert_one_line(cli('run', str(folder / 'first.json'), '--haadf', 'nothing.tif'), 'nothing.tif')


HAADF_OF_RECIPE = {
    'haadf': ('images/HAADF.tif',),
    'haadf_angles': tuple(range(-60, 61, 20)),
    'haadf_pixel_size': 1.0,
    'haadf_orientation': 'reverse y',
}


def source_of_run(monkeypatch, folder, *options, **fields):
    """The source that `run` would open, of a recipe with these fields."""
    from napari_diptomo.jobs import commands

    source = Source(paths=('maps.hspy',), **fields)
    values = {'napari-diptomo': 1, 'source': source.model_dump(mode='json'), 'steps': [{'step': 'SIRT'}]}
    (folder / 'r.json').write_text(json.dumps(values))
    seen = []
    monkeypatch.setattr(commands, '_run', lambda recipe, *others: seen.append(recipe.source))
    result = cli('run', 'r.json', *options)
    assert result.exit_code == 0, result.output
    return seen[0]


def test_an_option_about_the_haadf_series_leaves_the_others_to_the_recipe(maps_file, haadf_file, tmp_path, monkeypatch):
    kept = source_of_run(monkeypatch, tmp_path, '--haadf-pixel-size', '2', **HAADF_OF_RECIPE)
    assert (kept.haadf, kept.haadf_pixel_size, kept.haadf_orientation) == ((str(haadf_file),), 2.0, 'reverse y')
    kept = source_of_run(monkeypatch, tmp_path, '--haadf-orientation', 'turn left', **HAADF_OF_RECIPE)
    assert (kept.haadf, kept.haadf_pixel_size, kept.haadf_orientation) == ((str(haadf_file),), 1.0, 'turn left')
    assert kept.haadf_angles == HAADF_OF_RECIPE['haadf_angles']
    kept = source_of_run(monkeypatch, tmp_path, '--haadf-angles', 'tilts.csv', **HAADF_OF_RECIPE)
    assert (kept.haadf, kept.haadf_angles, kept.haadf_pixel_size) == (
        (str(haadf_file),),
        str(tmp_path / 'tilts.csv'),
        1.0,
    )
    # Other images bring angles and pixels of their own.
    shutil.copy(haadf_file, 'other.tif')
    other = source_of_run(monkeypatch, tmp_path, '--haadf', 'other.tif', **HAADF_OF_RECIPE)
    assert (other.haadf, other.haadf_angles, other.haadf_pixel_size) == ((str(tmp_path / 'other.tif'),), None, None)
    assert other.haadf_orientation == 'as recorded'
    own = source_of_run(monkeypatch, tmp_path, '--own-haadf', **HAADF_OF_RECIPE)
    assert (own.haadf, own.haadf_angles, own.haadf_pixel_size, own.own_haadf) == ((), None, None, True)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (('--haadf', 'nope'), 'nope; correct --haadf.'),
        (('--haadf', 'images', '--haadf-angles', 'nope.csv'), 'correct --haadf-angles.'),
        (('--haadf', 'images', '--haadf-pixel-size', '0'), 'not 0; correct --haadf-pixel-size.'),
        (('--haadf', 'images', '--haadf-pixel-size', '-2'), 'not -2; correct --haadf-pixel-size.'),
        (('--haadf-pixel-size', '1'), '--haadf-pixel-size was given, and there are no files'),
        (('--haadf-orientation', 'turn left'), '--haadf-orientation was given, and there are no files'),
        (('--haadf', 'images', '--haadf-orientation', 'left'), '"turn left", "turn right", "swap x and y"'),
        (('--own-haadf', '--haadf-angles', '-60 0 60'), '--haadf-angles was given, and there are no files'),
    ],
)
@pytest.mark.parametrize('command', ['run', 'info'])
def test_wrong_options_about_the_haadf_series_are_one_line(maps_file, haadf_file, tmp_path, command, options, text):
    named = write_recipe(tmp_path / 'r.json', {'step': 'SIRT'}) if command == 'run' else str(maps_file)
    assert_one_line(cli(command, named, *options), text)


def test_the_version():
    from napari_diptomo import __version__

    result = cli('--version')
    assert (result.exit_code, result.stdout) == (0, f'napari-diptomo {__version__}\n')


def test_it_runs_as_a_module():
    command = [sys.executable, '-m', 'napari_diptomo', '--help']
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert 'python -m napari_diptomo' in done.stdout and 'batch' in done.stdout


def test_a_shell_completes_commands_and_options():
    environment = {**os.environ, '_DIPTOMO_COMPLETE': 'complete_bash', 'COMP_WORDS': 'diptomo ru', 'COMP_CWORD': '1'}
    code = 'from napari_diptomo.cli import main; main("diptomo")'
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ['run']
    assert '--install-completion' in cli('--help').stdout


def test_info_as_json(maps_file):
    result = cli('info', str(maps_file), '--json')
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found['kind'] == 'maps' and found['channels'] == ['Ge', 'Te']
    assert found['tilts_deg'] == [-40, -20, 0, 20, 40] and found['pixel_size_nm'] == 2.0
    assert found['shape'] == {'channel': 2, 'tilt': 5, 'y': 8, 'x': 8}


def test_run_and_assess_as_json(json_run):
    tmp_path, result = json_run
    found = json.loads(result.stdout)
    from napari_diptomo.series import load

    volume = load(tmp_path / 'j.hspy')
    assert Path(found['output']).name == 'j.hspy' and found['kind'] == 'volume'
    assert found['projection_correlation'] == pytest.approx(volume.notes['projection_correlation'])
    assert [f['sentence'] for f in found['findings']] and found['recipe']['steps'][0]['step'] == 'SIRT'

    assessed = cli(
        'assess', str(tmp_path / 'j.hspy'), '--maps', str(tmp_path / 'maps.hspy'), '--halves', 'none', '--json'
    )
    assert assessed.exit_code == 0, assessed.output
    consistency = json.loads(assessed.stdout)['consistency']
    assert set(consistency) == {'Ge', 'Te'}
    assert consistency['Ge']['correlation'] == pytest.approx(volume.notes['projection_correlation']['Ge'], abs=0.02)


def test_a_failure_is_json_too(tmp_path):
    result = cli('info', str(tmp_path / 'nowhere'), '--json')
    assert result.exit_code == 1
    assert json.loads(result.stdout)['error'] == result.stderr.strip()
    assert 'nowhere' in result.stderr
