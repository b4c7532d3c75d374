"""Make the pictures of a HAADF series in the dock: beside a simulated series it is opened, aligned, and fitted.

    python docs/make_haadf_screenshot.py

Runs under Xvfb where there is no screen. Takes the pages Open (haadf-open) and Reconstruct before (haadf-tv-before) and
after (haadf-tv) a run of joint TV with the images. With ``--all`` also Align (haadf-align), and DIPm-TV before a run
(haadf-reconstruct), after one with the images (haadf-volume) and one without (haadf-runs).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from make_screenshots import Tour, guided, parser_of

from napari_diptomo import DIPmTV, TotalVariation, simulate
from napari_diptomo.simulate.haadf import REALISTIC, haadf_series

_ANGLES, _TILTS = np.arange(-40.0, 41.0, 10.0), np.arange(-70.0, 71.0, 10.0)


def write(folder: Path) -> None:
    """Maps of three elements, and in a folder of its own the HAADF series with its angles."""
    import tifffile

    phantom = simulate.lamella(32, voxel_size=2.0)
    shifts = np.random.default_rng(2).normal(0, 1.5, (len(_ANGLES), 2))
    maps = simulate.tilt_series(phantom, _ANGLES, peak_counts=20, shifts=shifts).maps
    images = haadf_series(phantom, _TILTS, REALISTIC, seed=1).images
    (folder / 'maps').mkdir()
    (folder / 'haadf').mkdir()
    stacks = {folder / 'maps' / f'{name}.tif': stack for name, stack in zip(maps.channels, maps.data, strict=True)}
    for path, stack in {**stacks, folder / 'haadf' / 'HAADF.tif': images}.items():
        tifffile.imwrite(path, stack, imagej=True, resolution=(0.5, 0.5), metadata={'axes': 'ZYX', 'unit': 'nm'})
    for name, angles in (('maps', _ANGLES), ('haadf', _TILTS)):
        (folder / name / 'angles.rawtlt').write_text('\n'.join(f'{angle:g}' for angle in angles))


def lead(tour: Tour, arguments: argparse.Namespace) -> None:
    """Open, align, run with and without."""
    dock = tour.dock
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        dock.open_page.haadf.add_paths([f'{folder}/haadf'])
        dock.open_paths([f'{folder}/maps'])
        tour.idle()
        dock.stages.bring_into_view(dock.open_page.haadf)
        tour.picture('haadf-open')
        dock.stages.go_to(dock.align_page)
        dock.run_page()
        tour.idle()
        page = dock.reconstruct_page
        if arguments.all:
            tour.picture('haadf-align')
        dock.stages.go_to(page)
        page.method.setCurrentText(TotalVariation.title)
        tour.until(lambda: 'Needs' in page.estimate.text())
        tour.picture('haadf-tv-before')
        dock.run_page()
        tour.idle()
        dock.stages.bring_into_view(page.convergence)
        tour.picture('haadf-tv')
        _say(dock)
        if arguments.all:
            _dipm_tv(tour, arguments)


def _dipm_tv(tour: Tour, arguments: argparse.Namespace) -> None:
    """With the images, and without."""
    dock, page = tour.dock, tour.dock.reconstruct_page
    page.method.setCurrentText(DIPmTV.title)
    page.forms[DIPmTV.title].set_value(DIPmTV(preset='fast', iterations=arguments.iterations))
    tour.settle()
    tour.picture('haadf-reconstruct')
    dock.run_page()
    tour.idle()
    tour.picture('haadf-volume')
    _say(dock)
    page.haadf_button.click()
    tour.idle()
    tour.picture('haadf-runs')
    _say(dock)


def _say(dock: Any) -> None:
    page = dock.reconstruct_page
    print(page.haadf.text(), page.note.text(), *(row.text.text() for row in dock.findings.rows), sep='\n')


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--iterations', type=int, default=60)
    return guided(lead, parser, '1366x768')


if __name__ == '__main__':
    sys.exit(main())
