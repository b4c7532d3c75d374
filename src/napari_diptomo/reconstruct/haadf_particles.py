"""Bright particles that no map holds: where they lie, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.series import Finding

#: Particles whose places are named.
_SHOWN = 3
#: Least part of the whole intensity: single voxels that follow misfits, of diffraction for one, have a tenth of a thousandth.
_LEAST = 5e-4


def listed(problem: Problem, particles: torch.Tensor | None, further: float) -> list[list[float]]:
    """Place and share of each particle, the brightest first, JSON-ready.

    Parameters
    ----------
    problem : Problem
        Of the volume.
    particles : Tensor (z, y, x) or None
        Intensity per voxel of the particles alone.
    further : float
        Intensity of everything else.

    Returns
    -------
    list of [z, y, x, share]
        Voxel of the volume that the user sees, and part of the whole intensity; touching voxels are one particle, and those
        with less than a two-thousandth are left out.
    """
    if particles is None or not particles.any():
        return []
    bright = particles.double().cpu().numpy()
    labels, count = ndimage.label(bright > 0, np.ones((3, 3, 3)))
    each = range(1, count + 1)
    shares = ndimage.sum_labels(bright, labels, each) / (bright.sum() + further)
    before_z, before_x = problem.margins
    places = np.add(ndimage.center_of_mass(bright, labels, each), (before_z, 0, before_x))
    order = [i for i in np.argsort(shares)[::-1] if shares[i] >= _LEAST]
    return [[*(round(float(c), 1) for c in places[i]), float(shares[i])] for i in order]


def finding_on(particles: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
    """Finding on the particles of `listed`; none where there are no particles."""
    if not particles:
        return ()
    share, several = sum(particle[3] for particle in particles), len(particles) > 1
    where = '; '.join(', '.join(f'{c:.0f}' for c in particle[:3]) for particle in particles[:_SHOWN])
    sentence = (
        f'The HAADF images show {len(particles)} bright particle{"s" if several else ""} that no map holds, with at least '
        f'{100 * share:.1f} % of the intensity{", the brightest" if len(particles) > _SHOWN else ""} at z, y, x = {where} (voxels). '
        'Dirt, or an element that was not mapped: look for its lines in the spectra.'
    )
    return (Finding('doubt', 'particles', sentence, {'particles': len(particles), 'share': share}),)


def with_particles(
    numbers: Mapping[str, Any], problem: Problem, particles: torch.Tensor | None, further: torch.Tensor
) -> dict[str, Any]:
    """Numbers of the images (`HAADFObservation.notes`) with the particles as `listed`; ``further``: intensity per voxel of the rest."""
    return {**numbers, 'particles': listed(problem, particles, float(further.sum()))}
