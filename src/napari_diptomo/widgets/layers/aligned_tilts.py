"""The aligned stack as a layer, to be looked at only: images as the shifts place them, or their differences."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer

from napari_diptomo.series import MapSeries
from napari_diptomo.widgets.layers.image_layers import KEY, LayerTuple, Provenance, contrast_limits, tilted
from napari_diptomo.widgets.layers.maps_view import MapsView

#: What is seen of the tilts: the maps as measured, the aligned images, their difference from a neighbour, or both in turn.
View = Literal['measured', 'aligned', 'difference', 'flicker']
_ALIGNED, _OVER = 'aligned tilts', 'aligned tilts, compared'
_FLICKER_MS = 400
#: From less to more than the neighbour, distinguished by all kinds of colour vision.
_LESS, _MORE = '#56b4e9', '#e69f00'


class AlignedTilts(QObject):
    """Shows an aligned series above its maps, and follows its shifts.

    The layers belong to the `MapsView`: they stay when the dock goes, and go when
    other maps are shown.
    """

    def __init__(self, viewer: ViewerModel, maps_view: MapsView, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._maps_view = maps_view
        self._recorded: tuple[Any, np.ndarray] | None = None
        self._placement = np.zeros((0, 5))
        self._images = np.zeros((0, 0, 0), np.float32)
        self._layer: Layer | None = None
        self._over: Layer | None = None
        self._view: View = 'measured'
        self._blink = QTimer(self)
        self._blink.setInterval(_FLICKER_MS)
        self._blink.timeout.connect(self._turn_over)

    @property
    def view(self) -> View:
        """The present view of the tilts."""
        return self._view if self._is_there(self._layer) else 'measured'

    def show(self, maps: MapSeries, view: View) -> None:
        """Show this of an aligned series."""
        self._view = view
        self._blink.stop()
        if view == 'measured':
            self.clear()
            return
        rebuilt = self._place(maps)
        if rebuilt or not self._is_there(self._layer):
            self.clear()
            self._layer = self._maps_view.add_above(self._part(maps, self._images, _ALIGNED, 'gray'))
        assert self._layer is not None, 'made above'
        self._layer.visible = True
        self._maps_view.remove_kind(_OVER)
        self._over = None
        if view == 'difference':
            part = self._part(maps, self._against_neighbours(), _OVER, 'neighbour difference')
            self._over = self._maps_view.add_above(part)
        elif view == 'flicker':
            neighbours = self._images[_neighbours(len(self._images))]
            self._over = self._maps_view.add_above(self._part(maps, neighbours, _OVER, 'neighbouring tilt'))
            self._over.contrast_limits = self._layer.contrast_limits
            self._blink.start()
        self._viewer.layers.selection.active = self._over if view == 'difference' else self._layer

    def follow(self, maps: MapSeries) -> None:
        """Other shifts: the layers that are there show them."""
        if not self._is_there(self._layer) or self._layer is None:
            return
        if self._place(maps):
            self.show(maps, self._view)
            return
        self._layer.refresh(extent=False, thumbnail=False)
        if self._is_there(self._over) and self._over is not None:
            if self._view == 'difference':
                images = self._against_neighbours()
            else:
                images = self._images[_neighbours(len(self._images))]
            self._over.data[:] = _stacked(images, maps.transposed)
            self._over.refresh(extent=False, thumbnail=False)

    def clear(self) -> None:
        """Take the layers away."""
        self._blink.stop()
        for kind in (_ALIGNED, _OVER):
            self._maps_view.remove_kind(kind)
        self._layer = self._over = None

    def cleanup(self) -> None:
        """Stop following; what is shown stays, without flickering."""
        self._blink.stop()
        if self._view == 'flicker':
            self._maps_view.remove_kind(_OVER)

    def _is_there(self, layer: Layer | None) -> bool:
        return layer is not None and layer in self._viewer.layers

    def _place(self, maps: MapSeries) -> bool:
        """Move the images whose place is another; returns whether all had to be made anew."""
        from napari_diptomo.align.by_hand import align_step
        from napari_diptomo.align.reference_images import placed_image, shown_images, uses_haadf

        reference = align_step(maps).reference
        source = maps.haadf if uses_haadf(maps, reference) else maps.data
        anew = self._recorded is None or self._recorded[0] is not source or len(self._images) != len(maps.angles)
        if anew:
            self._recorded = source, shown_images(maps, reference)
            self._images = np.zeros(self._recorded[1].shape, np.float32)
        assert self._recorded is not None, 'made above'
        common = (maps.axis_shift, maps.axis_rotation, float(maps.transposed))
        placement = np.array([(*shift, *common) for shift in np.asarray(maps.shifts)])
        for tilt, where in enumerate(placement):
            if anew or not np.array_equal(where, self._placement[tilt]):
                recorded = self._recorded[1][tilt]
                self._images[tilt] = placed_image(recorded, where[:2], maps.axis_shift, maps.axis_rotation)
        self._placement = placement
        return anew

    def _against_neighbours(self) -> np.ndarray:
        """Each image less its neighbour, which is brought to the same sum."""
        others = self._images[_neighbours(len(self._images))]
        sums = others.sum(axis=(1, 2))
        ratio = self._images.sum(axis=(1, 2)) / np.where(sums == 0, 1, sums)
        return np.asarray(self._images - ratio[:, None, None] * others)

    def _part(self, maps: MapSeries, images: np.ndarray, kind: str, what: str) -> LayerTuple:
        from napari.utils import Colormap

        if 'difference' in what:
            most = max(float(np.percentile(np.abs(images), 99.5)), 1e-6)
            limits, colormap = (-most, most), Colormap([_LESS, '#000000', _MORE], name='less and more')
        else:
            limits, colormap = contrast_limits(images), 'gray'
        record = Provenance(kind=kind, channel=kind, angles=[float(angle) for angle in maps.angles])
        return (
            _stacked(images, maps.transposed),
            {
                **tilted(maps.angles, maps.pixel_size),
                'name': _ALIGNED if kind == _ALIGNED else what,
                'colormap': colormap,
                'blending': 'opaque',
                'contrast_limits': limits,
                'metadata': {KEY: record},
            },
            'image',
        )

    def _turn_over(self) -> None:
        if self._is_there(self._over) and self._over is not None:
            self._over.visible = not self._over.visible
        else:
            self._blink.stop()


def _neighbours(tilts: int) -> np.ndarray:
    """The tilt before each, after the first."""
    return np.abs(np.arange(tilts) - 1) if tilts > 1 else np.zeros(tilts, int)


def _stacked(images: np.ndarray, transposed: bool) -> np.ndarray:
    """Images (tilt, y, x) as a layer (tilt, z, y, x), as they were recorded."""
    return (np.swapaxes(images, -1, -2) if transposed else images)[:, None]
