"""Tests a checkpoint: python tools/test.py CONFIG CHECKPOINT ...

A config that trains nothing, as that of zero-shot CLIP, has no CHECKPOINT.
"""

from argparse import ArgumentParser, Namespace

from safe_mm.errors import exit_cleanly
from safe_mm.options import add_common_options


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Test a model')
    add_common_options(parser)
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file, or a work dir: its best validated weights'
    )
    parser.add_argument(
        '--variant',
        help="test data out of distribution: a name among the config's "
        'variants; for ImageNet imagenetv2, imagenet_sketch, imagenet_a or '
        'imagenet_r',
    )
    parser.add_argument(
        '--new-classes',
        action='store_true',
        help='test on other classes than those of the training, by their names',
    )
    parser.add_argument('--out', help='file for the results')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        default='pred',
        help='what --out holds. Defaults to pred',
    )
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--interval', type=int, default=1, help='of pictures, in samples')
    parser.add_argument('--wait-time', type=float, default=2, help='of windows, in seconds')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    return parser.parse_args()


if __name__ == '__main__':
    with exit_cleanly():
        args = parse_args()
        from safe_mm.commands.test import run  # --help answers without it

        run(args)
