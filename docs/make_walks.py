"""Walk through napari as a newcomer does, with the mouse and the keys, and take a picture at every step.

    python docs/make_walks.py --out walks
    python docs/make_walks.py --out walks --walk edx --theme light --size 1920x1080
    python docs/make_walks.py --out walks --data FOLDER --page

Four walks: the EDX sample, the EELS sample, a measured series (``--data``, a folder of EDX files), and a project that is
closed and taken up the next day. Each in napari's dark and light theme and on a small and a large screen, unless one
is named. Events come as those of a user: buttons are pressed where they are seen, menus opened, names typed, files
dropped. What was measured on the way is printed and written as JSON beside the pictures; ``--page`` writes it into
docs/quality.md. Runs under Xvfb where there is no screen.
"""

from __future__ import annotations

import argparse
import compileall
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from make_screenshots import guide, on_a_screen, parser_of
from walker import Walker

THEMES, SIZES = ('dark', 'light'), ('1366x768', '1920x1080')
PAGE = Path(__file__).parent / 'quality.md'
BEGIN, END = '<!-- walks: written by docs/make_walks.py -->', '<!-- end of walks -->'


def edx(walker: Walker, arguments: argparse.Namespace) -> None:
    """The sample from spectra to a judged composition."""
    walker.find_dock()
    dock = walker.dock
    walker.press(_button(dock, 'Load sample'))
    walker.idle()
    walker.until(lambda: not dock.maps_page.view.busy)
    walker.picture('maps-before')
    walker.press(dock.maps_page.picker.open_table)
    walker.picture('periodic-table')
    dock.maps_page.picker.table.close()
    walker.clicks -= 1
    walker.run()
    walker.picture('maps-made')
    walker.next_page()
    walker.picture('align-before')
    walker.run()
    walker.picture('aligned')
    walker.see(dock.align_page.by_hand)
    walker.picture('shifts-by-hand')
    walker.next_page()
    walker.until(lambda: 'Needs' in dock.reconstruct_page.estimate.text())
    walker.picture('reconstruct-before')
    form = dock.reconstruct_page.forms['DIPm-TV']
    walker.select(form.fields['preset'].native, 'fast')
    walker.settle(0.5)
    walker.picture('preset-fast')
    walker.run_to_preview()
    walker.picture('first-preview')
    walker.idle()
    walker.picture('volume')
    _more(walker, form)
    for name in ('Slices', 'Cut', 'Surface'):
        walker.press(dock.view_bar.buttons[name])
        walker.picture(f'view-{name.lower()}')
        walker.press(dock.view_bar.buttons[name])
    walker.press(dock.view_bar.whole)
    walker.next_page()
    walker.picture('composition-before')
    walker.run()
    walker.picture('composition')
    walker.next_page()
    walker.picture('judge-before')
    walker.run()
    walker.picture('judged')
    _down_the_page(walker, 'judge')


def eels(walker: Walker, arguments: argparse.Namespace) -> None:
    """The sample from low and core loss to oxidation states."""
    walker.find_dock()
    dock, page = walker.dock, walker.dock.maps_page.eels
    walker.choose_menu('File', 'Open Sample', 'DIPm-TV', 'EELS spectra')
    walker.until(lambda: dock.session.series is not None)
    walker.picture('sample')
    walker.next_page()
    walker.until(lambda: page.found is not None)
    walker.until(lambda: not page.busy)
    walker.picture('maps-before')
    walker.run()
    walker.picture('maps-made')
    _down_the_page(walker, 'maps')
    walker.next_page()
    walker.run()
    walker.picture('aligned')
    walker.next_page()
    walker.until(lambda: 'Needs' in dock.reconstruct_page.estimate.text())
    walker.select(dock.reconstruct_page.forms['DIPm-TV'].fields['preset'].native, 'fast')
    walker.picture('reconstruct-before')
    walker.run_to_preview()
    walker.picture('first-preview')
    walker.idle()
    walker.picture('volume')
    walker.next_page()
    walker.picture('oxidation-before')
    walker.run()
    walker.picture('oxidation')
    walker.next_page()
    walker.run()
    walker.picture('judged')


def real(walker: Walker, arguments: argparse.Namespace) -> None:
    """A measured series: dropped, binned, elements typed, a quick look by SIRT, then DIPm-TV."""
    walker.find_dock()
    dock = walker.dock
    walker.type_into(dock.open_page.fields['binning'].native.findChild(_line_edit()), str(arguments.binning))
    walker.drop([str(arguments.data)])
    walker.settle(1.0)
    walker.picture('listed')
    walker.idle()
    walker.picture('opened')
    walker.next_page()
    walker.until(lambda: not dock.maps_page.view.busy)
    walker.picture('suggested')
    walker.type_into(dock.maps_page.picker.line, arguments.elements)
    walker.until(lambda: not dock.maps_page.view.busy)
    walker.picture('maps-before')
    walker.run()
    walker.picture('maps-made')
    _down_the_page(walker, 'maps')
    walker.next_page()
    walker.run()
    walker.picture('aligned')
    walker.next_page()
    walker.until(lambda: 'Needs' in dock.reconstruct_page.estimate.text())
    walker.picture('reconstruct-before')
    walker.select(dock.reconstruct_page.method, 'SIRT')
    walker.run_to_preview()
    walker.idle()
    walker.picture('sirt')
    walker.select(dock.reconstruct_page.method, 'DIPm-TV')
    walker.select(dock.reconstruct_page.forms['DIPm-TV'].fields['preset'].native, 'fast')
    walker.run_to_preview()
    walker.picture('first-preview')
    walker.press(dock.run_bar.pause_button)
    walker.settle(1.0)
    walker.picture('paused')
    walker.press(dock.run_bar.pause_button)
    walker.settle(5.0)
    if dock.session.busy:
        walker.press(dock.run_bar.finish_button)
    walker.idle()
    walker.picture('stopped-and-kept')
    walker.next_page()
    walker.run()
    walker.picture('composition')
    walker.next_page()
    walker.run()
    walker.picture('judged')


def evening(walker: Walker, arguments: argparse.Namespace) -> None:
    """A volume is made, the dock closed and opened again, the project saved, napari closed."""
    from qtpy.QtWidgets import QDockWidget, QMessageBox

    walker.find_dock()
    dock = walker.dock
    walker.choose_menu('File', 'Open Sample', 'DIPm-TV', 'Ge-Sb-Te lamella')
    walker.until(lambda: dock.session.input_maps is not None)
    walker.picture('ready-maps')
    walker.press(dock.stages.buttons[3])
    walker.picture('not-aligned')
    walker.select(dock.reconstruct_page.method, 'SIRT')
    walker.run_to_preview()
    walker.idle()
    walker.picture('sirt')
    walker.in_dialog(
        str(arguments.project),
        lambda: walker.choose_of(dock.run_bar.project_button, 'as…', 'project-menu'),
        'save-dialog',
    )
    walker.until(lambda: arguments.project.is_dir())
    walker.picture('saved')
    walker.select(dock.reconstruct_page.method, 'DIPm-TV')
    walker.run_to_preview()
    frame = dock.parent()
    assert isinstance(frame, QDockWidget)
    walker.press(frame.titleBarWidget().close_button)
    walker.settle(1.0)
    walker.picture('dock-closed-while-it-runs')
    (box,) = walker.viewer.window._qt_window.findChildren(QMessageBox)
    walker.press(next(button for button in box.buttons() if 'Keep' in button.text()))
    walker.find_dock()
    walker.picture('dock-again')
    walker.press(walker.dock.run_bar.cancel_button)
    walker.idle()
    walker.picture('cancelled')
    walker.until(lambda: not walker.dock.session.autosave.busy)


def morning(walker: Walker, arguments: argparse.Namespace) -> None:
    """napari is started the next day: the session is offered, and taken up."""
    walker.find_dock()
    dock = walker.dock
    walker.press(_button(dock, 'Restore'))
    walker.idle()
    walker.picture('restored')
    walker.press(dock.stages.buttons[5])
    walker.run()
    walker.picture('judged')
    walker.in_dialog(
        str(arguments.project), lambda: walker.choose_of(dock.run_bar.project_button, 'Open project', 'project-menu')
    )
    walker.idle()
    walker.picture('project-opened')


def _more(walker: Walker, form: Any) -> None:
    """The parameters under More, screen by screen."""
    walker.press(form.more.toggleButton())
    walker.settle(1.0)
    _down_the_page(walker, 'more')
    walker.press(form.more.toggleButton())
    walker.settle(1.0)


def _down_the_page(walker: Walker, name: str) -> None:
    """The page in front from its top, a screen at a time."""
    area = walker.dock.stages._stack.currentWidget()
    bar = area.verticalScrollBar()
    bar.setValue(0)
    for part in range(1, 9):
        walker.picture(f'{name}-{part}')
        if bar.value() >= bar.maximum():
            return
        bar.setValue(bar.value() + bar.pageStep() - 20)


def _button(dock: Any, text: str) -> Any:
    from qtpy.QtWidgets import QPushButton

    found = [b for b in dock.findChildren(QPushButton) if text in b.text().replace('&', '') and b.isVisible()]
    return found[0] if found else sys.exit(f'There is no button {text!r}.')


def _line_edit() -> Any:
    from qtpy.QtWidgets import QLineEdit

    return QLineEdit


WALKS: dict[str, tuple[Callable[[Walker, argparse.Namespace], None], ...]] = {
    'edx': (edx,),
    'eels': (eels,),
    'real': (real,),
    'project': (evening, morning),
}


def walk_once(arguments: argparse.Namespace, part: Callable[..., None]) -> None:
    """One window from its opening to its end."""
    found: dict[str, Any] = {}

    def lead(walker: Any, arguments: argparse.Namespace) -> None:
        part(walker, arguments)
        found.update(walker.report())

    guide(lead, arguments, Walker, arguments.state)
    text = json.dumps(found, indent=1)
    print(text)
    (arguments.out / 'measured.json').write_text(text + '\n', encoding='utf-8')


def walk_all(arguments: argparse.Namespace) -> None:
    """Every walk in every theme and size, each window in a process of its own."""
    # As pip does when it installs: no user waits for the sources to be compiled.
    compileall.compile_dir(Path(__file__).parents[1] / 'src', quiet=1)
    for name in [arguments.walk] if arguments.walk else WALKS:
        if name == 'real' and arguments.data is None:
            continue
        for theme in [arguments.theme] if arguments.theme else THEMES:
            for size in [arguments.size] if arguments.size else SIZES:
                with tempfile.TemporaryDirectory() as state:
                    for part in WALKS[name]:
                        folder = arguments.out / f'{part.__name__}-{theme}-{size}'
                        options = ['--part', part.__name__, '--theme', theme, '--size', size, '--out', str(folder)]
                        options += [
                            '--state',
                            state,
                            '--project',
                            f'{state}/my project',
                            '--binning',
                            str(arguments.binning),
                        ]
                        options += ['--data', str(arguments.data)] if arguments.data else []
                        command = [sys.executable, __file__, *options, '--elements', arguments.elements]
                        subprocess.run(command, check=True)


def table(out: Path) -> str:
    """The measurements of the walks under a folder, as a table of Markdown."""
    lines = [
        '| walk | clicks to the volume | dock opens | first preview after Run | napari to first preview | latency p95 | worst | load |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for path in sorted(out.glob('*/measured.json')):
        found = json.loads(path.read_text(encoding='utf-8'))
        seconds, late = found['seconds'], found['event latency, ms']
        times = [seconds.get(name) for name in ('dock opens', 'first preview after Run', 'napari to first preview')]
        cells = [path.parent.name.replace('-', ', '), str(found['clicks to the volume'] or '')]
        cells += ['' if value is None else f'{value:.3g} s' for value in times]
        cells += [f'{late[name]:.0f} ms' for name in ('p95', 'worst')]
        cells.append(f'{found["processes that wanted a core"]:g}')
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument('--walk', choices=tuple(WALKS))
    parser.add_argument('--theme', choices=THEMES)
    parser.add_argument('--size', help='WIDTHxHEIGHT')
    parser.add_argument('--out', type=Path, default=Path('walks'))
    parser.add_argument('--data', type=Path, help='folder of measured EDX files')
    parser.add_argument('--binning', type=int, default=8)
    parser.add_argument('--elements', default='O, Mg, Al, Si, S, Ca, Fe, Ni')
    parser.add_argument('--page', action='store_true', help='write what was measured into docs/quality.md')
    parser.add_argument('--part', help=argparse.SUPPRESS)
    parser.add_argument('--state', help=argparse.SUPPRESS)
    parser.add_argument('--project', type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        parts = {part.__name__: part for walk in WALKS.values() for part in walk}
        if not on_a_screen(arguments.size):
            return 1
        walk_once(arguments, parts[arguments.part])
        return 0
    walk_all(arguments)
    print(table(arguments.out))
    if arguments.page:
        before, _, rest = PAGE.read_text(encoding='utf-8').partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f'{before}{BEGIN}\n\n{table(arguments.out)}\n\n{END}{after}', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
