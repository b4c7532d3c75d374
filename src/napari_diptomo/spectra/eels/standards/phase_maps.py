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
bootstrap over folds of pixels, plus that of the rule itself (0.08), as a share
of FeO left in, or missing from, Fe3O4.

Maps are in iron atoms, up to a factor: counts of L3 over those per iron
atom, 1 for FeO and h = 7/6 for Fe3O4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, Literal, get_args

import numpy as np
from scipy import ndimage

from napari_diptomo.series import CoreLoss, InputError, Observer, SpectralTiltSeries, Watch
from napari_diptomo.series.oxides import metal
from napari_diptomo.spectra.common.non_negative import non_negative
from napari_diptomo.spectra.eels.calibration.camera_artefacts import check_finite
from napari_diptomo.spectra.eels.counts_per_electron import counts_per_electron
from napari_diptomo.spectra.eels.metal_edges import IRON, CoreLossEdge, l3_maximum
from napari_diptomo.spectra.eels.standards.factorisation import (
    ITERATIONS,
    Ends,
    Factors,
    factorise,
    neighbour_order,
    segment_ends,
)
from napari_diptomo.spectra.eels.standards.leading_edge import leading_edge
from napari_diptomo.spectra.eels.standards.matching import MOST_SHIFT, match, moved
from napari_diptomo.spectra.eels.standards.other_metals import other_metals, summed
from napari_diptomo.spectra.eels.standards.purity import (
    Purity,
    beyond_mixtures,
    contrast_of_maxima,
    expected_contrast,
    purity,
)
from napari_diptomo.spectra.eels.standards.sampling import between_points, check_gaps, sampling_impurity
from napari_diptomo.spectra.eels.standards.third_phase import third_phase

Method = Literal['auto', 'references', 'pure regions', 'simplex', 'stoichiometric']

#: Iron is where at least this share of the strongest pixels' counts is, and so many standard deviations.
_IRON_SHARE, _IRON_SIGNIFICANCE = 0.08, 4.0
#: Error of the leading edge as a rule, share of FeO: without noise it finds 0.040 +- 0.017 in pure Fe3O4, whose shapes were calculated with
#: shifts, widths and Slater integrals chosen at random; where the first end is a mixture itself it errs by more.
_RULE_ERROR = 0.08
#: The same where the oxidised end is pure, or would be more than that: what decides whether there is another phase.
_RULE_ERROR_OF_PURE = 0.03
_BOOTSTRAP = 40
#: L3 maxima farther off than this: the axis is wrong, eV.
_AXIS_ERROR = 0.45
#: Of the zero loss where it is not known, eV.
_TYPICAL_FWHM = 0.8
#: The rim of the specimen, pixels, and the share of the pixels of an end on it that makes it one of the rim.
_RIM, _MOST = 2.3, 0.5
#: Spectra are smoothed by this for their contrast, and for their maxima, eV.
_SMOOTH, _SMOOTH_MAXIMA = 0.25, 0.4
#: An axis may be off by so much; around its maximum L3 reaches so far, eV.
_AXIS_SEARCH, _AROUND_L3 = 11.0, 3.5
#: Groups of pixels that references are matched to; what references of another instrument hold of each other at a chi2 of 1.
_GROUPS, _REFERENCE_ERROR = 6, 0.03
#: Centroids of L3 that lie closer than this are of one phase, eV.
_ONE_PHASE = 0.1
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
    fwhm = float(getattr(series, 'zero_loss_fwhm', _TYPICAL_FWHM))
    series = getattr(series, 'series', series)
    core = _checked(series, method, references, pure, edge)
    watch = Watch(observer, 'Standards: core loss', 2 * ITERATIONS + 6)
    steps = count(1)

    def done(message: str) -> None:
        watch.step(next(steps), message=message)

    recorded = np.asarray(core.counts, np.float64)
    done('core loss read')
    check_finite(recorded, 'of the core loss')
    energy, offset = _true_axis(recorded, core.energy, edge)
    energy, used = _range(energy, edge)
    counts = recorded[..., used]
    iron = _iron(counts, energy, edge)
    done('pixels with iron')
    gain = counts_per_electron(recorded[0], core.energy, (float(core.energy[0]), float(core.energy[-1])))[0]
    factors = _in_electrons(factorise(counts[iron], energy, edge, partial(done, 'spectra of two phases')), gain)
    by_references = references is not None and method in ('auto', 'references')
    if not by_references and abs(left := _axis_error(factors, iron, edge)) > _AXIS_ERROR:
        offset += left
        energy, used = _range(core.energy - offset, edge)
        counts = recorded[..., used]
        factors = _in_electrons(factorise(counts[iron], energy, edge, partial(done, 'on the right axis')), gain)
    steps = count(2 * ITERATIONS + 3)
    if by_references and references is not None:
        found = _by_references(counts, iron, factors, references, gain, edge)
    else:
        found = _by_unmixing(factors, iron, method, pure or {}, fwhm, edge, seed)
    done('phases')
    others = _others(recorded, core.energy - offset, found.atoms, factors, iron, gain, edge)
    done('other metals')
    third = third_phase(counts[iron], factors, iron, edge, gain)
    done('third phase')
    notes = {
        'background_exponent': round(factors.exponent, 3), 'energy_offset': round(offset, 3), **found.notes,
        'other_metals': others, 'third_phase': None if third is None else asdict(third),
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
    near = (energy > edge.maxima[0] - _AXIS_SEARCH) & (energy < edge.maxima[1] + _AXIS_SEARCH)
    # On a falling background the highest channel may be the first one.
    line = np.interp(energy, energy[near][[0, -1]], total[near][[0, -1]])
    top = float(energy[near][(total - line)[near].argmax()])
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


def _in_electrons(factors: Factors, gain: float) -> Factors:
    """The same with the covariance of electrons that make so many counts each."""
    return replace(factors, covariance=gain * factors.covariance)


def _iron(counts: np.ndarray, energy: np.ndarray, edge: CoreLossEdge) -> np.ndarray:
    """Pixels with iron, (core tilt, y, x), bool: what L3 has above the mean in front of it, smoothed."""
    inside, before = edge.inside(energy), (energy < edge.onset) & (energy > edge.onset - 25)
    smooth = ndimage.gaussian_filter(counts, (0, 0.7, 0.7, 0))
    under = smooth[..., before].mean(axis=-1) * inside.sum()
    above = smooth[..., inside].sum(axis=-1) - under
    strong = above > _IRON_SHARE * np.quantile(above, 0.99)
    return strong & (above > _IRON_SIGNIFICANCE * np.sqrt(np.maximum(under, 1.0)) / 2.5)


def _by_references(
    counts: np.ndarray,
    iron: np.ndarray,
    factors: Factors,
    references: Mapping[str, np.ndarray],
    gain: float,
    edge: CoreLossEdge,
) -> PhaseMaps:
    energy = factors.energy
    given, last, moved_by = _checked_references(references, energy, edge)
    inside = factors.inside
    weight_of_sum, groups = _groups(counts[iron], factors, iron)
    fitted = energy <= last - MOST_SHIFT
    # Farther on plural scattering takes part, of which references have their own.
    compared = fitted & (energy < edge.window[1])

    def misfit(shapes: np.ndarray) -> float:
        columns = np.hstack([factors.law[:, None], shapes])[compared]
        chi2 = 0.0
        for total, weight in zip(groups, weight_of_sum, strict=True):
            root = np.sqrt(weight[compared])
            solution = non_negative(columns * root[:, None], total[compared] * root)
            chi2 += float((((total[compared] - columns @ solution) * root) ** 2).sum())
        return chi2 / gain

    found = match(misfit, given, energy, len(groups) * (int(compared.sum()) - 3), factors.law[:, None])
    shapes = moved(given, energy, found.shift, found.variance)
    shapes = shapes / shapes[inside].sum(axis=0) * np.array([1.0, edge.per_atom])
    columns = np.hstack([factors.law[:, None], shapes])
    weight = fitted / (
        np.maximum(factors.coefficients @ factors.shapes + factors.heights[:, None] * factors.law, 0) + 1.0
    )
    normal = np.einsum('pe,es,et->pst', weight, columns, columns, optimize=True)
    covariance = np.linalg.pinv(normal, hermitian=True)
    atoms = np.einsum('pst,pt->ps', covariance, (weight * counts[iron]) @ columns)[:, 1:]
    # Shapes that leave a residual are not those of the specimen: what they are off by grows with it.
    strangeness = _REFERENCE_ERROR * np.sqrt(max(found.chi2, 1.0))
    curves = [np.asarray(references[name], float) for name in edge.phases]
    sampling = sampling_impurity(curves, energy, moved_by, factors.law[:, None])
    impurity = found.impurity + sampling + strangeness**2 * np.eye(2)
    errors = np.sqrt(np.diag(impurity))
    deviation = errors * np.abs(shapes[:, :1] - shapes[:, 1:])
    notes = {
        'references': {
            'shift': [round(found.shift, 3), round(float(np.sqrt(found.covariance[0, 0])), 3)],
            'variance': [round(found.variance, 3), round(float(np.sqrt(found.covariance[1, 1])), 3)],
            'chi2': round(found.chi2, 3),
            'sampling': [
                round(max(one), 3) for one in zip(*map(partial(_between_points, edge=edge), curves), strict=True)
            ],
        },
        'L3_maxima': [round(l3_maximum(shape, energy, edge), 2) for shape in shapes.T],
        'impurity': impurity.tolist(),
    }
    return as_images(
        edge, iron, atoms, gain * covariance[:, 1:, 1:], energy, shapes, deviation,
        (0.0, float(errors[1])), np.zeros((2, len(atoms)), bool), 'references', notes,
    )  # fmt: skip


def _checked_references(
    references: Mapping[str, np.ndarray], energy: np.ndarray, edge: CoreLossEdge
) -> tuple[np.ndarray, float, float]:
    """References on the axis of the data with one count in L3, (energy, phase), the energy up to which both are known, and by
    how much they were moved.

    An axis that is off by more than a shift could be is moved first, by its white lines.

    Raises
    ------
    InputError
        A range without L3 or with a gap in it, or the oxidised phase with L3 at a lower energy than the reduced one.
    """
    curves = [np.asarray(references[name], float) for name in edge.phases]
    for name, curve in zip(edge.phases, curves, strict=True):
        if curve.ndim != 2 or len(curve) != 2 or curve[0, 0] > edge.window[0] or curve[0, -1] < edge.window[1]:
            raise InputError(
                f'The reference of {name} must be energies and counts, (2, n), from {edge.window[0]:g} to '
                f'{edge.window[1]:g} eV at least.'
            )
    tops = [_highest(curve, edge) for curve in curves]
    for name, curve, top in zip(edge.phases, curves, tops, strict=True):
        check_gaps(name, curve[0], top)
    off = float(np.mean(tops) - np.mean(edge.maxima))
    off = off if abs(off) > MOST_SHIFT - 0.5 else 0.0
    centroids = [_centroid(curve, top) for curve, top in zip(curves, tops, strict=True)]
    if not centroids[1] > centroids[0]:
        raise InputError(
            f'L3 of the reference of {edge.phases[0]} lies at {centroids[0]:.2f} eV, that of {edge.phases[1]} at '
            f'{centroids[1]:.2f} eV (centroids), and the oxidised phase must have the higher one; exchange the columns, or check '
            'the energies of both.'
        )
    shapes = np.stack([np.interp(energy, c[0] - off, c[1], left=0.0, right=0.0) for c in curves], axis=1)
    last = min(float(curve[0, -1]) - off for curve in curves)
    return shapes / shapes[edge.inside(energy)].sum(axis=0), last, off


def _between_points(curve: np.ndarray, edge: CoreLossEdge) -> tuple[float, float]:
    return between_points(curve, _highest(curve, edge))


def _highest(curve: np.ndarray, edge: CoreLossEdge) -> float:
    """Energy of the maximum of L3 of a reference, eV, on an axis that is off by up to `_AXIS_SEARCH`."""
    near = (curve[0] > edge.maxima[0] - _AXIS_SEARCH) & (curve[0] < edge.maxima[1] + _AXIS_SEARCH)
    return float(curve[0][near][curve[1][near].argmax()])


def _centroid(curve: np.ndarray, top: float) -> float:
    """Mean energy of the counts around the maximum of L3, eV, weighted by them."""
    around = np.abs(curve[0] - top) < _AROUND_L3
    weights = np.maximum(curve[1][around], 0) * np.gradient(curve[0])[around]
    return float((weights * curve[0][around]).sum() / max(float(weights.sum()), 1e-300))


def _groups(counts: np.ndarray, factors: Factors, iron: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and sums of pixels with much the same mixture by their neighbours, (group, energy) each."""
    order = neighbour_order(factors, iron)
    members = [part for part in np.array_split(order, _GROUPS) if len(part)]
    model = np.maximum(factors.coefficients @ factors.shapes + factors.heights[:, None] * factors.law, 0) + 1.0
    weights = np.stack([1 / model[part].sum(axis=0) for part in members])
    return weights, np.stack([counts[part].sum(axis=0) for part in members])


def _others(
    counts: np.ndarray,
    energy: np.ndarray,
    atoms: np.ndarray,
    factors: Factors,
    iron: np.ndarray,
    gain: float,
    edge: CoreLossEdge,
) -> list[dict[str, Any]]:
    """Other metals in the whole core loss, of groups of pixels with much the same mixture."""
    members = [part for part in np.array_split(neighbour_order(factors, iron), _GROUPS) if len(part)]
    of_pixels = atoms[iron]
    groups = np.stack([of_pixels[part].sum(axis=0) for part in members])
    found = other_metals(energy, summed(counts, iron, members), groups, metal(edge.phases[0]), gain)
    return [asdict(one) for one in found]


def _by_unmixing(
    factors: Factors,
    iron: np.ndarray,
    method: str,
    pure: Mapping[str, np.ndarray],
    fwhm: float,
    edge: CoreLossEdge,
    seed: int,
) -> PhaseMaps:
    ends = segment_ends(factors, iron, edge)
    corners, pixels = ends.coefficients.copy(), ends.pixels.copy()
    for i, name in enumerate(edge.phases):
        if name in pure:
            pixels[i] = np.asarray(pure[name], bool)[iron]
            total = factors.coefficients[pixels[i]].sum(axis=0)
            corners[i] = total / float(total @ factors.sums)
    _order_holds(factors, corners, edge)
    notes: dict[str, Any] = {}
    reduced, oxidised = edge.phases
    taken, impurity = 0.0, np.zeros((2, 2))
    chosen = method
    if method == 'auto':
        chosen = 'pure regions' if pure else 'stoichiometric' if edge.has_leading_edge else 'simplex'
    if edge.has_leading_edge:
        apparent, error = _apparent_share(factors, corners, edge, seed)
        most = _largest_share(factors, corners, factors.deviation(corners[1]), edge)
        notes['leading_edge'] = [round(apparent, 3), round(error, 3)]
        of_test = float(np.hypot(np.sqrt(max(error**2 - _RULE_ERROR**2, 0.0)), _RULE_ERROR_OF_PURE))
        beyond = beyond_mixtures((apparent, of_test), _contrast(factors, corners), expected_contrast(fwhm), edge)
        notes['beyond_mixtures'] = [round(beyond, 3), round(of_test, 3)]
        share = float(np.clip(apparent, 0.0, most))
        found = _purity(factors, ends, corners, iron, (share, error), most, fwhm, edge)
        notes |= {
            f'{reduced}_in_the_purest_{oxidised}': np.round([found.shares[1], found.errors[1]], 3).tolist(),
            f'{reduced}_in_the_purest_{reduced}': np.round([found.shares[0], found.errors[0]], 3).tolist(),
            f'probability_of_pure_{reduced}': round(found.pure, 3),
            'contrast': round(found.contrast, 3),
        }
        if chosen == 'stoichiometric':
            taken, impurity = float(found.shares[1]), found.impurity
            corners = _pure_phases(corners, found.shares, edge)
            notes['assumes'] = f'assumes the {oxidised} to be stoichiometric'
        else:
            corners[1] *= edge.per_atom
            # Whoever names a region vouches for it; of an end nobody does.
            vouched = [name in pure or chosen == 'pure regions' for name in edge.phases]
            off = np.where(vouched, 0.0, np.hypot([1 - found.shares[0], found.shares[1]], found.errors))
            rule = np.array([0.0, _RULE_ERROR]) if chosen == 'pure regions' else 0.0
            impurity = np.diag(off**2 + np.square(rule))
    else:
        corners[1] *= edge.per_atom
        notes['assumes'] = 'assumes that the purest mixtures are pure oxides; how pure they are is in no error'
    notes['L3_maxima'] = [round(l3_maximum(corner @ factors.shapes, factors.energy, edge), 2) for corner in corners]
    notes['impurity'] = impurity.tolist()
    mixing = np.linalg.inv(corners)
    atoms = factors.coefficients @ mixing
    covariance = np.einsum('is,pij,jt->pst', mixing, factors.covariance, mixing, optimize=True)
    errors = np.sqrt(np.diag(impurity))
    deviation = _shape_deviation(factors, corners, errors, seed)
    return as_images(
        edge, iron, atoms, covariance, factors.energy, (corners @ factors.shapes).T, deviation,
        (taken, float(errors[1])), pixels, chosen, notes,
    )  # fmt: skip


def _pure_phases(corners: np.ndarray, shares: np.ndarray, edge: CoreLossEdge) -> np.ndarray:
    """Spectra of the pure phases per atom from the corners, one count each, and their shares of the reduced phase."""
    per_atom = corners * (shares + (1 - shares) * edge.per_atom)[:, None]
    step = (per_atom[0] - per_atom[1]) / (shares[0] - shares[1])
    return np.stack([per_atom[0] + (1 - shares[0]) * step, per_atom[1] - shares[1] * step])


def _order_holds(factors: Factors, corners: np.ndarray, edge: CoreLossEdge) -> None:
    """The first corner must have its L3 at lower energies, whatever region the user called so."""
    inside = factors.inside
    shapes = (corners @ factors.shapes)[:, inside]
    centroids = shapes @ factors.energy[inside] / shapes.sum(axis=1)
    if abs(centroids[1] - centroids[0]) < _ONE_PHASE:
        raise InputError(
            f'The regions of {edge.phases[0]} and {edge.phases[1]} are of one phase: their L3 lie at {centroids[0]:.2f} and '
            f'{centroids[1]:.2f} eV (centroids). Choose pixels that differ.'
        )
    if not centroids[1] > centroids[0]:
        raise InputError(
            f'L3 of {edge.phases[0]} lies at {centroids[0]:.2f} eV and that of {edge.phases[1]} at {centroids[1]:.2f} eV (centroids), '
            'and the oxidised phase must have the higher one; exchange the regions.'
        )


def _apparent_share(factors: Factors, corners: np.ndarray, edge: CoreLossEdge, seed: int) -> tuple[float, float]:
    """Share of the reduced phase in the second corner if the first is pure, and its standard deviation."""
    deviation = factors.deviation(corners[1])

    def share(sample: Factors) -> float:
        reduced, mixture = (sample.spectrum(corner) for corner in corners)
        return leading_edge(reduced, mixture, deviation, sample.energy, edge).share

    rng = np.random.default_rng(seed)
    sampled = [share(factors.resampled(rng)) for _ in range(_BOOTSTRAP)]
    return share(factors), float(np.hypot(np.std(sampled), _RULE_ERROR))


def _purity(
    factors: Factors,
    ends: Ends,
    corners: np.ndarray,
    iron: np.ndarray,
    apparent: tuple[float, float],
    largest: float,
    fwhm: float,
    edge: CoreLossEdge,
) -> Purity:
    """How pure the corners are, see `purity`."""
    contrast = _contrast(factors, corners)
    first, second = ends.deviation
    rim = [bool(_on_the_rim(iron)[chosen].mean() > _MOST) for chosen in ends.pixels]

    def found(expected: tuple[float, float]) -> Purity:
        return purity(apparent, contrast, expected, (float(first), float(second)), (rim[0], rim[1]), edge, largest)

    shares = found(expected_contrast(fwhm)).shares
    # The contrast of the pure phases depends on how far apart their maxima are, which they show themselves.
    pure = _smooth(factors, _pure_phases(corners, shares, edge), _SMOOTH_MAXIMA)
    maxima = [l3_maximum(shape, factors.energy, edge) for shape in pure]
    return found(contrast_of_maxima(maxima[1] - maxima[0]))


def _smooth(factors: Factors, corners: np.ndarray, width: float) -> np.ndarray:
    """Spectra of corners smoothed by a Gaussian, eV, (corner, energy)."""
    smooth: np.ndarray = ndimage.gaussian_filter1d(
        corners @ factors.shapes, width / (factors.energy[1] - factors.energy[0])
    )
    return smooth


def _contrast(factors: Factors, corners: np.ndarray) -> float:
    """Half of the area between the spectra of the corners, one count of L3 each."""
    first, second = _smooth(factors, corners, _SMOOTH)
    return float(np.abs(first - second)[factors.inside].sum() / 2)


def _on_the_rim(iron: np.ndarray) -> np.ndarray:
    """Pixels with iron (pixel,) that lie within `_RIM` pixels of where there is none; the end of an image is no rim."""
    depth = np.stack([ndimage.distance_transform_edt(np.pad(one, 1, mode='edge'))[1:-1, 1:-1] for one in iron])
    rim: np.ndarray = depth[iron] <= _RIM
    return rim


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


def _shape_deviation(factors: Factors, corners: np.ndarray, errors: np.ndarray, seed: int) -> np.ndarray:
    """Standard deviation of the shapes per atom, (energy, phase): counting, and what each holds of the other."""
    rng = np.random.default_rng(seed)
    sampled = [corners @ factors.resampled(rng).free for _ in range(_BOOTSTRAP)]
    first, second = corners @ factors.shapes
    found: np.ndarray = np.hypot(np.std(sampled, axis=0), errors[:, None] * np.abs(second - first)).T
    return found


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
