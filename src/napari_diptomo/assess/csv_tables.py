"""Tables as text with commas: one line of headings, then numbers of six digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_diptomo.series.files import replacing


def write_table(path: str | Path, headings: Sequence[str], rows: np.ndarray) -> Path:
    """Write a table.

    Parameters
    ----------
    path : str or Path
    headings : sequence of str
        Of the columns.
    rows : ndarray (row, column)

    Returns
    -------
    Path

    Raises
    ------
    InputError
        The file cannot be written; an earlier one stays.
    """
    text = {'delimiter': ',', 'header': ','.join(headings), 'comments': '', 'encoding': 'utf-8'}
    return replacing(Path(path), lambda partial: np.savetxt(partial, rows, fmt='%.6g', **text))
