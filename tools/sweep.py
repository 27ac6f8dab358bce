"""Many runs, each a folder with its result:
python tools/sweep.py configs/safe.py configs/zero-shot.py \
    --datasets caltech101 dtd --shots 1 16 --seeds 1 2 3 --data-root data

Completed runs are skipped; run the same command again to continue.
tools/report.py makes tables and plots of the results.
"""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Tuple

from safe_mm.errors import InputError, counted, exit_cleanly
from safe_mm.options import add_common_options, positive


def shard(text: str) -> Tuple[int, int]:
    """'2/8' -> (2, 8)."""
    index, _, count = text.partition('/')
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise ArgumentTypeError(f'{text!r} is not I/N, such as 1/8')
    return int(index), int(count)


def parse_args() -> Namespace:
    parser = ArgumentParser(
        description='Run many methods, datasets, shots and seeds', conflict_handler='resolve'
    )
    add_common_options(parser, configs='+')
    parser.add_argument(
        '--grid',
        action='store_true',
        help="train all settings of a config's grid and choose by validation",
    )
    parser.add_argument('--datasets', nargs='+', default=[None], help='as --dataset of train.py')
    parser.add_argument('--clips', nargs='+', default=[None], help='as --clip of train.py')
    parser.add_argument('--shots', nargs='+', type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument('--seeds', nargs='+', type=int, default=[1, 2, 3])
    parser.add_argument(
        '--protocol',
        choices=['base-to-new'],
        help='base-to-new: train on half of the classes, test on each half',
    )
    parser.add_argument(
        '--transfer', nargs='+', metavar='DATASET', help='test on these datasets, too'
    )
    parser.add_argument('--work-dir', default='work_dirs/sweep', help='folder of all runs')
    parser.add_argument('--jobs', type=positive, default=1, help='processes of this machine')
    parser.add_argument(
        '--ray', nargs='?', const='', metavar='ADDRESS', help='use Ray, here or on a cluster'
    )
    parser.add_argument(
        '--shard', type=shard, default=(1, 1), metavar='I/N', help='every N-th run from the I-th on'
    )
    parser.add_argument('--dry-run', action='store_true', help='print the runs that are left to do')
    args = parser.parse_args()
    for name, plural in (('seed', 'seeds'), ('dataset', 'datasets'), ('clip', 'clips')):
        if getattr(args, name) is not None:
            raise InputError(f'--{name} is not supported here. Use --{plural}.')
    if args.protocol and (args.subset or args.transfer):
        raise InputError('--protocol goes with neither --subset nor --transfer.')
    return args


def main() -> None:
    args = parse_args()
    from safe_mm.runs.sweep import describe, plan, sweep  # --help answers without it

    if args.dry_run:
        left = plan(args)
        print('\n'.join([*map(describe, left), f'{counted(len(left), "run")} to do']))
        return
    errors = sweep(args)
    if errors:
        sys.exit('\n'.join([f'{counted(len(errors), "run")} failed:', *errors]))


if __name__ == '__main__':
    with exit_cleanly():
        main()
