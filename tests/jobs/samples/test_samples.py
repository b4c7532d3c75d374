from __future__ import annotations

import errno
import json
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_diptomo.cli import app
from napari_diptomo.jobs.samples import archives, fetch, fetched, published, published_sample, published_samples
from napari_diptomo.jobs.samples import fetch as fetch_function
from napari_diptomo.series import Cancelled, InputError, Observer, Request, load_tilt_series

fetching = __import__('importlib').import_module('napari_diptomo.jobs.samples.fetch')


class Watcher(Observer):
    def __init__(self, cancel_at=None):
        self.seen, self._cancel_at = [], cancel_at

    def report(self, progress):
        self.seen.append((progress.iteration, progress.total, progress.message))

    def request(self):
        stop = self._cancel_at is not None and len(self.seen) >= self._cancel_at
        return Request.CANCEL if stop else Request.GO


@pytest.fixture
def small(manifest):
    return published_sample('small')


def size_of(folder, name='SET_Ge_proj.tif.part'):
    return (folder / name).stat().st_size


def test_it_is_fetched_checked_and_opens_as_a_tilt_series(small, site):
    watcher = Watcher()
    folder = fetch(small, accepted=True, observer=watcher)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == site.files
    last = watcher.seen[-1]
    assert max(total for _, total, _ in watcher.seen) == 126 and last[0] <= last[1]
    series = load_tilt_series(folder, **small.reading)
    assert set(series.channels) == {'Ti', 'Ge', 'Sb', 'Te'}
    assert len(series.angles) == 16 and series.angles[-1] == 40
    ge = series.data[series.channels.index('Ge')]
    assert ge[:, 20, 20].mean() == pytest.approx(2.05, abs=0.05)


def test_what_is_here_is_neither_fetched_nor_asked_for_again(small, site):
    fetch(small, accepted=True)
    asked = len(site.asked)
    assert fetched(small)
    fetch(small)
    assert len(site.asked) == asked


def test_the_licence_comes_first(small, site):
    with pytest.raises(InputError, match=r'published under CC BY 4.0; accept the licence'):
        fetch(small)
    assert site.asked == []


def test_a_break_is_resumed_where_it_ended(small, site, tmp_path):
    name = 'SET_Ti_proj.tif'
    site.mode = 'breaks'
    with pytest.raises(InputError, match=r'no connection to 127.0.0.1:\d+; .* are kept, and it continues from there'):
        fetch(small, tmp_path / 'here', accepted=True)
    half = size_of(tmp_path / 'here', f'{name}.part')
    # What of the last bytes read at once had come is lost with the connection.
    assert half == len(site.files[name]) // 2 // fetching._CHUNK * fetching._CHUNK > 0
    site.mode = 'honest'
    fetch(small, tmp_path / 'here', accepted=True)
    assert (name, half) in site.asked
    assert (tmp_path / 'here' / name).read_bytes() == site.files[name]
    assert not list((tmp_path / 'here').glob('*.part'))


def test_a_server_without_ranges_begins_anew(small, site, tmp_path):
    site.mode = 'breaks'
    with pytest.raises(InputError):
        fetch(small, tmp_path, accepted=True)
    site.mode = 'no ranges'
    fetch(small, tmp_path, accepted=True)
    assert fetched(small, tmp_path)


def test_a_part_that_is_longer_than_the_file_is_thrown_away(small, site, tmp_path):
    (tmp_path / 'SET_Ti_proj.tif.part').write_bytes(bytes(10**6))
    fetch(small, tmp_path, accepted=True)
    assert fetched(small, tmp_path)


def test_cancel_keeps_what_has_come(small, site, tmp_path):
    with pytest.raises(Cancelled):
        fetch(small, tmp_path, accepted=True, observer=Watcher(cancel_at=1))
    kept = size_of(tmp_path, 'SET_Ti_proj.tif.part')
    assert kept == fetching._CHUNK
    fetch(small, tmp_path, accepted=True)
    assert ('SET_Ti_proj.tif', kept) in site.asked


def test_another_checksum_is_refused_and_the_file_removed(small, site, tmp_path):
    site.mode = 'other file'
    with pytest.raises(InputError, match=r'is not the file that was published .* fetch it again'):
        fetch(small, tmp_path, accepted=True)
    assert list(tmp_path.glob('SET*')) == []
    site.mode = 'honest'
    fetch(small, tmp_path, accepted=True)


def test_a_part_of_another_file_does_not_poison_the_next_attempt(small, site, tmp_path):
    (tmp_path / 'SET_Ti_proj.tif.part').write_bytes(b'x' * 1000)
    with pytest.raises(InputError, match='not the file that was published'):
        fetch(small, tmp_path, accepted=True)
    fetch(small, tmp_path, accepted=True)
    assert fetched(small, tmp_path)


@pytest.mark.parametrize('mode', ['page', 'page in disguise'])
def test_a_page_of_a_proxy_is_recognised(small, site, tmp_path, mode):
    site.mode = mode
    with pytest.raises(InputError, match=r'A web page came in place of SET_Ti_proj.tif, as from a proxy'):
        fetch(small, tmp_path, accepted=True)
    assert not (tmp_path / 'SET_Ti_proj.tif').exists()
    site.mode = 'honest'
    fetch(small, tmp_path, accepted=True)


@pytest.mark.parametrize(('mode', 'sentence'), [('404', r'status 404\); try later'), ('407', 'set HTTPS_PROXY')])
def test_a_server_that_refuses_is_one_sentence(small, site, tmp_path, mode, sentence):
    site.mode = mode
    with pytest.raises(InputError, match=sentence):
        fetch(small, tmp_path, accepted=True)


def test_without_a_network_one_sentence(small, site, tmp_path):
    site.shutdown()
    site.server_close()
    with pytest.raises(
        InputError, match=r'^There is no connection to 127.0.0.1:\d+; check the network and try again\.$'
    ):
        fetch(small, tmp_path, accepted=True)


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(small, site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching.shutil, 'disk_usage', lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r'takes 0.126 MB, and the disk of .* has 0.001 MB free; free some space'):
        fetch(small, tmp_path, accepted=True)
    assert site.asked == []


def test_a_disk_that_fills_on_the_way_keeps_what_has_come(small, site, tmp_path, monkeypatch):
    real, written = fetching._Download._write, []

    def full(self, response, here, total):
        class Full:
            headers = response.headers

            def iter_content(self, size):
                for chunk in response.iter_content(size):
                    written.append(len(chunk))
                    if len(written) > 1:
                        raise OSError(errno.ENOSPC, 'No space left on device')
                    yield chunk

        real(self, Full(), here, total)

    monkeypatch.setattr(fetching._Download, '_write', full)
    with pytest.raises(InputError, match=r'is full; free some space and fetch again, which continues SET_Ti_proj\.tif'):
        fetch(small, tmp_path, accepted=True)
    assert size_of(tmp_path, 'SET_Ti_proj.tif.part') == written[0]
    monkeypatch.setattr(fetching._Download, '_write', real)
    fetch(small, tmp_path, accepted=True)


def test_a_folder_that_cannot_be_made_is_one_sentence(small, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='cannot be made'):
        fetch(small, tmp_path / 'file' / 'below', accepted=True)


def test_the_manifest_of_this_version_is_whole():
    samples = {one.key: one for one in published_samples()}
    assert set(samples) == {'gst-memory', 'fused-multimodal'}
    fused = samples['fused-multimodal']
    assert fused.size == 1_183_315_114 and 'CC BY 4.0' in fused.licence
    fused.check_fetchable()
    assert all(file.url.startswith('https://') for one in samples.values() for file in one.files)


def test_what_nobody_has_checked_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, 'ARCHIVES', ())
    sample = published_sample('gst-memory')
    if all(file.checksum for file in sample.files) and sample.licence:
        pytest.skip('the checksums have been recorded')
    with pytest.raises(InputError, match=r'gst-memory is not fetched, since .* not recorded in this version; download'):
        fetch_function(sample, tmp_path, accepted=True)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        ({'name': '../x.tif'}, 'plain file name'),
        ({'url': 'http://example.org/x.tif'}, 'give one with https'),
        ({'url': 'file:///etc/passwd'}, 'give one with https'),
        ({'checksum': 'sha256:12'}, 'give sha256:, md5: or git:'),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(manifest, change, sentence):
    values = json.loads(manifest.read_text())
    values['samples'][0]['files'][0].update(change)
    manifest.write_text(json.dumps(values))
    with pytest.raises(InputError, match=sentence):
        published_samples()


def test_the_tool_of_the_maintainers_records_what_was_fetched(manifest, site):
    import importlib.util
    from pathlib import Path

    values = json.loads(manifest.read_text())
    for file in values['samples'][0]['files']:
        file.update(bytes=None, checksum='')
    values['samples'][0]['licence'] = ''
    wanted = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(values))
    spec = importlib.util.spec_from_file_location('record_sample', Path(__file__).parents[3] / 'tools/record_sample.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.record('small', 'CC BY 4.0', manifest)
    assert json.loads(manifest.read_text()) == wanted


def test_the_command_shows_the_licence_and_fetches_when_it_is_accepted(manifest, site, tmp_path):
    listed = CliRunner().invoke(app, ['sample'])
    assert 'small' in listed.stdout and 'CC BY 4.0' in listed.stdout
    refused = CliRunner().invoke(app, ['sample', 'small'])
    assert refused.exit_code == 1 and 'Licence: CC BY 4.0' in refused.stdout and 'add --yes' in refused.stderr
    assert site.asked == []
    done = CliRunner().invoke(app, ['sample', 'small', '--yes'])
    assert done.exit_code == 0, done.output
    assert 'The files are in' in done.stdout
    assert fetched(published_sample('small'))
    unknown = CliRunner().invoke(app, ['sample', 'large'])
    assert 'no published sample large; choose among small' in unknown.stderr


def test_values_of_a_real_series_arrive(small, site):
    folder = fetch(small, accepted=True)
    assert np.isfinite(load_tilt_series(folder, **small.reading).data).all()
    assert published.MANIFEST.name == 'manifest.json'


def test_the_memory_device_has_the_angles_and_pixels_of_its_publication():
    reading = published_sample('gst-memory').reading
    assert set(range(-40, 45, 5)) - set(reading['angles']) == {5} and len(reading['angles']) == 16
    assert reading['pixel_size'] == 1.067


def test_files_named_as_those_of_the_memory_device_open_as_its_entry_says(site, tmp_path):
    for name, data in site.files.items():
        if name.startswith('SET'):
            (tmp_path / name).write_bytes(data)
    maps = load_tilt_series(tmp_path, **published_sample('gst-memory').reading)
    assert set(maps.channels) == {'Ti', 'Ge', 'Sb', 'Te'} and maps.pixel_size == pytest.approx(1.067)
    assert tuple(maps.angles) == tuple(angle for angle in range(-40, 45, 5) if angle != 5)
