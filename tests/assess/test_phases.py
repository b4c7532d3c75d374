"""Phases and particles of bodies whose volumes, surfaces and thicknesses are known."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_diptomo import Composition
from napari_diptomo.assess.phases import (
    measure,
    particles_of,
    phase_by_threshold,
    phases_by_clustering,
    specimen_of,
    write_regions,
)
from napari_diptomo.series import InputError, Volume

SIDE, VOXEL = 56, 0.5


def radius_from(centre: tuple[float, float, float]) -> np.ndarray:
    return np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices((SIDE,) * 3), centre, strict=True)))


@pytest.fixture(scope='module')
def core_shell() -> tuple[Volume, np.ndarray]:
    """A core of 12 voxels radius with 80 % of the first element, a shell of 6 with 20 %, and noise."""
    radius = radius_from((27.5, 27.5, 27.5))
    labels = np.where(radius < 12, 1, np.where(radius < 18, 2, 0))
    fraction = np.array([0.0, 0.8, 0.2])[labels]
    total = 30.0 * (labels > 0)
    truth = np.stack([total * fraction, total * (1 - fraction)])
    return Volume(np.random.default_rng(0).poisson(truth), ('Fe', 'O'), VOXEL), labels


@pytest.fixture(scope='module')
def found(core_shell):
    return phases_by_clustering(core_shell[0])


def test_the_number_of_phases_is_found_and_their_fractions(core_shell, found):
    assert found.count == 2
    # The shell is the larger one.
    np.testing.assert_allclose(found.fractions, [[0.2, 0.8], [0.8, 0.2]], atol=0.05)
    assert found.names() == ('O Fe', 'Fe O')
    truth = core_shell[1]
    for label, true in ((1, 2), (2, 1)):
        assert (found.labels == label).sum() == pytest.approx((truth == true).sum(), rel=0.08, abs=0)
    assert ((found.labels == 2) == (truth == 1)).mean() > 0.98


def test_one_phase_is_one(core_shell):
    total = core_shell[0].data.sum(axis=0)
    even = np.random.default_rng(1).binomial(total.astype(int), 0.4)
    assert phases_by_clustering(Volume(np.stack([even, total - even]), ('a', 'b'))).count == 1


def test_a_wanted_number_of_phases(core_shell):
    assert phases_by_clustering(core_shell[0], count=3).count == 3


def test_volume_surface_and_thickness_of_spheres_and_shells(core_shell):
    volume, labels = core_shell
    core, shell = measure(labels, volume)
    assert core.volume == pytest.approx(4 / 3 * np.pi * 6.0**3, rel=0.01, abs=0)
    assert core.surface == pytest.approx(4 * np.pi * 6.0**2, rel=0.03, abs=0)
    assert core.diameter == pytest.approx(12.0, rel=0.01, abs=0)
    assert shell.surface == pytest.approx(4 * np.pi * (6.0**2 + 9.0**2), rel=0.03, abs=0)
    # 2 V / S of a spherical shell: (b - a) (a^2 + ab + b^2) 2 / 3 / (a^2 + b^2); half a voxel is 0.25 nm.
    assert shell.thickness == pytest.approx(2 / 3 * 3 * (36 + 54 + 81) / (36 + 81), abs=0.12)
    assert shell.thickness == pytest.approx(3.0, abs=0.25)
    assert not core.cut
    np.testing.assert_allclose(core.centre, 27.5 * VOXEL, atol=0.01)
    assert set(core.neighbours) == {2} and core.neighbours[2] == shell.neighbours[1]
    # Faces of voxels on a sphere are half as much again.
    assert core.neighbours[2] == pytest.approx(1.5 * 4 * np.pi * 6.0**2, rel=0.05, abs=0)


@pytest.mark.parametrize('thickness', [4, 7, 12])
def test_a_film_through_the_field_is_as_thick_as_it_is(thickness):
    labels = np.zeros((40, 40, 40), int)
    labels[10 : 10 + thickness] = 1
    (film,) = measure(labels, Volume(np.ones((1, 40, 40, 40)), ('Fe',), 2.0))
    assert film.cut
    assert film.thickness == pytest.approx(2.0 * thickness, abs=0.2)


def test_particles_are_counted_from_the_largest(core_shell, tmp_path):
    labels = np.zeros((SIDE,) * 3, int)
    for radius, centre in ((8, (15, 15, 15)), (5, (40, 40, 40)), (1, (10, 45, 45))):
        labels[radius_from(centre) < radius] = 1
    data = np.where(labels[None] > 0, np.array([30.0, 10.0])[:, None, None, None], 0)
    volume = Volume(data, ('Fe', 'O'), VOXEL)
    phases = phases_by_clustering(volume, count=1, inside=labels > 0)
    particles = particles_of(phases, 1)
    composition = Composition(k_factors=(1.0, 1.0), unit='wt.%')
    regions = measure(particles, volume, phases, composition)
    assert [round(one.diameter) for one in regions] == [8, 5]
    np.testing.assert_allclose([one.percent for one in regions], [[75, 25], [75, 25]], rtol=1e-4)
    assert [one.phase for one in regions] == [1, 1]
    with write_regions(regions, volume.channels, tmp_path / 'particles.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['label'] for row in rows] == ['1', '2']
    assert float(rows[1]['diameter_nm']) == pytest.approx(regions[1].diameter, rel=1e-4, abs=0)
    assert float(rows[0]['Fe']) == pytest.approx(75, rel=1e-4, abs=0)


def test_a_threshold_divides_in_two(core_shell):
    volume, truth = core_shell
    found = phase_by_threshold(volume, 'Fe', 0.5)
    assert ((found.labels == 2) == (truth == 1)).mean() > 0.98
    with pytest.raises(InputError, match=r'Nothing of the specimen has more than 0\.99 of Fe'):
        phase_by_threshold(volume, 'Fe', 0.99)
    one = Volume(volume.data[:1], ('Fe',), VOXEL)
    assert (phase_by_threshold(one, 'Fe', 0.5).labels == 2).sum() == pytest.approx((truth == 1).sum(), rel=0.05, abs=0)


def test_the_specimen_is_what_is_there(core_shell):
    volume, truth = core_shell
    assert (specimen_of(volume) == (truth > 0)).mean() > 0.99


@pytest.mark.parametrize(
    ('make', 'sentence'),
    [
        (lambda v: phases_by_clustering(Volume(v.data[:1], ('Fe',))), 'at least two channels'),
        (lambda v: phases_by_clustering(v, count=0), 'cannot be divided into 0 phases'),
        (lambda v: phases_by_clustering(Volume(np.ones((2, 9, 9, 9)), ('a', 'b'))), 'the same everywhere'),
        (lambda v: phases_by_clustering(v, inside=np.zeros(v.data.shape[1:])), 'The mask is empty'),
        (lambda v: phase_by_threshold(v, 'Si', 0.5), 'no channel Si; choose among Fe, O'),
        (lambda v: phase_by_threshold(v, 'Fe', 1.5), 'between 0 and 1'),
        (lambda v: particles_of(phases_by_clustering(v, count=1), 2), 'There is no phase 2'),
        (lambda v: measure(np.ones((4, 4, 4), int), v), 'take labels of it'),
    ],
)
def test_what_cannot_be_divided_or_measured(core_shell, make, sentence):
    with pytest.raises(InputError, match=sentence):
        make(core_shell[0])


def test_by_what_a_region_was_selected_stands_beside_it(core_shell, tmp_path):
    volume, labels = core_shell
    regions = measure(labels, volume)
    path = write_regions(regions, volume.channels, tmp_path / 'a.csv', selected={1: 'Fe 75 to 90 at.%'})
    rows = list(csv.DictReader(path.open()))
    assert [row['selected_by'] for row in rows] == ['Fe 75 to 90 at.%', '']
    assert rows[0]['voxels'] == str((labels == 1).sum()) and rows[0]['Fe'] == 'nan'
