"""Memory kept during a fit is given back after it."""

from __future__ import annotations

import pytest
import torch

from napari_diptomo.reconstruct.dip import retained_memory


class _Library:
    def __init__(self) -> None:
        self.options: dict[int, int] = {}
        self.trimmed = 0

    def mallopt(self, what: int, value: int) -> int:
        self.options[what] = value
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.trimmed += 1
        return 1


def test_memory_goes_back_also_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    library = _Library()
    monkeypatch.setattr(retained_memory, '_gnu_library', lambda: library)
    with pytest.raises(RuntimeError), retained_memory.kept_memory(torch.device('cpu')):
        assert library.options == {-4: 0, -1: 2**31 - 1}
        assert not library.trimmed
        raise RuntimeError
    assert library.options == {-4: 65536, -3: 32 * 2**20, -1: 64 * 2**20}
    assert library.trimmed == 1


def test_other_devices_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    library = _Library()
    monkeypatch.setattr(retained_memory, '_gnu_library', lambda: library)
    with retained_memory.kept_memory(torch.device('cuda')):
        assert not library.options
