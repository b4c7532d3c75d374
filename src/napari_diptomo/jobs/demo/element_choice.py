"""Elements that the demo maps when none are given."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 5
#: Grid, focused ion beam and its protective layers, contamination: mapped when asked for by name.
_OF_THE_PREPARATION = ('Cu', 'Mo', 'Ga', 'Pt', 'W', 'C')


def of_the_specimen(found: Sequence[str]) -> tuple[str, ...]:
    """The strongest elements that the preparation does not bring along.

    Parameters
    ----------
    found : sequence of str
        Elements in the spectra, the strongest first.

    Returns
    -------
    tuple of str
        Five at most; those of the preparation only where there are no others.
    """
    specimen = [name for name in found if name not in _OF_THE_PREPARATION]
    return tuple((specimen or list(found))[:_MOST])


def choice_in_words(chosen: Sequence[str], found: Sequence[str]) -> str:
    """Sentence on the elements mapped, those left out and why, how to choose."""
    rest = [name for name in found if name not in chosen]
    stray = [name for name in rest if name in _OF_THE_PREPARATION]
    weak = [name for name in rest if name not in stray]
    words = [f'Elements: {", ".join(chosen)}.']
    if stray:
        words.append(f'Left out as grid or preparation: {", ".join(stray)}.')
    if weak:
        words.append(f'Left out as weaker: {", ".join(weak)}.')
    if rest:
        example = ' '.join([*chosen, *rest][:3])
        words.append(f'To choose: make demo DATA=... ELEMENTS="{example}", or diptomo demo --elements "{example}".')
    return ' '.join(words)
