"""Folders of many files, files that vanish, names of every kind: each is read once, and named in what is said of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from series_files import counts, write_maps, write_spectra

from napari_diptomo.series import InputError, Observer, load_tilt_series
from napari_diptomo.series.reading import current_file
from napari_diptomo.series.reading.file_selection import find_files
from napari_diptomo.series.reading.specimens import specimens_in

NAMES = ['with two spaces', 'Grüße aus Jülich', '試料', 'probe 🔬✨', "it's (1) [2]", 'a.b.c', '%20 & #']


@pytest.mark.parametrize('name', NAMES)
def test_names_of_every_kind(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    files = [write_spectra(folder / f'{name} {tilt:+d}deg.hspy', counts(k)) for k, tilt in enumerate((30, -10))]
    for chosen in (folder, files):
        series = load_tilt_series(chosen)
        assert series.angles.tolist() == [-10, 30]
        np.testing.assert_array_equal(series.counts[1].compute(), counts(0))
    maps = tmp_path / f'{name} maps'
    maps.mkdir()
    for level, element in enumerate(('Fe', 'O')):
        write_maps(maps / f'{name} {element}.tif', np.full((3, 6, 8), level + 1, np.float32))
    assert load_tilt_series(maps, [-1, 0, 1]).channels == ('Fe', 'O')
    files[0].write_bytes(b'')
    with pytest.raises(InputError) as caught:
        load_tilt_series(folder)
    assert str(caught.value).startswith(f'{name} +30deg.hspy is empty')


class Removing(Observer):
    """Removes a file once the first has been opened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def report(self, progress):
        self._path.unlink(missing_ok=True)


def test_a_file_that_vanishes_while_the_series_is_opened(tmp_path):
    files = [write_spectra(tmp_path / f'{tilt}.hspy', counts()) for tilt in (-10, 0, 10)]
    with pytest.raises(InputError, match=r'There is no file .*10\.hspy; check the path'):
        load_tilt_series(tmp_path, observer=Removing(files[2]))


def test_files_that_vanish_after_they_were_opened_or_listed(tmp_path, monkeypatch):
    import napari_diptomo.series.reading.tilt_series as opening

    files = [write_spectra(tmp_path / f'{tilt}.hspy', counts()) for tilt in (-10, 10)]
    series = load_tilt_series(tmp_path)
    files[1].unlink()
    with pytest.raises(InputError, match=r'There is no file .*10\.hspy'):
        series.counts.compute()
    stack = write_maps(tmp_path / 'Fe.tif', np.ones((3, 6, 8), np.float32))
    listed = find_files([str(stack)])
    stack.unlink()
    monkeypatch.setattr(opening, 'find_files', lambda paths, without=(): listed)
    with pytest.raises(InputError, match=r'Fe\.tif'):
        load_tilt_series(stack, [-1, 0, 1])


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    write_spectra(tmp_path / '10.hspy', counts())
    (tmp_path / '-10.hspy').symlink_to(tmp_path / 'gone.hspy')
    with pytest.raises(InputError, match=r'-10\.hspy'):
        load_tilt_series(tmp_path)


@pytest.mark.parametrize(('prefix', 'suffix'), [('GST_', '.bcf'), ('SI 12 kx_', '.dm4'), ('', '.hspy')])
def test_a_folder_of_two_thousand_files_is_listed_at_once(tmp_path, prefix, suffix):
    for number in range(2000):
        (tmp_path / f'{prefix}{0.05 * number - 50:+.2f}deg{suffix}').touch()
    (tmp_path / 'angles.csv').write_text(''.join(f'{p.name},{k / 20}\n' for k, p in enumerate(tmp_path.iterdir())))
    found = find_files([str(tmp_path)])
    specimens = specimens_in(found.data)
    assert len(found.data) == 2000 and specimens == () and len(found.tables) == 1


def test_no_file_is_opened_more_often_than_for_its_header_and_once_for_its_counts(tmp_path):
    for tilt in (-10, 0, 10):
        write_spectra(tmp_path / f'{tilt}.hspy', counts())
    read: Counter[str] = Counter()
    current_file.listen(lambda path: read.update([path.name]))
    try:
        series = load_tilt_series(tmp_path)
        # Whether it is a result of this program, its layout, and its header.
        assert set(read.values()) == {3}
        series.counts.compute()
        assert set(read.values()) == {4}
    finally:
        current_file._listeners.pop()
