"""The one door to eXSpy: its table of X-ray lines.

The import takes two seconds, so it happens when the table is first asked for.
"""

from __future__ import annotations

import logging
import warnings
from functools import cache


@cache
def line_table() -> dict[str, dict[str, tuple[float, float]]]:
    """Energy in keV and weight of every line, e.g. ``line_table()['Fe']['Ka']``.

    Weights are relative to the strongest line of the same family.
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            from exspy.material import elements
    finally:
        logging.disable(level)
    table = {}
    for symbol, element in elements:
        lines = element.as_dictionary()['Atomic_properties'].get('Xray_lines', {})
        table[symbol] = {name: (line['energy (keV)'], line['weight']) for name, line in lines.items()}
    return table


@cache
def atomic_numbers() -> dict[str, int]:
    """Atomic number of every element of the table, in ascending order."""
    line_table()
    from exspy.material import elements

    numbers = {symbol: int(element.as_dictionary()['General_properties']['Z']) for symbol, element in elements}
    return dict(sorted(numbers.items(), key=lambda item: item[1]))
