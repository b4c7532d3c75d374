"""The ratio of two white lines as a napari layer."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.layers.error_layers import hidden_layer
from napari_diptomo.widgets.layers.image_layers import LayerTuple

#: Lines are averaged over a Gaussian of this sigma, pixels; shown where L2 is above so many standard deviations.
_SMOOTH, _SEEN = 1.0, 3.0


def line_ratio(maps: MapSeries) -> np.ndarray | None:
    """L3 over L2 (tilt, y, x) of maps of white lines, zero where L2 is lost in noise; None for other maps."""
    if 'white_lines' not in maps.notes or maps.variance is None:
        return None
    from scipy.ndimage import gaussian_filter

    sigma = float(maps.notes['white_lines'].get('smooth', _SMOOTH))
    first, second = (gaussian_filter(line, (0, sigma, sigma)) for line in maps.data)
    # A Gaussian mean over n pixels has a variance smaller by 4 pi sigma^2.
    error = np.sqrt(gaussian_filter(maps.variance[1], (0, sigma, sigma)) / max(4 * np.pi * sigma**2, 1.0))
    seen = second > _SEEN * error
    found: np.ndarray = np.where(seen, first / np.where(seen, second, 1.0), 0.0).astype(np.float32)
    return found


def ratio_layers(maps: MapSeries) -> list[LayerTuple]:
    """A hidden 4-D layer (tilt, z, y, x) of the ratio of maps of white lines; none for other maps."""
    ratio = line_ratio(maps)
    if ratio is None:
        return []
    shown = ratio[ratio > 0]
    limits = (0.0, float(np.percentile(shown, 99))) if shown.size else (0.0, 5.0)
    return [hidden_layer(maps, ratio, f'{maps.notes["white_lines"]["element"]} L3 / L2 maps', 'ratio', limits)]
