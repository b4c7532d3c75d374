"""The core-loss files of an EELS series: dropped or chosen, with the tilts they are of."""

from __future__ import annotations

from napari_diptomo.widgets.controls.files_beside import FilesBeside


class CoreLossFiles(FilesBeside):
    """Names the files; their angles can be typed where the files do not hold them."""

    field = 'core_loss'
    name = 'core loss'
    nothing = 'EELS only: drop the files here, or choose them.'
    question = 'Core loss of one tilt or more'
