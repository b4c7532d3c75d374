"""The choice among several specimens in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magicgui.widgets import ComboBox


class SpecimenChoice(ComboBox):
    """Names of specimens, None until one is chosen. A value that is none of them is not taken."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=(), nullable=True, **options)

    @property
    def value(self) -> str | None:
        """The name that is chosen."""
        chosen: str | None = ComboBox.value.fget(self)  # type: ignore[attr-defined]
        return chosen

    @value.setter
    def value(self, value: str | None) -> None:
        if value is None or value in self.choices:
            ComboBox.value.fset(self, value)  # type: ignore[attr-defined]

    def offer(self, names: Sequence[str]) -> None:
        """Offer these specimens; the one chosen stays where it is among them."""
        if tuple(names) == tuple(choice for choice in self.choices if choice is not None):
            return
        chosen = self.value
        with self.changed.blocked():
            self.choices = tuple(names)
            self.value = chosen if chosen in names else None
