"""Oxidation states of a volume of oxides: what the Composition page shows instead of factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtWidgets import QWidget

from napari_diptomo.series import InputError, Volume
from napari_diptomo.series.oxides import metal
from napari_diptomo.widgets.controls.parts import Part, heading, words
from napari_diptomo.widgets.controls.remembered_form import RememberedForm
from napari_diptomo.widgets.controls.step_form import StepForm
from napari_diptomo.widgets.layers import image_layers
from napari_diptomo.widgets.layers.first_look import label_canvas
from napari_diptomo.widgets.layers.oxidation_layers import oxidation_layers
from napari_diptomo.widgets.preferences import LastUsed
from napari_diptomo.widgets.tasks.job import ThreadJob
from napari_diptomo.widgets.tasks.steps import running

if TYPE_CHECKING:
    from napari_diptomo.assess import OxidationState

#: How to read an error; maps and volumes share the words.
READING = (
    'A share of 0.3 ± 0.1 means that about three in ten of the iron atoms there are Fe²⁺; at one position in three the '
    'truth is farther than 0.1 from the value given. FeO has 1, Fe3O4 has 1/3. Two positions differ where their shares are '
    'farther apart than both errors together.'
)


def are_oxides(channels: tuple[str, ...]) -> bool:
    """Whether these are two oxides or more of one metal."""
    try:
        return len(channels) > 1 and len({metal(name) for name in channels}) == 1
    except InputError:
        return False


class OxidationPart(Part):
    """The parameters of the step, and what came of it."""

    def __init__(self, viewer: ViewerModel, last_used: LastUsed, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._last_used = last_used
        # Those of a dock that was closed are there already.
        self._shown: list[Layer] = image_layers.of_kind(viewer.layers, 'oxidation')
        self.parameters = RememberedForm(_oxidation_state, last_used)
        self.result: Volume | None = None
        column = self.body
        column.addWidget(heading('Oxidation state'))
        column.addWidget(
            words(
                'This volume is of oxides: press Compute for the mean valence and the share of the 2+ ions of every voxel.'
            )
        )
        column.addWidget(self.parameters)
        self.note = words('')
        column.addWidget(self.note)
        self.reading = words(f'<small>{READING}</small>')
        self.reading.setVisible(False)
        column.addWidget(self.reading)

    @property
    def form(self) -> StepForm[OxidationState] | None:
        """The form, None until it is needed."""
        return self.parameters.form

    def set_wanted(self, wanted: bool) -> None:
        """Whether the volume that is chosen is of oxides."""
        if wanted:
            self.parameters.build()
        self.setVisible(wanted)

    def job(self, volume: Volume) -> ThreadJob:
        """The work of the page's button."""
        step = self.parameters.step()
        self._last_used.remember(step)
        return ThreadJob(running(step, volume))

    def done(self, result: Volume) -> None:
        """Show the states in place of those before, and hide what else we have shown."""
        for layer in self._shown:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        for layer in self._viewer.layers:
            if image_layers.KEY in layer.metadata:
                layer.visible = False
        self._shown = [self._viewer.add_layer(Layer.create(*part)) for part in oxidation_layers(result)]
        label_canvas(self._viewer, self._shown)
        for layer in self._shown:
            # A value that is read off, not a density that is looked at.
            layer.colorbar.visible = True
        self._viewer.layers.selection.active = next(layer for layer in self._shown if layer.visible)
        self.show_note(result)

    def state(self) -> dict[str, Any]:
        """Values of the controls, JSON-ready."""
        return self.parameters.state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Set the controls as `state` said."""
        self.parameters.set_state(state)

    def clear(self) -> None:
        """The result was about other data."""
        self.result = None
        self.note.setText('')
        self.reading.setVisible(False)

    def show_note(self, result: Volume) -> None:
        """Say what came of it; its layers are there."""
        self.result = result
        self.note.setText(describe_states(result))
        self.reading.setVisible(True)


def _oxidation_state() -> type[OxidationState]:
    from napari_diptomo.assess import OxidationState

    return OxidationState


def describe_states(result: Volume) -> str:
    """Means over the particle, their common error, what is masked."""
    notes = result.notes['oxidation_state']
    means = ', '.join(f'{name} {value:.2f}' for name, value in notes['mean'].items())
    parts = [f'Mean over the metal: {means}.']
    shared = notes.get('error_shared_by_all')
    if shared:
        parts.append(f'Background and standards contribute a systematic error of {shared:.2g} in valence.')
    parts.append(f'Errors of single voxels: {notes["errors"]}.')
    parts.append(f'{100 * notes["masked_share"]:.0f} % of the voxels are masked: no metal, or too uncertain.')
    return ' '.join(parts)
