r"""Oxidation state maps: edge counts of each oxide at every pixel of every tilt, from a low-loss edge.

At 54 eV the M2,3 edge of iron has some 20 times the counts of L2,3, on a
background that is several times higher and has no known law. The expected
spectrum of a pixel,

    m(E) = b(E) + sum_s a_s f_s(E - d),

holds the standards f_s of the oxides, their intensities a_s, a background b of one
of several background models, and what is left of an energy shift d; all are fitted
together (`edge_fit`), at every pixel. Standards have unit area in the window where
edge counts are counted, so a_s are these counts. They come from the data
themselves, by way of the core loss of one tilt or more (`standards`), or from
a file.

**Error.** The variance is that of counting, from the fit, and the
spread between the background models, which is systematic: both are in the
``variance`` of the maps, the share of the second in their notes.

**Iron.** By the sum rule an oxide's counts per atom go with its 3d holes (FeO
4, Fe3O4 14/3): intensities divided by them are numbers of atoms, in units of the
counts of one atom of the first oxide. The share of the atoms in each oxide
gives the mean valence.

**Held-out counts** are chosen before anything is fitted, binomially, from the
counts as recorded. They go through an operator that is linear in them and made
from the other counts alone, so that what judges a reconstruction has no bias
and shares no noise with what is fitted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from napari_diptomo.series import MapSeries, Observer, SpectralTiltSeries, Step, Watch, param
from napari_diptomo.series.oxides import holes, metal, valence
from napari_diptomo.spectra.eels.beam_and_contamination import beam_currents, drift_findings
from napari_diptomo.spectra.eels.calibration.calibrated_series import CalibratedSeries, calibrate
from napari_diptomo.spectra.eels.counts_per_electron import HOLDS_OUT_UP_TO, gain_findings
from napari_diptomo.spectra.eels.map_assembly import Atoms, assemble, of_equal_current
from napari_diptomo.spectra.eels.standards.doubts import standards_findings
from napari_diptomo.spectra.eels.standards.phases_nobody_asked_for import unexpected_phases
from napari_diptomo.spectra.eels.standards.search import StandardsSettings, standards_of
from napari_diptomo.spectra.eels.standards.stored import Standards
from napari_diptomo.spectra.eels.tilt_fits import OxideFitSettings, are_whole, fit_tilts, plan_fit


class EELSOxidationMaps(Step):
    """Fit the oxides of a metal and a background to the low-loss edge of every spectrum.

    Each channel is an oxide: atoms of the metal in it, relative, or its edge
    counts. Where there is no metal the maps scatter about zero. The
    ``variance`` is statistical and systematic; ``residual`` shows where the
    spectra hold what is not fitted.

    Notes
    -----
    The model stands at the top of the module. ``EELSOxidationMaps.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> from napari_diptomo import EELSOxidationMaps, simulate
    >>> particle = simulate.oxide_nanocube(32)
    >>> simulated = simulate.eels_tilt_series(particle, [0], edge_counts=1e4, read_noise=0.0)
    >>> maps = EELSOxidationMaps(background='power law').run(simulated.series).unmixed()
    >>> maps.channels, maps.data.shape
    (('FeO', 'Fe3O4'), (2, 1, 32, 32))
    >>> found, true = (x.data.sum(axis=(1, 2, 3)) / x.data.sum() for x in (maps, simulated.truth))
    >>> bool(abs(found - true).max() < 0.05)
    True
    """

    title: ClassVar[str] = 'EELS oxidation maps'
    leading: ClassVar[tuple[str, ...]] = ('element', 'states', 'background', 'standards')

    element: str = param('Fe', 'Metal whose oxidation state is mapped.')
    states: tuple[str, ...] = param(('FeO', 'Fe3O4'), 'Its oxides, lowest valence first, e.g. FeO, Fe3O4.')
    background: Literal['auto', 'sum of power laws', 'power law', 'exponential', 'log-polynomial', 'plasmon tail'] = (
        param(
            'auto',
            'Background model under the edge; auto fits with all, takes the one that explains the spectra of all tilts '
            'best and counts the spread between them as error.',
        )
    )
    standards: str = param(
        '',
        'File with spectra of the oxides at this edge, saved from another series; empty: from the core loss of this series.',
        file=True,
    )
    method: Literal['auto', 'references', 'stoichiometric', 'simplex'] = param(
        'auto',
        'How the core loss distinguishes the oxides where no pixel is pure. stoichiometric: FeO is subtracted from the purest Fe3O4 '
        'until a third of its iron is Fe2+. simplex: the purest mixtures of the image pass for pure. references: by given '
        'spectra. auto: by references where they are given, else stoichiometric for FeO and Fe3O4, simplex for other oxides.',
        advanced=True,
    )
    references: str = param(
        '',
        'File (.csv) with core-loss spectra of the oxides without background, columns energy, FeO, Fe3O4; empty: none.',
        advanced=True,
        file=True,
    )
    unit: Literal['atoms', 'edge counts'] = param(
        'atoms',
        'What a map counts. atoms: of the metal in each oxide, in units of the counts of one atom of the first. edge '
        'counts: electrons in the edge.',
        advanced=True,
    )
    deliver: Literal['maps', 'independent sums'] = param(
        'independent sums',
        'Output. maps: of each oxide. independent sums: decorrelated combinations of them, whose errors are '
        'uncorrelated, with the matrix that mixes them; the volume is still one of each oxide, and better: the spectra '
        'know the sum far better than each.',
        label='Output',
    )
    energy_min: float | None = param(
        None, 'Lower end of the fit; auto: 21 below the maximum of the edge.', unit='eV', gt=5.0, advanced=True
    )
    energy_max: float | None = param(
        None, 'Upper end of the fit; auto: 38 above the maximum of the edge.', unit='eV', gt=10.0, advanced=True
    )
    deconvolve: Literal['standards', 'Fourier-log', 'none'] = param(
        'standards',
        'Plural scattering. standards: each pixel is fitted with standards as its own thickness makes them. Fourier-log: '
        'it is taken out of the spectra, which adds noise. none: left as it is.',
        advanced=True,
    )
    fit_shift: bool = param(
        True, 'Fit a small energy shift at every pixel, beyond that of the zero loss.', advanced=True
    )
    equal_current: bool = param(
        False,
        'Divide the maps of each tilt by its beam current, which is taken from the total counts of the thinnest pixels. Only where the '
        'whole of the losses was recorded and the zero loss is not saturated.',
        advanced=True,
    )
    holdout: float = param(
        0.1,
        'Fraction of the counts set aside to judge the reconstruction, where they are whole; 0 uses all for the fit.',
        ge=0.0,
        le=0.5,
        label='Held-out fraction',
    )
    seed: int = param(0, 'Seed of the draw of held-out counts.', ge=0, advanced=True)

    @model_validator(mode='after')
    def _states_are_of_the_element(self) -> Self:
        if len(self.states) < 2 or len(set(self.states)) < len(self.states):
            raise ValueError('at least two different oxides are needed')
        for state in self.states:
            if metal(state) != self.element:
                raise ValueError(f'{state} is no oxide of {self.element}')
            if holes(state) == 0:
                raise ValueError(f'{state} has a full d shell and no white lines to count its atoms by')
        return self

    def _run(self, data: SpectralTiltSeries, observer: Observer | None) -> MapSeries:
        if data.energy_unit == 'eV':
            self.fit_settings().window(data.energy)
        calibrated = calibrate(data, observer)
        standards = standards_of(self.standards_settings(), calibrated, observer)
        maps = self.maps(calibrated, standards, observer)
        currents = beam_currents(calibrated)
        if self.equal_current:
            maps = of_equal_current(maps, currents)
        findings = (
            *standards_findings(standards),
            *unexpected_phases(standards),
            *drift_findings(calibrated, currents, self.equal_current),
            *gain_findings(maps.notes['eels']['counts_per_electron'], self.holdout),
        )
        return replace(maps, findings=(*maps.findings, *findings))

    def maps(self, calibrated: CalibratedSeries, standards: Standards, observer: Observer | None = None) -> MapSeries:
        """Maps of a calibrated series with given standards.

        Parameters
        ----------
        calibrated : CalibratedSeries
            The spectra, not deconvolved.
        standards : Standards
            Of ``states``.
        observer : Observer, optional
            Receives the progress.

        Returns
        -------
        MapSeries
            One channel for each oxide, (channel, tilt, y, x), without the findings of `run`.
        """
        fit, notes = plan_fit(self.fit_settings(), calibrated, standards)
        # Counts of which several are one electron cannot be held out: they share its noise with those that are fitted.
        share = self.holdout if fit.gain <= HOLDS_OUT_UP_TO and are_whole(fit.spectra(0)) else 0.0
        tilts = fit_tilts(fit, share, self.seed, Watch(observer, self.title, len(calibrated.series.angles)))
        maps = assemble(calibrated.series, tilts, self.atoms(), share, self.deliver == 'independent sums')
        notes |= {'calibration': calibrated.notes, 'standards': {'source': standards.source, **standards.notes}}
        return replace(maps, notes={**maps.notes, 'eels': {**maps.notes['eels'], **notes}})

    def fit_settings(self) -> OxideFitSettings:
        """Settings of the fit of the edge."""
        return OxideFitSettings(
            self.element, self.background, self.energy_min, self.energy_max, self.deconvolve, self.fit_shift
        )

    def standards_settings(self) -> StandardsSettings:
        """Where this step takes its standards from."""
        return StandardsSettings(self.states, self.standards, self.method, self.references)

    def atoms(self) -> Atoms:
        """How edge counts, atoms and valences of the oxides go together."""
        counts = [holes(state) for state in self.states]
        known = [c for c in counts if c is not None]
        per_atom = np.array(known) / known[0] if len(known) == len(counts) else np.ones(len(counts))
        return Atoms(self.states, per_atom, tuple(valence(s) for s in self.states), self.unit, self.element)
