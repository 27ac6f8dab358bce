"""Trains a config: python tools/train.py CONFIG --shots 16 --seed 1 ..."""

from argparse import ArgumentParser, Namespace

from safe_mm.errors import exit_cleanly
from safe_mm.options import add_common_options


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Train a model')
    add_common_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from a checkpoint, or the latest in a folder; without a '
        'value, from the latest in the work dir',
    )
    parser.add_argument(
        '--allow-changes',
        action='store_true',
        help='resume with other settings than the checkpoint has, such as the learning rate',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='delete checkpoints of another run in the work dir'
    )
    parser.add_argument(
        '--grid',
        action='store_true',
        help="train all settings of the config's grid in one pass and choose by validation",
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[],
        help='train several few-shot samples in one pass, each as with its --seed alone',
    )
    parser.add_argument('--no-validate', action='store_true', help='do not validate')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the total batch size',
    )
    parser.add_argument('--no-persistent-workers', action='store_true')
    return parser.parse_args()


if __name__ == '__main__':
    with exit_cleanly():
        args = parse_args()
        from safe_mm.commands.train import run  # --help answers without it

        run(args)
