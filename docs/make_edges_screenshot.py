"""Make the picture of the Maps page of a core loss alone.

    python docs/make_edges_screenshot.py

Runs under Xvfb where there is no screen. ``--all`` also takes the maps, white lines and references.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from make_screenshots import Tour, guided, parser_of

from napari_diptomo.simulate.core_loss import core_loss_tilt_series
from napari_diptomo.widgets.tasks.opening import look_over


def lead(tour: Tour, arguments: argparse.Namespace) -> None:
    """Open a simulated core loss, map its edges."""
    dock, eels = tour.dock, tour.dock.maps_page.eels
    made = core_loss_tilt_series(48, np.arange(-40.0, 41.0, 10.0), edge_counts=3000)
    dock.open_page.done(look_over(made.series))
    tour.settle()
    if arguments.all:
        tour.picture('edges-open')
    dock.stages.go_to(dock.maps_page)
    tour.until(lambda: not eels.busy)
    tour.settle()
    tour.picture('edges-maps')
    if not arguments.all:
        return
    dock.run_page()
    tour.idle()
    tour.picture('edges-made')
    for kind, name in (('White lines', 'edges-white-lines'), ('Reference spectra', 'edges-references')):
        eels.kind.setCurrentText(kind)
        tour.until(lambda: not eels.busy)
        dock.stages.bring_into_view(dock.maps_page)
        tour.picture(name)
        if kind == 'White lines':
            dock.run_page()
            tour.idle()
            tour.picture('edges-ratio')


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument('--all', action='store_true')
    return guided(lead, parser, '1366x768')


if __name__ == '__main__':
    sys.exit(main())
