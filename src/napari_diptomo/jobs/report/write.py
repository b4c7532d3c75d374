"""Writing a report: ``report.html``, ``report.pdf``, and ``report_figures`` with every figure and its data."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from napari_diptomo.assess.csv_tables import write_table
from napari_diptomo.jobs.assess_volume import maps_of, saved_maps
from napari_diptomo.jobs.export_volume import check_output, load_volume
from napari_diptomo.jobs.report import pdf_pages as pdf
from napari_diptomo.jobs.report.contents import AUTO, SECTIONS, Contents, contents, judge
from napari_diptomo.jobs.report.style import FAINT, TEXT, WIDTH, ReportFigure, canvas, paper
from napari_diptomo.jobs.terminal import Planned, TerminalBar
from napari_diptomo.series import InputError, MapSeries, Observer
from napari_diptomo.series.files import replacing_all, replacing_folder

#: Dots per inch of the figures in the page.
_DPI = 200
_NOT_IN_NAMES = re.compile(r'[^\w.+-]+')
_LEVELS = {'note': FAINT, 'doubt': '#b35806', 'stop': '#a50026'}


def report_file(
    path: Path,
    maps_path: Path | None,
    output: Path,
    *,
    halves: str = 'fast',
    phases: int | None = AUTO,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Judge a saved volume and write the report.

    Parameters
    ----------
    path : Path
        The volume.
    maps_path : Path, optional
        Saved maps; default: made anew from the recipe of the volume.
    output : Path
        ``.html`` or ``.pdf``; both are written.
    halves, phases
        As of `napari_diptomo.jobs.report.contents.judge`.
    overwrite : bool
        Whether an earlier report may be replaced.

    Returns
    -------
    tuple of Path
        Page, PDF and folder.

    Raises
    ------
    InputError
        It is no volume, the suffix is none of these, the name is taken, or it cannot be written.
    """
    for place in places(output):
        check_output(place, overwrite)
    if halves not in ('fast', 'own', 'none'):
        raise InputError(
            f'Halves are reconstructed "fast", with the volume\'s "own" settings, or "none", not "{halves}".'
        )
    volume = load_volume(path)
    with TerminalBar([Planned('Maps'), Planned('Judge'), Planned('Report')]) as bar:
        bar.begin()
        maps: MapSeries | str
        try:
            maps = maps_of(volume, bar) if maps_path is None else saved_maps(maps_path, bar)
        except InputError as error:
            if maps_path is not None:
                raise
            maps = str(error)
        bar.begin()
        found = judge(volume, maps, halves=halves, phases=phases, observer=bar)
        bar.begin()
        written = write_report(contents(volume, found, path.stem), output)
    for file in written:
        Console(highlight=False).print(f'Written: {file}', markup=False, soft_wrap=True)
    return written


def places(output: Path) -> tuple[Path, Path, Path]:
    """Where a report goes: page, PDF, and folder of figures.

    Parameters
    ----------
    output : Path
        One of the first two; without a suffix the page.

    Returns
    -------
    tuple of Path

    Raises
    ------
    InputError
        Another suffix.
    """
    if output.suffix.lower() not in ('', '.html', '.htm', '.pdf'):
        raise InputError(f'{output.name} is no name for a report; choose one that ends in .html or .pdf.')
    stem = output.with_name(output.stem)
    page = output if output.suffix.lower().startswith('.htm') else stem.with_name(f'{stem.name}.html')
    return page, stem.with_name(f'{stem.name}.pdf'), stem.with_name(f'{stem.name}_figures')


def write_report(made: Contents, output: Path, observer: Observer | None = None) -> tuple[Path, ...]:
    """Write a report in all its formats; earlier files of these names are replaced when all is complete.

    Parameters
    ----------
    made : Contents
    output : Path
        See `places`.
    observer : Observer, optional
        Asked for cancel between the figures.

    Returns
    -------
    tuple of Path
        Page, PDF and folder.

    Raises
    ------
    InputError
        They cannot be written, or the folder of the figures holds something else.
    """
    from napari_diptomo.series import Watch

    page, document, folder = places(output)
    _check_folder(folder)
    watch = Watch(observer, 'Report', len(made.figures) + 2)
    watch.step(0)
    pictures: dict[str, bytes] = {}
    vectors: dict[str, str] = {}
    for number, figure in enumerate(made.figures, start=1):
        pictures[figure.name], vectors[figure.name] = _rendered(figure)
        watch.step(number)
    html = as_html(made, pictures, folder.name)

    def write_folder(partial: Path) -> None:
        for figure in made.figures:
            (partial / f'{figure.name}.svg').write_text(vectors[figure.name], encoding='utf-8')
            for name, table in figure.tables.items():
                write_table(partial / f'{_file_name(figure.name, name)}.csv', table.headings, table.rows)

    replacing_folder(folder, write_folder)
    watch.step(len(made.figures) + 1)
    replacing_all(
        {
            page: lambda partial: _write_text(partial, html),
            document: lambda partial: pdf.write_pages(partial, blocks_of(made), made.title, made.title),
        }
    )
    watch.step(len(made.figures) + 2)
    return page, document, folder


def as_html(made: Contents, pictures: Mapping[str, bytes], folder: str = '') -> str:
    """The page, with its figures inside.

    Parameters
    ----------
    made : Contents
    pictures : mapping of str to bytes
        PNG of every figure, by its name.
    folder : str
        Name of the folder with the figures, empty where there is none.

    Returns
    -------
    str
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader('napari_diptomo.jobs', 'report'), autoescape=True, undefined=StrictUndefined
    )
    numbers, table_numbers = _numbers(made)
    sections = [
        {
            'title': title,
            'left_out': made.left_out.get(title, ''),
            'note': made.notes.get(title, ''),
            'figures': [
                {
                    'number': numbers[figure.name],
                    'caption': figure.caption,
                    'png': base64.b64encode(pictures[figure.name]).decode('ascii'),
                }
                for figure in made.figures
                if figure.section == title
            ],
            'tables': [
                {'number': table_numbers[n], 'caption': t.caption, 'headings': t.headings, 'rows': t.rows}
                for n, t in enumerate(made.tables)
                if t.section == title
            ],
        }
        for title in SECTIONS
    ]
    return environment.get_template('template.html').render(
        title=made.title,
        date=time.strftime('%d %B %Y'),
        facts=made.facts,
        recipe=made.recipe,
        recipe_json=made.recipe_json,
        findings=made.findings,
        sections=sections,
        files=folder,
    )


def blocks_of(made: Contents) -> Iterator[pdf.Block]:
    """The same report as blocks of pages.

    Parameters
    ----------
    made : Contents

    Yields
    ------
    Block
    """
    numbers, table_numbers = _numbers(made)
    yield pdf.text_block(made.title, size=17, bold=True, below=0.5)
    yield pdf.text_block(f'Report of a reconstruction, {time.strftime("%d %B %Y")}', colour=FAINT, below=4)
    for name, value in made.facts:
        yield pdf.hanging_block(name, value, 26)
    yield pdf.heading_block('Recipe')
    for number, (title, purpose, parameters) in enumerate(made.recipe, start=1):
        text = f'{title}. {purpose.rstrip(".")}{": " if parameters else ""}{parameters}.'
        yield pdf.hanging_block(f'{number}', text, 6)
    if not made.recipe:
        yield pdf.text_block('Left out: the volume does not say how it was made.', colour=FAINT)
    yield pdf.heading_block('Findings')
    for finding in made.findings:
        step = f', {finding.step}' if finding.step else ''
        remedy = '' if finding.remedy is None else f' Remedy: {finding.remedy}.'
        text = f'{finding.about}{step}: {finding.sentence}{remedy}'
        yield pdf.hanging_block(finding.level, text, 14, label_colour=_LEVELS[finding.level])
    if not made.findings:
        yield pdf.text_block('No step found anything to doubt.')
    for title in SECTIONS:
        yield from _section(made, title, numbers, table_numbers)


def _section(
    made: Contents, title: str, numbers: Mapping[str, int], table_numbers: Mapping[int, int]
) -> Iterator[pdf.Block]:
    yield pdf.heading_block(title)
    if title in made.left_out:
        yield pdf.text_block(f'Left out: {made.left_out[title]}', colour=FAINT)
    for figure in made.figures:
        if figure.section == title:
            yield pdf.figure_block(figure.height, figure.draw)
            yield pdf.text_block(f'Figure {numbers[figure.name]}. {figure.caption}', size=TEXT - 1, below=4, above=1.5)
    for index, table in enumerate(made.tables):
        if table.section == title:
            caption = pdf.text_block(f'Table {table_numbers[index]}. {table.caption}', size=TEXT - 1)
            yield pdf.Block(caption.height, caption.draw, keep=True)
            yield pdf.table_block(table.headings, table.rows)
    if title in made.notes:
        yield pdf.text_block(made.notes[title])


def _numbers(made: Contents) -> tuple[dict[str, int], dict[int, int]]:
    """Of figures by name and of tables by place, in the order of the sections."""
    figures = [figure.name for title in SECTIONS for figure in made.figures if figure.section == title]
    tables = [n for title in SECTIONS for n, table in enumerate(made.tables) if table.section == title]
    return {name: n for n, name in enumerate(figures, 1)}, {index: n for n, index in enumerate(tables, 1)}


def _rendered(figure: ReportFigure) -> tuple[bytes, str]:
    """As PNG and SVG."""
    with paper():
        sheet: Any = canvas(WIDTH, figure.height)
        figure.draw(sheet)
        picture, vector = io.BytesIO(), io.StringIO()
        sheet.savefig(picture, format='png', dpi=_DPI)
        # The layout is found: finding it takes as long as drawing.
        sheet.set_layout_engine('none')
        # Without a date the same data give the same file.
        sheet.savefig(vector, format='svg', metadata={'Date': None}, dpi=_DPI)
    return picture.getvalue(), vector.getvalue()


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding='utf-8')


def _file_name(*parts: str) -> str:
    distinct = dict.fromkeys(_NOT_IN_NAMES.sub('-', part) for part in parts)
    return '_'.join(distinct)


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        return
    strangers = (
        [file for file in folder.iterdir() if file.suffix not in ('.svg', '.csv')] if folder.is_dir() else [folder]
    )
    if strangers:
        raise InputError(
            f'{folder.name} is there already and holds more than figures ({strangers[0].name}); choose another name.'
        )
