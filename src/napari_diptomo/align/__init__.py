"""Finding the shifts of the images and the tilt axis; the counts are never moved."""

from napari_diptomo.align.align import Align

__all__ = ['Align']
