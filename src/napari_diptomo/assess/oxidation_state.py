r"""Oxidation state of every voxel: mean valence, and the fraction of Fe2+, with errors.

A voxel holds n_s atoms of the metal in the oxide s (`EELSOxidationMaps`; edge
counts are divided by those of an atom). With v_s the valence of the metal in
it, known from its formula,

    V = sum_s v_s n_s / N,    N = sum_s n_s.

Where all v_s lie between 2 and 3 the metal is a mixture of M2+ and M3+, and
the fraction of M2+ is 3 - V: 1 in FeO, 1/3 in Fe3O4.

The spectra determine each oxide worse than their sum: errors of the n_s have
opposite signs, and V is known worse than independent errors would make it.
Their correlation comes with the maps. The error that all pixels share, by the
choice of the background, is recorded in the notes and not in ``std``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_diptomo.assess.fractions import FWHM, pooled, pooled_voxels, typical
from napari_diptomo.assess.oxide_states import OxideStates
from napari_diptomo.series import InputError, MapSeries, Observer, Step, Volume, Watch, param
from napari_diptomo.series.oxides import mean_valence


class OxidationState(Step):
    """Turn a volume of oxides into mean valence and fraction of M2+.

    Voxels without enough of the metal are masked: zero in every channel, and
    so is their ``std``.

    Notes
    -----
    The formulas stand at the top of the module. ``OxidationState.parameters()`` and docs/parameters.md explain the parameters.
    """

    title: ClassVar[str] = 'Oxidation state'

    smooth: float = param(
        1.0,
        'Atoms are pooled by a Gaussian of this width (sigma) before ratios are taken: less noise, and states no sharper '
        'than 2.4 times as wide; 0 takes voxels as they are.',
        unit='voxels',
        ge=0.0,
        le=10.0,
    )
    least_share: float = param(
        0.2,
        'Voxels are masked where they hold less than this share of the metal of the typical voxel: there is no oxide but '
        'what the missing wedge smeared out.',
        ge=0.0,
        lt=1.0,
        label='Minimum fraction',
    )
    largest_error: float = param(
        0.2,
        'Voxels are masked where the relative error of their metal exceeds this; 0.2 is 20 %.',
        gt=0.0,
        le=1.0,
        label='Maximum rel. error',
    )
    valences: tuple[float, ...] = param(
        (),
        'Valence of the metal in each channel, in their order; empty: from their names, e.g. 2 for FeO.',
        advanced=True,
    )

    def _run(self, data: Volume, observer: Observer | None) -> Volume:
        watch = Watch(observer, self.title, 1)
        states = OxideStates.of(data.channels, data.notes, self.valences)
        atoms = pooled(states.atoms(data.data), self.smooth)
        covariance, errors_from = self._covariance(data, atoms, states)
        carried = self._carried(atoms, covariance)
        mean, std = mean_valence(atoms, covariance, states.valences)
        layers, spreads = states.layers(mean, std)
        notes = {
            'valences': dict(zip(data.channels, states.valences, strict=True)),
            'mean': {
                name: float(np.average(layer[carried], weights=atoms.sum(axis=0)[carried]))
                for name, layer in zip(states.names, layers, strict=True)
            },
            'errors': errors_from,
            'error_shared_by_all': states.systematic,
            'masked_share': 1 - float(carried.mean()),
            'pooled_fwhm_nm': FWHM * self.smooth * data.voxel_size,
        }
        watch.step(1)
        return replace(
            data,
            data=layers * carried,
            std=spreads * carried,
            channels=states.names,
            notes={**data.notes, 'oxidation_state': notes},
        )

    def _covariance(self, volume: Volume, atoms: np.ndarray, states: OxideStates) -> tuple[np.ndarray, str]:
        """Of the pooled atoms, (state, state, z, y, x), and in words where it comes from."""
        if volume.std is not None:
            # Errors of a reconstruction are alike over the width of its resolution.
            std = pooled(states.atoms(volume.std), self.smooth)
            words = 'spread of the volume, taken as common to the pooled voxels'
            return std[:, None] * std[None] * states.correlation[..., None, None, None], words
        pools = int(volume.notes.get('tilts', 1)) * pooled_voxels(self.smooth)
        total = np.maximum(atoms.sum(axis=0), 0)
        words = 'counting statistics of the maps alone: a lower bound, the volume has no spread'
        return states.covariance_per_atom[..., None, None, None] * total / pools, words

    def _carried(self, atoms: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        total = atoms.sum(axis=0)
        error = np.sqrt(np.maximum(covariance.sum(axis=(0, 1)), 0))
        carried = (total > 0) & (total >= self.least_share * typical(total))
        if not carried.any():
            raise InputError('The volume holds nothing of its oxides; reconstruct maps that show them.')
        precise = carried & (error <= self.largest_error * total)
        if not precise.any():
            best = float((error[carried] / total[carried]).min())
            raise InputError(
                f'No voxel is known well enough for an oxidation state: the best has a relative error of {best:.2g}; '
                'smooth more or allow a larger error.'
            )
        return precise


@dataclass(frozen=True, eq=False)
class FractionMaps:
    """Oxidation state of every pixel.

    Attributes
    ----------
    valence, valence_std : ndarray (tilt, y, x)
        Mean along the beam, zero where there is no metal.
    fraction, fraction_std : ndarray (tilt, y, x), optional
        Share of M2+; None where the oxides are no mixtures of M2+ and M3+.
    carried : ndarray (tilt, y, x), bool
        Where the metal is.
    names : tuple of str
        Of fraction (where there is one) and valence.
    systematic : float, optional
        Error of the valence that all pixels share, by the choice of the background.
    """

    valence: np.ndarray
    valence_std: np.ndarray
    fraction: np.ndarray | None
    fraction_std: np.ndarray | None
    carried: np.ndarray
    names: tuple[str, ...]
    systematic: float | None


def fraction_maps(
    maps: MapSeries, *, smooth: float = 0.0, least_share: float = 0.1, valences: tuple[float, ...] = ()
) -> FractionMaps:
    """Oxidation state of the pixels of EELS oxidation maps, with errors.

    Parameters
    ----------
    maps : MapSeries
        Of `EELSOxidationMaps`.
    smooth : float
        Sigma of the Gaussian that atoms are pooled with before ratios are taken, pixels.
    least_share : float
        Pixels with less than this fraction of the metal of the typical pixel are masked.
    valences : tuple of float
        Of the channels; by their names where not given.

    Returns
    -------
    FractionMaps
        A fraction of 0.3 with an error of 0.1 says that three pixels in ten are
        Fe2+, and that in a third of all pixels the truth is more than 0.1 away.

    Raises
    ------
    InputError
        Channels whose valence is not known, maps without the metal.
    """
    maps = maps.unmixed()
    states = OxideStates.of(maps.channels, maps.notes, valences)
    variance = maps.variance if maps.variance is not None else np.maximum(maps.data, 1)
    atoms = states.atoms(maps.data)
    widths = np.array([0.0, 0.0, smooth, smooth])
    if smooth:
        atoms = gaussian_filter(atoms, widths, mode='nearest')
        # The squared kernel is a Gaussian 1 / sqrt(2) as wide.
        own = pooled_voxels(smooth) ** (-2 / 3)
        variance = own * gaussian_filter(np.asarray(variance, float), widths / np.sqrt(2), mode='nearest')
    std = states.atoms(np.sqrt(variance))
    covariance = std[:, None] * std[None] * states.correlation[..., None, None, None]
    total = atoms.sum(axis=0)
    carried = (total > 0) & (total >= least_share * typical(total))
    if not carried.any():
        raise InputError('The maps hold nothing of these oxides; look at the fit of the spectra.')
    mean, error = mean_valence(atoms, covariance, states.valences)
    layers, spreads = states.layers(mean, error)
    two = len(layers) == 2
    return FractionMaps(
        layers[-1] * carried,
        spreads[-1] * carried,
        layers[0] * carried if two else None,
        spreads[0] * carried if two else None,
        carried,
        states.names,
        states.systematic,
    )
