"""docs/speed.md, written from the results of `speed.py` alone."""

from __future__ import annotations

from typing import Any

#: Below this part of the machine's best an operation is named.
_THIRD = 1 / 3


def page(found: dict[str, Any]) -> str:
    """The page as text."""
    size, threads = found['size'], found['threads']
    parts = [
        '# Speed',
        'Written by `make bench ONLY=speed`; do not edit by hand. Ratios are what counts; seconds are those of the machine named.',
        f'{size}^3 voxels, {found["channels"]} channels, {found["tilts"]} tilts; {found["processor"]}, {threads} '
        f'thread{"s" * (threads > 1)}, torch {found["torch"]}; our network in {found["precision"]}. A matrix product reaches '
        + ', '.join(f'{value:.0f} GFLOP/s in {name}' for name, value in found['product_gflops'].items())
        + '. The fastest of several rounds counts, in turns.',
        '## One iteration\n\n' + '\n'.join(_iterations(found)),
        '## Shares of an iteration of `balanced`\n\n' + '\n'.join(_shares(found)),
        '## Convolutions against the best layout and type\n\n' + '\n'.join(_convolutions(found['convolutions'])),
        '## Memory of `balanced`, estimate against use\n\n' + '\n'.join(_memory(found['memory'])),
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


def _convolutions(rows: list[dict[str, Any]]) -> list[str]:
    slow = [row for row in rows if row['reached'] < _THIRD]
    share = sum(row['ms'] * row['layers'] for row in slow) / sum(row['ms'] * row['layers'] for row in rows)
    lines = [
        (
            'Every distinct convolution of the network as it runs in an iteration, alone, against the fastest of torch in '
            'float32 and bf16, contiguous and channels last, batches of one and two (per sample).'
        ),
        '',
        f'{len(slow)} of {len(rows)} run below a third of the best; they are {share:.0%} of the time of all convolutions.',
        '',
        '| layer | pass | layers | ms | GFLOP/s | best GFLOP/s | reached | best with |',
        '|---|---|---|---|---|---|---|---|',
    ]
    lines += [
        f'| {r["layer"]} | {r["pass"]} | {r["layers"]} | {r["ms"]:.2f} | {r["gflops"]:.0f} | {r["best_gflops"]:.0f} | '
        f'{r["reached"]:.2f} | {r["best"]} |'
        for r in rows
    ]
    return lines


def _memory(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        'Largest memory of two iterations in a process of its own, above that before torch was loaded.',
        '',
        '| volume | estimate (MiB) | used (MiB) | estimate / used | of it libraries (MiB) | whole process (MiB) |',
        '|---|---|---|---|---|---|',
    ]
    for row in rows:
        if 'error' in row:
            lines.append(f'| {row["size"]}^3 x 3 | failed: {row["error"]} | | | | |')
            continue
        lines.append(
            f'| {row["size"]}^3 x 3 | {row["estimate_mib"]} | {row["used_mib"]} | '
            f'{row["estimate_mib"] / row["used_mib"]:.2f} | {row["of_it_libraries_mib"]} | {row["process_mib"]} |'
        )
    return lines if rows else ['Not run.']
