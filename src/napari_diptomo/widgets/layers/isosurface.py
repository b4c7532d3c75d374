"""A surface of constant composition: a layer of percent that napari renders at a threshold."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_diptomo.jobs.colours import colours
from napari_diptomo.series import Volume
from napari_diptomo.widgets.layers.image_layers import KEY, Provenance, colormap, volume_grid


class Isosurface:
    """One surface at a time.

    Parameters
    ----------
    viewer : ViewerModel
        Where its layer goes.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self.unit = ''

    @property
    def layer(self) -> Image | None:
        """The layer, None once the user has deleted it."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def show(self, volume: Volume, channel: str, level: float) -> None:
        """The surface where a channel has this many percent, in three dimensions.

        Parameters
        ----------
        volume : Volume
            Counts or percent.
        channel : str
        level : float
            Percent, see `napari_diptomo.assess.at_voxel.percent_of`.
        """
        from napari_diptomo.assess.at_voxel import percent_of

        self.remove()
        data, self.unit = percent_of(volume)
        index = volume.channels.index(channel)
        shown = data[index].swapaxes(-1, -2) if volume.transposed else data[index]
        self._layer = self._viewer.add_layer(
            Image(
                np.ascontiguousarray(shown, dtype=np.float32),
                name=f'{channel} isosurface, {self.unit}',
                colormap=colormap(channel, colours(volume.channels)[channel]),
                contrast_limits=(0.0, 100.0),
                rendering='iso',
                iso_threshold=level,
                blending='translucent',
                metadata={KEY: Provenance(kind='isosurface', channel=channel)},
                **volume_grid(volume.data.shape[1], volume.voxel_size),
            )
        )
        self._viewer.dims.ndisplay = 3

    def set_level(self, level: float) -> None:
        """Another threshold for the surface that is shown."""
        if self.layer is not None:
            self.layer.iso_threshold = level

    def remove(self) -> None:
        """Take it away; harmless when there is none."""
        if self.layer is not None:
            self._viewer.layers.remove(self.layer)
        self._layer = None
