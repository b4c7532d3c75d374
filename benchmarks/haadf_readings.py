"""HAADF series that are right, imperfect or read wrongly: which are taken, and what is said of the others.

Seven specimens of 32 voxels, with maps at ±40° in steps of 5° of 30 and 5 counts at the peak, and HAADF series of ±70° as
realistic as on [the page on fits](haadf-fit.md): 14 pairs of each kind. Nothing is fitted: it is looked at beforehand whether the
images show what the maps show, and whether another reading of the series would agree better. *Named* counts the pairs that
are left out with a sentence that says what was done to the series. Some specimens look nearly alike from both
sides, turned by half a turn, or at tilts nearby (the needle); reading them wrongly does little harm there, and the counts
held out from the fit have the last word.

Writes `results/haadf-readings.json` and `docs/haadf-readings.md`; `--kinds` chooses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from _cases import sample
from haadf_fit import NAMES, PEAKS, SIZE, SPECIMENS, WIDE, _images, _mixed, _other
from napari_diptomo.reconstruct.haadf_data import prepare_haadf
from napari_diptomo.series import InputError
from napari_diptomo.series.haadf import HAADFSeries
from napari_diptomo.simulate.haadf import REALISTIC

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'haadf-readings.json'
DOCS = HERE.parent / 'docs' / 'haadf-readings.md'
#: Lamella 13 is as lamella 12.
CHOSEN = tuple(name for name in NAMES if name != 'lamella 13')
Change = Callable[[HAADFSeries, str], HAADFSeries]


def _at(angles: np.ndarray) -> Change:
    """Images at other tilts."""

    def change(_: HAADFSeries, name: str) -> HAADFSeries:
        return HAADFSeries(_images(name, REALISTIC, 0, angles).images, angles)

    return change


def _lost(where: Any) -> Change:
    """Pixels missing."""

    def change(series: HAADFSeries, _: str) -> HAADFSeries:
        missing = np.zeros(series.images.shape, bool)
        missing[where] = True
        return replace(series, missing=missing)

    return change


def _displaced(series: HAADFSeries, _: str) -> HAADFSeries:
    """By known shifts of several pixels."""
    moves = np.random.default_rng(0).normal(0, 4, (len(series.angles), 2))
    images = [ndimage.shift(i, m, order=1, mode='nearest') for i, m in zip(series.images, moves, strict=True)]
    return replace(series, images=np.stack(images), shifts=moves)


def _turned(degrees: float) -> Change:
    return lambda s, _: replace(
        s, images=ndimage.rotate(s.images, degrees, (1, 2), reshape=False, order=1, mode='nearest')
    )


#: By what was done to the series; with the words of the sentence that says so, none for those that are to be taken.
KINDS: dict[str, tuple[Change, str]] = {
    'as recorded': (lambda s, _: s, ''),
    'tilts between those of the maps': (_at(np.arange(-68, 69, 5.0)), ''),
    'tilts in steps of 10°, between': (_at(np.arange(-67.5, 68, 10.0)), ''),
    'tilts from -70° to 45°': (_at(np.arange(-70, 46, 5.0)), ''),
    'four columns missing': (_lost(np.s_[:, :, 5:9]), ''),
    'a corner missing': (_lost(np.s_[:, :12, :12]), ''),
    'one image without contents': (_lost(np.s_[14]), ''),
    'displaced by known shifts of 4 pixels rms': (_displaced, ''),
    'tilts reversed': (lambda s, _: replace(s, angles=-s.angles), 'sign of its tilts'),
    'x reversed': (lambda s, _: replace(s, images=s.images[:, :, ::-1]), 'its x axis'),
    'y reversed': (lambda s, _: replace(s, images=s.images[:, ::-1]), 'its y axis'),
    'turned by 180°': (lambda s, _: replace(s, images=s.images[:, ::-1, ::-1]), 'turned by 180°'),
    'turned by 90°': (lambda s, _: replace(s, images=s.images.swapaxes(1, 2)[:, ::-1]), 'turned by 90° to the right'),
    'turned by 5°': (_turned(5), 'turned by'),
    'x and y swapped': (lambda s, _: replace(s, images=s.images.swapaxes(1, 2)), 'swapped'),
    'angles 10° too high': (lambda s, _: replace(s, angles=s.angles + 10), 'lower'),
    'angles 5° too low': (lambda s, _: replace(s, angles=s.angles - 5), 'higher'),
    'angles 1.15 times as high': (lambda s, _: replace(s, angles=1.15 * s.angles), 'angles'),
    'pixel size a tenth too small': (lambda s, _: replace(s, pixel_size=0.9), 'times as large'),
    'pixel size a fourth too large': (lambda s, _: replace(s, pixel_size=1.25), 'times as large'),
    'pixel size twice as large': (lambda s, _: replace(s, pixel_size=2.0), 'times as large'),
    'pixel size ten times as large': (lambda s, _: replace(s, pixel_size=10.0), 'pixel size'),
    'pixel size a tenth': (lambda s, _: replace(s, pixel_size=0.1), 'pixel size'),
    'tilts mixed up': (lambda _, name: _mixed(name, 0), 'other tilts'),
    'bright field': (lambda s, _: replace(s, images=s.images.max() - s.images), 'darker where'),
    'another specimen': (lambda _, name: _other(name, 0), 'of this specimen'),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kinds', nargs='*', default=list(KINDS), choices=list(KINDS))
    found = dict(json.loads(RESULTS.read_text(encoding='utf-8'))) if RESULTS.exists() else {}
    for kind in parser.parse_args().kinds:
        said = {f'{name} | {peak}': _said(kind, name, peak) for peak in PEAKS for name in CHOSEN}
        found[kind] = {
            'taken': sorted(key for key, sentence in said.items() if not sentence),
            'named': sum(bool(sentence) and KINDS[kind][1] in sentence for sentence in said.values()),
            'of': len(said),
            'said': said,
        }
        print(kind, len(found[kind]['taken']), found[kind]['named'], flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
    write(found)


def _said(kind: str, name: str, peak: int) -> str:
    """Why a series is left out, empty where it is taken."""
    maps = sample(SPECIMENS[name], SIZE, peak, 0).maps
    series = KINDS[kind][0](HAADFSeries(_images(name, REALISTIC, 0).images, WIDE), name)
    try:
        data, findings = prepare_haadf(replace(maps, haadf_series=series))
    except InputError as error:
        return str(error)
    return '' if data is not None else findings[-1].sentence


def write(found: dict[str, Any]) -> None:
    """The page, from the results alone."""
    lines = ['# HAADF series read wrongly', '', 'Written by `make bench ONLY=haadf_readings`; do not edit by hand.', '']
    lines += [*(__doc__ or '').partition('\n\nWrites')[0].splitlines(), '']
    lines += ['| HAADF series | taken | left out | named |', '|---' * 4 + '|']
    for kind, (_, words) in KINDS.items():
        if kind in found:
            taken, of = len(found[kind]['taken']), found[kind]['of']
            named = f'{found[kind]["named"]} of {of - taken}' if words else ''
            lines.append(f'| {kind} | {taken} | {of - taken} | {named} |')
    lines += ['', 'Taken though something was done to them:', '']
    for kind, (_, words) in KINDS.items():
        if words and kind in found and 0 < len(found[kind]['taken']) < found[kind]['of']:
            rows = ', '.join(key.replace(' | ', ' at ') for key in found[kind]['taken'])
            lines.append(f'- {kind}: {rows} counts.')
    DOCS.write_text('\n'.join(lines) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
