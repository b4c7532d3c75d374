r"""From the fits of all tilts to maps of atoms, with the notes on them.

The spectra determine the sum of two oxides far better than each: their errors are
correlated by -0.9. A reconstruction that takes them as independent gives that
knowledge away. With C the mean covariance of the iron pixels, C = L D L^T and L
unit lower triangular,

    w = L^-1 a,

are as many weighted sums of the intensities a whose errors are not correlated:
for two oxides the first itself, and about two thirds of it and all of the
second together. They go into a reconstruction as windows, with `mixing` L^-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_diptomo.series import MapSeries, SpectralTiltSeries
from napari_diptomo.series.oxides import mean_valence
from napari_diptomo.spectra.eels.background import BackgroundModel
from napari_diptomo.spectra.eels.systematics import background_weights
from napari_diptomo.spectra.eels.tilt_fits import (
    TiltFits,
    best_model,
    from_standard_errors,
    systematic,
)

#: Pixels that hold the metal: of the typical value, and in standard deviations of the tilt, smoothed over a pixel.
_LEAST_SHARE, _LEAST_SIGMA = 0.2, 3.0


@dataclass(frozen=True, eq=False)
class Atoms:
    """Conversion of edge counts to the unit of the maps.

    Attributes
    ----------
    states : tuple of str
        Oxides.
    counts_per_atom : ndarray (state,)
        Edge counts per atom of the metal, relative to the first oxide.
    valences : tuple of float
        Of the metal in each.
    unit : {'atoms', 'edge counts'}
        Of the maps.
    element : str
        The metal.
    """

    states: tuple[str, ...]
    counts_per_atom: np.ndarray
    valences: tuple[float, ...]
    unit: str
    element: str

    @property
    def scale(self) -> np.ndarray:
        """Values of the maps per edge count, (state,)."""
        return 1 / self.counts_per_atom if self.unit == 'atoms' else np.ones(len(self.states))


def assemble(
    series: SpectralTiltSeries, tilts: Sequence[TiltFits], atoms: Atoms, share: float, independent: bool = False
) -> MapSeries:
    """Maps with variance, held-out part and notes.

    Parameters
    ----------
    series : SpectralTiltSeries
        The calibrated series.
    tilts : sequence of TiltFits
        Of all its tilts.
    atoms : Atoms
        Units.
    share : float
        Of the counts that were held out.
    independent : bool
        Deliver sums with uncorrelated errors, see the module.
    """
    best = best_model(tilts)
    image = series.counts.shape[1:3]
    shape = (len(atoms.states), len(tilts), *image)
    maps = np.empty(shape, np.float32)
    errors = np.empty((shape[0], *shape), np.float32)
    held_out = np.empty(shape, np.float32) if share > 0 else None
    residual = np.empty(shape[1:], np.float32)
    by_tilt: list[dict[str, Any]] = []
    covariance, total = np.zeros((shape[0],) * 2), 0.0
    for t, tilt in enumerate(tilts):
        off = systematic(tilt, best)
        both = tilt.covariance[best] + off
        maps[:, t] = _images(tilt.intensities[best] * atoms.scale, image)
        errors[:, :, t] = np.moveaxis(both * np.outer(atoms.scale, atoms.scale), 0, -1).reshape(*shape[:1] * 2, *image)
        residual[t] = tilt.residual[best].reshape(image)
        if held_out is not None and tilt.held_out is not None:
            held_out[:, t] = _images(tilt.held_out[best] * atoms.scale, image)
        per_atom = 1 / np.outer(atoms.counts_per_atom, atoms.counts_per_atom)
        in_atoms = tilt.covariance[best] * per_atom
        metal = metal_pixels(tilt.intensities[best] / atoms.counts_per_atom, in_atoms, image)
        by_tilt.append(_tilt_notes(tilt, best, off, metal, atoms))
        covariance += in_atoms[metal].sum(axis=0)
        total += float((tilt.intensities[best][metal] / atoms.counts_per_atom).sum())
    known = total > 0 and bool((np.diag(covariance) > 0).all())
    notes = {
        'oxidation': {
            'element': atoms.element,
            'states': list(atoms.states),
            'valences': list(atoms.valences),
            'unit': atoms.unit,
            'counts_per_atom': atoms.counts_per_atom.tolist(),
            'covariance_per_atom': (covariance / total).tolist() if known else np.eye(shape[0]).tolist(),
            'systematic_valence': _systematic_valence(by_tilt),
        },
        'eels': {
            'background': _background_notes(tilts, best),
            'tilts': by_tilt,
            'held_out': f'{100 * share:g} % of the counts' if share > 0 else 'nothing',
        },
    }
    mixing = None
    if independent and known:
        units = atoms.scale * atoms.counts_per_atom
        mixing = uncorrelated(covariance * np.outer(units, units))
        maps, errors = np.tensordot(mixing, maps, 1), np.einsum('wi,ij...,vj->wv...', mixing, errors, mixing)
        held_out = None if held_out is None else np.tensordot(mixing, held_out, 1)
    return MapSeries(
        maps,
        series.angles,
        atoms.states,
        series.pixel_size,
        variance=np.stack([errors[i, i] for i in range(len(errors))]),
        mixing=mixing,
        held_out=held_out,
        held_out_share=share,
        residual=residual,
        haadf=series.haadf,
        haadf_series=series.haadf_series,
        transposed=series.transposed,
        notes=notes,
    )


def of_equal_current(maps: MapSeries, currents: np.ndarray) -> MapSeries:
    """Maps divided by the beam current of their tilts.

    Parameters
    ----------
    maps : MapSeries
        As counted.
    currents : ndarray (tilt,)
        Relative to their mean.
    """
    by = 1 / np.asarray(currents, np.float32)[None, :, None, None]
    return replace(
        maps,
        data=maps.data * by,
        variance=None if maps.variance is None else maps.variance * by**2,
        held_out=None if maps.held_out is None else maps.held_out * by,
        notes={**maps.notes, 'beam_current': np.round(currents, 4).tolist()},
    )


def uncorrelated(covariance: np.ndarray) -> np.ndarray:
    """L^-1 with covariance L D L^T, (state, state): sums whose errors are not correlated."""
    root = np.linalg.cholesky(covariance)
    found: np.ndarray = np.linalg.inv(root / np.diag(root))
    return found


def metal_pixels(intensities: np.ndarray, covariance: np.ndarray, image: tuple[int, int]) -> np.ndarray:
    """Pixels that hold the metal, (pixel,), bool.

    Parameters
    ----------
    intensities : ndarray (pixel, state)
        Atoms.
    covariance : ndarray (pixel, state, state)
        Statistical.
    image : (y, x)
        Shape of the image.
    """
    total = gaussian_filter(intensities.sum(axis=1).reshape(image), 1.0).ravel()
    typical = float((np.maximum(total, 0) ** 2).sum() / max(float(np.maximum(total, 0).sum()), 1e-300))
    # Smoothed over a pixel, noise is a third of what it was.
    noise = np.sqrt(np.maximum(covariance.sum(axis=(1, 2)), 0)) / 3.5
    metal: np.ndarray = (total > _LEAST_SHARE * typical) & (total > _LEAST_SIGMA * noise)
    return metal


def _images(values: np.ndarray, image: tuple[int, int]) -> np.ndarray:
    return values.T.reshape(-1, *image)


def _tilt_notes(
    tilt: TiltFits, best: BackgroundModel, off: np.ndarray, metal: np.ndarray, atoms: Atoms
) -> dict[str, Any]:
    """Notes on a tilt."""
    found: dict[str, Any] = {
        'chi2': round(float(tilt.chi2[best]), 3),
        'shift_eV': np.round(tilt.shift[best], 3).tolist(),
        'metal_pixels': int(metal.sum()),
    }
    if not metal.any():
        return found
    statistical = np.diagonal(tilt.covariance[best][metal].mean(axis=0))
    common = np.diagonal(off[metal].mean(axis=0))
    shares = common / np.maximum(common + statistical, 1e-300)
    found['chi2_pixels'] = round(float(np.median(tilt.residual[best][metal])), 3)
    found['systematic_share'] = dict(zip(atoms.states, np.round(shares, 3).tolist(), strict=True))
    mean, std = _valence(tilt, best, metal, atoms)
    spread = sum(w * (_valence(tilt, f, metal, atoms)[0] - mean) ** 2 for f, w in background_weights(tilt.chi2).items())
    systematic_error = float(np.hypot(np.sqrt(spread), _by_standards(tilt, best, metal, atoms)))
    found['mean_valence'] = [round(mean, 4), round(std, 4), round(systematic_error, 4)]
    if all(2 <= v <= 3 for v in atoms.valences):
        found['fraction'] = [round(3 - mean, 4), *found['mean_valence'][1:]]
    return found


def _valence(tilt: TiltFits, background_model: BackgroundModel, metal: np.ndarray, atoms: Atoms) -> tuple[float, float]:
    """Mean valence of the metal of a tilt and its statistical error."""
    counts = tilt.intensities[background_model][metal].sum(axis=0) / atoms.counts_per_atom
    per_atom = 1 / np.outer(atoms.counts_per_atom, atoms.counts_per_atom)
    mean, std = mean_valence(counts, tilt.covariance[background_model][metal].sum(axis=0) * per_atom, atoms.valences)
    return float(mean), float(std)


def _by_standards(tilt: TiltFits, best: BackgroundModel, metal: np.ndarray, atoms: Atoms) -> float:
    """Error of the mean valence of a tilt from the errors of the standards, which are the same in all pixels."""
    counts = tilt.intensities[best][metal].sum(axis=0)
    per_atom = 1 / np.outer(atoms.counts_per_atom, atoms.counts_per_atom)
    covariance = from_standard_errors(tilt, counts[None])[0] * per_atom
    return float(mean_valence(counts / atoms.counts_per_atom, covariance, atoms.valences)[1])


def _systematic_valence(by_tilt: Sequence[dict[str, Any]]) -> float | None:
    spreads = [tilt['mean_valence'][2] for tilt in by_tilt if 'mean_valence' in tilt]
    return round(float(np.sqrt(np.mean(np.square(spreads)))), 4) if spreads else None


def _background_notes(tilts: Sequence[TiltFits], best: BackgroundModel) -> dict[str, Any]:
    return {
        'family': best,
        'chi2': {f: [round(float(tilt.chi2[f]), 3) for tilt in tilts] for f in tilts[0].chi2},
        'compared': list(tilts[0].chi2),
    }
