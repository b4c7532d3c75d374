"""The package as a whole: what it exports, what importing it costs, what it ships."""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from npe2 import PluginManifest
from packaging.requirements import Requirement
from packaging.version import Version

import napari_diptomo
from napari_diptomo.series import Step

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / 'src' / 'napari_diptomo' / 'napari.yaml'
HEAVY = ('torch', 'hyperspy', 'exspy', 'rsciio', 'napari', 'qtpy', 'matplotlib')


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after this code."""
    script = f'{code}\nimport sys, json\nprint(json.dumps(sorted({{m.split(".")[0] for m in sys.modules}})))'
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by('import napari_diptomo') & set(HEAVY)


def test_naming_the_steps_loads_neither_torch_nor_hyperspy():
    # What the dock and the command line do before anything runs.
    names = 'EDXMaps, Align, SIRT, PoissonEM, TotalVariation, DIPmTV, Recipe'
    assert not loaded_by(f'from napari_diptomo import {names}') & {'torch', 'hyperspy', 'exspy', 'rsciio'}


def test_the_command_line_starts_without_torch_and_hyperspy():
    assert not loaded_by('import napari_diptomo.cli') & {'torch', 'hyperspy', 'exspy', 'rsciio', 'napari'}


def test_the_docks_import_without_torch_and_hyperspy():
    # Importing napari pulls in none of them, so whatever is found is ours.
    assert not loaded_by('import napari_diptomo.widgets') & {'torch', 'hyperspy', 'exspy', 'rsciio'}


def public_names() -> list[str]:
    """package:name of every name that a package says it has."""
    found = []
    for module in pkgutil.walk_packages(napari_diptomo.__path__, 'napari_diptomo.'):
        if module.ispkg:
            names = getattr(importlib.import_module(module.name), '__all__', ())
            found += [f'{module.name}:{name}' for name in names]
    return found


@pytest.mark.parametrize('public', public_names())
def test_every_public_name_is_there(public):
    module, name = public.split(':')
    assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize('name', napari_diptomo.__all__)
def test_public_names_resolve(name):
    assert getattr(napari_diptomo, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match='no attribute'):
        napari_diptomo.no_such_name  # noqa: B018


@pytest.mark.parametrize('name', napari_diptomo.__all__)
def test_every_parameter_of_a_step_is_explained(name):
    kind = getattr(napari_diptomo, name)
    if not (isinstance(kind, type) and issubclass(kind, Step)):
        pytest.skip('not a step')
    assert kind.title
    for parameter in kind.parameters():
        assert parameter.description.endswith('.'), f'{name}.{parameter.name} has no sentence to explain it'


def test_the_version_is_that_of_the_installation():
    assert version('napari-diptomo') == napari_diptomo.__version__


def test_the_manifest_is_valid_and_its_commands_exist():
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == 'napari-diptomo'
    contributions = manifest.contributions
    assert contributions.widgets and contributions.readers and contributions.sample_data


def test_the_manifest_at_the_top_is_the_packaged_one():
    assert (ROOT / 'napari.yaml').read_text(encoding='utf-8') == MANIFEST.read_text(encoding='utf-8')


def test_napari_finds_the_manifest():
    (found,) = (e for e in entry_points(group='napari.manifest') if e.name == 'napari-diptomo')
    assert found.value == 'napari_diptomo:napari.yaml'


def test_the_tables_of_parameters_are_up_to_date(tmp_path):
    written = tmp_path / 'parameters.md'
    script = ROOT / 'docs' / 'make_parameter_tables.py'
    subprocess.run([sys.executable, script, written], check=True, timeout=120)
    current = (ROOT / 'docs' / 'parameters.md').read_text(encoding='utf-8')
    assert written.read_text(encoding='utf-8') == current, 'run `make docs`'


def test_the_page_of_recipes_lists_every_step_field_and_command(tmp_path):
    written = tmp_path / 'recipes.md'
    subprocess.run([sys.executable, ROOT / 'docs' / 'make_recipe_page.py', written], check=True, timeout=120)
    current = (ROOT / 'docs' / 'recipes.md').read_text(encoding='utf-8')
    assert written.read_text(encoding='utf-8') == current, 'run `make docs`'
    assert all(f'`{name}`' in current for name in napari_diptomo.series.Source.model_fields)
    for name in napari_diptomo.__all__:
        kind = getattr(napari_diptomo, name)
        assert not (isinstance(kind, type) and issubclass(kind, Step)) or f'[`{name}`]' in current


@pytest.mark.parametrize(('folder', 'prefix'), [('src/napari_diptomo', 'napari_diptomo.'), ('benchmarks', '')])
def test_no_two_files_import_each_other_not_even_for_types(folder, prefix):
    paths = {
        prefix + '.'.join(p.relative_to(ROOT / folder).with_suffix('').parts): p for p in (ROOT / folder).rglob('*.py')
    }
    modules = {name.removesuffix('.__init__'): path for name, path in paths.items()}
    imports = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text(encoding='utf-8'))
        found = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
        wanted = {
            f'{n.module}.{a.name}' if f'{n.module}.{a.name}' in modules else n.module for n in found for a in n.names
        }
        imports[name] = {w for w in wanted if w in modules and w != name}
    assert sum(map(len, imports.values())) > len(modules), 'imports were found'
    graphlib.TopologicalSorter(imports).prepare()


def test_a_name_is_imported_from_where_it_is_defined():
    """Only a package hands on what its files define: ``import a as a`` elsewhere would give a name two places."""
    for path in (ROOT / 'src').rglob('*.py'):
        imported = [n for n in ast.walk(ast.parse(path.read_text(encoding='utf-8'))) if isinstance(n, ast.ImportFrom)]
        twice = [a.name for n in imported for a in n.names if a.asname == a.name]
        assert path.name == '__init__.py' or not twice, f'{path} hands on {twice}'


def test_the_map_of_the_code_is_up_to_date(tmp_path):
    written = tmp_path / 'map.md'
    subprocess.run([sys.executable, ROOT / 'docs' / 'make_map.py', written], check=True, timeout=120)
    current = (ROOT / 'docs' / 'map.md').read_text(encoding='utf-8')
    assert written.read_text(encoding='utf-8') == current, 'run `make docs`'


def test_each_formula_on_the_map_stands_once_and_where_the_map_says():
    page = (ROOT / 'docs' / 'map.md').read_text(encoding='utf-8').partition('## The tree')[0]
    rows = re.findall(r'^\| (.+?) \| `(.+?)` \| (?:`(.+?)`)? *\|$', page, re.MULTILINE)
    names = [name for name, _, _ in rows]
    assert len(names) > 60 and len(set(names)) == len(names)
    for name, path, owner in rows:
        source = ROOT / 'src' / 'napari_diptomo' / path
        tree = ast.parse(source.read_text(encoding='utf-8'))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert not owner or owner in defined, f'{name}: {path} has no {owner}'


@pytest.mark.parametrize('page', ['README.md', 'docs/recipes.md'])
def test_the_recipes_in_the_docs_are_recipes(page):
    blocks = re.findall(r'```json\n(.*?)```', (ROOT / page).read_text(encoding='utf-8'), re.DOTALL)
    assert blocks
    for block in blocks:
        assert napari_diptomo.Recipe.from_json(block).steps


PAGES = [*(ROOT / 'docs').glob('*.md'), ROOT / 'README.md', ROOT / 'SECURITY.md']


@pytest.mark.parametrize('page', sorted(p.relative_to(ROOT).as_posix() for p in PAGES))
def test_links_between_pages_lead_somewhere(page):
    here = ROOT / page
    for link in re.findall(r'\]\(([^)#]+)\)', here.read_text(encoding='utf-8')):
        assert '://' in link or (here.parent / link).exists(), f'{page} points at {link}'


def test_what_is_promised_about_files_can_be_found():
    assert '](SECURITY.md)' in (ROOT / 'README.md').read_text(encoding='utf-8')


def test_the_lowest_versions_are_the_bounds():
    """The versions in constraints-lowest.txt are the lower bounds of pyproject.toml."""
    here = {'sys_platform': 'linux', 'platform_machine': 'x86_64'}
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    wanted = [Requirement(text) for text in project['dependencies']]
    bounds = {
        r.name: Version(s.version)
        for r in wanted
        for s in r.specifier
        if s.operator == '>=' and (r.marker is None or r.marker.evaluate(here))
    }
    lines = (ROOT / 'constraints-lowest.txt').read_text(encoding='utf-8').splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith('#')]
    assert {r.name for r in wanted} == set(bounds)
    assert bounds == {r.name: Version(next(iter(r.specifier)).version) for r in pins}


@pytest.mark.slow
def test_the_wheel_holds_the_manifest_and_no_tests(tmp_path):
    environment = {**os.environ, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
    command = [sys.executable, '-m', 'build', '--wheel', '--outdir', str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, env=environment, timeout=280)
    (wheel,) = tmp_path.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    assert 'napari_diptomo/napari.yaml' in names
    assert 'napari_diptomo/cli.py' in names
    assert not [n for n in names if n.startswith('tests')]


def test_the_device_setting_offers_what_the_steps_take():
    """The settings once offered a device that no step accepts."""
    import yaml

    from napari_diptomo import DIPmTV

    (device,) = (p for p in DIPmTV.parameters() if p.name == 'device')
    manifest = yaml.safe_load((Path(napari_diptomo.__file__).parent / 'napari.yaml').read_text(encoding='utf-8'))
    settings = manifest['contributions']['configurations']['compute']['properties']
    assert tuple(settings['device']['enum']) == device.choices


def test_every_python_that_is_promised_is_tested_and_no_other():
    workflow = (ROOT / '.github' / 'workflows' / 'tests.yml').read_text(encoding='utf-8')
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    promised = [c.rpartition(' ')[2] for c in project['classifiers'] if re.search(r':: 3\.\d+$', c)]
    (tested,) = re.findall(r'python: \[(.*)\]', workflow)
    assert promised == re.findall(r'"(3\.\d+)"', tested)


def test_what_cannot_stand_beside_the_lowest_versions_is_not_installed_with_them():
    """ETSpy wants a later h5py, and a package of which there is no build for Python 3.14."""
    groups = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['dependency-groups']
    workflow = (ROOT / '.github' / 'workflows' / 'tests.yml').read_text(encoding='utf-8')
    assert '--constraint constraints-lowest.txt --editable ".[all]" --group test\n' in workflow
    assert not any(str(one).startswith('etspy') for one in groups['test'])
    included, etspy = groups['dev']
    assert included == {'include-group': 'test'}
    here = {'sys_platform': 'linux', 'platform_machine': 'x86_64'}
    marker = Requirement(etspy).marker
    assert [marker.evaluate({**here, 'python_version': python}) for python in ('3.13', '3.14')] == [True, False]
