"""The repository as others expect it: site, package metadata, release, notebooks."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement

import napari_diptomo

ROOT = Path(__file__).parents[1]
ADDRESS = 'https://host.invalid/owner/napari-diptomo'
NOTEBOOKS = sorted((ROOT / 'docs' / 'notebooks').glob('*.ipynb'))
#: Names of packages on conda-forge that differ from those on the package index.
CONDA = {'torch': 'pytorch', 'hyperspy': 'hyperspy-base', 'matplotlib': 'matplotlib-base'}


def module(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_page_of_the_command_line_is_up_to_date(tmp_path):
    written = tmp_path / 'cli.md'
    subprocess.run([sys.executable, ROOT / 'docs' / 'make_cli_page.py', written], check=True, timeout=120)
    assert written.read_text(encoding='utf-8') == (ROOT / 'docs' / 'cli.md').read_text(encoding='utf-8'), (
        'run `make docs`'
    )


def test_every_public_name_is_on_the_page_of_the_interface():
    page = (ROOT / 'docs' / 'api.md').read_text(encoding='utf-8')
    named = re.findall(r'^::: napari_diptomo\.\w+\.(\w+)$', page, re.MULTILINE)
    assert sorted(named) == sorted(set(napari_diptomo.__all__) - {'__version__'})


def test_every_page_in_the_navigation_exists():
    text = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    pages = set(re.findall(r': ([\w/-]+\.md)$', text, re.MULTILINE))
    made = set(re.findall(r"'([\w-]+\.md)'", (ROOT / 'docs' / 'site_hooks.py').read_text(encoding='utf-8')))
    notebooks = {f'notebooks/{path.stem}.md' for path in NOTEBOOKS}
    assert len(pages) > 20
    assert {page for page in pages if not (ROOT / 'docs' / page).exists()} <= made | notebooks


def test_the_site_fetches_nothing_from_elsewhere():
    """Fonts and the search's helper would come from the network otherwise."""
    config = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    assert 'font: false' in config and 'assets/iframe-worker.js' in config
    assert 'http' not in config


def test_code_is_legible_on_the_dark_site():
    """Numbers, constants and links of the theme lie just below the contrast of 4.5 that axe asks for."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    css = (ROOT / 'docs' / 'assets' / 'site.css').read_text(encoding='utf-8')
    for name in ('code-hl-number', 'code-hl-constant', 'typeset-a'):
        found = re.search(rf'scheme="slate"[^}}]*--md-{name}-color: (#[0-9a-f]{{6}});', css)
        assert found, name
        assert (luminance(found[1]) + 0.05) / (luminance('#272a35') + 0.05) > 4.6, name


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip('mkdocs', reason='`make docs` installs it')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', str(tmp_path / 'site')]
    subprocess.run(command, check=True, timeout=290, cwd=ROOT)
    pages = {path.name: path.read_text(encoding='utf-8') for path in (tmp_path / 'site').rglob('*.html')}
    assert {'index.html', 'contributing.html', 'edx.html'} <= set(pages)
    for name, page in pages.items():
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="?https?:', page), name


def test_no_bar_of_progress_is_left_on_the_pages_of_the_notebooks():
    pytest.importorskip('mkdocs', reason='`make docs` installs it')
    hooks = module(ROOT / 'docs' / 'site_hooks.py')
    bar = {'data': {'application/vnd.jupyter.widget-view+json': {}, 'text/plain': 'EDX maps:  53%|#####2    | 18/34'}}
    line = {'name': 'stdout', 'text': 'EDX maps: 6 s; no findings'}
    notebook = {'cells': [{'source': 'a'}, {'outputs': [bar, line]}]}
    hooks.drop_bars(notebook)
    assert notebook['cells'] == [{'source': 'a'}, {'outputs': [line]}]


def test_links_of_the_readme_are_absolute_once_the_address_is_known():
    hook = module(ROOT / 'tools' / 'hatch_metadata.py')
    text = '[a](docs/a.md) ![b](docs/b.png) [![c](c.svg)](d.md) [web](https://napari.org) [here](#there)'
    assert hook.absolute(text, '') == text
    assert hook.absolute(text, ADDRESS) == (
        f'[a]({ADDRESS}/blob/main/docs/a.md) ![b]({ADDRESS}/raw/main/docs/b.png) '
        f'[![c]({ADDRESS}/raw/main/c.svg)]({ADDRESS}/blob/main/d.md) [web](https://napari.org) [here](#there)'
    )
    readme = hook.absolute((ROOT / 'README.md').read_text(encoding='utf-8'), ADDRESS)
    assert [t for t in re.findall(r'\]\(([^)]+)\)', readme) if '://' not in t] == []


def test_versions_agree():
    check = module(ROOT / 'tools' / 'check_release.py')
    assert check.package_version() == napari_diptomo.__version__
    assert set(check.other_versions().values()) == {napari_diptomo.__version__}


def released(root: Path, address: str) -> Path:
    """A copy of what a release is judged by, with an address and a dated heading."""
    for name in (
        'pyproject.toml',
        'CHANGELOG.md',
        'CITATION.cff',
        'packaging/recipe.yaml',
        'src/napari_diptomo/__init__.py',
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    text = (root / 'pyproject.toml').read_text(encoding='utf-8')
    text = re.sub(r'^repository = ".*"$', f'repository = "{address}"', text, flags=re.MULTILINE)
    (root / 'pyproject.toml').write_text(text, encoding='utf-8')
    changes = root / 'CHANGELOG.md'
    heading = f'\n## [{napari_diptomo.__version__}] - 2026-11-29\n'
    changes.write_text(changes.read_text(encoding='utf-8') + heading, encoding='utf-8')
    return root


def test_a_release_needs_address_tag_and_versions(tmp_path):
    check = module(ROOT / 'tools' / 'check_release.py')
    tag = f'v{napari_diptomo.__version__}'
    root = released(tmp_path, ADDRESS)
    assert list(check.missing(tag, root)) == []
    assert 'tag' in next(check.missing('v99.0', root))
    (root / 'CITATION.cff').write_text('version: 0.0.1\n', encoding='utf-8')
    assert 'CITATION.cff has version 0.0.1' in next(check.missing(tag, root))
    assert 'no address' in next(check.missing(tag, released(tmp_path, '')))
    assert 'address' in next(check.missing(tag, released(tmp_path, 'https://example.org')))


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    here = {'sys_platform': 'linux', 'platform_machine': 'x86_64'}
    wanted = [Requirement(text) for text in project['dependencies']]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate(here)]
    run = yaml.safe_load((ROOT / 'packaging' / 'recipe.yaml').read_text(encoding='utf-8'))['requirements']['run']
    listed = dict(line.partition(' ')[::2] for line in run)
    for requirement in wanted:
        found = listed[CONDA.get(requirement.name, requirement.name)]
        assert set(found.split(',')) == {str(s) for s in requirement.specifier}, requirement.name


WORKFLOWS = sorted((ROOT / '.github' / 'workflows').glob('*.yml'))


@pytest.mark.parametrize('path', WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_jobs_end(path):
    workflow = yaml.safe_load(path.read_text(encoding='utf-8'))
    assert workflow['permissions'] == {'contents': 'read'}
    for name, job in workflow['jobs'].items():
        assert 'uses' in job or job['timeout-minutes'] <= 60, name
        for step in job.get('steps', []):
            assert re.fullmatch(r'[\w./-]+@[0-9a-f]{40}', step.get('uses', 'a/b@' + 40 * '0')), step


@pytest.mark.parametrize('path', WORKFLOWS, ids=lambda path: path.stem)
def test_newer_runs_replace_older_ones_but_publish_to_the_end(path):
    workflow = yaml.safe_load(path.read_text(encoding='utf-8'))
    publishes = any('environment' in job for job in workflow['jobs'].values())
    cancels = workflow['concurrency']['cancel-in-progress']
    assert cancels in (False, "${{ github.event_name == 'pull_request' }}") if publishes else cancels is True


def test_issue_forms_name_each_field():
    for path in (ROOT / '.github' / 'ISSUE_TEMPLATE').glob('[!c]*.yml'):
        form = yaml.safe_load(path.read_text(encoding='utf-8'))
        assert form['name'] and form['description']
        assert all(part['attributes']['label'] for part in form['body'])


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_results(path):
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    assert code
    for cell in code:
        assert cell['outputs'] == [] and cell['execution_count'] is None
        ast.parse(''.join(cell['source']))


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path):
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    script = tmp_path / f'{path.stem}.py'
    script.write_text('\n'.join(''.join(c['source']) for c in cells if c['cell_type'] == 'code'), encoding='utf-8')
    subprocess.run([sys.executable, script], check=True, timeout=290, cwd=tmp_path)


def test_what_the_page_of_quality_names_exists():
    """Each true or partly true row names a test, a picture or a page."""
    page = (ROOT / 'docs' / 'quality.md').read_text(encoding='utf-8')
    rows = [line.split(' | ') for line in page.splitlines() if re.match(r'\| .* \| (true|partly|false) \|', line)]
    assert len(rows) >= 25
    for row in rows:
        shown = ' '.join(row[2:])
        tests = re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', shown)
        for path, name in tests:
            assert f'def {name}(' in (ROOT / path).read_text(encoding='utf-8'), f'{path}::{name}'
        files = re.findall(r'\]\(([\w./-]+)\)', shown)
        assert all((ROOT / 'docs' / name).is_file() for name in files), row[0]
        assert tests or files, row[0]
