"""From maps to volumes: SIRT, Poisson EM, joint total variation, DIPm-TV. Torch is imported when a step runs."""

from napari_diptomo.reconstruct.base import Reconstruction
from napari_diptomo.reconstruct.dipm_tv import DIPmTV
from napari_diptomo.reconstruct.poisson_em import PoissonEM
from napari_diptomo.reconstruct.sirt import SIRT
from napari_diptomo.reconstruct.total_variation import TotalVariation

__all__ = ['SIRT', 'DIPmTV', 'PoissonEM', 'Reconstruction', 'TotalVariation']
