"""The whole step on simulated series whose standards come from the series itself: what they and the fractions are worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from _eels_fit_cases import ANGLES, BACKGROUNDS, READ_NOISE, Truth
from napari_diptomo.assess import fraction_maps
from napari_diptomo.simulate import eels_tilt_series, oxide_nanocube
from napari_diptomo.simulate.eels import SimulatedEELS
from napari_diptomo.spectra import EELSOxidationMaps
from napari_diptomo.spectra.eels.calibration.calibrated_series import calibrate
from napari_diptomo.spectra.eels.standards.search import standards_of
from napari_diptomo.spectra.eels.standards.stored import Standards

OXIDES = ('FeO', 'Fe3O4')
#: Edge over background, and core-loss dose relative to the low loss: the simulator's default, and three times as much.
CONDITIONS = ((0.2, 20.0), (0.3, 20.0), (0.3, 60.0), (0.4, 20.0))
SEEDS, SIZE = (0, 1, 2), 48
#: Where the edges are compared, eV.
_EDGE = (47.0, 75.0)
_INTERVALS = (1.0, 1.645, 1.96)


def recovered() -> list[dict[str, Any]]:
    """A row for each background, edge to background and dose of the core loss, all seeds together."""
    rows = []
    for truth in BACKGROUNDS:
        for ratio, dose in CONDITIONS:
            found = _pooled([_one(truth, ratio, dose, seed) for seed in SEEDS])
            row = {'truth': truth, 'ratio': ratio, 'dose': dose, **found}
            rows.append(row)
            print(row, flush=True)
    return rows


def _one(truth: Truth, ratio: float, dose: float, seed: int) -> dict[str, Any]:
    made = eels_tilt_series(
        oxide_nanocube(SIZE),
        ANGLES,
        edge_to_background=ratio,
        background=truth,
        core_dose=dose,
        read_noise=READ_NOISE,
        seed=seed,
    )
    # Counts of a camera with read-out noise are not whole; none are held out, and both routes have the same maps.
    step = EELSOxidationMaps(deliver='maps', holdout=0.0)
    calibrated = calibrate(made.series)
    standards = standards_of(step.standards_settings(), calibrated)
    maps = step.maps(calibrated, standards)
    states = fraction_maps(maps)
    atoms = made.clean / np.array([made.per_iron[oxide] for oxide in OXIDES])[:, None, None, None]
    share = (atoms[0] + atoms[1] / 3) / np.maximum(atoms.sum(axis=0), 1e-9)
    known = states.carried & made.iron
    reported = np.array([tilt['fraction'] for tilt in maps.notes['eels']['tilts']])
    sums = np.stack([atoms[:, t][:, made.iron[t]].sum(axis=1) for t in range(len(ANGLES))])
    return {
        'cosines': _cosines(made, standards),
        'tilts': reported[:, 0] - (sums[:, 0] + sums[:, 1] / 3) / sums.sum(axis=1),
        'told': np.hypot(reported[:, 1], reported[:, 2]),
        'error': (states.fraction - share)[known],
        'std': states.fraction_std[known],
        'family': maps.notes['eels']['background']['family'],
        'standards': standards.notes['background'],
    }


def _cosines(made: SimulatedEELS, standards: Standards) -> list[float]:
    true = made.standards_behind(standards.thickness)
    edge = (standards.energy > _EDGE[0]) & (standards.energy < _EDGE[1])
    found = []
    for i, oxide in enumerate(OXIDES):
        simulated = np.interp(standards.energy, made.series.energy, true[oxide])[edge]
        ours = (
            standards.shapes[edge, standards.names.index(oxide)]
            if oxide in standards.names
            else standards.shapes[edge, i]
        )
        found.append(float(ours @ simulated / np.sqrt((ours @ ours) * (simulated @ simulated))))
    return found


def _pooled(series: list[dict[str, Any]]) -> dict[str, Any]:
    error, std = (np.concatenate([one[name] for one in series]) for name in ('error', 'std'))
    tilts, reported = (np.concatenate([one[name] for one in series]) for name in ('tilts', 'told'))
    return {
        'cosines': np.round([one['cosines'] for one in series], 4).tolist(),
        'bias': float(tilts.mean()),
        'worst': float(np.abs(tilts).max()),
        'told': float(np.sqrt((reported**2).mean())),
        'within': [round(float((np.abs(tilts) < factor * reported).mean()), 3) for factor in _INTERVALS],
        'covered': [round(float((np.abs(error) < factor * std).mean()), 4) for factor in _INTERVALS],
        'families': [one['family'] for one in series],
        'standards': [one['standards'] for one in series],
    }
