"""docs/speed.md, written from the results of `speed.py` alone."""

from __future__ import annotations

from typing import Any

#: Below this part of the machine's best an operation is named.
_THIRD = 1 / 3
#: Share of an iteration from which on it matters.
_WORTH = 0.01


def page(found: dict[str, Any]) -> str:
    """The page as text."""
    size, threads = found['size'], found['threads']
    parts = [
        '# Speed',
        'Written by `make bench ONLY=speed`; do not edit by hand. Ratios are what counts; seconds are those of the machine named.',
        f'{size}^3 voxels, {found["channels"]} channels, {found["tilts"]} tilts; {found["processor"]}, {threads} '
        f'thread{"s" * (threads > 1)}, torch {found["torch"]}; our network in {found["precision"]}. A matrix product reaches '
        + ', '.join(f'{value:.0f} GFLOP/s in {name}' for name, value in found['product_gflops'].items())
        + '. Times are the fastest of several rounds, measured in turns.',
        '## One iteration\n\n' + '\n'.join(_iterations(found)),
        '## Shares of an iteration of `balanced`\n\n' + '\n'.join(_shares(found)),
        '## Convolutions against the best layout and type\n\n'
        + '\n'.join(_convolutions(found['convolutions'], found['iteration']['balanced']['seconds'])),
        'Memory, estimated and used: [memory](memory.md).',
    ]
    return '\n\n'.join(parts) + '\n'


def _iterations(found: dict[str, Any]) -> list[str]:
    seconds = {name: row['seconds'] for name, row in found['iteration'].items()}
    unit = seconds['balanced']
    lines = ['| method | time, balanced = 1 | seconds |', '|---|---|---|']
    lines += [f'| {name} | {value / unit:.2f} | {value:.3f} |' for name, value in seconds.items()]
    for name in ('published-edx', 'published-eels'):
        ratio = seconds[f'{name}, plain float32'] / seconds[f'{name}, our kernels']
        lines.append(f'\n{name}: plain float32 code takes {ratio:.1f} times as long as our kernels.')
    return lines


def _shares(found: dict[str, Any]) -> list[str]:
    profile = found['profile']
    lines = [
        f'- Projector and its adjoint: {found["projector"][name] / found["iteration"][name]["seconds"]:.1%} of an '
        f'iteration of `{name}`.'
        for name in found['projector']
    ]
    lines += [
        f'- Convolutions, forward and backward: {profile["convolutions"]:.1%} of the time on the processor.',
        '',
        '| operation | share | calls per iteration | ms per iteration |',
        '|---|---|---|---|',
    ]
    lines += [
        f'| `{row["operation"]}` | {row["share"]:.1%} | {row["calls"]} | {row["ms"]:.1f} |'
        for row in profile['operations']
    ]
    return lines


def _convolutions(rows: list[dict[str, Any]], iteration: float) -> list[str]:
    shares = [row['ms'] * row['layers'] / 1e3 / iteration for row in rows]
    heavy = [(row, share) for row, share in zip(rows, shares, strict=True) if share >= _WORTH]
    slow = [(row, share) for row, share in heavy if row['reached'] < _THIRD]
    text = (
        'Every distinct convolution of the network as it runs in an iteration, alone, against the fastest of torch in '
        'float32 and bf16, contiguous and channels last, batches of one and two (per sample), and the matrix product for '
        f'kernels of one voxel. {len(slow)} of the {len(heavy)} that take {_WORTH:.0%} of an iteration or more run below '
        f'a third of the best ({sum(share for _, share in slow):.0%} of an iteration); of all '
        f'{len(rows)}, {sum(row["reached"] < _THIRD for row in rows)}.'
    )
    lines = [
        text,
        '',
        '| layer | pass | layers | ms | share of an iteration | GFLOP/s | best GFLOP/s | reached | best with |',
        '|---' * 9 + '|',
    ]
    lines += [
        f'| {r["layer"]} | {r["pass"]} | {r["layers"]} | {r["ms"]:.2f} | {share:.1%} | {r["gflops"]:.0f} | '
        f'{r["best_gflops"]:.0f} | {r["reached"]:.2f} | {r["best"]} |'
        for r, share in zip(rows, shares, strict=True)
    ]
    return lines
