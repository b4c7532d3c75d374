"""Hooks of MkDocs: pages from the top of the repository, links out of the docs, measurements, notebooks.

The pages are written so that they read well beside the code: SECURITY.md and its like are linked as files one folder up,
and a link may lead to a test. On the site the former are pages, and the latter lead to the repository where its address
is known (`tool.hatch.metadata.hooks.custom.repository` in pyproject.toml).
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / 'docs'
#: Files at the top of the repository that are pages of the site.
TOP_PAGES = {
    'README.md': 'index.md',
    'SECURITY.md': 'security.md',
    'CHANGELOG.md': 'changelog.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CODE_OF_CONDUCT.md': 'code-of-conduct.md',
}
LINK = re.compile(r'(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)')
#: Kind of an output that only a running notebook can show.
WIDGET = 'application/vnd.jupyter.widget-view+json'
#: Code, where brackets are no links.
CODE = re.compile(r'(```.*?```|`[^`\n]*`)', re.DOTALL)


def on_config(config: Any) -> Any:
    """Put the pages that have no place in the navigation, those of the benchmarks, under Measurements."""
    named = set(pages_in(config.nav))
    for entry in config.nav:
        if 'Measurements' in entry:
            entry['Measurements'] = [{title: name} for title, name in measurements(named)]
    return config


def pages_in(nav: Any) -> Iterator[str]:
    """The pages that a part of the navigation names."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from pages_in(part)


def measurements(named: set[str]) -> list[tuple[str, str]]:
    """Title and name of each page of the docs that is not `named`, the comparison of volumes first.

    Parameters
    ----------
    named : set of str
        Pages with another place.

    Returns
    -------
    list of tuple of str
    """
    pages = [path for path in sorted(DOCS.glob('*.md')) if path.name not in named]
    titles = [(path.read_text(encoding='utf-8').partition('\n')[0].lstrip('# '), path.name) for path in pages]
    return sorted(titles, key=lambda page: (page[1] not in ('contest.md', 'benchmarks.md'), page[0].lower()))


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from the top of the repository, and the notebooks with their results."""
    for name, page in TOP_PAGES.items():
        if name != 'README.md':
            files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding='utf-8')))
    for path in sorted((DOCS / 'notebooks').glob('*.ipynb')):
        text, outputs = executed(path)
        files.append(File.generated(config, f'notebooks/{path.stem}.md', content=text))
        for name, content in outputs.items():
            files.append(File.generated(config, f'notebooks/{name}', content=content))
    return files


def executed(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown after it has run.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tuple of str and dict
        The page, and the contents of the files it shows by their name.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell failed: the site is not built.
    """
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    notebook = nbformat.read(path, as_version=4)
    ExecutePreprocessor(timeout=600, kernel_name='python3').preprocess(
        notebook, {'metadata': {'path': str(path.parent)}}
    )
    drop_bars(notebook)
    exporter = MarkdownExporter()
    text, resources = exporter.from_notebook_node(notebook, {'output_files_dir': f'{path.stem}_files'})
    text += f'\n\nThis page is the notebook `docs/notebooks/{path.name}`, executed when the site was built.\n'
    return text, resources['outputs']


def drop_bars(notebook: Any) -> None:
    """Take bars of progress out of the outputs: on a page they would stand still where they were first shown."""
    for cell in notebook['cells']:
        if 'outputs' in cell:
            cell['outputs'] = [out for out in cell['outputs'] if WIDGET not in out.get('data', {})]


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Lead links to files outside of the docs to their pages."""
    top = {page: name for name, page in TOP_PAGES.items() if name != 'README.md'}
    source = page.file.src_uri
    folder = '' if source in top else posixpath.join('docs', posixpath.dirname(source))
    here = posixpath.dirname(source)

    def led(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups(default='')
        found = posixpath.normpath(posixpath.join(folder, target))
        if found in TOP_PAGES:
            address = posixpath.relpath(TOP_PAGES[found], here or '.')
        elif found.startswith('docs/'):
            # A notebook is the page that it becomes.
            page_of = re.sub(r'\.ipynb$', '.md', found.removeprefix('docs/'))
            address = posixpath.relpath(page_of, here or '.')
        elif repository():
            address = f'{repository()}/blob/main/{found}'
        else:
            return f'{text} (`{found}`)'
        return f'{picture}[{text}]({address}{anchor})'

    parts = CODE.split(markdown)
    return ''.join(part if index % 2 else LINK.sub(led, part) for index, part in enumerate(parts))


def repository() -> str:
    """Address of the repository, empty as long as there is none."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))
    return str(project['tool']['hatch']['metadata']['hooks']['custom']['repository']).rstrip('/')
