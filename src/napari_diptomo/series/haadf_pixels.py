r"""Pixels of HAADF images that say nothing of the specimen, found on the images as recorded, as missing ones.

Images without contents (constant, without a number, saturated throughout) are left out. What is the same in every image, and
not merely the black that a detector ends at, is burnt-in text. A value v is a spike where it stands out of the median of the
3 x 3 pixels around it by a quarter of the range of its image and by more than `_SIGMAS` standard deviations of such differences
at that level, and where of its neighbours n_1 >= n_2 >= ... >= n_8

    v - n_6 > _LONE (n_1 - n_6)     or     v - n_6 > _PAIR (n_2 - n_6).

A particle two pixels across has a quarter of its contrast in several neighbours. Dead pixels likewise with the opposite sign.
Values at the end of the range of the detector that pile up there are saturated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy import ndimage

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.haadf import FEWEST, HAADFSeries
from napari_diptomo.series.tilts import angles_in_words

#: Note of a series whose pixels were judged: it is done once, on the images as recorded.
JUDGED = 'pixels judged'
#: Share of the pixels that may be saturated or static.
_FEW = 0.2
#: Share of the numbers of an image, and that of those not saturated, that differ from its most frequent value where it has contents.
_CONTENTS, _NOT_SATURATED, _LEAST_PIXELS = 1e-4, 0.05, 3
#: Share of pixels with a number below which an image has none to speak of.
_NUMBERS = 0.01
#: Static pixels are more than so many times as many as would be alike by chance.
_BY_CHANCE = 3.0
#: Standard deviations of a spike, and how many times the contrast of its strongest neighbour, and of the second of them.
_SIGMAS, _LONE, _PAIR = 10.0, 5.0, 20.0
#: Which of the eight neighbours, from the one that is furthest from a spike, has the background.
_BACKGROUND = 2
#: Part of the range of its image by which a spike stands out: weaker ones do no harm.
_RANGE = 0.25
#: Spikes beside spikes are found once these are known.
_PASSES = 3
#: Levels of an image whose scatter is measured apart, and pixels that are looked at for it.
_CLASSES, _SAMPLE = 16, 100_000
#: Share of the pixels beyond which what stands out singly is how these images are, and no fault.
_NO_FAULT = 0.005
#: Saturated values: share of the pixels, of each image so many, and times as many as have the value below.
_SATURATED, _IN_EACH, _PILED_UP = 1e-4, 3, 2


def usable_pixels(series: HAADFSeries) -> tuple[HAADFSeries, tuple[Finding, ...]]:
    """A HAADF series whose pixels that say nothing of the specimen are missing, and what was noticed.

    Parameters
    ----------
    series : HAADFSeries
        As recorded; of one that was judged before nothing is said again.

    Returns
    -------
    HAADFSeries
        Saturated pixels, single spikes and dead pixels, and those that are the same in every image (burnt-in text) are
        missing; the median of those around it stands in for a spike, so that no range is disturbed. Images without contents
        are left out.
    tuple of Finding
        One for each kind of them.

    Raises
    ------
    InputError
        Because of images without contents fewer than three are left.

    Notes
    -----
    What is black in every image (a detector that ends at its dark level, beside a particle) is usable. Spots two pixels and
    more across are never spikes; a particle of one single pixel looks like one.
    """
    if series.notes.get(JUDGED):
        return series, ()
    series, noticed = with_contents(series)
    findings = list(noticed)
    images, missing = series.images, _missing_of(series)
    missing, static = _static(images, missing)
    # What stands in for a spike disturbs no range and no mean; the brightest of all would hide where a detector ends.
    images, missing, spikes = _spikes(images, missing)
    missing, saturated = _saturated(images, missing)
    findings += [*static, *spikes, *saturated]
    series = replace(series, images=images, missing=missing)
    return replace(series, notes={**series.notes, JUDGED: True}), tuple(findings)


def _missing_of(series: HAADFSeries) -> np.ndarray:
    return np.zeros(series.images.shape, bool) if series.missing is None else series.missing.copy()


def with_contents(series: HAADFSeries) -> tuple[HAADFSeries, tuple[Finding, ...]]:
    """A HAADF series without images that hold nothing, and a finding where there are any.

    Parameters
    ----------
    series : HAADFSeries

    Returns
    -------
    HAADFSeries
    tuple of Finding

    Raises
    ------
    InputError
        Fewer than three are left.
    """
    blank = blank_images(series.images, _missing_of(series))
    if not blank.any():
        return series, ()
    several = blank.sum() > 1
    which = f'{"All" if blank.all() else "The"} image{"s" if several else ""} of the HAADF series'
    sentence = (
        f'{which} at {angles_in_words(series.angles[blank], 6)} {"hold" if several else "holds"} nothing (constant, saturated or '
        'without a number)'
    )
    if (~blank).sum() < FEWEST:
        raise InputError(
            f'{sentence}, which leaves {(~blank).sum()}; give three or more that show the specimen, or leave the series out.'
        )
    sentence = f'{sentence}: {"they were" if several else "it was"} left out.'
    return series.at(~blank), (_note('left out', sentence, float(blank.sum())),)


def blank_images(images: np.ndarray, missing: np.ndarray | None = None) -> np.ndarray:
    """Images without contents: constant but for burnt-in text, saturated, or without a number.

    Parameters
    ----------
    images : ndarray (tilt, y, x)
    missing : ndarray of bool (tilt, y, x), optional

    Returns
    -------
    ndarray of bool (tilt,)
    """
    gone = np.zeros(images.shape, bool) if missing is None else missing
    top = np.max(images, where=~gone, initial=-np.inf)
    blank = _blank(images, gone, top)
    if 0 < blank.sum() < len(blank):
        # The text in an image without contents is the same as in all others.
        text = _text(images[~blank], gone[~blank])
        blank |= _blank(images, gone | text, top)
    return blank


def _blank(images: np.ndarray, missing: np.ndarray, top: float) -> np.ndarray:
    """Images (tilt,) with hardly any number, or with one value for all of them."""
    found = []
    for image, gone in zip(images, missing, strict=True):
        values = image[~gone]
        if values.size < max(_NUMBERS * image.size, 1):
            found.append(True)
            continue
        typical = np.quantile(values, 0.5, method='nearest')
        differing = np.count_nonzero(values != typical)
        share = _NOT_SATURATED if typical == top else _CONTENTS
        found.append(bool(differing <= max(share * values.size, min(_LEAST_PIXELS, values.size // 10))))
    return np.array(found)


def _static(images: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, list[Finding]]:
    text = _text(images, missing)
    share = float(text.mean())
    if not 0 < share < _FEW:
        return missing, []
    sentence = f'{_percent(share)} of the HAADF pixels show the same at every tilt, as text does; they carry no weight.'
    return missing | ndimage.binary_dilation(text, np.ones((3, 3))), [_note('static', sentence, share)]


def _text(images: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Pixels (y, x) of burnt-in text, with the strip that it may stand in."""
    nothing = np.zeros(images.shape[1:], bool)
    if len(images) < FEWEST or missing.all():
        return nothing
    static = (np.ptp(images, axis=0) == 0) & ~missing.any(axis=0)
    black = static & (images[0] == np.min(images, where=~missing, initial=np.inf))
    text = static & ~black
    top = np.max(images, where=~missing, initial=-np.inf)
    if np.count_nonzero((images == top) & ~missing & ~static) > _IN_EACH * len(images):
        # A thick place may be saturated at every tilt.
        text &= images[0] != top
    # Few tilts, or coarse steps of intensity: pixels may be alike by chance.
    alike = np.mean([(image == other)[~black].mean() for image, other in pairwise(images)])
    if text.sum() <= _BY_CHANCE * (~black).sum() * (alike - text.sum() / max((~black).sum(), 1)) ** (len(images) - 1):
        return nothing
    strips = text | _strips(static, text) | _strips(static.T, text.T).T
    return strips if strips.mean() < _FEW else text


def _strips(static: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Whole rows that text stands in and no image does: those beside them are images from end to end."""
    rows, number = ndimage.label(static.all(axis=1))
    found = np.zeros_like(static)
    for n in range(1, number + 1):
        inside = np.flatnonzero(rows == n)
        beside = [row for row in (inside[0] - 1, inside[-1] + 1) if 0 <= row < len(static)]
        if text[inside].any() and beside and static[beside].mean() < 0.5:
            found[inside] = True
    return found


def _spikes(images: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[Finding]]:
    if min(images.shape[1:]) < 3:
        return images, missing, []
    found = [_spikes_of(image, gone) for image, gone in zip(images, missing, strict=True)]
    spikes = np.stack([one for one, _ in found])
    number, share = int(spikes.sum()), float(spikes.mean())
    if not number:
        return images, missing, []
    if share > _NO_FAULT:
        sentence = (
            f'{_percent(share)} of the HAADF pixels stand out singly of all around them, more than faults of a detector do; they '
            'are fitted as they are. Look at the images.'
        )
        return images, missing, [Finding('doubt', 'HAADF series', sentence, {'spikes': share})]
    what = '1 pixel' if number == 1 else f'{number} pixels'
    sentence = (
        f'{what} of the HAADF series ({_percent(share)}) stand{"s" if number == 1 else ""} out singly of all around, as hot and '
        f'dead pixels do; {"it carries" if number == 1 else "they carry"} no weight.'
    )
    images = images.copy()
    images[spikes] = np.concatenate([values for _, values in found])
    return images, missing | spikes, [_note('spikes', sentence, share)]


def _spikes_of(image: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and dead pixels (y, x) of one image, and what is around each of them (spike,)."""
    found = np.zeros(image.shape, bool)
    if missing.all():
        return found, image[found]
    left = np.where(missing, np.median(image[~missing]), image)
    least = _RANGE * _range(image[~missing])
    for _ in range(_PASSES):
        new, stand_ins = [], []
        for sign in (1, -1):
            y, x = np.nonzero(_standing_out(sign * left, (1 - 1 / _LONE) * least) & ~missing & ~found)
            if y.size:
                middle, lone = _lone(left, y, x, sign, least)
                new.append((y[lone], x[lone]))
                stand_ins.append(middle[lone])
        if not any(y.size for y, _ in new):
            break
        for place, middle in zip(new, stand_ins, strict=True):
            found[place], left[place] = True, middle
    return found, left[found]


def _range(values: np.ndarray) -> float:
    """Range of the values of an image less the black that a detector ends at, as robust as `in_unit_range` needs it."""
    values = values[:: max(values.size // _SAMPLE, 1)]
    lowest = values.min()
    contents = values[values > lowest]
    return float(np.quantile(contents, 0.995) - lowest) if contents.size else 0.0


def _standing_out(image: np.ndarray, least: float) -> np.ndarray:
    """Pixels (y, x) that exceed all but one of the eight around them by so much: a quick sieve."""
    first = np.full(image.shape, -np.inf, image.dtype)
    second = first.copy()
    for near in _around(image):
        np.maximum(second, np.minimum(first, near), out=second)
        np.maximum(first, near, out=first)
    return image - second > least


def _around(image: np.ndarray) -> Iterator[np.ndarray]:
    """The eight pixels around each, one after the other; beyond the border the row within."""
    padded = np.pad(image, 1, mode='reflect')
    rows, columns = image.shape
    for dy, dx in np.ndindex(3, 3):
        if (dy, dx) != (1, 1):
            yield padded[dy : dy + rows, dx : dx + columns]


def _lone(image: np.ndarray, y: np.ndarray, x: np.ndarray, sign: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Median of the 3 x 3 pixels around pixels (y, x), and which of these are spikes towards a sign."""
    nine = _nine(image, y, x)
    middle = np.median(nine, axis=0)
    ring = np.sort(sign * np.delete(nine, 4, axis=0), axis=0)
    # Where a particle fills most of the pixels around, their median is no background.
    first, second, own = (values - ring[_BACKGROUND] for values in (ring[-1], ring[-2], sign * nine[4]))
    rows, columns = image.shape
    # What the border cuts off of a particle may be two pixels.
    within = (y > 0) & (y < rows - 1) & (x > 0) & (x < columns - 1)
    lone = (own > _LONE * first) | (within & (own > _PAIR * second))
    return middle, lone & (sign * (nine[4] - middle) > np.maximum(_SIGMAS * _scatter(image, middle), least))


def _nine(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    padded = np.pad(image, 1, mode='reflect')
    return np.stack([padded[y + dy, x + dx] for dy, dx in np.ndindex(3, 3)])


def _scatter(image: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Standard deviation of pixels about the median around them at some levels, from quantiles that spikes do not move."""
    some = np.arange(0, image.size, max(image.size // _SAMPLE, 1))
    nine = _nine(image, *np.unravel_index(some, image.shape))
    levels = np.median(nine, axis=0)
    off = nine[4] - levels
    classes = [one for one in np.array_split(np.argsort(levels, kind='stable'), _CLASSES) if one.size]
    centres = np.array([np.median(levels[one]) for one in classes])
    widths = np.array([np.ptp(np.quantile(off[one], (0.16, 0.84))) / 2 for one in classes])
    # Beyond the end of a detector's range nothing is seen of the noise: as much as where least of it is.
    seen = np.array([(off[one] != 0).mean() > 0.5 for one in classes])
    widths[~seen] = widths[seen].min(initial=widths.max())
    steps = np.diff(np.unique(nine[4]))
    found = np.interp(level, centres, np.maximum(widths, steps.min() / 2 if steps.size else 0.0))
    brightest, darkest = centres[-1], centres[0]
    if brightest > darkest:
        # Brighter pixels than these are too few to measure: their noise grows as that of counts.
        found *= np.sqrt(np.maximum((level - darkest) / (brightest - darkest), 1.0))
    return np.asarray(found)


def _saturated(images: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, list[Finding]]:
    top = np.max(images, where=~missing, initial=-np.inf)
    at_top = (images == top) & ~missing
    number, share = int(at_top.sum()), float(at_top.mean())
    if share <= _SATURATED or number <= _IN_EACH * len(images):
        return missing, []
    below = np.max(images, where=~missing & (images < top), initial=-np.inf)
    # The few brightest of whole numbers are the end of a distribution, not of a range.
    if number <= _PILED_UP * np.count_nonzero((images == below) & ~missing):
        return missing, []
    if share >= _FEW:
        sentence = f'{_percent(share)} of the HAADF pixels are saturated; record them with less gain.'
        return missing, [Finding('doubt', 'HAADF series', sentence, {'saturated': share})]
    sentence = f'{_percent(share)} of the HAADF pixels are saturated; they carry no weight.'
    return missing | ndimage.binary_dilation(at_top, np.ones((1, 3, 3))), [_note('saturated', sentence, share)]


def _note(what: str, sentence: str, number: float) -> Finding:
    return Finding('note', 'HAADF series', sentence, {what: number})


def _percent(share: float) -> str:
    return f'{100 * share:.2g} %'
