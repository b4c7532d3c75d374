"""Tables as text with commas: one line of headings, then numbers of six digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


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
    """
    np.savetxt(path, rows, fmt='%.6g', delimiter=',', header=','.join(headings), comments='')
    return Path(path)
