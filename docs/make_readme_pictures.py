"""Make the pictures of the README: slices of the truth and of each method, and the turning volume.

    python docs/make_readme_pictures.py
    python docs/make_readme_pictures.py --demo demo-output

Without a folder that ``make demo`` has written, the demo is run first (some minutes).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from napari_diptomo.jobs.demo.workflow import DemoSettings, run_demo
from napari_diptomo.jobs.movie import MovieSettings, movie_file

IMAGES = Path(__file__).parent / 'images'
#: A picture that grows with the page, and an animation that loads at once.
_WIDTH, _TURN = 1000, MovieSettings(seconds=3.5, size=240)


def pictures(demo: Path, out: Path) -> None:
    """Write ``truth-and-methods.png`` and ``turning.gif``.

    Parameters
    ----------
    demo : Path
        Folder that ``diptomo demo`` has written.
    out : Path
    """
    with Image.open(demo / 'slices.png') as page:
        height = round(page.height * _WIDTH / page.width)
        small = page.convert('RGB').resize((_WIDTH, height), Image.Resampling.LANCZOS)
    small.save(out / 'truth-and-methods.png', optimize=True)
    movie_file(demo / 'volume.hspy', out / 'turning.gif', _TURN, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--demo', type=Path, help='folder that "make demo" has written')
    parser.add_argument('--out', type=Path, default=IMAGES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        demo = arguments.demo
        if demo is None:
            demo = Path(folder)
            run_demo(DemoSettings(output=demo, show=False))
        pictures(demo, arguments.out)


if __name__ == '__main__':
    main()
