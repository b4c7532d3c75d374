r"""k-, zeta-factors and cross sections from a standard: a specimen of known composition.

Of a standard with the weight fractions w_c, in whose maps the line families hold I_c counts,

    k_c = (w_c / I_c) / (w_r / I_r)

relative to the element r whose counts are known best, and, where it is a film of the mass thickness m in the
direction of the beam, seen with D electrons per pixel (Watanabe and Williams, J. Microsc. 221 (2006) 89),

    zeta_c = w_c m D / I_c,    sigma_c = A_c / (N_A zeta_c).

I_c are counts as emitted: where thickness and density are given each tilt is divided by what a film lets out,
(1 - exp(-d)) / d with d = mu_c rho t / cos(angle between its normal and the detector).

The error of a factor is the larger of that of the counts and of the scatter between some 32 parts of the images, by
leaving out one after the other (delete-a-group jackknife, Kott, J. Off. Stat. 17 (2001) 521). Errors of the composition,
of thickness and dose are in neither.

Formulas: k- and zeta-factors of a standard (`calibrate_factors`).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_diptomo.assess.channel_factors import QUANTITY, ZETA_BARN, Method
from napari_diptomo.assess.known_composition import KnownComposition
from napari_diptomo.assess.mass_density import Dose, estimated_density
from napari_diptomo.series import Finding, InputError, MapSeries, Observer, SpectralTiltSeries
from napari_diptomo.series.files import replacing_text
from napari_diptomo.spectra.common.exspy_adapter import atomic_weights
from napari_diptomo.spectra.edx.absorption import absorption_coefficients, directions, film_transmission
from napari_diptomo.spectra.edx.detector_position import NOTE, detector_position, position_findings
from napari_diptomo.spectra.edx.edx_maps import EDXMaps

_PARTS = 32
#: nm of a film whose absorption is said where none is corrected.
_EXAMPLE = 100.0
#: Scatter over counting error from which on a standard is no even one.
_UNEVEN = 2.0
_UNITS = {'k-factors': 'by mass', 'zeta-factors': 'kg/m^2', 'cross sections': 'barn'}


@dataclass(frozen=True)
class StandardSettings:
    """How a standard is calibrated by.

    Attributes
    ----------
    method : {'Cliff-Lorimer', 'zeta', 'cross section'}
        What is calibrated: k-factors, zeta-factors or cross sections.
    lines : tuple of str
        Line families of its elements, e.g. ``('Ge_K', 'Sb_L')``; empty: those that `EDXMaps` chooses.
    thickness : float, optional
        Of the film, nm. None: absorption is not corrected.
    density : float, optional
        g/cm^3; None: estimated from the elements, which is not enough for zeta-factors.
    dose : Dose
        Electrons per pixel and tilt, for zeta-factors and cross sections.
    elevation : float, optional
        Of the detectors, degrees; None: of the files, else assumed.
    azimuths : tuple of float, optional
        Of the detectors, degrees; None: of the files, else assumed.
    """

    method: Method = 'Cliff-Lorimer'
    lines: tuple[str, ...] = ()
    thickness: float | None = None
    density: float | None = None
    dose: Dose = field(default_factory=Dose)
    elevation: float | None = None
    azimuths: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class CalibratedFactors:
    """Factors of whole line families, measured on a standard.

    Attributes
    ----------
    families : tuple of str
        E.g. ``('Ge_K', 'Sb_L')``.
    values : ndarray (family,)
        k-factors by mass, zeta-factors in kg/m^2 or cross sections in barn.
    errors : ndarray (family,)
        Standard errors, in the unit of the values; 0 for the family that k-factors are relative to.
    quantity : {'k-factors', 'zeta-factors', 'cross sections'}
        What the values are.
    origin : mapping of str to str
        Standard, files, date, beam energy, ... as the saved table names them.
    findings : tuple of Finding
        What was assumed, or speaks against the standard.
    """

    families: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    quantity: str
    origin: Mapping[str, str]
    findings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        each = zip(self.families, self.values, self.errors, strict=True)
        return ', '.join(f'{family} {value:.4g} ± {error:.2g}' for family, value, error in each)

    def text(self) -> str:
        """The table as `read_factors` reads it: comments that name its origin, then line family, factor, error."""
        lines = [f'# {name}: {" ".join(value.split())}' for name, value in self.origin.items()]
        lines.append(f'line family, {self.quantity.removesuffix("s")}, error')
        for family, value, error in zip(self.families, self.values, self.errors, strict=True):
            lines.append(f'{family}, {value:.6g}, {error:.3g}')
        return '\n'.join(lines) + '\n'

    def save(self, path: str | Path) -> Path:
        """Write the table, a ``.csv`` file that serves wherever a table of factors does.

        Returns
        -------
        Path
            As given, with the suffix ``.csv`` where it has none.

        Raises
        ------
        InputError
            It cannot be written.
        """
        path = Path(path)
        path = path if path.suffix else path.with_suffix('.csv')
        if path.suffix.lower() == '.json':
            raise InputError(f'A table that names its origin is text, and {path.name} is JSON; save it as .csv.')
        replacing_text(path, self.text())
        return path


def calibrate_factors(
    data: MapSeries | SpectralTiltSeries,
    composition: str | Mapping[str, float],
    settings: StandardSettings | None = None,
    observer: Observer | None = None,
) -> CalibratedFactors:
    """Factors from a standard.

    Parameters
    ----------
    data : MapSeries or SpectralTiltSeries
        Fitted maps of the standard, or its spectra, of one image or more; all their pixels are used.
    composition : str or mapping of str to float
        ``'Ge2Sb2Te5'``, ``'Fe 70, Pt 30 wt.%'`` (at.% without a unit), or atoms by element.
    settings : StandardSettings, optional
        What is calibrated, and the film.
    observer : Observer, optional
        Of the fit of the spectra.

    Returns
    -------
    CalibratedFactors

    Raises
    ------
    InputError
        A composition that is none, elements that the maps lack, a single element for k-factors, or what
        zeta-factors need is missing.

    Examples
    --------
    >>> from napari_diptomo import MapSeries
    >>> maps = MapSeries([[[[300.0]]], [[[100.0]]]], [0.0], ('Fe', 'Pt'), notes={'lines': {'Fe': 'Fe_K', 'Pt': 'Pt_L'}})
    >>> print(calibrate_factors(maps, 'Fe 50, Pt 50 wt.%'))
    Fe_K 1 ± 0, Pt_L 3 ± 0.35
    """
    settings = settings or StandardSettings()
    known = KnownComposition.of(composition)
    quantity = QUANTITY[settings.method]
    if quantity == 'k-factors' and len(known.masses) < 2:
        raise InputError(
            f'k-factors are ratios of two elements, and this standard has {next(iter(known.masses))} alone; take a '
            'compound, or calibrate zeta-factors.'
        )
    if isinstance(data, SpectralTiltSeries):
        elements = () if settings.lines else tuple(known.masses)
        maps = EDXMaps(elements=elements, lines=settings.lines, holdout=0.0).run(data, observer)
    else:
        maps = data
    standard = _Standard.of(maps, known, settings)
    factors, errors, counting = standard.factors(quantity)
    findings = (*standard.findings, *_unevenness(errors, counting))
    return CalibratedFactors(
        standard.families,
        factors,
        errors * factors,
        quantity,
        standard.origin(quantity),
        (*maps.findings, *findings),
    )


@dataclass(frozen=True, eq=False)
class _Standard:
    """Counts of the elements of a standard.

    Attributes
    ----------
    families : tuple of str
        One for each element.
    weights : ndarray (family,)
        Fractions by mass.
    parts : ndarray (part, family)
        Counts as emitted, sums over parts of the images.
    counting : ndarray (family,)
        Relative errors of all counts.
    exposures : ndarray (part,)
        Mass thickness in the direction of the beam times electrons, summed over the pixels of a part, kg/m^2; only their
        ratios are right for k-factors.
    known : KnownComposition
    maps : MapSeries
    settings : StandardSettings
    findings : tuple of Finding
    """

    families: tuple[str, ...]
    weights: np.ndarray
    parts: np.ndarray
    counting: np.ndarray
    exposures: np.ndarray
    known: KnownComposition
    maps: MapSeries
    settings: StandardSettings
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, maps: MapSeries, known: KnownComposition, settings: StandardSettings) -> _Standard:
        """Find the channels of the elements, correct for absorption, sum over parts."""
        channels, families = _channels_of(maps, known, settings.lines)
        weights = np.array([known.masses[family.partition('_')[0]] for family in families])
        let_out, findings = _transmission(maps, families, known, settings)
        seen = np.ones(maps.data.shape[1:], bool)
        if maps.missing is not None:
            seen &= ~maps.missing[channels].any(axis=0)
        data = np.where(seen, maps.data[channels], 0.0)
        counts = data.sum(axis=(1, 2, 3), dtype=float)
        for family, total in zip(families, counts, strict=True):
            if not total > 0:
                raise InputError(
                    f'The standard shows no counts of {family}; map lines that it shows, or check its composition.'
                )
        variance = data if maps.variance is None else np.where(seen, maps.variance[channels], 0.0)
        counting = np.sqrt(np.maximum(variance.sum(axis=(1, 2, 3), dtype=float), 1.0)) / counts
        gain = 1.0 if maps.gain is None else maps.gain[channels][:, :, None, None]
        emitted = data / let_out[:, :, None, None] / gain
        exposure = seen / np.cos(np.radians(maps.angles))[:, None, None]
        if settings.method != 'Cliff-Lorimer':
            exposure *= _mass_thickness(settings) * settings.dose.per_pixel()
        left_out = [name for i, name in enumerate(maps.channels) if i not in channels]
        if left_out:
            sentence = (
                f'Of the maps of the standard {", ".join(left_out)} were left out: its composition does not name them.'
            )
            findings = (*findings, Finding('note', 'standard', sentence, {'channels left out': len(left_out)}))
        parts, exposures = _sums_of_parts(emitted), _sums_of_parts(exposure[None])[:, 0]
        return cls(families, weights, parts, counting, exposures, known, maps, settings, findings)

    def factors(self, quantity: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Factors, their relative errors, and the part of these that counting makes."""
        total = self.parts.sum(axis=0)
        if quantity == 'k-factors':
            reference = int(np.argmin(self.counting))
            values = self._relative(total, reference)
            counting = np.hypot(self.counting, self.counting[reference])
            counting[reference] = 0.0
            left_out = np.array([self._relative(total - part, reference) for part in self.parts])
        else:
            exposure = self.exposures.sum()
            values, counting = self.weights * exposure / total, self.counting
            rest = np.maximum(total - self.parts, 1e-300)
            left_out = (
                self.weights * (exposure - self.exposures)[:, None] / rest if len(self.parts) > 1 else values[None]
            )
        scatter = _jackknife(np.log(np.maximum(left_out, 1e-300)))
        if quantity == 'cross sections':
            known = atomic_weights()
            values = ZETA_BARN * np.array([known[family.partition('_')[0]] for family in self.families]) / values
        return values, np.maximum(scatter, counting), counting

    def _relative(self, counts: np.ndarray, reference: int) -> np.ndarray:
        masses = self.weights / np.maximum(counts, 1e-300)
        return masses / masses[reference]

    def origin(self, quantity: str) -> dict[str, str]:
        """The comments of the saved table."""
        maps, settings = self.maps, self.settings
        files = () if maps.recipe is None else maps.recipe.source.paths
        film = 'not corrected'
        if settings.thickness is not None:
            film = f'corrected, film of {settings.thickness:g} nm and {_density(self.known, settings):.3g} g/cm^3'
        found = {
            'quantity': f'{quantity}, {_UNITS[quantity]}, of whole line families',
            'standard': str(self.known),
            'files': ', '.join(Path(path).name for path in files) or 'not known',
            'date': datetime.datetime.now().astimezone().date().isoformat(),
            'images': f'{len(maps.angles)}, tilts {maps.angles.min():g}° to {maps.angles.max():g}°',
            'absorption': film,
        }
        if settings.method != 'Cliff-Lorimer':
            found['electrons per pixel'] = f'{settings.dose.per_pixel():.5g}'
        if 'beam_energy_keV' in maps.notes:
            found['beam energy, keV'] = f'{float(maps.notes["beam_energy_keV"]):g}'
        return found


def _channels_of(maps: MapSeries, known: KnownComposition, lines: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """Channel and line family of each element of a composition."""
    if maps.mixing is not None:
        raise InputError(
            'Factors are calibrated on fitted maps, these are counts of energy windows; fit maps of the standard.'
        )
    recorded = maps.notes.get('lines', {})
    families = [str(recorded.get(name, name)) for name in maps.channels]
    if lines and len(lines) == len(maps.channels) and not recorded:
        families = list(lines)
    found: dict[str, int] = {}
    for i, family in enumerate(families):
        element, _, shell = family.partition('_')
        if element in known.masses and shell[:1] in ('K', 'L', 'M') and (not lines or family in lines):
            if element in found:
                raise InputError(
                    f'The maps hold {families[found[element]]} and {family}; name the lines that are calibrated, one family '
                    'for each element.'
                )
            found[element] = i
    missing = [element for element in known.masses if element not in found]
    if missing:
        raise InputError(
            f'The standard holds {", ".join(missing)}, and its maps are of {", ".join(families)}; map a line family of every '
            'element of its composition.'
        )
    channels = [found[element] for element in known.masses]
    return channels, tuple(families[i] for i in channels)


def _density(known: KnownComposition, settings: StandardSettings) -> float:
    return settings.density or estimated_density(known.masses)


def _mass_thickness(settings: StandardSettings) -> float:
    """kg/m^2 along the normal of the film."""
    if settings.thickness is None or settings.density is None:
        raise InputError(
            f'{QUANTITY[settings.method].capitalize()} need the mass of the standard; give its thickness and its density.'
        )
    return settings.density * 1e3 * settings.thickness * 1e-9


def _transmission(
    maps: MapSeries, families: Sequence[str], known: KnownComposition, settings: StandardSettings
) -> tuple[np.ndarray, tuple[Finding, ...]]:
    """Share of the photons that a film lets out, (family, tilt), and what is assumed of it."""
    recorded = maps.notes.get(NOTE, {})
    position = detector_position(recorded, settings.elevation, settings.azimuths)
    rays = directions(maps.angles, position.elevation, position.azimuths)
    coefficients = absorption_coefficients(families, tuple(known.masses)) @ np.array(list(known.masses.values()))
    areal = _density(known, settings) * (settings.thickness or _EXAMPLE) * 1e-7
    let_out = film_transmission(coefficients * areal, rays)
    if settings.thickness is not None:
        return let_out, position_findings(recorded, position, (float(maps.angles.min()), float(maps.angles.max())))
    relative = let_out.mean(axis=1) / let_out.mean(axis=1).max()
    weakest = families[int(relative.argmin())]
    sentence = (
        f'The thickness of the standard is not given, so its absorption is in the factors: a film of {_EXAMPLE:g} nm would '
        f'make that of {weakest} too large by {100 * (1 / relative.min() - 1):.1f} %. Give thickness and density.'
    )
    evidence = {'error of a factor at 100 nm, %': 100 * float(1 / relative.min() - 1)}
    note = Finding('note', 'absorption in the standard', sentence, evidence)
    return np.ones_like(let_out), (note,)


def _sums_of_parts(counts: np.ndarray) -> np.ndarray:
    """Sums over squares of each image, (part, family), some 32 parts in all; no fewer than the images have pixels."""
    per_tilt = max(int(np.ceil(np.sqrt(_PARTS / counts.shape[1]))), 1)
    parts = [
        block.sum(axis=(1, 2))
        for tilt in np.moveaxis(counts, 1, 0)
        for rows in np.array_split(tilt, min(per_tilt, counts.shape[2]), axis=1)
        for block in np.array_split(rows, min(per_tilt, counts.shape[3]), axis=2)
    ]
    return np.array(parts, float)


def _jackknife(left_out: np.ndarray) -> np.ndarray:
    """Standard errors from values (part, ...) with one part left out in turn; 0 for a single part."""
    n = len(left_out)
    if n < 2:
        return np.zeros(left_out.shape[1:])
    return np.sqrt((n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))


def _unevenness(errors: np.ndarray, counting: np.ndarray) -> tuple[Finding, ...]:
    ratio = float(np.max(errors[counting > 0] / counting[counting > 0], initial=0.0))
    if ratio < _UNEVEN:
        return ()
    sentence = (
        f'The parts of the standard differ {ratio:.1f} times as much as counting makes them: its composition or its thickness '
        'is not even. The errors of the factors contain the scatter; take a part of the image, or another standard.'
    )
    return (Finding('doubt', 'standard', sentence, {'scatter over counting error': ratio}),)
