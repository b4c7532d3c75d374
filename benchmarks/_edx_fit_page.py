"""The page of `edx_fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = {
    'poisson': 'ours, Poisson',
    'linear': 'ours, linear',
    'windows': 'eXSpy, windows',
    'windows less background': 'eXSpy, windows less background',
    'least squares': 'HyperSpy, least squares',
    'lstsq': "HyperSpy, `multifit('lstsq')`",
    'bounded': "HyperSpy, `multifit('lm', bounded=True)`",
}
_TOP = """# EDX maps: the fit

Written by `make bench ONLY=edx_fit`; do not edit by hand.
"""
_QUALITY = """
## Bias and variance

EDX is energy-dispersive X-ray spectroscopy. Simulated Ge-Sb-Te, one image, the left half with as many counts of Ge-K,
Sb-L and Te-L as the table says, the right half without antimony; bremsstrahlung, Ge-L, stray copper and the zero-strobe
peak beside them. The simulator has its own table of lines; our fit is given the names of three elements. Windows are
those that eXSpy estimates, and their counts are divided by the fraction of the line family that they contain, so the bias
is the contribution of other lines. Variance is relative to the Cramer-Rao bound of the whole spectrum; below 1 it implies
bias. Chi-square is ((fit - truth) / sigma)^2.

| counts | method | bias Ge, Sb, Te (%) | variance / bound Ge, Sb, Te | chi-square Ge, Sb, Te |
|---|---|---|---|---|
"""
_MISSING = """
Where there is no antimony, the mean of its map, and that of tellurium beside it:

| counts of Te | method | Sb (counts) | bias Te (%) |
|---|---|---|---|
"""


def text(results: Mapping[str, Any]) -> str:
    """The page with the sections there are."""
    parts = [_TOP]
    if 'quality' in results:
        rows = results['quality']
        parts.append(_QUALITY + ''.join(_row(row) for row in rows if row['half'] == 'Ge-Sb-Te'))
        parts.append(_MISSING + ''.join(_missing(row) for row in rows if row['half'] != 'Ge-Sb-Te'))
    if 'speed' in results:
        parts.append(_speed(results['speed']))
    if 'series' in results:
        parts.append(_series(results['series']))
    return ''.join(parts)


def _row(row: Mapping[str, Any]) -> str:
    bias = ', '.join(
        f'{100 * e / t:.1f} ± {100 * s / t:.1f}'
        for e, s, t in zip(row['error'], row['error_of_mean'], row['truth'], strict=True)
    )
    variance = ', '.join(f'{v:.2f}' for v in row['variance'])
    chi2 = ', '.join(f'{v:.2f}' for v in row.get('chi2', ()))
    return f'| {row["counts"]} | {_NAMES[row["method"]]} | {bias} | {variance} | {chi2} |\n'


def _missing(row: Mapping[str, Any]) -> str:
    return (
        f'| {row["truth"][2]:g} | {_NAMES[row["method"]]} | {row["error"][1]:.2f} ± {row["error_of_mean"][1]:.2f} '
        f'| {100 * row["error"][2] / row["truth"][2]:.1f} |\n'
    )


def _speed(found: Mapping[str, Any]) -> str:
    ours = found['poisson']['seconds']
    rows = ''.join(
        f'| {_NAMES[method]} | {found[method]["seconds"]:.1f} | {found[method]["seconds"] / ours:.2f} '
        f'| {found[method]["error"]:.2f} |\n'
        for method in ('poisson', 'linear', 'lstsq', 'bounded')
    )
    return f"""
## Speed

{found['spectra']} spectra of {found['channels']} channels, {found['components']} components (eleven line families and a background
of two), 2 to 10 counts each, in one run. Ours is the whole step: reading, looking for elements, calibration, fit, variance,
residuals. HyperSpy's is `multifit` alone on a model that is ready; the bounded one was run on
{found['bounded']['pixels']} spectra and extrapolated.

| method | seconds | relative to Poisson | error (counts, r.m.s.) |
|---|---|---|---|
{rows}"""


def _series(found: Mapping[str, Any]) -> str:
    rows = ''.join(
        f'| {_NAMES[method]} | {one["seconds"]:.0f} | {one["gib"]:.2f} | {one["residual"]:.3f} |\n'
        for method, one in found.items()
    )
    shape = ' x '.join(map(str, found['poisson']['shape']))
    return f"""
## A measured series

openNCEM, {shape}, ten elements mapped, {found['poisson']['families']} line families fitted; the whole step with the reading of
the files. The residual is the deviance of a pixel's spectrum relative to its expectation by counting noise, mean over all.

| fit | seconds | highest memory (GiB) | residual |
|---|---|---|---|
{rows}"""
