"""Make the picture of what a notebook shows of a series, its maps and a volume.

    python docs/make_notebook_picture.py

The pages are those of `_repr_html_`, photographed by Chromium or Chrome, which has to be installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from napari_diptomo import SIRT, Align, EDXMaps, simulate

OUTPUT = Path(__file__).parent / 'images' / 'notebook.png'
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
#: Lines up the pages as the cells of a notebook.
PAGE = '<html><body style="font: 14px sans-serif; margin: 10px">{}</body></html>'
CELL = '<div style="margin: 0 0 14px"><code style="color: #555">{}</code><div style="margin-top: 4px">{}</div></div>'


def photographed(page: str, browser: str) -> Image.Image:
    """A page of HTML as a picture, without the empty space around it."""
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / 'page.html', Path(folder) / 'page.png'
        source.write_text(page, encoding='utf-8')
        options = ['--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--window-size=900,1400']
        subprocess.run([browser, *options, f'--screenshot={shot}', source.as_uri()], check=True, timeout=120)
        with Image.open(shot) as opened:
            picture = opened.convert('RGB')
    box = ImageChops.difference(picture, Image.new('RGB', picture.size, 'white')).getbbox()
    assert box is not None, 'something is on the page'
    return picture.crop((0, 0, min(box[2] + 10, picture.width), box[3] + 10))


def main() -> int:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        print('There is no Chromium and no Chrome.')
        return 1
    series = simulate.demo_series(size=48).series
    maps = Align().run(EDXMaps(elements=('Ge', 'Sb', 'Te')).run(series))
    volume = SIRT(iterations=30).run(maps)
    shown = {'series': series, 'maps': maps, 'volume': volume}
    page = PAGE.format(''.join(CELL.format(name, value._repr_html_()) for name, value in shown.items()))
    photographed(page, browser).quantize(256).save(OUTPUT, optimize=True)
    print(OUTPUT)
    return 0


if __name__ == '__main__':
    sys.exit(main())
