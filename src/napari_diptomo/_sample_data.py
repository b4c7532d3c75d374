"""Samples for File > Open Sample: simulated maps and spectra with counting noise, made offline in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_diptomo.simulate import Phantom
    from napari_diptomo.widgets.layers.image_layers import LayerTuple


def lamella_maps() -> list[LayerTuple]:
    """A Ge-Sb-Te lamella: 17 tilts over +-40 degrees, 30 counts at most, jitter of two pixels."""
    from napari_diptomo.simulate import lamella

    return _maps(lamella(48, voxel_size=2.0), np.arange(-40.0, 41.0, 5.0), 'Ge-Sb-Te lamella')


def nanocube_maps() -> list[LayerTuple]:
    """A nanocube with an FeO core in an Fe3O4 shell: 9 tilts over +-70 degrees."""
    from napari_diptomo.simulate import eels_phantom

    return _maps(eels_phantom(48), np.linspace(-70.0, 70.0, 9), 'FeO/Fe3O4 nanocube')


def nanocube_spectra() -> list[LayerTuple]:
    """A nanocube of FeO and Fe3O4 with a void and ligands: low loss at 9 tilts over +-70 degrees, core loss at one."""
    from napari_diptomo.simulate import demo_eels
    from napari_diptomo.widgets.layers.image_layers import KEY
    from napari_diptomo.widgets.layers.reader_and_writer import dropped_counts

    series = demo_eels().series
    layer = dropped_counts(series, ['sample'])
    # There are no files that the dock could open, so the layer carries the series itself.
    layer[1]['metadata'][KEY]['maps'] = series
    layer[1]['name'] = 'FeO/Fe3O4 nanocube (all counts)'
    return [layer]


def _maps(phantom: Phantom, angles: np.ndarray, name: str) -> list[LayerTuple]:
    from napari_diptomo.simulate import tilt_series
    from napari_diptomo.widgets.layers.reader_and_writer import dropped_maps

    shifts = np.random.default_rng(1).uniform(-2, 2, (len(angles), 2))
    return dropped_maps(tilt_series(phantom, angles, peak_counts=30.0, seed=0, shifts=shifts).maps, [name])
