"""Maps of EELS beside maps of EDX: fitted together, or each by itself.

All channels of a specimen but the last are counted as X-rays (17 tilts over ±40°, 5 counts at the brightest pixel, 32
voxels along each edge). The last is a map by energy losses at the same tilts and pixels: 60 electrons at its brightest pixel on
a background of 30 that a fit has subtracted, 8 units each, with its variance. "Together, least squares": one fit, each datum
weighed by its variance. "Together, counts": the losses, too, are counts with a known background, as in the shifted Poisson
model (M. Yavuz and J. A. Fessler, Medical Image Analysis 2 (1998) 369), so that X-rays keep their Poisson likelihood. PSNR (peak
signal-to-noise ratio) is the mean over the channels of each kind. Resumable. Writes `results/eels_beside_edx.json` and
`docs/eels-beside-edx.md`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy import ndimage

import napari_diptomo.reconstruct.prepare as preparation
from _cases import CASES, sample
from _fingerprint import fingerprint
from _processor import processor
from _scores import mean_psnr
from napari_diptomo.reconstruct import DIPmTV, Reconstruction, TotalVariation
from napari_diptomo.reconstruct.counting_unit import Counting
from napari_diptomo.reconstruct.data_split import noise_variance
from napari_diptomo.series import MapSeries

HERE = Path(__file__).parent
RESULTS = HERE / 'results' / 'eels_beside_edx.json'
DOCS = HERE.parent / 'docs' / 'eels-beside-edx.md'
SIZE, PEAK = 32, 5
UNIT, ELECTRONS, BACKGROUND = 8.0, 60.0, 30.0
METHODS: dict[str, Reconstruction] = {'TV': TotalVariation(), 'DIPm-TV': DIPmTV(preset='fast')}
ROWS = (
    ('TV', 'lamella 11'),
    ('TV', 'facetted 21'),
    ('TV', 'porous 20'),
    ('DIPm-TV', 'lamella 11'),
    ('DIPm-TV', 'facetted 21'),
)


@dataclass(frozen=True, eq=False)
class Recorded:
    """Maps of both kinds, and the truth (channel, z, y, x) in the units of each."""

    edx: MapSeries
    eels: MapSeries
    truth: np.ndarray

    @property
    def together(self) -> MapSeries:
        """All channels, each with its variance."""
        variance = np.concatenate([noise_variance(self.edx), noise_variance(self.eels)])
        data = np.concatenate([self.edx.data, self.eels.data])
        return replace(self.edx, data=data, variance=variance, channels=self.edx.channels + self.eels.channels)


def recorded(name: str) -> Recorded:
    """The maps of a specimen, its last channel by energy losses."""
    few, many = sample(CASES[name], SIZE, PEAK, 0), sample(CASES[name], SIZE, 1e6, 9)
    scale = ELECTRONS / float(many.maps.data[-1].max())
    electrons = scale * many.maps.data[-1:]
    variance = UNIT**2 * (electrons + BACKGROUND)
    losses = UNIT * electrons + np.random.default_rng(3).standard_normal(electrons.shape) * np.sqrt(variance)
    channels = few.maps.channels
    edx = replace(few.maps, data=few.maps.data[:-1], channels=channels[:-1])
    eels = replace(few.maps, data=losses, variance=variance, channels=channels[-1:])
    return Recorded(edx, eels, np.concatenate([few.truth[:-1], UNIT * scale * many.truth[-1:]]))


def as_counts(maps: MapSeries, *_: object) -> Counting:
    """All channels in counts, the last with what it scatters beyond its signal as a background."""
    assert maps.variance is not None, 'of both kinds'
    signal = ndimage.gaussian_filter(np.maximum(maps.data[-1], 0), (0, 1, 1))
    ratio = maps.variance[-1] / np.maximum(signal, 1e-9)
    # No background may be negative where there is signal.
    unit = float(np.quantile(ratio[signal > 0.2 * signal.max()], 0.05))
    background = np.zeros_like(maps.data)
    background[-1] = np.maximum(maps.variance[-1] / unit**2 - signal / unit, 0)
    data = np.concatenate([maps.data[:-1], np.maximum(maps.data[-1:] / unit + background[-1:], 0)])
    units = np.ones(len(data))
    units[-1] = unit
    return Counting(replace(maps, data=data, variance=None, background=background), units, True)


def apart(method: Reconstruction, of: Recorded) -> np.ndarray:
    return np.concatenate([method.run(of.edx).data, method.run(of.eels).data])


def least_squares(method: Reconstruction, of: Recorded) -> np.ndarray:
    return method.run(of.together).data


def counts(method: Reconstruction, of: Recorded) -> np.ndarray:
    with patch.object(preparation, 'in_counts', as_counts):
        return method.run(of.together).data


WAYS: dict[str, Callable[[Reconstruction, Recorded], np.ndarray]] = {
    'each by itself': apart,
    'together, least squares': least_squares,
    'together, counts': counts,
}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    known = json.loads(RESULTS.read_text(encoding='utf-8')) if RESULTS.exists() else {}
    for method, name in ROWS:
        for way, run in WAYS.items():
            key, now = f'{method} | {name} | {way}', fingerprint(METHODS[method].to_dict())
            if known.get(key, {}).get('version') == now:
                continue
            of = recorded(name)
            volume = run(METHODS[method], of)
            scores = [mean_psnr(volume[part], of.truth[part]) for part in (slice(-1), slice(-1, None))]
            known[key] = {'psnr': scores, 'version': now, 'processor': processor()}
            RESULTS.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')
            print(key, scores, flush=True)
    write(known)


def write(known: dict[str, dict[str, object]]) -> None:
    lines = ['# EELS beside EDX', '', 'Written by `make bench ONLY=eels_beside_edx`; do not edit by hand.', '']
    lines += [*(__doc__ or '').partition(' Resumable')[0].splitlines(), '']
    lines += [f'Measured on {", ".join(sorted({str(one["processor"]) for one in known.values()}))}.', '']
    lines += [f'| method | specimen | {" | ".join(f"{way}: EDX, EELS (dB)" for way in WAYS)} |', '|---' * 5 + '|']
    for method, name in ROWS:
        cells = [known[f'{method} | {name} | {way}']['psnr'] for way in WAYS]
        lines.append(f'| {method} | {name} | ' + ' | '.join('{:.2f}, {:.2f}'.format(*cell) for cell in cells) + ' |')
    lines += [
        '',
        'One fit of both takes from the X-rays (up to 1 dB) what it gives to the losses, and in total variation it mostly gives',
        'nothing: the weight, and the moment to stop, are those of all channels together. No step joins them therefore: maps of EELS',
        'and of EDX are reconstructed each by themselves, in one geometry. Align the one, and give its shifts to the other',
        '(`shifts_file` of Align, with 0 rounds).',
        '',
    ]
    DOCS.write_text('\n'.join(lines), encoding='utf-8')


if __name__ == '__main__':
    main()
