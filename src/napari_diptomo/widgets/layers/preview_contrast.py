"""The contrast limit of the previews of a channel: it falls to what is seen only once something stands out.

The first outputs of an untrained network are noise about the density that matter has as a rule. Limits taken from them would
show that noise in full brightness, layer upon layer. So the first preview is dim, and the limit is held until a preview
stands out from its median, or no longer changes (a specimen may fill the volume); then it falls by half at most
from one preview to the next. Measured on a lamella, facetted particles and a needle: noise and matter part between
iterations 10 and 20 of a network, where the ratio of limit to median rises from 2 to 6 and more.
"""

from __future__ import annotations

import numpy as np

from napari_diptomo.widgets.layers.image_layers import contrast_limits, levels

#: Limit of a first preview in units of its median, from which on a preview stands out, and the change that is none.
_DIM, _STANDS_OUT, _STILL = 6.0, 5.0, 0.03
#: Part of the limit before to which it falls at most.
_FALL = 0.5


class PreviewContrast:
    """The limits of one channel, preview by preview."""

    def __init__(self) -> None:
        self._limit = 0.0
        self._levels: tuple[float, float] | None = None

    def limits(self, data: np.ndarray) -> tuple[float, float]:
        """Limits for the next preview.

        Parameters
        ----------
        data : ndarray
            Values of the preview.

        Returns
        -------
        low, high : float
        """
        low, own = contrast_limits(data)
        middle, top = levels(data)
        before, self._levels = self._levels, (middle, top)
        stands_out = top >= _STANDS_OUT * middle
        if before is None:
            self._limit = own if stands_out else max(own, _DIM * middle)
        else:
            still = np.allclose(self._levels, before, rtol=_STILL)
            self._limit = max(own, self._limit * (_FALL if stands_out or still else 1.0))
        return low, self._limit
