"""A folder with several specimens in the dock: they are listed, and one is chosen before it can be opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_diptomo.widgets.dock import TomographyDock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'zwei Proben'
    folder.mkdir()
    for level, name in enumerate(('SET_Ge', 'SET_Te', 'Virgin_Ge', 'Virgin_Te'), start=1):
        tifffile.imwrite(folder / f'{name}.tif', np.full((3, 6, 8), level, np.float32))
    (folder / 'angles.txt').write_text('-40\n0\n40\n')
    return folder


def test_a_specimen_is_chosen_before_the_folder_opens(dock: TomographyDock, folder: Path, settled: Any) -> None:
    page = dock.open_page
    page.add_paths([str(folder)])
    assert '2 specimens: SET (Ge, Te) and Virgin (Ge, Te)' in page.note.text()
    assert 'choose one' in page.obstacle()
    row = page.fields['specimen'].native
    assert page._rows.isRowVisible(row)
    page.fields['specimen'].value = 'Virgin'
    page.fields['pixel_size'].value = 2.0
    assert page.obstacle() == '' and page.source().specimen == 'Virgin'
    assert [Path(path).name for path in page.table.files()] == ['Virgin_Ge.tif', 'Virgin_Te.tif']
    dock.run_bar.run_button.click()
    settled(dock)
    assert dock.session.maps is not None and dock.session.maps.channels == ('Ge', 'Te')
    assert dock.session.maps.data[:, 0, 0, 0].tolist() == [3, 4]
    state = page.state()
    page.clear()
    assert page.fields['specimen'].value is None and not page._rows.isRowVisible(row)
    page.set_state(state)
    assert page.source().specimen == 'Virgin'


def test_the_specimen_of_a_recipe_is_taken_and_one_that_is_gone_is_asked_for(
    dock: TomographyDock, folder: Path
) -> None:
    page = dock.open_page
    page.add_paths([str(folder)])
    page.fields['specimen'].value = 'SET'
    source = page.source()
    page.clear()
    assert page.take_source(source) and page.source().specimen == 'SET'
    assert page.take_source(source.model_copy(update={'specimen': 'GST'})) and 'choose one' in page.obstacle()
