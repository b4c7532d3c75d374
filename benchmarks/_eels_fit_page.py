"""The page of `eels_fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TOP = """# Fe-M2,3: the fit

Written by `make bench ONLY=eels_fit`; do not edit by hand.
"""
_QUALITY = """
## The FeO fraction: bias, scatter, error

Simulated nanocube of FeO and Fe3O4 (32^3 voxels, three tilts, three seeds: each has other shapes of the edges), 2 000
edge counts in the mean iron pixel, read-out noise of one count, zero-loss peak drifting by +-0.3 eV. The spectra are
calibrated as in a real series; the standards are the simulator's own, so that this table judges the fit alone.
Intensities are fitted with five background models; the one with the least chi-square in the sum of a tilt gives the
intensities, the others the systematic error.

- Bias: of the FeO fraction pooled over the iron pixels of a tilt (mean over tilts and seeds, largest in brackets), and of
  the mean of the pixels' own fractions. The latter are clipped to 0..1, and many pixels at the rim are pure FeO, which
  noise can only move down: that bias belongs to the fraction of a single noisy pixel, not to the maps.
- Scatter: standard deviation in pixels with at least 1 000 edge counts over the Cramer-Rao bound with two unknowns of the
  true background's law, to first order. In brackets the error reported by the fit.
- Covered: fraction of the iron pixels whose true fraction lies within the interval of 68, 90, 95 % by the statistical and
  the systematic error; in brackets 90 % by the statistical alone.

| true background | edge/background | intensities | bias pooled (largest) | bias of pixels | scatter / bound (reported) | covered 68, 90, 95 % | background models that gave the intensities |
|---|---|---|---|---|---|---|---|
"""


_RECOVERED = """
## With standards from the series itself

The whole step, `EELSOxidationMaps` with its defaults: nanocubes of 48^3 voxels, three tilts, three seeds, read-out noise
of one count; core loss at one tilt, its dose relative to the low loss in the third column (20 gives about 1 700 counts of
L2,3 in the mean iron pixel).

- Cosine: of the standards in 47-75 eV with the shapes that the series was made with, smallest of the seeds.
- Bias: of the Fe2+ fraction pooled over the iron of a tilt, mean over tilts and seeds, largest in brackets; beside it the
  reported error, by counting and systematic, and the fraction of the nine tilts within one, 1.645 and 1.96 of it. The
  tilts of a series share their standards, so these are three cases rather than nine.
- Covered: fraction of the iron pixels whose true fraction lies within the interval of 68, 90, 95 % by the statistical and
  the systematic error.

| true background | edge/background | core dose | cosine FeO, Fe3O4 | bias (largest) | reported error | tilts within | pixels covered 68, 90, 95 % | background of the maps; of the standards |
|---|---|---|---|---|---|---|---|---|
"""


def text(results: Mapping[str, Any]) -> str:
    """The page with the sections there are."""
    parts = [_TOP]
    if 'quality' in results:
        parts.append(_QUALITY + ''.join(_row(row) for row in results['quality']))
    if 'recovered' in results:
        parts.append(_RECOVERED + ''.join(_recovered(row) for row in results['recovered']))
    if 'speed' in results:
        parts.append(_speed(results['speed']))
    if 'manganese' in results:
        parts.append(_manganese(results['manganese']))
    return ''.join(parts)


def _row(row: Mapping[str, Any]) -> str:
    families = ', '.join(f'{name} {count}' for name, count in row['families'].items())
    covered = ', '.join(f'{100 * value:.0f}' for value in row['covered'])
    return (
        f'| {row["truth"]} | {row["ratio"]:g} | {"of any sign" if row["negative"] else "not negative"} '
        f'| {row["bias_pooled"]:+.3f} ({row["worst_pooled"]:.3f}) | {row["bias"]:+.3f} '
        f'| {row["std_over_bound"]:.2f} ({row["told_over_bound"]:.2f}) '
        f'| {covered} ({100 * row["covered_statistical"][1]:.0f}) | {families} |\n'
    )


def _recovered(row: Mapping[str, Any]) -> str:
    cosines = ', '.join(f'{min(one):.4f}' for one in zip(*row['cosines'], strict=True))
    error = row['told']
    within, covered = (', '.join(f'{100 * value:.0f}' for value in row[name]) for name in ('within', 'covered'))
    return (
        f'| {row["truth"]} | {row["ratio"]:g} | {row["dose"]:g} | {cosines} | {row["bias"]:+.3f} ({row["worst"]:.3f}) | {error:.3f} '
        f'| {within} | {covered} | {_counted(row["families"])}; {_counted(row["standards"])} |\n'
    )


def _counted(names: Sequence[str]) -> str:
    return ', '.join(f'{name} {names.count(name)}' for name in sorted(set(names)))


def _speed(found: Mapping[str, Any]) -> str:
    theirs = found['HyperSpy']['seconds']
    rows = ''.join(
        f'| {name if name != "HyperSpy" else "HyperSpy, `multifit(optimizer=" + chr(39) + "lstsq" + chr(39) + ")`"} '
        f'| {one["seconds"]:.2f} | {one["seconds"] / theirs:.2f} | {one["error"]:.1f} |\n'
        for name, one in found.items()
        if isinstance(one, Mapping)
    )
    return f"""
## Speed

{found['spectra']} spectra of {found['channels']} channels, {found['components']} components (four edges and a background of
two), in one run. Ours is weighted, gives the covariance and finds the background first; HyperSpy's is the unweighted linear
fit of the same columns.

| method | seconds | relative to HyperSpy | error (counts, r.m.s.) |
|---|---|---|---|
{rows}"""


def _manganese(found: Mapping[str, Any]) -> str:
    rows = ''.join(
        f'| {family} | {value:+.2f} | {found["chi2"][family]:.2f} |\n' for family, value in found['values'].items()
    )
    return f"""
## A measured edge

Mn-M2,3 in a measured low loss (eXSpy's example, t/lambda 0.45): edge over background in 47-62 eV, the background fitted to
36-46 eV alone and extrapolated. No standard is assumed. The result is
{found['values'][found['best']]:+.2f} +- {found['error']:.2f} ({found['best']}).

| background | edge / background | chi-square |
|---|---|---|
{rows}"""
