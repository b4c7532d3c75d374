"""Record sizes and checksums of a published sample in its manifest: for maintainers, with the network.

``python tools/record_sample.py gst-memory --licence "CC BY 4.0"`` fetches every file of the sample once, writes its size
and SHA-256 into ``published.json``, and the licence where one is given. Look at the files before committing it: from
then on everybody gets exactly these.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import pooch

from napari_diptomo.jobs.samples.published import MANIFEST, published_samples


def record(key: str, licence: str | None, manifest: Path = MANIFEST) -> None:
    """Fetch the files of one sample and write what they are into the manifest."""
    values = json.loads(manifest.read_text(encoding='utf-8'))
    (sample,) = (one for one in values['samples'] if one['key'] == key)
    with tempfile.TemporaryDirectory() as folder:
        for file in sample['files']:
            path = Path(pooch.retrieve(file['url'], None, file['name'], folder))
            file['bytes'] = path.stat().st_size
            file['checksum'] = f'sha256:{pooch.file_hash(str(path))}'
    if licence is not None:
        sample['licence'] = licence
    manifest.write_text(json.dumps(values, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    published_samples(manifest)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('key')
    parser.add_argument('--licence')
    arguments = parser.parse_args()
    record(arguments.key, arguments.licence)
