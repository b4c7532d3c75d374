"""Two runs side by side in napari's grid, whose cameras and sliders are one, and their difference as a third."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils import Colormap

from napari_diptomo.series import InputError, Volume
from napari_diptomo.widgets.layers.canvas_view import Look, fit_canvas, hide_ours
from napari_diptomo.widgets.layers.image_layers import KEY, Provenance, volume_grid

#: Less in the first, alike, more in the first.
_COLOURS = ('#2ab0ff', '#000000', '#ff9410')


class ComparedLayers:
    """Shows two runs and their difference, and the canvas as it was before.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._difference: list[Image] = []
        self._before: Look | None = None
        self._grid: dict[str, Any] = {}

    @property
    def active(self) -> bool:
        """Whether two runs are shown side by side."""
        return self._before is not None

    def show(
        self, first: Volume, first_layers: Sequence[Image], second: Volume, second_layers: Sequence[Image]
    ) -> None:
        """Both volumes and the first less the second, from left to right.

        Raises
        ------
        InputError
            They have other channels, shapes or voxels.
        """
        check_comparable(first, second)
        self.end()
        self._before = Look.of(self._viewer)
        hide_ours(self._viewer)
        self._difference = [self._viewer.add_layer(layer) for layer in difference_layers(first, second)]
        # The grid counts from the top.
        for layers in (second_layers, first_layers):
            for layer in layers:
                self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))
                layer.visible = True
        self._difference[0].visible = True
        # In a slice the sign of a difference is seen; volumes lie about z = 0.
        self._viewer.dims.ndisplay = 2
        self._viewer.dims.set_point(self._viewer.dims.ndim - 3, 0.0)
        grid = self._viewer.canvas.grid
        self._grid = {name: getattr(grid, name) for name in ('enabled', 'stride', 'shape')}
        # Counted from the top: what lies below must not shift the groups.
        grid.stride = -len(first.channels)
        grid.shape = (1, -1)
        grid.enabled = True
        fit_canvas(self._viewer, first_layers)

    def end(self) -> None:
        """One canvas again, as it was; harmless when nothing is compared."""
        before, self._before = self._before, None
        if before is None:
            return
        for name, value in self._grid.items():
            setattr(self._viewer.canvas.grid, name, value)
        for layer in self._difference:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._difference = []
        hide_ours(self._viewer)
        before.restore(self._viewer)


def check_comparable(first: Volume, second: Volume) -> None:
    """Refuse volumes that are not on one grid.

    Raises
    ------
    InputError
        The sentence says what differs.
    """
    if first.channels != second.channels:
        raise InputError(
            f'The runs have other channels ({", ".join(first.channels)} and {", ".join(second.channels)}); compare runs of '
            'the same elements.'
        )
    if first.data.shape != second.data.shape or first.transposed != second.transposed:
        sizes = [' x '.join(map(str, one.data.shape[:0:-1])) for one in (first, second)]
        raise InputError(
            f'The runs have {sizes[0]} and {sizes[1]} voxels (x, y, z); compare runs of the same binning and thickness.'
        )
    if abs(first.voxel_size - second.voxel_size) > 1e-3 * first.voxel_size:
        raise InputError(
            f'The runs have voxels of {first.voxel_size:.4g} and {second.voxel_size:.4g} nm; compare runs of the same maps.'
        )


def difference_layers(first: Volume, second: Volume) -> list[Image]:
    """The first less the second, (z, y, x) per channel, hidden; blue where it has less, orange where it has more."""
    made = []
    for name, one, other in zip(first.channels, first.data, second.data, strict=True):
        data = one - other
        limit = max(float(np.percentile(np.abs(data), 99.9)), float(np.finfo(np.float32).tiny))
        made.append(
            Image(
                np.ascontiguousarray(data.swapaxes(-1, -2) if first.transposed else data),
                name=f'{name} difference',
                colormap=Colormap(colors=_COLOURS, name='less to more'),
                contrast_limits=(-limit, limit),
                blending='additive',
                rendering='average',
                visible=False,
                metadata={KEY: Provenance(kind='difference', channel=name)},
                **volume_grid(data.shape[0], first.voxel_size),
            )
        )
    return made


def agreement(first: Volume, second: Volume) -> str:
    """``'Correlation: Ge 0.93, Te 0.97; rms difference: Ge 12 %, Te 8 % of the rms of the first.'``"""
    correlations, differences = [], []
    for name, one, other in zip(first.channels, first.data, second.data, strict=True):
        a, b = (values.ravel().astype(np.float64) for values in (one, other))
        spread = np.sqrt(a.var() * b.var())
        found = ((a - a.mean()) * (b - b.mean())).mean() / spread if spread > 0 else float('nan')
        correlations.append(f'{name} {found:.3f}')
        size = np.sqrt((a**2).mean())
        differences.append(f'{name} {100 * np.sqrt(((a - b) ** 2).mean()) / max(size, 1e-30):.0f} %')
    return f'Correlation: {", ".join(correlations)}; rms difference: {", ".join(differences)} of the rms of the first.'
