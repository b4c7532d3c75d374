"""The step `Align`: shifts of the images and the tilt axis, as geometry."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from napari_diptomo.align.alignment_findings import alignment_findings, doubtful_tilts
from napari_diptomo.align.axis_rotation import Rotation, rotation_in
from napari_diptomo.align.extended_specimen import extended_findings, extended_specimen
from napari_diptomo.align.held_out_tilts import Comparison, Geometry, compared, predicted
from napari_diptomo.align.image_correlation import FINE
from napari_diptomo.align.neighbour_votes import voted_shifts
from napari_diptomo.align.on_haadf import (
    GIVEN,
    Placement,
    as_maps,
    following,
    haadf_findings,
    haadf_notes,
    in_one_frame,
    placed,
    with_alignment,
)
from napari_diptomo.align.reference_images import Reference, binned, binning_of, ends_within_field, reference_images
from napari_diptomo.align.refinement import Refined, best_start, refined, weighed_with_moments
from napari_diptomo.align.second_axis import first_alone
from napari_diptomo.align.shift_files import read_shifts
from napari_diptomo.align.specimen_motion import Axis, smallest_shifts, tilt_axis_in
from napari_diptomo.align.tilt_shifts import (
    ShiftSource,
    TiltShift,
    axis_correction,
    check_axis,
    check_within_images,
    corrections,
)
from napari_diptomo.align.unlike_tilts import misfit_errors, unlike_findings
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.series import Finding, HAADFSeries, InputError, MapSeries, Observer, Step, Watch, param
from napari_diptomo.series.haadf_of_series import own_images

#: Structures that neighbours are compared by, pixels (see `voted_shifts`): fine ones place best, coarse ones survive few counts.
_BANDS = ((1.5, 6.0), (2.5, 8.0), (4.0, 12.0))


class Align(Step):
    """Find where the specimen sits in each image.

    Neighbouring tilts are correlated and vote on their displacements; then
    every image is compared with what the other tilts predict for it, and moved
    while that improves. One set of shifts serves all channels. The counts stay
    as they are: shifts and axis go into the geometry.

    Notes
    -----
    Images are matched to projections as by Dengler (1989, Ultramicroscopy 30, 337), but to those of a volume that they are no
    part of; of a specimen within the field the moments of the images are weighed in (Helgason and Ludwig).
    ``Align.parameters()`` and docs/parameters.md explain the parameters, docs/alignment.md has measurements.
    Shifts from a file with ``rounds=0`` are taken as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_diptomo import Align, simulate
    >>> angles = np.arange(-40, 41, 10)
    >>> drift = np.outer(np.arange(9), [0.5, 0.0])  # along y, the tilt axis
    >>> maps = simulate.tilt_series(simulate.lamella(32), angles, shifts=drift).maps
    >>> found = Align().run(maps).shifts
    >>> bool(np.abs(found[:, 0] - found[0, 0] - drift[:, 0]).max() < 0.5)
    True
    """

    title: ClassVar[str] = 'Align'
    superseded: ClassVar[tuple[str, ...]] = ('second axis',)

    reference: Reference = param(
        'auto', 'Images that are compared: HAADF where there are any, else the sum of the maps.'
    )
    find_axis: bool = param(
        True, 'Separate the position of the tilt axis from the shifts; the volume is the same either way.'
    )
    axis_rotation: float | None = param(
        None,
        'Angle of the tilt axis to the y axis of the images, positive clockwise; empty: found, and 0 unless it shows clearly.',
        unit='deg',
        ge=-45.0,
        le=45.0,
    )
    rounds: int = param(
        16,
        'Rounds of matching each image to what the other tilts predict, at most; 0 compares neighbours only.',
        ge=0,
        le=100,
    )
    max_shift: float = param(
        0.5,
        'Largest displacement between neighbouring tilts, as a share of the image; larger ones are not considered.',
        gt=0.0,
        le=1.0,
        advanced=True,
        label='Maximum shift',
    )
    upsampling: int = param(20, 'Displacements are found to this fraction of a pixel.', ge=1, le=200, advanced=True)
    shifts_file: str = param(
        '',
        'Shifts to start from, instead of comparing neighbours: an .xf of IMOD, a .csv with angle, dx and dy, an .hspy of ETSpy '
        'or an .npz of tomviz.',
        advanced=True,
        file=True,
    )
    by_hand: tuple[float, ...] = param(
        (),
        'Corrections by hand, added to what was found: tilt angle, dx and dy in pixels, for each tilt one after the other.',
        advanced=True,
    )
    axis_by_hand: tuple[float, ...] = param(
        (),
        'Correction by hand of the tilt axis, added to what was found: its position across the axis in pixels, its angle in '
        'degrees. The shifts stay.',
        advanced=True,
    )

    def _run(self, maps: MapSeries, observer: Observer | None) -> MapSeries:
        maps, apart = _without_second_axis(maps)
        aligned = self._with_its_images(maps, observer)
        # Of the maps alone: the background of a detector is at the edges of HAADF images too.
        return replace(
            aligned, findings=(*aligned.findings, *extended_findings(aligned, extended_specimen(aligned)), *apart)
        )

    def _with_its_images(self, maps: MapSeries, observer: Observer | None) -> MapSeries:
        haadf = maps.haadf_series
        if haadf is None:
            return self._aligned(maps, observer)
        which = own_images(maps)
        if which is not None and len(which) == len(haadf.angles):
            aligned = self._aligned(maps, observer)
            return replace(aligned, haadf_series=following(haadf, aligned, which))
        alone = self.model_copy(update={'reference': 'haadf', 'shifts_file': '', 'by_hand': (), 'axis_by_hand': ()})
        series = as_maps(haadf)
        haadf = with_alignment(haadf, alone._aligned(series, observer))
        beside = self
        if self.axis_rotation is None and not self.shifts_file:
            beside = self.model_copy(update={'axis_rotation': haadf.axis_rotation})
        return beside._aligned(replace(maps, haadf_series=haadf), observer, haadf)

    def _aligned(self, maps: MapSeries, observer: Observer | None, haadf: HAADFSeries | None = None) -> MapSeries:
        """Maps aligned by themselves and, where an aligned HAADF series is given, placed on it."""
        images, name = reference_images(maps, self.reference)
        order = np.argsort(maps.angles, kind='stable')
        images, angles = images[order], maps.angles[order]
        by_hand = corrections(self.by_hand, maps.angles)[order]
        moved, turned_by = axis_correction(self.axis_by_hand)
        watch = Watch(observer, self.title, len(angles) - 1 + self.rounds)
        n = binning_of(images)
        small = binned(images, n)
        starts, turned, unlike = self._starts(maps, order, small, n, watch)
        start_name, start = best_start(small, angles, starts, turned, self.upsampling)
        within = ends_within_field(maps, self.reference)
        found, rotation = self._refined(small, start, watch, len(angles) - 1, within)
        geometry = found.geometry
        if self.shifts_file and self.rounds == 0:
            shifts, axis = starts['file'] * n, Axis(0.0, float('inf'))
        else:
            shifts = smallest_shifts(geometry.shifts * n, angles)
            axis = tilt_axis_in(shifts, angles, images.shape[2] / 2) if self.find_axis else Axis(0.0, float('inf'))
            shifts[:, 1] -= axis.shift * (1 - np.cos(np.deg2rad(angles)))
        comparison, errors, judged_at = found.comparison, found.errors, geometry.shifts
        extra = misfit_errors(small, angles, comparison.scores)
        noted = None
        if haadf is not None:
            placement = GIVEN if self.shifts_file and self.rounds == 0 else self._placed(maps, order, haadf, n)
            noted = haadf_notes(haadf, placement, n)
            if isinstance(placement, Placement) and placement.alike:
                own = comparison.errors if errors is None else errors
                together, errors = in_one_frame(geometry.shifts, np.hypot(own, extra), placement, angles), None
                judged_at = geometry.shifts + without_rigid_motion(together - geometry.shifts, angles)
                comparison = compared(
                    small, predicted(small, replace(geometry, shifts=judged_at)), self.upsampling, FINE
                )
                axis = Axis(haadf.axis_shift * haadf.pixel_size / maps.pixel_size, float('inf'))
                shifts = together * n
                shifts[:, 1] -= axis.shift * (1 - np.cos(np.deg2rad(angles)))
        left_in = judged_at * n - shifts
        left_in[:, 1] += moved * (1 - np.cos(np.deg2rad(angles)))
        shifts = shifts + by_hand
        axis_shift, axis_rotation = axis.shift + moved, geometry.rotation + turned_by
        check_axis(axis_shift, axis_rotation, images.shape[2])
        given = by_hand.any(axis=1) | (start_name == 'file')
        check_within_images(shifts[given], angles[given], images.shape[1:])
        if by_hand.any() or moved or turned_by:
            placed = replace(geometry, shifts=(shifts + left_in) / n, rotation=axis_rotation)
            comparison = compared(small, predicted(small, placed), self.upsampling, FINE)
        doubtful = doubtful_tilts(comparison) | np.isin(np.arange(len(angles)), unlike)
        # What a hand has placed is as uncertain as the image says there, not as what was found.
        extra = np.where(by_hand.any(axis=1, keepdims=True), 0.0, extra)
        known = comparison.errors if errors is None else errors
        errors = np.where(by_hand.any(axis=1, keepdims=True), comparison.errors, np.hypot(known, extra))
        in_pixels = Comparison(comparison.scores, comparison.moves * n, errors * n)
        used = rotation if rotation is not None and geometry.rotation else None
        source: ShiftSource = (
            'import' if start_name == 'file' and np.array_equal(geometry.shifts, start.geometry.shifts) else 'found'
        )
        tilts = tilt_table(angles, shifts, in_pixels, by_hand, source)
        back = np.argsort(order, kind='stable')
        notes = {
            'reference': name,
            'method': _method(start_name, found),
            'largest_shift': float(np.abs(shifts).max()),
            'rms_shift': float(np.sqrt((shifts**2).mean())),
            'rounds': found.rounds,
            'correlation_before': _score(small, start, self.upsampling),
            'correlation_after': comparison.score,
            'standard_error': _finite(in_pixels.standard_error),
            'depth': geometry.depth * n,
            'axis_shift': axis_shift,
            'axis_uncertainty': _finite(axis.uncertainty),
            'axis_rotation': axis_rotation,
            'rotation_found': None if rotation is None else rotation.angle,
            'rotation_uncertainty': None if rotation is None else _finite(rotation.uncertainty),
            'doubtful_angles': [float(angle) for angle in angles[doubtful]],
            'unlike_angles': [float(angle) for angle in angles[list(unlike)]],
            'source': source,
            'by_hand': list(self.by_hand),
            'axis_by_hand': list(self.axis_by_hand),
            'compared_at': left_in[back].tolist(),
            'tilts': [tilts[i].to_dict() for i in back],
            'seconds': watch.seconds,
        }
        if haadf is not None and noted is not None:
            notes['haadf'] = noted
        lit = np.where(doubtful[:, None], 0.0, extra)
        alone = alignment_findings(angles, in_pixels, doubtful, used) + unlike_findings(angles, lit * n, errors * n)
        beside = () if haadf is None or noted is None else haadf_findings(haadf, noted, len(angles))
        return replace(
            maps,
            shifts=shifts[back],
            axis_shift=axis_shift,
            axis_rotation=axis_rotation,
            notes={**maps.notes, 'align': notes},
            findings=(*maps.findings, *alone, *beside),
        )

    def _placed(self, maps: MapSeries, order: np.ndarray, haadf: HAADFSeries, n: int) -> Placement | str:
        """The tilts of the maps on the HAADF series, or why its images cannot be brought onto them."""
        try:
            return placed(maps, haadf, self.reference, n, self.upsampling).in_order(order)
        except InputError as error:
            return str(error)

    def _starts(
        self, maps: MapSeries, order: np.ndarray, small: np.ndarray, n: int, watch: Watch
    ) -> tuple[dict[str, np.ndarray], float, tuple[int, ...]]:
        """Shifts to start from by name, in pixels of the small images; the rotation; tilts that are like no neighbour."""
        angles = maps.angles[order]
        turned = self.axis_rotation or 0.0
        if self.shifts_file:
            read = read_shifts(self.shifts_file, maps.angles)
            return {'file': read.shifts[order] / n}, turned if self.axis_rotation is not None else read.rotation, ()
        starts = {}
        if maps.shifts is not None and np.any(maps.shifts):
            offsets = np.array(maps.shifts, float)
            offsets[:, 1] += maps.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
            starts['shifts as they were'] = offsets[order] / n
        largest = self.max_shift * np.array(small.shape[1:])
        votes = voted_shifts(small, angles, largest, _BANDS, watch)
        for (fine, _), voted in zip(_BANDS, votes, strict=True):
            starts[f'neighbours compared from {fine:g} pixels on'] = voted.shifts
        return starts, turned, votes[0].doubtful

    def _refined(
        self, small: np.ndarray, start: Refined, watch: Watch, done: int, within: bool
    ) -> tuple[Refined, Rotation | None]:
        found = self._matched(small, start.geometry, self.rounds, watch, done, within)
        if self.axis_rotation is not None or self.shifts_file or self.rounds == 0 or found.stopped:
            return found, None
        # Mass that comes into the field with tilt is taken for a rotation, and what is beyond hides one.
        if not within:
            return found, Rotation(0.0, float('inf'))
        rotation = rotation_in(small, found.geometry)
        if not rotation.is_clear:
            return found, rotation
        turned = replace(found.geometry, rotation=rotation.angle)
        again = self._matched(small, turned, self.rounds - found.rounds, watch, done + found.rounds, within)
        return replace(again, rounds=found.rounds + again.rounds), rotation

    def _matched(
        self, small: np.ndarray, geometry: Geometry, rounds: int, watch: Watch, done: int, within: bool
    ) -> Refined:
        found = refined(small, geometry, self.upsampling, rounds, watch, done)
        if not within or self.rounds == 0 or found.stopped:
            return found
        return weighed_with_moments(small, found, self.upsampling)


def _score(small: np.ndarray, here: Refined, upsampling: int) -> float:
    return compared(small, predicted(small, here.geometry), upsampling, FINE).score


def _method(start_name: str, found: Refined) -> str:
    matched = ', then matched to what the other tilts predict' if found.rounds else ''
    return f'{start_name}{matched}{"" if found.errors is None else ", weighed with the moments of the images"}'


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _without_second_axis(maps: MapSeries) -> tuple[MapSeries, tuple[Finding, ...]]:
    """Maps without the second series that was joined to an earlier alignment: the specimen lies elsewhere in the new one."""
    if maps.second_axis is None:
        return maps, ()
    sentence = 'The second axis was joined to an earlier alignment and is left out of the new one; join it again.'
    tilts = len(maps.second_axis.angles)
    return first_alone(maps), (Finding('doubt', 'second axis', sentence, {'tilts': tilts}),)


def tilt_table(
    angles: np.ndarray, shifts: np.ndarray, comparison: Comparison, by_hand: np.ndarray, source: ShiftSource
) -> list[TiltShift]:
    """A row per tilt: shifts in pixels, scores and errors of the comparison, where by hand is not zero that as the source."""
    rows = zip(
        angles, shifts, comparison.scores, np.hypot(*comparison.errors.T), np.asarray(by_hand.any(axis=1)), strict=True
    )
    return [
        TiltShift(
            float(angle), float(dx), float(dy), float(score), _finite(float(error)), 'by hand' if corrected else source
        )
        for angle, (dy, dx), score, error, corrected in rows
    ]
