"""Files that napari hands to the reader: cheap checks, layers with calibrated axes, one sentence for what is broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager

from napari_diptomo._reader import get_reader, read
from napari_diptomo._sample_data import lamella_maps, nanocube_maps
from napari_diptomo._writer import write_layers
from napari_diptomo.series import Finding, MapSeries, Recipe, Remedy, Source, UnknownStep, Volume, load
from napari_diptomo.widgets.layers.image_layers import KEY, map_layers, volume_layers

ANGLES = np.array([-20.0, -10.0, 0.0, 15.0])


@pytest.fixture
def reported() -> Iterator[list[str]]:
    messages: list[str] = []

    def note(notification: object) -> None:
        messages.append(str(notification.message))  # type: ignore[attr-defined]

    notification_manager.notification_ready.connect(note)
    yield messages
    notification_manager.notification_ready.disconnect(note)


@pytest.fixture
def volume() -> Volume:
    data = np.random.default_rng(0).random((2, 5, 6, 8))
    return Volume(data, ('Ge', 'Te'), 2.5, recipe=Recipe(Source(paths=('/data/a.bcf',))), notes={'device': 'CPU'})


@pytest.fixture
def maps() -> MapSeries:
    data = np.random.default_rng(0).poisson(5, (2, 4, 6, 8))
    return MapSeries(data, ANGLES, ('Ge', 'Te'), 2.5, shifts=np.ones((4, 2)))


def test_findings_go_through_the_layers_into_the_next_file(volume: Volume, maps: MapSeries, tmp_path: Path) -> None:
    found = (Finding('doubt', 'angles', 'They disagree.', {'deg': 2.0}, Remedy('Do', 'Align', {'rounds': 3}), 'Align'),)
    for made, layers in ((volume, volume_layers), (maps, map_layers)):
        write_layers(str(tmp_path / 'again.hspy'), layers(replace(made, findings=found)))
        assert load(tmp_path / 'again.hspy').findings == found


def test_a_volume_that_must_not_be_used_says_so_when_it_is_opened(
    volume: Volume, tmp_path: Path, reported: list[str]
) -> None:
    doubt = Finding('doubt', 'noise', 'Some was fitted.')
    replace(volume, findings=(doubt,)).save(tmp_path / 'v.hspy')
    assert len(read(str(tmp_path / 'v.hspy'))) == 2
    assert reported == []
    replace(volume, findings=(doubt, Finding('stop', 'angles', 'Their sign is wrong.'))).save(tmp_path / 'v.hspy')
    assert len(read(str(tmp_path / 'v.hspy'))) == 2
    assert reported == ['v.hspy must not be used: Their sign is wrong.']


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'missing.hspy', '', 'a.txt'])
def test_what_is_not_ours_is_declined(tmp_path: Path, name: str) -> None:
    if name and not name.startswith('missing'):
        (tmp_path / name).write_bytes(b'')
    assert get_reader(str(tmp_path / name)) is None


def test_strange_questions_are_declined() -> None:
    assert get_reader([]) is None
    assert get_reader('\0.hspy') is None
    assert get_reader(None) is None  # type: ignore[arg-type]


def test_a_folder_is_ours_when_it_holds_data(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is None
    (tmp_path / '10.BCF').write_bytes(b'')
    assert get_reader(str(tmp_path)) is read


def test_asking_does_not_import_hyperspy(tmp_path: Path) -> None:
    (tmp_path / 'a.hspy').write_bytes(b'')
    code = (
        'import sys; from napari_diptomo._reader import get_reader\n'
        f'assert get_reader({str(tmp_path / "a.hspy")!r}) is not None\n'
        'print([m for m in ("hyperspy", "torch", "qtpy", "napari") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == '[]'


def test_error_bars_come_back_as_hidden_layers(tmp_path: Path, volume: Volume) -> None:
    path = str(replace(volume, std=0.1 * volume.data).save(tmp_path / 'v.hspy'))
    layers = [Layer.create(*part) for part in read(path)]
    assert [layer.name for layer in layers[2:]] == [f'{name} ± std' for name in volume.channels]
    assert not any(layer.visible for layer in layers[2:])
    np.testing.assert_allclose(layers[3].data, 0.1 * volume.data[1], rtol=1e-6)


def test_a_volume_becomes_its_layers(tmp_path: Path, volume: Volume) -> None:
    path = str(volume.save(tmp_path / 'v.hspy'))
    layers = [Layer.create(*part) for part in read(path)]
    assert [layer.metadata[KEY]['channel'] for layer in layers] == ['Ge', 'Te']
    assert np.array_equal(layers[1].data, volume.data[1])
    assert tuple(layers[0].scale) == (2.5,) * 3
    assert Recipe.from_json(layers[0].metadata[KEY]['recipe']) == volume.recipe


def test_saved_maps_come_back_whole_for_the_dock(tmp_path: Path, maps: MapSeries) -> None:
    path = str(maps.save(tmp_path / 'm.hspy'))
    parts = read(path)
    record = parts[0][1]['metadata'][KEY]
    assert record['dropped']
    assert np.array_equal(record['maps'].shifts, maps.shifts)
    assert parts[1][0].shape == (4, 1, 6, 8)


@pytest.mark.parametrize('name', ['half.hspy', 'half.bcf', 'half.mrc', 'half.dm4', 'half.emd'])
def test_a_broken_file_is_one_sentence(tmp_path: Path, reported: list[str], name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(100))
    assert read(str(path)) == [(None,)]
    assert len(reported) == 1
    assert 'Traceback' not in reported[0]


@pytest.mark.parametrize('suffix', ['.hspy', '.mrc', '.tif'])
def test_layers_are_saved_as_a_volume(tmp_path: Path, volume: Volume, suffix: str) -> None:
    full = [Layer.create(*part).as_layer_data_tuple() for part in volume_layers(volume)]
    written = write_layers(str(tmp_path / f'v{suffix}'), full)
    assert all(Path(path).exists() for path in written)
    assert len(written) == (2 if suffix == '.mrc' else 1)


def test_what_is_saved_is_what_was_made(tmp_path: Path, volume: Volume) -> None:
    full = [Layer.create(*part).as_layer_data_tuple() for part in volume_layers(volume)]
    again = load(write_layers(str(tmp_path / 'v.hspy'), full)[0])
    assert np.array_equal(again.data, volume.data)
    assert again.channels == volume.channels
    assert again.voxel_size == 2.5
    assert again.recipe == volume.recipe
    assert again.notes['device'] == 'CPU'


def test_a_transposed_volume_is_saved_as_it_was_made(tmp_path: Path, volume: Volume) -> None:
    turned = Volume(volume.data, volume.channels, 2.5, transposed=True)
    full = [Layer.create(*part).as_layer_data_tuple() for part in volume_layers(turned)]
    again = load(write_layers(str(tmp_path / 'v.hspy'), full)[0])
    assert again.transposed
    assert np.array_equal(again.data, volume.data)


def test_maps_are_saved_with_their_angles(tmp_path: Path, maps: MapSeries) -> None:
    full = [Layer.create(*part).as_layer_data_tuple() for part in map_layers(maps)]
    again = load(write_layers(str(tmp_path / 'm.hspy'), full)[0])
    assert np.array_equal(again.data, maps.data)
    assert again.angles == pytest.approx(ANGLES)


def test_layers_that_do_not_belong_together_are_one_sentence(tmp_path: Path, reported: list[str]) -> None:
    layers = [(np.zeros((4, 4, 4)), {'name': 'a'}, 'image'), (np.zeros((5, 4, 4)), {'name': 'b'}, 'image')]
    assert write_layers(str(tmp_path / 'v.hspy'), layers) == []
    assert 'different shapes' in reported[0]


@pytest.mark.parametrize(
    ('make', 'channels', 'tilts'), [(lamella_maps, ('Ge', 'Sb', 'Te'), 17), (nanocube_maps, ('Fe3O4', 'FeO'), 9)]
)
def test_samples_are_counts_in_nm(make: object, channels: tuple[str, ...], tilts: int) -> None:
    layers = [Layer.create(*part) for part in make()]  # type: ignore[operator]
    assert tuple(layer.metadata[KEY]['channel'] for layer in layers) == channels
    for layer in layers:
        assert layer.data.shape == (tilts, 1, 48, 48)
        assert (layer.data == np.round(layer.data)).all()
        assert [str(unit) for unit in layer.units] == ['degree', 'nanometer', 'nanometer', 'nanometer']


def test_a_real_series_is_read_lazily(shared_data: Path) -> None:
    ((data, kwargs, _),) = read(str(shared_data / 'openncem-edx'))
    assert data.shape == (16, 1, 256, 256)
    assert not isinstance(data, np.ndarray)
    assert kwargs['scale'][0] == pytest.approx(5.0)
    assert kwargs['translate'][0] == pytest.approx(-40.0)
    assert kwargs['scale'][2] == pytest.approx(13.08, abs=0.01)


@pytest.mark.parametrize(
    ('name', 'shape'), [('readers/test_TEM.bcf', None), ('readers/EELS_SI.dm4', None), ('readers/HAADFscan.mrc', None)]
)
def test_single_real_files_can_be_looked_at(shared_data: Path, name: str, shape: None) -> None:
    layers = [Layer.create(*part) for part in read(str(shared_data / name))]
    assert layers
    assert all(layer.ndim >= 2 for layer in layers)


def test_one_real_tilt_is_kept_for_the_dock(shared_data: Path) -> None:
    parts = read(str(shared_data / 'openncem-edx' / '5.bcf'))
    dropped = [part for part in parts if part[1]['metadata'][KEY].get('dropped')]
    assert len(dropped) == 1
    data, kwargs, _ = dropped[0]
    assert data.shape == (1, 1, 256, 256)
    assert 13 < data.mean() < 21
    assert kwargs['units'][-2:] == ('nm', 'nm')


@pytest.mark.parametrize('name', ['antigravity:x', 'unittest.__main__:X', 'lying_around:Step'])
def test_a_dropped_volume_imports_nothing_that_its_recipe_names_and_keeps_it(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / 'lying_around.py').write_text('raise SystemExit("executed")')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    steps = (UnknownStep(name, {'strength': 2}), UnknownStep('SIRT', {'iterations': -1}))
    strange = replace(volume, recipe=replace(volume.recipe, steps=steps))
    layers = read(str(strange.save(tmp_path / 'v.hspy')))
    assert len(layers) == 2
    write_layers(str(tmp_path / 'again.hspy'), layers)
    assert load(tmp_path / 'again.hspy').recipe == strange.recipe
    assert not {'antigravity', 'unittest.__main__', 'lying_around'} & (set(sys.modules) - before)


def test_a_dropped_file_with_an_expression_is_one_message_and_runs_nothing(tmp_path: Path, reported: list[str]) -> None:
    import h5py
    import hyperspy.api as hs

    path = tmp_path / 'a.hspy'
    hs.signals.Signal1D(np.ones((3, 4, 5, 16))).save(str(path))
    with h5py.File(path, 'r+') as file:
        axis = next(iter(file['Experiments'].values()))['axis-3']
        axis.attrs['_type'] = 'FunctionalDataAxis'
        axis.attrs['expression'] = f'x + __import__("os").mkdir({str(tmp_path / "executed")!r})'
    assert read(str(path)) == [(None,)]
    (sentence,) = reported
    assert sentence.startswith('a.hspy has an axis given as an expression, which would be executed; in HyperSpy,')
    assert not (tmp_path / 'executed').exists()


def test_an_ome_zarr_opens_with_names_colours_and_nanometres(volume: Volume, tmp_path: Path) -> None:
    path = str(volume.save(tmp_path / 'v.ome.zarr'))
    reader = get_reader(path)
    assert reader is not None
    layers = [Layer.create(*part) for part in reader(path)]
    assert [layer.metadata[KEY]['channel'] for layer in layers] == ['Ge', 'Te']
    assert tuple(layers[0].scale) == (2.5,) * 3 and layers[0].units[0] == 'nanometer'
    np.testing.assert_array_equal(layers[1].data, volume.data[1])
    (tmp_path / 'other.zarr').mkdir()
    assert get_reader(str(tmp_path / 'other.zarr')) is None
