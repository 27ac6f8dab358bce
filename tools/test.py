"""Tests a checkpoint: python tools/test.py CONFIG CHECKPOINT ...

A config that trains nothing, as those of zero-shot CLIP, has no CHECKPOINT.
"""
from argparse import ArgumentParser, Namespace
from copy import deepcopy
from pathlib import Path

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from safe_mm.checkpoint import find_checkpoint, read_checkpoint
from safe_mm.config import add_common_options, load_config
from safe_mm.datasets.bases import use_variant
from safe_mm.errors import InputError, exit_on_input_error

ENDINGS = dict(
    pred=('.pkl', '.pickle'), metrics=('.json', '.yaml', '.yml', '.pkl'))


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Test a model')
    add_common_options(parser)
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file, or a work dir: its best validated weights')
    parser.add_argument(
        '--variant',
        help='test data out of distribution: a name among the config\'s '
        'variants; for ImageNet imagenetv2, imagenet_sketch, imagenet_a or '
        'imagenet_r')
    parser.add_argument('--out', help='file for the results')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        default='pred',
        help='what --out holds. Defaults to pred')
    parser.add_argument(
        '--show-dir', help='folder for pictures of the predictions')
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window')
    parser.add_argument(
        '--interval', type=int, default=1, help='of pictures, in samples')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='of windows, in seconds')
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation')
    return parser.parse_args()


def checkpoint_file(path: str, pattern: str) -> str:
    """The checkpoint to test, verified to be safe to load."""
    if Path(path).is_dir():
        seeds = {file.name.split('_')[1] for file in Path(path).glob(pattern)
                 if file.name.startswith('best_seed')}
        if len(seeds) > 1:
            raise InputError(f'{path} has the best weights of several seeds: '
                             'give one of its files best_seed*.pth.')
        best = find_checkpoint(path, pattern)
        if best is None:
            raise InputError(f'{path} has no {pattern}: its training did not '
                             'end, or wrote elsewhere. Give the file of a '
                             'checkpoint.')
        return best
    read_checkpoint(path)
    return path


def apply_test_options(cfg: Config, args: Namespace) -> None:
    if bool(args.checkpoint) != bool(cfg.get('train_cfg')):
        raise InputError(
            f'{args.config} trains nothing, and takes no checkpoint.'
            if args.checkpoint else
            f'{args.config} trains a model: give a checkpoint of it, or its '
            'work dir.')
    endings = ENDINGS[args.out_item]
    if args.out and not args.out.endswith(endings):
        raise InputError(f'--out {args.out}: for {args.out_item}, the name '
                         f'ends in {" or ".join(endings)}.')
    if args.variant:
        use_variant(cfg, args.variant)
    if args.checkpoint:
        cache = 'CacheHead' in cfg.model.get('head', {}).get('type', '')
        cfg.load_from = checkpoint_file(
            args.checkpoint, 'best_cache_*.pth' if cache else 'best_*.pth')
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir:
        cfg.default_hooks.visualization = dict(
            type='VisualizationHook',
            enable=True,
            show=args.show,
            out_dir=args.show_dir,
            interval=args.interval,
            wait_time=args.wait_time)
    if args.tta:
        add_flip_tta(cfg)


def add_flip_tta(cfg: Config) -> None:
    """Averages the scores of each image and its mirror image, unless the
    config has its own ``tta_model`` and ``tta_pipeline``.
    """
    dataset = cfg.test_dataloader.dataset
    cfg.setdefault('tta_model', dict(type='AverageClsScoreTTA'))
    if 'tta_pipeline' not in cfg:
        *transforms, pack = deepcopy(dataset.pipeline)
        flips = [dict(type='RandomFlip', prob=p) for p in (0., 1.)]
        cfg.tta_pipeline = [
            *transforms,
            dict(type='TestTimeAug', transforms=[flips, [pack]])
        ]
    dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    apply_test_options(cfg, args)
    runner = Runner.from_cfg(cfg)
    if args.out and args.out_item == 'pred':
        runner.test_evaluator.metrics.append(DumpResults(args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
