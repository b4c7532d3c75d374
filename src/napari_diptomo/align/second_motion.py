r"""How the specimen lies in a second tilt series.

Between the series the specimen was turned in the holder, by hand, and put back: all of the motion (`Reinsertion`) is unknown.
A volume is made of each series by SIRT. The second one, turned in steps through the full circle, either face up, and with
either sign of its tilts, is laid over the first by Fourier correlation. Where several placements agree about as well, as those of a
film do, whose volumes are most alike with their missing wedges in one place, the images decide: each is refined, coarsely, and what
explains them best is the start; of equals, as a cube has, that nearest to a turn by 90 degrees. Then the motion is refined against the
images of the second series,

    min over T of  sum_c,t (y_c,t - g_c A'_t T x_c)^2 / variance,

by Gauss-Newton steps, x being a volume of the first series by total variation: in one by SIRT there is noise enough to pull
the motion to where interpolation smooths it or the field cuts it off. The dose g_c of each channel is that of the totals.
The same is done from the second series to the images of the first. The middle of both is returned; what lies between them is the
larger part of the errors.

What is given is not taken on trust: a turn or a face is compared with all others, and the pixel size of the second series with
larger and smaller ones, by how well the images are explained.

Formulas: motion of the specimen between two tilt axes (`second_motion`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.spatial.transform import Rotation

from napari_diptomo.geometry.second_projector import ReinsertedProjector, resample
from napari_diptomo.reconstruct import TotalVariation
from napari_diptomo.reconstruct.data_checks import without_empty_tilts
from napari_diptomo.reconstruct.data_split import noise_variance, split_counts
from napari_diptomo.reconstruct.problem import Problem
from napari_diptomo.reconstruct.second_series import reinserted_projector
from napari_diptomo.reconstruct.sirt_iteration import short_sirt
from napari_diptomo.series import MapSeries, Observer, Watch
from napari_diptomo.series.outliers import without_outliers
from napari_diptomo.series.reinsertion import Reinsertion

#: Pixels of the images compared: for the search of the start, and for the refinement.
_COARSE, _FINE = 24, 64
#: Degrees between two turns that are tried.
_TURN = 10.0
#: Of SIRT for the start, of total variation for the refinement.
_ROUGHLY, _ITERATIONS = 25, 60
#: Of the total variation; it was measured with it (docs/dual-axis.md).
_WEIGHT = 0.6
#: Gauss-Newton steps.
_STEPS = 8
#: Errors that both volumes share come on top of what lies between their motions; errors of the turn over those of the tips.
#: Found on other motions than docs/dual-axis.md has.
_SHARED, _TURN_OVER_TIPS = 1.6, 0.3
#: A step of the Gauss-Newton iteration at most: degrees, and pixels.
_LARGEST_TURN, _LARGEST_MOVE = 3.0, 2.0
#: Placements that agree by this share of the best, and lie this far from each other, degrees, are tried; so many at most.
_CLOSE, _APART, _TRIED = 0.85, 35.0, 5
#: Gauss-Newton steps of each.
_TRIAL_STEPS = 5
#: By how much a placement has to explain the images better than one turned by 90 degrees, the same face up, tilts as they
#: are named: a specimen can look alike from several sides, and can be its own mirror image.
_TURNED, _OVER, _MIRRORED = 0.08, 0.03, 0.05
#: Projectors of other depths whose matrices are kept for the next step.
_KEPT = 3
#: Misfit of another placement over that of the one taken up to which it is named.
_ALSO = 1.08
#: Ratio between pixel sizes that are tried, how far they go, and the steps of each.
_SCALE, _FARTHEST_SCALE, _SCALE_STEPS = 1.08, 2.0, 3


@dataclass(frozen=True, eq=False)
class SecondMotion:
    """Where a second series was placed.

    Attributes
    ----------
    reinsertion : Reinsertion
        How the specimen lies in it.
    dose : ndarray (channel,)
        Counts per count of the first series.
    errors : ndarray (6,)
        Standard errors: of rotations about x, y and z of the second frame, degrees, and of displacements along them, nm.
    dose_errors : ndarray (channel,)
        Standard errors of the dose.
    correlation : float
        Of its images with projections of the first series alone, mean over the tilts.
    reversed : bool
        Whether the sign of its tilts has to be reversed.
    agreement : float
        Correlation of volumes of the two series over what their noise leaves of one; 1 where they are alike.
    others : tuple of Reinsertion
        Placements that explain the images about as well, the tilts having the same sign.
    either_sign : bool
        Whether the tilts with the other sign do so too.
    better : Reinsertion, optional
        Placement that explains the images clearly better than what was given.
    scale : float
        Pixel size of the second series with which it explains the images best, over the one that it states; 1 where none
        does so clearly better.
    """

    reinsertion: Reinsertion
    dose: np.ndarray
    errors: np.ndarray
    dose_errors: np.ndarray
    correlation: float
    reversed: bool
    agreement: float = 1.0
    others: tuple[Reinsertion, ...] = ()
    either_sign: bool = False
    better: Reinsertion | None = None
    scale: float = 1.0

    @property
    def common_dose(self) -> float:
        """One dose of all channels, each weighted by its error."""
        weight = (self.dose / np.maximum(self.dose_errors, 1e-12)) ** 2
        return float(np.exp((weight * np.log(self.dose)).sum() / weight.sum()))


def second_motion(
    first: MapSeries,
    second: MapSeries,
    turn: float | None = None,
    upside_down: bool | None = None,
    observer: Observer | None = None,
) -> SecondMotion:
    """How the specimen lies in a second series, and its dose; see the module for the method, `second_axis.joined` for the parameters."""
    first, second = (without_empty_tilts(without_outliers(maps)[0])[0] for maps in (first, second))
    tilts = (second, replace(second, angles=-second.angles))
    watch = Watch(observer, 'Second axis', 4 + _STEPS)
    coarse = [_small(maps, _COARSE) for maps in (first, *tilts)]
    volumes = [short_sirt(Problem(maps), _ROUGHLY) for maps in coarse]
    voxel = [maps.pixel_size for maps in coarse]
    watch.step(1)

    def starts(turn: float | None, upside_down: bool | None) -> list[_Start]:
        return [
            _Start(score, placed, mirrored)
            for mirrored in (False, True)
            for score, placed in _placements(
                volumes[0].numpy(), volumes[1 + mirrored].numpy(), (voxel[0], voxel[1]), turn, upside_down
            )
        ]

    rivals = _Rivals(coarse)
    chosen, alike = rivals.chosen(_distinct(starts(turn, upside_down)))
    given = turn is not None or upside_down is not None
    better = rivals.better_than(chosen, _distinct(starts(None, None))) if given else None
    scale = rivals.scale(chosen)
    watch.step(2)
    found = _refined(_small(first, _FINE), _small(tilts[chosen.mirrored], _FINE), chosen.placed, chosen.mirrored, watch)
    left = np.sqrt(_reliability(coarse[0]) * _reliability(coarse[1]))
    return replace(
        found,
        agreement=chosen.score / left,
        others=tuple(start.placed for start in alike if start.mirrored == chosen.mirrored),
        either_sign=any(start.mirrored != chosen.mirrored for start in alike),
        better=better,
        scale=scale,
    )


@dataclass(frozen=True)
class _Start:
    """A placement, how well volumes agree under it, and whether the tilts have the other sign in it."""

    score: float
    placed: Reinsertion
    mirrored: bool

    @property
    def unusual(self) -> float:
        """Factor of the misfit by which a placement that is not the expected one is held back."""
        turned = abs(abs(self.placed.turn) - 90) > 45
        return 1 + _TURNED * turned + _OVER * self.placed.upside_down + _MIRRORED * self.mirrored


def _distinct(starts: list[_Start]) -> list[_Start]:
    """The best placements that lie apart from each other."""
    ordered = sorted(starts, key=lambda start: start.score / start.unusual, reverse=True)
    kept: list[_Start] = []
    for start in ordered:
        near = any(other.mirrored == start.mirrored and _angle(other.placed, start.placed) < _APART for other in kept)
        if not near and start.score >= _CLOSE * ordered[0].score and len(kept) < _TRIED:
            kept.append(start)
    return kept


def _angle(one: Reinsertion, other: Reinsertion) -> float:
    return float(np.rad2deg(Rotation.from_matrix(other.matrix @ one.matrix.T).magnitude()))


class _Rivals:
    """Placements compared by how well they explain the images of both series.

    Parameters
    ----------
    coarse : list of MapSeries
        The first series, the second, and the second with the other sign of its tilts, of large pixels.
    """

    def __init__(self, coarse: list[MapSeries]) -> None:
        self._coarse = coarse
        self._volumes: dict[int, torch.Tensor] = {}

    def chosen(self, starts: list[_Start]) -> tuple[_Start, tuple[_Start, ...]]:
        """The best placement, and those that are about as good."""
        if len(starts) == 1:
            return starts[0], ()
        tried = [self._tried(start) for start in starts]
        misfit, chosen = min(tried, key=lambda found: found[0] * found[1].unusual)
        return chosen, tuple(start for other, start in tried if start is not chosen and other <= _ALSO * misfit)

    def better_than(self, taken: _Start, starts: list[_Start]) -> Reinsertion | None:
        """The best placement where it lies apart from the one taken and is clearly better."""
        misfit, best = min((self._tried(start) for start in starts), key=lambda found: found[0] * found[1].unusual)
        apart = _angle(best.placed, taken.placed) > _APART
        return best.placed if apart and self._tried(taken)[0] > _ALSO * misfit * best.unusual else None

    def scale(self, taken: _Start) -> float:
        """Pixel size of the second series with which it explains the images best, over the one it has."""
        second, reach = self._coarse[1 + taken.mirrored], round(np.log(_FARTHEST_SCALE) / np.log(_SCALE))
        misfits: dict[int, float] = {}

        def misfit(k: int) -> float:
            if k not in misfits:
                by = _SCALE**k
                placed = Reinsertion.of(taken.placed.matrix, by * np.array(taken.placed.offset))
                fit = self._fit(0, replace(second, pixel_size=by * second.pixel_size), placed, _SCALE_STEPS)
                misfits[k] = fit.misfit()
            return misfits[k]

        best = 0
        while abs(best) < reach:
            lowest = min((best - 1, best, best + 1), key=misfit)
            if lowest == best:
                break
            best = lowest
        return _SCALE**best if misfit(0) > _ALSO * misfit(best) else 1.0

    def _tried(self, start: _Start) -> tuple[float, _Start]:
        """Misfit of both series, each explained by the other, and the placement refined for it."""
        other = 1 + start.mirrored
        there = self._fit(0, self._coarse[other], start.placed, _TRIAL_STEPS)
        back = self._fit(other, self._coarse[0], _inverse(start.placed), _TRIAL_STEPS)
        placed, _ = _between(there.placed, _inverse(back.placed))
        return there.misfit() + back.misfit(), replace(start, placed=placed)

    def _fit(self, of: int, maps: MapSeries, placed: Reinsertion, steps: int) -> _Fit:
        if of not in self._volumes:
            self._volumes[of] = _volume(self._coarse[of])
        fit = _Fit(maps, self._volumes[of], self._coarse[of].pixel_size, placed)
        for _ in range(steps):
            fit.step()
        return fit


def _reliability(maps: MapSeries) -> float:
    """Correlation of a short reconstruction with another of the same dose, from those of two halves of the counts.

    r of the halves is 2 r / (1 + r) of the whole (Spearman 1910, Brown 1910).
    """
    split = split_counts(maps, 0.5, 0)
    spectra = []
    for data in (split.fit, maps.data - split.fit):
        background = None if maps.background is None else maps.background / 2
        x = short_sirt(Problem(replace(maps, data=np.maximum(data, 0), background=background)), _ROUGHLY).numpy()
        spectra.append(_normalised(x))
    r = float((spectra[0] * spectra[1]).sum())
    return max(2 * r / (1 + r), 1e-3)


def _small(maps: MapSeries, size: int) -> MapSeries:
    """Maps of the channels, pixels added up so that the images have at most so many along an edge."""
    maps = replace(maps.unmixed(), haadf_series=None)
    n = -(-max(maps.data.shape[2:]) // size)
    ny, nu = (length // n * n for length in maps.data.shape[2:])
    # What is cut off lies at one side.
    cut = (np.array(maps.data.shape[2:]) - (ny, nu)) / 2

    def summed(data: Any) -> Any:
        if data is None:
            return None
        return data[:, :, :ny, :nu].reshape(*data.shape[:2], ny // n, n, nu // n, n).sum(axis=(3, 5))

    missing = summed(maps.missing)
    return replace(
        maps,
        data=summed(maps.data),
        pixel_size=maps.pixel_size * n,
        shifts=(np.asarray(maps.shifts) + cut) / n,
        axis_shift=maps.axis_shift / n,
        variance=summed(maps.variance),
        background=summed(maps.background),
        missing=None if missing is None else missing > 0,
        held_out=None,
        held_out_share=0.0,
        residual=None,
        haadf=None,
    )


def _placements(
    first: np.ndarray,
    second: np.ndarray,
    voxel_sizes: tuple[float, float],
    turn: float | None,
    upside_down: bool | None,
) -> list[tuple[float, Reinsertion]]:
    """How well two volumes (channel, z, y, x) agree in every turn, either face up, and the placement in which they do."""
    turns = np.arange(-180, 180, _TURN) if turn is None else turn + np.array([-_TURN, 0, _TURN])
    faces = (False, True) if upside_down is None else (upside_down,)
    # Of the larger field, so that nothing is cut.
    edge = int(
        np.ceil(max(max(first.shape[1:]) * voxel_sizes[0], max(second.shape[1:]) * voxel_sizes[1]) / voxel_sizes[0])
    )
    size = next_fast_len(2 * edge, real=True)
    a = _spectrum(_resampled(first, Reinsertion(), voxel_sizes[0], voxel_sizes[0], edge), size)
    found = []
    for face in faces:
        for angle in turns:
            placed = Reinsertion.turned(float(angle), face)
            # What lies at p' in the second frame lies at R^T p' in the first.
            back = Reinsertion.of(placed.matrix.T, np.zeros(3))
            b = _spectrum(_resampled(second, back, voxel_sizes[1], voxel_sizes[0], edge), size)
            overlay = irfftn((a * b.conj()).sum(axis=0), (size,) * 3)
            at = np.unravel_index(int(overlay.argmax()), overlay.shape)
            z, y, x = (i - size if i > size // 2 else i for i in at)
            # The second, turned back, has to be moved by this; in its own frame the specimen is off by as much.
            offset = -placed.matrix @ (np.array([x, y, z]) * voxel_sizes[0])
            found.append((float(overlay[at]), Reinsertion.of(placed.matrix, offset)))
    return found


def _spectrum(volume: np.ndarray, size: int) -> np.ndarray:
    """Fourier transform of a volume of unit energy, each channel less its mean and of equal weight."""
    return np.asarray(rfftn(_normalised(volume), (size,) * 3, axes=(1, 2, 3)))


def _normalised(volume: np.ndarray) -> np.ndarray:
    centred = volume - volume.mean(axis=(1, 2, 3), keepdims=True)
    energy = np.sqrt((centred**2).sum(axis=(1, 2, 3), keepdims=True))
    return np.asarray(centred / np.maximum(energy, 1e-30) / np.sqrt(len(volume)))


def _resampled(volume: np.ndarray, motion: Reinsertion, voxel: float, wanted: float, edge: int) -> np.ndarray:
    """A volume read in the frame that a motion leads to, on a cube of so many voxels."""
    z, y, x = volume.shape[1:]
    grid = (edge, edge, edge)
    return resample(torch.as_tensor(np.ascontiguousarray(volume)), motion, (z, y, x), voxel, grid, wanted).numpy()


def _refined(first: MapSeries, second: MapSeries, start: Reinsertion, mirrored: bool, watch: Watch) -> SecondMotion:
    volumes = []
    for maps in (first, second):
        volumes.append(_volume(maps))
        watch.step(2 + len(volumes))
    there = _Fit(second, volumes[0], first.pixel_size, start)
    back = _Fit(first, volumes[1], second.pixel_size, _inverse(start))
    for number in range(_STEPS):
        there.step()
        back.step()
        watch.step(5 + number)
    correlation = there.correlation()
    placed, apart = _between(there.placed, _inverse(back.placed))
    # Both are off by errors of their own: what lies between them says how far, whatever the cause.
    # One difference says little of its own spread: those of a kind are taken together, and the turn with the tips.
    for kind in (slice(0, 2), slice(3, 6)):
        apart[kind] = np.sqrt((apart[kind] ** 2).mean())
    apart[2] = np.hypot(apart[2], _TURN_OVER_TIPS * apart[0])
    errors = np.sqrt(there.errors**2 / 2 + (_SHARED * apart / 2) ** 2)
    return SecondMotion(placed, there.dose, errors, there.dose_errors, correlation, mirrored)


def _volume(maps: MapSeries) -> torch.Tensor:
    """A short reconstruction (channel, z, y, x) with the totals of the maps: noise of an unregularised one pulls the motion."""
    step = TotalVariation(weight=_WEIGHT, iterations=_ITERATIONS, device='cpu')
    problem = Problem(replace(maps, held_out=None, held_out_share=0.0))
    x = torch.as_tensor(step.run(maps, progress=False).data)
    with torch.no_grad():
        expected = problem.forward(x)
    data = problem.fit if problem.background is None else problem.fit - problem.background
    measured, found = ((problem.mask * images).sum(dim=(1, 2, 3)) for images in (data, expected))
    return x * (measured.clamp_min(0) / found.clamp_min(1e-12))[:, None, None, None]


def _inverse(placed: Reinsertion) -> Reinsertion:
    """From the second frame to the first."""
    back = placed.matrix.T
    return Reinsertion.of(back, -back @ np.array(placed.offset))


def _between(one: Reinsertion, other: Reinsertion) -> tuple[Reinsertion, np.ndarray]:
    """The middle of two motions, and by how much they differ (6,): degrees and nm in the second frame."""
    turn = Rotation.from_matrix(other.matrix @ one.matrix.T).as_rotvec()
    apart = np.array(other.offset) - Rotation.from_rotvec(turn).as_matrix() @ np.array(one.offset)
    middle = one.then(Rotation.from_rotvec(turn / 2).as_matrix(), np.zeros(3))
    offset = (np.array(one.offset) + np.array(other.offset)) / 2
    return Reinsertion.of(middle.matrix, offset), np.concatenate([np.rad2deg(turn), apart])


class _Fit:
    """Motion into the frame of a series, refined against its images; the volume is one of the other series."""

    def __init__(self, maps: MapSeries, x: torch.Tensor, voxel_size: float, start: Reinsertion) -> None:
        self._maps, self._x, self._voxel = maps, x, voxel_size
        self.placed = start
        self.dose = self.dose_errors = np.ones(len(x))
        self._gain = 1.0 if maps.gain is None else maps.gain[:, :, None, None]
        self._data = maps.data if maps.background is None else maps.data - maps.background
        self._variance = noise_variance(maps)
        self.errors = np.full(6, np.inf)
        self._projectors: list[ReinsertedProjector] = []

    def step(self) -> None:
        """One Gauss-Newton step."""
        projector = self._projector(self.placed)
        weight, model = self._weight(projector), self._images(projector)
        self._find_dose(model, weight)
        dose = self.dose[:, None, None, None]
        sizes = [np.deg2rad(0.5)] * 3 + [0.25 * self._maps.pixel_size] * 3
        columns = [
            dose * (self._images(self._projector(self._moved(d * e))) - model) / d
            for d, e in zip(sizes, np.eye(6), strict=True)
        ]
        stacked, residual = np.stack(columns).astype(np.float64), self._data - dose * model
        weighted = stacked * weight
        matrix = np.einsum('actyu,bctyu->ab', weighted, stacked, optimize=True)
        right = np.einsum('actyu,ctyu->a', weighted, residual, optimize=True)
        # What the images do not show at all stays as it is.
        inverse = np.linalg.pinv(matrix, rcond=1e-10, hermitian=True)
        left = float((weight * residual**2).sum() / max(float((weight > 0).sum()), 1.0))
        self.errors = np.sqrt(np.diag(inverse) * max(left, 1.0))
        self.errors[:3] = np.rad2deg(self.errors[:3])
        limits = np.array([np.deg2rad(_LARGEST_TURN)] * 3 + [_LARGEST_MOVE * self._maps.pixel_size] * 3)
        self.placed = self._moved(np.clip(inverse @ right, -limits, limits))

    def misfit(self) -> float:
        """Squared residual over the variance, mean over the data that carry weight."""
        projector = self._projector(self.placed)
        weight, model = self._weight(projector), self._images(projector)
        self._find_dose(model, weight)
        squares = weight * (self._data - self.dose[:, None, None, None] * model) ** 2
        return float(squares.sum() / max(float((weight > 0).sum()), 1.0))

    def correlation(self) -> float:
        """Of the images with projections of the volume, the mean over the tilts."""
        projector = self._projector(self.placed)
        model, seen = self._images(projector), self._weight(projector) > 0
        found = []
        for t in range(model.shape[1]):
            a, b = (np.where(seen[:, t], images[:, t], 0).sum(axis=0).ravel() for images in (model, self._data))
            found.append(float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0)
        return float(np.mean(found))

    def _moved(self, change: np.ndarray) -> Reinsertion:
        return self.placed.then(Rotation.from_rotvec(change[:3]).as_matrix(), change[3:6])

    def _projector(self, placed: Reinsertion) -> ReinsertedProjector:
        _, z, y, x = self._x.shape
        maps = replace(self._maps, reinsertion=placed)
        found = reinserted_projector(maps, (z, y, x), self._voxel, like=self._projectors)
        # Tips by parts of a degree need a volume deeper by a voxel, or not: a few shapes come again and again.
        if all(found.beam is not other.beam for other in self._projectors):
            self._projectors = [found, *self._projectors[:_KEPT]]
        return found

    @torch.no_grad()
    def _images(self, projector: ReinsertedProjector) -> np.ndarray:
        return np.asarray(self._gain * projector.project(self._x).numpy())

    def _weight(self, projector: ReinsertedProjector) -> np.ndarray:
        seen = np.broadcast_to(projector.beam.covered_pixels, projector.beam.sinogram_shape)[None]
        if self._maps.missing is not None:
            seen = seen & ~self._maps.missing
        return np.asarray(seen / self._variance)

    def _find_dose(self, model: np.ndarray, weight: np.ndarray) -> None:
        """Totals of the images over those of the projections: noise of the volume lowers a regression, and not these."""
        seen = weight > 0
        measured, expected = (np.where(seen, i, 0).sum(axis=(1, 2, 3), dtype=float) for i in (self._data, model))
        variance = np.where(seen, self._variance, 0).sum(axis=(1, 2, 3), dtype=float)
        expected = np.maximum(expected, 1e-12)
        self.dose = np.maximum(measured, 1e-12) / expected
        self.dose_errors = np.sqrt(variance * (1 + self.dose)) / expected
