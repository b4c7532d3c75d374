"""How much FeO and Fe3O4 the core loss finds in every pixel, by L2,3.

The spectra of all pixels lie on a segment between two mixtures (`factorisation`).
What the pure phases are is a choice:

- *references*: L2,3 spectra that are given;
- *pure regions*: the means of regions, outlined by hand or the ends themselves;
- *simplex*: the ends of the segment are the phases;
- *stoichiometric*: the end of FeO is pure, and the leading edge of L3 shows how
  much FeO there is in the other one (`leading_edge`), which is taken out:
  under an outer film of FeO no pixel is pure Fe3O4. ASSUMES THE MAGNETITE TO BE
  STOICHIOMETRIC, a third of its iron Fe2+ with the leading edge of that in FeO;
- *auto*: references or outlined regions where there are any, else stoichiometric;
  and simplex where that finds no FeO to take out, or the outcome would be negative.

The error of the choice is kept apart from that of counting: it is that of a
bootstrap over folds of pixels, plus that of the rule itself (0.02), as a share
of FeO left in, or missing from, Fe3O4.

Maps are in iron atoms, up to a factor: counts of L3 over those per iron
atom, 1 for FeO and h = 7/6 for Fe3O4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from scipy import ndimage

from napari_diptomo.series import CoreLoss, InputError, Observer, SpectralTiltSeries, Watch
from napari_diptomo.spectra.eels.calibration.camera_artefacts import check_finite
from napari_diptomo.spectra.eels.metal_edges import IRON, CoreLossEdge, l3_maximum
from napari_diptomo.spectra.eels.standards.factorisation import Factors, factorise, segment_ends
from napari_diptomo.spectra.eels.standards.leading_edge import leading_edge

Method = Literal['auto', 'references', 'pure regions', 'simplex', 'stoichiometric']

#: Iron is where at least this share of the strongest pixels' counts is, and so many standard deviations.
_IRON_SHARE, _IRON_SIGNIFICANCE = 0.08, 4.0
#: Error of the leading edge as a rule, share of FeO.
_RULE_ERROR = 0.02
_BOOTSTRAP = 40
#: L3 maxima closer than this belong to one phase; farther off than this the axis is wrong, eV.
_LEAST_DISTANCE, _AXIS_ERROR = 0.4, 0.45
#: Pixels with at least this share of a phase are pure.
_PURE = 0.95


@dataclass(frozen=True, eq=False)
class PhaseMaps:
    """Iron of two phases by their core-loss edge.

    Attributes
    ----------
    names : tuple of str
        The phases, reduced one first.
    atoms : ndarray (core tilt, y, x, phase)
        Iron atoms up to a factor; NaN where there is no iron.
    covariance : ndarray (core tilt, y, x, phase, phase)
        Of counting; NaN likewise.
    energy : ndarray (energy,)
        eV, true ones where the axis was wrong.
    shapes : ndarray (energy, phase)
        L2,3 of the phases per iron atom; FeO has one count in L3.
    deviation : ndarray (energy, phase)
        Standard deviation of ``shapes``.
    share : float
        FeO that was taken out of the purest Fe3O4, as a share of its iron.
    share_error : float
        Its standard deviation: what of FeO may still be, or be missing, in Fe3O4.
    pure : dict of str to ndarray (core tilt, y, x), bool
        Pixels of each phase alone.
    ends : dict of str to ndarray (core tilt, y, x), bool
        Pixels whose mean is the end of the segment.
    tilts : tuple of int
        Of the series.
    method : str
        How the phases were found.
    notes : dict
        Numbers and sentences (JSON-ready).
    """

    names: tuple[str, ...]
    atoms: np.ndarray
    covariance: np.ndarray
    energy: np.ndarray
    shapes: np.ndarray
    deviation: np.ndarray
    share: float
    share_error: float
    pure: dict[str, np.ndarray]
    ends: dict[str, np.ndarray]
    tilts: tuple[int, ...]
    method: str
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def iron(self) -> np.ndarray:
        """Pixels with iron, (core tilt, y, x)."""
        return np.isfinite(self.atoms[..., 0])


def map_phases(
    series: SpectralTiltSeries | Any,
    *,
    method: Method = 'auto',
    references: Mapping[str, np.ndarray] | None = None,
    pure: Mapping[str, np.ndarray] | None = None,
    edge: CoreLossEdge = IRON,
    seed: int = 0,
    observer: Observer | None = None,
) -> PhaseMaps:
    """FeO and Fe3O4 in every pixel of the core loss.

    Parameters
    ----------
    series : SpectralTiltSeries or CalibratedSeries
        With a core loss.
    method : {'auto', 'references', 'pure regions', 'simplex', 'stoichiometric'}
        See the module.
    references : mapping of str to ndarray (2, n), optional
        Energies and L2,3 spectrum, without background, of each phase.
    pure : mapping of str to ndarray (core tilt, y, x), bool, optional
        Regions of one phase; a phase that is given none has the end of the segment.
    edge : CoreLossEdge
        The edge and its phases.
    seed : int
        Of the bootstrap.
    observer : Observer, optional
        Receives the progress.

    Raises
    ------
    InputError
        No core loss, no edge in it, one phase only, regions or references that do not fit.
    """
    series = getattr(series, 'series', series)
    core = _checked(series, method, references, pure, edge)
    watch = Watch(observer, 'Standards: core loss', 3)
    recorded = np.asarray(core.counts, np.float64)
    check_finite(recorded, 'of the core loss')
    energy, offset = _true_axis(recorded, core.energy, edge)
    energy, used = _range(energy, edge)
    counts = recorded[..., used]
    iron = _iron(counts, energy, edge)
    watch.step(1, message='spectra of iron')
    factors = factorise(counts[iron], energy, edge)
    by_references = references is not None and method in ('auto', 'references')
    if not by_references and abs(left := _axis_error(factors, iron, edge)) > _AXIS_ERROR:
        offset += left
        energy, used = _range(core.energy - offset, edge)
        counts = recorded[..., used]
        factors = factorise(counts[iron], energy, edge)
    watch.step(2, message='background and white lines')
    if by_references and references is not None:
        found = _by_references(counts, iron, factors, references, edge)
    else:
        found = _by_unmixing(factors, iron, method, pure or {}, edge, seed)
    watch.step(3, message='phases')
    notes = {
        'background_exponent': round(factors.exponent, 3), 'energy_offset': round(offset, 3), **found.notes
    }  # fmt: skip
    return replace(found, tilts=core.tilts, notes=notes)


def _checked(
    series: SpectralTiltSeries, method: str, references: Mapping | None, pure: Mapping | None, edge: CoreLossEdge
) -> CoreLoss:
    if method not in get_args(Method):
        raise InputError(f'There is no way to standards called {method}; choose among {", ".join(get_args(Method))}.')
    core = series.core_loss
    if core is None:
        raise InputError(
            f'The series has no core loss, so {edge.name} cannot distinguish the phases; load one with it, or give '
            'standards that were stored before.'
        )
    if method == 'references' and references is None:
        raise InputError(f'Give a reference spectrum of {edge.name} for each of {" and ".join(edge.phases)}.')
    for what, given in (('reference', references), ('region', pure)):
        unknown = set(given or {}) - set(edge.phases)
        if unknown:
            raise InputError(f'There is no phase {unknown.pop()} for a {what}; name it {" or ".join(edge.phases)}.')
    if method == 'stoichiometric' and not edge.has_leading_edge:
        raise InputError(
            f'The meaning of the leading edge of {edge.name} is known of iron alone; choose auto, or give references.'
        )
    if references is not None and set(references) != set(edge.phases):
        raise InputError(f'Give a reference spectrum of {edge.name} for each of {" and ".join(edge.phases)}.')
    for name, mask in (pure or {}).items():
        if np.shape(mask) != tuple(core.counts.shape[:3]) or not np.any(mask):
            raise InputError(
                f'The region of pure {name} must be a mask of the core loss, {core.counts.shape[:3]}, '
                f'with pixels in it, not {np.shape(mask)}; draw it anew.'
            )
    return core


def _true_axis(counts: np.ndarray, energy: np.ndarray, edge: CoreLossEdge) -> tuple[np.ndarray, float]:
    """Energies corrected where L3 lies outside of where any mixture may have it, and by how much, eV."""
    total = counts.sum(axis=(0, 1, 2))
    edge.check_range(energy)
    near = (energy > edge.maxima[0] - 6) & (energy < edge.maxima[1] + 6)
    top = float(energy[near][total[near].argmax()])
    nearest = float(np.clip(top, *edge.maxima))
    offset = top - nearest if abs(top - nearest) > _AXIS_ERROR else 0.0
    return energy - offset, offset


def _axis_error(factors: Factors, iron: np.ndarray, edge: CoreLossEdge) -> float:
    """How far L3 of both ends is off on average, eV."""
    ends = segment_ends(factors, iron, edge).coefficients @ factors.shapes
    found = [l3_maximum(end, factors.energy, edge) for end in ends]
    return float(np.mean(np.subtract(found, edge.maxima)))


def _range(energy: np.ndarray, edge: CoreLossEdge) -> tuple[np.ndarray, np.ndarray]:
    """Up to behind L2; farther on plural scattering makes the spectra of pixels differ by more than their mixture."""
    used = (energy > edge.onset - 60) & (energy < edge.maxima[1] + 20)
    return energy[used], used


def _iron(counts: np.ndarray, energy: np.ndarray, edge: CoreLossEdge) -> np.ndarray:
    """Pixels with iron, (core tilt, y, x), bool: what L3 has above the mean in front of it, smoothed."""
    inside, before = edge.inside(energy), (energy < edge.onset) & (energy > edge.onset - 25)
    smooth = ndimage.gaussian_filter(counts, (0, 0.7, 0.7, 0))
    under = smooth[..., before].mean(axis=-1) * inside.sum()
    above = smooth[..., inside].sum(axis=-1) - under
    strong = above > _IRON_SHARE * np.quantile(above, 0.99)
    return strong & (above > _IRON_SIGNIFICANCE * np.sqrt(np.maximum(under, 1.0)) / 2.5)


def _by_references(
    counts: np.ndarray, iron: np.ndarray, factors: Factors, references: Mapping[str, np.ndarray], edge: CoreLossEdge
) -> PhaseMaps:
    energy, shapes = factors.energy, []
    for name, counts_per_atom in zip(edge.phases, (1.0, edge.per_atom), strict=True):
        given = np.asarray(references[name], float)
        if given.ndim != 2 or len(given) != 2 or given[0, 0] > edge.window[0] or given[0, -1] < edge.window[1]:
            raise InputError(
                f'The reference of {name} must be energies and counts, (2, n), from {edge.window[0]:g} to '
                f'{edge.window[1]:g} eV at least.'
            )
        shape = np.interp(energy, given[0], given[1], left=0.0, right=0.0)
        shapes.append(shape / shape[factors.inside].sum() * counts_per_atom)
    last = min(float(np.asarray(references[name])[0, -1]) for name in edge.phases)
    columns = np.stack([factors.law, *shapes], axis=1)
    weight = (energy <= last) / (
        np.maximum(factors.coefficients @ factors.shapes + factors.heights[:, None] * factors.law, 0) + 1.0
    )
    normal = np.einsum('pe,es,et->pst', weight, columns, columns, optimize=True)
    covariance = np.linalg.pinv(normal, hermitian=True)
    atoms = np.einsum('pst,pt->ps', covariance, (weight * counts[iron]) @ columns)[:, 1:]
    none = np.zeros(len(energy))
    return as_images(
        edge, iron, atoms, covariance[:, 1:, 1:], energy, np.stack(shapes, axis=1), np.stack([none, none], axis=1),
        (0.0, 0.0), np.zeros((2, len(atoms)), bool), 'references', {},
    )  # fmt: skip


def _by_unmixing(
    factors: Factors, iron: np.ndarray, method: str, pure: Mapping[str, np.ndarray], edge: CoreLossEdge, seed: int
) -> PhaseMaps:
    ends = segment_ends(factors, iron, edge)
    corners, pixels = ends.coefficients.copy(), ends.pixels.copy()
    for i, name in enumerate(edge.phases):
        if name in pure:
            pixels[i] = np.asarray(pure[name], bool)[iron]
            total = factors.coefficients[pixels[i]].sum(axis=0)
            corners[i] = total / float(total @ factors.sums)
    maxima = _names_hold(factors, corners, edge)
    notes: dict[str, Any] = {'L3_maxima': maxima}
    share, error = 0.0, 0.0
    if edge.has_leading_edge:
        share, error = _impurity(factors, corners, edge, seed)
        reduced, oxidised = edge.phases
        notes[f'{reduced}_in_the_purest_{oxidised}'] = [round(share, 3), round(error, 3)]
    chosen = method
    if method == 'auto':
        chosen = 'pure regions' if edge.phases[1] in pure else 'stoichiometric' if share > error else 'simplex'
    taken = share if chosen == 'stoichiometric' else 0.0
    corners[1] = _without(corners, taken, edge)
    if chosen == 'stoichiometric':
        notes['assumes'] = f'assumes the {edge.phases[1]} to be stoichiometric and the purest {edge.phases[0]} pure'
    elif not edge.has_leading_edge:
        notes['assumes'] = 'assumes that the purest mixtures are pure oxides; how pure they are is in no error'
    else:
        error = float(np.hypot(error, max(share, 0.0))) if chosen == 'simplex' else error
    corners[1] *= edge.per_atom
    mixing = np.linalg.inv(corners)
    atoms = factors.coefficients @ mixing
    covariance = np.einsum('is,pij,jt->pst', mixing, factors.covariance, mixing, optimize=True)
    deviation = _shape_deviation(factors, corners, error, edge, seed)
    return as_images(
        edge, iron, atoms, covariance, factors.energy, (corners @ factors.shapes).T, deviation,
        (taken, error), pixels, chosen, notes,
    )  # fmt: skip


def _names_hold(factors: Factors, corners: np.ndarray, edge: CoreLossEdge) -> list[float]:
    """Energies of the L3 maxima of the ends, eV, which must be those of two phases."""
    maxima = [l3_maximum(corner @ factors.shapes, factors.energy, edge) for corner in corners]
    if maxima[1] - maxima[0] < _LEAST_DISTANCE:
        raise InputError(
            f'The two ends of the spectra have L3 at {maxima[0]:.1f} and {maxima[1]:.1f} eV, as if all were one phase; '
            f'give regions or references of {" and ".join(edge.phases)}, or standards stored from another series.'
        )
    return [round(maximum, 2) for maximum in maxima]


def _impurity(factors: Factors, corners: np.ndarray, edge: CoreLossEdge, seed: int) -> tuple[float, float]:
    """Share of the reduced phase in the second corner, and its standard deviation."""
    deviation = factors.deviation(corners[1])

    def share(sample: Factors) -> float:
        reduced, mixture = (sample.spectrum(corner) for corner in corners)
        return leading_edge(reduced, mixture, deviation, sample.energy, edge).share

    rng = np.random.default_rng(seed)
    sampled = [share(factors.resampled(rng)) for _ in range(_BOOTSTRAP)]
    most = _largest_share(factors, corners, deviation, edge)
    return float(np.clip(share(factors), 0.0, most)), float(np.hypot(np.std(sampled), _RULE_ERROR))


def _largest_share(factors: Factors, corners: np.ndarray, deviation: np.ndarray, edge: CoreLossEdge) -> float:
    """Largest share that can be subtracted before the remaining spectrum is negative by two standard deviations, per eV or so."""
    look = (factors.energy > edge.maxima[0] - 3) & (factors.energy < edge.maxima[1] + 5)
    for share in np.arange(0.02, 0.9, 0.02):
        left = ndimage.uniform_filter1d(_without(corners, share, edge) @ factors.shapes, 4)
        if (left[look] < -2 * deviation[look] / (1 - share) / 2).any():
            return float(share)
    return 0.9


def _without(corners: np.ndarray, share: float, edge: CoreLossEdge) -> np.ndarray:
    """The second corner without a share of its atoms that belong to the first phase, one count of L3."""
    left = (share + (1 - share) * edge.per_atom) * corners[1] - share * corners[0]
    rest: np.ndarray = left / ((1 - share) * edge.per_atom)
    return rest


def _shape_deviation(factors: Factors, corners: np.ndarray, error: float, edge: CoreLossEdge, seed: int) -> np.ndarray:
    """Standard deviation of the shapes per atom, (energy, phase): counting, and FeO in Fe3O4."""
    rng = np.random.default_rng(seed)
    sampled = [corners @ factors.resampled(rng).free for _ in range(_BOOTSTRAP)]
    deviation = np.std(sampled, axis=0)
    first, second = corners @ factors.shapes
    deviation[1] = np.hypot(deviation[1], error * np.abs(second - first))
    return deviation.T


def as_images(
    edge: CoreLossEdge,
    iron: np.ndarray,
    atoms: np.ndarray,
    covariance: np.ndarray,
    energy: np.ndarray,
    shapes: np.ndarray,
    deviation: np.ndarray,
    share: tuple[float, float],
    pixels: np.ndarray,
    method: str,
    notes: dict[str, Any],
) -> PhaseMaps:
    """From the pixels with iron, (pixel, phase) and so on, back to images; names the pixels that are pure."""
    images = np.full((*iron.shape, 2), np.nan)
    images[iron] = atoms
    covariances = np.full((*iron.shape, 2, 2), np.nan)
    covariances[iron] = covariance
    smooth = ndimage.gaussian_filter(np.nan_to_num(images), (0, 1, 1, 0))
    fraction = smooth / np.maximum(smooth.sum(axis=-1, keepdims=True), 1e-12)
    pure = {name: iron & (fraction[..., i] > _PURE) for i, name in enumerate(edge.phases)}
    ends = {}
    for name, chosen in zip(edge.phases, pixels, strict=True):
        ends[name] = np.zeros(iron.shape, bool)
        ends[name][iron] = chosen
    for name, mask in pure.items():
        notes[f'pixels_of_pure_{name}'] = int(mask.sum())
    return PhaseMaps(
        edge.phases, images, covariances, energy, shapes, deviation, *share, pure, ends, (), method, notes
    )  # fmt: skip
