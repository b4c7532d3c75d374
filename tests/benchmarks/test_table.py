"""Rows of the quality table are compared over the series that they share, and the page says over how many."""

from __future__ import annotations

import pytest

from _methods import JOINT_TV, METHODS, NUCLEAR_TV
from _processor import described, processor
from _report import write
from _store import Store
from _table import ORACLE_PSNR, ORACLE_SSIM, Series, Table, groups, key, markdown, over, planned
from _verdicts import by_specimen
from napari_diptomo.series.steps import step_from_dict

EASY, HARD = 'EDX phantom', 'lamella 10'
SIRT_ROW, TV_ROW, OURS, BEST = 'SIRT, oracle iteration', JOINT_TV[0] + ORACLE_PSNR, 'DIPm-TV balanced', 'DIPm-TV best'
#: The easy specimen scores 10 dB higher with any method; best is 1 dB above balanced.
SCORES = {SIRT_ROW: 20.0, TV_ROW: 25.0, OURS: 28.0, BEST: 29.0}


def made(rows: dict[str, list[Series]]) -> Table:
    """A table with results of these rows on these series."""
    table = object.__new__(Table)
    table.rows = {
        name: {s: {'psnr': SCORES[name] + 10 * (s.case == EASY), 'ssim': 0.5} for s in series}
        for name, series in rows.items()
    }
    table.planned = {
        (name, 30): [Series(case, 30, seed) for case in (EASY, HARD) for seed in range(3)] for name in rows
    }
    return table


ALL = [Series(case, 30, seed) for case in (EASY, HARD) for seed in range(3)]
HARD_ONLY = [Series(HARD, 30, 0)]


def test_rows_on_fewer_series_have_a_table_of_their_own_with_the_references_repeated():
    table = made({SIRT_ROW: ALL, TV_ROW: ALL, OURS: ALL, BEST: HARD_ONLY})
    first, second = groups(table, SCORES, 30, (EASY, HARD))
    assert first.names == (SIRT_ROW, TV_ROW, OURS)
    assert set(first.series) == set(ALL)
    assert second.names == (SIRT_ROW, TV_ROW, OURS, BEST)
    assert second.series == tuple(HARD_ONLY)


def test_a_better_method_never_looks_worse_for_having_run_on_harder_specimens():
    lines = markdown(made({SIRT_ROW: ALL, OURS: ALL, BEST: HARD_ONLY}), SCORES, 30, (EASY, HARD))
    assert [line for line in lines if line.startswith('**')] == [
        '**Over 6 series**: lamella 10, EDX phantom; noise 0, 1, 2.',
        '**Over 1 series**: lamella 10; noise 0.',
    ]
    rows = [line.split(' | ')[:2] for line in lines if line.startswith('| DIPm-TV')]
    assert rows == [['| DIPm-TV balanced', '33.00'], ['| DIPm-TV balanced', '28.00'], ['| DIPm-TV best', '29.00']]
    assert lines[-1] == f'- 5 of 6 series: {BEST}'


def test_a_row_that_lacks_little_takes_its_series_from_all():
    table = made({SIRT_ROW: ALL, OURS: ALL[:-1]})
    (group,) = groups(table, SCORES, 30, (EASY, HARD))
    assert group.names == (SIRT_ROW, OURS)
    assert group.series == tuple(sorted(ALL[:-1]))


def test_rows_that_share_nothing_are_not_compared():
    table = made({SIRT_ROW: ALL[:3], BEST: ALL[3:]})
    assert [(g.names, len(g.series)) for g in groups(table, SCORES, 30, (EASY, HARD))] == [
        ((SIRT_ROW,), 3),
        ((BEST,), 3),
    ]


def test_every_mean_of_a_group_is_over_the_same_series():
    rows = {SIRT_ROW: ALL, TV_ROW: ALL[:5], OURS: ALL[1:], BEST: ALL[2:4]}
    table = made(rows)
    for group in groups(table, SCORES, 30, (EASY, HARD)):
        for name in group.names:
            assert set(group.series) <= set(rows[name])
    shown = {name for group in groups(table, SCORES, 30, (EASY, HARD)) for name in group.names}
    assert shown == set(rows)


def test_nothing_run_is_said():
    assert markdown(made({OURS: []}), SCORES, 30, (EASY, HARD)) == ['Not run.']
    assert over([Series('lamella 11', 30, 1), Series('lamella 10', 30, 0), Series('needle 23', 30, 0)]) == (
        '**Over 3 series**: lamella 10, 11, needle 23; noise 0, 1.'
    )


def test_the_strongest_total_variation_runs_beside_joint_tv_on_every_generator():
    cases = {series.case.split()[0] for series in planned(METHODS[NUCLEAR_TV])}
    assert {'lamella', 'porous', 'facetted', 'interdiffusion', 'needle'} <= cases
    assert {s.case for s in planned(METHODS[NUCLEAR_TV])} == {s.case for s in planned(METHODS[JOINT_TV[0]])}


def test_gain_is_over_the_better_of_the_two_total_variations():
    series = Series(HARD, 30, 0)
    table = object.__new__(Table)
    score = {
        OURS: (28.0, 0.90),
        JOINT_TV[0] + ORACLE_PSNR: (25.0, 0.7),
        JOINT_TV[0] + ORACLE_SSIM: (24.5, 0.75),
        NUCLEAR_TV + ORACLE_PSNR: (26.0, 0.7),
        NUCLEAR_TV + ORACLE_SSIM: (25.5, 0.72),
    }
    table.rows = {name: {series: {'psnr': p, 'ssim': s}} for name, (p, s) in score.items()}
    line = by_specimen(table)[2]
    assert line.startswith('| lamella 10 |')
    assert line.endswith('| +2.00 / +0.150 |')


RESULT = {
    'psnr': 20.0,
    'ssim': 0.5,
    'fsc_measured': 0.4,
    'fsc_missing': 0.2,
    'seconds': 1.0,
    'peak_mib': 50,
    'threads': 1,
}


@pytest.mark.parametrize('size', (32, 48))
def test_page_reports_each_size_and_what_is_current(tmp_path, size):
    store = Store(tmp_path / 'quality.json')
    series = Series(HARD, 30, 0)
    method = METHODS['SIRT, 30 iterations']
    step = step_from_dict({'step': 'SIRT', 'iterations': 30})
    store.put(key(series, size, method.name), step, {**RESULT, 'processor': 'Some CPU, no amx_bf16, torch 2.13.0'})
    store.put(key(series, 96, method.name), step, {**RESULT, 'version': '1.1'})
    text = write(Store(store.path), tmp_path / 'page.md')
    assert f'## Volumes of {size}^3' in text
    assert '## Volumes of 96^3' not in text
    assert f'| {size}^3 | SIRT | 1 | 0 |' in text and '| 96^3 | SIRT | 0 | 1 |' in text
    assert '- 1 run measured on Some CPU, no amx_bf16, torch 2.13.0.' in text
    assert '**Over 1 series**: lamella 10; noise 0.' in text


def test_processor_is_named_with_what_it_does_in_bf16():
    text = 'processor\t: 0\nmodel name\t: AMD EPYC 9R14\nflags\t\t: fpu avx512_bf16 sse\n\nprocessor\t: 1\nmodel name\t: Other\n'
    assert described(text) == 'AMD EPYC 9R14, avx512_bf16, no amx_bf16'
    assert described('processor\t: 0\nFeatures\t: fp asimd\n') == ''
    assert ', torch ' in processor()
