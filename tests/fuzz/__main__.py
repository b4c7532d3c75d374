"""``cd tests && python -m fuzz 10000``: so many damaged files; exit code 1 when one was not answered properly."""

from __future__ import annotations

import argparse
import sys

from fuzz.harness import Fuzz, Report


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m fuzz', description=__doc__)
    parser.add_argument('count', type=int, nargs='?', default=1000)
    parser.add_argument('--seed', type=int, default=0, help='other damage to the same files')
    parser.add_argument('--start', type=int, default=0, help='number of the first case')
    parser.add_argument('--kinds', nargs='*', default=(), help='e.g. "hspy stack" bcf; default: all')
    parser.add_argument('--case', type=int, help='this case of the one kind alone')
    options = parser.parse_args()
    report = Report()
    with Fuzz(options.seed, options.kinds) as fuzz:
        if options.case is not None:
            print(fuzz.case(fuzz.kinds[0], options.case))
            return 0
        for outcome in fuzz.run(options.count, options.start):
            report.add(outcome)
            if outcome.result not in ('ok', 'sentence'):
                print(outcome, flush=True)
            if report.total.total() % 500 == 0:
                print(report, flush=True)
    print(report)
    return 1 if report.bad else 0


if __name__ == '__main__':
    sys.exit(main())
