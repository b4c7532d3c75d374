"""Make the picture of the EDX page: a measured series, its maps, a region, the fit of its spectrum.

    python docs/make_edx_screenshot.py FOLDER --elements O,Mg,Al,Si,S,Ca,Fe,Ni --binning 2

Runs under Xvfb where there is no screen. Beside the page itself it takes the
periodic table (edx-table) and the totals over the tilts (edx-totals) where
``--all`` is given.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from make_screenshots import Tour, guided, parser_of


def lead(tour: Tour, arguments: argparse.Namespace) -> None:
    """Open, choose, make maps, draw."""
    dock, page = tour.dock, tour.dock.maps_page
    dock.open_page.fields['binning'].value = arguments.binning
    dock.open_paths([arguments.data])
    tour.idle()
    dock.stages.go_forward()
    page.picker.set_elements(tuple(arguments.elements.split(',')))
    tour.until(lambda: not page.view.busy)
    dock.run_page()
    tour.idle()
    if arguments.all:
        tour.picture('edx-totals')
    page.view.draw.click()
    size = np.array(_image(page))
    page.view.region.layer.add_rectangles(np.stack([size * (0.42, 0.4), size * (0.62, 0.6)]))
    tour.settle()
    tour.until(lambda: not page.view.busy)
    dock.stages.bring_into_view(page)
    tour.picture('edx-dock')
    print(page.view.note.text(), '|', page.warning.text(), '|', page.totals.note.text())
    if arguments.all:
        page.picker.open_table.click()
        tour.settle()
        dock.screen().grabWindow(0).save(str(arguments.out / 'edx-table.png'))


def _image(page: Any) -> tuple[int, int]:
    """Height and width as shown."""
    shape = page.session.series.counts.shape[1:3]
    return shape[::-1] if page.session.series.transposed else shape


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument('data', help='folder of a tilt series')
    parser.add_argument('--elements', default='O,Mg,Al,Si,S,Ca,Fe,Ni', help='separated by commas')
    parser.add_argument('--binning', type=int, default=1)
    parser.add_argument('--all', action='store_true')
    return guided(lead, parser, '1500x1000')


if __name__ == '__main__':
    sys.exit(main())
