r"""The step EELS MLLS maps: counts of reference spectra at every pixel, by multiple linear least squares.

The expected counts of a pixel are a background and the references, all fitted together with the weights of counts
(`edge_fit`),

    m(E) = b(E) + sum_s a_s S_s(E - d),

the intensities a_s not negative unless asked otherwise, d a shift that the sum of the tilt determines. A reference has one
count within the window of the edge, so a map counts the electrons of its edge. What the references say of one another
and of the spectra is tested: references that are too much alike, what their own noise leaves open, and a residual
that none of them explains.

Formulas: references fitted with a background, MLLS (`MLLSMaps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from napari_diptomo.series import Finding, InputError, MapSeries, Observer, SpectralTiltSeries, Step, Watch, param
from napari_diptomo.spectra.eels.edge_counts import (
    EdgeCounts,
    assembled,
    excess_scatter,
    expected_variance,
    scatter_findings,
)
from napari_diptomo.spectra.eels.edge_fit import EdgeFit, fit_edges
from napari_diptomo.spectra.eels.edge_spectra import Deconvolution, EdgeSpectra, edge_spectra
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows
from napari_diptomo.spectra.eels.reference_spectra import Reference, references_of

#: Without a range by hand references are fitted up to so far behind the onset, eV.
_BEHIND = 60.0
#: Correlated more than this, the intensities of two references cannot be separated.
_ALIKE = 0.95
#: A residual of this share of the edge, and this many standard deviations, is something else than the references.
_OTHER, _CERTAIN = 0.05, 5.0
#: Channels over which a residual is averaged, eV.
_SMOOTH = 2.0
#: A noise of the references that leaves more than this share of a map open is reported as a doubt.
_NOISY = 0.1


class MLLSMaps(Step):
    """Fit reference spectra and a background to an edge at every pixel: one map for each reference.

    References are files, or pixels of the series itself. A map counts the electrons of the edge in its state; the
    share of a state is its map over the sum of all. ``residual`` shows where the spectra hold what is not fitted.

    Notes
    -----
    The model stands at the top of the module. ``MLLSMaps.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> from napari_diptomo import MLLSMaps, simulate
    >>> simulated = simulate.eels_tilt_series(simulate.oxide_nanocube(24), [-40, 0, 40], core_tilts=[0, 1, 2])
    >>> regions = ('rim = rows 6-17 columns 5-6 at 0', 'core = rows 10-13 columns 10-13 at 0')
    >>> maps = MLLSMaps(edge='Fe_L 664-700 702-740', regions=regions).run(simulated.series)
    >>> maps.channels, maps.data.shape
    (('rim', 'core'), (2, 3, 24, 24))
    """

    title: ClassVar[str] = 'EELS MLLS maps'
    leading: ClassVar[tuple[str, ...]] = ('edge', 'references', 'regions')

    edge: str = param(
        '',
        'Edge that the references are of, e.g. Mn_L, O_K; with ranges of your own behind it, that of the background first: '
        'Mn_L 590-632 636-690.',
    )
    references: tuple[str, ...] = param(
        (),
        'Files with reference spectra (.msa, .hspy, .dm3, ...), named as their files, or tables (.csv) with columns energy, '
        'NAME, NAME.',
        file=True,
    )
    regions: tuple[str, ...] = param(
        (),
        'References from pixels of this series: NAME = rows 10-20 columns 5-12, or NAME = polygon 3 4 3 9 8 9 (row and column of '
        'each corner); at 0 behind it takes the tilt at 0° alone.',
    )
    background: Literal['power law', 'exponential', 'sum of power laws', 'log-polynomial'] = param(
        'power law', 'Background model, fitted together with the references.'
    )
    fit_shift: Literal['none', 'common', 'each'] = param(
        'none',
        'Move the references along the energy, up to 0.8 eV, to where the sum of each tilt has them: all together, or each by itself.',
    )
    non_negative: bool = param(
        True,
        'No intensities below zero. Without it maps scatter about zero where a state is missing, which has no bias.',
        advanced=True,
    )
    deconvolve: Deconvolution = param(
        'none',
        'Plural scattering of a core loss. Fourier-ratio: taken out with the low loss of the same pixels, which adds noise.',
    )
    energy_offset: float = param(
        0.0,
        'Added to the energies of the core loss (or of the low loss, where there is no zero loss in it).',
        unit='eV',
        ge=-100.0,
        le=100.0,
        advanced=True,
    )
    calibrate: bool = param(
        True,
        'Bring all pixels and tilts to one energy axis by their zero loss first, where it is in range.',
        advanced=True,
    )

    def _run(self, data: SpectralTiltSeries, observer: Observer | None) -> MapSeries:
        if not self.edge:
            raise InputError('No edge is named; name the one that the references are of, e.g. Mn_L.')
        window = fit_window(self.edge, float((data.core_loss or data).energy[-1]) + self.energy_offset)
        spectra = edge_spectra(
            data,
            (window,),
            calibrated=self.calibrate,
            deconvolve=self.deconvolve,
            energy_offset=self.energy_offset,
            observer=observer,
        )
        (window,) = spectra.windows
        references = references_of(self.references, self.regions, spectra, window)
        made = self._fitted(spectra, window, references, observer)
        counts = EdgeCounts(made.data, made.variance, made.residual, {}, (*made.findings(references), *made.scatter()))
        windows = [EdgeWindows(reference.name, window.before, window.signal) for reference in references]
        maps = assembled(spectra, windows, counts, self.background, 'counts')
        sums = maps.data.sum(axis=(1, 2, 3), dtype=float)
        notes = {
            'mlls': {
                'edge': self.edge,
                'references': {reference.name: reference.source for reference in references},
                'shares': dict(zip(maps.channels, (sums / max(float(sums.sum()), 1e-9)).tolist(), strict=True)),
                'shift': made.shifts,
            }
        }
        return replace(maps, notes={**maps.notes, **notes})

    def _fitted(
        self, spectra: EdgeSpectra, window: EdgeWindows, references: Sequence[Reference], observer: Observer | None
    ) -> _Fitted:
        shapes = np.stack([reference.shape for reference in references], axis=1)
        made = _Fitted.empty(len(references), spectra.shape)
        watch = Watch(observer, self.title, len(spectra.tilts))
        for i in range(len(spectra.tilts)):
            fit = fit_edges(
                spectra.tilt(i),
                spectra.energy,
                shapes,
                self.background,
                window=(window.before[0], window.signal[1]),
                fit_shift=self.fit_shift,
                shifts=spectra.shifts(i),
                allow_negative=not self.non_negative,
                between=lambda i=i: watch.step(i, message=f'tilt {i + 1} of {len(spectra.tilts)}'),  # type: ignore[misc]
            )
            made.take(i, fit, references, spectra.energy)
            watch.step(i + 1, message=f'references at tilt {i + 1} of {len(spectra.tilts)}')
        return made


def fit_window(edge: str, end: float) -> EdgeWindows:
    """Background in front of an edge, and the edge up to 60 eV behind its onset or up to ``end``, eV.

    Raises
    ------
    InputError
        An edge that is not in the table and has no ranges.
    """
    window = EdgeWindows.of(edge)
    if any(character.isdigit() for character in edge.partition(' ')[2]):
        return window
    return replace(window, signal=(window.signal[0], max(min(window.onset + _BEHIND, end), window.signal[1])))


@dataclass(eq=False)
class _Fitted:
    """Intensities of the references at all tilts, and what the fits of the sums say."""

    data: np.ndarray
    variance: np.ndarray
    residual: np.ndarray
    shifts: list[list[float]] = field(default_factory=list)
    scatters: list[float] = field(default_factory=list)
    correlations: list[np.ndarray] = field(default_factory=list)
    noises: list[np.ndarray] = field(default_factory=list)
    others: list[tuple[float, float, float]] = field(default_factory=list)

    @classmethod
    def empty(cls, number: int, shape: tuple[int, int, int]) -> _Fitted:
        return cls(
            np.empty((number, *shape), np.float32), np.empty((number, *shape), np.float32), np.empty(shape, np.float32)
        )

    def take(self, tilt: int, fit: EdgeFit, references: Sequence[Reference], energy: np.ndarray) -> None:
        """One tilt."""
        shape = self.residual.shape[1:]
        scatter = excess_scatter(fit.chi2)
        self.data[:, tilt] = fit.intensities.T.reshape(-1, *shape)
        raw = np.diagonal(fit.covariance, axis1=1, axis2=2).T.reshape(-1, *shape)
        self.variance[:, tilt] = [expected_variance(one) * scatter for one in raw]
        self.residual[tilt] = fit.chi2.reshape(shape)
        self.shifts.append([round(float(by), 4) for by in fit.shift])
        self.scatters.append(scatter)
        mean = fit.covariance.mean(axis=0)
        deviation = np.sqrt(np.maximum(np.diag(mean), 1e-300))
        self.correlations.append(mean / np.outer(deviation, deviation))
        self.noises.append(_noise_of_references(fit, references, energy))
        self.others.append(_unexplained(fit, scatter))

    def scatter(self) -> tuple[Finding, ...]:
        """A note on noise beyond counting."""
        return scatter_findings(max(self.scatters))

    def findings(self, references: Sequence[Reference]) -> tuple[Finding, ...]:
        """Findings on the references."""
        names = [reference.name for reference in references]
        found = [*self._alike(names), *self._noisy(names)]
        share, sigma, at = max(self.others)
        evidence = {'residual, share of the edge': share, 'at, eV': at, 'standard deviations': sigma}
        if share > _OTHER and sigma > _CERTAIN:
            sentence = (
                f'The references do not explain the spectra: the residual of the sum reaches {100 * share:.0f} % of the edge at {at:.1f} eV. A state '
                'that is not among them, another thickness or a shift may be there; look at the residual map.'
            )
            found.append(Finding('doubt', 'residual of the references', sentence, evidence))
        else:
            sentence = f'The residual of the sum stays below {100 * max(share, 0.005):.1f} % of the edge, at most at {at:.1f} eV.'
            found.append(Finding('note', 'residual of the references', sentence, evidence))
        return tuple(found)

    def _alike(self, names: list[str]) -> list[Finding]:
        correlation = np.abs(np.mean(self.correlations, axis=0) - np.eye(len(names)))
        i, j = np.unravel_index(int(correlation.argmax()), correlation.shape)
        if correlation[i, j] <= _ALIKE:
            return []
        sentence = (
            f'{names[i]} and {names[j]} are so much alike that their intensities go up and down together (correlation {-correlation[i, j]:.3f}): '
            'trust their sum, and pool many pixels for each.'
        )
        return [Finding('doubt', 'references alike', sentence, {'correlation': -float(correlation[i, j])})]

    def _noisy(self, names: list[str]) -> list[Finding]:
        open_ = np.max(self.noises, axis=0)
        noisy = {name: float(share) for name, share in zip(names, open_, strict=True) if share > _NOISY}
        if not noisy:
            return []
        named = ', '.join(f'{name} {100 * share:.0f} %' for name, share in noisy.items())
        sentence = f'The noise of the references themselves leaves a share of the maps open, the same at all pixels: {named}. Take more pixels.'
        return [Finding('doubt', 'noise of the references', sentence, noisy)]


def _noise_of_references(fit: EdgeFit, references: Sequence[Reference], energy: np.ndarray) -> np.ndarray:
    """Relative error of each intensity by the noise of its own reference, (reference,)."""
    shapes = fit.edges.mean(np.maximum(fit.intensities, 1e-6))
    columns = np.hstack([shapes, fit.columns])
    root = 1 / np.sqrt(np.maximum(fit.tilt.spectrum, 1e-9))[:, None]
    operator = np.linalg.pinv(columns * root)[: len(references)] * root.T
    variance = np.stack([reference.variance for reference in references])[:, np.searchsorted(energy, fit.energy)]
    found: np.ndarray = np.sqrt((operator**2 * variance).sum(axis=1))
    return found


def _unexplained(fit: EdgeFit, scatter: float) -> tuple[float, float, float]:
    """Largest smoothed residual of the sum: share of the edge's maximum, standard deviations, eV."""
    width = max(round(_SMOOTH / float(np.diff(fit.energy).mean())), 1)
    kernel = np.ones(width) / width
    residual = np.convolve(fit.tilt.residual, kernel, mode='same')
    edge = fit.edges.mean(np.maximum(fit.intensities, 1e-6)) @ fit.tilt.intensities
    expected = np.maximum(fit.tilt.spectrum + edge, 1e-9)
    deviation = np.sqrt(np.convolve(expected, kernel, mode='same') / width * scatter)
    top = int(np.abs(residual).argmax())
    return (
        float(np.abs(residual[top]) / max(edge.max(), 1e-9)),
        float(np.abs(residual[top]) / deviation[top]),
        float(fit.energy[top]),
    )
