"""Opening a tilt series, saved volumes or the sample, as work for a thread.

HyperSpy is imported when it is called. The names of the inner functions are what napari shows when the window is
closed while they run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_diptomo.series import DiptomoError, MapSeries, Observer, Recipe, Source, SpectralTiltSeries, Volume, Watch
from napari_diptomo.series.tilts import groups_in_use, in_use

if TYPE_CHECKING:
    from napari_diptomo.spectra.edx.element_search import FoundElement

#: From here on electrons have lost energy for certain, eV.
_LOST = 5.0


#: Titles of the tasks that open saved volumes, and simulate the sample.
VOLUMES, SAMPLE = 'Volume', 'Sample'


@dataclass(frozen=True, eq=False)
class Opened:
    """A tilt series with what the dock shows of it.

    Attributes
    ----------
    data : SpectralTiltSeries or MapSeries
        As opened.
    image : ndarray (tilt, y, x), float32
        All counts of every pixel, of low losses those that lost energy; of ready maps the sum of the channels.
    spectrum : ndarray (energy,), optional
        Sum over everything; None for ready maps.
    found : tuple of FoundElement
        Elements that the spectra seem to hold, the most significant first.
    doubt : str
        Why none can be found, one sentence.
    source : Source, optional
        What it was opened from, tilts out of use among it.
    whole : Opened, optional
        With all tilts that could be read, where ``data`` are some of them.
    """

    data: SpectralTiltSeries | MapSeries
    image: np.ndarray
    spectrum: np.ndarray | None = None
    found: tuple[FoundElement, ...] = ()
    doubt: str = ''
    source: Source | None = None
    whole: Opened | None = None

    def in_use(self, unused: Sequence[int], repeated: str) -> Opened:
        """The same without some tilts; files are not read again.

        Parameters
        ----------
        unused : sequence of int
            As in `Source.unused`.
        repeated : {'keep', 'sum', 'first'}
            As in `Source.repeated`.

        Returns
        -------
        Opened
            ``whole`` is this one. Elements are those that all tilts seem to hold.

        Raises
        ------
        InputError
            No tilt is left, or recordings that cannot be summed.
        """
        groups = groups_in_use(self.data, unused, repeated)
        all_tilts = groups == tuple((tilt,) for tilt in range(len(self.data.angles)))
        data = in_use(self.data if all_tilts else self._with_its_recipe(), unused, repeated)
        image = np.stack([self.image[list(group)].sum(axis=0) for group in groups])
        spectrum = self.spectrum
        if isinstance(self.data, SpectralTiltSeries) and isinstance(data, SpectralTiltSeries) and data is not self.data:
            from napari_diptomo.spectra.common.tilt_counts import share_counts

            spectrum = share_counts(self.data, data, groups).read().sum(axis=0)
        return replace(self, data=data, image=image, spectrum=spectrum, whole=self)

    def _with_its_recipe(self) -> SpectralTiltSeries | MapSeries:
        """The series with a recipe in whose source tilts can be left out: that of the files that were opened.

        Maps that were saved carry the recipe of how they were made, which says nothing of their own file.
        """
        recipe = self.data.recipe
        if recipe is None or not (recipe.source.paths or recipe.steps):
            return self.data
        if self.source is None:
            return self.data if self.data.positions else replace(self.data, recipe=None)
        if recipe.steps or recipe.source.paths != self.source.paths:
            return replace(self.data, recipe=Recipe(self.source))
        return self.data


def opening(source: Source) -> Callable[[Observer], Opened]:
    """Open the files, count them up, look for elements.

    All tilts are read where they can be, those out of use too: a tick brings them back then.
    """

    def open_tilt_series(observer: Observer) -> Opened:
        from napari_diptomo.jobs.reading import open_isolated

        def read(asked: Source) -> Opened:
            return replace(look_over(open_isolated(asked, observer), observer), source=source)

        every = source.model_copy(update={'unused': (), 'repeated': 'keep'})
        try:
            whole = read(every)
        except DiptomoError:
            if not source.unused:
                raise
            # What is wrong may be with the tilts that are out of use.
            whole = read(every.model_copy(update={'unused': source.unused}))
        return whole.in_use(source.unused, source.repeated)

    return open_tilt_series


def opening_files(source: Source) -> Callable[[Observer], Opened | tuple[tuple[str, Volume], ...]]:
    """Open the files as a tilt series, or as volumes where all of them are saved volumes: each with its path."""

    def open_files(observer: Observer) -> Opened | tuple[tuple[str, Volume], ...]:
        from napari_diptomo.jobs.reading import saved_kind_isolated

        own = source.paths if all(path.lower().endswith('.hspy') for path in source.paths) else ()
        if own and all(saved_kind_isolated(path) == 'volume' for path in own):
            return opening_volumes(own)(observer)
        return opening(source)(observer)

    return open_files


def opening_volumes(paths: Sequence[str]) -> Callable[[Observer], tuple[tuple[str, Volume], ...]]:
    """Open saved volumes and OME-Zarr: each with its path."""

    def open_volumes(observer: Observer) -> tuple[tuple[str, Volume], ...]:
        from napari_diptomo.jobs.reading import load_isolated

        watch = Watch(observer, VOLUMES, len(paths))
        volumes: list[tuple[str, Volume]] = []
        for number, path in enumerate(paths, start=1):
            loaded = load_isolated(path)
            assert isinstance(loaded, Volume)
            volumes.append((path, loaded))
            watch.step(number, message=path)
        return tuple(volumes)

    return open_volumes


def sample() -> Callable[[Observer], Opened]:
    """Simulate the sample: a Ge-Sb-Te lamella."""

    def simulate_sample(observer: Observer) -> Opened:
        from napari_diptomo.simulate import demo_series

        Watch(observer, SAMPLE, 1).step(0, message='simulating spectra')
        return look_over(demo_series().series, observer)

    return simulate_sample


def look_over(data: SpectralTiltSeries | MapSeries, observer: Observer | None = None) -> Opened:
    """Read all counts once, tilt by tilt; the fit of the maps finds them in memory."""
    if isinstance(data, MapSeries):
        return Opened(data, data.data.sum(0))
    from napari_diptomo.spectra.common.tilt_counts import counts_of
    from napari_diptomo.spectra.edx.lines import atomic_numbers

    counts = counts_of(data)
    if data.energy_unit == 'keV':
        # The table of lines takes a second to import, and the files are read in another process meanwhile.
        threading.Thread(target=atomic_numbers, name='diptomo-lines', daemon=True).start()
    watch = Watch(observer, 'Counts', len(data.angles))
    image = np.zeros(data.counts.shape[:3], np.float32)
    spectrum = np.zeros(data.counts.shape[3])
    shown = _shown_channels(data)
    for tilt, angle in enumerate(data.angles):
        spectra = counts.tilt(tilt)
        image[tilt] = spectra[:, shown].sum(axis=1).reshape(image.shape[1:])
        spectrum += np.asarray(spectra.sum(axis=0)).ravel()
        watch.step(tilt + 1, message=f'tilt {angle:g}°')
    found, doubt = _found(data, observer)
    return Opened(data, image, spectrum, found, doubt)


def _shown_channels(series: SpectralTiltSeries) -> slice:
    """Channels whose sum shows the specimen: the zero loss of low losses hides it."""
    low = series.energy_unit == 'eV' and series.energy[0] < 0 < _LOST < series.energy[-1]
    return slice(int(np.searchsorted(series.energy, _LOST)) if low else 0, None)


def _found(series: SpectralTiltSeries, observer: Observer | None) -> tuple[tuple[FoundElement, ...], str]:
    if series.energy_unit == 'eV':
        return (), ''
    from napari_diptomo.spectra import rank_elements

    try:
        return rank_elements(series, observer), ''
    except DiptomoError as error:
        # A series without an energy scale can still be looked at.
        return (), str(error)
