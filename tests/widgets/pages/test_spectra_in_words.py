"""Sentences of the Maps page about spectra, in the words and numbers of the field."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_diptomo.widgets.pages.edx_spectrum import describe
from napari_diptomo.widgets.pages.eels_sentences import describe_oxides, describe_range, describe_spread
from napari_diptomo.widgets.pages.oxidation_state import describe_states


def explained(**more: Any) -> Any:
    energy = np.linspace(40.0, 80.0, 5)
    return SimpleNamespace(energy=energy, counts=np.full(5, 2_804_000.0), residual=np.zeros(5), chi2=1.0, **more)


def test_large_numbers_of_counts_have_no_exponent() -> None:
    for sentence in (describe(explained()), describe_range(explained(background_model='power law'))):
        assert sentence.replace('\N{NO-BREAK SPACE}', ' ').startswith('14 020 000 counts')


def test_the_second_error_is_named_after_what_is_in_it() -> None:
    """That of the maps has the standards in it, that of a spectrum on the page the backgrounds alone."""
    notes = {
        'tilts': [{'mean_valence': [2.2, 0.002, 0.04]}],
        'background': {'family': 'power law', 'chi2': {'power law': [1.2]}},
    }
    made = SimpleNamespace(maps=SimpleNamespace(notes={'eels': notes}), why='')
    assert '± 0.002 by counting, ± 0.040 by background and standards' in describe_oxides(made)
    weights = {'power law': 0.5, 'exponential': 0.5}
    spectrum = SimpleNamespace(valence=(2.2, 0.002, 0.02), low=SimpleNamespace(weights=weights))
    assert '± 0.020 by the choice of the background' in describe_spread(spectrum)


def test_the_error_that_all_voxels_share_is_named_after_what_is_in_it() -> None:
    notes = {'mean': {'mean valence': 2.2}, 'error_shared_by_all': 0.044, 'errors': 'counting', 'masked_share': 0.8}
    volume = SimpleNamespace(notes={'oxidation_state': notes})
    assert 'Background and standards contribute a systematic error of 0.044 in valence.' in describe_states(volume)
