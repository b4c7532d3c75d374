"""TIFF as other programs write it: compressed, and with units in their spellings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_diptomo.series import InputError, load_tilt_series

COUNTS = np.random.default_rng(5).poisson(4, (3, 6, 9))
ANGLES = [-20.0, 0.0, 20.0]


def by_pillow(path: Path, kind: str, compression: str, images=COUNTS) -> Path:
    first, *others = [Image.fromarray(image.astype(kind)) for image in images]
    first.save(path, save_all=True, append_images=others, compression=compression)
    return path


@pytest.mark.parametrize('kind', ['uint8', 'uint16', 'float32'])
@pytest.mark.parametrize('compression', ['tiff_lzw', 'packbits', 'tiff_adobe_deflate'])
def test_compressed_without_loss(tmp_path, kind, compression):
    path = by_pillow(tmp_path / 'Fe.tif', kind, compression)
    series = load_tilt_series(path, angles=ANGLES, pixel_size=1.0)
    np.testing.assert_array_equal(series.data[0], COUNTS)


def test_one_image_compressed_by_lzw(tmp_path):
    path = by_pillow(tmp_path / 'Fe.tif', 'uint8', 'tiff_lzw', COUNTS[:1])
    np.testing.assert_array_equal(load_tilt_series(path, angles=[0.0], pixel_size=1.0).data[0], COUNTS[:1])


def test_what_needs_a_package_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr('napari_diptomo.series.reading.tiff_stacks.find_spec', lambda name: None)
    with pytest.raises(InputError, match=r'Fe\.tif is compressed by JPEG, which needs the package imagecodecs'):
        load_tilt_series(by_pillow(tmp_path / 'Fe.tif', 'uint8', 'jpeg'), angles=ANGLES, pixel_size=1.0)


@pytest.mark.parametrize(
    ('unit', 'nm'),
    [
        ('nanometers', 1.0),
        ('nanometres', 1.0),
        ('micrometers', 1e3),
        ('\\u00B5m', 1e3),
        ('\\u03BCm', 1e3),
        ('\\u00C5', 0.1),
        ('Angstroms', 0.1),
        ('metres', 1e9),
    ],
)
def test_units_of_imagej_in_any_spelling(tmp_path, unit, nm):
    per_pixel = nm / 2.0
    tifffile.imwrite(
        tmp_path / 'Fe.tif',
        COUNTS.astype('f4'),
        imagej=True,
        resolution=(per_pixel, per_pixel),
        metadata={'axes': 'ZYX', 'unit': unit},
    )
    assert load_tilt_series(tmp_path / 'Fe.tif', angles=ANGLES).pixel_size == pytest.approx(2.0, rel=1e-3)
