"""Pixels of ready maps that hold no number, as the alignments of other programs leave them at the borders."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.reading.image_stack import ImageStack

#: Share of the pixels of an image that may hold no number.
_MAY_BE_LOST = 0.5


@dataclass(frozen=True, eq=False)
class Numbers:
    """Stacks whose pixels all hold numbers.

    Attributes
    ----------
    stacks : tuple of ImageStack
        The lowest number of its image in place of each that is none.
    lost : tuple of ndarray of bool (tilt, y, x), or None
        Of each stack, where that was done.
    """

    stacks: tuple[ImageStack, ...]
    lost: tuple[np.ndarray | None, ...]

    def finding(self, names: Sequence[str]) -> tuple[Finding, ...]:
        """A note on stacks with such pixels; ``names`` are those of all stacks."""
        shares = {name: float(lost.mean()) for name, lost in zip(names, self.lost, strict=True) if lost is not None}
        if not shares:
            return ()
        worst = max(shares.values())
        sentence = (
            f'{f"{100 * worst:.2g} %" if worst >= 1e-4 else "A few"} of the pixels of {", ".join(shares)} hold no number (NaN or '
            'infinite), as at borders that another alignment has left empty; they carry no weight.'
        )
        return (Finding('note', 'pixels without a number', sentence, {'largest share': worst}),)


def as_numbers(stacks: Sequence[ImageStack], used: np.ndarray, whole: Collection[int] = ()) -> Numbers:
    """Stacks with numbers everywhere, and where they had none.

    Parameters
    ----------
    stacks : sequence of ImageStack
    used : ndarray (tilt,)
        Numbers of the images that are in use.
    whole : collection of int
        Places of the stacks in which no pixel can be marked as lost.

    Raises
    ------
    InputError
        An image in use that holds hardly any number, or in such a stack one without.
    """
    stacks, lost = zip(
        *(_of_stack(stack, used, 0.0 if i in whole else _MAY_BE_LOST) for i, stack in enumerate(stacks)), strict=True
    )
    return Numbers(tuple(stacks), tuple(lost))


def _of_stack(stack: ImageStack, used: np.ndarray, may_be_lost: float) -> tuple[ImageStack, np.ndarray | None]:
    if stack.data.dtype.kind != 'f':
        return stack, None
    lost = ~np.isfinite(stack.data)
    unused = np.ones(len(lost), bool)
    unused[used] = False
    lost[unused] = False
    if not lost.any():
        return stack, None
    shares = lost.mean(axis=(1, 2))
    spoilt = [int(i) + 1 for i in np.flatnonzero(shares > may_be_lost)]
    if spoilt:
        where = f'{", ".join(map(str, spoilt[:6]))}{" and more" if len(spoilt) > 6 else ""}'
        raise InputError(
            f'{stack.path.name} holds values that are not numbers (NaN or infinite), in image {where} of {len(stack.data)}; '
            'correct those images, or leave their tilts out.'
        )
    lowest = np.where(lost, np.inf, stack.data).min(axis=(1, 2), keepdims=True)
    return replace(stack, data=np.where(lost, lowest, stack.data).astype(stack.data.dtype)), lost
