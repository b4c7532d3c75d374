"""Specimens that extend beyond the field of view are named and their thickness is found; those that end within it are not.

A slab of Gaussian blobs has projections in closed form: the blob at (x, y, z) falls at u = x cos t + z sin t, v = y.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo.align import Align
from napari_diptomo.align.extended_specimen import extended_findings, extended_specimen
from napari_diptomo.align.slab_thickness import slab_thickness
from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.reconstruct.field_edges import edges_of
from napari_diptomo.series import Finding, MapSeries, step_from_dict
from napari_diptomo.simulate import facetted, interdiffusion, lamella, needle, porous, project

ANGLES = np.arange(-40.0, 41.0, 5.0)
SIZE = 48
STILL = np.zeros((len(ANGLES), 2))


def slab(thickness, *, seed=0, height=0.0, through=False, angles=ANGLES):
    """Expected images (tilt, y, x) of blobs of both signs on an even slab wider than the field; ``through``: columns along z."""
    rng = np.random.default_rng(seed)
    number = 30 if through else 500
    x, y = rng.uniform(-SIZE, SIZE, (2, number))
    z = rng.uniform(-thickness / 2, thickness / 2, number)
    width, amount = rng.uniform(1.2, 2.5, number), rng.choice([-1.0, 1.0], number) * rng.uniform(0.3, 1, number)
    if through:
        planes = (np.arange(24) + 0.5) / 24 - 0.5
        x, y, width, amount = (np.repeat(a, 24) for a in (x, y, width, amount))
        z = np.tile(planes * thickness, number)
    pixels = np.arange(SIZE) - (SIZE - 1) / 2
    images = np.empty((len(angles), SIZE, SIZE))
    for image, t in zip(images, np.deg2rad(angles), strict=True):
        u = x * np.cos(t) + (z + height) * np.sin(t)
        along_x = np.exp(-((pixels - u[:, None]) ** 2) / (2 * width[:, None] ** 2))
        along_y = np.exp(-((pixels - y[:, None]) ** 2) / (2 * width[:, None] ** 2))
        image[:] = np.einsum('n,ny,nx->yx', amount, along_y, along_x)
    contrast = 0.3 * images / images.std()
    return np.maximum(1 + contrast, 0.05) / np.cos(np.deg2rad(angles))[:, None, None]


def counted(images, peak, seed=0):
    counts = np.random.default_rng(seed).poisson(peak * images / images.max())
    return counts if counts.ndim == 4 else counts[None]


def maps_of(images, peak=30.0, seed=0, **more):
    counts = counted(images, peak, seed)
    return MapSeries(counts, ANGLES, tuple('ABC'[: len(counts)]), 2.0, **more)


def proposal(maps) -> Finding | None:
    found = extended_findings(maps, extended_specimen(maps))
    return found[0] if found else None


@pytest.mark.parametrize('peak', [30, 5])
@pytest.mark.parametrize('through', [False, True])
@pytest.mark.parametrize('thickness', [5.0, 12.0, 24.0])
def test_the_thickness_of_a_slab_lies_within_its_error(thickness, through, peak):
    counts = counted(slab(thickness, seed=int(thickness), through=through), peak)[0]
    found = slab_thickness(counts, np.maximum(counts, 0.1), ANGLES, STILL, np.full(len(ANGLES), 0.1))
    assert abs(found.thickness - thickness) < 2 * found.error
    assert found.error < (0.6 if peak == 30 else 1.0) * found.thickness + 1


def test_the_height_of_a_slab_is_found():
    images = 30 * slab(8.0, height=5.0)
    found = slab_thickness(images, images, ANGLES, STILL, np.full(len(ANGLES), 0.1))
    assert found.height == pytest.approx(5.0, abs=2.0)
    moved = STILL.copy()
    moved[:, 1] = 5.0 * np.sin(np.deg2rad(ANGLES))
    assert slab_thickness(images, images, ANGLES, moved, np.full(len(ANGLES), 0.1)).height == pytest.approx(0, abs=2.0)


@pytest.mark.parametrize('peak', [30, 5])
def test_a_slab_beyond_the_field_is_proposed_with_its_thickness(peak):
    maps = maps_of(slab(12.0, seed=3), peak)
    finding = proposal(maps)
    assert finding is not None
    assert (finding.level, finding.about) == ('note', 'extended specimen')
    # A slab gains with 1 / cos: at 40 degrees 1 - cos(40) of the counts come from outside.
    assert finding.evidence['growth of the counts, exponent of 1 / cos'] == pytest.approx(1, abs=0.15)
    assert finding.evidence['counts from outside at the steepest tilt'] == pytest.approx(0.234, abs=0.04)
    step = step_from_dict({'step': finding.remedy.step, **finding.remedy.changes})
    assert step.beyond_field
    # In nm, 2 to the pixel: the slab is in it with a margin, and nowhere near the width of the images.
    assert 24 <= step.thickness < 0.75 * 2 * SIZE
    assert f'{step.thickness:g} nm' in finding.sentence


def test_thickness_counts_the_height_and_leaves_doubted_tilts_out():
    level, high = (proposal(maps_of(slab(8.0, seed=5, height=h))) for h in (0.0, 5.0))
    assert high.remedy.changes['thickness'] > level.remedy.changes['thickness'] + 8
    kept = np.ones(len(ANGLES), bool)
    kept[[2, 9]] = False
    images = slab(12.0, seed=3)
    images[~kept] = np.roll(images[~kept], 11, axis=2)
    doubted = maps_of(images, notes={'align': {'doubtful_angles': ANGLES[~kept].tolist()}})
    assert proposal(doubted).evidence['thickness, nm'] == pytest.approx(24, abs=10)


@pytest.mark.parametrize('peak', [30, 5])
@pytest.mark.parametrize('make', [lamella, porous, needle, facetted, interdiffusion])
def test_what_ends_within_the_field_is_not_proposed_wherever_it_sits(make, peak):
    """Also where it drifted partly out of some images: the volume holds it all the same."""
    phantom = make(32, 3)
    for jitter in (0.0, 7.0):
        shifts = np.random.default_rng(1).uniform(-jitter, jitter, (len(ANGLES), 2))
        maps = maps_of(project(phantom, ANGLES, shifts), peak, shifts=shifts)
        assert proposal(maps) is None


def test_a_drifted_particle_is_at_the_edge_of_images_and_not_of_the_field():
    shifts = STILL.copy()
    shifts[::2, 1], shifts[1::2, 1] = 9.0, -9.0
    maps = maps_of(project(lamella(32, 3), ANGLES, shifts))
    assert edges_of(maps).reached.any()
    assert not edges_of(replace(maps, shifts=shifts)).reached.any()


def test_a_drifted_slab_is_still_at_the_edge():
    shifts = STILL.copy()
    shifts[::2, 1], shifts[1::2, 1] = 4.0, -4.0
    edges = edges_of(maps_of(slab(12.0), shifts=shifts))
    assert edges.typical
    # Moved to high x an image shows beyond the edge at low x, and does not reach that at high x.
    assert edges.reached[::2].tolist() == [[True, False]] * 9
    assert edges.reached[1::2].tolist() == [[False, True]] * 8


def ball(radius):
    z, y, x = np.ogrid[-40:40, :SIZE, -40:40]
    return ((z + 0.5) ** 2 + (y - 23.5) ** 2 + (x + 0.5) ** 2 < radius**2)[None].astype(np.float32)


def test_a_body_cut_by_the_field_gets_no_thickness():
    """The middle of a ball shows as much at every tilt: it is no slab."""
    clean = ParallelBeam(ANGLES, (80, SIZE, 80), columns=SIZE).project(ball(36))
    finding = proposal(maps_of(clean))
    assert finding is not None
    assert dict(finding.remedy.changes) == {'beyond_field': True}
    assert 'thickness' not in finding.sentence


def test_a_particle_on_a_film_is_judged_by_the_film():
    clean = ParallelBeam(ANGLES, (80, SIZE, 80), columns=SIZE).project(ball(10))[0]
    film = 4 * slab(6.0, seed=7)
    maps = maps_of(np.stack([clean, film]), 60)
    assert edges_of(maps).channels.tolist() == [False, True]
    finding = proposal(maps)
    assert finding.evidence['growth of the counts, exponent of 1 / cos'] == pytest.approx(1, abs=0.1)
    assert 12 <= finding.remedy.changes['thickness'] < 50


def test_a_gain_that_drifts_is_no_growth():
    drift = 1 + 0.3 * np.sin(np.deg2rad(ANGLES))
    finding = proposal(maps_of(slab(12.0, seed=3) * drift[:, None, None]))
    assert finding.evidence['growth of the counts, exponent of 1 / cos'] == pytest.approx(1, abs=0.15)


def test_an_even_film_shows_no_thickness():
    even = np.ones((len(ANGLES), SIZE, SIZE)) / np.cos(np.deg2rad(ANGLES))[:, None, None]
    finding = proposal(maps_of(even))
    assert dict(finding.remedy.changes) == {'beyond_field': True}
    assert 'do not show its thickness' in finding.sentence


def test_a_turned_axis_is_taken_into_account():
    rng = np.random.default_rng(2)
    body = np.zeros((1, 14, SIZE + 30, 110), np.float32)
    body[:] = 1
    for _ in range(220):
        z, y, x = rng.integers(0, 12), rng.integers(0, SIZE + 28), rng.integers(0, 108)
        body[0, z : z + 3, y : y + 3, x : x + 3] = rng.choice([0.0, 2.0])
    beam = ParallelBeam(ANGLES, body.shape[1:], columns=SIZE + 20, axis_rotation=12.0)
    part = beam.project(body)[:, :, 15:-15, 10:-10]
    maps = maps_of(part, axis_rotation=12.0)
    assert proposal(maps).evidence['thickness, nm'] == pytest.approx(28, abs=16)


@pytest.mark.parametrize(('make', 'extended'), [(lambda: slab(12.0, seed=3), True), (None, False)])
def test_align_proposes_it(make, extended):
    images = make() if make else project(lamella(32, 3), ANGLES)
    aligned = Align(rounds=2).run(maps_of(images))
    found = [finding for finding in aligned.findings if finding.about == 'extended specimen']
    assert bool(found) is extended
    if extended:
        assert found[0].step == 'Align'
        assert found[0].remedy.changes['thickness'] < 2 * SIZE


def test_a_film_of_few_counts_is_no_background():
    """Two counts per pixel hide structure and growth from a test of all tilts at once; along 1 / cos the growth shows."""
    even = np.ones((len(ANGLES), SIZE, SIZE)) / np.cos(np.deg2rad(ANGLES))[:, None, None]
    assert edges_of(maps_of(even, 2)).typical
    assert proposal(maps_of(even, 2)) is not None
    level = maps_of(np.ones((len(ANGLES), SIZE, SIZE)), 2)
    assert not edges_of(level).reached.any()
    assert edges_of(level).background[0] == pytest.approx(1, abs=0.1)
