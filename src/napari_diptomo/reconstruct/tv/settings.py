"""Settings of the total variation, and how many iterations its runs take at most. Needs no torch: forms ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_diptomo.reconstruct.tv.norms import Coupling

#: In the middle of the weights that are compared first, and of those that seven specimens ask for; of maps that cannot choose.
MIDDLE = 0.35
#: Minimisations by which a weight is found where the prediction is good, and iterations of each at most (docs/tv-weight.md).
COMPARED, SEARCH_ITERATIONS = 3, 300
#: Weights of HAADF images that are tried, at most.
TRUSTS = 3


@dataclass(frozen=True)
class TVSettings:
    """Objective and solver of the total variation.

    Attributes
    ----------
    weight : float or None
        Of the total variation, see `tv.minimise`; None: the held-out counts choose it.
    coupling : {'joint', 'channels', 'nuclear'}
        Norm of the Jacobian.
    iterations : int
        At most, for the volume; a search for the weight takes `SEARCH_ITERATIONS` at most for each.
    tolerance : float
        Relative change of the volume over `primal_dual.WINDOW` iterations below which it has converged.
    data_term : {'auto', 'poisson', 'gaussian'}
        Statistics of the data.
    """

    weight: float | None = None
    coupling: Coupling = 'joint'
    iterations: int = 1000
    tolerance: float = 8e-4
    data_term: str = 'auto'

    def lengths(self, with_images: bool, judged_apart: bool) -> tuple[int, ...]:
        """Iterations of the minimisations of a run one after the other, at most.

        Parameters
        ----------
        with_images : bool
            HAADF images are fitted beside the maps.
        judged_apart : bool
            Counts are held out only to judge: a last minimisation fits all of them.
        """
        search = (min(SEARCH_ITERATIONS, self.iterations),) * COMPARED if self.weight is None else ()
        judged = with_images * (1 + TRUSTS)
        last = judged_apart or not with_images
        return (*search, *(self.iterations,) * (judged + last))
