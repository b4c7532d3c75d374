"""How good a volume is: against a known truth, and against the data alone."""

from napari_diptomo.assess.agreement import count_ceiling, half_ceiling, projection_correlation
from napari_diptomo.assess.quality import CompositionError, compare, composition_error, psnr, ssim
from napari_diptomo.assess.resolution import (
    FSC,
    WedgeFSC,
    elongation,
    fsc,
    fsc_wedge,
    measured_frequencies,
    wedge_elongation,
)

__all__ = [
    'FSC',
    'CompositionError',
    'WedgeFSC',
    'compare',
    'composition_error',
    'count_ceiling',
    'elongation',
    'fsc',
    'fsc_wedge',
    'half_ceiling',
    'measured_frequencies',
    'projection_correlation',
    'psnr',
    'ssim',
    'wedge_elongation',
]
