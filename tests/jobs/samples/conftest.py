"""A server on this machine that publishes a small series of the layout of the real one, and misbehaves when asked to."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading

import numpy as np
import pytest
import tifffile

from napari_diptomo.jobs.samples import archives, published

ELEMENTS = ('Ti', 'Ge', 'Sb', 'Te')


class Site(http.server.ThreadingHTTPServer):
    """Files by name; ``mode`` says how it answers."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(('127.0.0.1', 0), Handler)
        self.files = files
        self.mode = 'honest'
        self.asked = []
        self.records = {}

    @property
    def address(self):
        return f'http://127.0.0.1:{self.server_address[1]}'


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        if self.path in self.server.records:
            return self._record()
        name, mode = self.path.partition('?')[0].rpartition('/')[2], self.server.mode
        begins = self.headers.get('Range', 'bytes=0-').removeprefix('bytes=').rstrip('-')
        self.server.asked.append((name, int(begins)))
        if mode == 'page':
            return self._answer(
                200, b'<!DOCTYPE html><html><body>Please log in</body></html>', 'text/html; charset=utf-8'
            )
        if mode == 'page in disguise':
            return self._answer(200, b'\n<HTML><body>Please log in</body></HTML>', 'application/octet-stream')
        if mode in ('404', '407'):
            return self._answer(int(mode), b'', 'text/plain')
        data = self.server.files[name]
        if mode == 'other file':
            data = data[::-1]
        start = 0 if mode == 'no ranges' else int(begins)
        if start >= len(data):
            return self._answer(416, b'', 'text/plain')
        headers = {'Content-Range': f'bytes {start}-{len(data) - 1}/{len(data)}'} if start else {}
        end = (start + len(data)) // 2 if mode == 'breaks' else len(data)
        return self._answer(206 if start else 200, data[start:end], 'image/tiff', len(data) - start, headers)

    def _record(self):
        body, mode = self.server.records[self.path], self.server.mode
        self.server.asked.append((self.path, 0))
        if mode == 'record: page':
            return self._answer(200, b'<!DOCTYPE html><html><body>Please log in</body></html>', 'text/html')
        if mode == 'record: 403':
            return self._answer(403, b'{"message": "API rate limit exceeded"}', 'application/json')
        if mode == 'record: elsewhere' and self.headers['Host'].startswith('127'):
            address = f'http://localhost:{self.server.server_address[1]}{self.path}'
            return self._answer(302, b'', 'text/plain', headers={'Location': address})
        if mode == 'record: endless':
            body = b' ' * 5_000_000
        return self._answer(200, body, 'application/json')

    def _answer(self, status, body, kind, length=None, headers=()):
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body) if length is None else length))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


@pytest.fixture
def site():
    """Stacks of 16 tilts of four elements, named as the authors name them, and a table of the angles."""
    rng, files = np.random.default_rng(0), {}
    for level, element in enumerate(ELEMENTS, start=1):
        stack = np.zeros((16, 48, 40), np.float32)
        stack[:, 8:40, 10:30] = level
        file = io.BytesIO()
        tifffile.imwrite(file, stack + rng.random(stack.shape, np.float32) / 10)
        files[f'SET_{element}_proj.tif'] = file.getvalue()
    angles = [angle for angle in range(-40, 45, 5) if angle != 5]
    files['angles.txt'] = '\n'.join(map(str, angles)).encode()
    server = Site(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def manifest(site, tmp_path, monkeypatch):
    """A manifest of this server in the place of that of the version."""
    files = [
        {
            'name': name,
            'url': f'{site.address}/{name}',
            'bytes': len(data),
            'checksum': f'sha256:{hashlib.sha256(data).hexdigest()}',
        }
        for name, data in site.files.items()
    ]
    sample = {
        'key': 'small',
        'title': 'A small device',
        'about': 'As published.',
        'page': 'https://example.org/small',
        'licence': 'CC BY 4.0',
        'reading': {'pixel_size': 1.0},
        'files': files,
    }
    path = tmp_path / 'manifest.json'
    path.write_text(json.dumps({'samples': [sample]}))
    monkeypatch.setattr(published, 'MANIFEST', path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    for name in ('HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy', 'ALL_PROXY', 'all_proxy'):
        monkeypatch.delenv(name, raising=False)
    return path


def zenodo_record(files):
    """Record of a publication as https://zenodo.org/api/records/7 gives it."""
    entries = [
        {
            'id': f'{number}',
            'key': name,
            'size': len(data),
            'checksum': f'md5:{hashlib.md5(data).hexdigest()}',
            'links': {'self': f'https://zenodo.org/api/records/7/files/{name}/content'},
        }
        for number, (name, data) in enumerate(files.items())
    ]
    return {'id': 7, 'metadata': {'license': {'id': 'cc-by-4.0'}}, 'files': entries}


def github_record(files):
    """Contents of a folder as https://api.github.com/repos/OWNER/NAME/contents/FOLDER gives them."""
    entries = [
        {
            'name': name,
            'path': f'Data/{name}',
            'type': 'file',
            'size': len(data),
            'sha': hashlib.sha1(b'blob %d\0' % len(data) + data).hexdigest(),
        }
        for name, data in files.items()
    ]
    return [{'name': 'old', 'path': 'Data/old', 'type': 'dir', 'size': 0, 'sha': '0' * 40}, *entries]


KINDS = {
    'zenodo': ('records/7/files/{}?download=1', '/api/records/7', zenodo_record),
    'github': (f'owner/name/{"a" * 40}/Data/{{}}', f'/repos/owner/name/contents/Data/?ref={"a" * 40}', github_record),
}


@pytest.fixture(params=KINDS)
def archive(site, manifest, monkeypatch, request):
    """The server in the place of an archive that states checksums, and a manifest that has none."""
    files, record, make = KINDS[request.param]
    values = json.loads(manifest.read_text())
    for file in values['samples'][0]['files']:
        file.update(url=f'{site.address}/{files.format(file["name"])}', bytes=None, checksum='')
    manifest.write_text(json.dumps(values))
    site.records[record] = json.dumps(make(site.files)).encode()
    hosts = ('https://zenodo.org', 'https://api.github.com')
    patterns = (r'https://zenodo\.org', r'https://raw\.githubusercontent\.com')
    local = []
    for one, pattern, host in zip(archives.ARCHIVES, patterns, hosts, strict=True):
        file, address = one.file.replace(pattern, site.address), one.record.replace(host, site.address)
        assert site.address in file and site.address in address
        local.append(archives.Archive(file, address, one.read))
    monkeypatch.setattr(archives, 'ARCHIVES', tuple(local))
    return site
