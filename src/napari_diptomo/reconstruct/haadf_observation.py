r"""HAADF images beside the maps: one more observation of the same volume.

    h_t(v, u) = o_t + g_t D( sum_c w_c (A_t x_c) + A_t m ) + e,      D(p) = (1 - exp(-k p)) / k

x_c are the densities of the maps' channels in counts per voxel, w_c >= 0 the intensity that a count of channel c stands for
(`haadf_weights`), m >= 0 matter that no map holds, k the damping of thick paths, o_t and g_t offset and gain of each image.
Intensities add up over atoms whatever these are mixed with, so that D apart the model is linear in x; Schwartz et al.
(Nature Communications 15, 3555, 2024) take powers of x where we take powers of Z.

Nothing but x and m is fitted by the network: o, g and a displacement of each image against the maps are solved for between
iterations, by weighted least squares with weak priors (`HAADFObservation.refit`). The variance of the images is that of the
misfit,

    s_t^2 = f mean (h_t - model)^2,

where f >= 1 is how many pixels share one error of the model: errors that stretch over many pixels are counted once. A
misfit counts as it is, so images that contradict the maps lose their weight by themselves.

Bright particles that no map holds can be given beforehand (`HAADFData.particles`); their path is added to that of the volume.

Formulas: HAADF intensity of a volume, and its variance from the misfit (`HAADFObservation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from napari_diptomo.geometry import ParallelBeam
from napari_diptomo.geometry.torch_projector import TorchProjector
from napari_diptomo.reconstruct.haadf_weights import Intensity
from napari_diptomo.series.haadf import HAADFSeries

#: Prior deviations of the gain of a tilt and of a displacement (pixels), and the largest displacement.
_GAIN_SPREAD, _SHIFT_SPREAD, _FARTHEST = 0.03, 0.7, 3.0
#: A displacement is changed by no more than this at once, and below this the matrices stay as they are, pixels.
_STEP, _STILL = 0.5, 0.02
#: The variance falls at most by this factor from one refit to the next.
_FALL = 0.5
#: Least variance, of images that a volume explains exactly.
_EXACT = 1e-8
#: Share of their likelihood that the images get: weights that are wrong by a few percent are wrong in all pixels alike, which
#: no residual shows. At 1 the held-out counts of a porous body were predicted worse than without images (by 4 standard
#: errors), at 0.3 and 0.1 better (5); 0.1 gains half as much (docs/haadf-fit.md).
TRUST = 0.3
#: Least weight of a channel, relative to their median: what it is divided by must not vanish.
_LEAST = 0.1
#: Edge of the blocks whose mean shows errors that neighbours share, pixels.
_BLOCK = 4


@dataclass(frozen=True, eq=False)
class HAADFData:
    """Images ready to be fitted.

    Attributes
    ----------
    series : HAADFSeries
        On the pixels and in the frame of the maps, over their own range.
    intensity : Intensity
        Per count of the maps.
    trust : float
        Share of their likelihood that they get.
    particles : Tensor (z, y, x), optional
        Intensity per voxel of bright matter that no map holds, where it is known (`tv.bright_particles`).
    """

    series: HAADFSeries
    intensity: Intensity
    trust: float = TRUST
    particles: torch.Tensor | None = None


class HAADFObservation:
    """Images, their projector, and the numbers that are refitted.

    Parameters
    ----------
    series : HAADFSeries
        Images on the pixels of the maps, over their own range, dark level left in.
    intensity : Intensity
        Weights of the channels and damping.
    shape : tuple of int
        Of the volume that is solved for (z, y, x).
    device : torch.device
        Where to compute.
    data_size : float
        Data of the maps: the images' term is per datum of those.
    trust : float
        Share of their likelihood that the images get.

    Attributes
    ----------
    weights : Tensor (channel,)
        Intensity per count.
    damping : float
        k of the module's formula.
    offset, gain, variance : Tensor (tilt,)
        Of the images.
    shifts, shift_errors : ndarray (tilt, 2)
        Displacement of each image against the maps and its standard deviation, pixels (y, x).
    misfit, misfits : float, list of float
        Root mean square of the residual, of all images and of each, in units of the images' range.
    shared : float
        f of the module's formula.
    """

    def __init__(
        self,
        series: HAADFSeries,
        intensity: Intensity,
        shape: tuple[int, ...],
        device: torch.device,
        data_size: float,
        trust: float = TRUST,
        particles: torch.Tensor | None = None,
    ) -> None:
        self.series, self.device, self._particles = series, device, particles
        self._shape, self._data_size, self._trust = shape, data_size, trust
        self._images = torch.as_tensor(series.images, device=device)
        self.weights = torch.as_tensor(intensity.weights, dtype=torch.float32, device=device)
        self.damping = float(intensity.damping)
        tilts = len(series.angles)
        self.offset, self.gain = torch.zeros(tilts, device=device), torch.ones(tilts, device=device)
        self.variance = torch.full((tilts,), float('inf'), device=device)
        self.shifts, self.shift_errors = np.zeros((tilts, 2)), np.full((tilts, 2), np.inf)
        self.misfit, self.shared = float('inf'), 1.0
        self.misfits = [float('inf')] * tilts
        self._place()
        seen = np.broadcast_to(self._projector.beam.covered_pixels, series.images.shape)
        if series.missing is not None:
            seen = seen & ~series.missing
        self._mask = torch.as_tensor(np.ascontiguousarray(seen, np.float32), device=device)

    def _place(self) -> None:
        """Make the matrices of the present displacements."""
        s = self.series
        beam = ParallelBeam(
            s.angles,
            (self._shape[0], self._shape[1], self._shape[2]),
            np.asarray(s.shifts) + self.shifts,
            s.axis_shift,
            s.images.shape[2],
            axis_rotation=s.axis_rotation,
        )
        self._projector, self._placed = TorchProjector(beam, self.device), self.shifts.copy()
        self._path_of_particles = None if self._particles is None else self._projector.project(self._particles[None])[0]

    @property
    def positive_weights(self) -> torch.Tensor:
        """The weights (channel,), none so small that nothing can be divided by it."""
        return self.weights.clamp_min(_LEAST * float(self.weights.median()) + 1e-12)

    def typical(self, densities: torch.Tensor, unmapped: float) -> torch.Tensor:
        """Typical densities of the channels (channel, 1, 1, 1), and of what no map holds, ``unmapped`` times their brightness."""
        unmapped_density = unmapped * (self.positive_weights * densities.flatten()).mean().reshape(1, 1, 1, 1)
        return torch.cat([densities, unmapped_density])

    def brightness(self, x: torch.Tensor) -> torch.Tensor:
        """Intensity per voxel (z, y, x) of a volume whose last channel is what no map holds."""
        return torch.einsum('c,czyx->zyx', self.weights, x[:-1]) + x[-1]

    def model(self, x: torch.Tensor) -> torch.Tensor:
        """Images (tilt, y, u) expected of a volume (channel and unmapped, z, y, x)."""
        return self._images_of(self._damped(self.path(x)))

    def term(self, x: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of the images per datum of the maps, times the trust in it."""
        squares = (self._mask * (self._images - self.model(x)).square()).sum((1, 2))
        return self._trust * 0.5 * (squares / self.variance).sum() / self._data_size

    @torch.no_grad()
    def linear_about(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Slope a and target b, (tilt, y, u), for which the images' log-likelihood is -|a p - b|^2 / 2 near a volume.

        Parameters
        ----------
        x : Tensor (channel and unmapped, z, y, x)
            The volume; p is the `path` of one near it. Without damping the likelihood is the same everywhere.

        Returns
        -------
        tuple of Tensor
        """
        p = self.path(x)
        root = (self._trust * self._mask / self.variance[:, None, None]).sqrt()
        slope = root * self.gain[:, None, None] * torch.exp(-self.damping * p)
        return slope, root * (self._images - self._images_of(self._damped(p))) + slope * p

    @torch.no_grad()
    def refit(self, x: torch.Tensor, move: bool = True) -> None:
        """Solve for offset, gain and displacement of each image, and measure the misfit.

        Parameters
        ----------
        x : Tensor (channel and unmapped, z, y, x)
            The volume.
        move : bool
            Whether the displacements may change.
        """
        path = self.path(x)
        self._fit_tilts(self._damped(path), move)
        self._measure(path)
        if np.abs(self.shifts - self._placed).max() > _STILL:
            self._place()

    @torch.no_grad()
    def measure(self, x: torch.Tensor) -> None:
        """Measure the misfit of a volume (channel and unmapped, z, y, x); nothing else is fitted."""
        self._measure(self.path(x))

    def paths(self, x: torch.Tensor) -> np.ndarray:
        """Projections (channel, tilt, y, u) of a volume where the images are, float64 on the host."""
        return np.asarray(self._projector.project(x).double().cpu().numpy())

    def corrected_images(self) -> tuple[np.ndarray, np.ndarray]:
        """The images over their gain, less their offset, and the weight of their pixels (tilt, y, u)."""
        images = (self._images - self.offset[:, None, None]) / self.gain[:, None, None]
        return images.double().cpu().numpy(), self._mask.double().cpu().numpy()

    def path(self, x: torch.Tensor) -> torch.Tensor:
        """Undamped intensity (tilt, y, u) along each path through a volume (channel and unmapped, z, y, x)."""
        path = self._projector.project(self.brightness(x)[None])[0]
        return path if self._path_of_particles is None else path + self._path_of_particles

    def path_adjoint(self, p: torch.Tensor) -> torch.Tensor:
        """The adjoint of the part of `path` that is linear in the volume."""
        back = self._projector.backproject(p[None])
        return torch.cat([self.weights[:, None, None, None] * back, back])

    def notes(self, x: torch.Tensor) -> dict[str, Any]:
        """Numbers learned of the images, JSON-ready; weights in units of the images' range per count.

        Parameters
        ----------
        x : Tensor (channel and unmapped, z, y, x)
            The volume that was fitted.
        """
        bright = self.brightness(x).sum()
        further = bright.new_zeros(()) if self._particles is None else self._particles.sum()
        return {
            'angles': [float(angle) for angle in self.series.angles],
            'weights': [float(weight) for weight in self.weights],
            'damping': self.damping,
            'unmapped': float((x[-1].sum() + further) / (bright + further).clamp_min(1e-12)),
            'shifts': self.shifts.round(3).tolist(),
            'shift_errors': self.shift_errors.round(3).tolist(),
            'misfit': self.misfit,
            'misfits': [float(misfit) for misfit in self.misfits],
            'shared': self.shared,
        }

    def _damped(self, p: torch.Tensor) -> torch.Tensor:
        return p if self.damping <= 0 else -torch.expm1(-self.damping * p) / self.damping

    def _images_of(self, damped: torch.Tensor) -> torch.Tensor:
        return self.offset[:, None, None] + self.gain[:, None, None] * damped

    def _fit_tilts(self, q: torch.Tensor, move: bool) -> None:
        """Weighted least squares of each image: 1, q and, where it may move, the derivatives of q."""
        columns = [torch.ones_like(q), q]
        if move:
            along, across = torch.gradient(q, dim=(1, 2))
            columns += [-along, -across]
        known = torch.where(torch.isfinite(self.variance), self.variance, torch.full_like(self.variance, 0.02))
        a = torch.stack(columns, -1).flatten(1, 2).double().cpu().numpy()
        weight = (self._mask / known[:, None, None]).flatten(1).double().cpu().numpy()
        images = self._images.flatten(1).double().cpu().numpy()
        precision = np.array([0, 1 / _GAIN_SPREAD**2] + [1 / _SHIFT_SPREAD**2] * 2)[: a.shape[2]]
        offset, gain = np.empty(len(a)), np.empty(len(a))
        for t in range(len(a)):
            expected = np.array([0, 1, *-self.shifts[t]])[: a.shape[2]]
            matrix = a[t].T @ (weight[t][:, None] * a[t]) + np.diag(precision)
            matrix[0, 0] += 1e-9
            found = np.linalg.solve(matrix, a[t].T @ (weight[t] * images[t]) + precision * expected)
            offset[t], gain[t] = found[0], max(found[1], 0.1)
            if move:
                step = np.clip(found[2:] / gain[t], -_STEP, _STEP)
                self.shifts[t] = np.clip(self.shifts[t] + step, -_FARTHEST, _FARTHEST)
                self.shift_errors[t] = np.sqrt(np.diag(np.linalg.inv(matrix))[2:])
        # A gain that all images share is a scale of the weights.
        self.weights = self.weights * float(gain.mean())
        self.damping /= float(gain.mean())
        self.offset = torch.as_tensor(offset, dtype=torch.float32, device=self.device)
        self.gain = torch.as_tensor(gain / gain.mean(), dtype=torch.float32, device=self.device)

    def _measure(self, path: torch.Tensor) -> None:
        residual = self._mask * (self._images - self._images_of(self._damped(path)))
        each = residual.square().sum((1, 2)) / self._mask.sum((1, 2)).clamp_min(1)
        self.misfit, self.misfits = float(each.mean().sqrt()), each.sqrt().tolist()
        blocks = torch.nn.functional.avg_pool2d(residual[:, None], min(_BLOCK, *residual.shape[1:]))
        alike = _BLOCK**2 * float(blocks.square().mean() / residual.square().mean().clamp_min(1e-30))
        self.shared = min(max(alike, 1.0), float(_BLOCK**2))
        now = (self.shared * 0.5 * (each + each.mean())).clamp_min(_EXACT)
        self.variance = torch.where(torch.isfinite(self.variance), torch.maximum(now, _FALL * self.variance), now)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            'weights': self.weights,
            'damping': self.damping,
            'offset': self.offset,
            'gain': self.gain,
            'variance': self.variance,
            'shifts': torch.as_tensor(self.shifts),
            'shift_errors': torch.as_tensor(self.shift_errors),
            'placed': torch.as_tensor(self._placed),
            'misfit': self.misfit,
            'misfits': list(self.misfits),
            'shared': self.shared,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        for name in ('weights', 'offset', 'gain', 'variance'):
            setattr(self, name, state[name].to(self.device))
        self.damping, self.misfit, self.shared = state['damping'], state['misfit'], state['shared']
        self.misfits = list(state['misfits'])
        self.shift_errors = state['shift_errors'].numpy().copy()
        self.shifts = state['placed'].numpy().copy()
        self._place()
        self.shifts = state['shifts'].numpy().copy()
