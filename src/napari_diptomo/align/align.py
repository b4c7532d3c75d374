"""The step `Align`: shifts of the images and the tilt axis, as geometry."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from napari_diptomo.align.aligned_frame import Frame, finite
from napari_diptomo.align.alignment_findings import alignment_findings, doubtful_tilts
from napari_diptomo.align.axis_rotation import Rotation, rotation_in
from napari_diptomo.align.extended_specimen import extended_findings, extended_specimen
from napari_diptomo.align.held_out_tilts import Geometry, Prediction, compared, predicted
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
from napari_diptomo.align.reference_images import ComparedImages, Reference, compared_images
from napari_diptomo.align.refinement import Refined, best_start, refined, weighed_with_moments
from napari_diptomo.align.second_axis import first_alone
from napari_diptomo.align.shift_files import read_shifts
from napari_diptomo.align.specimen_motion import Axis, smallest_shifts, tilt_axis_in
from napari_diptomo.align.tilt_shifts import (
    ShiftSource,
    axis_correction,
    check_axis,
    check_within_images,
    corrections,
)
from napari_diptomo.align.unlike_tilts import misfit_errors, unlike_findings
from napari_diptomo.geometry.rigid_motion import without_rigid_motion
from napari_diptomo.series import Finding, HAADFSeries, InputError, MapSeries, Observer, Step, Watch, param
from napari_diptomo.series.haadf import named
from napari_diptomo.series.haadf_of_series import own_images
from napari_diptomo.series.haadf_pixels import with_contents
from napari_diptomo.series.tilts import at_tilts

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
        haadf, blank = with_contents(haadf)
        maps = replace(maps, findings=(*maps.findings, *blank))
        try:
            haadf = with_alignment(haadf, alone._aligned(as_maps(haadf), observer))
        except InputError as error:
            raise InputError(named(str(error))) from None
        beside = self
        if self.axis_rotation is None and not self.shifts_file:
            beside = self.model_copy(update={'axis_rotation': haadf.axis_rotation})
        return beside._aligned(replace(maps, haadf_series=haadf), observer, haadf)

    def _aligned(self, maps: MapSeries, observer: Observer | None, haadf: HAADFSeries | None = None) -> MapSeries:
        """Maps aligned by themselves and, where an aligned HAADF series is given, placed on it."""
        images = compared_images(maps, self.reference)
        watch = Watch(observer, self.title, len(images.angles) - 1 + self.rounds)
        starts, turned, unlike = self._starts(maps, images, watch)
        start_name, start = best_start(images.small, images.angles, starts, turned, self.upsampling)
        found, rotation = self._refined(images, start, watch)
        as_given = starts['file'] if self.shifts_file and self.rounds == 0 else None
        frame = self._frame(images, found, as_given)
        beside: tuple[Finding, ...] = ()
        of_haadf = {}
        if haadf is not None:
            placement = GIVEN if as_given is not None else self._placed(maps, haadf, images)
            of_haadf = {'haadf': haadf_notes(haadf, placement, images.binning)}
            beside = haadf_findings(haadf, of_haadf['haadf'], len(images.angles))
            if isinstance(placement, Placement) and placement.alike:
                frame = self._joined(images, frame, placement, haadf.axis_shift * haadf.pixel_size / maps.pixel_size)
        by_hand = corrections(self.by_hand, maps.angles)
        frame = self._corrected(images, frame, by_hand[images.order], start_name == 'file')
        shifts = self._of_all_tilts(images, frame, by_hand)
        doubtful = doubtful_tilts(frame.comparison) | np.isin(np.arange(len(images.angles)), unlike)
        source: ShiftSource = (
            'import'
            if start_name == 'file' and np.array_equal(found.geometry.shifts, start.geometry.shifts)
            else 'found'
        )
        notes = {
            'reference': images.name,
            'method': _method(start_name, found),
            'rounds': found.rounds,
            'correlation_before': _score(images.small, start, self.upsampling),
            'rotation_found': None if rotation is None else rotation.angle,
            'rotation_uncertainty': None if rotation is None else finite(rotation.uncertainty),
            'doubtful_angles': [float(angle) for angle in images.angles[doubtful]],
            'unlike_angles': [float(angle) for angle in images.angles[list(unlike)]],
            'source': source,
            'by_hand': list(self.by_hand),
            'axis_by_hand': list(self.axis_by_hand),
            **frame.notes(images, shifts, by_hand, source),
            'seconds': watch.seconds,
            **of_haadf,
        }
        used = rotation if rotation is not None and found.geometry.rotation else None
        n = images.binning
        lit = np.where(doubtful[:, None], 0.0, frame.hidden)
        alone = alignment_findings(images.angles, frame.in_pixels(n), doubtful, used)
        return replace(
            maps,
            shifts=shifts,
            axis_shift=frame.axis.shift,
            axis_rotation=frame.geometry.rotation,
            notes={**maps.notes, 'align': notes},
            findings=(
                *maps.findings,
                *alone,
                *unlike_findings(images.angles, lit * n, frame.errors * n),
                *images.blank_findings(),
                *beside,
            ),
        )

    def _of_all_tilts(self, images: ComparedImages, frame: Frame, by_hand: np.ndarray) -> np.ndarray:
        """Shifts (tilt, 2) in the order of the series; those of tilts without contents as a file has them, or interpolated."""
        shifts = np.zeros((len(images.all_angles), 2))
        shifts[images.order] = frame.shifts
        if images.blank.size:
            known = np.array(by_hand)
            if self.shifts_file:
                known = known + read_shifts(self.shifts_file, images.all_angles).shifts
            moved = images.spread(frame.shifts - known[images.order])
            shifts[images.blank] = (moved + known)[images.blank]
        return shifts

    def _frame(self, images: ComparedImages, found: Refined, as_given: np.ndarray | None) -> Frame:
        """The frame that was found, its axis apart from the shifts, or the shifts ``as_given`` (tilt, 2), binned pixels."""
        n, angles = images.binning, images.angles
        axis = Axis(0.0, float('inf'))
        if as_given is not None:
            shifts = as_given * n
        else:
            shifts = smallest_shifts(found.geometry.shifts * n, angles)
            if self.find_axis:
                axis = tilt_axis_in(shifts, angles, images.shape[1] / 2)
            shifts[:, 1] -= axis.shift * (1 - np.cos(np.deg2rad(angles)))
        comparison = found.comparison
        return Frame(
            shifts,
            axis,
            found.geometry,
            comparison,
            comparison.errors if found.errors is None else found.errors,
            misfit_errors(images.small, angles, comparison.scores),
        )

    def _joined(self, images: ComparedImages, frame: Frame, placement: Placement, axis_shift: float) -> Frame:
        """The frame of a HAADF series whose axis stands ``axis_shift`` pixels off the middle, by both estimates."""
        own, angles = frame.geometry.shifts, images.angles
        together = in_one_frame(own, np.hypot(frame.errors, frame.hidden), placement, angles)
        geometry = replace(frame.geometry, shifts=own + without_rigid_motion(together - own, angles))
        comparison = compared(images.small, predicted(images.small, geometry), self.upsampling, FINE)
        shifts = together * images.binning
        shifts[:, 1] -= axis_shift * (1 - np.cos(np.deg2rad(angles)))
        return Frame(shifts, Axis(axis_shift, float('inf')), geometry, comparison, comparison.errors, frame.hidden)

    def _corrected(self, images: ComparedImages, frame: Frame, by_hand: np.ndarray, imported: bool) -> Frame:
        """The frame with what a hand adds to shifts ``by_hand`` (tilt, 2) and axis; these, and imported ones, are checked."""
        moved, turned_by = axis_correction(self.axis_by_hand)
        n, angles = images.binning, images.angles
        left_in = frame.left_in(n)
        left_in[:, 1] += moved * (1 - np.cos(np.deg2rad(angles)))
        shifts = frame.shifts + by_hand
        axis = replace(frame.axis, shift=frame.axis.shift + moved)
        geometry = replace(frame.geometry, shifts=(shifts + left_in) / n, rotation=frame.geometry.rotation + turned_by)
        check_axis(axis.shift, geometry.rotation, images.shape[1])
        corrected = np.asarray(by_hand.any(axis=1))
        given = np.asarray(corrected | imported)
        check_within_images(shifts[given], angles[given], images.shape)
        comparison = frame.comparison
        if corrected.any() or moved or turned_by:
            comparison = compared(images.small, predicted(images.small, geometry), self.upsampling, FINE)
        # What a hand has placed is as uncertain as the image says there, not as what was found.
        hidden = np.where(corrected[:, None], 0.0, frame.hidden)
        errors = np.where(corrected[:, None], comparison.errors, np.hypot(frame.errors, hidden))
        return Frame(shifts, axis, geometry, comparison, errors, hidden)

    def _placed(self, maps: MapSeries, haadf: HAADFSeries, images: ComparedImages) -> Placement | str:
        """The tilts of the maps on the HAADF series, or why its images cannot be brought onto them."""
        try:
            if images.blank.size:
                return placed(at_tilts(maps, images.order), haadf, self.reference, images.binning, self.upsampling)
            return placed(maps, haadf, self.reference, images.binning, self.upsampling).in_order(images.order)
        except InputError as error:
            return str(error)

    def _starts(
        self, maps: MapSeries, images: ComparedImages, watch: Watch
    ) -> tuple[dict[str, np.ndarray], float, tuple[int, ...]]:
        """Shifts to start from by name, in pixels of the small images; the rotation; tilts that are like no neighbour."""
        order, n = images.order, images.binning
        turned = self.axis_rotation or 0.0
        if self.shifts_file:
            read = read_shifts(self.shifts_file, maps.angles)
            return {'file': read.shifts[order] / n}, turned if self.axis_rotation is not None else read.rotation, ()
        starts = {}
        if maps.shifts is not None and np.any(maps.shifts):
            offsets = np.array(maps.shifts, float)
            offsets[:, 1] += maps.axis_shift * (1 - np.cos(np.deg2rad(maps.angles)))
            starts['shifts as they were'] = offsets[order] / n
        largest = self.max_shift * np.array(images.small.shape[1:])
        votes = voted_shifts(images.small, images.angles, largest, _BANDS, watch)
        for (fine, _), voted in zip(_BANDS, votes, strict=True):
            starts[f'neighbours compared from {fine:g} pixels on'] = voted.shifts
        return starts, turned, votes[0].doubtful

    def _refined(self, images: ComparedImages, start: Refined, watch: Watch) -> tuple[Refined, Rotation | None]:
        done = len(images.angles) - 1
        found = self._matched(images, start.geometry, self.rounds, watch, done, start.prediction)
        if self.axis_rotation is not None or self.shifts_file or self.rounds == 0 or found.stopped:
            return found, None
        # Mass that comes into the field with tilt is taken for a rotation, and what is beyond hides one.
        if not images.within:
            return found, Rotation(0.0, float('inf'))
        rotation = rotation_in(images.small, found.geometry)
        if not rotation.is_clear:
            return found, rotation
        turned = replace(found.geometry, rotation=rotation.angle)
        again = self._matched(images, turned, self.rounds - found.rounds, watch, done + found.rounds)
        return replace(again, rounds=found.rounds + again.rounds), rotation

    def _matched(
        self,
        images: ComparedImages,
        geometry: Geometry,
        rounds: int,
        watch: Watch,
        done: int,
        prediction: Prediction | None = None,
    ) -> Refined:
        found = refined(images.small, geometry, self.upsampling, rounds, watch, done, prediction)
        if not images.within or self.rounds == 0 or found.stopped:
            return found
        return weighed_with_moments(images.small, found, self.upsampling)


def _score(small: np.ndarray, here: Refined, upsampling: int) -> float:
    prediction = here.prediction or predicted(small, here.geometry)
    return compared(small, prediction, upsampling, FINE).score


def _method(start_name: str, found: Refined) -> str:
    matched = ', then matched to what the other tilts predict' if found.rounds else ''
    return f'{start_name}{matched}{"" if found.errors is None else ", weighed with the moments of the images"}'


def _without_second_axis(maps: MapSeries) -> tuple[MapSeries, tuple[Finding, ...]]:
    """Maps without the second series that was joined to an earlier alignment: the specimen lies elsewhere in the new one."""
    if maps.second_axis is None:
        return maps, ()
    sentence = 'The second axis was joined to an earlier alignment and is left out of the new one; join it again.'
    tilts = len(maps.second_axis.angles)
    return first_alone(maps), (Finding('doubt', 'second axis', sentence, {'tilts': tilts}),)
