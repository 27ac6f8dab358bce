"""Command line options that the tools have in common.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any, Optional

from .environment import check_environment

check_environment()  # before anything of OpenMMLab is imported
from mmengine.config import DictAction  # noqa: E402


class Settings(DictAction):
    """mmengine's ``key=value``; refuses a key without a value."""

    def __call__(
        self, parser: ArgumentParser, namespace: Any, values: Any, *args: Any, **kwargs: Any
    ) -> None:
        for text in values:
            key, sign, _ = text.partition('=')
            if not key or not sign:
                parser.error(f'{self.option_strings[0]}: {text!r} should be key=value')
        super().__call__(parser, namespace, values, *args, **kwargs)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f'{text!r} should be a whole number of at least 1')
    return int(text)


def add_common_options(parser: ArgumentParser, configs: Optional[str] = None) -> None:
    """Options of all tools; ``configs`` is '+' for a tool that takes several config files."""
    parser.add_argument('config', nargs=configs, help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument('--dataset', help='a dataset of configs/_base_/datasets, such as dtd')
    parser.add_argument(
        '--clip',
        metavar='NAME[:WEIGHTS]',
        help="an open_clip model and its weights, a tag or a file; without WEIGHTS, OpenAI's or "
        "the package's",
    )
    parser.add_argument('--data-root', help='folder of the datasets')
    parser.add_argument(
        '--subset', choices=['base', 'new'], help='use the first half of the classes, or the rest'
    )
    parser.add_argument('--shots', type=int, help='training images a class')
    parser.add_argument(
        '--seed', type=int, help='seed of the few-shot sample and of the training run'
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: float16 on a GPU, else bfloat16'
    )
    parser.add_argument('--no-pin-memory', action='store_true')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Settings,
        default={},
        help='override settings of the config, in the form key=value; lists as key="[a,b]"',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
