"""Whether the repository may be released: ``python tools/check_release.py v0.1.0``.

One line for each thing that is missing, and exit code 1. Needs nothing but Python.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def missing(tag: str, root: Path = ROOT) -> Iterator[str]:
    """Reasons that keep a tag from being released.

    Parameters
    ----------
    tag : str
        ``v`` and the version.
    root : Path
        Of the repository.

    Yields
    ------
    str
    """
    version = package_version(root)
    if tag != f'v{version}':
        yield f'The tag is {tag}, the version of the package {version}.'
    project = tomllib.loads((root / 'pyproject.toml').read_text(encoding='utf-8'))
    address = project['tool']['hatch']['metadata']['hooks']['custom']['repository']
    if not re.fullmatch(r'https://[\w.-]+/[\w.-]+/[\w.-]+', address):
        yield (
            f'pyproject.toml has {address or "no"} address of the repository (tool.hatch.metadata.hooks.custom): links and '
            'pictures of the README would lead nowhere on the package index.'
        )
    changes = (root / 'CHANGELOG.md').read_text(encoding='utf-8')
    if not re.search(rf'^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$', changes, re.MULTILINE):
        yield f'CHANGELOG.md has no heading "## [{version}] - YYYY-MM-DD".'
    for name, found in other_versions(root).items():
        if found != version:
            yield f'{name} has version {found}, the package {version}.'


def package_version(root: Path = ROOT) -> str:
    """The version in the package."""
    return _first(root / 'src/napari_diptomo/__init__.py', r"^__version__ = '(.+)'$")


def other_versions(root: Path = ROOT) -> dict[str, str]:
    """The version in each other file that has one."""
    return {
        'CITATION.cff': _first(root / 'CITATION.cff', r'^version: (\S+)$'),
        'packaging/recipe.yaml': _first(root / 'packaging/recipe.yaml', r'^  version: "?([^"\n]+)"?$'),
    }


def _first(path: Path, pattern: str) -> str:
    found = re.search(pattern, path.read_text(encoding='utf-8'), re.MULTILINE)
    return found.group(1) if found else 'none'


def main() -> int:
    """Print what is missing."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    found = list(missing(sys.argv[1]))
    print('\n'.join(found) or f'{sys.argv[1]} may be released.')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
