"""Edges and background fitted together: known intensities come back, with the variance that the bound allows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.series import Cancelled, InputError
from napari_diptomo.spectra.eels.edge_fit import PixelEdges, fit_edges
from napari_diptomo.spectra.eels.scattering import SingleLoss, without_edges

ENERGY = np.arange(-10, 100, 0.25)
WINDOW = (36.0, 95.0)
EVERY = np.ones(len(ENERGY), bool)
INSIDE = np.abs(ENERGY - np.mean(WINDOW)) <= np.ptp(WINDOW) / 2


def peak(centre, width=1.5):
    return np.exp(-(((ENERGY - centre) / width) ** 2))


def standards():
    """Two edges that overlap, each with a continuum; one count in 47-62 eV."""
    step = 1 / (1 + np.exp(-(ENERGY - 58))) * (58 / np.maximum(ENERGY, 30)) ** 2
    shapes = np.stack([0.85 * peak(54.4) + peak(57.0) + 0.2 * step, peak(57.2, 2.0) + 0.2 * step], axis=1)
    return shapes / shapes[(ENERGY >= 47) & (ENERGY < 62)].sum(axis=0)


def background(power=2.5, height=110.0):
    return height * (np.maximum(ENERGY, 1.0) / 54) ** -power


INTENSITIES = np.array([900.0, 1100.0])


def sampled(pixels, intensities=INTENSITIES, seed=0, read_noise=0.0, power=2.5, shapes=None):
    mean = background(power) + (standards() if shapes is None else shapes) @ intensities
    rng = np.random.default_rng(seed)
    return rng.poisson(mean, (pixels, len(ENERGY))) + read_noise * rng.standard_normal((pixels, len(ENERGY)))


def bound(read_noise=0.0):
    """Cramer-Rao: intensities, height and power of the background unknown."""
    b, s = background()[INSIDE], standards()[INSIDE]
    slopes = np.column_stack([s, b, b * np.log(ENERGY[INSIDE])])
    variance = b + s @ INTENSITIES + read_noise**2
    return np.linalg.inv(slopes.T @ (slopes / variance[:, None]))[:2, :2]


def test_without_noise_the_intensities_are_exact():
    intensities = np.array([[500.0, 0.0], [0.0, 800.0], [300.0, 700.0]])
    counts = background() * np.array([[1.0], [0.3], [2.0]]) + intensities @ standards().T
    found = fit_edges(counts, ENERGY, standards())
    np.testing.assert_allclose(found.intensities, intensities, atol=0.5)
    assert found.chi2.max() < 1e-3
    assert found.tilt.chi2 < 1e-3
    below, edges = found.spectra(slice(0, 3))
    np.testing.assert_allclose(below + edges.sum(axis=2), counts[:, INSIDE], rtol=2e-3)


@pytest.mark.parametrize('read_noise', [0.0, 6.0])
def test_variance_reaches_the_bound_and_is_what_is_reported(read_noise):
    found = fit_edges(sampled(3000, read_noise=read_noise), ENERGY, standards(), read_noise=read_noise)
    known = bound(read_noise)
    np.testing.assert_allclose(
        found.intensities.mean(axis=0), INTENSITIES, atol=4 * np.sqrt(np.diag(known) / 3000).max()
    )
    np.testing.assert_allclose(np.cov(found.intensities.T), known, rtol=0.12)
    np.testing.assert_allclose(found.covariance.mean(axis=0), known, rtol=0.05)
    assert found.chi2.mean() == pytest.approx(1, abs=0.01)


def test_intensities_are_not_pulled_down_by_their_own_noise():
    """Weights of 1 / counts would do that, by some per cent at 20 counts per channel."""
    rng = np.random.default_rng(2)
    mean = background(height=15.0) + standards() @ np.array([0.0, 600.0])
    found = fit_edges(rng.poisson(mean, (4000, len(ENERGY))), ENERGY, standards()[:, 1:])
    error = found.intensities.mean() / 600 - 1
    assert abs(error) < 0.01


def test_absent_edge_is_unbiased_when_it_may_be_negative():
    counts = sampled(2000, np.array([0.0, 1500.0]), seed=3)
    free = fit_edges(counts, ENERGY, standards(), allow_negative=True)
    kept = fit_edges(counts, ENERGY, standards())
    error = free.intensities[:, 0].std() / np.sqrt(2000)
    assert abs(free.intensities[:, 0].mean()) < 3.5 * error
    assert kept.intensities.min() >= 0
    assert kept.intensities[:, 0].mean() > 10 * error


def test_every_pixel_may_have_its_own_power():
    counts = np.concatenate([sampled(400, seed=4, power=2.2), sampled(400, seed=5, power=2.8)])
    found = fit_edges(counts, ENERGY, standards())
    for part in (slice(0, 400), slice(400, 800)):
        np.testing.assert_allclose(found.intensities[part].mean(axis=0), INTENSITIES, rtol=0.06)


def test_standards_are_moved_to_the_edges():
    moved = np.stack([np.interp(ENERGY - by, ENERGY, s) for by, s in zip((0.3, -0.2), standards().T, strict=True)], 1)
    counts = sampled(800, seed=6, shapes=moved)
    still, found = (fit_edges(counts, ENERGY, standards(), fit_shift=how) for how in ('none', 'each'))
    np.testing.assert_allclose(found.shift, (0.3, -0.2), atol=0.05)
    assert found.tilt.chi2 < 1.3 < still.tilt.chi2
    both = np.interp(ENERGY - 0.25, ENERGY, standards()[:, 0]), np.interp(ENERGY - 0.25, ENERGY, standards()[:, 1])
    common = fit_edges(sampled(800, seed=7, shapes=np.stack(both, 1)), ENERGY, standards(), fit_shift='common')
    np.testing.assert_allclose(common.shift, 0.25, atol=0.03)


def test_pixels_with_shifts_of_their_own():
    shifts = np.linspace(-0.5, 0.5, 1500)
    shapes = PixelEdges.of(ENERGY, standards(), EVERY, shifts=shifts).at(slice(None))
    np.testing.assert_allclose(
        shapes[-1, 100:400, 1], np.interp(ENERGY - 0.5, ENERGY, standards()[:, 1])[100:400], atol=2e-4
    )
    counts = np.random.default_rng(8).poisson(background() + shapes @ INTENSITIES)
    found = fit_edges(counts, ENERGY, standards(), shifts=shifts)
    np.testing.assert_allclose(found.intensities.mean(axis=0), INTENSITIES, rtol=0.03)
    np.testing.assert_allclose(found.covariance.mean(axis=0), bound(), rtol=0.1)
    assert found.chi2.mean() == pytest.approx(1, abs=0.02)


def low_loss(thickness, electrons=1e6):
    """Zero loss and plural scattering of a Drude plasmon, by their Poisson sum; (energy,), and the single loss."""
    losses = 0.25 * np.arange(len(ENERGY))
    single = losses * 2200 / ((losses**2 - 22**2) ** 2 + (10 * losses) ** 2)
    single /= single.sum()
    zero, term, order = np.exp(-0.5 * (losses / 0.35) ** 2), np.eye(1, len(losses))[0], np.zeros(len(losses))
    for n in range(1, 8):
        order += term
        term = np.convolve(term, single)[: len(losses)] * thickness / n
    narrow = np.concatenate([zero[:0:-1], zero])
    spectrum = np.convolve(np.concatenate([np.zeros(40), order]), narrow / narrow.sum())
    whole = spectrum[len(losses) - 1 : len(losses) - 1 + len(ENERGY)]
    return electrons * np.exp(-thickness) * whole, single


def test_single_loss_is_found_by_fourier_log():
    spectrum, single = low_loss(0.6)
    found = SingleLoss.of(ENERGY, spectrum, 46.0)
    assert found.thickness == pytest.approx(0.6, abs=0.03)
    losses = 0.25 * np.arange(len(ENERGY))
    part = (losses > 8) & (losses < 90)
    np.testing.assert_allclose(found.values[part], single[part], atol=0.03 * single.max())
    behind = found.scattered(standards(), np.array([0.0, 0.4]))
    np.testing.assert_allclose(behind[0], standards(), atol=1e-12)
    assert behind[1, ENERGY < 62].sum() == pytest.approx(np.exp(-0.4) * standards()[ENERGY < 62].sum(), rel=0.02)
    with pytest.raises(InputError, match='no zero loss'):
        SingleLoss.of(ENERGY + 30, spectrum, 46.0)


@pytest.mark.parametrize('fwhm', [1.2, 2.0, 3.0])
def test_a_broad_zero_loss_does_not_make_the_specimen_thick(fwhm):
    """At 2 eV the division by its transform gave a thickness of three hundred digits."""
    spectrum = ndimage.gaussian_filter1d(low_loss(0.6)[0], np.sqrt(fwhm**2 - 0.8**2) / 2.3548 / 0.25)
    found = SingleLoss.of(ENERGY, spectrum, 46.0)
    assert found.thickness == pytest.approx(0.6, abs=0.05)
    losses = 0.25 * np.arange(len(ENERGY))
    assert losses[found.values.argmax()] == pytest.approx(losses[low_loss(0.6)[1].argmax()], abs=1.0)
    behind = (ENERGY > 20) & (ENERGY < 44)
    np.testing.assert_allclose(without_edges(ENERGY, spectrum, 44.0)[behind], spectrum[behind], rtol=0.05)


def test_plasmons_and_their_multiples_are_estimated_from_what_lies_in_front_of_an_edge():
    """A Drude plasmon with an edge a third as strong on it: without the edge, the low loss that it was put on."""
    for thickness in (0.3, 0.8):
        plain = low_loss(thickness)[0]
        edge = 0.3 * plain[np.abs(ENERGY - 54).argmin()] * standards().sum(axis=1) / standards().sum(axis=1).max()
        found = without_edges(ENERGY, plain + np.where(ENERGY > 48, edge, 0), 44.0)
        behind = (ENERGY > 48) & (ENERGY < 70)
        np.testing.assert_allclose(found[behind], plain[behind], rtol=0.035)
        # What lies behind the edge is not looked at.
        np.testing.assert_allclose(found, without_edges(ENERGY, plain, 44.0), rtol=1e-6, atol=1e-3)


def test_intensities_behind_thickness_are_those_of_the_path():
    thickness = np.linspace(0.05, 0.9, 1200)
    single = SingleLoss.of(ENERGY, low_loss(0.5)[0], 46.0)
    shapes = PixelEdges.of(ENERGY, standards(), EVERY, thickness=thickness, single=single).at(slice(None))
    counts = np.random.default_rng(9).poisson(background() + shapes @ INTENSITIES)
    found = fit_edges(counts, ENERGY, standards(), thickness=thickness, single=single)
    for part in (slice(0, 400), slice(800, 1200)):
        np.testing.assert_allclose(found.intensities[part].mean(axis=0), INTENSITIES, rtol=0.05)
    alike = fit_edges(counts, ENERGY, standards()).intensities.sum(axis=1)
    assert alike[800:].mean() < 0.6 * alike[:400].mean()


def test_empty_pixels_have_nothing_and_are_uncertain():
    counts = sampled(300, seed=10)
    counts[:50] = 0
    found = fit_edges(counts, ENERGY, standards())
    np.testing.assert_allclose(found.intensities[:50], 0, atol=1e-6)
    assert (np.diagonal(found.covariance[:50], axis1=1, axis2=2) > 0).all()
    assert np.isfinite(found.chi2).all()


def test_what_cannot_be_fitted_is_reported():
    counts, shapes = sampled(10), standards()
    with pytest.raises(InputError, match='same energies'):
        fit_edges(counts[:, 5:], ENERGY, shapes)
    with pytest.raises(InputError, match='channels of the spectra'):
        fit_edges(counts, ENERGY, shapes, window=(99.0, 120.0))
    with pytest.raises(InputError, match='no edge within'):
        fit_edges(counts, ENERGY, np.where(ENERGY[:, None] < 60, shapes, 0), window=(65.0, 95.0))
    with pytest.raises(InputError, match='no background straight'):
        fit_edges(counts, ENERGY, shapes, 'straight')
    with pytest.raises(InputError, match='needs the zero loss'):
        fit_edges(counts, ENERGY, shapes, 'plasmon tail')
    with pytest.raises(InputError, match='fit without the thickness'):
        fit_edges(counts, ENERGY, shapes, thickness=np.zeros(10))


def test_a_fit_can_be_cancelled():
    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        fit_edges(sampled(5), ENERGY, standards(), between=stop)
