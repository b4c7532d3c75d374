"""Where a voxel falls on the detector at each tilt, and the projector built on it."""

from napari_diptomo.geometry.parallel_beam import ParallelBeam

__all__ = ['ParallelBeam']
