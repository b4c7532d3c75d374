"""A form built from a step gives back that step."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from napari_diptomo.series import InputError, Step, param
from napari_diptomo.widgets.controls.form_widgets import ChoiceField, NumberField, OptionalField
from napari_diptomo.widgets.controls.step_form import StepForm, pretty, tooltip

_PRESETS = {'fast': 50, 'slow': 500}


class Every(Step):
    """A step with every kind of field."""

    title = 'Every'

    preset: Literal['fast', 'slow'] = param('fast', 'How long to run.')
    iterations: int = param(50, 'How often.', ge=1, le=1000)
    tv_weight: float = param(3e-4, 'Smoothness.', gt=0.0, lt=1.0, advanced=True)
    width: float = param(1.5, 'Width of the line.', unit='keV', ge=0.1)
    joint: bool = param(True, 'All channels together.')
    elements: tuple[str, ...] = param((), 'Elements.')
    range: tuple[float, ...] = param((0.2, 10.0), 'Fitted range.', unit='keV', advanced=True)
    seed: int | None = param(None, 'Seed.', ge=0, advanced=True)
    device: Literal['cpu', 'cuda'] | None = param(None, 'Device.', advanced=True)
    name: str = param('', 'A name.')

    def __init__(self, **values: Any) -> None:
        if 'iterations' not in values and 'preset' in values:
            values['iterations'] = _PRESETS[values['preset']]
        super().__init__(**values)


@pytest.fixture
def form(qtbot: Any) -> StepForm:
    form = StepForm(Every)
    qtbot.addWidget(form)
    return form


def test_a_new_form_is_the_default_step(form: StepForm) -> None:
    assert form.value() == Every()


def test_any_step_comes_back_unchanged(form: StepForm) -> None:
    step = Every(
        preset='slow',
        iterations=7,
        tv_weight=1.25e-7,
        width=0.13,
        joint=False,
        elements=('Ge', 'Sb'),
        range=(0.5, 3.75),
        seed=11,
        device='cuda',
        name='a b',
    )
    form.set_value(step)
    assert form.value() == step


def test_set_value_is_told_once(form: StepForm, qtbot: Any) -> None:
    told = []
    form.changed.connect(lambda: told.append(1))
    form.set_value(Every(iterations=3, joint=False, width=2.0))
    assert told == [1]


def test_a_preset_refills_the_other_fields(form: StepForm) -> None:
    form.fields['joint'].set_value(False)
    form.fields['preset'].set_value('slow')
    assert form.value() == Every(preset='slow', iterations=500)


def test_restore_defaults(form: StepForm) -> None:
    form.set_value(Every(iterations=9, seed=3))
    form.reset.click()
    assert form.value() == Every()


def test_units_and_limits_are_shown(form: StepForm) -> None:
    width = form.fields['width']
    assert isinstance(width, NumberField)
    assert width.editor.suffix() == ' keV'
    assert width.editor.minimum() == pytest.approx(0.1)
    assert form.fields['iterations'].editor.maximum() == 1000


def test_an_open_limit_cannot_be_reached(form: StepForm) -> None:
    editor = form.fields['tv_weight'].editor
    editor.setValue(0.0)
    assert 0 < form.value().tv_weight < 1e-6
    editor.setValue(1.0)
    assert form.value().tv_weight < 1


def test_small_numbers_can_be_read_and_typed(form: StepForm, qtbot: Any) -> None:
    editor = form.fields['tv_weight'].editor
    assert editor.text() == '0.0003'
    editor.lineEdit().setText('2e-5')
    editor.interpretText()
    assert form.value().tv_weight == pytest.approx(2e-5)


def test_none_is_the_auto_box(form: StepForm) -> None:
    seed = form.fields['seed']
    assert isinstance(seed, OptionalField)
    assert form.value().seed is None
    seed.auto.setChecked(False)
    assert form.value().seed == 0
    assert isinstance(form.fields['device'].inner, ChoiceField)


def test_advanced_fields_are_behind_more(form: StepForm) -> None:
    assert form.more is not None
    assert form.more.isAncestorOf(form.fields['tv_weight'])
    assert not form.more.isAncestorOf(form.fields['iterations'])


def test_a_list_with_words_among_numbers_is_one_sentence(form: StepForm) -> None:
    form.fields['range'].editor.setText('0.2, high')
    with pytest.raises(InputError, match='not a list of numbers'):
        form.value()


def test_hidden_parameters_keep_what_was_set(qtbot: Any) -> None:
    form = StepForm(Every, hide=('elements',))
    qtbot.addWidget(form)
    form.set_value(Every(elements=('Te',)))
    form.restore_defaults()
    assert 'elements' not in form.fields
    assert form.value().elements == ('Te',)


def test_every_control_has_a_tooltip_and_a_name(form: StepForm) -> None:
    for field in form.fields.values():
        assert field.toolTip()
        assert field.accessibleName()
    width = next(p for p in Every.parameters() if p.name == 'width')
    assert 'At least 0.1' in tooltip(width)
    assert 'Default 1.5 keV' in tooltip(width)


def test_names_are_written_for_people() -> None:
    assert pretty('tv_weight') == 'TV weight'
    assert pretty('max_iterations') == 'Max iterations'
