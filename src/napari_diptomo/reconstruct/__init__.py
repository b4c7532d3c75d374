"""From maps to volumes: SIRT, Poisson EM, joint total variation, DIPm-TV. Torch is imported when a step runs."""

from napari_diptomo.reconstruct.steps.base import Reconstruction
from napari_diptomo.reconstruct.steps.dipm_tv import DIPmTV
from napari_diptomo.reconstruct.steps.poisson_em import PoissonEM
from napari_diptomo.reconstruct.steps.sirt import SIRT
from napari_diptomo.reconstruct.steps.total_variation import TotalVariation

__all__ = ['SIRT', 'DIPmTV', 'PoissonEM', 'Reconstruction', 'TotalVariation']
