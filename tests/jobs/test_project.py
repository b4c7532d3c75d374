"""The file of a project: what it says is taken as it is written, or refused in one sentence."""

from __future__ import annotations

import json

import pytest

from napari_diptomo.jobs.project import NAME, read_project
from napari_diptomo.series import InputError


def written(folder, version):
    (folder / NAME).write_text(json.dumps({'napari-diptomo project': version}))
    return folder


def test_a_project_of_this_version_is_read(tmp_path):
    project, folder = read_project(written(tmp_path, 1))
    assert project.format == 1 and folder == tmp_path


@pytest.mark.parametrize('version', [True, '1', 1.0, 0, None, [1]])
def test_a_version_that_is_no_whole_number_is_refused(tmp_path, version):
    with pytest.raises(InputError, match=r'is damaged \(.*napari-diptomo project|is not a project'):
        read_project(written(tmp_path, version))


def test_files_of_a_haadf_series_in_the_folder_move_with_it(tmp_path):
    from napari_diptomo.jobs.project import absolute_source, relative_source

    inside, table = tmp_path / 'images' / 'HAADF.tif', tmp_path / 'tilts.csv'
    source = {'paths': ['/elsewhere/Ge.tif'], 'haadf': [str(inside)], 'haadf_angles': str(table)}
    relative = relative_source(source, tmp_path)
    assert (relative['haadf'], relative['haadf_angles']) == (['images/HAADF.tif'], 'tilts.csv')
    assert absolute_source(relative, tmp_path)['haadf'] == [str(inside)]
