"""Numbers as people read them."""

from __future__ import annotations

import pytest

from napari_diptomo.jobs.numbers import grouped, with_error


@pytest.mark.parametrize(
    ('value', 'error', 'said'),
    [
        (41.27, 0.83, '41.27 ± 0.83'),
        (41.27, 12.3, '41 ± 12'),
        (0.0312, 0.0054, '0.0312 ± 0.0054'),
        (0.98765, 0.00042, '0.98765 ± 0.00042'),
        (3.14159, 0, '3.14'),
    ],
)
def test_digits_follow_the_error(value: float, error: float, said: str) -> None:
    assert with_error(value, error) == said
    assert with_error(value, error, '+') == f'+{said}'
    assert with_error(float('nan'), error) == '–'


@pytest.mark.parametrize(
    ('value', 'said'),
    [
        (871_123_456.0, '871 100 000'),
        (99_996.0, '100 000'),
        (1234.5, '1 234'),
        (999.96, '1000'),
        (12.345, '12.35'),
        (-54_321.0, '-54 320'),
        (0.0, '0'),
        (float('inf'), '–'),
    ],
)
def test_large_numbers_are_written_in_groups(value: float, said: str) -> None:
    assert grouped(value).replace('\N{NO-BREAK SPACE}', ' ') == said
