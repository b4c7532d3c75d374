"""A run's volume in the viewer: one additive layer per element that grows with the previews.

What lies in the same place would shine through, so the first preview hides it;
`VolumeView` remembers what was seen and brings it back when the run comes to
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_diptomo.jobs.colours import colours, opacity
from napari_diptomo.jobs.project import LayerLook
from napari_diptomo.series import MapSeries, Volume
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.appearance import apply_looks, look_of
from napari_diptomo.widgets.layers.canvas_view import Look, hide_ours, seen
from napari_diptomo.widgets.layers.error_layers import spread_layers
from napari_diptomo.widgets.layers.first_look import label_canvas, look_from_a_corner, where_from
from napari_diptomo.widgets.layers.preview_contrast import PreviewContrast
from napari_diptomo.widgets.layers.voxel_status import VoxelStatus

#: Contrast limits of a channel by its name and data.
Limits = Callable[[str, np.ndarray], tuple[float, float]]


class VolumeView:
    """Shows previews and the result of one run, and takes them away again.

    Layers the user deletes stay deleted. Contrast limits follow the data until
    the user moves a slider.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers go.
    like : MapSeries or Volume
        What is reconstructed, or the volume itself: names, pixel size, orientation.
    method : str
        Title of the step, for the names.
    run : int
        Number of the run.
    """

    def __init__(self, viewer: ViewerModel, like: MapSeries | Volume, method: str, run: int) -> None:
        self._viewer = viewer
        self._channels = like.channels
        self._transposed = like.transposed
        self._rows = like.data.shape[-1 if like.transposed else -2]
        #: Of the previews, which have no notes yet: whether the maps are of some intensity, not of counts.
        self._notes = {} if _counted(like) else {'images': 'no counts'}
        self._pixel_size = like.voxel_size if isinstance(like, Volume) else like.pixel_size
        self._method = method if run == 1 else f'{method}, run {run}'
        self._run = run
        self._layers: dict[str, Image] = {}
        self._spread: list[Image] = []
        self._before: Look | None = None
        self._looks: tuple[LayerLook, ...] = ()
        self._free: set[str] = set()
        self._contrast: dict[str, PreviewContrast] = {}
        self._setting = False
        self._first: tuple[float, ...] | None = None

    @property
    def layers(self) -> list[Image]:
        """The run's layers that are still in the viewer."""
        return [layer for layer in (*self._layers.values(), *self._spread) if layer in self._viewer.layers]

    @property
    def channel_layers(self) -> list[Image]:
        """The layers of the channels that are still in the viewer, without the spread."""
        return [layer for layer in self._layers.values() if layer in self._viewer.layers]

    def show(self, frame: np.ndarray) -> None:
        """Show a preview (channel, z, y, x), which becomes the layers' own."""
        contrast = self._contrast or {name: PreviewContrast() for name in self._channels}
        self._contrast = contrast
        self._show(frame, lambda name, data: contrast[name].limits(data))

    def finish(self, volume: Volume) -> None:
        """Show the result, its standard deviation hidden beside it, and write the run's record into the layers."""
        self._contrast = {}
        self._show(volume.data, lambda name, data: image_layers.contrast_limits(data))
        for index, name in enumerate(volume.channels):
            record = image_layers.volume_record(volume, index)
            record['run'] = self._run
            self._layers[name].metadata[image_layers.KEY] = record
        for data, given, _ in spread_layers(volume):
            given['metadata'][image_layers.KEY]['run'] = self._run
            self._spread.append(self._viewer.add_layer(Image(data, **given)))
        VoxelStatus(volume).answer_for(self.layers)
        if self._first is not None and np.allclose(self._first, where_from(self._viewer)):
            # The first preview was even all over; now it is seen where the specimen is.
            self._look_from_a_corner()

    def adopt(self, volume: Volume, layers: Sequence[Image], spread: Sequence[Image]) -> None:
        """These layers (one per channel), which napari's reader has made, are the run's."""
        self._layers = dict(zip(self._channels, layers, strict=True))
        self._spread = list(spread)
        for layer in (*layers, *spread):
            layer.metadata[image_layers.KEY]['run'] = self._run
        for layer in layers:
            layer.events.contrast_limits.connect(self._limits_moved)
        label_canvas(self._viewer, [layer for layer in layers if layer.visible])
        VoxelStatus(volume).answer_for(self.layers)

    def finish_anew(self, volume: Volume) -> None:
        """Show a result whose layers the user has deleted, or that never had any."""
        self.release()
        self._layers, self._spread = {}, []
        self.finish(volume)
        apply_looks(self._viewer, self._looks)
        for layer in self._layers.values():
            layer.visible = True

    def retire(self) -> None:
        """Take the layers away and remember how they looked: `finish_anew` makes them again.

        Every layer costs the viewer megabytes, seen or not.
        """
        self._looks = tuple(look_of(layer) for layer in self.layers)
        for layer in self.layers:
            self._viewer.layers.remove(layer)
        self.release()
        self._layers, self._spread, self._before = {}, [], None

    def discard(self) -> None:
        """Remove the run's layers and show what they had hidden; the undo."""
        for layer in self.layers:
            self._viewer.layers.remove(layer)
        self.release()
        self._layers, self._spread = {}, []
        self.give_way()

    def give_way(self) -> None:
        """Hide the run's layers and show again what they had hidden, unless the user looks at something else by now."""
        for layer in self.layers:
            layer.visible = False
        before, self._before = self._before, None
        if before is not None and not seen(self._viewer):
            before.restore(self._viewer)

    def forget(self, gone: VolumeView) -> None:
        """Another view is about to be discarded: what that one hid is now this one's to show again."""
        if self._before is not None and gone._before is not None and self._before.shows(gone.layers):
            self._before = gone._before

    def bring_to_front(self) -> None:
        """Show the volume, and hide whatever else of ours is seen."""
        main = [layer for layer in self._layers.values() if layer in self._viewer.layers]
        if not main or (all(layer.visible for layer in main) and len(seen(self._viewer)) == len(main)):
            return
        volumes = {'volume', 'preview', 'composition', 'oxidation'}
        among_volumes = any(layer.metadata[image_layers.KEY]['kind'] in volumes for layer in seen(self._viewer))
        hide_ours(self._viewer)
        for layer in main:
            layer.visible = True
        self._viewer.layers.selection.active = main[-1]
        if not among_volumes:
            self._viewer.dims.ndisplay = 3
            self._look_from_a_corner()

    def release(self) -> None:
        """Leave the layers to the user: no limits are set any more."""
        for layer in self._layers.values():
            layer.events.contrast_limits.disconnect(self._limits_moved)
        self._free = set()

    def _show(self, frame: np.ndarray, limits: Limits) -> None:
        """Show a volume (channel, z, y, x); ``limits`` gives the contrast limits of the data of a channel."""
        if self._transposed:
            frame = np.swapaxes(frame, -1, -2)
        if not self._layers:
            self._create(frame, limits)
            return
        for name, data in zip(self._channels, frame, strict=True):
            layer = self._layers[name]
            if layer in self._viewer.layers:
                self._update(name, layer, np.ascontiguousarray(data), limits)

    def _create(self, frame: np.ndarray, limits: Limits) -> None:
        hue = colours(self._channels)
        for name, data in zip(self._channels, frame, strict=True):
            layer = Image(
                np.ascontiguousarray(data),
                name=image_layers.layer_name(name, self._method),
                colormap=image_layers.colormap(name, hue[name]),
                blending='additive',
                opacity=opacity(hue.values()),
                rendering=image_layers.RENDERING,
                attenuation=image_layers.ATTENUATION,
                gamma=image_layers.GAMMA,
                contrast_limits=limits(name, data),
                metadata={
                    image_layers.KEY: {'kind': 'preview', 'channel': name, 'run': self._run, 'notes': self._notes}
                },
                **self._grid(data.shape),
            )
            self._layers[name] = layer
            self._free.add(name)
        self._look_at_volume()
        for layer in self._layers.values():
            self._viewer.add_layer(layer)
            layer.events.contrast_limits.connect(self._limits_moved)
        label_canvas(self._viewer, self.channel_layers)
        self._look_from_a_corner()

    def _look_at_volume(self) -> None:
        self._before = Look.of(self._viewer)
        hide_ours(self._viewer)
        self._viewer.dims.ndisplay = 3

    def _look_from_a_corner(self) -> None:
        look_from_a_corner(self._viewer, self.channel_layers)
        self._first = where_from(self._viewer)

    def _update(self, name: str, layer: Image, data: np.ndarray, limits: Limits) -> None:
        if data.shape != layer.data.shape:
            grid = self._grid(data.shape)
            layer.data = data
            layer.scale, layer.translate = grid['scale'], grid['translate']
        else:
            layer.data = data
        if name not in self._free:
            return
        low, high = limits(name, data)
        self._setting = True
        try:
            # The slider's range does not follow the data by itself, and limits
            # outside of it are cut.
            layer.contrast_limits_range = (low, max(float(data.max()), high))
            layer.contrast_limits = (low, high)
        finally:
            self._setting = False

    def _limits_moved(self, event: Any) -> None:
        if not self._setting:
            self._free.discard(next((n for n, layer in self._layers.items() if layer is event.source), ''))

    def _grid(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Where voxels lie; a preview may be binned."""
        factor = max(1, round(self._rows / shape[1]))
        size = self._pixel_size * factor
        grid = image_layers.volume_grid(shape[0], size)
        middle = (factor - 1) / 2 * self._pixel_size
        grid['translate'] = (grid['translate'][0], middle, middle)
        return grid


def _counted(like: MapSeries | Volume) -> bool:
    if isinstance(like, Volume):
        return True
    return like.are_counts or (like.variance is not None and 'images' not in like.notes)
