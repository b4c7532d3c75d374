"""Make the picture of a second tilt axis in the dock: two simulated series of one specimen are joined on the page Align.

    python docs/make_second_axis_picture.py

Runs under Xvfb where there is no screen. Takes the page Align after the series are joined (second-axis).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from make_screenshots import Tour, guided, parser_of

from napari_diptomo import simulate
from napari_diptomo.series.reinsertion import Reinsertion
from napari_diptomo.simulate import second_tilt_series

_ANGLES = np.arange(-40.0, 41.0, 5.0)


def lead(tour: Tour, arguments: argparse.Namespace) -> None:
    """Open, align, join."""
    dock = tour.dock
    with tempfile.TemporaryDirectory() as folder:
        phantom = simulate.lamella(32, voxel_size=2.0)
        first, second = Path(folder) / 'axis_a.hspy', Path(folder) / 'axis_b.hspy'
        shifts = np.random.default_rng(2).normal(0, 1.5, (len(_ANGLES), 2))
        simulate.tilt_series(phantom, _ANGLES, 20, shifts=shifts).maps.save(first)
        second_tilt_series(phantom, Reinsertion.turned(93), _ANGLES, 15, seed=1).maps.save(second)
        dock.open_paths([str(first)])
        tour.idle()
        page = dock.align_page
        dock.stages.go_to(page)
        dock.run_page()
        tour.idle()
        form = page.second.form
        assert form is not None
        form.fields['maps'].value = str(second)
        page.second.join_button.click()
        tour.idle()
        dock.stages.bring_into_view(page.second)
        tour.picture('second-axis')
        print(page.second.found.text(), *(row.text.text() for row in dock.findings.rows), sep='\n')


def main() -> int:
    return guided(lead, parser_of(__doc__), '1366x768')


if __name__ == '__main__':
    sys.exit(main())
