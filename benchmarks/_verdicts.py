"""The claims in sentences with figures, computed from the results alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from _cases import CASES, LAMELLAE
from _methods import JOINT_TV, METHODS, NUCLEAR_TV
from _table import ORACLE_PSNR, ORACLE_SSIM, Result, Series, Table, planned

BALANCED, FAST, BEST = 'DIPm-TV balanced', 'DIPm-TV fast', 'DIPm-TV best'
SIRT_BEST = 'SIRT, oracle iteration'
#: Within so many dB of its best iterate a run counts as well stopped.
CLOSE = 0.3


def joint_tv(table: Table, series: Series, column: str) -> float | None:
    """Joint TV with the oracle's weight, the better of its two data terms; None before the first is run."""
    ending = ORACLE_PSNR if column == 'psnr' else ORACLE_SSIM
    rows = (table.scored(name + ending, [series]) for name in JOINT_TV)
    return max((row[series][column] for row in rows if series in row), default=None)


def over_joint_tv(table: Table, name: str, series: Iterable[Series], column: str) -> dict[Series, float]:
    """Score of a row minus that of oracle joint TV, where both were run."""
    found = {}
    for s, result in table.scored(name, series).items():
        baseline = joint_tv(table, s, column)
        if baseline is not None:
            found[s] = result[column] - baseline
    return found


def by_specimen(table: Table) -> list[str]:
    """PSNR and SSIM of each specimen, and what balanced gains over the better of the oracle total variations."""
    columns = {
        'SIRT, oracle': (SIRT_BEST, SIRT_BEST),
        'joint TV, oracle': (JOINT_TV[0] + ORACLE_PSNR, JOINT_TV[0] + ORACLE_SSIM),
        'nuclear TV, oracle': (NUCLEAR_TV + ORACLE_PSNR, NUCLEAR_TV + ORACLE_SSIM),
        **{name: (name, name) for name in (FAST, BALANCED, BEST)},
    }
    lines = []
    for case in CASES:
        series = Series(case, 30, 0)
        found = {}
        for heading, rows in columns.items():
            by_psnr, by_ssim = (table.scored(name, [series]).get(series) for name in rows)
            found[heading] = None if by_psnr is None or by_ssim is None else (by_psnr['psnr'], by_ssim['ssim'])
        if not any(found.values()):
            continue
        rivals = [scores for scores in (found['joint TV, oracle'], found['nuclear TV, oracle']) if scores]
        ours = found[BALANCED]
        gain = ''
        if ours and rivals:
            decibel, similarity = (ours[i] - max(scores[i] for scores in rivals) for i in range(2))
            gain = f'{decibel:+.2f} / {similarity:+.3f}' + ('' if len(rivals) == 2 else ' (over one of the two)')
        cells = ['' if scores is None else f'{scores[0]:.2f} / {scores[1]:.3f}' for scores in found.values()]
        lines.append(f'| {case} | ' + ' | '.join(cells) + f' | {gain} |')
    heads = ['specimen', *columns, 'balanced over the better TV']
    return ['| ' + ' | '.join(heads) + ' |', '|---' * len(heads) + '|', *lines] if lines else ['Not run.']


def _spread(values: Iterable[float], digits: int, unit: str = '') -> str:
    values = list(values)
    return f'{np.mean(values):+.{digits}f}{unit} (from {min(values):+.{digits}f} to {max(values):+.{digits}f})'


def _runs(found: int, wanted: int) -> str:
    return f'{found} of {wanted} runs'


def against_joint_tv(table: Table) -> list[str]:
    """Balanced, and balanced with a slab, over oracle joint TV on the lamellae at peak 30; SSIM below it anywhere."""
    wanted = [s for s in planned(METHODS[BALANCED]) if s.peak == 30 and s.case in LAMELLAE]
    lines = []
    slabs = (f'{BALANCED}, slab {how}' for how in ('given', 'given as exact', 'found'))
    for name in (BALANCED, *slabs):
        decibel = over_joint_tv(table, name, wanted, 'psnr')
        similarity = over_joint_tv(table, name, wanted, 'ssim')
        if not decibel:
            lines.append(f'- {name}: not run (0 of {len(wanted)}).')
            continue
        lines.append(
            f'- {name} minus oracle joint TV: PSNR {_spread(decibel.values(), 2, " dB")}, '
            f'SSIM {_spread(similarity.values(), 3)}; {_runs(len(decibel), len(wanted))}.'
        )
    lines.append(_over_nuclear_tv(table, planned(METHODS[NUCLEAR_TV])))
    everywhere = over_joint_tv(table, BALANCED, planned(METHODS[BALANCED]), 'ssim')
    below = {s: d for s, d in everywhere.items() if d < 0}
    total = len(planned(METHODS[BALANCED]))
    lines.append(
        f'- SSIM of {BALANCED} over the whole table: below oracle joint TV in {len(below)} of {len(everywhere)} runs '
        f'({_runs(len(everywhere), total)} made).'
    )
    lines += [f'  - {s}: {d:+.3f}' for s, d in sorted(below.items())]
    return lines


def _over_nuclear_tv(table: Table, wanted: list[Series]) -> str:
    """Balanced over the total variation that ties the directions of the channels' edges, the strongest without a network."""
    gains = {}
    for column, ending in (('psnr', ORACLE_PSNR), ('ssim', ORACLE_SSIM)):
        ours, rival = (table.scored(name, wanted) for name in (BALANCED, NUCLEAR_TV + ending))
        gains[column] = [ours[s][column] - rival[s][column] for s in wanted if s in ours and s in rival]
    if not gains['psnr']:
        return f'- {BALANCED} minus oracle nuclear TV: not run (0 of {len(wanted)}).'
    return (
        f'- {BALANCED} minus oracle nuclear TV, all cases: PSNR {_spread(gains["psnr"], 2, " dB")}, '
        f'SSIM {_spread(gains["ssim"], 3)}; {_runs(len(gains["psnr"]), len(wanted))}.'
    )


def lower_psnr(table: Table) -> list[str]:
    """Every run of balanced whose PSNR is below that of oracle joint TV."""
    differences = over_joint_tv(table, BALANCED, planned(METHODS[BALANCED]), 'psnr')
    below = {s: d for s, d in differences.items() if d < 0}
    if not differences:
        return ['Not run.']
    if not below:
        return [f'None of the {len(differences)} runs made.']
    return [f'- {s}: {d:+.2f} dB' for s, d in sorted(below.items(), key=lambda item: item[1])]


def against_published(table: Table, plain_factor: Callable[[str], float | None]) -> list[str]:
    """Balanced against the best iterate of the published settings, in quality and in time.

    Parameters
    ----------
    table : Table
        The results.
    plain_factor : callable
        Time of an iteration of a published preset in plain float32 code over that with our kernels; None when not measured.
    """
    wanted = planned(METHODS['published'])
    published, balanced = table.scored('published', wanted), table.scored(BALANCED, wanted)
    both = [s for s in wanted if s in published and s in balanced]
    if not both:
        return [f'- Not run (0 of {len(wanted)}).']
    lines = [
        (
            '| series | settings | iterations | best at | published best (dB) | balanced (dB) | difference | '
            'time, same kernels | time, plain float32 |'
        ),
        '|---' * 9 + '|',
    ]
    same, plain = [], []
    for s in both:
        p, b = published[s], balanced[s]
        preset = p['step']['preset']
        reached = reaching(b, p['psnr'])
        factor = plain_factor(preset)
        ratio = None if reached is None else reached / p['best']['seconds']
        against_plain = None if ratio is None or factor is None else ratio / factor
        same.append(ratio)
        plain.append(against_plain)
        lines.append(
            f'| {s} | {preset} | {p["notes"].get("iterations", "")} | {p["best"]["iteration"]} | {p["psnr"]:.2f} | '
            f'{b["psnr"]:.2f} | {b["psnr"] - p["psnr"]:+.2f} | {_share(ratio)} | {_share(against_plain)} |'
        )
    gains = [balanced[s]['psnr'] - published[s]['psnr'] for s in both]
    return [
        f'- {BALANCED} minus the best published iterate: {_spread(gains, 2, " dB")}; {_runs(len(both), len(wanted))}.',
        (
            f'- Time of {BALANCED} to the PSNR of the best published iterate, over the time of that iterate: '
            f'with the same kernels {_mean_share(same)}; with the published settings as plain float32 code {_mean_share(plain)}.'
        ),
        '',
        *lines,
    ]


def reaching(result: Result, decibel: float) -> float | None:
    """Seconds after which a run first had this PSNR; None when it never had."""
    return next((seconds for _, seconds, psnr in result.get('curve', ()) if psnr >= decibel), None)


def _share(value: float | None) -> str:
    return 'never / not measured' if value is None else f'1/{1 / value:.1f}'


def _mean_share(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return 'not measured'
    # Ratios: the geometric mean.
    return f'1/{1 / np.exp(np.mean(np.log(known))):.1f} (geometric mean of {len(known)} of {len(values)})'


def first_look(table: Table) -> list[str]:
    """Fast against SIRT's best and against balanced, lamellae."""
    wanted = [s for s in planned(METHODS[FAST]) if s.peak == 30 and s.case in LAMELLAE]
    fast, balanced, sirt = (table.scored(name, wanted) for name in (FAST, BALANCED, SIRT_BEST))
    both = [s for s in wanted if s in fast and s in balanced]
    if not both:
        return [f'- Not run (0 of {len(wanted)}).']
    early = [reaching(fast[s], sirt[s]['psnr']) for s in both if s in sirt]
    known = [seconds for seconds in early if seconds is not None]
    first = f'{max(known):.1f} s at the latest' if known else 'never'
    share = np.mean([fast[s]['seconds'] / balanced[s]['seconds'] for s in both])
    return [
        f"- First volume of {FAST} above SIRT's best: {first} ({len(known)} of {len(early)} runs).",
        (
            f'- {FAST} minus {BALANCED}: {_spread([fast[s]["psnr"] - balanced[s]["psnr"] for s in both], 2, " dB")} '
            f'in {share:.0%} of its time; {_runs(len(both), len(wanted))}.'
        ),
        (
            f'- {BALANCED}: {max(balanced[s]["seconds"] for s in both):.0f} s at most on '
            f'{max(balanced[s]["threads"] for s in both)} threads.'
        ),
    ]


def stopping(table: Table) -> list[str]:
    """How close the runs end to their best iterate, and whether any ends below SIRT."""
    lines, close, made = [], 0, 0
    below = []
    wanted = sum(len(planned(method)) for method in METHODS.values() if method.is_ours)
    for name in (method.name for method in METHODS.values() if method.is_ours):
        lost = {s: r['best']['psnr'] - r['returned']['psnr'] for s, r in table.scored(name).items() if 'best' in r}
        close += sum(value <= CLOSE for value in lost.values())
        made += len(lost)
        lines += [
            f'  - {name}, {s}: {value:.2f} dB below its best iterate'
            for s, value in sorted(lost.items(), key=lambda item: -item[1])
            if value > CLOSE
        ]
        sirt = table.scored(SIRT_BEST)
        below += [
            f'  - {name}, {s}: {r["psnr"] - sirt[s]["psnr"]:+.2f} dB'
            for s, r in table.scored(name).items()
            if s in sirt and r['psnr'] < sirt[s]['psnr']
        ]
    if not made:
        return [f'- Not run (0 of {wanted}).']
    return [
        (
            f'- {close} of {made} runs of DIPm-TV end within {CLOSE} dB of their best iterate ({close / made:.0%}; '
            f'{_runs(made, wanted)} made).'
        ),
        *lines,
        f"- Runs that end below SIRT's best iterate: {len(below)} of {made}.",
        *below,
        f'- Runs that failed: {sum(METHODS[name].is_ours for name, _, _ in table.failed() if name in METHODS)}.',
    ]
