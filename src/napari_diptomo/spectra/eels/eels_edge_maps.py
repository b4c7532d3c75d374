"""The step EELS edge maps: counts of any edges above an extrapolated background.

`napari_diptomo.spectra.eels.edge_counts` has the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from napari_diptomo.series import Finding, MapSeries, Observer, SpectralTiltSeries, Step, param
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.edge_counts import BackgroundLaw, EdgeWindows, edge_maps


class EdgeMaps(Step):
    """Sum edges above a background that is fitted in front of them and extrapolated under them.

    Maps scatter about zero where the element is missing. The ``variance`` is that
    of counting, extrapolation included, as the neighbouring pixels determine it; what the
    background is wrong by is not in it. All edges lie in the low loss, or all in the
    core loss, whose tilts the maps then have. No counts are held out.

    Notes
    -----
    The method is that of Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope (2011), section 4.4.
    ``EdgeMaps.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    >>> from napari_diptomo import EdgeMaps, simulate
    >>> simulated = simulate.eels_tilt_series(simulate.oxide_nanocube(24), [-40, 0, 40], core_tilts=[0, 1, 2])
    >>> maps = EdgeMaps(edges=('Fe_L',), background_width=30.0).run(simulated.series)
    >>> maps.channels, maps.data.shape
    (('Fe_L',), (1, 3, 24, 24))
    """

    title: ClassVar[str] = 'EELS edge maps'
    leading: ClassVar[tuple[str, ...]] = ('edges',)

    edges: tuple[str, ...] = param(
        (), 'Edges to map, e.g. O_K, Fe_L, Fe_L3; all in the low loss, or all in the core loss.'
    )
    background: BackgroundLaw = param(
        'power law',
        'Background model that is fitted in front of an edge and extrapolated under it; its exponent is that of the sum of a tilt, '
        'height and slope are those of the pixel.',
    )
    background_width: float | None = param(
        None, 'Width of the range in front of the onset where the background is fitted; auto: 12 % of the onset, 8 to 60.',
        unit='eV', gt=0.0, le=500.0, advanced=True,
    )  # fmt: skip
    signal_width: float | None = param(
        None, 'Width of the range behind the onset where the edge is summed; auto: 8 % of the onset, 8 to 50.',
        unit='eV', gt=0.0, le=500.0, advanced=True,
    )  # fmt: skip
    unit: Literal['counts', 'atoms/nm2'] = param(
        'counts',
        'counts: electrons in the edge. atoms/nm2: divided by the cross section of the edge and by the electrons of the pixel; '
        'edges of the low loss only.',
    )
    cross_section: str = param(
        '',
        'File with tabulated oscillator strengths (.gosh) for atoms/nm2; empty: hydrogenic cross sections, K and L edges only.',
        file=True,
        advanced=True,
    )
    calibrate: bool = param(
        True, 'Bring all pixels and tilts to one energy axis by their zero loss first.', advanced=True
    )

    def _run(self, data: SpectralTiltSeries, observer: Observer | None) -> MapSeries:
        windows = [EdgeWindows.of(edge, self.background_width, self.signal_width) for edge in self.edges]
        notes = {}
        if self.calibrate and windows:
            calibrated = calibrate(data, observer)
            data, notes = calibrated.series, {'calibration': calibrated.notes}
        maps = edge_maps(
            data,
            windows,
            background=self.background,
            gos_file=self.cross_section,
            atoms=self.unit == 'atoms/nm2',
            observer=observer,
        )
        return replace(maps, notes={**maps.notes, **notes}, findings=(*maps.findings, self._assumption(windows)))

    def _assumption(self, windows: Sequence[EdgeWindows]) -> Finding:
        fitted = ', '.join(f'{w.name} ({w.before[0]:.0f}-{w.before[1]:.0f} eV)' for w in windows)
        return Finding(
            'note',
            'background under the edges',
            f'Assumes that the background is of the model {self.background} from in front of the edge to under it: {fitted}. '
            'By how much it is not is in no error of these maps.',
        )
