"""HAADF images that hold nothing: left out of what aligns, and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_diptomo import Align, HAADFSeries, MapSeries, simulate
from napari_diptomo.align.by_hand import corrected, judged
from napari_diptomo.align.tilt_shifts import tilt_shifts
from napari_diptomo.series import InputError, with_haadf
from napari_diptomo.series.haadf_pixels import usable_pixels

ANGLES = np.arange(-40.0, 41.0, 10.0)


def blank_series(blank: list[int], **changes: object) -> tuple[MapSeries, np.ndarray]:
    """Maps of few counts with images of which some hold nothing, and where the specimen sits in each."""
    drift = np.stack([np.linspace(0, 4, len(ANGLES)), np.zeros(len(ANGLES))], axis=1)
    simulated = simulate.tilt_series(simulate.lamella(32), ANGLES, shifts=drift)
    images = 100 + simulated.clean.sum(axis=0)
    images[blank] = 100.0
    maps = replace(simulated.maps, haadf=images, **changes)
    return maps, drift


def test_a_tilt_whose_image_holds_nothing_lies_between_its_neighbours() -> None:
    maps, drift = blank_series([5])
    found = Align(axis_rotation=0.0).run(maps)
    off = np.asarray(found.shifts)[:, 0] - drift[:, 0]
    assert np.ptp(off) < 0.5
    assert [f.level for f in found.findings if f'{ANGLES[5]:g}° holds nothing' in f.sentence] == ['doubt']
    scores = [row.score for row in tilt_shifts(found)]
    assert [i for i, score in enumerate(scores) if score is None] == [5]
    # What is done to it later has all tilts too.
    by_hand = np.zeros((len(ANGLES), 2))
    by_hand[5] = by_hand[3] = 1.0
    moved = judged(corrected(found, by_hand))
    np.testing.assert_allclose(moved.shifts - found.shifts, by_hand, atol=1e-9)
    assert [i for i, row in enumerate(tilt_shifts(moved)) if row.score is None] == [5]
    triples = tuple(float(v) for i in (3, 5) for v in (ANGLES[i], 1.0, 1.0))
    again = Align(axis_rotation=0.0, by_hand=triples).run(maps)
    np.testing.assert_allclose(again.shifts, moved.shifts, atol=1e-9)


def test_shifts_from_a_file_are_kept_for_it(tmp_path: Path) -> None:
    maps, drift = blank_series([5])
    table = tmp_path / 'shifts.csv'
    odd = drift[:, 0] + np.where(np.arange(len(ANGLES)) == 5, 3.0, 0.0)
    table.write_text('angle,dx,dy\n' + ''.join(f'{a},0,{d}\n' for a, d in zip(ANGLES, odd, strict=True)))
    found = Align(shifts_file=str(table), rounds=0).run(maps)
    np.testing.assert_allclose(found.shifts[:, 0], odd)


def test_images_of_a_series_of_their_own_without_contents_are_left_out() -> None:
    maps, _ = blank_series([])
    images = np.array(maps.haadf)
    images[[2, 5]] = np.array([0.0, 77.0])[:, None, None]
    missing = np.zeros(images.shape, bool)
    missing[2] = True
    beside = HAADFSeries(images, ANGLES, maps.pixel_size, missing=missing)
    found = Align(rounds=1).run(with_haadf(replace(maps, haadf=None), beside))
    assert len(found.haadf_series.angles) == len(ANGLES) - 2
    sentence = f'The images of the HAADF series at {ANGLES[2]:g}°, {ANGLES[5]:g}° hold nothing'
    assert sum(f.sentence.startswith(sentence) for f in found.findings) == 1
    # Nothing is left of it to be said by the fit.
    assert not any('holds nothing' in f.sentence for f in usable_pixels(found.haadf_series)[1])


def test_too_few_images_with_contents_are_an_error_that_names_them() -> None:
    maps, _ = blank_series(list(range(2, len(ANGLES))))
    with pytest.raises(InputError, match=r'HAADF images at .* hold nothing, which leaves 2 to align'):
        Align().run(maps)
    beside = HAADFSeries(maps.haadf, ANGLES, maps.pixel_size)
    with pytest.raises(InputError, match=r'images of the HAADF series at .* hold nothing .* leaves 2'):
        Align().run(with_haadf(replace(maps, haadf=None), beside))
    small = HAADFSeries(np.random.default_rng(0).random((len(ANGLES), 6, 6)), ANGLES, maps.pixel_size * 5)
    with pytest.raises(InputError, match='HAADF series: Images of 6 x 6 pixels are too small'):
        Align().run(with_haadf(replace(maps, haadf=None), small))
