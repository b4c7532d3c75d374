"""Samples of which no checksum is recorded: the archive states one, against a server of the layout of the archives."""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from napari_diptomo.cli import app
from napari_diptomo.jobs.samples import (
    archives,
    checked_by_archive,
    fetch,
    fetched,
    published_sample,
    published_samples,
)
from napari_diptomo.series import Cancelled, InputError, Observer, Request

NAME = 'SET_Ti_proj.tif'


class CancelAtOnce(Observer):
    def request(self):
        return Request.CANCEL


def records_asked(site):
    return [name for name, _ in site.asked if name in site.records]


def change_record(site, change):
    ((path, body),) = site.records.items()
    values = json.loads(body)
    change(values['files'] if isinstance(values, dict) else values)
    site.records[path] = json.dumps(values).encode()


def test_the_checksum_that_the_archive_states_is_read_once_and_checked(archive, tmp_path):
    sample = checked_by_archive(published_sample('small'))
    assert [file.size for file in sample.files] == [len(data) for data in archive.files.values()]
    today = datetime.date.today().isoformat()
    assert {file.stated_by for file in sample.files} == {f'{archive.address.removeprefix("http://")}, {today}'}
    folder = fetch(published_sample('small'), tmp_path / 'here', accepted=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != '.'} == archive.files
    assert len(records_asked(archive)) == 2, 'four files and a table, one record'


def test_what_was_checked_once_is_at_hand_without_a_network(archive, tmp_path):
    fetch(published_sample('small'), tmp_path, accepted=True)
    archive.shutdown()
    archive.server_close()
    assert fetched(published_sample('small'), tmp_path)
    assert fetch(published_sample('small'), tmp_path) == tmp_path
    (tmp_path / NAME).write_bytes(b'changed')
    assert not fetched(published_sample('small'), tmp_path)
    (tmp_path / '.archive.json').write_text('{"SET_Ti_proj.tif": 3')
    assert not fetched(published_sample('small'), tmp_path)


def test_the_licence_comes_before_the_files(archive):
    with pytest.raises(InputError, match='accept the licence'):
        fetch(published_sample('small'))
    assert [name for name, _ in archive.asked] == records_asked(archive)


def test_a_file_that_the_archive_describes_otherwise_is_refused_and_removed(archive, tmp_path):
    archive.mode = 'other file'
    with pytest.raises(InputError, match=f'{NAME} is not the file that was published .* fetch it again'):
        fetch(published_sample('small'), tmp_path, accepted=True)
    assert list(tmp_path.glob('*SET*')) == [] and not fetched(published_sample('small'), tmp_path)


def test_a_wrong_file_that_is_here_already_is_replaced(archive, tmp_path):
    (tmp_path / NAME).write_bytes(b'another')
    fetch(published_sample('small'), tmp_path, accepted=True)
    assert (tmp_path / NAME).read_bytes() == archive.files[NAME]


def test_a_break_and_a_cancel_are_resumed(archive, tmp_path):
    archive.mode = 'breaks'
    with pytest.raises(InputError, match='are kept, and it continues from there'):
        fetch(published_sample('small'), tmp_path, accepted=True)
    half = (tmp_path / f'{NAME}.part').stat().st_size
    archive.mode = 'honest'
    with pytest.raises(Cancelled):
        fetch(published_sample('small'), tmp_path, accepted=True, observer=CancelAtOnce())
    kept = (tmp_path / f'{NAME}.part').stat().st_size
    assert 0 < half < kept
    fetch(published_sample('small'), tmp_path, accepted=True)
    assert (NAME, kept) in archive.asked and fetched(published_sample('small'), tmp_path)


@pytest.mark.parametrize(
    ('mode', 'reason'),
    [
        (
            'record: page',
            'what came in place of the record of 127.0.0.1:[0-9]+ is none, as from a proxy or a log-in page',
        ),
        ('record: 403', r'127.0.0.1:[0-9]+ does not give its record \(status 403\)'),
        ('record: elsewhere', '127.0.0.1:[0-9]+ leads to localhost:[0-9]+ for its record'),
        ('record: endless', 'what came in place of the record .* is none'),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_in_one_sentence(archive, tmp_path, mode, reason):
    archive.mode = mode
    with pytest.raises(InputError) as error:
        fetch(published_sample('small'), tmp_path, accepted=True)
    sentence = str(error.value)
    assert re.search(
        rf'^small is not fetched: the checksum of {NAME} is not recorded in this version, and {reason}', sentence
    )
    assert sentence.endswith('; download it from https://example.org/small and open the folder.')
    assert list(tmp_path.glob('*SET*')) == []


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda entries: entries.clear(), 'has no such file'),
        (lambda entries: [entry.update(checksum='none', sha='none') for entry in entries], 'states is no checksum'),
        (lambda entries: [entry.pop('size') for entry in entries], 'is none, as from a proxy'),
    ],
)
def test_a_record_without_the_file_or_its_checksum_is_refused(archive, tmp_path, change, reason):
    change_record(archive, change)
    with pytest.raises(InputError, match=reason):
        fetch(published_sample('small'), tmp_path, accepted=True)


def test_without_a_network_the_refusal_names_the_page(archive, tmp_path):
    archive.shutdown()
    archive.server_close()
    with pytest.raises(
        InputError, match=r'there is no connection to 127.0.0.1:\d+ to read its record; download it from'
    ):
        fetch(published_sample('small'), tmp_path, accepted=True)


def test_where_the_address_is_of_no_such_archive_it_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, 'ARCHIVES', ())
    with pytest.raises(InputError, match=f'^small is not fetched, since the checksum of {NAME} is not recorded'):
        fetch(published_sample('small'), tmp_path, accepted=True)
    assert archive.asked == []


def test_a_licence_that_only_the_archive_states_is_shown(archive):
    sample = checked_by_archive(replace(published_sample('small'), licence=''))
    assert sample.licence == ('cc-by-4.0' if '/api/records/7' in archive.records else '')


def test_the_command_says_whose_checksums_they_are(archive):
    refused = CliRunner().invoke(app, ['sample', 'small'])
    assert refused.exit_code == 1 and 'those that the archive states today (127.0.0.1:' in refused.stdout
    done = CliRunner().invoke(app, ['sample', 'small', '--yes'])
    assert done.exit_code == 0, done.output
    assert fetched(published_sample('small'))


def test_the_files_of_this_version_without_checksums_are_of_archives_that_state_them():
    for sample in published_samples():
        assert sample.licence
        for file in sample.files:
            known = [one for one in archives.ARCHIVES if re.fullmatch(one.file, file.url)]
            assert file.checksum or len(known) == 1, file.url
