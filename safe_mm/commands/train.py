"""tools/train.py: trains a config."""

from argparse import Namespace
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.logging import print_log

from ..checkpoint import find_checkpoint, read_checkpoint
from ..config import load_config
from ..datasets.build import check_before_training, hash_of_list
from ..engine import NewRateHook, QuietRunner, StopHook, enable_joint_training, expand_grid
from ..errors import InputError
from ..files import make_folder
from ..stopping import advice_on_stop
from ..values import check_ranges
from ..work_dir import check_same_run, claimed, clear_work_dir


def run(args: Namespace) -> None:
    """Trains by the options of tools/train.py."""
    cfg = load_config(args)
    apply_training_options(cfg, args)
    datasets = check_before_training(cfg)
    cfg.train_images = hash_of_list(datasets['train'])  # a run's own, as its settings are
    if cfg.get('resume') and not args.allow_changes:
        check_same_run(cfg, cfg.load_from, 'Use the options it had, or --allow-changes.')
    folder = make_folder(Path(cfg.work_dir), '--work-dir')
    with advice_on_stop(partial(how_to_go_on, folder)):
        runner = QuietRunner.from_cfg(cfg)  # after which processes know their rank
        runner.register_hook(StopHook())
        if args.allow_changes:
            runner.register_hook(NewRateHook())
        with claimed(folder):
            if not cfg.resume and get_rank() == 0:
                clear_work_dir(cfg, args.overwrite)
            runner.train()
    info = runner.message_hub.runtime_info
    best = [path for key, path in info.items() if key.startswith('best_ckpt')]
    if best:
        print_log(
            f'Best validated weights: {", ".join(best)}. Test them by '
            'tools/test.py with the same options.',
            'current',
        )


def how_to_go_on(folder: Path) -> str:
    """With a run that was stopped."""
    last = find_checkpoint(str(folder), 'iter_*.pth')
    if last is None:
        return 'There is no checkpoint yet: run the same command again.'
    return f'Run the same command with --resume to go on from {last}.'


def apply_training_options(cfg: Config, args: Namespace) -> None:
    if not cfg.get('train_cfg'):
        raise InputError(f'{args.config} trains nothing. Use tools/test.py.')
    if args.amp:
        gpu = torch.cuda.is_available()
        cfg.optim_wrapper.type = 'AmpOptimWrapper' if gpu else 'safe_mm.BFloat16OptimWrapper'
    if args.grid or args.seeds:
        check_joint_options(args)
        enable_joint_training(cfg, expand_grid(cfg) if args.grid else [{}], args.seeds)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise InputError(
                f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in {args.config}.'
            )
        cfg.auto_scale_lr.enable = True
    if args.no_persistent_workers:
        for loader in filter(None, (cfg.train_dataloader, cfg.get('val_dataloader'))):
            loader.persistent_workers = False
    if args.resume or cfg.get('resume'):
        resume_from(cfg, args.resume or cfg.get('load_from') or 'auto')
    if cfg.get('load_from'):
        read_checkpoint(cfg.load_from)  # refuses what is not safe to load


def check_joint_options(args: Namespace) -> None:
    """Raises an InputError if options do not go with --grid or --seeds."""
    own = [option for option in args.cfg_options if option == 'seed' or option.endswith('.seed')]
    check_ranges('--seeds', args.seeds or None)
    if args.seeds and (args.seed is not None or own):
        raise InputError('use one of --seeds, --seed, and options that set a seed.')
    if args.resume or args.no_validate:
        raise InputError(
            '--grid and --seeds do not support --resume, since only the best weights are saved, '
            'nor --no-validate, since validation chooses them.'
        )


def resume_from(cfg: Config, source: str) -> None:
    """Resumes from a file, the latest in a folder, or ('auto') work dir.

    Raises:
        InputError: A folder that was named has no checkpoint.
    """
    if source == 'auto' or Path(source).is_dir():
        folder = cfg.work_dir if source == 'auto' else source
        found = find_checkpoint(folder, 'iter_*.pth')
        if found is None:
            if source != 'auto':
                raise InputError(f'--resume: {folder} has no iter_*.pth.')
            cfg.resume = False
            print_log(f'No checkpoint in {folder}: starting from the beginning.', 'current')
            return
        source = found
    cfg.load_from, cfg.resume = source, True
