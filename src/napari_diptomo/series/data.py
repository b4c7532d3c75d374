"""Objects that flow between the stages: small frozen classes around arrays.

Axes are in array order. The tilt axis runs along y, so every image row is one
slice of the volume; z runs along the beam at zero tilt, and a point (x, z)
falls on the detector at x' = x cos t + z sin t. Lengths are in nm, angles in
degrees, shifts in pixels. Values of maps are counts, those of volumes counts
per voxel of path, so that the projection of a volume is in counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from napari_diptomo.series.array_checks import (
    as_float32,
    check_angles,
    check_length,
    check_positive,
    check_shape,
    check_shifts,
    check_variance,
    set_values,
)
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.evidence import Evidence
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.series.recipe import Recipe
from napari_diptomo.series.reinsertion import Reinsertion


class Saveable:
    """An object that `save` writes to a file.

    What flows stands below what reads and writes it, and imports neither. Importing `napari_diptomo.series`, which
    comes with the import of any of its modules, registers the writer here.
    """

    writer: ClassVar[Callable[[Any, Any], Any]]

    def save(self, path: Any) -> Any:
        """Write as ``.hspy`` without loss; see `napari_diptomo.series.save`."""
        return Saveable.writer(self, path)


class HyperSpyView:
    """An object that can be had as a signal of HyperSpy and made of one.

    What makes them is registered as that of `Saveable` is.
    """

    converter: ClassVar[Callable[[Any], Any]]
    reverse: ClassVar[Callable[..., Any]]

    def to_hyperspy(self) -> Any:
        """A HyperSpy signal with calibrated axes; see `napari_diptomo.series.writing.signals`.

        Returns
        -------
        hyperspy.signals.BaseSignal
            Spectra (x, y, tilt | energy), maps (tilt, channel | x, y), or a volume (z, channel | x, y). Arrays are
            shared, lazy counts stay lazy.
        """
        return HyperSpyView.converter(self)

    @classmethod
    def from_hyperspy(cls, signal: Any, **reading: Any) -> Self:
        """The contents of a HyperSpy signal; see `napari_diptomo.series.reading.from_hyperspy`.

        Parameters
        ----------
        signal : hyperspy.signals.BaseSignal
            With the axes that `to_hyperspy` gives it; for a series also a list of them, as of `load_tilt_series`.
        **reading : Any
            As `load_tilt_series` takes them: angles, pixel_size, ...; none for a volume.

        Returns
        -------
        SpectralTiltSeries, MapSeries or Volume
            The class that was asked.

        Raises
        ------
        InputError
            The signal holds something else.
        """
        return HyperSpyView.reverse(cls, signal, **reading)


class Shown:
    """An object that Python and notebooks show; what shows it is registered as the writer of `Saveable` is."""

    summary: ClassVar[Callable[[Any], str]]
    page: ClassVar[Callable[[Any], str]]
    plotter: ClassVar[Callable[..., Any]]
    dataset: ClassVar[Callable[[Any], Any]]

    def __repr__(self) -> str:
        return Shown.summary(self)

    def _repr_html_(self) -> str:
        return Shown.page(self)

    def plot(self, **choices: Any) -> Any:
        """A figure with a scale bar, each channel in its colour; see `napari_diptomo.series.showing.plots`.

        Parameters
        ----------
        **choices : Any
            Of a series: tilt (degrees); of maps: tilt, channels; of a volume: index, axis, channels.

        Returns
        -------
        matplotlib.figure.Figure
            In a notebook the value of its cell; in a script ``matplotlib.pyplot.show()`` shows it.
        """
        return Shown.plotter(self, **choices)

    def to_xarray(self) -> Any:
        """A dataset of xarray with named, calibrated axes; see `napari_diptomo.series.writing.xarray_datasets`.

        Returns
        -------
        xarray.Dataset
            ``counts`` and what belongs to them. Arrays are shared, lazy counts stay lazy.

        Raises
        ------
        InputError
            There is no xarray here.
        """
        return Shown.dataset(self)


@dataclass(frozen=True, eq=False)
class CoreLoss:
    """The core-loss part of an EELS tilt series, at one tilt or more.

    Attributes
    ----------
    counts : dask or numpy array (core tilt, y, x, energy)
        Counts on the pixels of the low loss.
    energy : ndarray (energy,)
        Centres of the energy channels, eV.
    tilts : tuple of int
        The tilts of the series that it was recorded at, ascending; one is enough.
    metadata : mapping
        Of the core loss alone, as far as known: ``title``, ``dwell_time`` (s),
        ``angle_source``, ...

    Raises
    ------
    InputError
        Axes that do not fit each other, or tilts that are not ascending.
    """

    counts: Any
    energy: np.ndarray
    tilts: tuple[int, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_values(self, energy=np.asarray(self.energy, float), tilts=tuple(int(tilt) for tilt in self.tilts))
        if self.counts.ndim != 4:
            raise InputError(
                f'A core loss needs the axes (tilt, y, x, energy), not {self.counts.ndim} axes; '
                'stack its spectrum images along the tilt, one is enough.'
            )
        check_length('tilts named', self.tilts, 'tilts of the core loss', self.counts.shape[0])
        check_length('energies', self.energy, 'channels of the core loss', self.counts.shape[3])
        if not self.tilts or (np.diff(self.tilts) <= 0).any():
            raise InputError(f'The tilts of the core loss must be named once each, ascending, not as {self.tilts}.')

    def check_belongs(self, shape: tuple[int, ...], energy_unit: str) -> None:
        """Refuse what cannot be the core loss of a series.

        Parameters
        ----------
        shape : tuple of int
            Of the low loss, (tilt, y, x).
        energy_unit : {'keV', 'eV'}
            Of the low loss.

        Raises
        ------
        InputError
            X-rays, other pixels, or tilts that the series does not have.
        """
        if energy_unit != 'eV':
            raise InputError('A core loss belongs to EELS, and these spectra are X-rays (keV); open them without it.')
        pixels, others = self.counts.shape[1:3], shape[1:3]
        if pixels != others:
            raise InputError(
                f'The core loss has {pixels[1]} x {pixels[0]} pixels (x, y) where the low loss has '
                f'{others[1]} x {others[0]}; give the core loss that was recorded with it.'
            )
        if self.tilts[0] < 0 or self.tilts[-1] >= shape[0]:
            raise InputError(
                f'The core loss is said to be of the tilts {self.tilts}, and the series has {shape[0]} '
                '(counted from 0); name tilts of the series.'
            )


def _set_numbers(series: Any, name: str, tilts: int) -> None:
    """Whole numbers, one per tilt or none at all."""
    numbers = tuple(int(number) for number in getattr(series, name))
    set_values(series, **{name: numbers})
    if numbers:
        check_length(name, numbers, 'tilts', tilts)


@dataclass(frozen=True, eq=False, repr=False)
class SpectralTiltSeries(HyperSpyView, Shown):
    """A tilt series of spectrum images.

    Attributes
    ----------
    counts : dask or numpy array (tilt, y, x, energy)
        Counts per pixel and energy channel, lazy where the files allow it.
    energy : ndarray (energy,)
        Centres of the energy channels.
    angles : ndarray (tilt,)
        Degrees, ascending.
    pixel_size : float
        nm.
    energy_unit : {'keV', 'eV'}
        keV for EDX, eV for EELS.
    haadf : ndarray (tilt, y, x), optional
        Images recorded with the spectra, on the same pixels.
    metadata : mapping
        Detector and beam as far as known: ``beam_energy`` (kV),
        ``energy_resolution_MnKa`` (eV), ``elevation``, ``azimuth`` (deg), ...
    angle_source : str
        Where the angles were taken from, in words.
    transposed : bool
        True when x and y were swapped on loading to bring the tilt axis along y.
    recipe : Recipe, optional
        How it was made.
    core_loss : CoreLoss, optional
        Of an EELS series: the core loss of one, some or all tilts, ``counts``
        being the low loss.
    findings : tuple of Finding
        What loading noticed.
    evidence : tuple of Evidence
        What each source says of the angles, in the order of the tilts; they agree, or the caller has decided.
    positions : tuple of int
        Where each tilt comes among the files, or in the stack, counted from 0; empty where that is not known.
    recordings : tuple of int
        How many recordings each tilt is the sum of; empty where each is one.
    haadf_series : HAADFSeries, optional
        Images of the same specimen with tilts and pixels of their own; the maps take it over.

    Raises
    ------
    InputError
        Axes that do not fit each other, angles or a pixel size that cannot be.
    """

    counts: Any
    energy: np.ndarray
    angles: np.ndarray
    pixel_size: float
    energy_unit: str = 'keV'
    haadf: np.ndarray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    angle_source: str = ''
    transposed: bool = False
    recipe: Recipe | None = None
    core_loss: CoreLoss | None = None
    findings: tuple[Finding, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    positions: tuple[int, ...] = ()
    recordings: tuple[int, ...] = ()
    haadf_series: HAADFSeries | None = None

    def __post_init__(self) -> None:
        set_values(self, energy=np.asarray(self.energy, float), angles=np.asarray(self.angles, float))
        if self.counts.ndim != 4:
            raise InputError(
                f'A tilt series of spectra needs the axes (tilt, y, x, energy), not {self.counts.ndim} axes; '
                'stack the spectrum images along the tilt.'
            )
        check_length('angles', self.angles, 'tilts', self.counts.shape[0])
        check_angles(self.angles)
        check_length('energies', self.energy, 'channels', self.counts.shape[3])
        for name in ('positions', 'recordings'):
            _set_numbers(self, name, self.counts.shape[0])
        check_positive('pixel size', self.pixel_size)
        if self.haadf is not None:
            set_values(self, haadf=as_float32(self.haadf, 'HAADF images'))
            check_shape('The HAADF images', self.haadf.shape, self.counts.shape[:3])
        if self.core_loss is not None:
            self.core_loss.check_belongs(self.counts.shape[:3], self.energy_unit)


@dataclass(frozen=True, eq=False, repr=False)
class MapSeries(Saveable, HyperSpyView, Shown):
    """A tilt series of maps, one channel per element, line family or state.

    Attributes
    ----------
    data : ndarray (channel, tilt, y, x), float32
        Counts, or what a spectral fit made of them.
    angles : ndarray (tilt,)
        Degrees.
    channels : tuple of str
        Names, e.g. ``('Ge', 'Sb', 'Te')``.
    pixel_size : float
        nm.
    shifts : ndarray (tilt, 2)
        Where the specimen sits in each image relative to the common frame, in
        pixels (y, x): the geometry follows it, the counts are never moved.
    axis_shift : float
        Tilt axis from the middle of the image along x, pixels.
    variance : ndarray like data, optional
        Variance of ``data`` where it is not plain counts.
    held_out : ndarray like data, optional
        The part of ``data`` that comes from a binomial share of the counts, set
        aside before anything else touched them; ``data - held_out`` is fitted,
        ``held_out`` judges the fit.
    held_out_share : float
        The share, 0 when nothing is held out.
    background, mixing, gain : ndarray, optional
        The counting model of windows w: ``gain[w, t] * sum_c mixing[w, c]
        (A_t x_c) + background[w, t, y, x]``. With ``mixing`` the first axis of
        ``data`` is windows and ``channels`` names the columns of ``mixing``.
    residual : ndarray (tilt, y, x), optional
        Deviance of the spectra from what was fitted to them, relative to what
        counting noise makes expect: 1 where the fit explains a pixel.
    haadf : ndarray (tilt, y, x), optional
        Images on the same pixels, for the alignment.
    missing : ndarray of bool like data, optional
        Data that were not measured or cannot be used: they carry no weight in a
        reconstruction. Where it is true ``data``, ``variance``, ``held_out`` and
        ``background`` may be no numbers; they become 0.
    transposed : bool
        True when x and y were swapped on loading.
    notes : mapping
        Results of the steps worth recording (JSON-ready).
    recipe : Recipe, optional
        How it was made.
    findings : tuple of Finding
        What the steps noticed, in the order in which they ran.
    evidence : tuple of Evidence
        Of maps that were opened: what each source says of the angles, in the order of the tilts.
    positions : tuple of int
        Of maps as they were opened: where each tilt comes in the stack, counted from 0.
    axis_rotation : float
        Angle in the image plane from the y axis to the tilt axis, degrees, positive clockwise in images whose rows run
        downwards. The volume has its y along the tilt axis; `axis_shift` is the distance of the axis from the middle.
    haadf_series : HAADFSeries, optional
        Images of the same specimen with tilts and pixels of their own, to be fitted beside the maps.
    second_axis : MapSeries, optional
        Maps of the same specimen and channels tilted about another axis, to be fitted together with these. Their
        ``gain`` holds their dose relative to these.
    reinsertion : Reinsertion, optional
        Of such a second series: how the specimen lies in it, relative to the first.

    Raises
    ------
    InputError
        Shapes that do not fit each other, double names, values that are not finite and not marked as missing.

    Examples
    --------
    >>> from napari_diptomo import MapSeries, simulate
    >>> counts = simulate.tilt_series(simulate.lamella(16), [-40, 0, 40]).maps.data
    >>> maps = MapSeries(counts, angles=[-40, 0, 40], channels=('Ge', 'Sb', 'Te'), pixel_size=1.07)
    >>> maps.data.shape, maps.are_counts
    ((3, 3, 16, 16), True)
    >>> maps.select(('Te', 'Ge')).data.shape
    (2, 3, 16, 16)
    """

    data: np.ndarray
    angles: np.ndarray
    channels: tuple[str, ...]
    pixel_size: float = 1.0
    shifts: np.ndarray | None = None
    axis_shift: float = 0.0
    variance: np.ndarray | None = None
    held_out: np.ndarray | None = None
    held_out_share: float = 0.0
    background: np.ndarray | None = None
    mixing: np.ndarray | None = None
    gain: np.ndarray | None = None
    residual: np.ndarray | None = None
    haadf: np.ndarray | None = None
    missing: np.ndarray | None = None
    transposed: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = field(default_factory=Recipe)
    findings: tuple[Finding, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    positions: tuple[int, ...] = ()
    axis_rotation: float = 0.0
    haadf_series: HAADFSeries | None = None
    second_axis: MapSeries | None = None
    reinsertion: Reinsertion | None = None

    def __post_init__(self) -> None:
        self._check_missing()
        data = as_float32(self.data, 'maps')
        if data.ndim != 4:
            raise InputError(f'Maps need the axes (channel, tilt, y, x), not {data.ndim} axes; stack them so.')
        angles = np.asarray(self.angles, float)
        shifts = np.zeros((len(angles), 2)) if self.shifts is None else np.asarray(self.shifts, float)
        channels = (self.channels,) if isinstance(self.channels, str) else tuple(self.channels)
        set_values(self, data=data, angles=angles, shifts=shifts, channels=channels)
        check_length('angles', angles, 'tilts', data.shape[1])
        _set_numbers(self, 'positions', data.shape[1])
        check_angles(angles)
        check_shape('The shifts', shifts.shape, (len(angles), 2))
        check_shifts(shifts, angles)
        if not np.isfinite(self.axis_shift):
            raise InputError('The position of the tilt axis is not a number; give it in pixels, or run Align.')
        if not abs(self.axis_rotation) <= 45:
            raise InputError(
                f'The tilt axis cannot be turned by {self.axis_rotation:g}°; give an angle within 45° of the y '
                'axis of the images, or swap their axes.'
            )
        check_positive('pixel size', self.pixel_size)
        if len(set(self.channels)) != len(self.channels):
            raise InputError(f'Channel names must differ, not {", ".join(self.channels)}; rename the double one.')
        if self.mixing is None:
            check_length('channel names', self.channels, 'channels', data.shape[0])
        else:
            set_values(self, mixing=np.asarray(self.mixing, np.float32))
            check_shape('The mixing matrix', self.mixing.shape, (data.shape[0], len(self.channels)))
        for name in ('variance', 'held_out', 'background'):
            value = getattr(self, name)
            if value is not None:
                set_values(self, **{name: as_float32(value, name)})
                check_shape(f'{name}', np.shape(value), data.shape)
        if self.variance is not None:
            check_variance(self.variance, self.missing)
        if (self.held_out is None) != (self.held_out_share == 0):
            raise InputError('Held-out maps and their share of the counts belong together; give both or neither.')
        if self.gain is not None:
            set_values(self, gain=np.asarray(self.gain, np.float32))
            check_shape('The gain', self.gain.shape, data.shape[:2])
            if not (np.isfinite(self.gain).all() and (self.gain > 0).all()):
                raise InputError('The gain of every map must be a positive number; correct it, or leave it out.')
        for name, what in (('haadf', 'HAADF images'), ('residual', 'residuals')):
            images = getattr(self, name)
            if images is not None:
                set_values(self, **{name: as_float32(images, what)})
                check_shape(f'The {what}', np.shape(images), data.shape[1:])
        # That channels and noise agree is asked before a fit: views of the first series take it as it is.
        if self.second_axis is not None and self.second_axis.reinsertion is None:
            raise InputError(
                'It is not known how the specimen lies in the maps of the second axis; join them with SecondAxis.'
            )

    def _check_missing(self) -> None:
        """Zeros where data are missing; at least one pixel of every tilt has to be there."""
        if self.missing is None:
            return
        missing = np.asarray(self.missing, bool)
        check_shape('The mask of missing data', missing.shape, np.shape(self.data))
        empty = np.flatnonzero(missing.all(axis=(0, 2, 3)))
        if empty.size:
            raise InputError(
                f'All data at {np.asarray(self.angles, float)[empty[0]]:g}° are missing; leave this tilt out.'
            )
        for name in ('data', 'variance', 'held_out', 'background'):
            value = getattr(self, name)
            if value is not None:
                check_shape(f'{name}', np.shape(value), missing.shape)
                set_values(self, **{name: np.where(missing & ~np.isfinite(value), 0, value)})
        set_values(self, missing=missing if missing.any() else None)

    @property
    def are_counts(self) -> bool:
        """Whether ``data`` are whole, non-negative counts, so that Poisson statistics hold."""
        if self.variance is not None:
            return False
        return bool((self.data >= 0).all() and (self.data == np.round(self.data)).all())

    def select(self, channels: tuple[str, ...]) -> MapSeries:
        """The same series with these channels only, in this order.

        Parameters
        ----------
        channels : tuple of str
            Names, some of ``self.channels``.

        Returns
        -------
        MapSeries
            ``data`` and what goes with it: (channel, tilt, y, x) of these channels.

        Raises
        ------
        InputError
            There is no such channel, or ``data`` are windows.
        """
        missing = [c for c in channels if c not in self.channels]
        if missing:
            raise InputError(f'There is no channel {missing[0]}; choose among {", ".join(self.channels)}.')
        if self.mixing is not None:
            raise InputError('Channels of a mixed series cannot be taken apart; choose the elements before the maps.')
        index = [self.channels.index(c) for c in channels]
        parts = {
            name: getattr(self, name)[index]
            for name in ('data', 'variance', 'held_out', 'background', 'gain', 'missing')
            if getattr(self, name) is not None
        }
        second = None if self.second_axis is None else self.second_axis.select(channels)
        return replace(self, channels=tuple(channels), second_axis=second, **parts)

    def unmixed(self) -> MapSeries:
        """Maps of the channels where ``data`` are windows, the series itself where they are not.

        For visualisation, alignment and comparison; a reconstruction takes the windows.

        Returns
        -------
        MapSeries
            Counts of whole families (channel, tilt, y, x) with their variance:
            weighted least squares at every pixel, background and gain taken
            into account, held-out part likewise; see `napari_diptomo.series.window_unmixing`.

        Raises
        ------
        InputError
            The windows do not separate the channels.
        """
        from napari_diptomo.series.window_unmixing import unmixed_windows

        if self.mixing is None:
            return self
        if np.linalg.matrix_rank(self.mixing) < len(self.channels):
            raise InputError(
                f'{len(self.data)} windows with this mixing do not separate {", ".join(self.channels)}; '
                'give more windows, or leave an element out.'
            )
        found = unmixed_windows(
            self.data,
            self.mixing,
            background=self.background,
            gain=self.gain,
            variance=self.variance,
            held_out=self.held_out,
            held_out_share=self.held_out_share,
        )
        # A pixel that one window lacks is missing in every channel.
        missing = None if self.missing is None else np.broadcast_to(self.missing.any(axis=0), found.data.shape)
        parts: dict[str, Any] = {'variance': found.variance, 'held_out': found.held_out, 'missing': missing}
        parts['second_axis'] = None if self.second_axis is None else self.second_axis.unmixed()
        return replace(self, data=found.data, mixing=None, background=None, gain=None, **parts)


@dataclass(frozen=True, eq=False, repr=False)
class Volume(Saveable, HyperSpyView, Shown):
    """A reconstructed chemical volume.

    Attributes
    ----------
    data : ndarray (channel, z, y, x), float32
        Counts per voxel of path.
    channels : tuple of str
        Names.
    voxel_size : float
        nm.
    std : ndarray like data, optional
        Spread of an ensemble.
    scores : mapping of str to list of float
        Curves over the iterations: ``iteration``, the loss terms, ``validation``.
    notes : mapping
        What the reconstruction wants to be known by: the stopping rule and its
        reason, device, seconds, tilt range, ... (JSON-ready).
    transposed : bool
        True when x and y were swapped on loading; `save` and the layers swap back.
    recipe : Recipe, optional
        How it was made.
    findings : tuple of Finding
        What the steps noticed, in the order in which they ran.

    Raises
    ------
    InputError
        Shapes that do not fit each other, or values that are not finite.

    Examples
    --------
    >>> from napari_diptomo import Volume, simulate
    >>> volume = Volume(simulate.lamella(16).truth.data, channels=('Ge', 'Sb', 'Te'), voxel_size=2.0)
    >>> volume.data.shape
    (3, 16, 16, 16)
    >>> [path.name for path in volume.save('lamella.mrc')]
    ['lamella_Ge.mrc', 'lamella_Sb.mrc', 'lamella_Te.mrc']
    """

    data: np.ndarray
    channels: tuple[str, ...]
    voxel_size: float = 1.0
    std: np.ndarray | None = None
    scores: Mapping[str, list[float]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    transposed: bool = False
    recipe: Recipe | None = field(default_factory=Recipe)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        data = as_float32(self.data, 'volume')
        if data.ndim != 4:
            raise InputError(f'A volume needs the axes (channel, z, y, x), not {data.ndim} axes.')
        set_values(self, data=data, channels=tuple(self.channels))
        check_length('channel names', self.channels, 'channels', data.shape[0])
        check_positive('voxel size', self.voxel_size)
        if self.std is not None:
            set_values(self, std=as_float32(self.std, 'spread'))
            check_shape('The spread', self.std.shape, data.shape)
