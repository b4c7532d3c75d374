"""The HAADF series beside maps as a napari layer: its own tilts and pixels, about the middle of the maps."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import HAADFSeries, MapSeries, SpectralTiltSeries
from napari_diptomo.widgets.layers.image_layers import KEY, LayerTuple, Provenance, tilted

#: Percentiles between which the images are shown.
_LOW, _HIGH = 1.0, 99.9


def haadf_layer(haadf: HAADFSeries, series: SpectralTiltSeries | MapSeries) -> LayerTuple:
    """The images (tilt, z, y, x) as they were recorded, hidden, with the slider at their angles.

    Parameters
    ----------
    haadf : HAADFSeries
    series : SpectralTiltSeries or MapSeries
        That it is beside: both have one middle, and are swapped back where they were transposed on loading.
    """
    images = haadf.images
    pixels = series.data.shape[2:] if isinstance(series, MapSeries) else series.counts.shape[1:3]
    if series.transposed:
        images, pixels = np.swapaxes(images, 1, 2), pixels[::-1]
    middle = (np.array(pixels) - 1) / 2 * series.pixel_size
    corner = middle - (np.array(images.shape[1:]) - 1) / 2 * haadf.pixel_size
    place = tilted(haadf.angles, haadf.pixel_size)
    place['translate'] = (*place['translate'][:2], *corner.tolist())
    seen = images if haadf.missing is None else haadf.images[~haadf.missing]
    low, high = (float(value) for value in np.percentile(seen, (_LOW, _HIGH)))
    return (
        images[:, None],
        {
            **place,
            'name': 'HAADF series',
            'colormap': 'gray',
            'blending': 'additive',
            'contrast_limits': (low, high if high > low else low + 1),
            'visible': False,
            'metadata': {KEY: Provenance(kind='haadf', channel='HAADF', angles=[float(a) for a in haadf.angles])},
        },
        'image',
    )
