"""Tables of an assessment."""

from __future__ import annotations

import numpy as np
import pytest

from napari_diptomo.assess.csv_tables import write_table
from napari_diptomo.series import InputError


def test_headings_may_have_any_letter_and_an_earlier_table_survives_a_failure(tmp_path, monkeypatch):
    path = write_table(tmp_path / 'a.csv', ['Fe\u00b2\u207a', 'O'], np.array([[1.25, 2.0]]))
    assert path.read_text(encoding='utf-8') == 'Fe\u00b2\u207a,O\n1.25,2\n'

    def full(*_args, **_named):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savetxt', full)
    with pytest.raises(InputError, match='space'):
        write_table(path, ['O'], np.zeros((1, 1)))
    assert path.read_text(encoding='utf-8').startswith('Fe')
    assert list(tmp_path.iterdir()) == [path]
