"""Shapes from elsewhere on another axis: shift and width come back, swapped references do not pass."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_diptomo.series import InputError
from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube
from napari_diptomo.simulate.eels_shapes import edge_shape
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.standards.matching import match, moved
from napari_diptomo.spectra.eels.standards.phase_maps import map_phases

ENERGY = np.arange(690.0, 745.0, 0.1)


def reference(oxide, by, variation, fwhm=0.8):
    return ndimage.gaussian_filter1d(edge_shape(ENERGY - by, oxide, 'L', variation), fwhm / 2.3548 / 0.1)


def test_a_known_shift_and_width_are_found():
    shapes = np.stack([reference(oxide, 0.0, None) for oxide in ('FeO', 'Fe3O4')], axis=1)
    data = moved(shapes, ENERGY, 0.37, 0.1).sum(axis=1) * 1e4
    weight = 1 / np.maximum(data, 1.0)

    def misfit(there):
        solution = np.linalg.lstsq(there * np.sqrt(weight)[:, None], data * np.sqrt(weight), rcond=None)[0]
        return float((weight * (data - there @ solution) ** 2).sum())

    found = match(misfit, shapes, ENERGY, len(ENERGY) - 4, np.ones((len(ENERGY), 1)))
    assert found.shift == pytest.approx(0.37, abs=0.02)
    assert found.variance == pytest.approx(0.1, abs=0.03)


@pytest.fixture(scope='module')
def made():
    return eels_tilt_series(oxide_nanocube(32, ligand=1.0), [0.0], seed=3, read_noise=0.0)


@pytest.mark.parametrize(('by', 'fwhm'), [(0.0, 0.8), (0.5, 0.8), (-0.5, 0.8), (1.0, 0.8), (0.5, 1.2), (8.0, 0.8)])
def test_references_off_axis_give_the_fraction_within_two_errors(made, by, fwhm):
    """Half an eV moved the Fe2+ fraction by a tenth, with an error of a hundredth."""
    axis = ENERGY if by < 2 else ENERGY + by
    curves = {
        oxide: np.stack([axis, reference(oxide, by if by < 2 else 0.0, made.variation, fwhm)])
        for oxide in ('FeO', 'Fe3O4')
    }
    phases = map_phases(calibrate(made.series), method='references', references=curves)
    inside = made.iron[0] & phases.iron[0]
    true = (made.core_clean[:, 0] / made.model.core.per_iron[:, None, None])[:, inside].sum(axis=1)
    found = phases.atoms[0][inside].sum(axis=0)
    slope = np.array([-found[0], found[1]]) / found.sum()
    error = 2 / 3 * np.sqrt(slope @ np.array(phases.notes['impurity']) @ slope)
    shares = [(a[0] + a[1] / 3) / a.sum() for a in (found, true)]
    assert abs(shares[0] - shares[1]) < 2 * error < 0.08


def test_swapped_references_are_refused(made):
    curves = {
        oxide: np.stack([ENERGY, reference(oxide, by, made.variation)]) for oxide, by in (('FeO', 1.7), ('Fe3O4', -1.7))
    }
    with pytest.raises(InputError, match='exchange the columns'):
        map_phases(calibrate(made.series), method='references', references=curves)
