"""A form built from a step gives back that step."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from magicgui.widgets import ComboBox, FloatSpinBox, LineEdit, create_widget
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_diptomo.series import InputError, Step, param
from napari_diptomo.widgets.controls.form_widgets import AutoEdit, FloatEdit, pretty, tooltip
from napari_diptomo.widgets.controls.step_form import StepForm

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


def test_set_value_is_signalled_once(form: StepForm, qtbot: Any) -> None:
    emitted = []
    form.changed.connect(lambda: emitted.append(1))
    form.set_value(Every(iterations=3, joint=False, width=2.0))
    assert emitted == [1]


def test_a_preset_refills_the_other_fields(form: StepForm) -> None:
    form.fields['joint'].value = False
    form.fields['preset'].value = 'slow'
    assert form.value() == Every(preset='slow', iterations=500)


def test_restore_defaults(form: StepForm) -> None:
    form.set_value(Every(iterations=9, seed=3))
    form.reset.click()
    assert form.value() == Every()


def test_units_and_limits_are_shown(form: StepForm) -> None:
    width = form.fields['width']
    assert isinstance(width, FloatEdit)
    assert width.native.suffix() == ' keV'
    assert width.native.minimum() == pytest.approx(0.1)
    assert form.fields['iterations'].native.maximum() == 1000


def test_one_voxel_is_a_voxel(qtbot: Any) -> None:
    box = FloatEdit(unit='voxels', value=1.0, min=0.0, max=8.0)
    qtbot.addWidget(box.native)
    assert box.native.text() == '1 voxel'
    box.value = 1.5
    assert box.native.text() == '1.5 voxels' and box.value == 1.5
    box.value = 1.0
    assert box.native.text() == '1 voxel' and box.value == 1.0


def test_an_open_limit_cannot_be_reached(form: StepForm) -> None:
    editor = form.fields['tv_weight'].native
    editor.setValue(0.0)
    assert 0 < form.value().tv_weight < 1e-6
    editor.setValue(1.0)
    assert form.value().tv_weight < 1


def test_small_numbers_can_be_read_and_typed(form: StepForm, qtbot: Any) -> None:
    editor = form.fields['tv_weight'].native
    assert editor.text() == '0.0003'
    editor.lineEdit().setText('2e-5')
    editor.interpretText()
    assert form.value().tv_weight == pytest.approx(2e-5)


def test_none_is_the_auto_box(form: StepForm) -> None:
    seed = form.fields['seed']
    assert isinstance(seed, AutoEdit)
    assert form.value().seed is None
    seed.auto.value = False
    assert form.value().seed == 0
    assert isinstance(form.fields['device'].inner, ComboBox)


class Optional(Step):
    """Numbers that may be left empty."""

    current: float | None = param(None, 'Beam current.', unit='nA', gt=0.0, label='Beam current')
    iterations: int | None = param(None, 'At most.', typical=2000, ge=1)


def test_without_auto_a_number_is_proposed_or_has_to_be_typed(qtbot: Any) -> None:
    """A current of 1e-12 nA, the least there is above zero, went into the factors before."""
    form = StepForm(Optional)
    qtbot.addWidget(form)
    form.fields['iterations'].auto.value = False
    assert form.value().iterations == 2000
    current = form.fields['current']
    current.auto.value = False
    assert current.inner.native.text() == 'not given'
    with pytest.raises(InputError, match=r'^Beam current is not given: type a number, or tick auto\.$'):
        form.value()
    current.inner.native.lineEdit().setText('0.8')
    current.inner.native.interpretText()
    assert form.value().current == 0.8
    current.auto.value = True
    assert form.value().current is None


def test_state_leaves_out_what_is_not_given_and_nothing_else(qtbot: Any) -> None:
    class Smooth(Step):
        """A step with a number that may be left to the step."""

        title = 'Smooth'
        iterations: int = param(50, 'How often.', ge=1)
        weight: float | None = param(None, 'Smoothness.', gt=0.0)
        thickness: float = param(20.0, 'Of the film.', unit='nm', gt=0.0)
        elements: tuple[float, ...] = param((1.0,), 'Edges.')

    form = StepForm(Smooth)
    qtbot.addWidget(form)
    form.fields['iterations'].value = 7
    form.fields['thickness'].value = 35.0
    form.fields['weight'].auto.value = False
    with pytest.raises(InputError, match='not given'):
        form.value()
    assert form.state() == {'iterations': 7, 'thickness': 35.0, 'elements': [1.0]}
    form.fields['elements'].native.setText('1, two')
    assert form.state() == {'iterations': 7, 'thickness': 35.0}
    restored = StepForm(Smooth)
    qtbot.addWidget(restored)
    restored.set_state(form.state())
    assert restored.value() == Smooth(iterations=7, thickness=35.0)


def test_advanced_fields_are_behind_more(form: StepForm) -> None:
    assert form.more is not None
    assert form.more.isAncestorOf(form.fields['tv_weight'].native)
    assert not form.more.isAncestorOf(form.fields['iterations'].native)


def test_a_list_with_words_among_numbers_is_one_sentence(form: StepForm) -> None:
    form.fields['range'].native.setText('0.2, high')
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
        assert field.native.toolTip()
        assert field.native.accessibleName()
    width = next(p for p in Every.parameters() if p.name == 'width')
    assert 'At least 0.1' in tooltip(width)
    assert 'Default 1.5 keV' in tooltip(width)


def test_names_are_written_for_people() -> None:
    assert pretty('tv_weight') == 'TV weight'
    assert pretty('max_iterations') == 'Max iterations'


def test_the_wheel_scrolls_the_page_and_changes_no_value_it_passes(form: StepForm, qtbot: Any) -> None:
    form.show()
    for name in ('preset', 'iterations', 'width'):
        field = form.fields[name]
        before = field.value
        middle = QPointF(field.native.rect().center())
        turn = QWheelEvent(
            middle,
            middle,
            QPoint(),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(field.native, turn)
        assert field.value == before
        assert not turn.isAccepted()


def test_a_text_counts_when_it_is_complete(form: StepForm, qtbot: Any) -> None:
    emitted: list[int] = []
    form.changed.connect(lambda: emitted.append(1))
    line = form.fields['name'].native
    qtbot.keyClicks(line, 'abc')
    assert emitted == []
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert emitted == [1]
    assert form.value().name == 'abc'


def test_an_integer_is_typed_within_its_limits(form: StepForm, qtbot: Any) -> None:
    box = form.fields['iterations'].native
    for typed, value in (('-', 50), ('-7', 7), ('70', 70), ('70000', 1000)):
        box.lineEdit().selectAll()
        qtbot.keyClicks(box.lineEdit(), typed)
        qtbot.keyClick(box, Qt.Key.Key_Return)
        assert form.value().iterations == value


def test_a_number_beyond_its_limits_is_moved_to_them(form: StepForm) -> None:
    form.fields['width'].value = 0.01
    assert form.fields['width'].value == pytest.approx(0.1)


def test_forms_of_other_plugins_stay_as_they_are(form: StepForm) -> None:
    assert isinstance(create_widget(annotation=float), FloatSpinBox)
    assert isinstance(create_widget(annotation=str), LineEdit)
