"""Trains a config: python tools/train.py CONFIG --shots 16 --seed 1 ..."""
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from safe_mm.checkpoint import find_checkpoint, read_checkpoint
from safe_mm.config import add_common_options, load_config
from safe_mm.engine import settings_of, train_together
from safe_mm.errors import InputError, exit_on_input_error


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Train a model')
    add_common_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from a checkpoint or the latest in a folder; without a '
        'value, from the latest in the work dir')
    parser.add_argument(
        '--grid',
        action='store_true',
        help='train all settings of the config\'s grid in one pass and choose '
        'by validation')
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[],
        help='train several few-shot samples in one pass, each as with its '
        '--seed alone')
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the total batch size')
    parser.add_argument('--no-persistent-workers', action='store_true')
    return parser.parse_args()


def apply_training_options(cfg: Config, args: Namespace) -> None:
    if not cfg.get('train_cfg'):
        raise InputError(f'{args.config} trains nothing: give it to test.py.')
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if args.grid or args.seeds:
        check_one_pass(args)
        train_together(cfg, settings_of(cfg) if args.grid else [{}],
                       args.seeds)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise InputError('--auto-scale-lr needs auto_scale_lr=dict('
                             f'base_batch_size=...) in {args.config}.')
        cfg.auto_scale_lr.enable = True
    if args.no_persistent_workers:
        for loader in (cfg.train_dataloader, cfg.get('val_dataloader')):
            if loader:
                loader.persistent_workers = False
    if args.resume or cfg.get('resume'):
        resume_from(cfg, args.resume or cfg.get('load_from') or 'auto')
    if cfg.get('load_from'):
        read_checkpoint(cfg.load_from)  # refuses what is not safe to load


def check_one_pass(args: Namespace) -> None:
    """Raises an InputError if options do not go with runs in one pass."""
    own = [option for option in args.cfg_options
           if option == 'seed' or option.endswith('.seed')]
    if args.seeds and (args.seed is not None or own):
        raise InputError('give --seed, an option that sets a seed, or '
                         '--seeds: one of them.')
    if args.resume or args.no_validate:
        raise InputError('--grid and --seeds go neither with --resume, since '
                         'only the best weights are saved, nor with '
                         '--no-validate, which would choose them.')


def resume_from(cfg: Config, source: str) -> None:
    """Resumes from a file, the latest in a folder, or ('auto') work dir.

    Raises:
        InputError: A folder that was named has no checkpoint.
    """
    if source == 'auto' or Path(source).is_dir():
        folder = cfg.work_dir if source == 'auto' else source
        found = find_checkpoint(folder, 'iter_*.pth')
        if found is None and source != 'auto':
            raise InputError(f'--resume: {folder} has no iter_*.pth.')
        if found is None:
            cfg.resume = False
            print_log(
                f'No checkpoint in {folder}: starting from the beginning.',
                'current')
            return
        source = found
    cfg.load_from, cfg.resume = source, True


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    apply_training_options(cfg, args)
    runner = Runner.from_cfg(cfg)
    runner.train()
    best = [value for key, value in runner.message_hub.runtime_info.items()
            if key.startswith('best_ckpt')]
    if best:
        print_log(
            f'Best validated weights: {", ".join(best)}. test.py takes them '
            'with the same --data-root and --cfg-options.', 'current')


if __name__ == '__main__':
    with exit_on_input_error():
        main()
