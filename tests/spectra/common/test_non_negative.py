"""Non-negative least squares: all three forms against Lawson and Hanson's."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from napari_diptomo.spectra.common.non_negative import non_negative, non_negative_of_matrix, non_negative_of_pixels


def test_one_spectrum_and_its_normal_equations():
    rng = np.random.default_rng(2)
    for _ in range(20):
        columns, target = rng.uniform(size=(40, 8)), rng.normal(size=40) + 0.5
        known = nnls(columns, target)[0]
        assert (known == 0).any()
        np.testing.assert_allclose(non_negative(columns, target), known, atol=1e-6)
        np.testing.assert_allclose(non_negative_of_matrix(columns.T @ columns, columns.T @ target), known, atol=1e-6)


def test_columns_of_very_different_size():
    columns = np.array([[1e-9, 1e6], [2e-9, 1e6], [3e-9, -1e6]])
    np.testing.assert_allclose(non_negative(columns, columns @ [3e9, 2e-6]), [3e9, 2e-6], rtol=1e-6)


def test_non_negative_coefficients_are_those_of_lawson_and_hanson():
    rng = np.random.default_rng(1)
    matrices = rng.standard_normal((300, 12, 6)) + 0.5
    targets = rng.standard_normal((300, 12))
    found = non_negative_of_pixels(np.swapaxes(matrices, 1, 2) @ matrices, np.einsum('pek,pe->pk', matrices, targets))
    known = np.stack([nnls(a, b)[0] for a, b in zip(matrices, targets, strict=True)])
    assert (known == 0).any(axis=1).mean() > 0.9
    np.testing.assert_allclose(found, known, atol=1e-8)
