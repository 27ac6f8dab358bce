"""Many few-shot tasks in a row, a line of records for each:
python tools/sweep.py configs/safe/safe_creatures-rn.py --tasks ears tail \
    --shots 1 4 16 --seeds 1 2 3 --records work_dirs/sweep/records.jsonl

Tasks that have a record are passed over, so a sweep that was stopped goes on
where it was. tools/report.py makes tables of the records.
"""
import json
from argparse import ArgumentParser, Namespace
from itertools import product
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner
from tqdm import tqdm

from safe_mm.config import add_common_options
from safe_mm.errors import InputError, exit_on_input_error
from safe_mm.evaluation import ZERO_SHOT
from safe_mm.experiment import measure, task_config, test_loaders, train
from safe_mm.records import append_record, read_records

BETAS = (0., 0.1, 0.25, 0.5, 0.75, 1., 2., 4., ZERO_SHOT)


def parse_args() -> Namespace:
    parser = ArgumentParser(
        description='Run many tasks', conflict_handler='resolve')
    add_common_options(parser)
    parser.add_argument(
        '--grid',
        action='store_true',
        help='train all settings of the config\'s grid in one pass and choose '
        'by validation')
    parser.add_argument('--tasks', nargs='+', default=[None],
                        help='values of the config\'s task')
    parser.add_argument('--shots', nargs='+', type=int, required=True)
    parser.add_argument('--seeds', nargs='+', type=int, default=[1, 2, 3])
    parser.add_argument('--records', required=True,
                        help='file of records, one JSON object a line')
    args = parser.parse_args()
    for name in ('seed', 'work_dir'):
        if getattr(args, name):
            raise InputError(f'--{name.replace("_", "-")} has no effect here: '
                             'there are --seeds and --records.')
    return args


def record_key(args: Namespace, cfg: Config) -> dict:
    """All that tells one record from another."""
    return dict(
        config=Path(args.config).stem,
        clip=f'{cfg.clip.model_name} {cfg.clip.pretrained}',
        grid=args.grid,
        options=json.loads(json.dumps(args.cfg_options)),
        task=cfg.get('task'),
        shots=cfg.shots,
        seed=cfg.seed)


def main() -> None:
    args = parse_args()
    path = Path(args.records)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise InputError(f'--records: {error}') from None
    done = [record['key'] for record in read_records(path)]
    tasks = list(product(args.tasks, args.shots, args.seeds))
    loaders = {}  # of the test pictures of one task at a time
    for task, shots, seed in tqdm(tasks, 'tasks'):
        cfg = task_config(args, path.parent,
                          dict(task=task, shots=shots, seed=seed))
        key = record_key(args, cfg)
        if key in done:
            continue
        if key['task'] not in loaders:
            model = Runner.from_cfg(cfg).model
            loaders = {key['task']: test_loaders(cfg, model)}
        with tqdm(total=cfg.train_cfg.max_iters, leave=False) as bar:
            figures = measure(train(cfg, bar), loaders[key['task']], BETAS)
        append_record(path, dict(key=key, **figures))


if __name__ == '__main__':
    with exit_on_input_error():
        main()
