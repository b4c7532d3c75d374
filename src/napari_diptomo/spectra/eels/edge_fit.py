r"""Edges and background of every pixel, fitted together.

The expected counts of a pixel are

    m(E) = sum_b x_b B_b(E) + sum_s a_s S_s(E - d_s),

B the background that the tilt as a whole has, modulated at the pixel
(`background`), S the standards of the edges, d their displacement. Nothing is
subtracted beforehand: what the background can take from an edge is in the
covariance of its intensities. Minimised is

    sum_E (n - m)^2 / (m' + r^2),     x, a >= 0,

r the read-out noise of a channel and m' what is EXPECTED of the pixel
(`pixel_solver`): weights 1/n would follow the noise and pull the intensities down.

Standards are what each pixel sees of them, moved by its own shift and behind its own
thickness, interpolated between the nodes of a table of both (`PixelEdges`).

Formulas: fit of edges and background of a pixel (`fit_edges`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar

from napari_diptomo.series import InputError
from napari_diptomo.spectra.eels.background import BackgroundModel, TiltBackground, fit_background
from napari_diptomo.spectra.eels.pixel_solver import PixelSolver
from napari_diptomo.spectra.eels.scattering import SingleLoss

#: Pixels that are solved together.
_CHUNK = 1024
#: Of these at the same time at most: each holds edges of its own pixels.
_SIDE_BY_SIDE = 4
#: Standards may be moved by this much, eV, in so many rounds.
_MOST_SHIFT, _SHIFT_ROUNDS = 0.8, 2
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
            Distribution of a single loss.

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


@dataclass(frozen=True, eq=False)
class EdgeFit:
    """Edges and background of the pixels of a tilt.

    Attributes
    ----------
    intensities : ndarray (pixel, edge)
        In units of the standards: counts, where those have one count.
    covariance : ndarray (pixel, edge, edge)
        Of the intensities, from counting and read-out noise; the background is in it.
    chi2 : ndarray (pixel,)
        Per degree of freedom.
    background : ndarray (pixel, column)
        Intensities of ``columns``.
    columns : ndarray (window, column)
        Columns of the background of a pixel.
    energy : ndarray (window,)
        Energies of the channels that were fitted, eV.
    shift : ndarray (edge,)
        Shift of the standards, eV.
    edges : PixelEdges
        The standards as fitted.
    held_out : ndarray (pixel, edge), optional
        The linear fit with the same weights applied to the held-out counts.
    tilt : TiltBackground
        The fit of the sum of all pixels.
    """

    intensities: np.ndarray
    covariance: np.ndarray
    chi2: np.ndarray
    background: np.ndarray
    columns: np.ndarray
    energy: np.ndarray
    shift: np.ndarray
    edges: PixelEdges
    tilt: TiltBackground
    held_out: np.ndarray | None = None

    def spectra(self, pixels: slice) -> tuple[np.ndarray, np.ndarray]:
        """Fitted background (pixel, window) and edges (pixel, window, edge), expected counts."""
        shapes = self.edges.at(pixels)
        return self.background[pixels] @ self.columns.T, shapes * self.intensities[pixels][:, None, :]


def fit_edges(
    counts: np.ndarray,
    energy: np.ndarray,
    standards: np.ndarray,
    background_model: BackgroundModel = 'sum of power laws',
    *,
    window: tuple[float, float] = (36.0, 95.0),
    order: int = 1,
    read_noise: float = 0.0,
    fit_shift: str = 'none',
    shifts: np.ndarray | None = None,
    thickness: np.ndarray | None = None,
    single: SingleLoss | None = None,
    allow_negative: bool = False,
    held: np.ndarray | None = None,
    between: Callable[[], object] | None = None,
) -> EdgeFit:
    """Fit edges and background to all pixels of a tilt.

    Parameters
    ----------
    counts : ndarray (pixel, energy)
        Spectra, dark level subtracted.
    energy : ndarray (energy,)
        eV.
    standards : ndarray (energy, edge)
        Shapes of the edges on ``energy``.
    background_model : {'sum of power laws', 'power law', 'exponential', 'log-polynomial', 'plasmon tail'}
        Of the background.
    window : tuple of float
        Energies that are fitted, eV; some 10 eV in front of the edge belong to it.
    order : int
        Polynomial order of the background at a pixel: 0 scales it, 1 tilts it, 2 bends it.
    read_noise : float
        Standard deviation of a channel that is not from counting, counts.
    fit_shift : {'none', 'common', 'each'}
        Move the standards, all together or each by itself, to where the tilt's sum has them.
    shifts : ndarray (pixel,), optional
        Displacement of the pixels' energies where known (zero loss) and not yet taken out, eV.
    thickness : ndarray (pixel,), optional
        t/lambda of the pixels beyond what the standards have in them; needs
        ``single``. Intensities are then as they would be without plural scattering.
    single : SingleLoss, optional
        Distribution of a single loss; for ``thickness`` and the plasmon background model.
    allow_negative : bool
        Let the intensities of edges become negative: without bias where an edge is absent.
    held : ndarray (pixel, energy), optional
        Held-out counts, which are not in ``counts``. They go through the operator that is made from
        the others: linear, without bias, with no noise in common.
    between : callable, optional
        Called every thousand pixels; it may raise to end the work.

    Raises
    ------
    InputError
        A window without edge or without room in front of it, shapes that do not fit.
    """
    inside = _inside(counts, energy, standards, window)
    spectra, read_variance = counts[:, inside], read_noise**2
    total = spectra.sum(axis=0, dtype=float)

    def edges_moved(by: np.ndarray) -> PixelEdges:
        return PixelEdges.of(energy, standards, inside, moved=by, shifts=shifts, thickness=thickness, single=single)

    def fit_sum(edges: PixelEdges, weights: np.ndarray) -> TiltBackground:
        noise = len(spectra) * read_variance
        shapes = edges.mean(weights)
        return fit_background(background_model, energy[inside], total, shapes, read_variance=noise, single=single)

    # Where pixels have their own edges, those of the sum are a mean over the pixels that have them.
    weights = np.repeat(np.maximum(spectra.sum(axis=1, dtype=float), 1e-6)[:, None], standards.shape[1], axis=1)
    shift = _fitted_shift(lambda by: fit_sum(edges_moved(by), weights).chi2, standards.shape[1], fit_shift)
    edges = edges_moved(shift)
    for _ in range(1 if edges.place is None else 2):
        tilt = fit_sum(edges, weights)
        columns = tilt.columns(energy[inside], order) / len(spectra)
        mean = np.maximum(total, 0) / len(spectra)
        solver = PixelSolver.of(edges.mean(weights), columns, mean, read_variance, allow_negative)
        found = _solved(solver, spectra, None if held is None else held[:, inside], edges, between)
        intensities, background, covariance, chi2, kept = (np.concatenate(one) for one in zip(*found, strict=True))
        weights = np.maximum(intensities, 1e-6)
    return EdgeFit(
        intensities,
        covariance,
        chi2,
        background,
        columns,
        energy[inside],
        shift,
        edges,
        tilt,
        kept if held is not None else None,
    )


def _solved(
    solver: PixelSolver,
    spectra: np.ndarray,
    held: np.ndarray | None,
    edges: PixelEdges,
    between: Callable[[], object] | None,
) -> list[tuple[np.ndarray, ...]]:
    """All pixels, a thousand at a time and on all cores: most of it is work on arrays, which threads share well."""

    def solved(part: slice) -> tuple[np.ndarray, ...]:
        return solver.solve(spectra[part], edges.at(part), None if held is None else held[part])

    started = []
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _SIDE_BY_SIDE)) as pool:
        for part in _parts(len(spectra)):
            if between is not None:
                between()
            started.append(pool.submit(solved, part))
        return [one.result() for one in started]


def _inside(counts: np.ndarray, energy: np.ndarray, standards: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    if standards.shape[0] != len(energy) or counts.shape[1] != len(energy):
        raise InputError(
            f'Spectra have {counts.shape[1]} channels, standards {standards.shape[0]} and the axis {len(energy)}; '
            'bring them to the same energies.'
        )
    inside = (energy >= window[0]) & (energy <= window[1])
    if window[0] <= 0 or inside.sum() < 3 * standards.shape[1] + 6:
        raise InputError(
            f'The window {window[0]:g}-{window[1]:g} eV holds {inside.sum()} channels of the spectra; '
            'choose one around the edge.'
        )
    if (standards[inside].max(axis=0) <= 0).any():
        raise InputError(f'A standard has no edge within {window[0]:g}-{window[1]:g} eV; move the window.')
    return inside


def _parts(pixels: int) -> Iterator[slice]:
    for first in range(0, pixels, _CHUNK):
        yield slice(first, min(first + _CHUNK, pixels))


def _fitted_shift(chi2: Callable[[np.ndarray], float], edges: int, how: str) -> np.ndarray:
    """Displacements of least chi-square: of all edges together, then of each in turn."""
    shift = np.zeros(edges)
    if how not in ('none', 'common', 'each'):
        raise InputError(f'Standards can be moved none, common or each, not {how}.')
    groups = {'none': [], 'common': [np.ones(edges)], 'each': [np.ones(edges)]}[how]
    if how == 'each' and edges > 1:
        groups = groups + list(np.eye(edges)) * _SHIFT_ROUNDS
    for group in groups:
        shift = _moved_along(chi2, shift, group)
    return shift


def _moved_along(chi2: Callable[[np.ndarray], float], shift: np.ndarray, group: np.ndarray) -> np.ndarray:
    found = minimize_scalar(
        lambda by: chi2(shift + by * group),
        bounds=(-_MOST_SHIFT, _MOST_SHIFT),
        method='bounded',
        options={'xatol': 5e-3},
    )
    return np.asarray(np.clip(shift + found.x * group, -_MOST_SHIFT, _MOST_SHIFT))
