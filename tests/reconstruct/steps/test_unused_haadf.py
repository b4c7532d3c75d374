"""A HAADF series that a method does not use is a doubt."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo import SIRT, DIPmTV, HAADFSeries, MapSeries, PoissonEM, TotalVariation, simulate
from napari_diptomo.reconstruct import Reconstruction
from napari_diptomo.series import with_haadf

ANGLES = np.arange(-40.0, 41.0, 20.0)


def maps() -> MapSeries:
    return simulate.tilt_series(simulate.lamella(16), ANGLES).maps


@pytest.mark.parametrize(
    ('step', 'words'),
    [
        (SIRT(iterations=2), 'this method; DIPm-TV and Joint TV fit'),
        (PoissonEM(iterations=2), 'this method; DIPm-TV and Joint TV fit'),
        (DIPmTV(preset='published-edx', iterations=1, widths=(16, 32), skips=(4, 8)), 'this preset; balanced fits'),
    ],
)
def test_a_method_that_fits_the_maps_alone_says_so(step: Reconstruction, words: str) -> None:
    series = with_haadf(maps(), HAADFSeries(np.ones((5, 16, 16)), ANGLES))
    (finding,) = [finding for finding in step.run(series).findings if finding.about == 'HAADF series']
    assert (finding.level, finding.step) == ('doubt', type(step).__name__)
    assert finding.sentence == f'The HAADF series (5 images) is not used by {words} it beside the maps.'
    assert finding.remedy is not None
    assert finding.remedy.step == 'DIPmTV'


def test_without_a_series_or_where_the_user_left_it_out_nothing_is_said() -> None:
    series = with_haadf(maps(), HAADFSeries(np.ones((5, 16, 16)), ANGLES))
    left_out = DIPmTV(preset='fast', iterations=1, haadf=False).run(series)
    left_out_of_tv = TotalVariation(iterations=2, haadf=False).run(series)
    assert not [
        finding
        for finding in (*left_out.findings, *left_out_of_tv.findings, *SIRT(iterations=2).run(maps()).findings)
        if finding.about == 'HAADF series'
    ]
