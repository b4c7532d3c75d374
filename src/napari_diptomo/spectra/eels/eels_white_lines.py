"""The step EELS white lines: counts of L3 and L2 of a 3d metal, whose ratio goes with its valence.

`napari_diptomo.spectra.eels.white_line_ratio` has the method.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from napari_diptomo.series import (
    Finding,
    InputError,
    MapSeries,
    Observer,
    Remedy,
    SpectralTiltSeries,
    Step,
    Watch,
    param,
)
from napari_diptomo.spectra.eels.edge_axis import line_is_doubtful
from napari_diptomo.spectra.eels.edge_counts import EdgeCounts, assembled, expected_variance
from napari_diptomo.spectra.eels.edge_spectra import Deconvolution, edge_spectra
from napari_diptomo.spectra.eels.edge_windows import EdgeWindows
from napari_diptomo.spectra.eels.white_line_ratio import WhiteLines, white_line_maps, white_line_windows


class WhiteLineMaps(Step):
    """Count the white lines L3 and L2 of a 3d metal in a core loss, above background and steps.

    Both maps are projections and can be reconstructed; their ratio and the energy of L3, which cannot, stand in
    the notes for each tilt, with errors.

    Notes
    -----
    The method is that of Pearson et al. (Phys. Rev. B 47 (1993) 8471) and van Aken et al. (Phys. Chem. Miner. 25
    (1998) 323). ``WhiteLineMaps.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> from napari_diptomo import WhiteLineMaps, simulate
    >>> simulated = simulate.eels_tilt_series(simulate.oxide_nanocube(24), [-40, 0, 40], core_tilts=[0, 1, 2])
    >>> WhiteLineMaps(element='Fe').run(simulated.series).channels
    ('Fe_L3', 'Fe_L2')
    """

    title: ClassVar[str] = 'EELS white lines'
    leading: ClassVar[tuple[str, ...]] = ('element',)

    element: str = param('Fe', 'A 3d metal whose L2,3 edge is in the spectra, e.g. Fe, Mn.')
    smooth: float = param(
        1.0,
        'Spectra are averaged over a Gaussian of this sigma for the ratio, as a pixel alone seldom has the counts; maps are not.',
        unit='pixels',
        ge=0.0,
        le=20.0,
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
        whole = white_line_windows(self.element)
        spectra = edge_spectra(
            data,
            (whole,),
            calibrated=self.calibrate,
            deconvolve=self.deconvolve,
            energy_offset=self.energy_offset,
            observer=observer,
        )
        names = (f'{self.element}_L3', f'{self.element}_L2')
        maps, variance = np.empty((2, *spectra.shape), np.float32), np.empty((2, *spectra.shape), np.float32)
        tilts: list[WhiteLines] = []
        watch = Watch(observer, self.title, len(spectra.tilts))
        for i in range(len(spectra.tilts)):
            counts = spectra.tilt(i).reshape(*spectra.shape[1:], -1)
            try:
                own = white_line_maps(counts, spectra.energy, self.element, smooth=0.0)
                tilts.append(white_line_maps(counts, spectra.energy, self.element, smooth=self.smooth))
            except InputError as error:
                raise InputError(f'At {data.angles[spectra.tilts[i]]:g}°: {error}') from error
            maps[:, i] = own.lines
            variance[:, i] = [expected_variance(raw) for raw in own.variance]
            watch.step(i + 1, message=f'white lines of tilt {i + 1} of {len(spectra.tilts)}')
        windows = [EdgeWindows(name, whole.before, whole.signal) for name in names]
        made = assembled(spectra, windows, EdgeCounts(maps, variance), 'power law', 'counts')
        ratios = [_ratio(maps[:, i], variance[:, i]) for i in range(len(tilts))]
        notes = {
            'white_lines': {
                'element': self.element,
                'smooth': self.smooth,
                'ratio': [list(ratio) for ratio in ratios],
                'l3_above_table': [round(tilt.offset, 3) for tilt in tilts],
            }
        }
        findings = (*made.findings, *self._findings(ratios, [tilt.offset for tilt in tilts]))
        return replace(made, notes={**made.notes, **notes}, findings=findings)

    def _findings(self, ratios: list[tuple[float, float]], offsets: list[float]) -> tuple[Finding, ...]:
        mean = float(np.mean([ratio for ratio, _ in ratios]))
        error = float(np.sqrt(np.sum([e**2 for _, e in ratios]))) / len(ratios)
        evidence = {
            'L3 / L2': mean,
            'by counting': error,
            'between tilts': float(np.std([ratio for ratio, _ in ratios])),
        }
        said = Finding(
            'note',
            'white lines',
            f'L3 / L2 of {self.element}, all pixels and tilts: {mean:.2f} ± {error:.2f} by counting. Steps 2:1 under the lines are assumed, '
            'and plural scattering raises what lies behind L3; compare ratios made the same way only.',
            evidence,
        )
        middle = float(np.median(offsets))
        if not line_is_doubtful(middle):
            return (said,)
        by = -round(middle, 1)
        axis = Finding(
            'doubt',
            'energy axis',
            f'L3 of {self.element} lies {middle:+.1f} eV off the table, more than its valence explains: the windows follow it, but '
            'its energy says nothing of the valence. Correct the energies.',
            {'L3 above the table, eV': middle},
            Remedy(f'Move the energies by {by:+g} eV', 'WhiteLineMaps', {'energy_offset': by}),
        )
        return (said, axis)


def _ratio(lines: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """L3 over L2 of all pixels of a tilt, and its standard deviation."""
    first, second = lines.sum(axis=(1, 2), dtype=float)
    if not second > 0:
        return float('nan'), float('nan')
    var1, var2 = variance.sum(axis=(1, 2), dtype=float)
    ratio = first / second
    return float(ratio), float(np.sqrt(var1 + ratio**2 * var2) / second)
