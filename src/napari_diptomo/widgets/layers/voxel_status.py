"""The composition of all elements in napari's status bar while the pointer is over a layer of a volume.

napari asks the active layer for its part of the status (`Layer.get_status`), in a thread of its own; our layers answer
with the composition of their volume behind the coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer

from napari_diptomo.series import Volume

if TYPE_CHECKING:
    from napari_diptomo.assess.at_voxel import VoxelReader


class VoxelStatus:
    """Answers for the layers of one volume.

    Parameters
    ----------
    volume : Volume
        Whose composition is read; factors are calculated when the pointer is over it for the first time.
    """

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._reader: VoxelReader | None = None

    def answer_for(self, layers: Sequence[Layer]) -> None:
        """Let these layers, all on the grid of the volume, say the composition."""
        for layer in layers:
            # What a window's proxy of the viewer gives is a proxy itself, with a class of its own.
            own = getattr(layer, '__wrapped__', layer)
            own.get_status = self._with_composition(own)

    def words_at(self, layer: Layer, position: Sequence[float]) -> str:
        """The composition at a position in the viewer's world; empty outside of the volume."""
        inside = np.asarray(layer.world_to_data(tuple(position)[-layer.ndim :]), float)
        z, second, third = (round(value) for value in inside.tolist())
        y, x = (third, second) if self._volume.transposed else (second, third)
        if self._reader is None:
            from napari_diptomo.assess.at_voxel import VoxelReader

            self._reader = VoxelReader(self._volume)
        found = self._reader.at(z, y, x)
        return '' if found is None else str(found)

    def _with_composition(self, layer: Layer) -> Any:
        plain = type(layer).get_status

        def get_status(position: Any = None, **given: Any) -> Any:
            status = plain(layer, position, **given)
            displayed = given.get('dims_displayed') or ()
            # In three dimensions the pointer is over many voxels.
            if position is not None and len(displayed) == 2:
                words = self.words_at(layer, position)
                if words:
                    status['coordinates'] = f'{status.get("coordinates", "")}   {words}'
            return status

        return get_status
