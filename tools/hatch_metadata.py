"""Build hook of hatchling: readme and links of the package, from the one address of the repository in pyproject.toml.

In the repository the README links files and pictures by relative paths. Package indexes and the napari hub show it
elsewhere, where such links lead nowhere: with an address they are made absolute.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

BRANCH = 'main'
_LINK = re.compile(r'(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?!\w+:|#)([^)\s]+)\)')


class ProjectAddress(MetadataHookInterface):
    """Sets ``readme`` and ``urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """See hatchling."""
        repository = self.config.get('repository', '').rstrip('/')
        text = (Path(self.root) / 'README.md').read_text(encoding='utf-8')
        metadata['readme'] = {'content-type': 'text/markdown', 'text': absolute(text, repository)}
        metadata['urls'] = links(repository)


def absolute(text: str, repository: str) -> str:
    """Markdown whose relative links lead into the repository.

    Parameters
    ----------
    text : str
    repository : str
        Its address; empty leaves the text as it is.

    Returns
    -------
    str
    """
    if not repository:
        return text

    def led(match: re.Match[str]) -> str:
        picture, shown, target = match.groups()
        # A picture may itself be a link.
        shown = _LINK.sub(led, shown)
        kind = 'raw' if picture else 'blob'
        return f'{picture}[{shown}]({repository}/{kind}/{BRANCH}/{target})'

    return _LINK.sub(led, text)


def links(repository: str) -> dict[str, str]:
    """The links beside the project on a package index.

    Parameters
    ----------
    repository : str
        Its address; empty gives none.

    Returns
    -------
    dict of str to str
    """
    if not repository:
        return {}
    return {
        'Source': repository,
        'Documentation': f'{repository}/blob/{BRANCH}/docs/index.md',
        'Issues': f'{repository}/issues',
        'Changelog': f'{repository}/blob/{BRANCH}/CHANGELOG.md',
    }
