"""Ternary diagrams: known compositions at known positions, bins that cover the triangle, regions that give their voxels back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_diptomo import Composition
from napari_diptomo.assess import off_plane, on_plane, ternary_points, triangle_of
from napari_diptomo.series import InputError, Volume

NAMES = ('Ge', 'Sb', 'Te')
WEIGHTS = np.array([72.63, 121.76, 127.60])
K = (1.32, 1.0, 1.2)
CORE, SHELL = np.array([2, 2, 5]) / 9, np.array([0, 2, 3]) / 5
LINES = {'lines': {'Ge': 'Ge_K', 'Sb': 'Sb_L', 'Te': 'Te_L'}, 'tilts': 17, 'max_tilt': [-40.0, 40.0]}


def percent(shares: np.ndarray, std: np.ndarray | None = None, channels: tuple[str, ...] = NAMES) -> Volume:
    """A composition (channel, z, y, x) of the fractions (channel, voxel) along x."""
    notes = {'composition': {'units': dict.fromkeys(channels, 'at.%')}}
    line = 100 * np.asarray(shares, float)[:, None, None, :]
    spread = None if std is None else 100 * np.asarray(std, float)[:, None, None, :]
    return Volume(line, channels, 2.0, std=spread, notes=notes)


def core_and_shell() -> tuple[Volume, np.ndarray, np.ndarray]:
    """Counts of Ge2Sb2Te5 in a shell of Sb2Te3, and where each of them is."""
    z, y, x = np.mgrid[:16, :18, :20] - np.array([7.5, 8.5, 9.5])[:, None, None, None]
    r = np.sqrt(x**2 + y**2 + z**2)
    core, shell = r < 4, (r >= 4) & (r < 7)
    atoms = CORE[:, None, None, None] * core + SHELL[:, None, None, None] * shell
    counts = 40 * atoms * (WEIGHTS / np.array(K) / 100)[:, None, None, None]
    return Volume(counts, NAMES, 2.0, notes=LINES), core, shell


def test_pure_elements_are_the_corners_and_equal_thirds_the_middle() -> None:
    shares = np.array([[1, 0, 0, 1 / 3, 0.5], [0, 1, 0, 1 / 3, 0.5], [0, 0, 1, 1 / 3, 0]])
    height = np.sqrt(3) / 2
    np.testing.assert_allclose(
        on_plane(shares), [[0.5, 0, 1, 0.5, 0.25], [height, 0, 0, height / 3, height / 2]], atol=1e-15
    )
    np.testing.assert_allclose(off_plane(on_plane(shares)), shares, atol=1e-15)
    points = ternary_points(percent(shares))
    np.testing.assert_allclose(points.fractions, shares, atol=1e-7)
    assert points.channels == NAMES and points.unit == 'at.%' and points.moved == points.left_out == 0


def test_a_step_of_a_fraction_is_as_long_in_every_direction() -> None:
    start = np.array([0.2, 0.3, 0.5])
    for change in ([0.1, -0.1, 0], [0, 0.1, -0.1], [-0.1, 0, 0.1]):
        steps = on_plane(start + np.array(change)) - on_plane(start)
        assert np.hypot(*steps) == pytest.approx(0.1)


def test_the_small_triangles_cover_the_large_one_evenly() -> None:
    divisions = 6
    fine = 300
    # Middles of equal triangles, a whole number of them in each bin.
    i, j = np.meshgrid(np.arange(fine), np.arange(fine), indexing='ij')
    up = (i + j < fine)[None] * np.stack([i + 1 / 3, j + 1 / 3, fine - i - j - 2 / 3])
    down = (i + j < fine - 1)[None] * np.stack([i + 2 / 3, j + 2 / 3, fine - i - j - 4 / 3])
    shares = np.concatenate([part[:, part.any(axis=0)] for part in (up, down)], axis=1) / fine
    assert shares.shape[1] == fine**2
    counts = ternary_points(percent(shares)).histogram(divisions)
    assert counts.shape == (divisions, divisions, 2) and counts.sum() == fine**2
    filled = counts[counts > 0]
    assert len(filled) == divisions**2
    # float32 puts what lies within 1e-7 of a line on either side of it.
    np.testing.assert_allclose(filled, (fine / divisions) ** 2, rtol=1e-3)


@pytest.mark.parametrize('divisions', [1, 7, 10, 40])
def test_every_composition_has_a_triangle_that_exists_and_holds_it(divisions: int) -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet((0.3, 0.3, 0.3), 4000).T
    grid = np.array([(a, b, 10 - a - b) for a in range(11) for b in range(11 - a)]).T / 10
    shares = np.concatenate([shares, grid], axis=1)
    i, j, down = triangle_of(shares, divisions)
    k = divisions - 1 - i - j - down
    assert (k >= 0).all()
    for strip, share in zip((i, j, k), shares, strict=True):
        assert (divisions * share >= strip - 1e-9).all() and (divisions * share <= strip + 1 + 1e-9).all()


def test_a_core_and_its_shell_are_two_peaks_where_they_belong() -> None:
    counts, core, shell = core_and_shell()
    made = Composition(k_factors=K, smooth=0.0).run(counts)
    points = ternary_points(made)
    np.testing.assert_array_equal(points.inside, core | shell)
    histogram = points.histogram(50)
    assert np.count_nonzero(histogram) == 2
    for shares, where in ((CORE, core), (SHELL, shell)):
        i, j, _ = triangle_of(shares, 50)
        # Ge of none, and Sb2Te3, lie on lines between bins.
        near = histogram[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        assert near.sum() == where.sum()
        np.testing.assert_array_equal(points.in_circle(shares, 0.02), where)


def test_noise_widens_the_peaks_as_the_error_says() -> None:
    rng = np.random.default_rng(1)
    counts, core, _ = core_and_shell()
    std = 0.08 * counts.data.max(axis=0) * (counts.data.sum(axis=0) > 0) * np.ones((3, 1, 1, 1))
    noisy = replace(counts, data=counts.data + std * rng.normal(size=counts.data.shape), std=std)
    points = ternary_points(Composition(k_factors=K, smooth=0.0, largest_error=1.0).run(noisy))
    inner = core[points.inside]
    off = points.fractions[:, inner] - CORE[:, None]
    scatter = np.sqrt((off**2).sum(axis=0).mean() / 2)
    assert np.median(points.error[inner]) == pytest.approx(scatter, rel=0.1)
    assert (points.in_circle(CORE, 3 * scatter) & core).sum() > 0.98 * core.sum()


def test_regions_give_exactly_their_voxels() -> None:
    shares = np.random.default_rng(2).dirichlet((1, 1, 1), 5000).T
    points = ternary_points(percent(shares))
    exact = points.fractions
    centre = np.array([0.2, 0.2, 0.6])
    apart = np.hypot(*(on_plane(exact) - on_plane(centre)[:, None]))
    np.testing.assert_array_equal(points.in_circle(centre, 0.1)[0, 0], apart <= 0.1)
    np.testing.assert_array_equal(points.in_circle(10 * centre, 0.1), points.in_circle(centre, 0.1))
    # Between 20 and 40 % of the first, and more than 30 % of the second.
    corners = np.array([[0.2, 0.3, 0.5], [0.2, 0.8, 0.0], [0.4, 0.6, 0.0], [0.4, 0.3, 0.3]])
    wanted = (exact[0] > 0.2) & (exact[0] < 0.4) & (exact[1] > 0.3)
    assert 300 < wanted.sum() < 1500
    np.testing.assert_array_equal(points.in_outline(corners)[0, 0], wanted)
    around = np.array([[1.5, -0.3, -0.2], [-0.3, 1.6, -0.3], [-0.3, -0.3, 1.6]])
    assert points.in_outline(around).all()


def test_masked_voxels_are_in_no_region() -> None:
    counts, core, shell = core_and_shell()
    points = ternary_points(Composition(k_factors=K, smooth=0.0).run(counts))
    everything = points.in_circle((1, 1, 1), 2.0)
    np.testing.assert_array_equal(everything, core | shell)


def test_negative_percent_count_as_none_and_are_counted() -> None:
    shares = np.array([[-0.1, 0.5, 1.05], [0.6, 0.25, -0.05], [0.5, 0.25, 0.0]])
    points = ternary_points(percent(shares))
    assert points.moved == 2
    np.testing.assert_allclose(points.fractions, [[0, 0.5, 1], [6 / 11, 0.25, 0], [5 / 11, 0.25, 0]], atol=1e-6)


def test_of_four_elements_three_are_shown_where_they_are() -> None:
    names = ('Ge', 'Sb', 'Te', 'O')
    shares = np.array([[0.1, 0.0, 0.02], [0.1, 0.0, 0.02], [0.2, 0.2, 0.02], [0.6, 0.8, 0.94]])
    points = ternary_points(percent(shares, std=np.full((4, 3), 0.01), channels=names), ('Te', 'Ge', 'Sb'))
    assert points.channels == ('Te', 'Ge', 'Sb') and points.left_out == 1
    np.testing.assert_array_equal(points.inside[0, 0], [True, True, False])
    np.testing.assert_allclose(points.fractions, [[0.5, 1], [0.25, 0], [0.25, 0]], atol=1e-6)
    # The fewer atoms in the three, the further one error moves the voxel.
    assert 0.01 < points.error[0] < 0.05


def test_the_error_of_a_voxel_is_how_far_it_moves() -> None:
    std = np.array([[0.03, 0.0], [0.03, 0.04], [0.0, 0.04]])
    points = ternary_points(percent(np.array([[0.2, 0.2], [0.3, 0.3], [0.5, 0.5]]), std))
    np.testing.assert_allclose(points.error, [0.03, 0.04], rtol=1e-5)
    assert np.isnan(ternary_points(percent(np.array([[0.2], [0.3], [0.5]]))).error).all()


def test_the_density_is_no_corner() -> None:
    made = percent(np.array([[0.2], [0.3], [0.5], [0.05]]), channels=('Ge', 'Sb', 'density', 'Te'))
    made.notes['composition']['units']['density'] = 'g/cm^3'
    assert ternary_points(made).channels == ('Ge', 'Sb', 'Te')


def test_what_has_no_diagram_is_one_sentence() -> None:
    counts, _, _ = core_and_shell()
    with pytest.raises(InputError, match='holds counts, and atomic or weight percent are needed; run Composition'):
        ternary_points(counts)
    with pytest.raises(InputError, match='has Fe and Pt alone; look at a histogram'):
        ternary_points(percent(np.array([[0.5], [0.5]]), channels=('Fe', 'Pt')))
    with pytest.raises(InputError, match='No voxel is above the threshold'):
        ternary_points(percent(np.zeros((3, 4))))
    with pytest.raises(InputError, match='three different elements, not of Ge, Ge, Te; choose among Ge, Sb, Te'):
        ternary_points(percent(np.ones((3, 1)) / 3), ('Ge', 'Ge', 'Te'))
    with pytest.raises(InputError, match='not of Ge, Cu, Te'):
        ternary_points(percent(np.ones((3, 1)) / 3), ('Ge', 'Cu', 'Te'))
    four = percent(np.array([[0.01], [0.01], [0.01], [0.97]]), channels=('Ge', 'Sb', 'Te', 'O'))
    with pytest.raises(InputError, match='No voxel has a tenth of its composition in Ge, Sb, Te'):
        ternary_points(four)


def test_counts_that_no_factor_is_known_for_have_no_percent() -> None:
    unknown = Volume(np.ones((3, 4, 4, 4)), ('a', 'b', 'c'), 1.0)
    with pytest.raises(InputError, match='channel a is no element; name its line family'):
        ternary_points(Composition().run(unknown))


def test_regions_that_are_none_are_one_sentence() -> None:
    points = ternary_points(percent(np.ones((3, 1)) / 3))
    with pytest.raises(InputError, match='three fractions, none negative'):
        points.in_circle((0.5, -0.1, 0.6), 0.1)
    with pytest.raises(InputError, match='three fractions'):
        points.in_circle((0.5, 0.5), 0.1)
    with pytest.raises(InputError, match='radius 0 holds nothing'):
        points.in_circle((1, 0, 0), 0.0)
    with pytest.raises(InputError, match='at least three corners'):
        points.in_outline(np.array([[1, 0, 0], [0, 1, 0]]))
    with pytest.raises(InputError, match='into 0 parts'):
        points.histogram(0)
