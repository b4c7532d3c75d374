"""Standards as the pixels see them: moved by the pixel's own shift, behind its own thickness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from napari_diptomo.series import InputError
from napari_diptomo.spectra.eels.scattering import SingleLoss

#: Between these distances edges are interpolated: of shifts, eV; of thickness, t/lambda.
_SHIFT_STEP, _THICKNESS_STEP = 0.0625, 0.1


@dataclass(frozen=True, eq=False)
class PixelEdges:
    """Edges on the channels of the window, one set for all pixels or one for each.

    Attributes
    ----------
    table : ndarray (shift, thickness, energy, edge)
        Edges at the nodes.
    place : ndarray (2, pixel), optional
        Where each pixel lies between the nodes; None where all are alike.
    """

    table: np.ndarray
    place: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        energy: np.ndarray,
        standards: np.ndarray,
        window: np.ndarray,
        *,
        moved: np.ndarray | float = 0.0,
        shifts: np.ndarray | None = None,
        thickness: np.ndarray | None = None,
        single: SingleLoss | None = None,
    ) -> PixelEdges:
        """Make the edges.

        Parameters
        ----------
        energy : ndarray (energy,)
            eV.
        standards : ndarray (energy, edge)
            Shapes.
        window : ndarray (energy,), bool
            Channels that are fitted.
        moved : ndarray (edge,) or float
            Displacement of the standards, the same at all pixels, eV.
        shifts : ndarray (pixel,), optional
            Displacement of the pixel's energies, eV.
        thickness : ndarray (pixel,), optional
            t/lambda of the pixel beyond what the standards have in them; needs ``single``.
        single : SingleLoss, optional
            What a single loss looks like.

        Raises
        ------
        InputError
            Thickness without the shape of a loss.
        """
        displaced = np.broadcast_to(np.asarray(moved, float), standards.shape[1:])
        shift_nodes, shift_place = _nodes(shifts, _SHIFT_STEP)
        thick_nodes, thick_place = _nodes(thickness, _THICKNESS_STEP)
        if thickness is None:
            behind = standards[None]
        elif single is None:
            raise InputError('Standards behind a thickness need the zero loss in range; fit without the thickness.')
        else:
            behind = single.scattered(standards, thick_nodes)
        spline = CubicSpline(energy, behind, axis=1)
        ends = energy[0], energy[-1]
        table = np.empty((len(shift_nodes), len(thick_nodes), int(window.sum()), standards.shape[1]))
        for i, shift in enumerate(shift_nodes):
            for j, own in enumerate(displaced):
                table[i, :, :, j] = spline(np.clip(energy[window] - shift - own, *ends))[:, :, j]
        if shifts is None and thickness is None:
            return cls(table)
        n = len(shifts if shifts is not None else thickness)  # type: ignore[arg-type]
        place = np.stack([np.broadcast_to(p, (n,)) for p in (shift_place, thick_place)])
        return cls(table, place)

    def at(self, pixels: slice) -> np.ndarray:
        """Edges, (energy, edge) where all pixels are alike, else (pixel, energy, edge)."""
        if self.place is None:
            alike: np.ndarray = self.table[0, 0]
            return alike
        found: np.ndarray | float = 0.0
        for index, share in _corners(self.place[:, pixels], self.table.shape[:2]):
            found = found + share[:, None, None] * self.table[index]
        return np.asarray(found)

    def mean(self, weights: np.ndarray) -> np.ndarray:
        """Weighted mean over the pixels, (energy, edge); ``weights`` (pixel, edge), not negative."""
        if self.place is None:
            return self.at(slice(None))
        nodes = np.zeros((*self.table.shape[:2], weights.shape[1]))
        for index, share in _corners(self.place, self.table.shape[:2]):
            np.add.at(nodes, index, share[:, None] * weights)
        found: np.ndarray = np.einsum('abs,abes->es', nodes, self.table) / nodes.sum(axis=(0, 1))
        return found


def _nodes(values: np.ndarray | None, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes around all values, and the place of each value in units of a node."""
    if values is None:
        return np.zeros(1), np.zeros(1)
    first, last = np.floor(np.min(values) / step), np.ceil(np.max(values) / step)
    return step * np.arange(first, last + 1), np.asarray(values, float) / step - first


def _corners(place: np.ndarray, shape: tuple[int, ...]) -> list[tuple[tuple[np.ndarray, np.ndarray], np.ndarray]]:
    """The four nodes around each pixel and their shares."""
    low = [np.minimum(p.astype(np.intp), max(n - 2, 0)) for p, n in zip(place, shape, strict=True)]
    corners = []
    for i in range(min(shape[0], 2)):
        for j in range(min(shape[1], 2)):
            steps = (i, j)
            shares = [
                np.abs(1 - step - (p - at)) if n > 1 else np.ones(len(p))
                for p, at, step, n in zip(place, low, steps, shape, strict=True)
            ]
            corners.append(((low[0] + i, low[1] + j), shares[0] * shares[1]))
    return corners
