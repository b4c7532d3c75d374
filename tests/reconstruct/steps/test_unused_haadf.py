"""A HAADF series that a preset does not use is a doubt."""

from __future__ import annotations

import numpy as np

from napari_diptomo import SIRT, DIPmTV, HAADFSeries, MapSeries, PoissonEM, TotalVariation, simulate
from napari_diptomo.series import with_haadf

ANGLES = np.arange(-40.0, 41.0, 20.0)


def maps() -> MapSeries:
    return simulate.tilt_series(simulate.lamella(16), ANGLES).maps


def test_a_preset_that_fits_the_maps_alone_says_so() -> None:
    step = DIPmTV(preset='published-edx', iterations=1, widths=(16, 32), skips=(4, 8))
    series = with_haadf(maps(), HAADFSeries(np.ones((5, 16, 16)), ANGLES))
    (finding,) = [finding for finding in step.run(series).findings if finding.about == 'HAADF series']
    assert (finding.level, finding.step) == ('doubt', 'DIPmTV')
    assert (
        finding.sentence == 'The HAADF series (5 images) is not used by this preset; balanced fits it beside the maps.'
    )
    assert finding.remedy is not None
    assert (finding.remedy.step, finding.remedy.changes) == ('DIPmTV', {'preset': 'balanced'})


def test_without_a_series_or_where_the_user_left_it_out_nothing_is_said() -> None:
    series = with_haadf(maps(), HAADFSeries(np.ones((5, 16, 16)), ANGLES))
    left_out = DIPmTV(preset='fast', iterations=1, haadf=False).run(series)
    others = [kind(iterations=2, haadf=False).run(series) for kind in (TotalVariation, SIRT, PoissonEM)]
    volumes = (left_out, *others, SIRT(iterations=2).run(maps()))
    assert not [f for volume in volumes for f in volume.findings if f.about == 'HAADF series']
