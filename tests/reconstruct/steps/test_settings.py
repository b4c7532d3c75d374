"""The steps translate their fields, all of them, and what lies beneath knows the settings alone."""

from __future__ import annotations

from typing import Any

import pytest

from napari_diptomo.reconstruct import SIRT, DIPmTV, PoissonEM, Reconstruction, TotalVariation

#: Another valid value of every field that is neither a number, a switch nor a choice.
OTHER: dict[str, Any] = {
    'thickness': 10.0,
    'weight': 0.5,
    'slab_thickness': 5.0,
    'slab_tilt': 3.0,
    'slab_tip': 3.0,
    'slab_offset': 1.0,
    'support_box': (-1.0, 1.0, -1.0, 1.0, -1.0, 1.0),
    'support_file': 'mask.npy',
    'iterations': 17,
    'densities': (1.0, 2.0),
    'widths': (8, 16),
    'skips': (2, 2, 2, 2),
    'holdout': 0.3,
    'tolerance': 0.01,
}
#: They choose the defaults of other fields, how many fits there are, or which weights.
NOT_TRANSLATED = {'preset', 'ensemble', 'refine_shifts'}


def other_value(step: Reconstruction, name: str) -> Any:
    parameter = next(p for p in step.parameters() if p.name == name)
    if name in OTHER:
        return OTHER[name]
    if parameter.choices:
        return next(choice for choice in reversed(parameter.choices) if choice != parameter.default)
    if isinstance(parameter.default, bool):
        return not parameter.default
    return parameter.default + 1 if isinstance(parameter.default, int) else parameter.default * 0.5 + 0.1


def settings_of(step: Reconstruction) -> tuple[Any, ...]:
    more = {DIPmTV: 'fit_settings', TotalVariation: 'tv_settings'}.get(type(step))
    return (step.problem_settings(), *([getattr(step, more)()] if more else []))


@pytest.mark.parametrize('kind', [SIRT, PoissonEM, TotalVariation, DIPmTV])
def test_every_field_reaches_the_settings(kind):
    step = kind()
    for parameter in kind.parameters():
        if parameter.name in NOT_TRANSLATED or (parameter.name == 'iterations' and kind in (SIRT, PoissonEM)):
            continue
        changed = step.model_copy(update={parameter.name: other_value(step, parameter.name)})
        assert settings_of(changed) != settings_of(step), parameter.name


def test_settings_are_frozen_and_equal_for_equal_steps():
    for step in (SIRT(), TotalVariation(), DIPmTV(preset='published-eels')):
        assert settings_of(step) == settings_of(type(step)(**step.model_dump()))
        for settings in settings_of(step):
            assert hash(settings) == hash(settings)
            with pytest.raises(AttributeError):
                settings.seed = 1


def test_the_fraction_held_out_is_one_field_with_a_default_of_each_step():
    for kind, default in ((SIRT, 0.0), (PoissonEM, 0.0), (TotalVariation, 0.0), (DIPmTV, 0.1)):
        (parameter,) = (p for p in kind.parameters() if p.name == 'holdout')
        assert kind().holdout == parameter.default == default
        assert (parameter.minimum, parameter.maximum, parameter.advanced) == (0.0, 0.9, True)
    assert Reconstruction.model_fields['holdout'].default == 0.0


def test_a_weight_is_chosen_by_held_out_counts_only():
    assert TotalVariation().problem_settings().holdout == 0.1
    assert TotalVariation(holdout=0.2).problem_settings().holdout == 0.2
    assert TotalVariation(weight=0.6).problem_settings().holdout == 0.0
