"""Samples for File > Open Sample: simulated ones, made offline, and published ones, fetched when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_diptomo.series import SpectralTiltSeries
    from napari_diptomo.simulate import Phantom
    from napari_diptomo.widgets.layers.image_layers import LayerTuple


def lamella_maps() -> list[LayerTuple]:
    """A Ge-Sb-Te lamella: 17 tilts over ±40°, 30 counts at most, jitter of two pixels."""
    from napari_diptomo.simulate import lamella

    return _maps(lamella(48, voxel_size=2.0), np.arange(-40.0, 41.0, 5.0), 'Ge-Sb-Te lamella')


def nanocube_maps() -> list[LayerTuple]:
    """A nanocube with an FeO core in an Fe3O4 shell: 9 tilts over ±70°."""
    from napari_diptomo.simulate import eels_phantom

    return _maps(eels_phantom(48), np.linspace(-70.0, 70.0, 9), 'FeO/Fe3O4 nanocube')


def nanocube_spectra() -> list[LayerTuple]:
    """A nanocube of FeO and Fe3O4 with a void and ligands: low loss at 9 tilts over ±70°, core loss at one."""
    from napari_diptomo.simulate import demo_eels

    return _spectra(demo_eels().series, 'FeO/Fe3O4 nanocube (all counts)')


def lamella_spectra() -> list[LayerTuple]:
    """EDX spectra of the Ge-Sb-Te lamella of a memory device: 17 tilts over ±40°."""
    from napari_diptomo.simulate import demo_series

    return _spectra(demo_series().series, 'Ge-Sb-Te memory device (all counts)')


def edx_phantom_maps() -> list[LayerTuple]:
    """The EDX phantom of the source paper: a pierced bar with a sphere and an ellipsoid, 17 tilts over ±40°."""
    from napari_diptomo.simulate import edx_phantom

    return _maps(edx_phantom(48), np.arange(-40.0, 41.0, 5.0), 'EDX phantom')


def eels_phantom_maps() -> list[LayerTuple]:
    """The EELS phantom of the source paper: the core-shell nanocube with a pore, 9 tilts over ±70°."""
    from napari_diptomo.simulate import eels_phantom

    return _maps(eels_phantom(48, pore=True), np.linspace(-70.0, 70.0, 9), 'EELS phantom')


def measured_memory_device() -> list[LayerTuple]:
    """Measured EDX maps of a memory device, fetched after the licence was accepted."""
    return _published('gst-memory')


def measured_nanocrystals() -> list[LayerTuple]:
    """Measured EELS maps and HAADF of nanocrystals: 1.2 GB, fetched after the licence was accepted."""
    return _published('fused-multimodal')


def _spectra(series: SpectralTiltSeries, name: str) -> list[LayerTuple]:
    from napari_diptomo.widgets.layers.image_layers import KEY
    from napari_diptomo.widgets.layers.reader_and_writer import dropped_counts

    layer = dropped_counts(series, ['sample'])
    # There are no files that the dock could open, so the layer carries the series itself.
    layer[1]['metadata'][KEY]['maps'] = series
    layer[1]['name'] = name
    return [layer]


def _maps(phantom: Phantom, angles: np.ndarray, name: str) -> list[LayerTuple]:
    from napari_diptomo.simulate import tilt_series
    from napari_diptomo.widgets.layers.reader_and_writer import dropped_maps

    shifts = np.random.default_rng(1).uniform(-2, 2, (len(angles), 2))
    return dropped_maps(tilt_series(phantom, angles, peak_counts=30.0, seed=0, shifts=shifts).maps, [name])


def _published(key: str) -> list[LayerTuple]:
    from napari_diptomo.widgets.published_sample_dialog import NO_LAYERS, published_layers

    return published_layers(key) or NO_LAYERS
