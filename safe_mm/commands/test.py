"""tools/test.py: tests a checkpoint."""

from argparse import Namespace
from copy import deepcopy
from pathlib import Path

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import DumpResults

from ..checkpoint import checkpoint_file
from ..config import load_config
from ..datasets.variants import use_variant
from ..engine import QuietRunner
from ..errors import InputError
from ..files import make_folder, new_file

ENDINGS = dict(pred=('.pkl', '.pickle'), metrics=('.json', '.yaml', '.yml', '.pkl'))


def run(args: Namespace) -> None:
    """Tests by the options of tools/test.py."""
    cfg = load_config(args)
    apply_test_options(cfg, args)
    make_folder(Path(cfg.work_dir), '--work-dir')
    runner = QuietRunner.from_cfg(cfg)
    if args.out and args.out_item == 'pred':
        runner.test_evaluator.metrics.append(DumpResults(args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        with new_file(Path(args.out)) as draft:
            mmengine.dump(metrics, draft, Path(args.out).suffix[1:])


def apply_test_options(cfg: Config, args: Namespace) -> None:
    if bool(args.checkpoint) != bool(cfg.get('train_cfg')):
        raise InputError(
            f'{args.config} trains nothing and takes no checkpoint.'
            if args.checkpoint
            else f'{args.config} needs a checkpoint, or the work dir of its training.'
        )
    endings = ENDINGS[args.out_item]
    if args.out and not args.out.endswith(endings):
        raise InputError(
            f'--out {args.out}: for {args.out_item}, the name ends in {" or ".join(endings)}.'
        )
    if args.variant:
        use_variant(cfg, args.variant)
    if args.new_classes and not args.checkpoint:
        raise InputError('--new-classes has no effect without a checkpoint.')
    if args.new_classes:
        cfg.default_hooks.checkpoint.new_classes = True
    if args.checkpoint:
        cfg.load_from = checkpoint_file(args.checkpoint)
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir:
        cfg.default_hooks.visualization = dict(
            type='VisualizationHook',
            enable=True,
            show=args.show,
            out_dir=args.show_dir,
            interval=args.interval,
            wait_time=args.wait_time,
        )
    if args.tta:
        add_flip_tta(cfg)


def add_flip_tta(cfg: Config) -> None:
    """Averages the scores of each image and its horizontal flip, unless the config has its own
    ``tta_model`` and ``tta_pipeline``.
    """
    dataset = cfg.test_dataloader.dataset
    cfg.setdefault('tta_model', dict(type='AverageClsScoreTTA'))
    if 'tta_pipeline' not in cfg:
        *transforms, pack = deepcopy(dataset.pipeline)
        flips = [dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)]
        cfg.tta_pipeline = [*transforms, dict(type='TestTimeAug', transforms=[flips, [pack]])]
    dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
