"""Settings of the network, its fit and what is known of the specimen: frozen, without torch, made by the step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

#: Iterations of a fit at most where the held-out counts choose its length.
LONGEST = 700
#: Iterations that a fit with HAADF images needs at least (docs/haadf-fit.md).
ENOUGH_WITH_HAADF = 320
#: Iterations of a fit with HAADF images where none are given: the fewest, and relative to a fit of the maps alone
#: (docs/haadf-length.md).
_FEWEST_WITH_HAADF, _TIMES_ALONE = 800, 2

Output = Literal['auto', 'softplus', 'shares', 'square']


@dataclass(frozen=True)
class NetworkSettings:
    """Structure of the network, see `dip.network`.

    Attributes
    ----------
    input_channels : int
        Channels of the input noise.
    widths, skips : tuple of int
        Channels of each level, and of the skip connection into it.
    normalisation : {'group', 'batch'}
        Between the layers.
    head : int
        Width of an extra layer before the output, 0 for none.
    output : {'auto', 'softplus', 'shares', 'square'}
        How the output is made non-negative.
    padding : {'zeros', 'reflect'}
        Beyond the border.
    layout : {'slim', 'published'}
        Where coarse features are mixed.
    grows : bool
        Whether a part of the iterations predicts at half the resolution only.
    """

    input_channels: int = 8
    widths: tuple[int, ...] = (16, 32, 64, 64)
    skips: tuple[int, ...] = (4, 4, 4, 4)
    normalisation: str = 'group'
    head: int = 0
    output: Output = 'auto'
    padding: Literal['zeros', 'reflect'] = 'zeros'
    layout: str = 'slim'
    grows: bool = False


@dataclass(frozen=True)
class InputSettings:
    """The noise that the network is given.

    Attributes
    ----------
    distribution : {'normal', 'uniform'}
        Of the fixed input; the uniform one, from 0 to ``std``, is not smoothed.
    std : float
        Standard deviation of the fixed input.
    smoothing : float
        Standard deviation of the Gaussian that it is smoothed with, voxels.
    jitter : float
        Standard deviation of the noise that is added anew in every iteration.
    jitter_decay : bool
        Let it decrease to zero over the iterations.
    """

    distribution: Literal['normal', 'uniform'] = 'normal'
    std: float = 0.3
    smoothing: float = 1.0
    jitter: float = 0.1
    jitter_decay: bool = True


@dataclass(frozen=True)
class OptimiserSettings:
    """How the network learns, see `dip.optimiser`.

    Attributes
    ----------
    kind : {'muon', 'adam'}
    learning_rate : float
        Step size at the start.
    schedule : {'cosine', 'constant'}
        Of the step size over the iterations.
    clip : float
        Largest norm of the gradient, 0 for no limit.
    """

    kind: str = 'muon'
    learning_rate: float = 0.05
    schedule: str = 'cosine'
    clip: float = 1.0


@dataclass(frozen=True)
class SumRuleSettings:
    """Sum rule of the elements in a voxel, see `dip.sum_rule`.

    Attributes
    ----------
    kind : {'none', 'bound', 'solid'}
    densities : tuple of float
        Counts per voxel of each pure element, in the unit of the maps.
    weight : float
        Of the rule in the objective.
    """

    kind: str = 'none'
    densities: tuple[float, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class FitSettings:
    """The fit of one network, see `dip.fit`.

    Attributes
    ----------
    network, input, optimiser, sum_rule
        See there.
    data_term : {'auto', 'poisson', 'gaussian', 'normalised L2', 'normalised L1'}
        Statistics of the data; the normalised ones are those of the source papers.
    tv : {'joint', 'nuclear', 'channel sum'}
        Norm of the total variation, see `tv.norms`; 'channel sum' as published.
    tv_weight : float
        Of it in the objective.
    scale : {'density', 'maximum'}
        What the output is multiplied by.
    iterations : int, optional
        At most; None: as many as the held-out counts ask for.
    coarse_share : float
        Fraction of the iterations that predict at half the resolution only.
    averaging : float
        Memory of the exponential average of the iterates.
    stopping : {'auto', 'held-out', 'variance', 'last'}
        Which iterate is returned.
    precision : {'auto', 'bf16', 'float32'}
        Numbers in the network.
    seed : int
        Of the network and its input.
    title : str
        Name of the run in reports of its progress.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    input: InputSettings = field(default_factory=InputSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    sum_rule: SumRuleSettings = field(default_factory=SumRuleSettings)
    data_term: str = 'auto'
    tv: str = 'joint'
    tv_weight: float = 0.04
    scale: str = 'density'
    iterations: int | None = None
    coarse_share: float = 0.0
    averaging: float = 0.98
    stopping: str = 'auto'
    precision: str = 'auto'
    seed: int = 0
    title: str = 'DIPm-TV'

    @property
    def longest(self) -> int:
        """Iterations of a fit at most."""
        return LONGEST if self.iterations is None else self.iterations

    def beside_images(self, alone: int) -> FitSettings:
        """The same fit with HAADF images, where that of the maps alone took so many iterations.

        Held-out counts cannot say what images still have to give, but how long the maps alone take says how much there is to
        learn.
        """
        if self.iterations is not None:
            return self
        return replace(self, iterations=max(_FEWEST_WITH_HAADF, _TIMES_ALONE * alone))

    def with_network(self, output: Output, seed: int) -> FitSettings:
        """The same fit of a network with another head and other random numbers."""
        return replace(self, network=replace(self.network, output=output), seed=seed)
