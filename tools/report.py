"""Tables and plots of results: python tools/report.py work_dirs/sweep"""

from argparse import ArgumentParser
from pathlib import Path

from safe_mm.errors import InputError, exit_cleanly


def main() -> None:
    parser = ArgumentParser(description='Make tables and plots of results')
    parser.add_argument(
        'paths',
        type=Path,
        nargs='+',
        metavar='PATH',
        help='folder with result.json files, or a .jsonl file with a result a line',
    )
    parser.add_argument(
        '--beta', type=float, default=0.5, help="of SAFE's figures. Defaults to 0.5"
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for tables and plots. Defaults to report, beside the first PATH',
    )
    parser.add_argument(
        '--collect', type=Path, metavar='FILE.jsonl', help='write all results to this file'
    )
    args = parser.parse_args()
    from safe_mm.report.results import collect, read_results  # pandas takes a second
    from safe_mm.report.write import write_report

    results, failed = read_results(args.paths)
    for path in failed:
        lines = path.read_text('utf-8').strip().splitlines() or ['']
        print(f'failed: {path.parent}: {lines[-1]}')
    if not results:
        raise InputError(
            f'{args.paths[0]}: all runs failed. Correct the errors above, and run tools/sweep.py '
            'again.'
        )
    if args.collect:
        collect(results, args.collect)
    folder = args.out or args.paths[0].resolve().parent / 'report'
    print(write_report(results, args.beta, folder))
    print(f'Tables (.md, .csv, .tex) and plots: {folder}')


if __name__ == '__main__':
    with exit_cleanly():
        main()
