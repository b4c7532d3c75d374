r"""The step DIPm-TV: multi-channel deep image prior with total variation.

One untrained network f predicts all channels at once from fixed noise z: it
describes structure before noise, and what the channels share is described
once (arXiv 2606.10547, 2606.10893). The objective is that of `dip.fit`; counts held out
beforehand judge its iterates, and the average that predicts them best is the result.

The presets ``published-edx`` and ``published-eels`` keep the settings of the
papers' phantoms (last raw iterate, least squares or L1 on maps divided
by their maximum, total variation of the channels' sum with the weight 1e-10 on
unit cubes); the others are ours: docs/benchmarks.md has their scores,
docs/choices.md what each choice is worth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from napari_diptomo.reconstruct.dip.settings import (
    ENOUGH_WITH_HAADF,
    FitSettings,
    InputSettings,
    NetworkSettings,
    OptimiserSettings,
    SumRuleSettings,
)
from napari_diptomo.reconstruct.grid import volume_shape
from napari_diptomo.reconstruct.settings import ProblemSettings
from napari_diptomo.reconstruct.steps.base import with_default
from napari_diptomo.reconstruct.steps.shift_refining import ShiftRefining
from napari_diptomo.series import Finding, MapSeries, Observer, Remedy, Volume, param

_PUBLISHED: dict[str, Any] = {
    'optimiser': 'adam',
    'learning_rate': 4e-4,
    'schedule': 'constant',
    'averaging': 0.0,
    'tv': 'channel sum',
    'tv_weight': 1e-10,
    'skips': (4, 8, 16, 32, 64),
    'normalisation': 'batch',
    'head': 16,
    'layout': 'published',
    'output': 'square',
    'padding': 'reflect',
    'scale': 'maximum',
    'input_channels': 32,
    'input_smoothing': 0.0,
    'input_std': 0.1,
    'jitter_decay': False,
    'clip': 0.0,
    'holdout': 0.0,
    'stopping': 'last',
}

#: What each preset changes of the fields' defaults.
PRESETS: dict[str, dict[str, Any]] = {
    'balanced': {},
    'fast': {
        'iterations': 160,
        'learning_rate': 0.03,
        'coarse_share': 0.7,
        'averaging': 0.94,
        'jitter': 0.05,
        'output': 'shares',
    },
    'best': {'ensemble': 6},
    'published-edx': {
        **_PUBLISHED,
        'iterations': 5000,
        'data_term': 'normalised L2',
        'widths': (16, 32, 64, 128, 256),
        'jitter': 0.04,
    },
    'published-eels': {
        **_PUBLISHED,
        'iterations': 1000,
        'data_term': 'normalised L1',
        'widths': (16, 32, 64, 128),
        'skips': (4, 8, 16, 32),
        'jitter': 0.01,
        'precision': 'float32',
    },
}


class DIPmTV(ShiftRefining):
    """All channels from one untrained network, fitted to the counts.

    Notes
    -----
    The method is that of arXiv 2606.10547 and 2606.10893, the objective that of `napari_diptomo.reconstruct.dip.fit`;
    docs/choices.md says what each choice is worth. ``DIPmTV.parameters()`` and docs/parameters.md explain the parameters.

    Examples
    --------
    Five iterations show the call; a volume takes as many as the preset has, and a GPU where there is one.

    >>> import numpy as np
    >>> from napari_diptomo import DIPmTV, simulate
    >>> maps = simulate.tilt_series(simulate.lamella(16), np.arange(-40, 41, 20)).maps
    >>> volume = DIPmTV(preset='fast', iterations=5, seed=0).run(maps)
    >>> volume.channels, volume.data.shape
    (('Ge', 'Sb', 'Te'), (3, 16, 16, 16))
    """

    title: ClassVar[str] = 'DIPm-TV'
    leading: ClassVar[tuple[str, ...]] = ('preset',)

    preset: Literal['fast', 'balanced', 'best', 'published-eels', 'published-edx'] = param(
        'balanced',
        'fast: a first look; balanced: a good volume, eight times the time; best: the mean of six fits, with error bars; '
        'published-*: the settings of the source papers.',
    )
    iterations: int | None = param(
        None,
        'Iterations of each fit at most; the result is the best average among them. Auto: as many as the held-out counts '
        'ask for.',
        typical=2000,
        ge=1,
        le=100_000,
    )
    holdout: float = with_default('holdout', 0.1)
    tv_weight: float = param(
        0.04, 'Weight of the total variation: raise it when the volume is noisy, lower it when detail is lost.', ge=0.0
    )
    sum_rule: Literal['none', 'bound', 'solid'] = param(
        'none',
        'What the elements add up to in a voxel: bound: no more than the solid holds; solid: that or nothing. '
        'Needs the densities of the pure elements.',
        advanced=True,
    )
    densities: tuple[float, ...] = param(
        (),
        'For the sum rule: counts per voxel of each pure element in the order of the channels, e.g. from counts over thickness '
        'at a position that is known. Off by 20 % they do more harm than good.',
        advanced=True,
    )
    sum_rule_weight: float = param(
        1.0, 'Weight of the sum rule: raise it when the densities are known to a few percent.', ge=0.0, advanced=True
    )
    optimiser: Literal['muon', 'adam'] = param(
        'muon',
        'How the network learns: muon needs far fewer iterations than adam, which the source papers use.',
        advanced=True,
    )
    learning_rate: float = param(0.05, 'Step size of the optimiser at the start.', gt=0.0, le=1.0, advanced=True)
    schedule: Literal['cosine', 'constant'] = param(
        'cosine', 'How the step size decreases over the iterations.', advanced=True
    )
    averaging: float = param(
        0.98,
        'Memory of the exponential average of the iterates; 0 returns raw iterates.',
        ge=0.0,
        lt=1.0,
        advanced=True,
    )
    data_term: Literal['auto', 'poisson', 'gaussian', 'normalised L2', 'normalised L1'] = param(
        'auto',
        "Statistics of the data: Poisson for counts, gaussian with the maps' variance otherwise.",
        advanced=True,
    )
    tv: Literal['joint', 'nuclear', 'channel sum'] = param(
        'joint',
        'What channels share: joint favours edges at the same position, nuclear also in the same direction; channel sum is '
        'the total variation of their sum, as published.',
        advanced=True,
    )
    widths: tuple[int, ...] = param((16, 32, 64, 64), 'Channels of the network at each level.', advanced=True)
    skips: tuple[int, ...] = param((4, 4, 4, 4), 'Channels of the skip connection at each level.', advanced=True)
    normalisation: Literal['group', 'batch'] = param('group', 'Normalisation between the layers.', advanced=True)
    layout: Literal['slim', 'published'] = param(
        'slim', 'Where coarse features are mixed: before they are enlarged, or after, as published.', advanced=True
    )
    coarse_share: float = param(
        0.0,
        'Fraction of the iterations that predict at half the resolution only, at a third of the cost: for a quick look.',
        ge=0.0,
        le=0.95,
        advanced=True,
        label='Coarse fraction',
    )
    head: int = param(0, 'Width of an extra layer before the output, 0 for none.', ge=0, le=256, advanced=True)
    output: Literal['auto', 'softplus', 'shares', 'square'] = param(
        'auto',
        'Head of the network. softplus: predicts each channel. shares: predicts their total and the share of each. square: '
        'as published. auto: both are fitted, and the held-out counts choose between them and their mean.',
        advanced=True,
    )
    padding: Literal['zeros', 'reflect'] = param('zeros', 'What the network sees beyond the border.', advanced=True)
    scale: Literal['density', 'maximum'] = param(
        'density', "What the output is scaled by: typical density of a short SIRT, or the maps' maximum.", advanced=True
    )
    input_channels: int = param(8, 'Channels of the input noise.', ge=1, le=64, advanced=True)
    input_smoothing: float = param(1.0, 'Smoothing of the input noise.', unit='voxels', ge=0.0, le=8.0, advanced=True)
    input_std: float = param(0.3, 'Standard deviation of the input noise.', gt=0.0, le=10.0, advanced=True)
    jitter: float = param(0.1, 'Fresh noise added to the input in every iteration.', ge=0.0, le=1.0, advanced=True)
    jitter_decay: bool = param(True, 'Let the jitter decrease to zero over the iterations.', advanced=True)
    clip: float = param(1.0, 'Largest norm of the gradient, 0 for no limit.', ge=0.0, advanced=True)
    stopping: Literal['auto', 'held-out', 'variance', 'last'] = param(
        'auto',
        'Which iterate is returned: the one that predicts held-out counts best, the one around which the iterates vary least '
        '(for images that are no counts), or the last; auto takes held-out counts where they can be trusted.',
        advanced=True,
    )
    ensemble: int = param(
        1,
        'Fits with other random numbers and other counts held out; from two on the volume is their mean and comes with a '
        'standard deviation. Six take three times as long as balanced.',
        ge=1,
        le=20,
    )
    precision: Literal['auto', 'bf16', 'float32'] = param(
        'auto', 'Numbers in the network: bf16 where the processor is fast at it, float32 elsewhere.', advanced=True
    )

    @model_validator(mode='before')
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {**PRESETS.get(str(values.get('preset', 'balanced')), {}), **values}

    @model_validator(mode='after')
    def _levels_agree(self) -> DIPmTV:
        if any(density <= 0 for density in self.densities):
            raise ValueError('densities of pure elements are positive numbers')
        if not self.widths or len(self.widths) > len(self.skips):
            raise ValueError('give one skip width for each level of the network')
        if self.stopping == 'held-out' and not self.holdout:
            raise ValueError(
                'held-out counts can only decide where some are held out; set holdout to 0.1, or stopping to auto'
            )
        if self.ensemble > 1 and not self.holdout:
            raise ValueError('error bars come from held-out counts; set holdout to 0.1, or ensemble to 1')
        return self

    @property
    def longest(self) -> int:
        """Iterations of a fit at most."""
        return self.fit_settings().longest

    def problem_settings(self) -> ProblemSettings:
        """See `Reconstruction.problem_settings`; the published objectives have no place for other data."""
        used = self.haadf and not self.data_term.startswith('normalised')
        return replace(super().problem_settings(), haadf=used)

    def fit_settings(self) -> FitSettings:
        """The fields that say what is fitted, and how."""
        network = NetworkSettings(
            input_channels=self.input_channels,
            widths=self.widths,
            skips=self.skips,
            normalisation=self.normalisation,
            head=self.head,
            output=self.output,
            padding=self.padding,
            layout=self.layout,
            grows=self.coarse_share > 0,
        )
        noise = InputSettings(
            distribution='uniform' if self.scale == 'maximum' else 'normal',
            std=self.input_std,
            smoothing=self.input_smoothing,
            jitter=self.jitter,
            jitter_decay=self.jitter_decay,
        )
        return FitSettings(
            network=network,
            input=noise,
            optimiser=OptimiserSettings(self.optimiser, self.learning_rate, self.schedule, self.clip),
            sum_rule=SumRuleSettings(self.sum_rule, self.densities, self.sum_rule_weight),
            data_term=self.data_term,
            tv=self.tv,
            tv_weight=self.tv_weight,
            scale=self.scale,
            iterations=self.iterations,
            coarse_share=self.coarse_share,
            averaging=self.averaging,
            stopping=self.stopping,
            precision=self.precision,
            seed=self.seed,
            title=self.title,
        )

    def memory_bytes(self, maps: MapSeries) -> int:
        """See `Reconstruction.memory_bytes`; the activations kept for the gradient are most of it."""
        from napari_diptomo.reconstruct.device import pick, takes_bf16
        from napari_diptomo.reconstruct.dip.network_memory import network_bytes

        voxels = float(np.prod(volume_shape(maps, self.thickness, self.beyond_field)))
        half_precision = takes_bf16(self.precision, pick(self.device))
        network = network_bytes(self.fit_settings().network, maps, voxels, half_precision)
        return int(super().memory_bytes(maps) + network)

    def _volumes(self, maps: MapSeries) -> float:
        # Measured, with the state to fall back on, which holds two; mean and squares of an ensemble are in double precision,
        # the first of two fits is kept while the second runs.
        return 17.0 + 8.0 * (self.ensemble > 1)

    def _fit(self, maps: MapSeries, observer: Observer | None) -> Volume:
        if self.ensemble > 1:
            from napari_diptomo.reconstruct.dip.ensemble import fit_ensemble

            self._check_memory(maps)
            volume = fit_ensemble(maps, self.problem_settings(), self.fit_settings(), self.ensemble, observer)
        else:
            from napari_diptomo.reconstruct.dip.contest import fit_chosen
            from napari_diptomo.reconstruct.dip.haadf_contest import fit_with_haadf

            problem = self.prepare(maps)
            fit = fit_chosen if problem.haadf is None else fit_with_haadf
            volume = self._volume(problem, fit(self.fit_settings(), problem, observer))
        return replace(
            volume,
            notes={**volume.notes, 'preset': self.preset},
            findings=(*volume.findings, *self._on_haadf(maps, 'haadf' in volume.notes)),
        )

    def _on_haadf(self, maps: MapSeries, is_fitted: bool) -> tuple[Finding, ...]:
        """Findings on a series that the preset leaves out, or that the fit is too short for."""
        if is_fitted:
            return (self._short_fit(),) if self.too_short_for_haadf else ()
        if maps.haadf_series is None or not self.haadf or self.problem_settings().haadf:
            return ()
        images = len(maps.haadf_series.angles)
        sentence = f'The HAADF series ({images} images) is not used by this preset; balanced fits it beside the maps.'
        remedy = Remedy('Choose balanced', 'DIPmTV', {'preset': 'balanced'})
        return (Finding('doubt', 'HAADF series', sentence, {'images': images}, remedy),)

    @property
    def too_short_for_haadf(self) -> bool:
        """Whether the fits end before the network follows HAADF images."""
        return self.iterations is not None and self.iterations < ENOUGH_WITH_HAADF

    def _short_fit(self) -> Finding:
        sentence = (
            f'A fit that ends after iteration {self.iterations} hardly follows HAADF images. On simulated specimens they brought '
            f'0.3 to 0.9 dB with 160 iterations and 1.1 to 1.8 dB with {ENOUGH_WITH_HAADF}. Joint TV takes less time and uses them.'
        )
        remedy = Remedy(f'Take {ENOUGH_WITH_HAADF} iterations', 'DIPmTV', {'iterations': ENOUGH_WITH_HAADF})
        return Finding('note', 'length of the fit', sentence, {'iterations': float(self.iterations or 0)}, remedy)
