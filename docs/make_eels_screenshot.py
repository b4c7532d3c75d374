"""Make the pictures of the EELS page: the sample, its spectrum with the fit, its maps.

    python docs/make_eels_screenshot.py

Runs under Xvfb where there is no screen. ``--all`` also takes the core loss
with the pure pixels (eels-core) and the oxidation states of a volume
(eels-volume).
"""

from __future__ import annotations

import argparse
import sys

from make_screenshots import Tour, guided, parser_of


def lead(tour: Tour, arguments: argparse.Namespace) -> None:
    """Open the sample, look at its spectra, make maps, look at the oxidation states."""
    dock, page = tour.dock, tour.dock.maps_page.eels
    tour.viewer.open_sample('napari-diptomo', 'nanocube-spectra')
    tour.until(lambda: dock.session.series is not None)
    tour.settle()
    if arguments.all:
        tour.picture('eels-open')
    dock.stages.go_forward()
    tour.until(lambda: page.found is not None)
    tour.until(lambda: not page.busy)
    dock.run_page()
    tour.idle()
    dock.stages.bring_into_view(dock.maps_page)
    tour.picture('eels-dock')
    print(page.view.note.text(), '|', page.spread.text(), '|', page.standards.note.text(), '|', page.made.text())
    if not arguments.all:
        return
    dock.stages.bring_into_view(page.outcome_widget)
    tour.picture('eels-made')
    page.view.range.setCurrentIndex(1)
    page.standards.show_pure.click()
    tour.until(lambda: not page.busy)
    dock.stages.bring_into_view(dock.maps_page)
    tour.picture('eels-core')
    page.standards.show_pure.click()
    _reconstruct(tour)
    tour.picture('eels-volume')


def _reconstruct(tour: Tour) -> None:
    """A quick volume, and its oxidation states."""
    dock = tour.dock
    dock.stages.go_to(dock.reconstruct_page)
    dock.reconstruct_page.method.setCurrentText('SIRT')
    dock.run_page()
    tour.idle()
    dock.stages.go_forward()
    tour.settle()
    dock.run_page()
    tour.idle()


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument('--all', action='store_true')
    return guided(lead, parser, '1500x1240')


if __name__ == '__main__':
    sys.exit(main())
