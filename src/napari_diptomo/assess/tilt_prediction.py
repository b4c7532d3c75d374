r"""Tilts predicted from the others: how well a volume that has not seen an image foresees it.

The tilts are divided into groups, neighbours into different ones. For each group a volume is reconstructed from all others
and projected to the tilts left out; their misfit is that of `consistency`,

    q_ct = sum (y - m)^2 / sum v,

with an m of which the image y is no part: 1 is the noise of y alone, and what lies above it is what dose, sampling, alignment
and method do not determine. Beside it stands the misfit of the volume under judgement, which has seen y: where that
is far below 1 and the prediction far above, the volume has fitted the image.

Formulas: misfit of predicted tilts (`predicted_tilts`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_diptomo.assess.consistency import Consistency, consistency, outlying_tilts
from napari_diptomo.assess.csv_tables import write_table
from napari_diptomo.reconstruct import Reconstruction
from napari_diptomo.series import Finding, InputError, MapSeries, Observer
from napari_diptomo.series.tilts import angles_in_words, in_use

#: Groups that are left out in turn, and the fewest tilts that can be divided so.
_GROUPS, _LEAST_TILTS = 3, 4
_MOST_NAMED = 4
_NOTE = (
    'Each tilt is predicted by a volume of the other tilts ({method}): 1 is the noise of its image alone, what lies above is '
    'what the other tilts do not determine, and a volume whose own misfit is far below that of the prediction has fitted this '
    'image as well as the specimen; no tilt tests what lies in the missing wedge.'
)


@dataclass(frozen=True, eq=False)
class TiltPrediction:
    """How well every tilt is predicted by the others.

    Attributes
    ----------
    channels : tuple of str
    angles : ndarray (tilt,)
        Degrees.
    misfit, misfit_error : ndarray (channel, tilt)
        Mean square of the image less its prediction in units of the noise, and its standard error.
    fitted : ndarray (channel, tilt)
        Misfit of the volume under judgement, which has seen the tilt.
    method : str
        What predicts, in words.
    findings : tuple of Finding
        Tilts that the others predict worse than the rest, as notes: edge-on faces or a bad tilt.
    """

    channels: tuple[str, ...]
    angles: np.ndarray
    misfit: np.ndarray
    misfit_error: np.ndarray
    fitted: np.ndarray
    method: str
    findings: tuple[Finding, ...] = ()

    @property
    def note(self) -> str:
        """Meaning of the numbers, in one sentence."""
        return _NOTE.format(method=self.method)

    def __str__(self) -> str:
        parts = [f'{name} {value:.2f}' for name, value in zip(self.channels, self.misfit.mean(axis=1), strict=True)]
        return f'left-out tilts, misfit in units of the noise: {", ".join(parts)} ({self.method})'

    def table(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Headings and numbers, one row per tilt.

        Returns
        -------
        tuple of str, ndarray (tilt, column)
            Angle, then of each channel the misfit of the prediction, its standard error, and that of the volume.
        """
        headings = ['tilt_deg']
        for name in self.channels:
            headings += [f'predicted_{name}', f'standard_error_{name}', f'fitted_{name}']
        columns = np.stack([self.misfit, self.misfit_error, self.fitted], axis=1).reshape(-1, len(self.angles))
        return tuple(headings), np.column_stack([self.angles, columns.T])

    def write_csv(self, path: str | Path) -> Path:
        """Write `table`.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path
        """
        headings, rows = self.table()
        return write_table(path, headings, rows)


def predicted_tilts(
    maps: MapSeries, step: Reconstruction, own: Consistency, observer: Observer | None = None
) -> TiltPrediction:
    """Predict every tilt from the others.

    Parameters
    ----------
    maps : MapSeries
        Aligned.
    step : Reconstruction
        With which the others are reconstructed.
    own : Consistency
        Of the volume under judgement with these maps.
    observer : Observer, optional
        Of the reconstructions, one after the other.

    Returns
    -------
    TiltPrediction

    Raises
    ------
    InputError
        Too few tilts, or maps that cannot be reconstructed.
    Cancelled
        When the observer cancels.
    """
    angles = np.asarray(maps.angles, float)
    if len(angles) < _LEAST_TILTS:
        raise InputError(
            f'Left-out tilts are predicted from {_LEAST_TILTS} tilts on, and there are {len(angles)}; judge by halves.'
        )
    counted = replace(maps, positions=tuple(range(len(angles))))
    # A part of the series has its tilts by ascending angle.
    ascending = np.argsort(angles, kind='stable')
    misfit, error = np.empty_like(own.misfit), np.empty_like(own.misfit_error)
    for group in range(_GROUPS):
        out, others = ascending[group::_GROUPS], np.delete(ascending, np.s_[group::_GROUPS])
        volume = step.run(in_use(counted, out.tolist()), observer)
        found = consistency(volume, in_use(counted, others.tolist()))
        misfit[:, out], error[:, out] = found.misfit, found.misfit_error
    return TiltPrediction(
        channels=own.channels,
        angles=own.angles,
        misfit=misfit,
        misfit_error=error,
        fitted=own.misfit,
        method=f'{step.title}, a third of the tilts left out at a time',
        findings=_surprises(own.angles, misfit, error),
    )


def _surprises(angles: np.ndarray, misfit: np.ndarray, error: np.ndarray) -> tuple[Finding, ...]:
    # The outermost tilts are extrapolated, and so always predicted worse.
    inner = np.flatnonzero((angles > angles.min()) & (angles < angles.max()))
    found = outlying_tilts(misfit[:, inner], error[:, inner])
    if not found.worst.size:
        return ()
    worst = angles[inner][found.worst]
    named = angles_in_words(worst, _MOST_NAMED)
    several = worst.size > 1
    return (
        Finding(
            # Faces that are seen edge-on at one tilt are not foreseen either, however good the data.
            'note',
            'left-out tilts',
            f'The other tilts predict the {"tilts" if several else "tilt"} at {named} worse than the rest '
            f'({found.pooled[found.worst[0]]:.2f} against {found.middle:.2f} times the noise): either {"they show" if several else "it shows"} '
            f'flat faces edge-on, as no other does, or {"their" if several else "its"} alignment, angle or dose is off.',
            {
                'misfit': float(found.pooled[found.worst[0]]),
                'of the others': float(found.middle),
                'tilts': float(worst.size),
            },
        ),
    )
