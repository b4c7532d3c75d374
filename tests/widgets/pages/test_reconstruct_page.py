"""Sentences of the dock on a finished volume."""

from __future__ import annotations

import numpy as np

from napari_diptomo.series import Volume
from napari_diptomo.widgets.pages.reconstruct_page import describe_volume


def test_a_volume_is_described_with_its_size_its_end_and_its_missing_wedge():
    notes = {'stopping': 'iterate 7 of 9 predicts the held-out counts best', 'max_tilt': [-40.0, 35.0]}
    sentence = describe_volume(Volume(np.ones((1, 4, 5, 6)), ('Ge',), 2.0, notes=notes))
    assert sentence == (
        '6 x 5 x 4 voxels of 2 nm. Iterate 7 of 9 predicts the held-out counts best. '
        'Tilts end at -40° and 35°: faces normal to the beam and detail along it are determined by the prior, not by data.'
    )
    sentence = describe_volume(
        Volume(np.ones((1, 4, 5, 6)), ('Ge',), 2.0, notes={'uncertainty': 'the spread of 5 fits'})
    )
    assert sentence.endswith('nm. The spread of 5 fits.')
    assert 'Tilts end' not in describe_volume(
        Volume(np.ones((1, 4, 5, 6)), ('Ge',), 2.0, notes={'max_tilt': [-90, 90]})
    )
