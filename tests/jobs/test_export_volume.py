"""`diptomo export`: what it writes, and what it refuses before it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_diptomo.jobs.export_volume import export_file
from napari_diptomo.series import InputError, MapSeries, Volume, load, save


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = np.random.default_rng(0).random((2, 6, 7, 8))
    return Path(save(Volume(data, ('Ge', 'Te'), 2.5), tmp_path_factory.mktemp('export') / 'v.hspy'))


def test_there_and_back_through_ome_zarr(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = export_file(saved, tmp_path / 'v.ome.zarr')
    assert 'v.ome.zarr' in capsys.readouterr().out
    (again,) = export_file(folder, tmp_path / 'again.hspy')
    np.testing.assert_array_equal(load(again).data, load(saved).data)
    assert load(again).channels == ('Ge', 'Te')


def test_earlier_files_are_replaced_only_when_asked(saved: Path, tmp_path: Path) -> None:
    for name in ('v.ome.zarr', 'v.mrc', 'v.vti'):
        first = export_file(saved, tmp_path / name)
        with pytest.raises(InputError, match=r'is there already; choose another name, or replace it with --overwrite'):
            export_file(saved, tmp_path / name)
        assert export_file(saved, tmp_path / name, overwrite=True) == first


def test_what_cannot_be_exported(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'v\.stl cannot be saved: choose a name that ends in \.hspy, \.ome\.zarr'):
        export_file(saved, tmp_path / 'v.stl')
    with pytest.raises(InputError, match='There is no folder'):
        export_file(saved, tmp_path / 'nowhere' / 'v.vti')
    maps = Path(save(MapSeries(np.ones((1, 2, 4, 4)), [0, 10], ('Fe',)), tmp_path / 'maps.hspy'))
    with pytest.raises(InputError, match=r'maps\.hspy is no volume'):
        export_file(maps, tmp_path / 'v.vti')
    assert [path.name for path in tmp_path.iterdir()] == ['maps.hspy']
