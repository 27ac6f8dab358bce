"""Checks a config and its data without training: python tools/check.py CONFIG --shots 16 ..."""

from argparse import ArgumentParser, Namespace

from safe_mm.errors import exit_cleanly
from safe_mm.options import add_common_options


def parse_args() -> Namespace:
    parser = ArgumentParser(description='Show the data, the prompts and what would be trained')
    add_common_options(parser)
    parser.add_argument(
        '--decode', action='store_true', help='decode every image, and look for copies'
    )
    return parser.parse_args()


if __name__ == '__main__':
    with exit_cleanly():
        args = parse_args()
        from safe_mm.commands.check import run  # --help answers without it

        run(args)
