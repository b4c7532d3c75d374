"""Make the picture of what a notebook shows of a series, its maps and a volume.

    python -m pip install PyQt6-WebEngine
    python docs/make_notebook_picture.py

The pages are those of `_repr_html_`, photographed in the web view of Qt.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from napari_diptomo import SIRT, Align, EDXMaps, simulate

OUTPUT = Path(__file__).parent / 'images' / 'notebook.png'
#: Lines up the pages as the cells of a notebook.
PAGE = '<html><body style="font: 14px sans-serif; margin: 10px">{}</body></html>'
CELL = '<div style="margin: 0 0 14px"><code style="color: #555">{}</code><div style="margin-top: 4px">{}</div></div>'
#: Milliseconds from the page's last byte until it is painted.
PAINTED = 1500


def photographed(page: str) -> Image.Image:
    """A page of HTML as a picture, without the empty space around it."""
    os.environ.setdefault('QT_QPA_PLATFORM', 'offscreen')
    os.environ.setdefault('QTWEBENGINE_CHROMIUM_FLAGS', '--no-sandbox --disable-gpu')
    from PyQt6.QtCore import QTimer, QUrl
    from PyQt6.QtWebEngineWidgets import QWebEngineView
    from PyQt6.QtWidgets import QApplication

    app = QApplication(['picture'])
    view = QWebEngineView()
    view.resize(900, 1400)
    with tempfile.TemporaryDirectory() as folder:
        source, shot = Path(folder) / 'page.html', Path(folder) / 'page.png'
        source.write_text(page, encoding='utf-8')

        def take() -> None:
            view.grab().save(str(shot))
            app.quit()

        view.loadFinished.connect(lambda: QTimer.singleShot(PAINTED, take))
        view.load(QUrl.fromLocalFile(str(source)))
        view.show()
        app.exec()
        with Image.open(shot) as opened:
            picture = opened.convert('RGB')
    box = ImageChops.difference(picture, Image.new('RGB', picture.size, 'white')).getbbox()
    assert box is not None, 'something is on the page'
    return picture.crop((0, 0, min(box[2] + 10, picture.width), box[3] + 10))


def main() -> int:
    series = simulate.demo_series(size=48).series
    maps = Align().run(EDXMaps(elements=('Ge', 'Sb', 'Te')).run(series))
    volume = SIRT(iterations=30).run(maps)
    shown = {'series': series, 'maps': maps, 'volume': volume}
    page = PAGE.format(''.join(CELL.format(name, value._repr_html_()) for name, value in shown.items()))
    photographed(page).quantize(256).save(OUTPUT, optimize=True)
    print(OUTPUT)
    return 0


if __name__ == '__main__':
    sys.exit(main())
