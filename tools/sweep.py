"""Many few-shot tasks, a line of records for each:
python tools/sweep.py configs/safe_a/safe-a_rn50_*.py --grid \
    --shots 1 2 4 8 16 --seeds 1 2 3 --data-root data \
    --records work_dirs/sweep/records.jsonl

Tasks that have a record are passed over, so a sweep that was stopped goes on
where it was, and several processes share one: start it by torchrun, by
tools/slurm_sweep.sh, or twice. tools/report.py makes tables of the records.
"""
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from safe_mm.config import add_common_options
from safe_mm.errors import InputError, exit_on_input_error
from safe_mm.sweep.costs import plan
from safe_mm.sweep.sweep import Sweep, all_tasks


def parse_args() -> Namespace:
    parser = ArgumentParser(
        description='Run many tasks', conflict_handler='resolve')
    add_common_options(parser, configs='+')
    parser.add_argument(
        '--grid',
        action='store_true',
        help='where a pooling layer is trained, train all settings of the '
        'config\'s grid in one pass and choose by validation')
    parser.add_argument(
        '--tasks', nargs='+', default=[None],
        help='data sets of configs/_base_/datasets in place of the configs\', '
        'or tasks of drawn creatures')
    parser.add_argument('--shots', nargs='+', type=int,
                        default=[1, 2, 4, 8, 16])
    parser.add_argument('--seeds', nargs='+', type=int, default=[1, 2, 3])
    parser.add_argument('--records', required=True, type=Path,
                        help='file of records, one JSON object a line')
    parser.add_argument(
        '--dry-run', action='store_true',
        help='say what would be run, and what it would cost')
    args = parser.parse_args()
    for name in ('seed', 'work_dir'):
        if getattr(args, name) is not None:
            raise InputError(f'--{name.replace("_", "-")} has no effect here: '
                             'there are --seeds and --records.')
    return args


def main() -> None:
    args = parse_args()
    if torch.cuda.is_available():  # processes of torchrun or srun take turns
        rank = int(os.environ.get('LOCAL_RANK',
                                  os.environ.get('SLURM_LOCALID', 0)))
        torch.cuda.set_device(rank % torch.cuda.device_count())
    tasks = all_tasks(args.config, args.tasks, args.shots, args.seeds)
    sweep = Sweep(args, args.records)
    if args.dry_run:
        print(plan(sweep, tasks))
        return
    failed = sweep.run(tasks)
    if failed:
        sys.exit('\n'.join([f'{len(failed)} tasks failed:', *failed]))


if __name__ == '__main__':
    with exit_on_input_error():
        main()
