"""The step `SecondAxis`: maps of a second tilt axis beside those of the first.

How the specimen lies in them is found by `second_motion`; every reconstruction then fits both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_diptomo.reconstruct.grid import check_alike
from napari_diptomo.series import Finding, InputError, MapSeries, Observer, Step, load, param

if TYPE_CHECKING:
    from napari_diptomo.align.second_motion import SecondMotion

#: Correlation of volumes of both series, over what noise leaves of one, below which the specimens are taken for different ones:
#: it is 0.68 and more for one specimen, from three tilts or 0.3 counts up, and 0.53 and less for two of a kind.
_ALIKE = 0.58
#: Error of the turn, degrees, that is named.
_UNSURE = 5.0
#: Relative difference of the dose between channels, beyond its errors, that is named.
_DOSE = 0.15


class SecondAxis(Step):
    """Add maps of a second tilt axis: the specimen turned in its plane between two series.

    Two axes leave a missing pyramid where one leaves a missing wedge. Extract and align the maps of each series by
    themselves and save those of the second; this step finds how the specimen was turned and moved in between, and how the
    doses compare. Every reconstruction then fits both.

    Notes
    -----
    A sample tilted about two axes: P. Penczek, M. Marko, K. Buttle, J. Frank, Ultramicroscopy 60 (1995) 393. The
    volumes are not averaged, as is done there: one volume is fitted to the images of both.

    Examples
    --------
    >>> from napari_diptomo import SecondAxis
    >>> SecondAxis(maps='second.hspy').turn is None
    True
    """

    title: ClassVar[str] = 'Second axis'
    superseded: ClassVar[tuple[str, ...]] = ('second axis',)

    maps: str = param(
        '',
        'Saved maps of the second series (.hspy), of the same elements, extracted with the same settings and aligned.',
        file=True,
    )
    turn: float | None = param(
        None,
        'By how much the specimen was turned in its plane between the series, positive clockwise in the images; empty: found. '
        'Within 15° is enough.',
        unit='deg',
        ge=-180.0,
        le=180.0,
    )
    upside_down: bool | None = param(
        None,
        'Whether the other face of the specimen was up in the second series; empty: found.',
        advanced=True,
    )

    def _run(self, maps: MapSeries, observer: Observer | None) -> MapSeries:
        if not self.maps:
            raise InputError('SecondAxis needs the saved maps of the second series; name their file.')
        return joined(maps, second_maps(self.maps, maps), self.turn, self.upside_down, observer)


def second_maps(path: str | Path, first: MapSeries) -> MapSeries:
    """Saved maps of a second series, of the channels of the first.

    Parameters
    ----------
    path : str or Path
    first : MapSeries

    Returns
    -------
    MapSeries

    Raises
    ------
    InputError
        No maps, or other channels.
    """
    found = load(path)
    if not isinstance(found, MapSeries):
        raise InputError(f'{Path(path).name} holds a volume; give the saved maps of the second series.')
    missing = [channel for channel in first.channels if channel not in found.channels]
    if missing:
        raise InputError(
            f'The maps of the second axis lack {missing[0]} (they have {", ".join(found.channels)}); extract the same '
            'elements from both series.'
        )
    return found if found.channels == first.channels else found.select(first.channels)


def joined(
    first: MapSeries,
    second: MapSeries,
    turn: float | None = None,
    upside_down: bool | None = None,
    observer: Observer | None = None,
) -> MapSeries:
    """Maps with those of a second tilt axis placed beside them.

    Parameters
    ----------
    first, second : MapSeries
        Of one specimen and the same channels, each aligned.
    turn : float, optional
        Of the specimen in its plane, degrees, within 15; None: found.
    upside_down : bool, optional
        Whether the other face was up; None: found.
    observer : Observer, optional
        Notified of the progress.

    Returns
    -------
    MapSeries
        The first series with `second_axis` and with its own HAADF series; what was found is among its findings.

    Raises
    ------
    InputError
        Series that cannot be of one specimen.
    """
    # Torch is loaded when it computes, not when steps are named.
    from napari_diptomo.align.second_motion import second_motion

    if second.second_axis is not None:
        raise InputError('The second series has a second axis itself; give the maps of one axis.')
    plain = first_alone(first)
    if np.array_equal(first.data, second.data):
        raise InputError('The second series holds the same counts as the first; give the maps of the other axis.')
    check_alike(first, second)
    for maps, which in ((plain, 'first'), (second, 'second')):
        if len(np.unique(maps.angles)) < 2:
            raise InputError(f'The {which} series has one tilt only; each axis needs two or more.')
    found = second_motion(plain, second, turn, upside_down, observer)
    placed = replace(
        second,
        angles=-second.angles if found.reversed else second.angles,
        gain=_gain_of(second, found),
        reinsertion=found.reinsertion,
        haadf_series=None,
    )
    noticed = (*findings_on(found, first, second), *_haadf_left_out(first, second))
    return replace(plain, second_axis=placed, findings=(*plain.findings, *noticed))


def _haadf_left_out(first: MapSeries, second: MapSeries) -> tuple[Finding, ...]:
    """A doubt where the second series brings a HAADF series: images are fitted in the frame of the first."""
    if second.haadf_series is None:
        return ()
    images = len(second.haadf_series.angles)
    instead = (
        'that of the first axis is.'
        if first.haadf_series is not None
        else 'exchange the two series, so that its maps are the first, to have it fitted.'
    )
    sentence = (
        f'The HAADF series of the second axis ({images} images) is not used: images are fitted about the first axis only; '
        f'{instead}'
    )
    return (Finding('doubt', SecondAxis.title, sentence, {'images': float(images)}),)


def first_alone(maps: MapSeries) -> MapSeries:
    """Maps without a second series, and without what was said of one.

    Parameters
    ----------
    maps : MapSeries

    Returns
    -------
    MapSeries
    """
    kept = tuple(finding for finding in maps.findings if finding.about.casefold() != SecondAxis.title.casefold())
    return replace(maps, second_axis=None, findings=kept)


def _gain_of(second: MapSeries, found: SecondMotion) -> np.ndarray:
    """Dose of the data relative to the first series, times the gain that they have: (channel or window, tilt)."""
    known = np.ones(second.data.shape[:2], np.float32) if second.gain is None else second.gain
    # Windows are mixtures of the channels: one dose serves them all.
    dose = found.dose[:, None] if second.mixing is None else found.common_dose
    return np.asarray(known * dose, np.float32)


def findings_on(found: SecondMotion, first: MapSeries, second: MapSeries) -> tuple[Finding, ...]:
    """A note on the placement, and the doubts about it.

    Parameters
    ----------
    found : SecondMotion
    first, second : MapSeries

    Returns
    -------
    tuple of Finding
    """
    placed, dose = found.reinsertion, found.common_dose
    turn_error = float(found.errors[2])
    moved = float(np.linalg.norm(placed.offset)) / first.pixel_size
    evidence: dict[str, Any] = {
        'turn': placed.turn,
        'turn error': turn_error,
        'out of plane': placed.out_of_plane,
        'offset in pixels': moved,
        'dose': dose,
        'correlation': found.correlation,
        'agreement': found.agreement,
    }
    sentence = (
        f'The second axis has {len(second.angles)} tilts from {second.angles.min():g}° to {second.angles.max():g}°. The specimen '
        f'was turned by {placed.turn:.1f}° ± {turn_error:.1g}° in its plane{", upside down" if placed.upside_down else ""}, '
        f'lies {placed.out_of_plane:.1f}° out of it and is off by {moved:.1f} pixels; {dose:.2g} times the dose of the first.'
    )
    doubts = [Finding('note', SecondAxis.title, sentence, evidence)]
    if found.agreement < _ALIKE:
        words = (
            f'The two series agree little (correlation {found.agreement:.2f} of their volumes, noise allowed for): check that the '
            'images of the second axis are of this specimen, their angles and their alignment.'
        )
        doubts.append(Finding('doubt', SecondAxis.title, words, evidence))
    elif turn_error > _UNSURE:
        words = (
            f'The turn between the series is known to {turn_error:.0f}° only: the images hold too few counts, or show too little '
            'of the specimen.'
        )
        doubts.append(Finding('doubt', SecondAxis.title, words, evidence))
    doubts += _looks_alike(found)
    doubts += _contradicts(found, first, second)
    # Images whose x and y were swapped on loading are mirrored: the sign of their tilts is a matter of convention.
    if found.reversed and first.transposed == second.transposed:
        words = (
            'The tilts of the second axis were taken with the opposite sign: the specimen agrees with itself better so. '
            'Check the sign of the angles of both series; with both wrong the volume is a mirror image.'
        )
        doubts.append(Finding('doubt', SecondAxis.title, words, {'reversed': True}))
    if min(abs(placed.turn), 180 - abs(placed.turn)) < 30:
        words = (
            f'The two axes lie {min(abs(placed.turn), 180 - abs(placed.turn)):.0f}° apart: the second fills little of the '
            'missing wedge of the first, which it does best at 90.'
        )
        doubts.append(Finding('doubt', SecondAxis.title, words, evidence))
    off = np.abs(found.dose / dose - 1)
    unlike = (off > _DOSE) & (off > 3 * found.dose_errors / dose)
    if unlike.any():
        listed = ', '.join(f'{c} {d:.2g}' for c, d in zip(first.channels, found.dose, strict=True))
        words = (
            f'The counts of the second axis over those of the first differ between the channels ({listed}): absorption on the '
            'way to the detector, damage in between, or another specimen. Each channel was given a dose of its own.'
        )
        doubts.append(Finding('doubt', SecondAxis.title, words, {'largest difference': float(off.max())}))
    return tuple(doubts)


def _contradicts(found: SecondMotion, first: MapSeries, second: MapSeries) -> list[Finding]:
    """Doubts about a turn or a face that was given, and about the pixel sizes."""
    doubts = []
    if found.better is not None:
        face = 'the other' if found.better.upside_down != found.reinsertion.upside_down else 'the same'
        words = (
            f'The images of the two axes fit each other clearly better with the specimen turned by {found.better.turn:.0f}° and '
            f'{face} face up than with what was given; leave turn and face empty, so that they are found.'
        )
        doubts.append(Finding('doubt', SecondAxis.title, words, {'better turn': found.better.turn}))
    if found.scale != 1:
        words = (
            f'The images of the second axis fit those of the first clearly better if their pixels are {found.scale:.2g} times as '
            f'large, about {found.scale * second.pixel_size:.3g} nm beside {first.pixel_size:.3g} nm: check the pixel sizes of both.'
        )
        doubts.append(Finding('doubt', SecondAxis.title, words, {'scale': found.scale}))
    return doubts


def _looks_alike(found: SecondMotion) -> list[Finding]:
    """Notes on a specimen that looks alike from several sides, as a ball, a cube or a thin film does."""
    notes = []
    if found.others:
        places = ', '.join(f'{other.turn:.0f}°{" upside down" if other.upside_down else ""}' for other in found.others)
        words = (
            f'The specimen looks about as it does here turned by {places}; of such placements the one nearest to a turn by 90° '
            'was taken. Name the turn, and the face that was up, if it was another.'
        )
        notes.append(Finding('note', SecondAxis.title, words, {'other placements': len(found.others)}))
    if found.either_sign and not found.reversed:
        words = (
            'This specimen hardly shows whether the tilts of the two axes have the same sign; they were taken as named.'
        )
        notes.append(Finding('note', SecondAxis.title, words, {'either sign': True}))
    return notes
