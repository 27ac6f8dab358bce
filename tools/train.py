"""Trains a config: python tools/train.py CONFIG --shots 16 --seed 1 ..."""
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from safe_mm.checkpoint import find_checkpoint, read_checkpoint
from safe_mm.config import add_common_options, load_config
from safe_mm.errors import exit_on_input_error


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Train a model')
    add_common_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from a checkpoint, or without a value from the latest in '
        'the work dir')
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the total batch size')
    parser.add_argument('--no-persistent-workers', action='store_true')
    return parser.parse_args()


def apply_training_options(cfg: Config, args: Namespace) -> None:
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    if args.no_persistent_workers:
        for loader in (cfg.train_dataloader, cfg.get('val_dataloader')):
            if loader:
                loader.persistent_workers = False
    if args.resume == 'auto':
        cfg.load_from = find_checkpoint(cfg.work_dir, 'iter_*.pth')
        if cfg.load_from is None:
            print_log(f'No checkpoint in {cfg.work_dir}: starting from the '
                      'beginning.', 'current')
    elif args.resume:
        cfg.load_from = args.resume
        read_checkpoint(cfg.load_from)  # refuses what is not safe to load
    cfg.resume = bool(args.resume and cfg.load_from)


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    apply_training_options(cfg, args)
    Runner.from_cfg(cfg).train()
    best = find_checkpoint(cfg.work_dir, 'best_*.pth')
    if best:
        tool = Path(__file__).with_name('test.py')
        print_log(f'Best validated weights: {best}. Test them by: python '
                  f'{tool} {args.config} {best}', 'current')


if __name__ == '__main__':
    with exit_on_input_error():
        main()
